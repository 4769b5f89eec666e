// SPDX-License-Identifier: Apache-2.0
//! Certificates with their keys in every form that Secrets hold, and clients that say what they understand.

use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair, SignatureAlgorithm};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme, SupportedProtocolVersion};

/// How a private key is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyForm {
    /// `PRIVATE KEY`.
    Pkcs8,
    /// `RSA PRIVATE KEY`.
    Pkcs1,
    /// `EC PRIVATE KEY`.
    Sec1,
}

/// A self-signed certificate and its key.
pub struct Credential {
    /// The certificate as PEM.
    pub pem: String,
    key: KeyPair,
}

impl Credential {
    /// For `hosts`, with a new key of `algorithm` (`rcgen::PKCS_…`).
    ///
    /// # Panics
    /// If the cryptography refuses.
    #[must_use]
    pub fn new(algorithm: &'static SignatureAlgorithm, hosts: &[&str]) -> Self {
        let key = KeyPair::generate_for(algorithm).expect("a key");
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let certificate = CertificateParams::new(hosts).expect("host names").self_signed(&key).expect("a certificate");
        Self { pem: certificate.pem(), key }
    }

    /// The certificate as it travels.
    ///
    /// # Panics
    /// Never: it was made here.
    #[must_use]
    pub fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.pem.as_bytes()).expect("a certificate")
    }

    /// The key as PEM. What PKCS#8 wraps is PKCS#1 or SEC1, according to the algorithm.
    ///
    /// # Panics
    /// If `openssl` is missing, or does not know such a key.
    #[must_use]
    pub fn key(&self, form: KeyForm) -> String {
        let pem = self.key.serialize_pem();
        match form {
            KeyForm::Pkcs8 => pem,
            KeyForm::Pkcs1 => openssl(&["rsa", "-traditional"], &pem),
            KeyForm::Sec1 => openssl(&["ec"], &pem),
        }
    }

    /// The manifest of a Secret `name` with both.
    #[must_use]
    pub fn secret(&self, name: &str, form: KeyForm) -> String {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: default}}\ntype: kubernetes.io/tls\n\
             stringData: {{tls.crt: {:?}, tls.key: {:?}}}\n---\n",
            self.pem,
            self.key(form)
        )
    }
}

fn openssl(arguments: &[&str], input: &str) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("key");
    std::fs::write(&file, input).expect("a file");
    let output = std::process::Command::new("openssl").args(arguments).arg("-in").arg(&file).output();
    let output = output.expect("openssl runs: install the package openssl");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("PEM")
}

/// How a client shakes hands that takes every certificate if the server has its key, understands signatures of
/// `schemes` only (all if empty), and speaks `versions`.
///
/// # Panics
/// If nothing is spoken.
#[must_use]
pub fn client(schemes: &[SignatureScheme], versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let schemes = match schemes {
        [] => provider.signature_verification_algorithms.supported_schemes(),
        some => some.to_vec(),
    };
    let verifier = Trusting { schemes, provider: Arc::clone(&provider) };
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).expect("a version");
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    Arc::new(builder.with_no_client_auth())
}

#[derive(Debug)]
struct Trusting {
    schemes: Vec<SignatureScheme>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}
