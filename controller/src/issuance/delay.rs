// SPDX-License-Identifier: Apache-2.0
//! When to try again after a failure: ever later, but not too late for a certificate that ends; as late as the authority
//! asks, and never so often that it counts too many failed validations of a name.

/// Seconds.
const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
/// After so many failures in minutes; then [`LONGEST`].
const MINUTES: [i64; 25] =
    [1, 2, 2, 5, 10, 10, 10, 20, 20, 20, 20, 30, 30, 30, 30, 30, 30, 60, 60, 60, 120, 120, 180, 180, 360];
/// Failed validations that an hour may have: Let's Encrypt refuses a name for an hour after five.
pub const MOST_FAILED_VALIDATIONS: usize = 4;
/// Of the time that a certificate is still valid no more than this part passes between two tries, but for …
const PART_LEFT: i64 = 40;
/// … this.
const SHORTEST: i64 = 2 * MINUTE;
/// For a day after its end, that is …
const ENDED: i64 = -24 * HOUR;
/// … it is this.
const SINCE_IT_ENDED: i64 = 20 * MINUTE;
/// No authority is believed that wants to be left alone for longer.
const LONGEST_ASKED: i64 = 24 * HOUR;

/// An attempt that failed.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// How many failed in a row, this one included.
    pub failures: u32,
    /// When validations failed, this one perhaps included; oldest first.
    pub refused: &'a [i64],
    /// How long the certificate that is there is still valid; negative, since when it is not.
    pub left: Option<i64>,
    /// When the authority wants to be asked again.
    pub asked: Option<i64>,
    /// Now.
    pub now: i64,
    /// Anything: what failed together need not be tried together.
    pub chance: u16,
}

/// When to try again.
pub fn next_try(attempt: Attempt<'_>) -> i64 {
    let Attempt { failures, refused, left, asked, now, chance } = attempt;
    let place = usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX).min(MINUTES.len() - 1);
    let pause = MINUTES.get(place).copied().unwrap_or_default() * MINUTE;
    let urgent = match left {
        Some(left) if left > 0 => (left / PART_LEFT).max(SHORTEST),
        Some(left) if left > ENDED => SINCE_IT_ENDED,
        _ => pause,
    };
    let pause = pause.min(urgent);
    let spread = i64::from(chance) * pause / (10 * i64::from(u16::MAX));
    let asked = asked.unwrap_or_default().min(now + LONGEST_ASKED);
    let recent: Vec<i64> = refused.iter().copied().filter(|at| *at > now - HOUR).collect();
    let window = recent.len().checked_sub(MOST_FAILED_VALIDATIONS).and_then(|first| recent.get(first));
    (now + pause + spread).max(asked).max(window.map_or(0, |first| first + HOUR + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(failures: u32) -> Attempt<'static> {
        Attempt { failures, refused: &[], left: None, asked: None, now: 1000, chance: 0 }
    }

    #[test]
    fn failures_in_a_row_make_it_ever_later() {
        let pauses: Vec<i64> = (1..=30).map(|failures| next_try(attempt(failures)) - 1000).collect();
        assert_eq!(pauses[..5], [60, 120, 120, 300, 600]);
        assert!(pauses.is_sorted());
        assert_eq!(pauses.last(), Some(&(6 * HOUR)));
        assert_eq!(next_try(attempt(u32::MAX)), 1000 + 6 * HOUR);
    }

    #[test]
    fn the_nearer_a_certificate_is_to_its_end_the_sooner_it_is_tried_again() {
        let pause = |left: i64| next_try(Attempt { left: Some(left), ..attempt(30) }) - 1000;
        assert_eq!(pause(30 * 24 * HOUR), 6 * HOUR);
        assert_eq!(pause(40 * HOUR), HOUR);
        assert_eq!(pause(2 * HOUR), 3 * MINUTE);
        assert_eq!(pause(1), SHORTEST);
        assert_eq!((pause(0), pause(-23 * HOUR)), (SINCE_IT_ENDED, SINCE_IT_ENDED));
        assert_eq!(pause(-24 * HOUR), 6 * HOUR, "whoever waited for a day no more waits for minutes");
    }

    #[test]
    fn an_authority_that_asks_for_patience_gets_it_within_reason() {
        assert_eq!(next_try(Attempt { asked: Some(5000), ..attempt(1) }), 5000);
        assert_eq!(next_try(Attempt { asked: Some(1001), ..attempt(1) }), 1060);
        assert_eq!(next_try(Attempt { asked: Some(i64::MAX), ..attempt(1) }), 1000 + LONGEST_ASKED);
    }

    #[test]
    fn no_hour_has_five_failed_validations() {
        let (mut now, mut refused, mut failures) = (0, Vec::new(), 0);
        while now < 48 * HOUR {
            refused.push(now);
            failures += 1;
            now = next_try(Attempt { failures, refused: &refused, left: None, asked: None, now, chance: u16::MAX / 2 });
        }
        for window in refused.windows(MOST_FAILED_VALIDATIONS + 1) {
            assert!(window[MOST_FAILED_VALIDATIONS] - window[0] > HOUR, "{window:?}");
        }
        assert!(refused.len() > 10);
    }

    #[test]
    fn what_failed_together_is_tried_at_different_times() {
        let late = next_try(Attempt { chance: u16::MAX, ..attempt(20) });
        let early = next_try(attempt(20));
        assert!(late > early && late <= early + 2 * HOUR / 10);
    }
}
