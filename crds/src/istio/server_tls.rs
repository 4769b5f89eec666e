// SPDX-License-Identifier: Apache-2.0
//! `ServerTLSSettings`: how a server of Istio's Gateway does TLS. One of several sources of certificates, as an enum.
//! Never reads a file or a Secret.

use serde::Deserialize;

use crate::istio::scalars::{text, words};

words! {
    /// `TLSmode` of a server.
    #[derive(Default)]
    ServerTlsMode {
        /// Chosen by server name, passed on as it is. Also what an absent mode means.
        #[default]
        Passthrough = "PASSTHROUGH",
        /// Ends here.
        Simple = "SIMPLE",
        /// Ends here; clients show a certificate.
        Mutual = "MUTUAL",
        /// Passed on to the service that the server name `outbound_.…` says.
        AutoPassthrough = "AUTO_PASSTHROUGH",
        /// Ends here; clients are of the mesh.
        IstioMutual = "ISTIO_MUTUAL",
        /// Ends here; clients may show a certificate.
        OptionalMutual = "OPTIONAL_MUTUAL",
    }
}

words! {
    /// `TLSProtocol`.
    #[derive(Default)]
    TlsVersion {
        /// Not said: at least TLS 1.2, at most the newest.
        #[default]
        Auto = "TLS_AUTO",
        /// TLS 1.0.
        V1_0 = "TLSV1_0",
        /// TLS 1.1.
        V1_1 = "TLSV1_1",
        /// TLS 1.2.
        V1_2 = "TLSV1_2",
        /// TLS 1.3.
        V1_3 = "TLSV1_3",
    }
}

/// Names of OpenSSL that Envoy knows.
const CIPHERS: [&str; 15] = [
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-RSA-AES256-SHA",
    "AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-SHA",
    "AES256-SHA",
    "DES-CBC3-SHA",
];

/// Whether it is the name of a cipher suite: Istio overlooks others.
pub fn is_cipher_suite(name: &str) -> bool {
    CIPHERS.contains(&name)
}

/// Where the certificates of a server are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ServerCertificates {
    /// Not said.
    #[default]
    None,
    /// Names of Secrets in the namespace of the gateway's pods (`credentialName`, `credentialNames`): one, or one of
    /// RSA and one of ECDSA.
    Credentials(Vec<String>),
    /// Files of the gateway's pods (`serverCertificate`, `tlsCertificates`).
    Files(Vec<CertificateFiles>),
}

/// `TLSCertificate`: paths of files; `None` where one is missing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CertificateFiles {
    /// The certificate with its chain.
    #[serde(deserialize_with = "text")]
    pub server_certificate: Option<String>,
    /// Its key.
    #[serde(deserialize_with = "text")]
    pub private_key: Option<String>,
    /// Authorities that clients are checked with.
    #[serde(deserialize_with = "text")]
    pub ca_certificates: Option<String>,
}

/// `ServerTLSSettings`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "RawServerTls")]
pub struct ServerTls {
    /// What is done with TLS.
    pub mode: ServerTlsMode,
    /// Requests in the clear are answered with a redirect to https.
    pub https_redirect: bool,
    /// Whose certificate is shown.
    pub certificates: ServerCertificates,
    /// File of the authorities that clients are checked with.
    pub ca_certificates: Option<String>,
    /// Secret or ConfigMap of the authorities that clients are checked with.
    pub ca_credential: Option<String>,
    /// File of certificates that are revoked.
    pub ca_crl: Option<String>,
    /// Names of which a client's certificate must have one; empty: any.
    pub subject_alt_names: Vec<String>,
    /// SHA-256 of the keys that clients may have, in base64; empty: any.
    pub verify_certificate_spki: Vec<String>,
    /// SHA-256 of the certificates that clients may have, in hex; empty: any.
    pub verify_certificate_hash: Vec<String>,
    /// A client whose certificate is not valid is let in all the same.
    pub insecure_skip_verify: bool,
    /// Oldest version.
    pub min_version: TlsVersion,
    /// Newest version.
    pub max_version: TlsVersion,
    /// By their names of OpenSSL; empty: the usual ones.
    pub cipher_suites: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct RawServerTls {
    mode: ServerTlsMode,
    https_redirect: bool,
    #[serde(deserialize_with = "text")]
    credential_name: Option<String>,
    credential_names: Vec<String>,
    tls_certificates: Vec<CertificateFiles>,
    #[serde(deserialize_with = "text")]
    server_certificate: Option<String>,
    #[serde(deserialize_with = "text")]
    private_key: Option<String>,
    #[serde(deserialize_with = "text")]
    ca_certificates: Option<String>,
    #[serde(deserialize_with = "text")]
    ca_cert_credential_name: Option<String>,
    #[serde(deserialize_with = "text")]
    ca_crl: Option<String>,
    subject_alt_names: Vec<String>,
    verify_certificate_spki: Vec<String>,
    verify_certificate_hash: Vec<String>,
    insecure_skip_verify: bool,
    min_protocol_version: TlsVersion,
    max_protocol_version: TlsVersion,
    cipher_suites: Vec<String>,
}

impl RawServerTls {
    /// The webhook lets one source through; half of a pair of files is none where there is another.
    fn certificates(&mut self) -> Result<ServerCertificates, String> {
        let own = CertificateFiles {
            server_certificate: self.server_certificate.take(),
            private_key: self.private_key.take(),
            ca_certificates: None,
        };
        let is_pair = own.server_certificate.is_some() && own.private_key.is_some();
        let is_half = own.server_certificate.is_some() != own.private_key.is_some();
        let names = std::mem::take(&mut self.credential_names);
        let files = std::mem::take(&mut self.tls_certificates);
        let mut given = Vec::new();
        given.extend(
            self.credential_name.take().map(|it| ("credentialName", ServerCertificates::Credentials(vec![it]))),
        );
        if !names.is_empty() {
            given.push(("credentialNames", ServerCertificates::Credentials(names)));
        }
        if !files.is_empty() {
            given.push(("tlsCertificates", ServerCertificates::Files(files)));
        }
        if is_pair || (is_half && given.is_empty()) {
            given.push(("serverCertificate", ServerCertificates::Files(vec![own])));
        }
        match given.as_slice() {
            [(one, _), (other, _), ..] => Err(format!("has both {one} and {other}: keep one of them")),
            _ => Ok(given.pop().map(|(_, certificates)| certificates).unwrap_or_default()),
        }
    }
}

impl TryFrom<RawServerTls> for ServerTls {
    type Error = String;

    fn try_from(mut raw: RawServerTls) -> Result<Self, String> {
        let certificates = raw.certificates()?;
        Ok(Self {
            mode: raw.mode,
            https_redirect: raw.https_redirect,
            certificates,
            ca_certificates: raw.ca_certificates,
            ca_credential: raw.ca_cert_credential_name,
            ca_crl: raw.ca_crl,
            subject_alt_names: raw.subject_alt_names,
            verify_certificate_spki: raw.verify_certificate_spki,
            verify_certificate_hash: raw.verify_certificate_hash,
            insecure_skip_verify: raw.insecure_skip_verify,
            min_version: raw.min_protocol_version,
            max_version: raw.max_protocol_version,
            cipher_suites: raw.cipher_suites,
        })
    }
}
