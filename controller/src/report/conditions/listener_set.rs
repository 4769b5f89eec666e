// SPDX-License-Identifier: Apache-2.0
//! Conditions of a ListenerSet: always Accepted and Programmed together. Never looks into a listener.

use crate::report::conditions::{Condition, no, yes};

/// `ListenerSetReasonNotAllowed`.
pub const NOT_ALLOWED: &str = "NotAllowed";
/// `ListenerSetReasonParentNotAccepted`.
pub const PARENT_NOT_ACCEPTED: &str = "ParentNotAccepted";
/// `ListenerSetReasonListenersNotValid`.
pub const LISTENERS_NOT_VALID: &str = "ListenersNotValid";

/// Every listener is valid.
pub fn accepted() -> Condition {
    yes("Accepted", "Accepted", "every listener is valid")
}

/// Some listeners are not valid, the others are served.
pub fn accepted_in_part(message: String) -> Condition {
    yes("Accepted", LISTENERS_NOT_VALID, message)
}

/// Proxies serve at least one listener, once they have acknowledged it.
pub fn programmed() -> Condition {
    yes("Programmed", "Programmed", "at least one listener is served")
}

/// The set is valid, but none of its listeners can be served.
pub fn not_programmed(message: String) -> Condition {
    no("Programmed", LISTENERS_NOT_VALID, message)
}

/// Proxies have not acknowledged it yet (`ListenerSetReasonPending`).
pub fn pending(message: String) -> Condition {
    no("Programmed", "Pending", message)
}

/// Nothing of it is served: `reason` is one of this file's.
pub fn refused(reason: &'static str, message: &str) -> Vec<Condition> {
    vec![no("Accepted", reason, message), no("Programmed", reason, message)]
}
