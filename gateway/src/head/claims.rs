// SPDX-License-Identifier: Apache-2.0
//! Looking into the payload of a token: for rules, for policies, and for what backends are told.

use serde_json::Value;

/// What stands at a path in a payload.
pub(crate) fn claim<'v>(payload: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(payload, |value, name| value.get(name))
}

/// Whether a claim is a text that is meant, or a list with one.
pub(crate) fn says(claim: Option<&Value>, is_meant: impl Fn(&str) -> bool) -> bool {
    match claim {
        Some(Value::String(text)) => is_meant(text),
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).any(is_meant),
        _ => false,
    }
}
