// SPDX-License-Identifier: Apache-2.0
//! The key of a certificate signing request (PKCS #10, RFC 2986), once it is shown that whoever asks has it. Whatever
//! else the request says is never looked at.

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256, PublicKeyData, SignatureAlgorithm};
use rustls_pki_types::CertificateSigningRequestDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::asn1_rs::{FromDer, Oid};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_PKCS1_RSAENCRYPTION, OID_PKCS1_SHA256WITHRSA,
    OID_PKCS1_SHA384WITHRSA, OID_PKCS1_SHA512WITHRSA, OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384,
};
use x509_parser::x509::SubjectPublicKeyInfo;

/// Longest request that is looked at, in bytes of PEM; one with an RSA key of 4096 bits has 1,700.
const LONGEST: usize = 16 << 10;
/// Keys of RSA have so many bits.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// Why a request gets no certificate, in words for whoever sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the certificate signing request {0}")]
pub struct Unfit(String);

/// A key that whoever asks has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProvenKey {
    /// As it stands in a certificate.
    bits: Vec<u8>,
    algorithm: &'static SignatureAlgorithm,
}

impl PublicKeyData for ProvenKey {
    fn der_bytes(&self) -> &[u8] {
        &self.bits
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.algorithm
    }
}

/// Kinds of keys that everybody in a mesh can check.
enum Kind {
    P256,
    P384,
    Rsa,
}

impl ProvenKey {
    /// Reads a request, PEM.
    pub(super) fn read(csr_pem: &str) -> Result<Self, Unfit> {
        let unfit = |why: &str| Unfit(why.to_owned());
        if csr_pem.len() > LONGEST {
            return Err(Unfit(format!("has {} bytes, {LONGEST} are the limit", csr_pem.len())));
        }
        let der = CertificateSigningRequestDer::from_pem_slice(csr_pem.as_bytes());
        Self::proven(&der.map_err(|_| unfit("is not PEM of type CERTIFICATE REQUEST"))?)
    }

    fn proven(der: &CertificateSigningRequestDer<'_>) -> Result<Self, Unfit> {
        let unfit = |why: &str| Unfit(why.to_owned());
        let (rest, request) = X509CertificationRequest::from_der(der).map_err(|_| unfit("is not PKCS #10"))?;
        if !rest.is_empty() {
            return Err(unfit("has something behind it"));
        }
        let info = &request.certification_request_info;
        let kind = kind(&info.subject_pki)?;
        let how = kind.verification(&request.signature_algorithm.algorithm);
        let how = how.ok_or_else(|| unfit("is signed in a way that does not go with its key, or with SHA-1"))?;
        let bits = info.subject_pki.subject_public_key.data.to_vec();
        let key = UnparsedPublicKey::new(how, &bits);
        key.verify(info.raw, &request.signature_value.data).map_err(|_| unfit("is not signed with its own key"))?;
        Ok(Self { bits, algorithm: kind.algorithm() })
    }
}

fn kind(key: &SubjectPublicKeyInfo<'_>) -> Result<Kind, Unfit> {
    let algorithm = &key.algorithm;
    if algorithm.algorithm == OID_PKCS1_RSAENCRYPTION {
        let bits = key.parsed().map_or(0, |parsed| parsed.key_size());
        let why = || Unfit(format!("has an RSA key of {bits} bits: 2048 to 8192 are taken"));
        return if RSA_BITS.contains(&bits) { Ok(Kind::Rsa) } else { Err(why()) };
    }
    let curve = algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
    let curve = curve.filter(|_| algorithm.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY);
    // Points that are written out whole (SEC 1, section 2.3.3).
    match (curve, &*key.subject_public_key.data) {
        (Some(curve), [4, point @ ..]) if curve == OID_EC_P256 && point.len() == 64 => Ok(Kind::P256),
        (Some(curve), [4, point @ ..]) if curve == OID_NIST_EC_P384 && point.len() == 96 => Ok(Kind::P384),
        _ => Err(Unfit("has a key that is neither of P-256, P-384 nor RSA".to_owned())),
    }
}

impl Kind {
    fn algorithm(&self) -> &'static SignatureAlgorithm {
        match self {
            Self::P256 => &PKCS_ECDSA_P256_SHA256,
            Self::P384 => &PKCS_ECDSA_P384_SHA384,
            Self::Rsa => &PKCS_RSA_SHA256,
        }
    }

    /// How a signature of this kind is checked.
    fn verification(&self, signed: &Oid<'_>) -> Option<&'static dyn VerificationAlgorithm> {
        let ways: &[(Oid<'_>, &'static dyn VerificationAlgorithm)] = match self {
            Self::P256 => &[
                (OID_SIG_ECDSA_WITH_SHA256, &signature::ECDSA_P256_SHA256_ASN1),
                (OID_SIG_ECDSA_WITH_SHA384, &signature::ECDSA_P256_SHA384_ASN1),
            ],
            Self::P384 => &[
                (OID_SIG_ECDSA_WITH_SHA256, &signature::ECDSA_P384_SHA256_ASN1),
                (OID_SIG_ECDSA_WITH_SHA384, &signature::ECDSA_P384_SHA384_ASN1),
            ],
            Self::Rsa => &[
                (OID_PKCS1_SHA256WITHRSA, &signature::RSA_PKCS1_2048_8192_SHA256),
                (OID_PKCS1_SHA384WITHRSA, &signature::RSA_PKCS1_2048_8192_SHA384),
                (OID_PKCS1_SHA512WITHRSA, &signature::RSA_PKCS1_2048_8192_SHA512),
            ],
        };
        ways.iter().find(|(way, _)| way == signed).map(|(_, how)| *how)
    }
}

#[cfg(test)]
mod tests;
