// SPDX-License-Identifier: Apache-2.0
//! How many requests of a Gateway or of a route are traced, as an annotation of it says. Never says whether any are.

use torana_crds::ObjectMeta;
use torana_ir::Share;

use crate::report::Remark;

/// The reason where the value is none.
pub(super) const INVALID: &str = "InvalidAnnotation";

/// A percentage, such as `12.5`.
const ANNOTATION: &str = "torana.dev/trace-sampling";

/// What an object says; with what there is to say of that.
pub(super) fn annotated(meta: &ObjectMeta) -> Result<Option<Share>, Remark> {
    let Some(text) = meta.annotations.get(ANNOTATION) else { return Ok(None) };
    percentage(text).map(Some).ok_or_else(|| {
        let shown: String = text.chars().take(40).collect();
        let path = format!("metadata.annotations[\"{ANNOTATION}\"]");
        let message = format!("{shown:?} is no percentage, so as many requests are traced as without it");
        Remark::warning(INVALID, &path, message, "write a number from 0 to 100, such as \"12.5\"")
    })
}

/// Digits, and at most four after a point: the finest share that there is.
fn percentage(text: &str) -> Option<Share> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) || whole.len() > 3 || fraction.len() > 4 {
        return None;
    }
    let (whole, fraction): (u32, u32) = (whole.parse().ok()?, format!("{fraction:0<4}").parse().ok()?);
    Share::new(whole * 10_000 + fraction).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_a_number_from_0_to_100() {
        for (text, millionths) in
            [("0", 0), ("100", 1_000_000), ("12.5", 125_000), ("0.0001", 1), ("100.0000", 1_000_000), ("007", 70_000)]
        {
            assert_eq!(percentage(text).map(Share::millionths), Some(millionths), "{text}");
        }
        for text in ["", "-1", "100.0001", "101", "1e1", "12,5", "5%", ".5", "5.", "0.00001", "1.2.3", " 1", "+1"] {
            assert_eq!(percentage(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_percentage_is_told() {
        let mut meta = ObjectMeta::default();
        assert_eq!(annotated(&meta), Ok(None));
        meta.annotations.insert(ANNOTATION.to_owned(), "half".to_owned());
        let told = annotated(&meta).unwrap_err().to_string();
        assert!(told.starts_with("metadata.annotations[\"torana.dev/trace-sampling\"]: \"half\" is no perc"), "{told}");
    }
}
