// SPDX-License-Identifier: Apache-2.0
//! Conditions of a route with one of its parents. Never looks at the parent.

use crate::report::conditions::{Condition, no, yes};

/// `RouteReasonNoMatchingParent`.
pub const NO_MATCHING_PARENT: &str = "NoMatchingParent";
/// `RouteReasonNotAllowedByListeners`.
pub const NOT_ALLOWED_BY_LISTENERS: &str = "NotAllowedByListeners";
/// `RouteReasonNoMatchingListenerHostname`.
pub const NO_MATCHING_LISTENER_HOSTNAME: &str = "NoMatchingListenerHostname";
/// `RouteReasonUnsupportedValue`.
pub const UNSUPPORTED_VALUE: &str = "UnsupportedValue";
/// `RouteReasonIncompatibleFilters`.
pub const INCOMPATIBLE_FILTERS: &str = "IncompatibleFilters";
/// `RouteReasonRefNotPermitted`.
pub const REF_NOT_PERMITTED: &str = "RefNotPermitted";
/// `RouteReasonInvalidKind`.
pub const INVALID_KIND: &str = "InvalidKind";
/// `RouteReasonBackendNotFound`.
pub const BACKEND_NOT_FOUND: &str = "BackendNotFound";
/// `RouteReasonUnsupportedProtocol`.
pub const UNSUPPORTED_PROTOCOL: &str = "UnsupportedProtocol";

/// At least one rule is in force at the parent. `message` also names fields that are not honoured yet.
pub fn accepted(message: String) -> Condition {
    yes("Accepted", "Accepted", message)
}

/// No rule is in force at the parent: `reason` is one of this file's.
pub fn not_accepted(reason: &'static str, message: String) -> Condition {
    no("Accepted", reason, message)
}

/// Some rules are invalid. The message must begin with `Dropped Rule` (`RouteConditionPartiallyInvalid`).
pub fn partially_invalid(message: &str) -> Condition {
    yes("PartiallyInvalid", UNSUPPORTED_VALUE, format!("Dropped Rule: {message}"))
}

/// Every reference is good.
pub fn resolved_refs() -> Condition {
    yes("ResolvedRefs", "ResolvedRefs", "every reference is resolved")
}

/// Some reference is not: `reason` is one of this file's.
pub fn unresolved_refs(reason: &'static str, message: String) -> Condition {
    no("ResolvedRefs", reason, message)
}
