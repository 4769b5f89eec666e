// SPDX-License-Identifier: Apache-2.0
//! An order at an authority, and how it is to be convinced of each name.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

/// An order that was placed and is not over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Where the authority keeps it (RFC 8555 §7.1.3).
    pub url: String,
    /// Directory of the authority.
    pub directory: String,
    /// Names of the certificate.
    pub hosts: BTreeSet<String>,
    /// What was offered to it for each name that it wants to be convinced of.
    pub challenges: Vec<Challenge>,
    /// When it was placed.
    pub placed: i64,
    /// Id (RFC 9773 §4.1) of the certificate whose place it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
    /// Whether it only shows that an order would succeed: at the directory that the authority has for that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_rehearsal: bool,
}

/// A challenge that was chosen (RFC 8555 §8).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Challenge {
    /// The name; of a wildcard without `*.`.
    pub host: String,
    /// How.
    pub kind: ChallengeType,
    /// What the authority asks for.
    pub token: String,
    /// What is answered.
    pub key_authorization: String,
}

/// How an authority is convinced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ChallengeType {
    /// An answer by HTTP (RFC 8555 §8.3).
    #[serde(rename = "http-01")]
    Http01,
    /// An answer in a handshake of TLS (RFC 8737).
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
    /// A record of DNS (RFC 8555 §8.4).
    #[serde(rename = "dns-01")]
    Dns01,
}

impl ChallengeType {
    /// As RFCs write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Dns01 => "dns-01",
        }
    }
}

impl fmt::Display for ChallengeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a name can be shown to be ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Solvable {
    /// In this way.
    By(ChallengeType),
    /// In no way: why, and what to change.
    Not(String),
}
