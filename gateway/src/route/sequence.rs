// SPDX-License-Identifier: Apache-2.0
//! Candidates of one host that keep the order in which they were written: the first that fits wins, however little it asks
//! for (Istio). Found by path, so that a host of many rules costs no more than one of few, and shown in their order.

use std::borrow::Cow;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use smallvec::SmallVec;
use torana_ir::PathMatch;

use super::candidate::{Candidate, Routable};

/// Places in [`Sequence::all`], in order.
type Places = Vec<u32>;

type ByText = HashMap<Box<str>, Places, RandomState>;

/// The index. A path that is told by its beginning is looked for by every length that there is.
#[derive(Debug)]
pub(crate) struct Sequence<T> {
    all: Vec<Candidate<T>>,
    cased: Texts,
    /// In lower case.
    any_case: Texts,
    /// Regular expressions, and prefixes by path element: each is asked.
    others: Places,
}

#[derive(Debug, Default)]
struct Texts {
    exact: ByText,
    prefixes: ByText,
    /// Of `prefixes`, each once.
    lengths: Vec<usize>,
}

impl<T: Routable> Sequence<T> {
    /// Indexes every match of `targets`.
    pub(crate) fn build(targets: &[Arc<T>]) -> Self {
        let mut all: Vec<Candidate<T>> = targets
            .iter()
            .flat_map(|target| (0..target.rule().matches.len()).map(|index| Candidate::new(target, index)))
            .collect();
        all.sort_by(|left, right| left.precedence().cmp(&right.precedence()));
        let (mut cased, mut any_case, mut others) = (Texts::default(), Texts::default(), Places::new());
        for (candidate, at) in all.iter().zip(0u32..) {
            match &candidate.spec().path {
                PathMatch::Exact(path) => cased.exact(path, at),
                PathMatch::ExactAnyCase(path) => any_case.exact(path, at),
                PathMatch::Text { text, any_case: false } => cased.prefix(text, at),
                PathMatch::Text { text, any_case: true } => any_case.prefix(text, at),
                PathMatch::Regex(_) | PathMatch::Prefix(_) => others.push(at),
            }
        }
        Self { all, cased, any_case, others }
    }

    /// Shows `visit` the candidates whose path fits, in their order, each with the length of the part that it matched,
    /// until it gives a result.
    pub(crate) fn search<'p, R>(
        &'p self,
        path: &str,
        mut visit: impl FnMut(&'p Candidate<T>, usize) -> Option<R>,
    ) -> Option<R> {
        let mut lists: SmallVec<[&[u32]; 8]> = SmallVec::new();
        self.cased.gather(path, &mut lists);
        if !self.any_case.is_empty() {
            self.any_case.gather(&lower(path), &mut lists);
        }
        if !self.others.is_empty() {
            lists.push(&self.others);
        }
        // There are few lists: the least of their heads comes next.
        while let Some(list) = lists.iter_mut().filter(|list| !list.is_empty()).min_by_key(|list| list.first().copied())
        {
            let (at, rest) = list.split_first()?;
            *list = rest;
            let candidate = self.all.get(*at as usize)?;
            let covered = match &candidate.spec().path {
                PathMatch::Text { text, .. } => text.len(),
                PathMatch::Exact(_) | PathMatch::ExactAnyCase(_) => path.len(),
                PathMatch::Regex(_) if candidate.fits_path(path) => path.len(),
                PathMatch::Prefix(prefix) if candidate.fits_path(path) => prefix.len(),
                PathMatch::Regex(_) | PathMatch::Prefix(_) => continue,
            };
            if let Some(result) = visit(candidate, covered) {
                return Some(result);
            }
        }
        None
    }

    /// Every candidate, in order.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Candidate<T>> {
        self.all.iter()
    }
}

impl Texts {
    fn exact(&mut self, path: &str, at: u32) {
        self.exact.entry(Box::from(path)).or_default().push(at);
    }

    fn prefix(&mut self, text: &str, at: u32) {
        self.prefixes.entry(Box::from(text)).or_default().push(at);
        if !self.lengths.contains(&text.len()) {
            self.lengths.push(text.len());
        }
    }

    fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.prefixes.is_empty()
    }

    fn gather<'t>(&'t self, path: &str, lists: &mut SmallVec<[&'t [u32]; 8]>) {
        if !self.exact.is_empty() {
            lists.extend(self.exact.get(path).map(Vec::as_slice));
        }
        for length in &self.lengths {
            // A place within a character ends no prefix.
            let list = path.get(..*length).and_then(|text| self.prefixes.get(text));
            lists.extend(list.map(Vec::as_slice));
        }
    }
}

/// ASCII letters in lower case.
fn lower(path: &str) -> Cow<'_, str> {
    if path.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(path.to_ascii_lowercase())
    } else {
        Cow::Borrowed(path)
    }
}
