// SPDX-License-Identifier: Apache-2.0
//! Istio's durations: protobuf's JSON form (`1.5s`) and Go's (`1h2m`, `300ms`). Never reads a sign.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

/// Parts of a duration that are read; more is no duration that somebody wrote.
const PARTS: usize = 16;

/// The sum of parts such as `1.5h`, `2m`, `3s`, `4ms`, `5us`, `6ns`; also `0`. At most 292 years, as in Go.
pub fn parse(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (mut rest, mut nanos) = (text, 0_u128);
    for part in 0..=PARTS {
        if rest.is_empty() && part > 0 {
            let nanos = u64::try_from(nanos).ok().filter(|nanos| i64::try_from(*nanos).is_ok())?;
            return Some(Duration::from_nanos(nanos));
        }
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(number);
        let unit = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        nanos = nanos.checked_add(amount(number, nanos_of(unit)?)?)?;
        rest = after;
    }
    None
}

fn nanos_of(unit: &str) -> Option<u128> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

/// Digits beyond the ninth after the point are less than anybody can measure.
fn amount(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let billionths: u64 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    Some(u128::from(whole) * unit + u128::from(billionths) * unit / 1_000_000_000)
}

/// A duration that need not be given.
type MaybeDuration = Option<Duration>;

/// For `#[serde(deserialize_with)]` on a field that may be absent.
pub(super) fn optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<MaybeDuration, D::Error> {
    required(deserializer).map(Some)
}

/// For `#[serde(deserialize_with)]`.
pub(super) fn required<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).ok_or_else(|| {
        let shown: String = text.chars().take(40).collect();
        de::Error::custom(format!("{shown:?} is not a duration: write it like 500ms, 1.5s or 1h30m"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        for (text, micros) in [
            ("0", 0),
            ("0s", 0),
            ("1.5s", 1_500_000),
            ("0.000001s", 1),
            ("3.25m", 195_000_000),
            (".5s", 500_000),
            ("5.s", 5_000_000),
            ("1h2m", 3_720_000_000),
            ("1h2m3.5s", 3_723_500_000),
            ("300ms", 300_000),
            ("7us", 7),
            ("7µs", 7),
            ("2000ns", 2),
            ("86400s", 86_400_000_000),
        ] {
            assert_eq!(parse(text), Some(Duration::from_micros(micros)), "{text}");
        }
    }

    #[test]
    fn what_neither_form_has_is_no_duration() {
        for bad in ["", "5", "s", "-1s", "+1s", "1d", "1.2.3s", ".s", "1 s", "1s ", "1S", "1e3s", "٣s", "1sm", "00"] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_duration_of_ages_is_refused_and_nothing_overflows() {
        assert_eq!(parse("2562047h"), Some(Duration::from_hours(2_562_047)));
        for bad in ["2562048h", "99999999999999999999s", "18446744073709551615h", &"1s".repeat(100)] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
