// SPDX-License-Identifier: Apache-2.0
//! How TLS ends at a server of Istio's Gateway: its credentials are Secrets in the namespace of the proxies, of any type,
//! with `tls.crt` and `tls.key` or `cert` and `key`. Without a usable one the listener stays and refuses handshakes, and
//! so does one whose clients cannot be verified; other listeners are not touched.
//!
//! Never looks at hosts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use torana_crds::core::{Secret, SecretBytes};
use torana_crds::istio::gateway::Server;
use torana_crds::istio::server_tls::{
    ServerCertificates, ServerTls, ServerTlsMode, TlsVersion as Version, is_cipher_suite,
};
use torana_crds::{Kind, Object, ObjectRef, Spoken};
use torana_ir::{
    Certificate, CertificateKey, CipherSuite, ClientValidation, ClientValidationMode, MeshClients, Tls, TlsVersion,
    TrustBundle, TrustBundleKey, TrustSource,
};

use crate::report::Remark;
use crate::store::Cluster;
use crate::translate::certificates::validity;
use crate::translate::proxies::Proxies;
use crate::translate::servers::{Terms, UNSUPPORTED};
use crate::translate::trust::{self, NoAuthority, TrustStore};

/// A Secret that is absent or cannot be used (Istio's IST0161).
pub(super) const INVALID_CREDENTIAL: &str = "InvalidCredential";

/// Secrets that were read, with what came of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Credentials(BTreeMap<CertificateKey, Read>);

type Read = (Arc<Object>, Result<Arc<Certificate>, String>);

impl Credentials {
    /// Every certificate that can be used.
    pub(super) fn usable(&self) -> impl Iterator<Item = (&CertificateKey, &Arc<Certificate>)> {
        self.0.iter().filter_map(|(key, (_, result))| Some((key, result.as_ref().ok()?)))
    }

    /// What was read of this key, if it can be used.
    pub(super) fn get(&self, key: &CertificateKey) -> Option<&Arc<Certificate>> {
        self.0.get(key)?.1.as_ref().ok()
    }

    /// Forgets what is not `needed`.
    pub(super) fn retain(&mut self, needed: impl Fn(&CertificateKey) -> bool) {
        self.0.retain(|key, _| needed(key));
    }

    /// The certificate in a Secret, or what is wrong with it in one sentence. What was read `before` is not read again.
    pub(super) fn read(
        &mut self,
        cluster: &Cluster,
        before: &Self,
        key: &CertificateKey,
    ) -> Result<Arc<Certificate>, String> {
        let Some(object) = cluster.object(Kind::Secret, &key.namespace, &key.name) else {
            self.0.remove(key);
            return Err(format!("there is no Secret {key}"));
        };
        let known = self.0.get(key).or_else(|| before.0.get(key)).filter(|(known, _)| Arc::ptr_eq(known, object));
        let read = known.cloned().unwrap_or_else(|| (Arc::clone(object), certificate(key, object).map(Arc::new)));
        self.0.insert(key.clone(), read.clone());
        read.1.map_err(|why| format!("Secret {key} is not usable: {why}"))
    }
}

/// The Secret that a `credentialName` means, which may say where Secrets are.
pub(super) fn secret_name(credential: &str) -> &str {
    credential.strip_prefix("kubernetes://").unwrap_or(credential)
}

fn certificate(key: &CertificateKey, object: &Object) -> Result<Certificate, String> {
    let Some(secret) = Secret::of(object) else { return Err("not a Secret".to_owned()) };
    let value = |names: [&str; 2]| -> Result<&SecretBytes, String> {
        let found = names.iter().find_map(|name| secret.data.get(*name));
        found.ok_or_else(|| format!("it has neither {} nor {}", names[0], names[1]))
    };
    let (chain, private) = (value(["tls.crt", "cert"])?, value(["tls.key", "key"])?);
    Certificate::from_pem(key.clone(), chain.expose(), private.expose()).map_err(|error| error.to_string())
}

/// What reading needs, and what it leaves.
pub(super) struct Reading<'r> {
    pub(super) cluster: &'r Cluster,
    pub(super) credentials: &'r mut Credentials,
    pub(super) before: &'r Credentials,
    pub(super) trust: (&'r mut TrustStore, &'r TrustStore),
    /// Objects of authorities, there or not, that were asked for.
    pub(super) asked: &'r mut BTreeSet<ObjectRef>,
    /// Authorities that are served.
    pub(super) bundles: &'r mut BTreeMap<TrustBundleKey, Arc<TrustBundle>>,
}

impl Reading<'_> {
    /// How TLS ends at `server`, whose `tls` is at `at`.
    pub(super) fn terms(&mut self, proxies: &Proxies, server: &Server, at: &str, remarks: &mut Vec<Remark>) -> Terms {
        let Some(tls) = &server.tls else {
            return Err(Remark::error(UNSUPPORTED, at, "TLS needs tls, so the server is left out", "write tls"));
        };
        if let Some(field) = obstacle(tls) {
            let message = "is not supported, so the server is left out: without it it would let in more than it should";
            return Err(Remark::error(UNSUPPORTED, &format!("{at}.{field}"), message, "remove it"));
        }
        let forwarded = self.cluster.mesh().config().forwards_client_certificates();
        if tls.mode == ServerTlsMode::IstioMutual {
            let aliases = self.cluster.mesh().config().trust_domains().collect();
            return Ok(Tls { mesh: Some(MeshClients { aliases, forwarded }), ..Tls::new(Vec::new()) });
        }
        let certificates = self.certificates(proxies, tls, at, remarks);
        let mode = match tls.mode {
            ServerTlsMode::Mutual => Some(ClientValidationMode::AllowValidOnly),
            ServerTlsMode::OptionalMutual => Some(ClientValidationMode::AllowValidOrNone),
            _ => None,
        };
        let client =
            mode.map(|mode| ClientValidation { mode, bundles: self.clients(proxies, tls, at, remarks), forwarded });
        let min_version = if tls.min_version == Version::V1_3 { TlsVersion::V1_3 } else { TlsVersion::V1_2 };
        let max_version = match tls.max_version {
            Version::Auto | Version::V1_3 => None,
            _ => Some(TlsVersion::V1_2),
        };
        let suites = suites(tls, at, remarks);
        let terms = Tls { min_version, max_version, suites, client, ..Tls::new(certificates) };
        let is_too_old = matches!(tls.max_version, Version::V1_0 | Version::V1_1);
        if is_too_old || ![TlsVersion::V1_2, TlsVersion::V1_3].into_iter().any(|version| terms.accepts(version)) {
            let message = "no version of TLS is left that Torana speaks (1.2 and 1.3), so the server is left out";
            let remedy = "allow TLSV1_3, or TLSV1_2 with a suite of ECDHE and GCM or CHACHA20";
            return Err(Remark::error(UNSUPPORTED, &format!("{at}.maxProtocolVersion"), message, remedy));
        }
        Ok(terms)
    }

    fn certificates(
        &mut self,
        proxies: &Proxies,
        tls: &ServerTls,
        at: &str,
        remarks: &mut Vec<Remark>,
    ) -> Vec<CertificateKey> {
        let ServerCertificates::Credentials(names) = &tls.certificates else {
            let message = "certificates in files are not read, so handshakes are refused";
            remarks.push(Remark::error(INVALID_CREDENTIAL, at, message, "name a Secret by credentialName"));
            return Vec::new();
        };
        let mut certificates = Vec::with_capacity(names.len());
        for name in names {
            let name = secret_name(name).to_owned();
            let key = CertificateKey { namespace: proxies.namespace.clone(), name };
            let path = format!("{at}.credentialName");
            match self.credentials.read(self.cluster, self.before, &key) {
                Ok(certificate) => {
                    remarks.extend(validity(&certificate, self.cluster.settings().now, &path));
                    certificates.push(certificate.key.clone());
                }
                Err(why) => {
                    let remedy = "put a certificate chain into tls.crt and its key into tls.key, both PEM";
                    remarks.push(Remark::error(INVALID_CREDENTIAL, &path, why, remedy));
                }
            }
        }
        if certificates.is_empty() {
            let message = "it has no certificate that can be used, so handshakes are refused";
            remarks.push(Remark::error(INVALID_CREDENTIAL, at, message, "correct the Secret"));
        }
        certificates
    }

    /// Who must have signed the certificates of clients: authorities that are named, or else those of the Secret with
    /// `-cacert` at its end, or else those beside the certificate.
    fn clients(
        &mut self,
        proxies: &Proxies,
        tls: &ServerTls,
        at: &str,
        remarks: &mut Vec<Remark>,
    ) -> Vec<TrustBundleKey> {
        let mut names: Vec<String> = tls.ca_credential.iter().cloned().collect();
        if let (true, ServerCertificates::Credentials(credentials)) = (names.is_empty(), &tls.certificates) {
            names.extend(credentials.iter().flat_map(|name| [format!("{name}-cacert"), name.clone()]));
        }
        let places: Vec<_> = names.iter().map(|name| (TrustSource::Secret, secret_name(name))).collect();
        let (store, before) = (&mut *self.trust.0, self.trust.1);
        let why = match store.first((self.cluster, before), (&proxies.namespace, &places), self.asked) {
            Ok(bundle) => {
                let key = bundle.key.clone();
                self.bundles.insert(key.clone(), bundle);
                return vec![key];
            }
            Err(NoAuthority::Revokes(why)) => why,
            Err(NoAuthority::Unusable(mut whys)) => whys.pop().unwrap_or_else(|| "it names none".to_owned()),
        };
        let message = format!("no authority of clients can be used, so every handshake is refused: {why}");
        remarks.push(Remark::error(INVALID_CREDENTIAL, at, message, trust::REMEDY));
        Vec::new()
    }
}

/// Suites of TLS 1.2 that may be spoken; `None`: all that there are.
fn suites(tls: &ServerTls, at: &str, remarks: &mut Vec<Remark>) -> Option<Vec<CipherSuite>> {
    // What is not the name of a suite Istio overlooks, and so is it here.
    let written = tls.cipher_suites.iter().filter(|suite| is_cipher_suite(suite));
    let mut suites = Vec::new();
    for suite in written.clone() {
        if let Some(known) = CipherSuite::named(suite) {
            suites.push(known);
            continue;
        }
        let message = format!("{suite} has no forward secrecy or no sound cipher and is not spoken");
        remarks.push(Remark::warning(UNSUPPORTED, &format!("{at}.cipherSuites"), message, "remove it"));
    }
    (written.count() > 0).then_some(suites)
}

/// What is asked of clients, or done for them, that is not done here.
fn obstacle(tls: &ServerTls) -> Option<&'static str> {
    [
        ("mode", tls.mode == ServerTlsMode::AutoPassthrough),
        ("subjectAltNames", !tls.subject_alt_names.is_empty()),
        ("verifyCertificateSpki", !tls.verify_certificate_spki.is_empty()),
        ("verifyCertificateHash", !tls.verify_certificate_hash.is_empty()),
        ("caCrl", tls.ca_crl.is_some()),
        ("caCertificates", tls.ca_certificates.is_some()),
    ]
    .into_iter()
    .find_map(|(field, is_there)| is_there.then_some(field))
}
