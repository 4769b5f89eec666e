// SPDX-License-Identifier: Apache-2.0
//! Gateway API precedence as `Ord`: of several matches that a request fits, the **least** wins.
//!
//! `HTTPRouteRule.matches`: exact path, then regular expression (longer source first; the spec leaves its place open),
//! then the longest prefix; then method, most headers, most query parameters; then across routes the oldest, then
//! `{namespace}/{name}`; then the order in the route. The hostname comes before all of this (see `Router`).

use std::cmp::{Ordering, Reverse};

use serde::Serialize;
use torana_ir::{PathMatch, RouteId, RouteKind, RouteMatch, Rule};

/// Rank of one match of one rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Precedence<'r> {
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

/// `{namespace}/{name}`, compared as that text without writing it: `a-b/c` goes before `a/c`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FullName<'r> {
    namespace: &'r str,
    name: &'r str,
}

/// What decided between two matches that both fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DecidingKey {
    /// A more specific hostname.
    Hostname,
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
        Self {
            path: PathRank::of(&one.path),
            method: Reverse(one.method.is_some()),
            headers: Reverse(one.headers.len()),
            query: Reverse(one.query.len()),
            created: rule.created,
            name: FullName::of(route),
            kind: route.kind,
            rule: rule.key.index,
            index,
        }
    }

    /// The first key in which the two differ.
    pub fn deciding(&self, other: &Self) -> DecidingKey {
        let keys = [
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
            PathMatch::Exact(_) => Self::Exact,
            PathMatch::Regex(regex) => Self::Regex(Reverse(regex.as_str().len())),
            PathMatch::Prefix(prefix) => Self::Prefix(Reverse(prefix.len())),
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
        Self { namespace: &route.namespace, name: &route.name }
    }

    fn bytes(self) -> impl Iterator<Item = u8> {
        self.namespace.bytes().chain([b'/']).chain(self.name.bytes())
    }
}

impl Ord for FullName<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
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
        let name = |namespace, name| FullName { namespace, name };
        assert!(name("a-b", "z") < name("a", "c"), "'-' sorts before '/'");
        assert!(name("a", "b") < name("a", "c"));
    }
}
