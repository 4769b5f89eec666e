// SPDX-License-Identifier: Apache-2.0
//! How long to wait before the next attempt: doubled each time, and spread, so that a thousand proxies whose server is
//! back do not come at once. Draws no random number itself.

use std::time::Duration;

/// The pauses of one series of failures.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    /// A series that begins with `first` and never exceeds `longest`.
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        Self { next: first, longest }
    }

    /// The next pause: between half of it and all of it, by `drawn` from 0 to 1.
    pub(crate) fn next(&mut self, drawn: f64) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(self.longest);
        whole.mul_f64(drawn.clamp(0.0, 1.0).midpoint(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest_and_are_spread() {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(2));
        let longest: Vec<u128> = (0..7).map(|_| backoff.next(1.0).as_millis()).collect();
        assert_eq!(longest, [200, 400, 800, 1600, 2000, 2000, 2000]);
        assert_eq!(backoff.next(0.0), Duration::from_secs(1));
    }
}
