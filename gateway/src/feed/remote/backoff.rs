// SPDX-License-Identifier: Apache-2.0
//! How long to wait before the next attempt: doubled each time, and spread, so that a thousand proxies whose controller
//! is back do not come at once. Draws no random number itself.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(2);

/// The pauses of one series of failures.
#[derive(Debug)]
pub(super) struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl Backoff {
    /// The next pause: between half of it and all of it, by `drawn` from 0 to 1.
    pub(super) fn next(&mut self, drawn: f64) -> Duration {
        let whole = self.0;
        self.0 = (whole * 2).min(LONGEST);
        whole.mul_f64(drawn.clamp(0.0, 1.0).midpoint(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_two_seconds_and_are_spread() {
        let mut backoff = Backoff::default();
        let longest: Vec<u128> = (0..7).map(|_| backoff.next(1.0).as_millis()).collect();
        assert_eq!(longest, [200, 400, 800, 1600, 2000, 2000, 2000]);
        assert_eq!(backoff.next(0.0), Duration::from_secs(1));
    }
}
