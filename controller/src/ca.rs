// SPDX-License-Identifier: Apache-2.0
//! Certificate authorities that rotate themselves, whatever they sign: which pairs of certificate and key there are,
//! which of them signs, and how a Secret holds them. Pure but for the keys they draw; time is an argument, in seconds
//! since 1970, and counts in days. Never decides whom a certificate is for.
//!
//! A new pair is in the bundle for [`Terms::overlap`] before it signs, so that everybody has read it by then; an old one
//! stays in the bundle until it ends.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

/// Seconds.
pub(crate) const DAY: i64 = 86_400;
/// Life of the certificate of a port, and what is left of it when the next one is made.
const SERVING_LIFE: i64 = 85 * DAY;
const SERVING_RENEWAL: i64 = 45 * DAY;
/// Clocks of other nodes may be late, and so may ours be early: by more than a month. Keys are what others trust, days
/// only end them.
const SKEW: i64 = 45 * DAY;

/// Names in the Secret.
const CERTIFICATES: &str = "ca.crt";
const KEYS: &str = "ca.key";

/// How long things take; all of it in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Common name of its certificates, before the day on which they were made.
    pub name: &'static str,
    /// Common name of the certificate of its port.
    pub serving: &'static str,
    /// Life of a pair …
    pub life: i64,
    /// … and what is left of it when the next one is made.
    pub renewal: i64,
    /// From the making of a pair to its first signature.
    pub overlap: i64,
}

/// What an authority is for.
pub trait Purpose: std::fmt::Debug + Clone + PartialEq + Eq + Send + Sync + 'static {
    /// How it rotates.
    const TERMS: Terms;
}

/// Why there is no CA, or no certificate of it.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// The Secret does not hold one.
    #[error("the Secret of the CA is damaged: {0}")]
    Damaged(String),
    /// Cryptography refuses.
    #[error(transparent)]
    Crypto(#[from] rcgen::Error),
}

/// One CA certificate with its key.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    certificate_pem: String,
    key_pem: String,
    not_before: i64,
    pub(crate) not_after: i64,
    name: String,
}

/// The pairs that are in use: one, and during a rotation two.
#[derive(Clone, PartialEq, Eq)]
pub struct Ca<P> {
    /// Oldest first.
    pairs: Vec<Pair>,
    purpose: PhantomData<P>,
}

impl<P> std::fmt::Debug for Ca<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.pairs.iter().map(|pair| &pair.name)).finish()
    }
}

/// The certificate of a port.
#[derive(Clone, PartialEq, Eq)]
pub struct Serving {
    /// PEM.
    pub chain_pem: String,
    /// PEM.
    pub key_pem: String,
    /// When to make the next one, in seconds since 1970.
    pub due: i64,
}

impl std::fmt::Debug for Serving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Serving").field("due", &self.due).finish_non_exhaustive()
    }
}

impl<P: Purpose> Ca<P> {
    /// A new one; it signs at once.
    pub fn new(now: i64) -> Result<Self, CaError> {
        Ok(Self::of(vec![Pair::new(now, &P::TERMS)?]))
    }

    /// From a Secret's data, decoded.
    pub fn from_secret(data: &BTreeMap<String, Vec<u8>>) -> Result<Self, CaError> {
        let damaged = |what: &str| CaError::Damaged(what.to_owned());
        let part = |name: &str| {
            let bytes = data.get(name).ok_or_else(|| CaError::Damaged(format!("{name} is missing")))?;
            std::str::from_utf8(bytes).map_err(|_| CaError::Damaged(format!("{name} is no PEM")))
        };
        let (certificates, keys) = (blocks(part(CERTIFICATES)?), blocks(part(KEYS)?));
        if certificates.is_empty() || certificates.len() != keys.len() {
            return Err(damaged("as many keys as certificates are needed, and at least one"));
        }
        let pairs = certificates.into_iter().zip(keys).map(|(certificate, key)| Pair::read(certificate, key));
        Ok(Self::of(pairs.collect::<Result<_, _>>()?))
    }

    /// A Secret's data, to be encoded.
    pub fn to_secret(&self) -> BTreeMap<String, Vec<u8>> {
        let keys: String = self.pairs.iter().map(|pair| pair.key_pem.as_str()).collect();
        BTreeMap::from([(CERTIFICATES.to_owned(), self.bundle().into_bytes()), (KEYS.to_owned(), keys.into_bytes())])
    }

    /// All certificates as PEM: what others trust.
    pub fn bundle(&self) -> String {
        self.pairs.iter().map(|pair| pair.certificate_pem.as_str()).collect()
    }

    /// Whether something is to be done: a new pair, or an old one to be left out. See [`Ca::rotated`].
    pub fn due(&self, now: i64) -> bool {
        self.pairs.iter().any(|pair| pair.not_after <= now) || self.newest_left(now) <= P::TERMS.renewal
    }

    /// This CA as it should be at `now`; to be stored, and its bundle given to those who trust it.
    pub fn rotated(&self, now: i64) -> Result<Self, CaError> {
        let mut pairs: Vec<Pair> = self.pairs.iter().filter(|pair| pair.not_after > now).cloned().collect();
        if self.newest_left(now) <= P::TERMS.renewal {
            pairs.push(Pair::new(now, &P::TERMS)?);
        }
        Ok(Self::of(pairs))
    }

    /// A certificate for `names`, signed by the pair whose turn it is.
    pub fn serving_certificate(&self, names: &[String], now: i64) -> Result<Serving, CaError> {
        let pair = self.signer(now).ok_or_else(|| CaError::Damaged("it holds no pair".to_owned()))?;
        let issuer = pair.issuer()?;
        let mut params = CertificateParams::new(names.to_vec())?;
        let end = (now + SERVING_LIFE).min(pair.not_after);
        // No later than its pair: others believe a controller whose clock is early.
        valid_in_days(&mut params, pair.not_before, end);
        params.distinguished_name = named(P::TERMS.serving);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let chain_pem = params.signed_by(&key, &issuer)?.pem();
        // The day after the next pair begins to sign, at the latest.
        let others = self.pairs.iter().filter(|other| *other != pair);
        let turn = others.map(|other| other.made() + P::TERMS.overlap + DAY).find(|turn| *turn > now);
        let due = turn.map_or(end - SERVING_RENEWAL, |turn| turn.min(end - SERVING_RENEWAL));
        Ok(Serving { chain_pem, key_pem: key.serialize_pem(), due })
    }

    fn of(pairs: Vec<Pair>) -> Self {
        Self { pairs, purpose: PhantomData }
    }

    fn newest_left(&self, now: i64) -> i64 {
        self.pairs.last().map_or(0, |pair| pair.not_after - now)
    }

    /// The newest pair that everybody knows; the only one, if there is one.
    pub(crate) fn signer(&self, now: i64) -> Option<&Pair> {
        let known = self.pairs.iter().rev().find(|pair| pair.made() + P::TERMS.overlap <= now && pair.not_after > now);
        known.or_else(|| self.pairs.iter().find(|pair| pair.not_after > now))
    }
}

impl Pair {
    fn new(now: i64, terms: &Terms) -> Result<Self, CaError> {
        let key = KeyPair::generate()?;
        // Two CAs of one name are told apart by the day they were made, and by their keys.
        let mut params = authority(&format!("{} {}", terms.name, now.div_euclid(DAY)));
        valid_in_days(&mut params, now - SKEW, now + terms.life);
        let certificate_pem = params.self_signed(&key)?.pem();
        Self::read(certificate_pem, key.serialize_pem())
    }

    fn read(certificate_pem: String, key_pem: String) -> Result<Self, CaError> {
        let damaged = |error: &dyn std::fmt::Display| CaError::Damaged(error.to_string());
        let der = CertificateDer::from_pem_slice(certificate_pem.as_bytes()).map_err(|error| damaged(&error))?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).map_err(|error| damaged(&error))?;
        let name = parsed.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
        let name = name.ok_or_else(|| damaged(&"a certificate without a name"))?.to_owned();
        let (not_before, not_after) =
            (parsed.validity().not_before.timestamp(), parsed.validity().not_after.timestamp());
        let key = KeyPair::from_pem(&key_pem)?;
        if rcgen::PublicKeyData::der_bytes(&key) != &*parsed.public_key().subject_public_key.data {
            return Err(damaged(&"a key does not fit its certificate"));
        }
        Ok(Self { certificate_pem, key_pem, not_before, not_after, name })
    }

    /// What signs as this pair.
    pub(crate) fn issuer(&self) -> Result<Issuer<'static, KeyPair>, CaError> {
        Ok(Issuer::new(authority(&self.name), KeyPair::from_pem(&self.key_pem)?))
    }

    fn made(&self) -> i64 {
        self.not_before + SKEW
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

/// In whole days, from the beginning of the first to the beginning of the last.
fn valid_in_days(params: &mut CertificateParams, from: i64, to: i64) {
    let day = |seconds: i64| seconds.div_euclid(DAY) * DAY;
    valid(params, day(from), day(to));
}

/// From one second to another, since 1970.
pub(crate) fn valid(params: &mut CertificateParams, from: i64, to: i64) {
    let second = |seconds: i64| {
        let date = Timestamp::from_second(seconds).unwrap_or_default().to_zoned(TimeZone::UTC).date();
        let day = date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs());
        day + Duration::from_secs(seconds.rem_euclid(DAY).unsigned_abs())
    };
    (params.not_before, params.not_after) = (second(from), second(to));
}

/// The PEM blocks of a text.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks: Vec<String> = Vec::new();
    for line in text.lines() {
        if line.starts_with("-----BEGIN ") {
            blocks.push(String::new());
        }
        if let Some(block) = blocks.last_mut() {
            block.push_str(line);
            block.push('\n');
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    type Ca = super::Ca<Test>;

    #[derive(Debug, Clone, PartialEq, Eq)]
    enum Test {}

    impl Purpose for Test {
        const TERMS: Terms =
            Terms { name: "Test CA", serving: "Test", life: CA_LIFE, renewal: CA_RENEWAL, overlap: OVERLAP };
    }

    const CA_LIFE: i64 = 365 * DAY;
    const CA_RENEWAL: i64 = 90 * DAY;
    const OVERLAP: i64 = 2 * DAY;
    /// In the year 2026.
    const NOW: i64 = 20_600 * DAY + 1000;

    fn names() -> Vec<String> {
        vec!["torana-feed.torana.svc".to_owned(), "127.0.0.1".to_owned()]
    }

    /// Who signed a certificate, and until when it is valid.
    fn issuer(serving: &Serving) -> (String, i64) {
        let der = CertificateDer::from_pem_slice(serving.chain_pem.as_bytes()).unwrap();
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).unwrap();
        let name = parsed.issuer().iter_common_name().next().unwrap().as_str().unwrap().to_owned();
        (name, parsed.validity().not_after.timestamp())
    }

    #[test]
    fn a_new_ca_signs_at_once_and_is_not_due() {
        let ca = Ca::new(NOW).unwrap();
        assert!(!ca.due(NOW) && !ca.due(NOW + CA_LIFE - CA_RENEWAL - DAY));
        let serving = ca.serving_certificate(&names(), NOW).unwrap();
        assert_eq!(issuer(&serving), ("Test CA 20600".to_owned(), 20_685 * DAY));
        assert_eq!(serving.due, NOW + SERVING_LIFE - SERVING_RENEWAL);
    }

    #[test]
    fn a_controller_whose_clock_is_forty_days_off_is_believed() {
        let ca = Ca::new(NOW).unwrap();
        for skew in [-40 * DAY, -3600, 3600, 40 * DAY] {
            let serving = ca.serving_certificate(&names(), NOW + skew).unwrap();
            let der = CertificateDer::from_pem_slice(serving.chain_pem.as_bytes()).unwrap();
            let validity = x509_parser::parse_x509_certificate(&der).unwrap().1.validity().clone();
            let (begin, end) = (validity.not_before.timestamp(), validity.not_after.timestamp());
            assert!(begin < NOW && NOW < end, "{skew}");
            // It renews in time by the clocks of others too.
            assert!(serving.due - skew < end, "{skew}");
        }
    }

    #[test]
    fn a_rotation_trusts_the_new_pair_before_it_signs_and_the_old_one_until_it_ends() {
        let old = Ca::new(NOW).unwrap();
        let renewal = NOW + CA_LIFE - CA_RENEWAL;
        assert!(old.due(renewal));
        let both = old.rotated(renewal).unwrap();
        assert!(!both.due(renewal));
        assert_eq!(both.bundle().matches("BEGIN CERTIFICATE").count(), 2);
        assert!(both.bundle().starts_with(&old.bundle()));
        let signer = |ca: &Ca, now: i64| issuer(&ca.serving_certificate(&names(), now).unwrap()).0;
        assert_eq!(signer(&both, renewal), "Test CA 20600");
        let serving = both.serving_certificate(&names(), renewal).unwrap();
        assert!(serving.due > renewal + OVERLAP - DAY && serving.due <= renewal + OVERLAP + DAY);
        assert_eq!(signer(&both, serving.due), "Test CA 20875");
        let end = NOW + CA_LIFE;
        assert!(both.due(end));
        let new = both.rotated(end).unwrap();
        assert_eq!(new.bundle().matches("BEGIN CERTIFICATE").count(), 1);
        assert!(!new.due(end));
    }

    #[test]
    fn a_ca_that_nobody_looked_after_begins_anew() {
        let old = Ca::new(NOW).unwrap();
        let late = NOW + 10 * CA_LIFE;
        assert!(old.due(late));
        let new = old.rotated(late).unwrap();
        assert_eq!(new.pairs.len(), 1);
        assert!(new.serving_certificate(&names(), late).is_ok());
    }

    #[test]
    fn a_secret_holds_it_and_a_damaged_one_is_named() {
        let ca = Ca::new(NOW).unwrap().rotated(NOW + CA_LIFE - DAY).unwrap();
        let data = ca.to_secret();
        assert!(Ca::from_secret(&data).unwrap() == ca);
        let (one, two) = (Ca::new(NOW).unwrap().to_secret(), Ca::new(NOW).unwrap().to_secret());
        let with = |name: &str, value: &[u8]| {
            let mut data = one.clone();
            data.insert(name.to_owned(), value.to_vec());
            Ca::from_secret(&data).map(|_| ()).unwrap_err().to_string()
        };
        assert!(with(KEYS, &two[KEYS]).contains("does not fit"));
        assert!(with(KEYS, b"").contains("as many keys"));
        assert!(with(CERTIFICATES, b"\xff").contains("no PEM"));
        let garbage = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(with(CERTIFICATES, garbage).contains("damaged"));
        assert!(Ca::from_secret(&BTreeMap::new()).is_err());
    }

    #[test]
    fn keys_are_never_printed() {
        let ca = Ca::new(NOW).unwrap();
        let serving = ca.serving_certificate(&names(), NOW).unwrap();
        let printed = format!("{ca:?} {serving:?}");
        for pem in [&ca.pairs[0].key_pem, &serving.key_pem] {
            assert!(!printed.contains(pem.lines().nth(1).unwrap()), "{printed}");
        }
    }
}
