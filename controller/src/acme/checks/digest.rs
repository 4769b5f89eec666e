// SPDX-License-Identifier: Apache-2.0
//! TLS with whoever answers a challenge of TLS-ALPN-01 (RFC 8737 §3): what must be in the certificate is the digest of the
//! key authorization; who signed it means nothing.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use torana_ir::sha256;

/// The protocol of such handshakes.
const ALPN: &[u8] = b"acme-tls/1";
/// `id-pe-acmeIdentifier`, 1.3.6.1.5.5.7.1.31.
const ACME_IDENTIFIER: &str = "1.3.6.1.5.5.7.1.31";

/// A client that takes nothing but the answer.
pub(super) fn config(key_authorization: &str) -> Result<ClientConfig, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Answered { digest: sha256(key_authorization.as_bytes()), provider: Arc::clone(&provider) };
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?.dangerous();
    let mut config = builder.with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

#[derive(Debug)]
struct Answered {
    digest: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Answered {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if is_answer(leaf, &self.digest) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Whether the extension holds the digest, an OCTET STRING.
fn is_answer(leaf: &[u8], digest: &[u8; 32]) -> bool {
    let Ok((_, parsed)) = x509_parser::parse_x509_certificate(leaf) else { return false };
    parsed.extensions().iter().any(|extension| {
        extension.oid.to_id_string() == ACME_IDENTIFIER
            && extension.critical
            && extension.value.strip_prefix(&[0x04, 0x20]).is_some_and(|value| value == digest)
    })
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, CustomExtension, KeyPair};

    use super::*;

    #[test]
    fn only_the_digest_in_its_extension_is_an_answer() {
        let (digest, other) = (sha256(b"tok.key"), sha256(b"tok.kez"));
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        let plain = params.self_signed(&key).unwrap();
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(&digest)];
        let answer = params.self_signed(&key).unwrap();
        assert!(is_answer(answer.der(), &digest));
        assert!(!is_answer(answer.der(), &other) && !is_answer(plain.der(), &digest) && !is_answer(b"x", &digest));
    }
}
