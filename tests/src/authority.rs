// SPDX-License-Identifier: Apache-2.0
//! A certification authority of the test's own: a root that clients trust, an intermediate that issues.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::{ClientConfig, RootCertStore};
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

    /// The manifest of a Secret `name` with a new certificate for `hosts`, and the chain up to the root.
    ///
    /// # Panics
    /// If a name is no host.
    #[must_use]
    pub fn secret(&self, name: &str, hosts: &[&str]) -> String {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).expect("host names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().expect("a key");
        let leaf = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        let chain = STANDARD.encode(format!("{leaf}{}", self.intermediate));
        let key = STANDARD.encode(key.serialize_pem());
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: default}}\ntype: kubernetes.io/tls\n\
             data: {{tls.crt: {chain}, tls.key: {key}}}\n---\n"
        )
    }

    /// How a client shakes hands that trusts the root and speaks `protocols`, the best first.
    ///
    /// # Panics
    /// If the cryptography refuses.
    #[must_use]
    pub fn client(&self, protocols: &[&str]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.der().clone()).expect("a root");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let mut config = builder.expect("TLS 1.2 and 1.3").with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Arc::new(config)
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
