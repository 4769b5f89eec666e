// SPDX-License-Identifier: Apache-2.0
//! Candidates of one host by path: exact map, regular expressions in order, prefix trie by path element.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use torana_ir::PathMatch;

use super::candidate::{Candidate, Routable};

/// Candidates of one path, best first.
type Bucket<T> = Vec<Candidate<T>>;

type ByText<V> = HashMap<Box<str>, V, RandomState>;

/// The index; every bucket is in order of precedence.
#[derive(Debug)]
pub(crate) struct Paths<T> {
    exact: ByText<Bucket<T>>,
    regexes: Bucket<T>,
    nodes: Vec<Node<T>>,
}

/// One element of a prefix. Node 0 is the empty prefix, which every path has.
#[derive(Debug)]
struct Node<T> {
    children: ByText<u32>,
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
                let path = path.clone();
                self.exact.entry(path.into_boxed_str()).or_default().push(candidate);
            }
            // Texts are for rules that keep their order (`sequence`); translation makes no others of them.
            PathMatch::Regex(_) | PathMatch::ExactAnyCase(_) | PathMatch::Text { .. } => self.regexes.push(candidate),
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
            let fresh = self.nodes.len();
            let child = *self.nodes[at].children.entry(Box::from(element)).or_insert(fresh as u32) as usize;
            if child == fresh {
                self.nodes.push(Node::new(len));
            }
            at = child;
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

    /// Shows `visit` the candidates whose path fits, best first, each with the length of the part that it matched,
    /// until it gives a result.
    pub(crate) fn search<'p, R>(
        &'p self,
        path: &str,
        mut visit: impl FnMut(&'p Candidate<T>, usize) -> Option<R>,
    ) -> Option<R> {
        if !self.exact.is_empty()
            && let Some(bucket) = self.exact.get(path)
            && let Some(result) = bucket.iter().find_map(|candidate| visit(candidate, path.len()))
        {
            return Some(result);
        }
        for candidate in &self.regexes {
            if candidate.fits_path(path)
                && let Some(result) = visit(candidate, path.len())
            {
                return Some(result);
            }
        }
        let mut next = Some(self.deepest(path));
        while let Some(node) = next {
            if let Some(result) = node.bucket.iter().find_map(|candidate| visit(candidate, node.len)) {
                return Some(result);
            }
            next = node.above.and_then(|above| self.nodes.get(above as usize));
        }
        None
    }

    /// The node of the longest known prefix of `path`.
    fn deepest(&self, path: &str) -> &Node<T> {
        let mut node = &self.nodes[0];
        let mut rest = path;
        while !node.children.is_empty()
            && let Some(tail) = rest.strip_prefix('/')
        {
            let (element, after) = tail.split_at(memchr::memchr(b'/', tail.as_bytes()).unwrap_or(tail.len()));
            let Some(child) = node.children.get(element) else { break };
            node = &self.nodes[*child as usize];
            rest = after;
        }
        node
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
