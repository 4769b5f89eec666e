// SPDX-License-Identifier: Apache-2.0
//! One rule of a policy, as it holds on a listener of requests or of streams. Never looks at another rule.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;
use torana_ir::{AccessAction, AccessPolicy, AccessRule, Condition, HeaderName, SubjectTest, Terms, TextTest};

use super::{Facts, Label};
use crate::head::{self, Head};

/// A rule.
#[derive(Debug)]
pub(super) struct Compiled {
    label: Label,
    from: Vec<Vec<Condition>>,
    to: Vec<Vec<Condition>>,
    when: Vec<Condition>,
}

impl Compiled {
    /// The rule as it holds where there are requests, or where there are none: there, an ALLOW that asks for what only
    /// requests have takes nothing, and of the others what asks for it is left out. So less is allowed and more denied.
    pub(super) fn of(policy: &AccessPolicy, rule: &AccessRule, is_http: bool) -> Option<Self> {
        let label = format!("{}[{}]", policy.key, rule.place).into();
        if is_http {
            return Some(Self { label, from: rule.from.clone(), to: rule.to.clone(), when: rule.when.clone() });
        }
        if policy.action == AccessAction::Allow && rule.conditions().any(Condition::is_http_only) {
            return None;
        }
        let kept = |all: &[Condition]| all.iter().filter(|it| !it.is_http_only()).cloned().collect::<Vec<_>>();
        let each = |all: &[Vec<Condition>]| all.iter().map(|all| kept(all)).collect();
        Some(Self { label, from: each(&rule.from), to: each(&rule.to), when: kept(&rule.when) })
    }

    /// What it may be asked for; none: anything.
    pub(super) fn alternatives(&self) -> impl Iterator<Item = &[Condition]> {
        self.to.iter().map(Vec::as_slice)
    }

    /// Its name.
    pub(super) fn label(&self) -> Label {
        Label::clone(&self.label)
    }

    /// What of it does not hold, if it does not take this: of alternatives the first thing of the last.
    pub(super) fn misses(&self, facts: &Facts<'_>) -> Option<&'static str> {
        let first = |all: &Vec<Condition>| all.iter().find(|one| !holds(one, facts, None)).map(noun);
        let of_each = |all: &[Vec<Condition>]| {
            let missed: Option<Vec<_>> = all.iter().map(first).collect();
            missed.and_then(|missed| missed.last().copied())
        };
        first(&self.when).or_else(|| of_each(&self.to)).or_else(|| of_each(&self.from))
    }

    /// Whether it takes this, with another path if one is given.
    pub(super) fn holds(&self, facts: &Facts<'_>, path: Option<&str>) -> bool {
        self.holds_if(|one| holds(one, facts, path))
    }

    /// The same where more is taken for what is forbidden: a slash at the end of a path counts for nothing there.
    pub(super) fn denies(&self, facts: &Facts<'_>, path: Option<&str>) -> bool {
        let path = path.or(facts.head.map(Head::path)).unwrap_or_default();
        self.holds_if(|one| match one {
            Condition::Path(terms) => forbids(terms, path),
            other => holds(other, facts, Some(path)),
        })
    }

    /// What it asks for first: most requests fail there, and it costs least to look at.
    fn holds_if(&self, holds: impl Fn(&Condition) -> bool) -> bool {
        let all = |conditions: &Vec<Condition>| conditions.iter().all(&holds);
        (self.to.is_empty() || self.to.iter().any(all))
            && (self.from.is_empty() || self.from.iter().any(all))
            && all(&self.when)
    }
}

/// What a condition looks at, in words.
fn noun(condition: &Condition) -> &'static str {
    match condition {
        Condition::Peer(_) => "the other end of the connection",
        Condition::Client(_) => "the client's address",
        Condition::Local(_) => "the address that was connected to",
        Condition::Port(_) => "the port",
        Condition::Identity(_) => "the identity of the client",
        Condition::ServerName(_) => "the server name",
        Condition::Host(_) => "the host",
        Condition::Method(_) => "the method",
        Condition::Path(_) => "the path",
        Condition::Target(_) => "the path with its query",
        Condition::Field(..) => "a header",
        Condition::Subject(_) => "whose token it is",
        Condition::Claim(..) => "a claim of the token",
        Condition::Unknown(_) => "metadata of Envoy, which nobody sets",
    }
}

fn holds(condition: &Condition, facts: &Facts<'_>, path: Option<&str>) -> bool {
    let head = facts.head;
    match condition {
        Condition::Peer(terms) => within(terms, facts.peer),
        Condition::Client(terms) => within(terms, facts.client),
        Condition::Local(terms) => within(terms, facts.local.ip()),
        Condition::Port(terms) => met(terms, |port| *port == facts.local.port()),
        Condition::Identity(terms) => met(terms, |test| facts.names.iter().any(|name| test.holds(name.as_bytes()))),
        Condition::ServerName(terms) => text(terms, facts.server_name.unwrap_or_default().as_bytes()),
        Condition::Host(terms) => text(terms, head.map(Head::authority).unwrap_or_default().as_bytes()),
        Condition::Method(terms) => text(terms, head.map(Head::method).unwrap_or_default().as_bytes()),
        Condition::Path(terms) => text(terms, path.or(head.map(Head::path)).unwrap_or_default().as_bytes()),
        Condition::Target(terms) => text(terms, head.map(Head::target).unwrap_or_default().as_bytes()),
        Condition::Field(name, terms) => field(terms, head, name),
        Condition::Subject(terms) => met(terms, |test| is_of(test, facts.claims)),
        Condition::Claim(at, terms) => {
            let claim = facts.claims.and_then(|payload| head::claim(payload, at));
            met(terms, |test| head::says(claim, |text| test.holds(text.as_bytes())))
        }
        Condition::Unknown(terms) => met(terms, |_| false),
    }
}

fn met<T>(terms: &Terms<T>, mut holds: impl FnMut(&T) -> bool) -> bool {
    (terms.any.is_empty() || terms.any.iter().any(&mut holds)) && !terms.none.iter().any(holds)
}

fn within(terms: &Terms<IpNet>, address: IpAddr) -> bool {
    met(terms, |network| network.contains(&address))
}

fn text(terms: &Terms<TextTest>, text: &[u8]) -> bool {
    met(terms, |test| test.holds(text))
}

fn forbids(terms: &Terms<TextTest>, path: &str) -> bool {
    let bare = path.strip_suffix('/').filter(|bare| !bare.is_empty()).unwrap_or(path);
    let is_meant = |test: &TextTest| test.holds(path.as_bytes()) || test.holds(bare.as_bytes());
    (terms.any.is_empty() || terms.any.iter().any(is_meant))
        && !terms.none.iter().any(|test| test.holds(path.as_bytes()))
}

/// A field that is not there is nothing; one that is there is present, though it be empty.
fn field(terms: &Terms<TextTest>, head: Option<&Head>, name: &HeaderName) -> bool {
    let value = head.and_then(|head| head.fields.joined(name.as_str()));
    met(terms, |test| value.as_ref().is_some_and(|value| *test == TextTest::Present || test.holds(value.as_bytes())))
}

fn is_of(test: &SubjectTest, claims: Option<&Value>) -> bool {
    let claim = |name: &str| claims.and_then(|claims| claims.get(name)).and_then(Value::as_str);
    claim("iss").is_some_and(|issuer| test.issuer.holds(issuer.as_bytes()))
        && claim("sub").is_some_and(|subject| test.subject.holds(subject.as_bytes()))
}
