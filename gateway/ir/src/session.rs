// SPDX-License-Identifier: Apache-2.0
//! Session persistence: how a client is known again, so that it comes to the endpoint that it came to before.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::atom::{AtomError, HeaderName, text};

/// `SessionPersistence` of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// What the client brings along.
    pub carrier: SessionCarrier,
    /// A session is over so long after it began; `None`: when its endpoint goes.
    pub lifetime: Option<Duration>,
    /// What it brings is sealed with this: it says nothing to others, and is understood by every proxy of the fleet.
    pub key: SessionKey,
}

/// What carries a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SessionCarrier {
    /// A cookie.
    Cookie {
        /// Its name.
        name: CookieName,
        /// Its `Path`.
        path: CookiePath,
        /// Kept for [`Session::lifetime`], which is set; else until the browser ends.
        permanent: bool,
    },
    /// A header of the response, which the client sends again.
    Header(HeaderName),
}

/// The name of a cookie: a token (RFC 6265 §4.1.1).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CookieName(String);

/// The `Path` of a cookie: absolute, of visible ASCII without `;` (RFC 6265 §4.1.1 and §5.2.4).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CookiePath(String);

impl CookieName {
    /// Checks `name`.
    pub fn new(name: &str) -> Result<Self, AtomError> {
        // A header's name is a token too, and as short.
        HeaderName::new(name).map(|_| Self(name.to_owned())).map_err(|_| AtomError::CookieName(name.to_owned()))
    }

    /// The name as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl CookiePath {
    /// Checks `path`.
    pub fn new(path: &str) -> Result<Self, AtomError> {
        let plain = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b';');
        if !plain || !path.starts_with('/') || path.len() > 1024 {
            return Err(AtomError::CookiePath(path.to_owned()));
        }
        Ok(Self(path.to_owned()))
    }

    /// The path as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

text!(CookieName, CookiePath);

/// What sessions are sealed with. `Debug` does not print it. `Serialize` does, for proxies need it and whoever sees a
/// whole program sees the addresses that it hides; what can be done with it is to choose one's own endpoint.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionKey([u8; 32]);

impl SessionKey {
    /// A key of random bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, for the cipher only.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_cannot_split_its_header() {
        assert_eq!(CookieName::new("JSESSIONID").unwrap().as_str(), "JSESSIONID");
        for bad in ["", "a b", "a=b", "a;b", "a\r\nb", "ä"] {
            assert!(CookieName::new(bad).is_err(), "{bad:?}");
        }
        assert_eq!(CookiePath::new("/a/b").unwrap().as_str(), "/a/b");
        for bad in ["", "a", "/a;b", "/a b", "/\r\n", "/ä"] {
            assert!(CookiePath::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_key_travels_and_is_not_logged() {
        let key = SessionKey::new([7; 32]);
        let text = serde_json::to_string(&key).unwrap();
        assert_eq!(serde_json::from_str::<SessionKey>(&text).unwrap(), key);
        assert!(!format!("{key:?}").contains('7'));
    }
}
