// SPDX-License-Identifier: Apache-2.0
//! Authorities that certificates are checked against: bundles of CA certificates, each checked to be usable.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize, Serializer};

use crate::key::TrustBundleKey;
use crate::pem;

/// Why a text is no bundle of authorities.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// No `CERTIFICATE` block.
    #[error("it holds no PEM certificate")]
    NoCertificate,
    /// A block that is no certificate, or one that nothing can be checked against. Counted from 0.
    #[error("certificate {0} of it is not usable: {1}")]
    BadCertificate(usize, String),
}

/// Certificates of authorities: what one ConfigMap or Secret holds. Never empty.
///
/// Authorities are told apart by their keys, never by their names: several may share one subject.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct TrustBundle {
    /// Which object it came from.
    pub key: TrustBundleKey,
    #[serde(serialize_with = "base64")]
    certificates: Arc<[CertificateDer<'static>]>,
}

impl TrustBundle {
    /// Checks `ca.crt`: one or more certificates in PEM. One that cannot be used makes the whole bundle unusable: nobody
    /// would notice that it is missing.
    pub fn from_pem(key: TrustBundleKey, pem: &[u8]) -> Result<Self, TrustError> {
        Ok(Self { key, certificates: authorities(pem)?.into() })
    }

    /// The certificates.
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }
}

/// What a text of PEM holds: one or more certificates, each of which others can be checked against.
///
/// # Errors
/// There is none, or one that cannot be used.
pub fn authorities(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let mut certificates = Vec::new();
    for (at, block) in CertificateDer::pem_slice_iter(pem).enumerate() {
        certificates.push(block.map_err(|error| TrustError::BadCertificate(at, pem::fault(&error)))?);
    }
    checked(certificates)
}

fn checked(certificates: Vec<CertificateDer<'static>>) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    if certificates.is_empty() {
        return Err(TrustError::NoCertificate);
    }
    let mut roots = RootCertStore::empty();
    for (at, certificate) in certificates.iter().enumerate() {
        let added = roots.add(certificate.clone());
        added.map_err(|error| TrustError::BadCertificate(at, error.to_string()))?;
    }
    Ok(certificates)
}

impl fmt::Debug for TrustBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrustBundle({}, {} certificates)", self.key, self.certificates.len())
    }
}

/// As it arrives over the wire.
#[derive(Deserialize)]
struct Unchecked {
    key: TrustBundleKey,
    /// Base64 of DER.
    certificates: Vec<String>,
}

impl TryFrom<Unchecked> for TrustBundle {
    type Error = TrustError;

    fn try_from(unchecked: Unchecked) -> Result<Self, TrustError> {
        let der = unchecked.certificates.iter().enumerate().map(|(at, text)| {
            let der = STANDARD.decode(text).map_err(|error| TrustError::BadCertificate(at, error.to_string()))?;
            Ok(CertificateDer::from(der))
        });
        let certificates = checked(der.collect::<Result<_, _>>()?)?.into();
        Ok(Self { key: unchecked.key, certificates })
    }
}

fn base64<S: Serializer>(certificates: &Arc<[CertificateDer<'static>]>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(certificates.iter().map(|der| STANDARD.encode(der)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::TrustSource;

    fn key() -> TrustBundleKey {
        TrustBundleKey { source: TrustSource::ConfigMap, namespace: "n".into(), name: "ca".into() }
    }

    fn authority() -> String {
        rcgen::generate_simple_self_signed(vec!["ca".into()]).unwrap().cert.pem()
    }

    #[test]
    fn a_bundle_holds_every_certificate_of_its_text() {
        let text = format!("# two of them\n{}{}", authority(), authority());
        assert_eq!(TrustBundle::from_pem(key(), text.as_bytes()).unwrap().certificates().len(), 2);
    }

    #[test]
    fn a_text_without_certificates_and_one_with_a_broken_one_are_refused() {
        let block = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for text in ["", "hello", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            assert_eq!(TrustBundle::from_pem(key(), text.as_bytes()), Err(TrustError::NoCertificate), "{text}");
        }
        for text in [block.to_owned(), authority() + block] {
            assert!(matches!(TrustBundle::from_pem(key(), text.as_bytes()), Err(TrustError::BadCertificate(..))));
        }
    }

    #[test]
    fn a_bundle_travels_as_json_and_is_checked_where_it_arrives() {
        let bundle = TrustBundle::from_pem(key(), authority().as_bytes()).unwrap();
        let mut json = serde_json::to_value(&bundle).unwrap();
        assert_eq!(serde_json::from_value::<TrustBundle>(json.clone()).unwrap(), bundle);
        json["certificates"][0] = "AAAA".into();
        assert!(serde_json::from_value::<TrustBundle>(json).is_err());
    }
}
