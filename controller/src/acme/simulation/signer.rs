// SPDX-License-Identifier: Apache-2.0
//! Signs what is ordered, for as long as its profile says.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData,
    SerialNumber, SignatureAlgorithm,
};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer as _;

use crate::issuance::certificate_id;

const DAY: i64 = 86_400;

/// A certificate that was signed.
#[derive(Debug)]
pub(super) struct Signed {
    /// When it is to be renewed.
    pub(super) window: (i64, i64),
    /// Whether another was ordered in its place.
    pub(super) is_replaced: bool,
}

/// Signs.
pub(super) struct Signer(Issuer<'static, KeyPair>);

/// A key of somebody else's: ECDSA over P-256.
struct Key(Vec<u8>);

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl Signer {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "simulated");
        Self(Issuer::new(params, KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()))
    }

    /// The certificate in PEM, its id, and what is kept of it.
    pub(super) fn sign(
        &self,
        csr: &[u8],
        names: &[String],
        profile: Option<&str>,
        now: i64,
    ) -> (String, String, Signed) {
        let (_, request) = X509CertificationRequest::from_der(csr).unwrap();
        let key = Key(request.certification_request_info.subject_pki.subject_public_key.data.to_vec());
        let life = if profile == Some("shortlived") { 6 * DAY } else { 45 * DAY };
        let mut params = CertificateParams::new(names.to_vec()).unwrap();
        let time = |at: i64| SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(at).unwrap());
        (params.not_before, params.not_after) = (time(now - 3600).into(), time(now + life).into());
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(SerialNumber::from(fastrand::u64(1..)));
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let id = certificate_id(certificate.der()).unwrap();
        let window = (now + life * 2 / 3, now + life * 3 / 4);
        (certificate.pem(), id, Signed { window, is_replaced: false })
    }
}
