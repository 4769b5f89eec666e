// SPDX-License-Identifier: Apache-2.0
//! Conditions of a BackendTLSPolicy or a TrafficPolicy with one of its ancestors. Never looks at the ancestor.

use crate::report::conditions::{Condition, no, yes};

/// `PolicyReasonConflicted`.
pub const CONFLICTED: &str = "Conflicted";
/// `PolicyReasonInvalid`.
pub const INVALID: &str = "Invalid";
/// `PolicyReasonTargetNotFound`.
pub const TARGET_NOT_FOUND: &str = "TargetNotFound";
/// `BackendTLSPolicyReasonNoValidCACertificate`.
pub const NO_VALID_CA_CERTIFICATE: &str = "NoValidCACertificate";
/// `BackendTLSPolicyReasonInvalidCACertificateRef`.
pub const INVALID_CA_CERTIFICATE_REF: &str = "InvalidCACertificateRef";
/// `BackendTLSPolicyReasonInvalidKind`.
pub const INVALID_KIND: &str = "InvalidKind";

/// Backends are treated as it says.
pub fn accepted(message: String) -> Condition {
    yes("Accepted", "Accepted", message)
}

/// They are not: another policy has precedence, or it says what cannot be. `reason` is one of this file's.
pub fn not_accepted(reason: &'static str, message: String) -> Condition {
    no("Accepted", reason, message)
}

/// Every reference is good.
pub fn resolved_refs() -> Condition {
    yes("ResolvedRefs", "ResolvedRefs", "every reference is resolved")
}

/// Some reference is not: `reason` is one of this file's.
pub fn unresolved_refs(reason: &'static str, message: String) -> Condition {
    no("ResolvedRefs", reason, message)
}
