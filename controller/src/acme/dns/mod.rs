// SPDX-License-Identifier: Apache-2.0
//! DNS as ACME needs it: the TXT record of a challenge (DNS-01, RFC 8555 §8.4) is put and removed by a [`Solver`], and a
//! [`Resolver`] looks whether it is seen, where a name leads, and which authorities its owner allows (CAA).
//!
//! ```text
//! delegated ─▶ Solver::present ─▶ propagated ─▶ (the authority looks) ─▶ Solver::clean_up
//! ```
//!
//! Every call ends by a deadline of its own, and every error says what failed, at which name or server, and what to
//! repair. Never holds a state between calls, and never validates DNSSEC: the authority does.

mod error;

mod name;

pub(super) mod excerpt;

mod dial;

mod tsig;

mod message;

mod rfc2136;

mod webhook;

mod exec;

mod caa;

mod lookup;

mod propagation;

pub use caa::{Caa, Issuer};
pub(super) use dial::connect;
pub use error::DnsError;
pub use exec::Exec;
pub use lookup::Resolver;
pub use rfc2136::Rfc2136;
pub use tsig::{Algorithm, Tsig};
pub use webhook::Webhook;

/// Octets of the longest value: one character string of a TXT record (RFC 1035 §3.3.14). A digest in base64url has 43.
const LONGEST_VALUE: usize = 255;

/// A TXT record, as a challenge asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Record {
    /// `_acme-challenge.example.com`, or the name that it is delegated to ([`Resolver::delegated`]); no trailing dot.
    pub name: String,
    /// The digest of the key authorization, in base64url.
    pub value: String,
}

impl Record {
    /// The name with its trailing dot, in lower case; an error if it is none, or if the value is no digest.
    fn fqdn(&self) -> Result<String, DnsError> {
        let is_digest = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if self.value.is_empty() || self.value.len() > LONGEST_VALUE || !self.value.bytes().all(is_digest) {
            return Err(DnsError::NoDigest { name: self.name.clone() });
        }
        name::parse(&self.name).map(|name| name.to_ascii())
    }
}

/// How a TXT record is put and removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Solver {
    /// The zone's primary server takes dynamic updates.
    Rfc2136(Rfc2136),
    /// A service does it.
    Webhook(Webhook),
    /// A program does it.
    Exec(Exec),
}

/// What becomes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Present,
    CleanUp,
}

impl Solver {
    /// Puts `record`; other values of its name stay, for two orders may run at once. That it is there already is well.
    pub async fn present(&self, record: &Record) -> Result<(), DnsError> {
        self.perform(Action::Present, record).await
    }

    /// Removes `record`; other values of its name stay. That it is gone already is well.
    pub async fn clean_up(&self, record: &Record) -> Result<(), DnsError> {
        self.perform(Action::CleanUp, record).await
    }

    async fn perform(&self, action: Action, record: &Record) -> Result<(), DnsError> {
        let fqdn = record.fqdn()?;
        match self {
            Self::Rfc2136(server) => server.perform(action, record).await,
            Self::Webhook(webhook) => webhook.perform(action, &fqdn, &record.value).await,
            Self::Exec(program) => program.perform(action, &fqdn, &record.value).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str, value: &str) -> Record {
        Record { name: name.to_owned(), value: value.to_owned() }
    }

    #[test]
    fn a_record_has_an_absolute_name_and_a_digest() {
        let digest = "gfj9Xq-_Rg85nM";
        assert_eq!(record("_acme-challenge.Example.com", digest).fqdn().unwrap(), "_acme-challenge.example.com.");
        assert!(matches!(record("a b.example", digest).fqdn(), Err(DnsError::NoName(_))));
        let long = "x".repeat(LONGEST_VALUE + 1);
        for value in ["", "a b", "a\"b", "ä", &long] {
            assert!(matches!(record("a.example", value).fqdn(), Err(DnsError::NoDigest { .. })), "{value:?}");
        }
    }
}
