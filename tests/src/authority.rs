// SPDX-License-Identifier: Apache-2.0
//! A certification authority of the test's own: a root that clients trust, an intermediate that issues.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tempfile::TempDir;

/// An authority. Its root lies in a file for as long as it lives.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    intermediate: String,
    root: rcgen::Certificate,
    folder: TempDir,
}

impl Authority {
    /// Makes keys and certificates.
    ///
    /// # Panics
    /// If the cryptography refuses.
    #[must_use]
    pub fn new() -> Self {
        let (root_key, key) = (KeyPair::generate().expect("a key"), KeyPair::generate().expect("a key"));
        let (root_params, params) = (certifies("Torana test root"), certifies("Torana test intermediate"));
        let root = root_params.self_signed(&root_key).expect("a certificate");
        let root_issuer = Issuer::new(root_params, root_key);
        let intermediate = params.signed_by(&key, &root_issuer).expect("a certificate").pem();
        let folder = TempDir::new().expect("a temporary folder");
        fs::write(folder.path().join("root.pem"), root.pem()).expect("a file");
        Self { issuer: Issuer::new(params, key), intermediate, root, folder }
    }

    /// The root's certificate, as a file.
    #[must_use]
    pub fn root_file(&self) -> PathBuf {
        self.folder.path().join("root.pem")
    }

    /// The root's certificate.
    #[must_use]
    pub fn root_pem(&self) -> String {
        self.root.pem()
    }

    /// The manifest of a ConfigMap `name` with the root.
    #[must_use]
    pub fn bundle(&self, name: &str) -> String {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: default}}\n\
             data: {{ca.crt: {:?}}}\n---\n",
            self.root_pem()
        )
    }

    /// The manifest of a Secret `name` with a new certificate for `hosts`, and the chain up to the root.
    ///
    /// # Panics
    /// If a name is no host.
    #[must_use]
    pub fn secret(&self, name: &str, hosts: &[&str]) -> String {
        self.issue(name, hosts).secret(name)
    }

    /// A new certificate with its key. Names with `://` are URIs, the others hosts or addresses.
    ///
    /// # Panics
    /// If a name is neither.
    #[must_use]
    pub fn issue(&self, name: &str, names: &[&str]) -> Issued {
        self.signed(CertificateParams::default(), name, names)
    }

    fn signed(&self, mut params: CertificateParams, name: &str, names: &[&str]) -> Issued {
        params.subject_alt_names = names.iter().map(|name| alternative(name)).collect();
        params.distinguished_name.push(DnType::CommonName, name);
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().expect("a key");
        let leaf = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Issued { chain: format!("{leaf}{}", self.intermediate), key: key.serialize_pem() }
    }

    /// How a server shakes hands that has a new certificate for `names` and speaks `protocols`. With `clients` it demands
    /// a certificate of theirs.
    ///
    /// # Panics
    /// If the cryptography refuses.
    #[must_use]
    pub fn server(&self, names: &[&str], protocols: &[&str], clients: Option<&Self>) -> Arc<ServerConfig> {
        self.issue("server", names).server(protocols, clients)
    }

    /// As [`Authority::server`], with a certificate that ended long ago.
    ///
    /// # Panics
    /// If the cryptography refuses.
    #[must_use]
    pub fn expired(&self, names: &[&str]) -> Arc<ServerConfig> {
        let mut params = CertificateParams::default();
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        let (chain, key) = self.signed(params, "server", names).parts();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.expect("TLS 1.2 and 1.3").with_no_client_auth();
        Arc::new(builder.with_single_cert(chain, key).expect("a certificate with its key"))
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.der().clone()).expect("a root");
        roots
    }

    /// How a client shakes hands that trusts the root and speaks `protocols`, the best first.
    ///
    /// # Panics
    /// If the cryptography refuses.
    #[must_use]
    pub fn client(&self, protocols: &[&str]) -> Arc<ClientConfig> {
        self.client_with(protocols, None)
    }

    /// As [`Authority::client`], showing a certificate to servers that ask for one.
    ///
    /// # Panics
    /// If the cryptography refuses.
    #[must_use]
    pub fn client_with(&self, protocols: &[&str], shown: Option<&Issued>) -> Arc<ClientConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.expect("TLS 1.2 and 1.3").with_root_certificates(self.roots());
        let mut config = match shown {
            None => builder.with_no_client_auth(),
            Some(issued) => {
                let (chain, key) = issued.parts();
                builder.with_client_auth_cert(chain, key).expect("a certificate with its key")
            }
        };
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}

/// A certificate that an authority issued, with its key.
pub struct Issued {
    /// Certificates in PEM, the leaf first.
    pub chain: String,
    /// The key in PEM.
    pub key: String,
}

impl Issued {
    /// The manifest of a Secret `name` with both.
    #[must_use]
    pub fn secret(&self, name: &str) -> String {
        let (chain, key) = (STANDARD.encode(&self.chain), STANDARD.encode(&self.key));
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: default}}\ntype: kubernetes.io/tls\n\
             data: {{tls.crt: {chain}, tls.key: {key}}}\n---\n"
        )
    }

    /// How a server shakes hands that has this certificate and speaks `protocols`. With `clients` it demands a certificate
    /// of theirs.
    ///
    /// # Panics
    /// If the cryptography refuses.
    #[must_use]
    pub fn server(&self, protocols: &[&str], clients: Option<&Authority>) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().expect("TLS 1.2 and 1.3");
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let roots = Arc::new(clients.roots());
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build().expect("a root");
                builder.with_client_cert_verifier(verifier)
            }
        };
        let (chain, key) = self.parts();
        let mut config = builder.with_single_cert(chain, key).expect("a certificate with its key");
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Arc::new(config)
    }

    /// The leaf as it travels.
    ///
    /// # Panics
    /// Never: it was made here.
    #[must_use]
    pub fn leaf(&self) -> CertificateDer<'static> {
        self.parts().0.swap_remove(0)
    }

    fn parts(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let chain = CertificateDer::pem_slice_iter(self.chain.as_bytes()).collect::<Result<_, _>>();
        (chain.expect("certificates"), PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("a key"))
    }
}

fn alternative(name: &str) -> SanType {
    if name.contains("://") {
        SanType::URI(name.try_into().expect("a URI"))
    } else if let Ok(address) = name.parse() {
        SanType::IpAddress(address)
    } else {
        SanType::DnsName(name.try_into().expect("a host name"))
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

fn certifies(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    params
}
