// SPDX-License-Identifier: Apache-2.0
//! The children of one metric family, counted and given up when nobody needs them any more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use hashbrown::HashMap;

/// A child that nobody needs stays this long, so that its last values are scraped.
pub(super) const SCRAPE_INTERVAL: Duration = Duration::from_mins(1);

/// Children by their label values. Who holds an `Arc` uses its child.
pub(super) struct Shelf<T> {
    children: Children<T>,
}

type Children<T> = HashMap<Vec<String>, Kept<T>, RandomState>;

struct Kept<T> {
    child: Arc<T>,
    unused_since: Option<Instant>,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self { children: HashMap::default() }
    }
}

impl<T> Shelf<T> {
    pub(super) fn len(&self) -> usize {
        self.children.len()
    }

    pub(super) fn find(&self, labels: &[String]) -> Option<Arc<T>> {
        self.children.get(labels).map(|kept| Arc::clone(&kept.child))
    }

    /// The child of `labels`, made if it is not there.
    pub(super) fn child(&mut self, labels: Vec<String>, make: impl FnOnce(&[String]) -> T) -> Arc<T> {
        if let Some(child) = self.find(&labels) {
            return child;
        }
        let child = Arc::new(make(&labels));
        self.children.insert(labels, Kept { child: Arc::clone(&child), unused_since: None });
        child
    }

    /// Gives children up that nobody holds and `needed` does not ask for, one scrape interval after that was first seen.
    pub(super) fn sweep(
        &mut self,
        now: Instant,
        needed: impl Fn(&[String]) -> bool,
        mut remove: impl FnMut(&[String]),
    ) {
        self.children.retain(|labels, kept| {
            if Arc::strong_count(&kept.child) > 1 || needed(labels) {
                kept.unused_since = None;
                return true;
            }
            let since = *kept.unused_since.get_or_insert(now);
            let keep = now.duration_since(since) < SCRAPE_INTERVAL;
            if !keep {
                remove(labels);
            }
            keep
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_goes_one_scrape_interval_after_its_last_user() {
        let mut shelf = Shelf::default();
        let user = shelf.child(vec!["a".into()], |_| 1);
        let start = Instant::now();
        let sweep = |shelf: &mut Shelf<i32>, after: u64| {
            let mut gone = 0;
            shelf.sweep(start + Duration::from_secs(after), |_| false, |_| gone += 1);
            gone
        };
        assert_eq!(sweep(&mut shelf, 0), 0);
        assert_eq!(sweep(&mut shelf, 100), 0, "it is used");
        drop(user);
        assert_eq!(sweep(&mut shelf, 110), 0, "its last value was perhaps not scraped");
        assert_eq!(sweep(&mut shelf, 169), 0);
        assert_eq!((sweep(&mut shelf, 170), shelf.len()), (1, 0));
    }

    #[test]
    fn a_child_that_is_used_again_stays() {
        let mut shelf = Shelf::default();
        drop(shelf.child(vec!["a".into()], |_| 1));
        let start = Instant::now();
        shelf.sweep(start, |_| false, |_| ());
        let again = shelf.child(vec!["a".into()], |_| 2);
        shelf.sweep(start + SCRAPE_INTERVAL, |_| false, |_| ());
        assert_eq!((shelf.len(), *again), (1, 1));
        drop(again);
        shelf.sweep(start + SCRAPE_INTERVAL * 9, |labels| labels == ["a"], |_| ());
        assert_eq!(shelf.len(), 1);
    }
}
