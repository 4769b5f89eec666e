// SPDX-License-Identifier: Apache-2.0
//! A certificate chain with its private key, checked to fit each other.

use std::fmt;
use std::sync::Arc;

use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Serialize, Serializer};

use crate::digest;
use crate::key::CertificateKey;
use crate::pem;

/// Why a certificate or its key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// No `CERTIFICATE` block.
    #[error("tls.crt holds no PEM certificate")]
    NoCertificate,
    /// A block that does not decode.
    #[error("tls.crt is not valid: {0}")]
    BadCertificate(String),
    /// No `PRIVATE KEY`, `RSA PRIVATE KEY` or `EC PRIVATE KEY` block.
    #[error("tls.key holds no PEM private key (PKCS#8, PKCS#1 or SEC1)")]
    NoKey,
    /// A key of a kind or size that TLS cannot use.
    #[error("tls.key is not usable: {0}")]
    BadKey(String),
    /// The key belongs to another certificate.
    #[error("tls.key does not fit the first certificate of tls.crt")]
    KeyMismatch,
}

/// A private key in PEM. `Debug` and `Serialize` print a fingerprint, never the key; hence it cannot be deserialized.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateKey(Arc<str>);

impl PrivateKey {
    /// The PEM text, for the TLS stack only.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// A short fingerprint that tells two keys apart and reveals neither: SHA-256 over the PEM, first 8 bytes in hex.
    pub fn fingerprint(&self) -> String {
        use std::fmt::Write as _;
        digest::sha256(self.0.as_bytes()).iter().take(8).fold(String::from("sha256:"), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}").is_ok();
            text
        })
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({})", self.fingerprint())
    }
}

impl Serialize for PrivateKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.fingerprint())
    }
}

/// A checked certificate: the chain parses, the key is usable and fits the first certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Certificate {
    /// Which Secret it came from.
    pub key: CertificateKey,
    /// DER certificates, leaf first.
    #[serde(serialize_with = "count")]
    chain: Arc<Vec<CertificateDer<'static>>>,
    private: PrivateKey,
    /// DNS names of the leaf (subject alternative names), lower case.
    pub names: Vec<String>,
    /// End of the leaf's validity, seconds since 1970.
    pub not_after: i64,
    /// Start of the leaf's validity, seconds since 1970.
    pub not_before: i64,
}

fn count<S: Serializer>(chain: &Arc<Vec<CertificateDer<'static>>>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format!("{} certificates", chain.len()))
}

impl Certificate {
    /// Checks `tls.crt` and `tls.key` of a `kubernetes.io/tls` Secret, both PEM.
    pub fn from_pem(key: CertificateKey, chain_pem: &[u8], key_pem: &[u8]) -> Result<Self, CertificateError> {
        let chain = CertificateDer::pem_slice_iter(chain_pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| CertificateError::BadCertificate(pem::fault(&error)))?;
        let text = std::str::from_utf8(key_pem).map_err(|_| CertificateError::NoKey)?;
        Self::from_der(key, chain, text)
    }

    /// The certificate itself, DER, without those that vouch for it.
    pub fn leaf(&self) -> Option<&CertificateDer<'static>> {
        self.chain.first()
    }

    /// As [`Certificate::from_pem`], from the chain in DER, leaf first.
    pub(crate) fn from_der(
        key: CertificateKey,
        chain: Vec<CertificateDer<'static>>,
        key_pem: &str,
    ) -> Result<Self, CertificateError> {
        let leaf = chain.first().ok_or(CertificateError::NoCertificate)?;
        let (_, parsed) = x509_parser::parse_x509_certificate(leaf)
            .map_err(|error| CertificateError::BadCertificate(error.to_string()))?;
        let names = dns_names(&parsed);
        let (not_before, not_after) =
            (parsed.validity().not_before.timestamp(), parsed.validity().not_after.timestamp());
        let private = PrivateKey(Arc::from(key_pem));
        let checked = Self { key, chain: Arc::new(chain), private, names, not_after, not_before };
        checked.certified()?;
        Ok(checked)
    }

    /// The form that rustls serves from.
    pub fn certified(&self) -> Result<CertifiedKey, CertificateError> {
        let der = PrivateKeyDer::from_pem_slice(self.private.0.as_bytes()).map_err(|_| CertificateError::NoKey)?;
        let signer = rustls::crypto::aws_lc_rs::sign::any_supported_type(&der)
            .map_err(|error| CertificateError::BadKey(error.to_string()))?;
        let certified = CertifiedKey::new(self.chain.to_vec(), signer);
        match certified.keys_match() {
            Ok(()) => Ok(certified),
            Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => {
                Err(CertificateError::KeyMismatch)
            }
            Err(error) => Err(CertificateError::BadCertificate(error.to_string())),
        }
    }

    /// DER certificates, leaf first.
    pub(crate) fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// The private key.
    pub fn private(&self) -> &PrivateKey {
        &self.private
    }
}

fn dns_names(leaf: &x509_parser::certificate::X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(san)) = leaf.subject_alternative_name() else { return Vec::new() };
    san.value
        .general_names
        .iter()
        .filter_map(|name| match name {
            x509_parser::extensions::GeneralName::DNSName(dns) => Some(dns.to_ascii_lowercase()),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> CertificateKey {
        CertificateKey { namespace: "default".into(), name: "web".into() }
    }

    #[test]
    fn a_key_that_does_not_fit_is_refused() {
        let one = rcgen::generate_simple_self_signed(vec!["a.com".into()]).unwrap();
        let two = rcgen::generate_simple_self_signed(vec!["a.com".into()]).unwrap();
        let error = Certificate::from_pem(key(), one.cert.pem().as_bytes(), two.signing_key.serialize_pem().as_bytes());
        assert_eq!(error.unwrap_err(), CertificateError::KeyMismatch);
    }

    #[test]
    fn names_and_validity_are_read_and_the_key_is_never_printed() {
        let made = rcgen::generate_simple_self_signed(vec!["A.com".into(), "*.b.com".into()]).unwrap();
        let pem = made.signing_key.serialize_pem();
        let certificate = Certificate::from_pem(key(), made.cert.pem().as_bytes(), pem.as_bytes()).unwrap();
        assert_eq!(certificate.names, ["a.com", "*.b.com"]);
        assert!(certificate.not_before < certificate.not_after);
        let secret: String = pem.lines().nth(1).unwrap().to_owned();
        let printed = format!("{certificate:?} {}", serde_json::to_string(&certificate).unwrap());
        assert!(!printed.contains(&secret) && printed.contains("sha256:"));
    }

    #[test]
    fn garbage_is_named() {
        let made = rcgen::generate_simple_self_signed(vec!["a.com".into()]).unwrap();
        let pem = made.signing_key.serialize_pem();
        assert_eq!(Certificate::from_pem(key(), b"x", pem.as_bytes()).unwrap_err(), CertificateError::NoCertificate);
        let chain = made.cert.pem();
        assert_eq!(Certificate::from_pem(key(), chain.as_bytes(), b"x").unwrap_err(), CertificateError::NoKey);
    }
}
