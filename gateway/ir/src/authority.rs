// SPDX-License-Identifier: Apache-2.0
//! A host with or without a port, as a rule puts it in place of a request's own.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::host::Hostname;

/// Not an authority.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a host: write a name or an address, with or without a port")]
pub struct AuthorityError(String);

/// `host`, `host:port`, `192.0.2.1`, `[2001:db8::1]:443` (RFC 3986 §3.2.2), in lower case.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Authority(String);

impl Authority {
    /// Checks and lower-cases `text`.
    pub fn new(text: &str) -> Result<Self, AuthorityError> {
        let refusal = || AuthorityError(text.chars().take(256).collect());
        let (host, port) = match text.rfind(':') {
            Some(colon) if !text.ends_with(']') => text.split_at(colon),
            _ => (text, ""),
        };
        let port_fits = match port.strip_prefix(':') {
            None => true,
            Some(digits) => {
                digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u16>().is_ok_and(|it| it > 0)
            }
        };
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host_fits = match address {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => Hostname::new(host).is_some(),
        };
        if host_fits && port_fits { Ok(Self(text.to_ascii_lowercase())) } else { Err(refusal()) }
    }

    /// As it is sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its port, if it has one.
    pub fn port(&self) -> Option<u16> {
        let (_, port) = self.0.rsplit_once(':').filter(|_| !self.0.ends_with(']'))?;
        port.parse().ok()
    }
}

impl From<Hostname> for Authority {
    fn from(name: Hostname) -> Self {
        Self(name.into())
    }
}

impl TryFrom<String> for Authority {
    type Error = AuthorityError;

    fn try_from(text: String) -> Result<Self, AuthorityError> {
        Self::new(&text)
    }
}

impl From<Authority> for String {
    fn from(authority: Authority) -> Self {
        authority.0
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_may_have_a_port() {
        for (good, port) in [
            ("A.example", None),
            ("a.example:8080", Some(8080)),
            ("192.0.2.1", None),
            ("[2001:DB8::1]:443", Some(443)),
            ("[::1]", None),
        ] {
            let authority = Authority::new(good).unwrap();
            assert_eq!((authority.as_str(), authority.port()), (good.to_ascii_lowercase().as_str(), port));
        }
        for bad in ["", "a b", "a:0", "a:", "a:70000", "a:+1", "::1", "[a]", "a/b", "u@a", "a\r\nb", "*.a"] {
            assert!(Authority::new(bad).is_err(), "{bad}");
        }
    }
}
