// SPDX-License-Identifier: Apache-2.0
//! The authority of the mesh: who is signed for, how long, and with what in the certificate. How it rotates is
//! [`crate::ca`]'s. Never asks who somebody is.

use std::time::Duration;

use rcgen::{
    CertificateParams, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType, SerialNumber,
};
use rustls::crypto::aws_lc_rs;

use super::request::{ProvenKey, Unfit};
use crate::ca::{Ca, CaError, DAY, Purpose, Terms, valid};

/// What a workload gets that asks for no time, and by default the most that one gets: Istio's.
pub const DEFAULT_LIFETIME: Duration = Duration::from_hours(24);
/// The most that any workload can be given. While the roots rotate, whoever asks again in time has the new one before it
/// signs: [`Terms::overlap`] is longer than this.
pub const LONGEST_LIFETIME: Duration = Duration::from_hours(90 * 24);
/// Clocks of others may be late by so much, in seconds. Less than for roots: a certificate is used at once, and its
/// workload asks for another one often.
const SKEW: i64 = 60;
/// Bytes of a serial number (RFC 5280, section 4.1.2.2: at most 20).
const SERIAL: usize = 16;

/// The authority of a mesh.
pub type Authority = Ca<MeshRoot>;

/// The roots of a mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MeshRoot {}

impl Purpose for MeshRoot {
    const TERMS: Terms = Terms {
        name: "Torana mesh CA",
        serving: "Torana mesh CA port",
        life: 3650 * DAY,
        renewal: 730 * DAY,
        overlap: 180 * DAY,
    };
}

/// A certificate that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// PEM: the workload's own, and last all roots in one, the oldest first.
    pub chain: Vec<String>,
    /// Serial number, hexadecimal.
    pub serial: String,
    /// Its end, in seconds since 1970.
    pub not_after: i64,
}

/// Why none was.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The request is at fault.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// The authority is.
    #[error(transparent)]
    Authority(#[from] CaError),
}

impl From<rcgen::Error> for SignError {
    fn from(error: rcgen::Error) -> Self {
        Self::Authority(error.into())
    }
}

impl Ca<MeshRoot> {
    /// A certificate for `identity`, a SPIFFE ID, with the key of the request `csr_pem`, from `now` (in seconds since
    /// 1970) for `lifetime`, or until the root ends. Names in the request have no effect.
    pub fn sign(&self, csr_pem: &str, identity: &str, lifetime: Duration, now: i64) -> Result<Issued, SignError> {
        let key = ProvenKey::read(csr_pem)?;
        let ended = || CaError::Damaged("every root of it has ended".to_owned());
        let root = self.signer(now).ok_or_else(ended)?;
        let lifetime = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
        let not_after = now.saturating_add(lifetime).min(root.not_after);
        let serial = serial()?;
        let mut params = leaf(identity)?;
        valid(&mut params, now - SKEW, not_after);
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        let certificate = params.signed_by(&key, &root.issuer()?)?;
        let serial = format!("{:032x}", u128::from_be_bytes(serial));
        Ok(Issued { chain: vec![certificate.pem(), self.bundle()], serial, not_after })
    }
}

/// What an X.509-SVID of a workload has (X509-SVID, sections 2 and 4): one URI and no other name.
fn leaf(identity: &str) -> Result<CertificateParams, SignError> {
    let mut params = CertificateParams::default();
    // Without a subject the extension with the URI is critical (RFC 5280, section 4.2.1.6).
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = vec![SanType::URI(identity.try_into()?)];
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// Nobody guesses it, and it comes only once. Positive whatever is drawn.
fn serial() -> Result<[u8; SERIAL], CaError> {
    let mut serial = [0; SERIAL];
    let random = aws_lc_rs::default_provider().secure_random;
    random.fill(&mut serial).map_err(|_| rcgen::Error::RingUnspecified)?;
    let [first, ..] = &mut serial;
    *first = *first & 0x7f | 0x40;
    Ok(serial)
}

#[cfg(test)]
mod tests;
