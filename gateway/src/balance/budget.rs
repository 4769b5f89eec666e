// SPDX-License-Identifier: Apache-2.0
//! How many requests of a backend may be on a try after their first at once, so that retries never become the load
//! that keeps a backend down. It counts; whether a try is worth making is decided elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use torana_ir::RetryCap;

/// Requests of one backend that are on a try after their first.
#[derive(Debug, Default)]
pub(super) struct Budget(AtomicU32);

/// Leave for one request to be tried again; given back when dropped.
#[derive(Debug)]
pub struct Leave(Arc<Budget>);

impl Budget {
    /// Leave for one more; `None` if too many have it for so many requests `in_flight`.
    pub(super) fn leave(self: &Arc<Self>, cap: RetryCap, in_flight: impl FnOnce() -> u32) -> Option<Leave> {
        let taken = self.0.fetch_add(1, Ordering::Relaxed);
        // Refused, the leave is dropped and takes its count with it.
        let leave = Leave(Arc::clone(self));
        let granted = match cap {
            RetryCap::Most(most) => taken < most,
            // Where little is going on, what a route asks for is done.
            RetryCap::Share { percent, least } => taken < least || (taken as usize) < percent.of(in_flight() as usize),
        };
        granted.then_some(leave)
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_requests_in_flight_may_be_on_another_try_and_some_always() {
        let budget = Arc::new(Budget::default());
        let half = RetryCap::Share { percent: torana_ir::Percent::HALF, least: 1 };
        let usual = torana_ir::Caps::default().retries;
        let all = |cap, in_flight| std::iter::from_fn(|| budget.leave(cap, || in_flight)).collect::<Vec<_>>();
        for (cap, in_flight, expected) in [
            (usual, 1000, 200),
            (usual, 0, 32),
            (usual, 160, 32),
            (usual, 165, 33),
            (half, 9, 4),
            (half, 0, 1),
            (RetryCap::Most(7), 1000, 7),
            (RetryCap::Most(0), 1000, 0),
            (usual, 1000, 200),
        ] {
            assert_eq!(all(cap, in_flight).len(), expected, "{cap:?} with {in_flight} in flight");
        }
    }
}
