// SPDX-License-Identifier: Apache-2.0
//! Rules, and before each what it asks of a request at least: how its path, its host or its method begins, or its host ends.
//! Most rules are about something else than most requests, and what says so stands side by side in memory, so that a
//! hundred of them cost little. Never lets a rule be passed over that could hold.

use torana_ir::{Condition, TextTest};

use super::rule::Compiled;
use crate::head::Head;

/// Rules of one action.
#[derive(Debug, Default)]
pub(super) struct Sieve {
    rules: Vec<Compiled>,
    /// For each rule, up to which of `edges` its own go; they begin where those of the one before end.
    ends: Vec<u32>,
    edges: Vec<Edge>,
}

/// The first or the last bytes of a part of a request.
#[derive(Debug, Clone, Copy)]
struct Edge {
    part: usize,
    bytes: u64,
    mask: u64,
}

/// How many bytes an [`Edge`] has.
const WIDTH: usize = size_of::<u64>();

const PATH: usize = 0;
const HOST: usize = 1;
const HOST_END: usize = 2;
const METHOD: usize = 3;

/// The edges of one request, by part.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Edges([u64; 4]);

impl Edges {
    /// Those of a request, with another path if one is given; streams have none.
    pub(super) fn of(head: Option<&Head>, path: Option<&str>) -> Self {
        let Some(head) = head else { return Self::default() };
        let path = path.unwrap_or_else(|| head.path()).as_bytes();
        let (host, method) = (head.authority().as_bytes(), head.method().as_bytes());
        Self([first(path).0, first(host).0, last(host).0, first(method).0])
    }
}

impl Sieve {
    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Compiled> {
        self.rules.iter()
    }

    /// Those that could hold for a request with these edges.
    pub(super) fn about(&self, edges: Edges) -> impl Iterator<Item = &Compiled> {
        let mut begin = 0;
        let ends = self.ends.iter().map(move |end| std::mem::replace(&mut begin, *end as usize)..*end as usize);
        let own = ends.map(|own| self.edges.get(own).unwrap_or_default());
        let is_met = move |edge: &Edge| edges.0[edge.part] & edge.mask == edge.bytes;
        self.rules
            .iter()
            .zip(own)
            .filter(move |(_, own)| own.is_empty() || own.iter().any(is_met))
            .map(|(rule, _)| rule)
    }
}

impl Extend<Compiled> for Sieve {
    fn extend<I: IntoIterator<Item = Compiled>>(&mut self, rules: I) {
        for rule in rules {
            let own: Option<Vec<Vec<Edge>>> = rule.alternatives().map(least).collect();
            self.edges.extend(own.into_iter().flatten().flatten());
            self.ends.push(u32::try_from(self.edges.len()).unwrap_or(u32::MAX));
            self.rules.push(rule);
        }
    }
}

/// Edges one of which a request has for which these hold; `None` if nothing can be said.
fn least(conditions: &[Condition]) -> Option<Vec<Edge>> {
    conditions.iter().filter_map(edges).min_by_key(|edges| edges.iter().map(|edge| edge.part).min())
}

fn edges(condition: &Condition) -> Option<Vec<Edge>> {
    let (terms, begin, end) = match condition {
        // A slash at its end may count for nothing.
        Condition::Path(terms) => (terms, PATH, None),
        Condition::Host(terms) => (terms, HOST, Some(HOST_END)),
        Condition::Method(terms) => (terms, METHOD, None),
        _ => return None,
    };
    let edge = |test: &TextTest| match test {
        TextTest::Exact(text) | TextTest::Prefix(text) => Some(Edge::new(begin, first(text.as_bytes()))),
        TextTest::Suffix(text) => Some(Edge::new(end?, last(text.as_bytes()))),
        TextTest::Present | TextTest::Regex(_) => None,
    };
    if terms.any.is_empty() { None } else { terms.any.iter().map(edge).collect() }
}

impl Edge {
    fn new(part: usize, (bytes, mask): (u64, u64)) -> Self {
        Self { part, bytes, mask }
    }
}

/// The first bytes of a text, and which of them it has.
fn first(text: &[u8]) -> (u64, u64) {
    let (mut bytes, mut mask) = ([0; WIDTH], [0; WIDTH]);
    let length = text.len().min(WIDTH);
    bytes[..length].copy_from_slice(&text[..length]);
    mask[..length].fill(0xff);
    (u64::from_ne_bytes(bytes), u64::from_ne_bytes(mask))
}

/// The same of the last ones.
fn last(text: &[u8]) -> (u64, u64) {
    let (mut bytes, mut mask) = ([0; WIDTH], [0; WIDTH]);
    let length = text.len().min(WIDTH);
    bytes[WIDTH - length..].copy_from_slice(&text[text.len() - length..]);
    mask[WIDTH - length..].fill(0xff);
    (u64::from_ne_bytes(bytes), u64::from_ne_bytes(mask))
}

#[cfg(test)]
mod tests {
    use torana_ir::{AccessAction, AccessPolicy, AccessRule, PolicyKey, Terms};

    use super::*;
    use crate::head::{Scheme, Version};

    fn terms(tests: &[TextTest]) -> Terms<TextTest> {
        Terms { any: tests.to_vec(), none: Vec::new() }
    }

    fn exact(text: &str) -> TextTest {
        TextTest::Exact(text.to_owned())
    }

    /// Places of rules with these alternatives that could hold for a request.
    fn about(rules: Vec<Vec<Vec<Condition>>>, head: &Head) -> Vec<u16> {
        let rules = rules.into_iter().zip(0..).map(|(to, place)| AccessRule { place, to, ..AccessRule::default() });
        let key = PolicyKey { namespace: "n".to_owned(), name: "p".to_owned() };
        let policy = AccessPolicy { key, action: AccessAction::Deny, dry_run: false, rules: rules.collect() };
        let mut sieve = Sieve::default();
        sieve.extend(policy.rules.iter().filter_map(|rule| Compiled::of(&policy, rule, true)));
        let place = |rule: &Compiled| rule.label().trim_start_matches("n/p[").trim_end_matches(']').parse().unwrap();
        sieve.about(Edges::of(Some(head), None)).map(place).collect()
    }

    #[test]
    fn a_rule_about_something_else_is_passed_over_and_no_other() {
        let head = Head::new(Version::Http11, Scheme::Http, "GET", "shop.example", "/api/orders/7");
        let path = |tests: &[TextTest]| Condition::Path(terms(tests));
        let host = |tests: &[TextTest]| Condition::Host(terms(tests));
        let prefix = |text: &str| TextTest::Prefix(text.to_owned());
        let suffix = |text: &str| TextTest::Suffix(text.to_owned());
        let rules = vec![
            vec![],
            vec![vec![path(&[exact("/admin")])]],
            vec![vec![path(&[exact("/api/orders/7"), exact("/x")])]],
            vec![vec![path(&[prefix("/ap")])]],
            vec![vec![path(&[suffix("/8")])]],
            vec![vec![host(&[suffix(".example")])]],
            vec![vec![host(&[suffix(".example.com")])]],
            vec![vec![Condition::Method(terms(&[exact("POST")]))]],
            vec![vec![path(&[exact("/admin")])], vec![]],
            vec![vec![path(&[exact("/admin")]), host(&[exact("shop.example")])]],
            vec![vec![host(&[exact("shop.example")]), Condition::Method(terms(&[exact("PUT")]))]],
            vec![vec![Condition::Path(Terms { any: Vec::new(), none: vec![exact("/api/orders/7")] })]],
            vec![vec![path(&[prefix("")])]],
        ];
        assert_eq!(about(rules, &head), [0, 2, 3, 4, 5, 8, 10, 11, 12]);
    }
}
