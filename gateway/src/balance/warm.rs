// SPDX-License-Identifier: Apache-2.0
//! Slow start: how much of its weight a new endpoint has.

use std::time::Duration;

use torana_ir::WarmUp;

/// The whole weight.
pub(super) const WHOLE: u32 = 1000;

/// Shares are reckoned anew after such a part of the window …
const STEPS: u32 = 64;

/// … but not more often than this.
const SHORTEST_STEP: Duration = Duration::from_millis(50);

/// How much of its weight an endpoint has that is `age` old, in thousandths. At least one: nobody is left out.
pub(super) fn share(warm_up: &WarmUp, age: Duration) -> u32 {
    if age >= warm_up.window {
        return WHOLE;
    }
    // The window is not zero, or no age would be less.
    let passed = age.as_secs_f64() / warm_up.window.as_secs_f64();
    let grown = passed.powf(1000.0 / f64::from(warm_up.aggression.get()));
    let least = u32::from(warm_up.minimum.number()) * 10;
    // From 0 to 1, so it stays within thousandths.
    #[expect(clippy::cast_sign_loss, reason = "a power of a number from 0 to 1 is one")]
    let grown = (grown * f64::from(WHOLE)) as u32;
    grown.clamp(least.max(1), WHOLE)
}

/// How long a share that was reckoned holds.
pub(super) fn step(warm_up: &WarmUp) -> Duration {
    (warm_up.window / STEPS).max(SHORTEST_STEP)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use torana_ir::Percent;

    use super::*;

    #[test]
    fn the_curve_is_that_of_envoy() {
        // Aggression in thousandths, minimum, seconds of a window of 100, thousandths.
        for (aggression, minimum, age, expected) in [
            (1000, 10, 0, 100),
            (1000, 10, 9, 100),
            (1000, 10, 25, 250),
            (1000, 10, 99, 990),
            (1000, 10, 100, 1000),
            (1000, 10, 5000, 1000),
            (2000, 10, 25, 500),
            (500, 10, 50, 250),
            (500, 0, 1, 1),
            (1000, 0, 0, 1),
            (1000, 100, 0, 1000),
            (1, 10, 99, 100),
        ] {
            let warm_up = WarmUp {
                window: Duration::from_secs(100),
                aggression: NonZeroU32::new(aggression).unwrap(),
                minimum: Percent::new(minimum).unwrap(),
            };
            let share = share(&warm_up, Duration::from_secs(age));
            assert!(share.abs_diff(expected) <= 1, "{aggression} {minimum} {age}: {share}, not {expected}");
        }
    }

    #[test]
    fn a_window_of_nothing_is_none_and_steps_are_not_many() {
        assert_eq!(share(&WarmUp::over(Duration::ZERO), Duration::ZERO), WHOLE);
        assert_eq!(step(&WarmUp::over(Duration::ZERO)), SHORTEST_STEP);
        assert_eq!(step(&WarmUp::over(Duration::from_secs(64))), Duration::from_secs(1));
    }
}
