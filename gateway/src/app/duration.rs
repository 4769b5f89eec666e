// SPDX-License-Identifier: Apache-2.0
//! Durations as flags have them: numbers with units.

use std::time::Duration;

/// A duration with its unit, as flags have it.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    sum(text).ok_or_else(|| "write a duration like 500ms, 30s or 1m30s".to_owned())
}

/// Numbers with units, one after the other.
fn sum(text: &str) -> Option<Duration> {
    let mut total = (!text.is_empty()).then_some(Duration::ZERO)?;
    let mut rest = text;
    while !rest.is_empty() {
        let (number, after) = split(rest, u8::is_ascii_digit);
        let (unit, after) = split(after, u8::is_ascii_alphabetic);
        let factor: u64 = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        let milliseconds = number.parse::<u64>().ok()?.checked_mul(factor)?;
        total = total.checked_add(Duration::from_millis(milliseconds))?;
        rest = after;
    }
    Some(total)
}

fn split(text: &str, first: impl Fn(&u8) -> bool) -> (&str, &str) {
    text.split_at(text.bytes().take_while(first).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        for (text, milliseconds) in [("0s", 0), ("500ms", 500), ("1m30s", 90_000), ("2h", 7_200_000)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for bad in ["", "30", "s", "1d", "1 s", "-1s", "1.5s", "99999999999999999999s", "18446744073709551615h", "1ß"]
        {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
