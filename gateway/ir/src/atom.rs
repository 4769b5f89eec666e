// SPDX-License-Identifier: Apache-2.0
//! The smallest checked texts of HTTP: field names, field values, methods.

use serde::{Deserialize, Serialize};

/// Why a text is not the atom it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AtomError {
    /// Not a token of RFC 9110 §5.6.2, or longer than 256 bytes.
    #[error("{0:?} is not a header name: use letters, digits and !#$%&'*+-.^_`|~ (RFC 9110 §5.1)")]
    HeaderName(String),
    /// A control character, or a leading or trailing blank.
    #[error("{0:?} is not a header value: no control characters, no blanks at either end (RFC 9110 §5.5)")]
    HeaderValue(String),
    /// Not a token.
    #[error("{0:?} is not a method (RFC 9110 §9.1)")]
    Method(String),
    /// Not a token, or longer than 256 bytes.
    #[error("{0:?} is not the name of a cookie: use letters, digits and !#$%&'*+-.^_`|~ (RFC 6265 §4.1.1)")]
    CookieName(String),
    /// Not absolute, not of visible ASCII, or with a semicolon.
    #[error("{0:?} is not the path of a cookie: begin it with / and use no blanks and no ; (RFC 6265 §4.1.1)")]
    CookiePath(String),
}

/// `tchar` of RFC 9110 §5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Whether there is no control character but tabs: what may stand inside a field value (RFC 9110 §5.5).
pub fn is_field_text(text: &[u8]) -> bool {
    text.iter().all(|byte| *byte == b'\t' || (*byte >= 0x20 && *byte != 0x7f))
}

/// A header field name in lower case (names compare case-insensitively, RFC 9110 §5.1).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HeaderName(String);

impl HeaderName {
    /// Checks and lower-cases `name`.
    pub fn new(name: &str) -> Result<Self, AtomError> {
        if name.is_empty() || name.len() > 256 || !name.bytes().all(is_token) {
            return Err(AtomError::HeaderName(name.to_owned()));
        }
        Ok(Self(name.to_ascii_lowercase()))
    }

    /// The name in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A header field value: visible characters, blanks inside, obs-text (RFC 9110 §5.5).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HeaderValue(String);

impl HeaderValue {
    /// Checks `value`.
    pub fn new(value: &str) -> Result<Self, AtomError> {
        let blank = |byte: Option<&u8>| byte.is_some_and(|byte| matches!(byte, b' ' | b'\t'));
        let bytes = value.as_bytes();
        if !is_field_text(bytes) || blank(bytes.first()) || blank(bytes.last()) {
            return Err(AtomError::HeaderValue(value.to_owned()));
        }
        Ok(Self(value.to_owned()))
    }

    /// The value as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A request method, case-sensitive (RFC 9110 §9.1).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Method(String);

impl Method {
    /// Checks `method`.
    pub fn new(method: &str) -> Result<Self, AtomError> {
        if method.is_empty() || method.len() > 32 || !method.bytes().all(is_token) {
            return Err(AtomError::Method(method.to_owned()));
        }
        Ok(Self(method.to_owned()))
    }

    /// The method as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What every checked text is: shown as written, and made of a `String` by its `new` alone.
macro_rules! text {
    ($($type:ident),+) => {$(
        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Debug::fmt(&self.0, f)
            }
        }
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl TryFrom<String> for $type {
            type Error = $crate::AtomError;
            fn try_from(text: String) -> Result<Self, $crate::AtomError> {
                Self::new(&text)
            }
        }
        impl From<$type> for String {
            fn from(atom: $type) -> Self {
                atom.0
            }
        }
    )+};
}
text!(HeaderName, HeaderValue, Method);

pub(crate) use text;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_names_are_tokens_in_lower_case() {
        assert_eq!(HeaderName::new("X-Request-ID").unwrap().as_str(), "x-request-id");
        for bad in ["", "a b", "a:b", "a\r\nb", "ä", "(x)"] {
            assert!(HeaderName::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn header_values_cannot_split_a_message() {
        assert!(HeaderValue::new("a, b; c=\"d\"").is_ok());
        assert!(HeaderValue::new("").is_ok());
        for bad in ["a\r\nb: c", "a\0", " a", "a ", "a\u{7f}"] {
            assert!(HeaderValue::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn methods_keep_their_case() {
        assert_eq!(Method::new("get").unwrap().as_str(), "get");
        assert!(Method::new("GE T").is_err());
    }
}
