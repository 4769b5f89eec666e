// SPDX-License-Identifier: Apache-2.0
//! The decision record of `torana explain`: who won, who lost, and by what.
//!
//! The search itself is [`Router::find`]; candidates that its indexes skipped are judged here by the same predicates.

use serde::Serialize;
use torana_ir::{HostPattern, LinePart, PathMatch, RuleKey, TextMatch};

use super::candidate::{Candidate, Fit, Mismatch, Routable};
use super::order::DecidingKey;
use super::query;
use super::router::{Found, Recorder, Router};
use crate::head::{self, Head};

/// What one router decided about one request.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Decision {
    /// The match that takes the request.
    pub winner: Option<Winner>,
    /// All other matches of the listener: those that came closest first.
    pub losers: Vec<Loser>,
}

/// A decision with what it leads to.
#[derive(Debug)]
pub struct Explained<'r, T> {
    /// What [`Router::find`] gives.
    pub found: Option<Found<'r, T>>,
    /// Why.
    pub decision: Decision,
}

/// The match that takes the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Winner {
    /// Its rule.
    pub rule: RuleKey,
    /// Its place in the rule's matches.
    pub index: usize,
    /// The route's hostname that covered the request.
    pub hostname: String,
    /// Its path match in words: `exact /a`, `prefix /a`, `regex /a.*`.
    pub path: String,
}

/// A match that does not take the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Loser {
    /// Its rule.
    pub rule: RuleKey,
    /// Its place in the rule's matches.
    pub index: usize,
    /// The hostname that it is served under.
    pub hostname: String,
    /// Its path match in words.
    pub path: String,
    /// By what it lost.
    pub why: Loss,
}

/// Why a match lost. Ordered by how close it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "by")]
pub enum Loss {
    /// It fits, and another one goes before it.
    Shadowed {
        /// The winner's rule.
        winner: RuleKey,
        /// In what the winner is ahead.
        key: DecidingKey,
    },
    /// A query parameter is absent or has another value.
    Query {
        /// Name of the parameter.
        name: String,
        /// What is asked for.
        wants: String,
        /// What came.
        got: Option<String>,
    },
    /// A header is absent or has another value.
    Header {
        /// Name of the header.
        name: String,
        /// What is asked for.
        wants: String,
        /// What came.
        got: Option<String>,
    },
    /// Another method.
    Method {
        /// What is asked for.
        wants: String,
    },
    /// Another path.
    Path,
    /// Another host.
    Host,
}

impl Loss {
    fn distance(&self) -> u8 {
        match self {
            Self::Shadowed { .. } => 0,
            Self::Query { .. } => 1,
            Self::Header { .. } => 2,
            Self::Method { .. } => 3,
            Self::Path => 4,
            Self::Host => 5,
        }
    }
}

impl<T: Routable> Router<T> {
    /// Decides as [`Router::find`] does and says why.
    pub fn explain<'r>(&'r self, head: &Head) -> Explained<'r, T> {
        let mut trail = Trail::default();
        let found = self.find(head.host(), head, &mut trail);
        let winner = found.as_ref().map(|found| Winner {
            rule: found.candidate.target().rule().key.clone(),
            index: found.candidate.index(),
            hostname: found.host.to_string(),
            path: path_text(&found.candidate.spec().path),
        });
        let mut losers = Vec::new();
        let (host, mut own) = (head.host(), None);
        if found.as_ref().is_none_or(|found| found.candidate.precedence().written.is_some()) {
            own = self.written_host(host);
        }
        for tier in self.tiers() {
            // Of virtual hosts one is asked, whatever it says.
            let is_asked = !tier.is_written() || own.is_none_or(|own| *own == tier.host);
            for candidate in tier.candidates() {
                let itself =
                    found.as_ref().is_some_and(|it| std::ptr::eq(it.candidate, candidate) && *it.host == tier.host);
                if !itself {
                    let why =
                        if is_asked { loss(candidate, &tier.host, head, found.as_ref(), &trail) } else { Loss::Host };
                    losers.push(lost(candidate, &tier.host, why));
                }
            }
        }
        losers.sort_by(|a, b| {
            let key = |loser: &Loser| (loser.why.distance(), loser.rule.clone(), loser.index);
            key(a).cmp(&key(b)).then_with(|| a.hostname.cmp(&b.hostname))
        });
        Explained { found, decision: Decision { winner, losers } }
    }
}

/// What the search saw.
#[derive(Default)]
struct Trail {
    seen: Vec<Seen>,
}

/// One candidate, told apart by where it lies.
struct Seen {
    address: usize,
    verdict: Fit,
}

impl Trail {
    fn verdict<T>(&self, candidate: &Candidate<T>) -> Option<Fit> {
        let address = std::ptr::from_ref(candidate) as usize;
        self.seen.iter().find(|seen| seen.address == address).map(|seen| seen.verdict)
    }
}

impl<T> Recorder<T> for Trail {
    fn judged(&mut self, _: &HostPattern, candidate: &Candidate<T>, verdict: Fit) {
        self.seen.push(Seen { address: std::ptr::from_ref(candidate) as usize, verdict });
    }
}

fn loss<T: Routable>(
    candidate: &Candidate<T>,
    host: &HostPattern,
    head: &Head,
    winner: Option<&Found<'_, T>>,
    trail: &Trail,
) -> Loss {
    if !host.covers(head.host()) {
        return Loss::Host;
    }
    let skipped = || if candidate.fits_path(head.path()) { candidate.judge(head) } else { Err(Mismatch::Path) };
    let verdict = trail.verdict(candidate).unwrap_or_else(skipped);
    match (verdict, winner) {
        (Err(mismatch), _) => named(mismatch, candidate, head),
        (Ok(()), Some(winner)) => Loss::Shadowed {
            winner: winner.candidate.target().rule().key.clone(),
            key: if winner.host == host || winner.candidate.is_written() != candidate.is_written() {
                winner.candidate.precedence().deciding(&candidate.precedence())
            } else {
                DecidingKey::Hostname
            },
        },
        // A candidate that fits is found, so there is a winner whenever one fits.
        (Ok(()), None) => Loss::Path,
    }
}

fn named<T: Routable>(mismatch: Mismatch, candidate: &Candidate<T>, head: &Head) -> Loss {
    let spec = candidate.spec();
    match mismatch {
        Mismatch::Path => Loss::Path,
        Mismatch::Line(at) => {
            let part = &spec.line[at];
            let (name, got) = match part.part {
                LinePart::Method => (":method", head.method()),
                LinePart::Scheme => (":scheme", head.scheme.as_str()),
                LinePart::Authority => (":authority", head.authority()),
                LinePart::Path => (":path", head.target()),
            };
            let (name, got) = (name.to_owned(), Some(got.to_owned()));
            Loss::Header { name, wants: wanted(&part.value, part.inverted), got }
        }
        Mismatch::Claim(at) => {
            let claim = &spec.claims[at];
            let found = head.claims().and_then(|payload| head::claim(payload, &claim.name));
            let name = format!("@request.auth.claims[{}]", claim.name.join("]["));
            Loss::Header { name, wants: wanted(&claim.value, claim.inverted), got: found.map(ToString::to_string) }
        }
        Mismatch::Method => Loss::Method { wants: spec.method.as_ref().map(ToString::to_string).unwrap_or_default() },
        Mismatch::Header(at) => {
            let field = &spec.headers[at];
            let got = match field.name.as_str() {
                "host" => Some(head.authority().to_owned()),
                name => head.fields.joined(name).map(std::borrow::Cow::into_owned),
            };
            Loss::Header { name: field.name.to_string(), wants: wanted(&field.value, field.inverted), got }
        }
        Mismatch::Query(at) => {
            let field = &spec.query[at];
            let value = query::first(head.query().unwrap_or_default(), &field.name);
            let got = value.map(|value| query::text(value).into_owned());
            Loss::Query { name: field.name.clone(), wants: wanted(&field.value, field.inverted), got }
        }
    }
}

fn lost<T: Routable>(candidate: &Candidate<T>, host: &HostPattern, why: Loss) -> Loser {
    Loser {
        rule: candidate.target().rule().key.clone(),
        index: candidate.index(),
        hostname: host.to_string(),
        path: path_text(&candidate.spec().path),
        why,
    }
}

fn path_text(path: &PathMatch) -> String {
    match path {
        PathMatch::Exact(path) => format!("exact {path}"),
        PathMatch::Prefix(prefix) if prefix.is_empty() => "prefix /".to_owned(),
        PathMatch::Prefix(prefix) => format!("prefix {prefix}"),
        PathMatch::Regex(regex) => format!("regex {}", regex.as_str()),
        PathMatch::Text { text, any_case: false } => format!("text {text}"),
        PathMatch::Text { text, any_case: true } => format!("text {text} in any case"),
        PathMatch::ExactAnyCase(path) => format!("exact {path} in any case"),
    }
}

fn wanted(value: &TextMatch, inverted: bool) -> String {
    let text = match value {
        TextMatch::Exact(exact) => exact.clone(),
        TextMatch::Prefix(prefix) => format!("prefix {prefix}"),
        TextMatch::Present => "any value".to_owned(),
        TextMatch::Regex(regex) => format!("regex {}", regex.as_str()),
    };
    if inverted { format!("not {text}") } else { text }
}
