// SPDX-License-Identifier: Apache-2.0
//! Gateway API durations (GEP-2257) as [`std::time::Duration`]. Never accepts what Go's `ParseDuration` adds to them
//! (signs, fractions, micro- and nanoseconds).

use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

/// Parses `h`, `m`, `s` and `ms` parts in any order, at most four of them, each at most five digits:
/// `^([0-9]{1,5}(h|m|s|ms)){1,4}$` (GEP-2257). `0s` is [`Duration::ZERO`].
pub fn parse(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut sum = Duration::ZERO;
    for part in 0.. {
        if rest.is_empty() {
            return (part > 0).then_some(sum);
        }
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if part == 4 || !(1..=5).contains(&digits) {
            return None;
        }
        let (number, unit) = rest.split_at(digits);
        let number: u64 = number.parse().ok()?;
        let (millis, width) = match unit.as_bytes() {
            [b'm', b's', ..] => (1, 2),
            [b's', ..] => (1_000, 1),
            [b'm', ..] => (60_000, 1),
            [b'h', ..] => (3_600_000, 1),
            _ => return None,
        };
        sum += Duration::from_millis(number * millis);
        rest = unit.get(width..)?;
    }
    None
}

/// A duration that need not be given.
type MaybeDuration = Option<Duration>;

/// For `#[serde(deserialize_with)]` on a field that may be absent.
pub(crate) fn optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<MaybeDuration, D::Error> {
    written(deserializer).map(Some)
}

/// For `#[serde(deserialize_with)]` on a field that has a default, or none.
pub(crate) fn written<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).ok_or_else(|| {
        let shown: String = text.chars().take(40).collect();
        de::Error::custom(format!("{shown:?} is not a duration: write it like 500ms, 10s or 1h30m (GEP-2257)"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_sums_of_h_m_s_and_ms() {
        for (text, millis) in
            [("0s", 0), ("500ms", 500), ("10s", 10_000), ("1h30m", 5_400_000), ("1s1h", 3_601_000), ("1m1ms", 60_001)]
        {
            assert_eq!(parse(text), Some(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_gep_2257_does_not_allow_is_no_duration() {
        for bad in ["", "5", "s", "-1s", "1.5s", "1us", "1d", "100000s", "1s1s1s1s1s", " 1s", "1s ", "1sm", "٣s"] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn the_largest_duration_does_not_overflow() {
        assert_eq!(parse("99999h99999h99999h99999h"), Some(Duration::from_hours(4 * 99_999)));
    }
}
