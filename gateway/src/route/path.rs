// SPDX-License-Identifier: Apache-2.0
//! Candidates of one host by path: exact map, regular expressions in order, prefix trie by path element.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use torana_ir::PathMatch;

use super::candidate::{Candidate, Routable};

/// Candidates of one path, best first.
type Bucket<T> = Vec<Candidate<T>>;

/// The index; every bucket is in order of precedence.
#[derive(Debug)]
pub(crate) struct Paths<T> {
    exact: HashMap<Box<str>, Bucket<T>, RandomState>,
    regexes: Bucket<T>,
    nodes: Vec<Node<T>>,
}

/// One element of a prefix. Node 0 is the empty prefix, which every path has.
#[derive(Debug)]
struct Node<T> {
    children: HashMap<Box<str>, u32, RandomState>,
    /// The nearest ancestor that has candidates.
    above: Option<u32>,
    /// Bytes of the path up to here.
    len: usize,
    bucket: Bucket<T>,
}

impl<T: Routable> Paths<T> {
    /// Indexes every match of `targets`.
    pub(crate) fn build(targets: &[Arc<T>]) -> Self {
        let mut all: Bucket<T> = targets
            .iter()
            .flat_map(|target| (0..target.rule().matches.len()).map(|index| Candidate::new(target, index)))
            .collect();
        all.sort_by(|left, right| left.precedence().cmp(&right.precedence()));
        let mut paths = Self { exact: HashMap::default(), regexes: Vec::new(), nodes: vec![Node::new(0)] };
        for candidate in all {
            paths.insert(candidate);
        }
        paths.link();
        paths
    }

    fn insert(&mut self, candidate: Candidate<T>) {
        match &candidate.spec().path {
            PathMatch::Exact(path) => {
                let path = Box::from(path.as_str());
                self.exact.entry(path).or_default().push(candidate);
            }
            PathMatch::Regex(_) => self.regexes.push(candidate),
            PathMatch::Prefix(prefix) => {
                let node = self.node(&prefix.clone());
                self.nodes[node].bucket.push(candidate);
            }
        }
    }

    /// The node of `prefix`, made if absent.
    fn node(&mut self, prefix: &str) -> usize {
        let mut at = 0;
        let mut len = 0;
        for element in elements(prefix) {
            len += 1 + element.len();
            at = match self.nodes[at].children.get(element) {
                Some(child) => *child as usize,
                None => {
                    let child = self.nodes.len();
                    self.nodes.push(Node::new(len));
                    self.nodes[at].children.insert(Box::from(element), child as u32);
                    child
                }
            };
        }
        at
    }

    /// Children come after their parents, so one pass sees every parent first.
    fn link(&mut self) {
        for at in 0..self.nodes.len() {
            let node = &self.nodes[at];
            let above = if node.bucket.is_empty() { node.above } else { Some(at as u32) };
            let children: Vec<u32> = node.children.values().copied().collect();
            for child in children {
                self.nodes[child as usize].above = above;
            }
        }
    }

    /// Candidates whose path fits, best first, with the length of the part that they matched.
    pub(crate) fn fitting<'p>(&'p self, path: &str) -> impl Iterator<Item = (&'p Candidate<T>, usize)> {
        let whole = path.len();
        let exact = if self.exact.is_empty() { None } else { self.exact.get(path) };
        let regexes = self.regexes.iter().filter(move |candidate| candidate.fits_path(path));
        let whole_paths = exact.into_iter().flatten().chain(regexes).map(move |candidate| (candidate, whole));
        whole_paths.chain(std::iter::once_with(move || self.prefixes(path)).flatten())
    }

    /// From the deepest prefix upwards.
    fn prefixes<'p>(&'p self, path: &str) -> impl Iterator<Item = (&'p Candidate<T>, usize)> + use<'p, T> {
        let mut deepest = &self.nodes[0];
        for element in elements(path) {
            match deepest.children.get(element) {
                Some(child) => deepest = &self.nodes[*child as usize],
                None => break,
            }
        }
        let chain = std::iter::successors(Some(deepest), |node| node.above.map(|above| &self.nodes[above as usize]));
        chain.flat_map(|node| node.bucket.iter().map(|candidate| (candidate, node.len)))
    }

    /// Every candidate, in no order.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Candidate<T>> {
        let prefixes = self.nodes.iter().flat_map(|node| &node.bucket);
        self.exact.values().flatten().chain(&self.regexes).chain(prefixes)
    }
}

impl<T> Node<T> {
    fn new(len: usize) -> Self {
        Self { children: HashMap::default(), above: None, len, bucket: Vec::new() }
    }
}

/// `/a/b` is `a`, `b`; what does not start with a slash (`*`, the empty prefix) has no elements.
fn elements(path: &str) -> impl Iterator<Item = &str> {
    path.strip_prefix('/').map(|rest| rest.split('/')).into_iter().flatten()
}
