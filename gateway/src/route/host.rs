// SPDX-License-Identifier: Apache-2.0
//! Values by host pattern, found from the most specific to the least. Used for listeners and for routes.

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use torana_ir::HostPattern;

type Names<V> = HashMap<Box<str>, V, RandomState>;

/// One value a pattern. Looking up costs one hash for the exact name and one for each label of the host for which a
/// wildcard of that length may exist.
#[derive(Debug, Clone)]
pub struct HostIndex<V> {
    exact: Names<V>,
    wildcard: Names<V>,
    any: Option<V>,
    longest_wildcard: usize,
}

impl<V> HostIndex<V> {
    /// Indexes `values`; the first of two with one pattern stays.
    pub fn new(values: impl IntoIterator<Item = (HostPattern, V)>) -> Self {
        let mut index = Self::default();
        for (pattern, value) in values {
            index.insert(pattern, value);
        }
        index
    }

    fn insert(&mut self, pattern: HostPattern, value: V) {
        match pattern {
            HostPattern::Any => {
                self.any.get_or_insert(value);
            }
            HostPattern::Wildcard(suffix) => {
                self.longest_wildcard = self.longest_wildcard.max(suffix.as_str().len());
                self.wildcard.entry(Box::from(suffix.as_str())).or_insert(value);
            }
            HostPattern::Exact(name) => {
                self.exact.entry(Box::from(name.as_str())).or_insert(value);
            }
        }
    }

    /// Shows `visit` the values whose pattern covers `host` (lower case, no port), the most specific first, until it
    /// gives a result.
    pub fn search<'i, R>(&'i self, host: &str, mut visit: impl FnMut(&'i V) -> Option<R>) -> Option<R> {
        if !self.exact.is_empty()
            && let Some(result) = self.exact.get(host).and_then(&mut visit)
        {
            return Some(result);
        }
        if !self.wildcard.is_empty()
            && let Some(result) = self.wildcards(host).find_map(&mut visit)
        {
            return Some(result);
        }
        self.any.as_ref().and_then(visit)
    }

    /// The value of the most specific pattern that covers `host`.
    pub fn best(&self, host: &str) -> Option<&V> {
        self.search(host, Some)
    }

    /// Suffixes from the longest: a host's first label may not be empty, so a dot at 0 starts none.
    fn wildcards<'i>(&'i self, host: &str) -> impl Iterator<Item = &'i V> {
        let dots = memchr::memchr_iter(b'.', host.as_bytes()).filter(|dot| *dot > 0);
        dots.map(|dot| &host[dot + 1..])
            .filter(|suffix| suffix.len() <= self.longest_wildcard)
            .filter_map(|suffix| self.wildcard.get(suffix))
    }

    /// Every value, in no order.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.exact.values().chain(self.wildcard.values()).chain(&self.any)
    }

    /// Puts `value` in place of the one of this pattern; `None` leaves none.
    pub fn put(&mut self, pattern: &HostPattern, value: Option<V>) {
        match pattern {
            HostPattern::Any => self.any = None,
            HostPattern::Wildcard(suffix) => drop(self.wildcard.remove(suffix.as_str())),
            HostPattern::Exact(name) => drop(self.exact.remove(name.as_str())),
        }
        if let Some(value) = value {
            self.insert(pattern.clone(), value);
        }
    }

    /// The value of exactly this pattern.
    pub fn of(&self, pattern: &HostPattern) -> Option<&V> {
        match pattern {
            HostPattern::Any => self.any.as_ref(),
            HostPattern::Wildcard(suffix) => self.wildcard.get(suffix.as_str()),
            HostPattern::Exact(name) => self.exact.get(name.as_str()),
        }
    }
}

impl<V> Default for HostIndex<V> {
    fn default() -> Self {
        Self { exact: Names::default(), wildcard: Names::default(), any: None, longest_wildcard: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(patterns: &[&'static str]) -> HostIndex<&'static str> {
        HostIndex::new(patterns.iter().map(|text| (HostPattern::parse(text).unwrap(), *text)))
    }

    fn covering<'i>(index: &'i HostIndex<&'static str>, host: &str) -> Vec<&'i str> {
        let mut all = Vec::new();
        let stopped = index.search(host, |value| -> Option<()> {
            all.push(*value);
            None
        });
        assert!(stopped.is_none());
        all
    }

    #[test]
    fn the_most_specific_pattern_comes_first() {
        let index = index(&["*", "*.com", "*.b.com", "a.b.com", "*.a.b.com"]);
        assert_eq!(covering(&index, "a.b.com"), ["a.b.com", "*.b.com", "*.com", "*"]);
        assert_eq!(index.best("x.a.b.com"), Some(&"*.a.b.com"));
        assert_eq!(covering(&index, "b.com"), ["*.com", "*"]);
        assert_eq!(covering(&index, "com"), ["*"]);
    }

    #[test]
    fn an_empty_label_is_not_covered_by_a_wildcard() {
        assert_eq!(index(&["*.b.com"]).best(".b.com"), None);
        assert_eq!(index(&["*.b.com"]).best(""), None);
    }

    #[test]
    fn a_host_made_of_dots_is_found_nowhere() {
        let host = ".".repeat(16 << 10);
        assert_eq!(index(&["*.b.com", "a.com"]).best(&host), None);
    }
}
