// SPDX-License-Identifier: Apache-2.0
//! Hostnames and the patterns that listeners and routes use for them.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A text that is no DNS name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a hostname (RFC 1123)")]
pub struct HostnameError(String);

/// A DNS name in lower case without a trailing dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hostname(String);

impl Hostname {
    /// Checks `name` as RFC 1123 letters, digits, hyphens and dots; lower-cases it.
    pub fn new(name: &str) -> Option<Self> {
        let label_ok = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        (name.len() <= 253 && name.split('.').all(label_ok)).then(|| Self(name.to_ascii_lowercase()))
    }

    /// The name in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Hostname {
    type Error = HostnameError;
    fn try_from(name: String) -> Result<Self, HostnameError> {
        Self::new(&name).ok_or(HostnameError(name))
    }
}

impl From<Hostname> for String {
    fn from(name: Hostname) -> Self {
        name.0
    }
}

impl fmt::Display for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a listener or a route says about hosts. `Ord`: **greater is more specific**
/// (exact > longer wildcard > shorter wildcard > any; Gateway API, `HTTPRouteSpec.hostnames`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum HostPattern {
    /// Every host.
    Any,
    /// `*.suffix`: any number of labels before the suffix, at least one.
    Wildcard(Hostname),
    /// Exactly this host.
    Exact(Hostname),
}

impl HostPattern {
    /// Reads `*.example.com`, `example.com` or, for an empty text, [`HostPattern::Any`].
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix("*.") {
            Some(suffix) => Hostname::new(suffix).map(Self::Wildcard),
            None if text.is_empty() || text == "*" => Some(Self::Any),
            None => Hostname::new(text).map(Self::Exact),
        }
    }

    /// Whether `host` (lower case, no port, no trailing dot) is covered.
    pub fn covers(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Wildcard(suffix) => under(host, suffix.as_str()),
            Self::Exact(name) => name.as_str() == host,
        }
    }

    /// The narrower of the two patterns if some host is covered by both.
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        let (narrow, wide) = if self >= other { (self, other) } else { (other, self) };
        let overlap = match (narrow, wide) {
            (_, Self::Any) => true,
            (Self::Exact(name), wide) => wide.covers(name.as_str()),
            (Self::Wildcard(name), Self::Wildcard(suffix)) => name == suffix || under(name.as_str(), suffix.as_str()),
            (Self::Wildcard(_) | Self::Any, _) => false,
        };
        overlap.then(|| narrow.clone())
    }

    fn rank(&self) -> (u8, usize, &str) {
        match self {
            Self::Any => (0, 0, ""),
            Self::Wildcard(suffix) => (1, suffix.as_str().len(), suffix.as_str()),
            Self::Exact(name) => (2, name.as_str().len(), name.as_str()),
        }
    }
}

impl Ord for HostPattern {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl PartialOrd for HostPattern {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Wildcard(suffix) => write!(f, "*.{suffix}"),
            Self::Exact(name) => write!(f, "{name}"),
        }
    }
}

/// `host` is a proper subdomain of `suffix`.
fn under(host: &str, suffix: &str) -> bool {
    host.len() > suffix.len() + 1 && host.ends_with(suffix) && host.as_bytes()[host.len() - suffix.len() - 1] == b'.'
}

/// The host of an authority: without its port. `[::1]:80` gives `[::1]`.
pub fn hostname_of(authority: &str) -> &str {
    let bare = match authority.rfind(':') {
        Some(colon) if !authority.ends_with(']') => &authority[..colon],
        _ => authority,
    };
    bare.strip_suffix('.').unwrap_or(bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> HostPattern {
        HostPattern::parse(text).unwrap()
    }

    #[test]
    fn wildcard_does_not_cover_its_apex() {
        assert!(pattern("*.example.com").covers("a.example.com"));
        assert!(pattern("*.example.com").covers("b.a.example.com"));
        assert!(!pattern("*.example.com").covers("example.com"));
        assert!(!pattern("*.example.com").covers("xexample.com"));
    }

    #[test]
    fn more_specific_is_greater() {
        let mut all = [pattern("*"), pattern("*.com"), pattern("a.b.com"), pattern("*.b.com")];
        all.sort();
        assert_eq!(all.map(|one| one.to_string()), ["*", "*.com", "*.b.com", "a.b.com"]);
    }

    #[test]
    fn intersections_keep_the_narrower() {
        let rows = [
            ("", "a.com", Some("a.com")),
            ("*.com", "a.com", Some("a.com")),
            ("*.com", "*.a.com", Some("*.a.com")),
            ("*.a.com", "a.com", None),
            ("a.com", "b.com", None),
            ("*.a.com", "*.b.com", None),
            ("", "", Some("*")),
        ];
        for (left, right, expected) in rows {
            let got = pattern(left).intersection(&pattern(right)).map(|one| one.to_string());
            assert_eq!(got.as_deref(), expected, "{left} ∩ {right}");
            assert_eq!(pattern(right).intersection(&pattern(left)).map(|one| one.to_string()), got);
        }
    }

    #[test]
    fn the_port_of_an_authority_is_not_its_host() {
        assert_eq!(hostname_of("a.com:80"), "a.com");
        assert_eq!(hostname_of("[::1]:80"), "[::1]");
        assert_eq!(hostname_of("[::1]"), "[::1]");
        assert_eq!(hostname_of("a.com."), "a.com");
    }
}
