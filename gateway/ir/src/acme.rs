// SPDX-License-Identifier: Apache-2.0
//! What an authority of ACME (RFC 8555) is told that asks whether a host is ours. Any proxy of a fleet may be asked, so all
//! of them know every answer. None of it is secret: whoever asks gets it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::host::Hostname;
use crate::key::AcmeHostKey;

/// Questions about one host that are answered at a time.
pub const MOST_ANSWERS: usize = 16;
/// Bytes of a token.
const LONGEST_TOKEN: usize = 512;
/// Bytes of a key authorization.
const LONGEST_AUTHORIZATION: usize = 1024;

/// Why a host's questions cannot be answered like that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AcmeHostError {
    /// A wildcard, upper case, or no hostname at all.
    #[error("{0:?} is not a hostname in lower case (RFC 1123)")]
    Host(String),
    /// Empty, longer than 512 bytes, or with other characters than those of base64url.
    #[error("{0:?} is not a token: use letters, digits, - and _ (RFC 8555 §8.3)")]
    Token(String),
    /// It does not begin with the token and a dot, is longer than 1,024 bytes, or is no plain ASCII.
    #[error("{0:?} is not the key authorization of its token (RFC 8555 §8.1)")]
    Authorization(String),
    /// More than [`MOST_ANSWERS`].
    #[error("{0} questions about one host: at most {MOST_ANSWERS} are answered")]
    TooMany(usize),
}

/// A host whose certificate Torana obtains by ACME, as its proxies see it. It exists for as long as the path of HTTP-01 is
/// reserved for it, or there is something to answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
#[non_exhaustive]
pub struct AcmeHost {
    /// Which host, of which Gateway.
    pub key: AcmeHostKey,
    /// Key authorizations by their tokens (HTTP-01, RFC 8555 §8.3).
    pub answers: BTreeMap<String, String>,
    /// The key authorization that a TLS handshake proves (TLS-ALPN-01, RFC 8737).
    pub tls_alpn: Option<String>,
    /// What is beneath `/.well-known/acme-challenge/` is never routed: an unknown token gets 404.
    pub reserves_path: bool,
}

impl AcmeHost {
    /// Checks all of it.
    ///
    /// # Errors
    /// The first thing that cannot be answered with.
    pub fn new(
        key: AcmeHostKey,
        answers: BTreeMap<String, String>,
        tls_alpn: Option<String>,
        reserves_path: bool,
    ) -> Result<Self, AcmeHostError> {
        if Hostname::new(&key.host).is_none_or(|host| host.as_str() != key.host) {
            return Err(AcmeHostError::Host(key.host));
        }
        if answers.len() > MOST_ANSWERS {
            return Err(AcmeHostError::TooMany(answers.len()));
        }
        for (token, authorization) in &answers {
            if !is_token(token) {
                return Err(AcmeHostError::Token(token.clone()));
            }
            if token_of(authorization) != Some(token) {
                return Err(AcmeHostError::Authorization(authorization.clone()));
            }
        }
        match tls_alpn {
            Some(authorization) if token_of(&authorization).is_none() => {
                Err(AcmeHostError::Authorization(authorization))
            }
            tls_alpn => Ok(Self { key, answers, tls_alpn, reserves_path }),
        }
    }
}

fn is_token(text: &str) -> bool {
    let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=LONGEST_TOKEN).contains(&text.len()) && text.bytes().all(is_base64url)
}

/// What a key authorization begins with, if it is one (RFC 8555 §8.1).
fn token_of(authorization: &str) -> Option<&str> {
    let is_plain = authorization.bytes().all(|byte| matches!(byte, 0x20..=0x7e));
    let (token, _) = authorization.split_once('.').filter(|_| is_plain)?;
    (authorization.len() <= LONGEST_AUTHORIZATION && is_token(token)).then_some(token)
}

/// As it arrives over the wire.
#[derive(Deserialize)]
struct Unchecked {
    key: AcmeHostKey,
    answers: BTreeMap<String, String>,
    tls_alpn: Option<String>,
    reserves_path: bool,
}

impl TryFrom<Unchecked> for AcmeHost {
    type Error = AcmeHostError;

    fn try_from(unchecked: Unchecked) -> Result<Self, AcmeHostError> {
        let Unchecked { key, answers, tls_alpn, reserves_path } = unchecked;
        Self::new(key, answers, tls_alpn, reserves_path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::GatewayId;

    fn key(host: &str) -> AcmeHostKey {
        AcmeHostKey { gateway: GatewayId { namespace: "n".into(), name: "g".into() }, host: host.into() }
    }

    fn with(token: &str, authorization: &str) -> Result<AcmeHost, AcmeHostError> {
        AcmeHost::new(key("a.example"), [(token.to_owned(), authorization.to_owned())].into(), None, true)
    }

    #[test]
    fn a_host_is_exact_and_in_lower_case() {
        for (host, is_good) in [
            ("a.example", true),
            ("", false),
            ("*.example", false),
            ("A.example", false),
            ("a.example.", false),
            ("a.example:80", false),
            ("a/b", false),
        ] {
            assert_eq!(AcmeHost::new(key(host), BTreeMap::new(), None, true).is_ok(), is_good, "{host:?}");
        }
    }

    #[test]
    fn a_token_is_base64url_and_its_authorization_begins_with_it() {
        let long = "t".repeat(LONGEST_TOKEN);
        assert!(with("aB-_9", "aB-_9.thumb").is_ok());
        assert!(with(&long, &format!("{long}.x")).is_ok());
        let longer = format!("{long}t");
        for token in ["", "a/b", "a.b", "a b", "a%41", "ä", "a\n", "..", longer.as_str()] {
            assert_eq!(with(token, &format!("{token}.x")), Err(AcmeHostError::Token(token.to_owned())), "{token:?}");
        }
        let endless = format!("a.{}", "x".repeat(LONGEST_AUTHORIZATION));
        for authorization in ["", "a", "b.x", "ab.x", ".x", "a.x\r\ny", "a.\u{7f}", "a.ä", endless.as_str()] {
            assert!(matches!(with("a", authorization), Err(AcmeHostError::Authorization(_))), "{authorization:?}");
        }
    }

    #[test]
    fn what_a_handshake_proves_is_checked_as_well() {
        let proving = |text: &str| AcmeHost::new(key("a.example"), BTreeMap::new(), Some(text.to_owned()), false);
        assert!(proving("t.x").is_ok());
        for bad in ["", "t", ".x", "a b.x", "t.\0"] {
            assert_eq!(proving(bad), Err(AcmeHostError::Authorization(bad.to_owned())), "{bad:?}");
        }
    }

    #[test]
    fn the_questions_about_a_host_are_bounded() {
        let answers = |count: usize| (0..count).map(|at| (format!("t{at}"), format!("t{at}.x"))).collect();
        assert!(AcmeHost::new(key("a.example"), answers(MOST_ANSWERS), None, true).is_ok());
        let more = AcmeHost::new(key("a.example"), answers(MOST_ANSWERS + 1), None, true);
        assert_eq!(more, Err(AcmeHostError::TooMany(MOST_ANSWERS + 1)));
    }

    #[test]
    fn a_host_travels_as_json_and_is_checked_where_it_arrives() {
        let host = with("t", "t.x").unwrap();
        let mut json = serde_json::to_value(&host).unwrap();
        assert_eq!(serde_json::from_value::<AcmeHost>(json.clone()).unwrap(), host);
        json["answers"]["t"] = "other.x".into();
        assert!(serde_json::from_value::<AcmeHost>(json).is_err());
    }
}
