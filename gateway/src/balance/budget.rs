// SPDX-License-Identifier: Apache-2.0
//! How many requests of a backend may be on a try after their first at once, so that retries never become the load
//! that keeps a backend down. It counts; whether a try is worth making is decided elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// So many may always be: where little is going on, what a route asks for is done.
const LEAST: u32 = 32;

/// Beyond that, one in so many of the requests in flight.
const SHARE: u32 = 5;

/// Requests of one backend that are on a try after their first.
#[derive(Debug, Default)]
pub(super) struct Budget(AtomicU32);

/// Leave for one request to be tried again; given back when dropped.
#[derive(Debug)]
pub struct Leave(Arc<Budget>);

impl Budget {
    /// Leave for one more; `None` if too many have it for so many requests `in_flight`.
    pub(super) fn leave(self: &Arc<Self>, in_flight: impl FnOnce() -> u32) -> Option<Leave> {
        let taken = self.0.fetch_add(1, Ordering::Relaxed);
        // Refused, the leave is dropped and takes its count with it.
        let leave = Leave(Arc::clone(self));
        (taken < LEAST || taken < in_flight() / SHARE).then_some(leave)
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
    fn a_fifth_of_the_requests_in_flight_may_be_on_another_try_and_some_always() {
        let budget = Arc::new(Budget::default());
        let all = |in_flight| std::iter::from_fn(|| budget.leave(|| in_flight)).collect::<Vec<_>>();
        for (in_flight, expected) in [(1000, 200), (0, 32), (160, 32), (165, 33), (1000, 200)] {
            assert_eq!(all(in_flight).len(), expected, "{in_flight} in flight");
        }
    }
}
