// SPDX-License-Identifier: Apache-2.0
//! Whether clients should be sent here: ready while nothing blocks.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A set of named blockers; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Mutex<Blockers>>);

type Blockers = BTreeSet<&'static str>;

impl Readiness {
    /// Not ready until `name` is cleared.
    pub fn block(&self, name: &'static str) {
        self.blocked().insert(name);
    }

    /// `name` blocks no longer.
    pub fn clear(&self, name: &'static str) {
        self.blocked().remove(name);
    }

    /// What blocks; empty means ready.
    pub fn blockers(&self) -> Vec<&'static str> {
        self.blocked().iter().copied().collect()
    }

    fn blocked(&self) -> MutexGuard<'_, Blockers> {
        // A set of words is whole whatever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_means_that_nothing_blocks() {
        let readiness = Readiness::default();
        assert!(readiness.blockers().is_empty());
        readiness.block("table");
        let shared = readiness.clone();
        shared.block("drain");
        readiness.clear("table");
        assert_eq!(readiness.blockers(), ["drain"]);
    }
}
