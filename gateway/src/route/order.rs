// SPDX-License-Identifier: Apache-2.0
//! Precedence as `Ord`: of several matches that a request fits, the **least** wins. That of Gateway API, and behind all of
//! its rules that of rules which keep the order in which they were written (Istio).
//!
//! `HTTPRouteRule.matches`: exact path, then regular expression (longer source first; the spec leaves its place open),
//! then the longest prefix; then method, most headers, most query parameters; then across routes the oldest, then
//! `{namespace}/{name}`; then the order in the route. The hostname comes before all of this (see `Router`).

use std::cmp::{Ordering, Reverse};

use serde::Serialize;
use torana_ir::{Order, PathMatch, RouteId, RouteKind, RouteMatch, Rule};

/// Rank of one match of one rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Precedence<'r> {
    /// Of rules that keep their order, by what. They go behind all others, and what
    /// their matches ask for says nothing.
    pub written: Option<Written>,
    /// Kind and length of the path match.
    pub path: PathRank,
    /// A match with a method goes before one without.
    pub method: Reverse<bool>,
    /// Most headers first.
    pub headers: Reverse<usize>,
    /// Most query parameters first.
    pub query: Reverse<usize>,
    /// Oldest route first.
    pub created: i64,
    /// Alphabetical.
    pub name: FullName<'r>,
    /// An HTTPRoute and a GRPCRoute may share a name.
    pub kind: RouteKind,
    /// Order of rules in the route.
    pub rule: u16,
    /// Order of matches in the rule.
    pub index: usize,
}

/// Whether it is no redirect to https, whether every request fits, the place of its server, its rank.
type Written = (bool, bool, u16, u8);

/// Kind of a path match, then its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathRank {
    /// The whole path.
    Exact,
    /// By the length of the source.
    Regex(Reverse<usize>),
    /// By length.
    Prefix(Reverse<usize>),
}

/// `{namespace}/{name}`, compared as that text without writing it: `a-b/c` goes before `a/c`. Istio compares the name
/// first, then the namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FullName<'r> {
    namespace: &'r str,
    name: &'r str,
    of_istio: bool,
}

/// What decided between two matches that both fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DecidingKey {
    /// Gateway API before Istio.
    Api,
    /// A more specific hostname.
    Hostname,
    /// What takes every request goes last (Istio).
    TakesAll,
    /// What fewer namespaces see goes first (Istio, `exportTo`); before all of it a Gateway that redirects to https.
    Rank,
    /// Exact before regular expression before prefix.
    PathKind,
    /// A longer prefix or expression.
    PathLength,
    /// It names a method.
    Method,
    /// More headers.
    Headers,
    /// More query parameters.
    Query,
    /// An older route.
    Age,
    /// `{namespace}/{name}` (then kind) in alphabetical order.
    Name,
    /// An earlier rule of the same route.
    RuleOrder,
    /// An earlier match of the same rule.
    MatchOrder,
}

impl<'r> Precedence<'r> {
    /// The rank of `one`, which is `rule.matches[index]`.
    pub fn of(rule: &'r Rule, one: &RouteMatch, index: usize) -> Self {
        let route = &rule.key.route;
        let written = match rule.order {
            Order::Specific => None,
            // A Gateway that redirects goes first, whatever is behind it.
            Order::Written { rank, server } => Some((rank > 0, rank > 0 && one.takes_all(), server, rank)),
        };
        let asks = written.is_none();
        Self {
            written,
            path: if asks { PathRank::of(&one.path) } else { PathRank::Exact },
            method: Reverse(asks && one.method.is_some()),
            headers: Reverse(if asks { one.headers.len() } else { 0 }),
            query: Reverse(if asks { one.query.len() } else { 0 }),
            created: rule.created,
            name: FullName::of(route),
            kind: route.kind,
            rule: rule.key.index,
            index,
        }
    }

    /// The first key in which the two differ.
    pub fn deciding(&self, other: &Self) -> DecidingKey {
        let takes_all = |written: Option<Written>| written.is_some_and(|(_, all, ..)| all);
        let keys = [
            (self.written.is_some() != other.written.is_some(), DecidingKey::Api),
            (takes_all(self.written) != takes_all(other.written), DecidingKey::TakesAll),
            (self.written != other.written, DecidingKey::Rank),
            (self.path.kind() != other.path.kind(), DecidingKey::PathKind),
            (self.path != other.path, DecidingKey::PathLength),
            (self.method != other.method, DecidingKey::Method),
            (self.headers != other.headers, DecidingKey::Headers),
            (self.query != other.query, DecidingKey::Query),
            (self.created != other.created, DecidingKey::Age),
            (self.name != other.name || self.kind != other.kind, DecidingKey::Name),
            (self.rule != other.rule, DecidingKey::RuleOrder),
        ];
        keys.into_iter().find(|(differs, _)| *differs).map_or(DecidingKey::MatchOrder, |(_, key)| key)
    }
}

impl PathRank {
    /// The rank of `path`.
    pub fn of(path: &PathMatch) -> Self {
        match path {
            PathMatch::Exact(_) | PathMatch::ExactAnyCase(_) => Self::Exact,
            PathMatch::Regex(regex) => Self::Regex(Reverse(regex.as_str().len())),
            PathMatch::Prefix(prefix) | PathMatch::Text { text: prefix, .. } => Self::Prefix(Reverse(prefix.len())),
        }
    }

    fn kind(self) -> u8 {
        match self {
            Self::Exact => 0,
            Self::Regex(_) => 1,
            Self::Prefix(_) => 2,
        }
    }
}

impl<'r> FullName<'r> {
    fn of(route: &'r RouteId) -> Self {
        let of_istio = matches!(route.kind, RouteKind::VirtualService | RouteKind::IstioGateway);
        Self { namespace: &route.namespace, name: &route.name, of_istio }
    }

    fn bytes(self) -> impl Iterator<Item = u8> {
        self.namespace.bytes().chain([b'/']).chain(self.name.bytes())
    }
}

impl Ord for FullName<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.of_istio && other.of_istio {
            return (self.name, self.namespace).cmp(&(other.name, other.namespace));
        }
        self.bytes().cmp(other.bytes())
    }
}

impl PartialOrd for FullName<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_rank_exact_regex_prefix_then_by_length() {
        let ranks = [
            PathRank::Exact,
            PathRank::Regex(Reverse(9)),
            PathRank::Regex(Reverse(2)),
            PathRank::Prefix(Reverse(30)),
            PathRank::Prefix(Reverse(0)),
        ];
        assert!(ranks.is_sorted());
    }

    #[test]
    fn names_compare_as_one_text() {
        let name = |namespace, name| FullName { namespace, name, of_istio: false };
        assert!(name("a-b", "z") < name("a", "c"), "'-' sorts before '/'");
        assert!(name("a", "b") < name("a", "c"));
        let of_istio = |namespace, name| FullName { namespace, name, of_istio: true };
        assert!(of_istio("b", "a") < of_istio("a", "b"), "the name goes before the namespace");
    }
}
