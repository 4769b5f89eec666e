// SPDX-License-Identifier: Apache-2.0
//! Names that clients ask for and that somebody has agreed to: what is offered, and what was agreed to, as a Secret of
//! Torana's own namespace keeps it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use torana_crds::core::Secret;
use torana_ir::{CertificateKey, HostPattern, ListenerKey};

use super::state::{SECRET_TYPE, short_digest};
use super::{Issuer, LABEL};

/// Value of the label of such Secrets.
pub const CONSENTS: &str = "consents";
/// The entry of the consents, JSON.
pub const CONSENTS_ENTRY: &str = "consents.json";
/// Names that are agreed to for one Secret's listeners: a Secret holds a mebibyte.
pub const MOST_CONSENTS: usize = 5000;

/// A listener whose certificates are obtained on demand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Who it is.
    pub listener: ListenerKey,
    /// Names that belong to it.
    pub hostname: HostPattern,
    /// The Secret that it names; those of its names are called after it.
    pub secret: CertificateKey,
    /// Who signs, and who agrees.
    pub issuer: Issuer,
    /// What was agreed to.
    pub consents: Arc<Consents>,
}

/// Names that were agreed to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Consents {
    /// The Secret that their listeners name, `namespace/name`.
    pub certificate: String,
    /// The names, and when that was, in seconds since 1970.
    #[serde(default)]
    pub hosts: BTreeMap<String, i64>,
}

impl Consents {
    /// Nothing, for listeners that name `secret`.
    pub fn new(secret: &CertificateKey) -> Self {
        Self { certificate: secret.to_string(), hosts: BTreeMap::new() }
    }

    /// Name of the Secret that keeps them for listeners that name `secret`.
    pub fn home_of(secret: &CertificateKey) -> String {
        format!("torana-acme-consents-{}", short_digest(secret.to_string().as_bytes()))
    }

    /// What a Secret keeps for listeners that name `secret`, if it does.
    pub fn of_secret(kept: &Secret, secret: &CertificateKey) -> Option<Self> {
        let is_ours = kept.secret_type == SECRET_TYPE && kept.meta.labels.get(LABEL).is_some_and(|it| it == CONSENTS);
        let text = kept.data.get(CONSENTS_ENTRY).filter(|_| is_ours)?.expose();
        Self::from_json(text, secret).ok()
    }

    /// From their JSON; those of another Secret are none.
    pub fn from_json(text: &[u8], secret: &CertificateKey) -> Result<Self, String> {
        let read: Self = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if read.certificate == secret.to_string() { Ok(read) } else { Err(format!("it is of {}", read.certificate)) }
    }

    /// Their JSON.
    pub fn to_json(&self) -> Vec<u8> {
        // Plain data with names for keys: there is nothing that could fail.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consents_are_read_as_they_were_written_and_only_for_their_own_secret() {
        let name = |name: &str| CertificateKey { namespace: "shop".into(), name: name.into() };
        let consents = Consents { hosts: [("a.example".to_owned(), 7)].into(), ..Consents::new(&name("tls")) };
        assert_eq!(Consents::from_json(&consents.to_json(), &name("tls")), Ok(consents.clone()));
        assert!(Consents::from_json(&consents.to_json(), &name("other")).is_err());
        assert!(Consents::home_of(&name("tls")).len() < 63);
        assert_ne!(Consents::home_of(&name("tls")), super::super::home_of(&name("tls")));
    }

    #[test]
    fn as_many_as_may_be_fit_into_a_secret() {
        let host = |at: usize| (format!("{at:05}.{}.example", "a".repeat(63)), 1_800_000_000);
        let consents = Consents { hosts: (0..MOST_CONSENTS).map(host).collect(), ..Consents::default() };
        assert!(consents.to_json().len() * 4 / 3 < 1 << 20, "base64");
    }
}
