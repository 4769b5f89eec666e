// SPDX-License-Identifier: Apache-2.0
//! How one certificate stands, as a Secret of Torana's own namespace keeps it: whoever leads next goes on from there. What
//! an order needs is written before the authority is told of it, and what failed is not forgotten by a restart.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use torana_crds::core::Secret;
use torana_ir::{CertificateKey, sha256};

use super::{ChallengeType, Order, Spent};

/// Type of such Secrets, and nobody else's.
pub const SECRET_TYPE: &str = "torana.dev/acme";
/// Label of all Secrets that Torana keeps for ACME; the value says what it is.
pub const LABEL: &str = "torana.dev/acme";
/// The entry of the state, JSON …
pub const STATE_ENTRY: &str = "state.json";
/// … and of the key of the certificate that was ordered, PEM.
pub const KEY_ENTRY: &str = "tls.key";

/// How one certificate stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// Secret of the certificate, `namespace/name`.
    pub certificate: String,
    /// Who signs, as people call it.
    #[serde(default)]
    pub issuer: String,
    /// Its names, and how each is shown to be ours.
    #[serde(default)]
    pub hosts: BTreeMap<String, Option<ChallengeType>>,
    /// The order that is not over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// Attempts that failed since the last that succeeded.
    #[serde(default)]
    pub failures: u32,
    /// Nothing is tried before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_try: Option<i64>,
    /// On which terms the last attempt failed ([`Issuer::terms`](super::Issuer::terms)), if others may help: then `next_try`
    /// is for the same ones only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tried: Option<String>,
    /// Why the last attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Trouble>,
    /// When the authority looked and was not convinced: the last hour.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<i64>,
    /// When the authority wants the certificate to be renewed (RFC 9773).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewal: Option<Renewal>,
    /// When the certificate that is there was obtained, by our own clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued: Option<i64>,
    /// Somebody wants it renewed now, whatever its age: since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<i64>,
    /// What it has used of the authority's budget.
    #[serde(default)]
    pub spent: Spent,
    /// The authority was not convinced: where it has a directory for rehearsals, the next order is placed there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rehearse: bool,
    /// How often it was written: of two, the one with more is newer.
    #[serde(default)]
    pub revision: u64,
    /// Since when nobody wants it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orphan: Option<i64>,
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// In one word, for metrics: `dns`, `unreachable`, `caa`, `rate_limited` …
    pub reason: String,
    /// For people: what, and what to repair.
    pub message: String,
    /// When.
    pub at: i64,
}

/// What an authority says of the renewal of one certificate (RFC 9773 §4.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewal {
    /// Id of the certificate.
    pub certificate: String,
    /// The window.
    pub window: (i64, i64),
    /// The moment in it that chance chose.
    pub at: i64,
    /// When to ask again.
    pub again: i64,
}

/// A Secret that should hold a state and does not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Secret {0} does not hold how a certificate stands: {1}; delete it, and its certificate is ordered anew")]
pub struct UnreadableState(pub String, pub String);

/// Name of the Secret that keeps the state of `certificate`: one that fits any pair of names.
pub fn home_of(certificate: &CertificateKey) -> String {
    format!("torana-acme-{}", short_digest(certificate.to_string().as_bytes()))
}

/// What tells contents apart, in a name: 20 hexadecimal digits.
pub(crate) fn short_digest(bytes: &[u8]) -> String {
    short_hex(&sha256(bytes))
}

/// The beginning of a digest.
pub(super) fn short_hex(digest: &[u8]) -> String {
    use std::fmt::Write as _;
    digest.iter().take(10).fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}").is_ok();
        text
    })
}

impl State {
    /// That of a certificate of which nothing is known.
    pub fn new(certificate: &CertificateKey) -> Self {
        Self { certificate: certificate.to_string(), ..Self::default() }
    }

    /// Secret of the certificate.
    pub fn secret(&self) -> Option<CertificateKey> {
        let (namespace, name) = self.certificate.split_once('/')?;
        Some(CertificateKey { namespace: namespace.to_owned(), name: name.to_owned() })
    }

    /// What a Secret of Torana's own namespace keeps; `None` if it keeps something else.
    pub fn of_secret(secret: &Secret) -> Option<Result<Self, UnreadableState>> {
        if secret.secret_type != SECRET_TYPE {
            return None;
        }
        let text = secret.data.get(STATE_ENTRY)?.expose();
        Some(Self::from_json(text).map_err(|error| UnreadableState(secret.meta.name.clone(), error)))
    }

    /// From its JSON.
    pub fn from_json(text: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(text).map_err(|error| error.to_string())
    }

    /// Its JSON.
    pub fn to_json(&self) -> Vec<u8> {
        // Plain data with names for keys: there is nothing that could fail.
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Challenge, ChallengeType};
    use super::*;

    fn name(namespace: &str, name: &str) -> CertificateKey {
        CertificateKey { namespace: namespace.to_owned(), name: name.to_owned() }
    }

    #[test]
    fn a_state_is_read_as_it_was_written() {
        let state = State {
            order: Some(Order {
                url: "https://ca/order/1".into(),
                directory: "https://ca/dir".into(),
                hosts: ["a.example".to_owned()].into(),
                challenges: vec![Challenge {
                    host: "a.example".into(),
                    kind: ChallengeType::Http01,
                    token: "t".into(),
                    key_authorization: "t.k".into(),
                }],
                placed: 7,
                replaces: None,
                is_rehearsal: false,
            }),
            failures: 2,
            next_try: Some(9),
            trouble: Some(Trouble { reason: "dns".into(), message: "no address".into(), at: 8 }),
            ..State::new(&name("shop", "tls"))
        };
        assert_eq!(State::from_json(&state.to_json()), Ok(state));
    }

    #[test]
    fn a_state_of_an_older_version_is_read() {
        let state = State::from_json(br#"{"certificate": "shop/tls"}"#).unwrap();
        assert_eq!(state, State::new(&name("shop", "tls")));
    }

    #[test]
    fn every_certificate_has_a_home_of_its_own_that_is_a_name() {
        let long = "n".repeat(253);
        let homes = [name("a", "b"), name("a", "c"), name("b", "b"), name("a", &long)].map(|it| home_of(&it));
        let names: std::collections::BTreeSet<_> = homes.iter().collect();
        assert_eq!(names.len(), homes.len());
        assert!(homes.iter().all(|home| home.len() < 63));
    }
}
