// SPDX-License-Identifier: Apache-2.0
//! Conditions of a listener, of a Gateway or of a ListenerSet. Never looks at routes.

use crate::report::conditions::{Condition, no, yes};

/// `ListenerReasonUnsupportedProtocol`.
pub const UNSUPPORTED_PROTOCOL: &str = "UnsupportedProtocol";
/// `ListenerReasonPortUnavailable`.
pub const PORT_UNAVAILABLE: &str = "PortUnavailable";
/// `ListenerReasonHostnameConflict`.
pub const HOSTNAME_CONFLICT: &str = "HostnameConflict";
/// `ListenerReasonProtocolConflict`.
pub const PROTOCOL_CONFLICT: &str = "ProtocolConflict";
/// `ListenerReasonInvalidCertificateRef`.
pub const INVALID_CERTIFICATE_REF: &str = "InvalidCertificateRef";
/// `ListenerReasonRefNotPermitted`.
pub const REF_NOT_PERMITTED: &str = "RefNotPermitted";
/// `ListenerReasonInvalidRouteKinds`.
pub const INVALID_ROUTE_KINDS: &str = "InvalidRouteKinds";
/// `ListenerReasonNoValidCACertificate`.
pub const NO_VALID_CA_CERTIFICATE: &str = "NoValidCACertificate";
/// `ListenerReasonInvalidCACertificateRef`.
pub const INVALID_CA_CERTIFICATE_REF: &str = "InvalidCACertificateRef";
/// `ListenerReasonInvalidCACertificateKind`.
pub const INVALID_CA_CERTIFICATE_KIND: &str = "InvalidCACertificateKind";
/// A field has a value that this version does not do, and serving without it would be wrong.
pub const UNSUPPORTED_VALUE: &str = "UnsupportedValue";
/// `ListenerReasonInvalid`.
pub const INVALID: &str = "Invalid";

/// The listener makes sense.
pub fn accepted() -> Condition {
    yes("Accepted", "Accepted", "the listener is valid")
}

/// It does not: `reason` is one of this file's.
pub fn not_accepted(reason: &'static str, message: String) -> Condition {
    no("Accepted", reason, message)
}

/// It can be told apart from every other listener.
pub fn no_conflicts() -> Condition {
    no("Conflicted", "NoConflicts", "no other listener has its port and hostname")
}

/// It cannot: `reason` is [`HOSTNAME_CONFLICT`] or [`PROTOCOL_CONFLICT`].
pub fn conflicted(reason: &'static str, message: String) -> Condition {
    yes("Conflicted", reason, message)
}

/// Every reference is good.
pub fn resolved_refs() -> Condition {
    yes("ResolvedRefs", "ResolvedRefs", "every reference is resolved")
}

/// Some reference is not: `reason` is one of this file's.
pub fn unresolved_refs(reason: &'static str, message: String) -> Condition {
    no("ResolvedRefs", reason, message)
}

/// Proxies serve it, once they have acknowledged it.
pub fn programmed() -> Condition {
    yes("Programmed", "Programmed", "the listener is served")
}

/// Proxies have not acknowledged it yet (`ListenerReasonPending`).
pub fn pending(message: String) -> Condition {
    no("Programmed", "Pending", message)
}

/// Nothing serves it, for it cannot be told apart from another: `reason` as in [`conflicted`].
pub fn not_programmed_for_conflict(reason: &'static str, message: String) -> Condition {
    no("Programmed", reason, message)
}

/// Nothing serves it.
pub fn not_programmed(message: String) -> Condition {
    no("Programmed", INVALID, message)
}
