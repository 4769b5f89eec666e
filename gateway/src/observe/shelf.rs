// SPDX-License-Identifier: Apache-2.0
//! Children by their labels: how many may be, and when they are given up because nobody needs them any more.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::{Bound, Deref};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus::IntCounter;

use super::labels::{folded, joined};

/// A child that nobody needs stays this long, so that its last values are scraped.
pub(super) const SCRAPE_INTERVAL: Duration = Duration::from_mins(1);

/// One child. Who holds it uses it.
pub(super) type Held<T> = Arc<Child<T>>;

/// What is counted, and the only copy of its labels.
#[derive(Debug)]
pub(super) struct Child<T> {
    labels: Box<str>,
    folded: bool,
    counted: T,
}

impl<T> Child<T> {
    /// As [`joined`] makes them.
    pub(super) fn labels(&self) -> &str {
        &self.labels
    }

    /// Whether it stands for all that found no room.
    pub(super) fn is_folded(&self) -> bool {
        self.folded
    }
}

impl<T> Deref for Child<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.counted
    }
}

/// The children of one family, or of several that count the same things.
pub(super) struct Shelf<T> {
    names: &'static [&'static str],
    most: usize,
    make: fn() -> T,
    overflow: IntCounter,
    kept: Mutex<Kept<T>>,
}

struct Kept<T> {
    /// In the order of the page, and since when nobody uses them.
    children: BTreeMap<ByLabels<T>, Option<Instant>>,
    /// How many of them are not folded.
    named: usize,
}

struct ByLabels<T>(Held<T>);

impl<T> Borrow<str> for ByLabels<T> {
    fn borrow(&self) -> &str {
        self.0.labels()
    }
}

impl<T> PartialEq for ByLabels<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0.labels() == other.0.labels()
    }
}

impl<T> Eq for ByLabels<T> {}

impl<T> PartialOrd for ByLabels<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for ByLabels<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.labels().cmp(other.0.labels())
    }
}

impl<T> Shelf<T> {
    /// For at most so many children with names of their own; `overflow` counts those that were folded. `names` are in
    /// the order of the alphabet, as the page has them.
    pub(super) fn new(names: &'static [&'static str], most: usize, make: fn() -> T, overflow: &IntCounter) -> Self {
        debug_assert!(names.is_sorted(), "{names:?}");
        let kept = Mutex::new(Kept { children: BTreeMap::new(), named: 0 });
        Self { names, most, make, overflow: overflow.clone(), kept }
    }

    pub(super) fn names(&self) -> &'static [&'static str] {
        self.names
    }

    /// The child of these labels, made if it is not there; of `other` if there is no room.
    pub(super) fn child<'a>(&self, values: impl IntoIterator<Item = &'a str>) -> Held<T> {
        let labels = joined(values);
        let mut kept = self.kept();
        if let Some(child) = kept.find(&labels) {
            return child;
        }
        if kept.named < self.most {
            kept.named += 1;
            return kept.insert(labels, false, self.make);
        }
        self.overflow.inc();
        let labels = folded(self.names, &labels);
        kept.find(&labels).unwrap_or_else(|| kept.insert(labels, true, self.make))
    }

    /// The first children after these labels, at most so many.
    pub(super) fn after(&self, labels: Option<&str>, most: usize) -> Vec<Held<T>> {
        let from = labels.map_or(Bound::Unbounded, Bound::Excluded);
        let kept = self.kept();
        let children = kept.children.range::<str, _>((from, Bound::Unbounded));
        children.take(most).map(|(child, _)| Arc::clone(&child.0)).collect()
    }

    /// Gives children up that nobody holds and `needed` does not ask for, one scrape interval after that was first
    /// seen.
    pub(super) fn sweep(&self, now: Instant, needed: impl Fn(&Child<T>) -> bool) {
        let mut kept = self.kept();
        let Kept { children, named } = &mut *kept;
        children.retain(|ByLabels(child), unused_since| {
            if Arc::strong_count(child) > 1 || needed(child) {
                *unused_since = None;
                return true;
            }
            let since = *unused_since.get_or_insert(now);
            let keep = now.duration_since(since) < SCRAPE_INTERVAL;
            *named -= usize::from(!keep && !child.folded);
            keep
        });
    }

    /// Gives up at once what is not `there`.
    pub(super) fn retain(&self, there: impl Fn(&Child<T>) -> bool) {
        let mut kept = self.kept();
        let Kept { children, named } = &mut *kept;
        children.retain(|ByLabels(child), _| {
            let keep = there(child);
            *named -= usize::from(!keep && !child.folded);
            keep
        });
    }

    fn kept(&self) -> MutexGuard<'_, Kept<T>> {
        // Children are whole after every statement, so a panic elsewhere left them so.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Kept<T> {
    fn find(&self, labels: &str) -> Option<Held<T>> {
        self.children.get_key_value(labels).map(|(child, _)| Arc::clone(&child.0))
    }

    fn insert(&mut self, labels: String, folded: bool, make: fn() -> T) -> Held<T> {
        let child = Arc::new(Child { labels: labels.into(), folded, counted: make() });
        self.children.insert(ByLabels(Arc::clone(&child)), None);
        child
    }
}

#[cfg(test)]
mod tests;
