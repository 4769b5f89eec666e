// SPDX-License-Identifier: Apache-2.0
//! How long to wait before the next try: longer with each failure in a row, never as long as anybody else, and not less
//! than the server asks for. Chance is an argument.

use std::time::Duration;

/// Before the first try after a failure …
const FIRST: Duration = Duration::from_millis(500);
/// … doubled with each up to this. Whatever was away is used again so soon after it is back.
const LONGEST: Duration = Duration::from_secs(15);
/// A server that asks for more is asked again after this.
pub(crate) const MOST_ASKED: Duration = Duration::from_mins(1);

/// Failures in a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Pauses {
    failures: u32,
}

impl Pauses {
    /// After a failure; `asked` is what the server says (`Retry-After`), `chance` is from 0 to 1.
    pub(crate) fn next(&mut self, asked: Option<Duration>, chance: f64) -> Duration {
        let whole = FIRST.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        let own = whole / 2 + (whole / 2).mul_f64(chance.clamp(0.0, 1.0));
        // Not all at once when the time has come.
        asked.map_or(own, |asked| asked.min(MOST_ASKED) + own.min(asked))
    }

    /// It goes well.
    pub(crate) fn calm(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_doubles_up_to_the_longest_and_is_spread_over_half_of_it() {
        let (mut soon, mut late) = (Pauses::default(), Pauses::default());
        let pauses: Vec<_> =
            (0..8).map(|_| (soon.next(None, 0.0).as_millis(), late.next(None, 1.0).as_millis())).collect();
        assert_eq!(pauses[..3], [(250, 500), (500, 1000), (1000, 2000)]);
        assert_eq!(pauses[7], (7500, 15_000));
        soon.calm();
        assert_eq!(soon, Pauses::default());
    }

    #[test]
    fn what_the_server_asks_for_is_the_least_and_an_hour_is_not_believed() {
        let asked = |seconds| Some(Duration::from_secs(seconds));
        let mut pauses = Pauses { failures: 3 };
        assert_eq!(pauses.next(asked(3), 0.0), Duration::from_secs(5));
        assert!(Pauses::default().next(asked(3), 1.0) <= Duration::from_millis(3500));
        assert!(Pauses::default().next(asked(3600), 1.0) < Duration::from_secs(61));
    }
}
