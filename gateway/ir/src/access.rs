// SPDX-License-Identifier: Apache-2.0
//! Who may do what: policies that listeners are guarded by, as Istio's AuthorizationPolicy has them. What is written there
//! in shorthand (short names, wildcards, aliases of trust domains) is spelled out here.
//!
//! Never says in which order policies count: that is the evaluator's.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::atom::HeaderName;
use crate::exact::exact;
use crate::key::{PolicyKey, ProviderKey};
use crate::pattern::Regex;

/// One policy. A listener names those that guard it; one that it names and that is not there lets nobody through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessPolicy {
    /// Who it is.
    pub key: PolicyKey,
    /// What becomes of what one of its rules takes.
    pub action: AccessAction,
    /// It only tells what it would do.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// Alternatives. None: it takes nothing.
    #[serde(deserialize_with = "exact")]
    pub rules: Vec<AccessRule>,
}

impl AccessPolicy {
    /// Who is asked, if somebody is.
    pub fn provider(&self) -> Option<&ProviderKey> {
        match &self.action {
            AccessAction::Ask(provider) => Some(provider),
            AccessAction::Audit | AccessAction::Deny | AccessAction::Allow => None,
        }
    }
}

/// `AuthorizationPolicy.Action`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccessAction {
    /// Somebody else is asked, before all others (`CUSTOM`). Where that is not known, it ends.
    Ask(ProviderKey),
    /// It is told of, and goes on.
    Audit,
    /// It ends here.
    Deny,
    /// It may go on. Where there is one such policy, whatever none of them takes ends here.
    Allow,
}

/// One entry of `rules`: one of `from`, one of `to` and all of `when` must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AccessRule {
    /// Its place in the user's list, from 0.
    pub place: u16,
    /// Alternatives, each with what must hold in it; empty: it may come from anywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "exact")]
    pub from: Vec<Vec<Condition>>,
    /// Alternatives, each with what must hold in it; empty: it may ask for anything.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "exact")]
    pub to: Vec<Vec<Condition>>,
    /// What must hold besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "exact")]
    pub when: Vec<Condition>,
}

impl AccessRule {
    /// Everything that is looked at.
    pub fn conditions(&self) -> impl Iterator<Item = &Condition> {
        self.from.iter().chain(&self.to).flatten().chain(&self.when)
    }
}

/// What is looked at, and what it must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// The other end of the connection.
    Peer(Terms<IpNet>),
    /// The client: the peer, or whom proxies before this one name that are believed.
    Client(Terms<IpNet>),
    /// The address that was connected to.
    Local(Terms<IpNet>),
    /// The port that was connected to.
    Port(Terms<u16>),
    /// Any name in the client's certificate, if that was verified: URIs (`spiffe://…`), DNS names, its subject.
    Identity(Terms<TextTest>),
    /// The server name of the TLS handshake, lower case; empty if there is none.
    ServerName(Terms<TextTest>),
    /// `host[:port]` as it is asked for; the terms are in lower case.
    Host(Terms<TextTest>),
    /// The method.
    Method(Terms<TextTest>),
    /// The canonical path.
    Path(Terms<TextTest>),
    /// The same with its query.
    Target(Terms<TextTest>),
    /// Fields of this name, joined by commas. Presence is enough for [`TextTest::Present`].
    Field(HeaderName, Terms<TextTest>),
    /// `iss` and `sub` of the token that was verified.
    Subject(Terms<SubjectTest>),
    /// A text in the payload of that token, or one of a list of texts there, at this path.
    Claim(Vec<String>, Terms<TextTest>),
    /// What nobody here ever says (metadata of filters of Envoy).
    Unknown(Terms<TextTest>),
}

impl Condition {
    /// Whether there is such a thing in requests only.
    pub fn is_http_only(&self) -> bool {
        match self {
            Self::Peer(_)
            | Self::Client(_)
            | Self::Local(_)
            | Self::Port(_)
            | Self::Identity(_)
            | Self::ServerName(_)
            | Self::Unknown(_) => false,
            Self::Host(_)
            | Self::Method(_)
            | Self::Path(_)
            | Self::Target(_)
            | Self::Field(..)
            | Self::Subject(_)
            | Self::Claim(..) => true,
        }
    }
}

/// Values that are wanted and values that are not. What is not there is none of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
pub struct Terms<T> {
    /// One of these; empty: whatever it is.
    #[serde(default = "Vec::new", skip_serializing_if = "Vec::is_empty", deserialize_with = "exact")]
    pub any: Vec<T>,
    /// None of these.
    #[serde(default = "Vec::new", skip_serializing_if = "Vec::is_empty", deserialize_with = "exact")]
    pub none: Vec<T>,
}

/// What a text must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TextTest {
    /// Anything but nothing.
    Present,
    /// This.
    Exact(String),
    /// It begins so.
    Prefix(String),
    /// It ends so.
    Suffix(String),
    /// All of it is like that.
    Regex(Regex),
}

impl TextTest {
    /// Whether `text` is that. What is no UTF-8 is like no expression.
    pub fn holds(&self, text: &[u8]) -> bool {
        match self {
            Self::Present => !text.is_empty(),
            Self::Exact(exact) => text == exact.as_bytes(),
            Self::Prefix(prefix) => text.starts_with(prefix.as_bytes()),
            Self::Suffix(suffix) => text.ends_with(suffix.as_bytes()),
            Self::Regex(regex) => std::str::from_utf8(text).is_ok_and(|text| regex.is_match(text)),
        }
    }
}

/// Whose token it must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubjectTest {
    /// `iss`.
    pub issuer: TextTest,
    /// `sub`.
    pub subject: TextTest,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_what_it_must_be() {
        let regex = || TextTest::Regex(Regex::new("a.+").unwrap());
        for (test, text, expected) in [
            (TextTest::Present, "a", true),
            (TextTest::Present, "", false),
            (TextTest::Exact("ab".into()), "ab", true),
            (TextTest::Exact("ab".into()), "abc", false),
            (TextTest::Prefix("ab".into()), "abc", true),
            (TextTest::Prefix("ab".into()), "a", false),
            (TextTest::Suffix("bc".into()), "abc", true),
            (TextTest::Suffix("bc".into()), "bcd", false),
            (regex(), "abc", true),
            (regex(), "xabc", false),
        ] {
            assert_eq!(test.holds(text.as_bytes()), expected, "{test:?} {text}");
        }
        assert!(!regex().holds(b"a\xff"), "what is no text is like nothing");
    }

    #[test]
    fn it_travels_as_it_is() {
        let network = |text: &str| text.parse().unwrap();
        let policy = AccessPolicy {
            key: PolicyKey { namespace: "a".into(), name: "p".into() },
            action: AccessAction::Deny,
            dry_run: false,
            rules: vec![AccessRule {
                place: 3,
                from: vec![vec![Condition::Client(Terms { any: vec![network("10.0.0.0/8")], none: vec![] })]],
                to: vec![vec![Condition::Path(Terms { any: vec![], none: vec![TextTest::Prefix("/a".into())] })]],
                when: vec![Condition::Claim(vec!["a".into()], Terms { any: vec![TextTest::Present], none: vec![] })],
            }],
        };
        let text = serde_json::to_string(&policy).unwrap();
        assert_eq!(serde_json::from_str::<AccessPolicy>(&text).unwrap(), policy);
        assert!(!text.contains("dry_run"), "{text}");
        let damaged = text.replace("10.0.0.0/8", "10.0.0.0/64");
        assert!(serde_json::from_str::<AccessPolicy>(&damaged).is_err());
    }
}
