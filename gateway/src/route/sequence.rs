// SPDX-License-Identifier: Apache-2.0
//! Candidates of one host that keep their order (Istio): the first that fits wins, and is found without a look at most of
//! the others.
//!
//! They lie in order. Every kind of path match has an index of the places of those that a path can fit; the places come
//! merged, the least first. Nothing is allocated for a request.

use std::sync::Arc;

use torana_ir::PathMatch;

use super::candidate::{Candidate, Routable};
use super::texts::Texts;

/// The index.
#[derive(Debug)]
pub(crate) struct Sequence<T> {
    /// All, in order; places are into this.
    all: Vec<Candidate<T>>,
    exact: Texts,
    exact_any_case: Texts,
    /// Also those that go by path element: a closer look follows anyway.
    prefixes: Texts,
    prefixes_any_case: Texts,
    regexes: Vec<u32>,
}

impl<T: Routable> Sequence<T> {
    /// Indexes every match of `targets`.
    pub(crate) fn build(targets: &[Arc<T>]) -> Self {
        let mut all: Vec<Candidate<T>> = targets
            .iter()
            .flat_map(|target| (0..target.rule().matches.len()).map(|index| Candidate::new(target, index)))
            .collect();
        all.sort_by(|left, right| left.precedence().cmp(&right.precedence()));
        let texts = |any_case, of: fn(&PathMatch) -> Option<&str>| {
            let placed = all.iter().zip(0..).filter_map(|(one, place)| Some((of(&one.spec().path)?, place)));
            Texts::build(placed, any_case)
        };
        let (exact, exact_any_case) = (texts(false, exact), texts(true, exact_any_case));
        let (prefixes, prefixes_any_case) = (texts(false, prefix), texts(true, prefix_any_case));
        let is_regex = |one: &Candidate<T>| matches!(one.spec().path, PathMatch::Regex(_));
        let regexes = all.iter().zip(0..).filter(|(one, _)| is_regex(one)).map(|(_, place)| place).collect();
        Self { all, exact, exact_any_case, prefixes, prefixes_any_case, regexes }
    }

    /// Shows `visit` the candidates whose path fits, in order, each with the length of the part that it matched, until it
    /// gives a result.
    pub(crate) fn search<'p, R>(
        &'p self,
        path: &str,
        mut visit: impl FnMut(&'p Candidate<T>, usize) -> Option<R>,
    ) -> Option<R> {
        let mut lists = [self.exact.of(path), self.exact_any_case.of(path), self.regexes.as_slice()];
        let (longest, any_case) = (self.prefixes.longest(path), self.prefixes_any_case.longest(path));
        let mut from = 0;
        loop {
            let prefixes = [self.prefixes.next(longest, from), self.prefixes_any_case.next(any_case, from)];
            let heads = lists.iter().filter_map(|places| places.first().copied());
            let place = heads.chain(prefixes.into_iter().flatten()).min()?;
            for places in &mut lists {
                if let [first, rest @ ..] = places
                    && *first == place
                {
                    *places = rest;
                }
            }
            from = place + 1;
            let candidate = self.all.get(place as usize)?;
            if candidate.fits_path(path)
                && let Some(result) = visit(candidate, covered(&candidate.spec().path, path))
            {
                return Some(result);
            }
        }
    }

    /// Every candidate, in order.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Candidate<T>> {
        self.all.iter()
    }
}

/// Bytes of a path that fits.
fn covered(wanted: &PathMatch, path: &str) -> usize {
    match wanted {
        PathMatch::Prefix(text) | PathMatch::Text { text, .. } => text.len(),
        PathMatch::Exact(_) | PathMatch::ExactAnyCase(_) | PathMatch::Regex(_) => path.len(),
    }
}

fn exact(path: &PathMatch) -> Option<&str> {
    if let PathMatch::Exact(text) = path { Some(text) } else { None }
}

fn exact_any_case(path: &PathMatch) -> Option<&str> {
    if let PathMatch::ExactAnyCase(text) = path { Some(text) } else { None }
}

fn prefix(path: &PathMatch) -> Option<&str> {
    match path {
        PathMatch::Prefix(text) | PathMatch::Text { text, any_case: false } => Some(text),
        _ => None,
    }
}

fn prefix_any_case(path: &PathMatch) -> Option<&str> {
    if let PathMatch::Text { text, any_case: true } = path { Some(text) } else { None }
}
