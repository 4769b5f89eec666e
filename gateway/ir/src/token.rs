// SPDX-License-Identifier: Apache-2.0
//! Whose tokens are believed, and what they are good for, as Istio's RequestAuthentication has it (JWT, RFC 7519).
//!
//! Never reads a token.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::atom::HeaderName;
use crate::exact::exact;
use crate::key::PolicyKey;

/// Bytes of a set of keys.
pub const LARGEST_KEY_SET: usize = 256 << 10;
/// Keys of a set.
pub const MOST_KEYS: usize = 256;
/// Bytes of a place that keys are fetched from.
const LONGEST_PLACE: usize = 2048;

/// Why there are no keys, or nowhere to fetch them from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// It cannot be read, and why.
    #[error("it is no JSON Web Key Set (RFC 7517 §5): {0}")]
    Unreadable(String),
    /// There is no key in it, or there are too many.
    #[error("{0} keys: there must be 1 to {MOST_KEYS}")]
    Number(usize),
    /// It is too large.
    #[error("{0} bytes of keys: at most {LARGEST_KEY_SET} are read")]
    TooLarge(usize),
    /// It is no URL of HTTP.
    #[error("{0:?} is no URL to fetch keys from: write http:// or https:// and a host, in at most 2,048 characters")]
    Place(String),
}

/// One RequestAuthentication.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenPolicy {
    /// Who it is.
    pub key: PolicyKey,
    /// Alternatives.
    #[serde(deserialize_with = "exact")]
    pub rules: Vec<TokenRule>,
}

/// `JWTRule`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRule {
    /// What `iss` must be; `None`: anything.
    pub issuer: Option<String>,
    /// One of them must be in `aud`; empty: whatever is there.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "exact")]
    pub audiences: Vec<String>,
    /// What tokens are signed with.
    pub keys: KeySource,
    /// Where tokens are looked for.
    #[serde(deserialize_with = "exact")]
    pub places: Vec<TokenPlace>,
    /// Backends get the token, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forward: bool,
    /// The field in which backends get the payload, in base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_to: Option<HeaderName>,
    /// Fields in which backends get claims.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "exact")]
    pub claims_to: Vec<ClaimField>,
    /// Claims that are lists, written as one text with spaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "exact")]
    pub spaced: Vec<String>,
}

/// A field made of a claim: a text, a whole number or a truth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimField {
    /// Its name.
    pub field: HeaderName,
    /// Where the claim is in the payload.
    pub claim: Vec<String>,
}

/// Where a token is looked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TokenPlace {
    /// In a field, behind this prefix.
    Field(HeaderName, String),
    /// In a parameter of the query.
    Parameter(String),
    /// In a cookie.
    Cookie(String),
}

/// Where keys come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeySource {
    /// They are here.
    Here(KeySet),
    /// They are fetched.
    There(KeyPlace),
    /// Nobody said where: no token is good.
    Nowhere,
}

/// Where keys are fetched from, by whoever needs them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct KeyPlace {
    /// The keys; of an issuer what tells where they are (OpenID Connect Discovery 1.0 §4).
    pub url: KeyUrl,
    /// It is an issuer's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_discovery: bool,
    /// What an answer may take, in milliseconds.
    pub timeout_ms: u32,
}

impl KeyPlace {
    /// What an answer may take.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms.into())
    }
}

/// A URL of `http` or `https` with a host and nothing that is no URL's. No user is in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyUrl(String);

impl KeyUrl {
    /// Checks it.
    ///
    /// # Errors
    /// It is none.
    pub fn new(text: &str) -> Result<Self, KeysError> {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let authority = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
        let is_good = authority.is_some_and(|authority| !authority.is_empty() && !authority.contains('@'));
        let is_plain = text.len() <= LONGEST_PLACE && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_good && is_plain {
            Ok(Self(text.to_owned()))
        } else {
            Err(KeysError::Place(text.chars().take(256).collect()))
        }
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for KeyUrl {
    type Error = KeysError;
    fn try_from(text: String) -> Result<Self, KeysError> {
        Self::new(&text)
    }
}

impl From<KeyUrl> for String {
    fn from(url: KeyUrl) -> Self {
        url.0
    }
}

impl fmt::Display for KeyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A JSON Web Key Set, as it is written. That of its keys some can be used is for whoever verifies to find out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeySet(String);

#[derive(Deserialize)]
struct Written {
    keys: Vec<serde_json::Map<String, serde_json::Value>>,
}

impl KeySet {
    /// Checks that there are keys in it.
    ///
    /// # Errors
    /// It cannot be read, is too large, or has none.
    pub fn new(text: &str) -> Result<Self, KeysError> {
        if text.len() > LARGEST_KEY_SET {
            return Err(KeysError::TooLarge(text.len()));
        }
        let Written { keys } = serde_json::from_str(text).map_err(|error| KeysError::Unreadable(error.to_string()))?;
        if keys.is_empty() || keys.len() > MOST_KEYS {
            return Err(KeysError::Number(keys.len()));
        }
        Ok(Self(text.to_owned()))
    }

    /// Each key, as JSON.
    pub fn keys(&self) -> Vec<serde_json::Value> {
        let written: Result<Written, _> = serde_json::from_str(&self.0);
        written.map(|it| it.keys.into_iter().map(serde_json::Value::Object).collect()).unwrap_or_default()
    }
}

impl TryFrom<String> for KeySet {
    type Error = KeysError;
    fn try_from(text: String) -> Result<Self, KeysError> {
        Self::new(&text)
    }
}

impl From<KeySet> for String {
    fn from(keys: KeySet) -> Self {
        keys.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_keys_and_a_bound() {
        assert!(KeySet::new(r#"{"keys": [{"kty": "RSA"}]}"#).is_ok());
        for bad in ["", "[]", "{}", r#"{"keys": [1]}"#] {
            assert!(matches!(KeySet::new(bad), Err(KeysError::Unreadable(_))), "{bad}");
        }
        assert_eq!(KeySet::new(r#"{"keys": []}"#), Err(KeysError::Number(0)));
        let many = format!(r#"{{"keys": [{}]}}"#, vec!["{}"; MOST_KEYS + 1].join(","));
        assert_eq!(KeySet::new(&many), Err(KeysError::Number(MOST_KEYS + 1)));
        assert!(matches!(KeySet::new(&" ".repeat(LARGEST_KEY_SET + 1)), Err(KeysError::TooLarge(_))));
    }

    #[test]
    fn keys_are_fetched_by_http_from_a_host() {
        for good in ["https://a.com/keys", "http://a.b.svc:8080/x?y=z", "https://[fd00::1]/"] {
            assert_eq!(KeyUrl::new(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "a.com",
            "ftp://a.com/",
            "https://",
            "https:///x",
            "https://u:p@a.com/",
            "https://a.com/\n",
            "file:///etc",
        ] {
            assert!(KeyUrl::new(bad).is_err(), "{bad:?}");
        }
    }
}
