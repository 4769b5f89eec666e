// SPDX-License-Identifier: Apache-2.0
//! Conditions of a Gateway. Never looks into a listener.

use crate::report::conditions::{Condition, no, yes};

/// `GatewayReasonListenersNotValid`.
pub const LISTENERS_NOT_VALID: &str = "ListenersNotValid";
/// `GatewayReasonInvalidParameters`.
pub const INVALID_PARAMETERS: &str = "InvalidParameters";
/// `GatewayReasonUnsupportedAddress`.
pub const UNSUPPORTED_ADDRESS: &str = "UnsupportedAddress";
/// `GatewayReasonAddressNotUsable`.
pub const ADDRESS_NOT_USABLE: &str = "AddressNotUsable";
/// `GatewayReasonInvalid`.
pub const INVALID: &str = "Invalid";
/// `GatewayReasonPending`.
pub const PENDING: &str = "Pending";
/// `GatewayReasonNoResources`.
pub const NO_RESOURCES: &str = "NoResources";
/// `GatewayReasonAddressNotAssigned`.
pub const ADDRESS_NOT_ASSIGNED: &str = "AddressNotAssigned";
/// `GatewayReasonInvalidClientCertificateRef`.
pub const INVALID_CLIENT_CERTIFICATE_REF: &str = "InvalidClientCertificateRef";

/// Every listener is valid.
pub fn accepted() -> Condition {
    yes("Accepted", "Accepted", "every listener is valid")
}

/// Every listener is valid, and something else is not done as it is written.
pub fn accepted_but(message: &str) -> Condition {
    yes("Accepted", "Accepted", format!("every listener is valid, but: {message}"))
}

/// Some listeners are not valid, the others are served.
pub fn accepted_in_part(message: String) -> Condition {
    yes("Accepted", LISTENERS_NOT_VALID, message)
}

/// No listener is valid.
pub fn no_valid_listener(message: String) -> Condition {
    no("Accepted", LISTENERS_NOT_VALID, message)
}

/// The Gateway or its class has parameters that Torana cannot use.
pub fn invalid_parameters(message: String) -> Condition {
    no("Accepted", INVALID_PARAMETERS, message)
}

/// `spec.addresses` has a type that Torana cannot bind.
pub fn unsupported_address(message: String) -> Condition {
    no("Accepted", UNSUPPORTED_ADDRESS, message)
}

/// Proxies serve at least one listener, once they have acknowledged it.
pub fn programmed() -> Condition {
    yes("Programmed", "Programmed", "at least one listener is served")
}

/// Proxies serve at least one listener, and there is more to say about them.
pub fn programmed_but(message: String) -> Condition {
    yes("Programmed", "Programmed", message)
}

/// Proxies have not acknowledged it yet.
pub fn pending(message: String) -> Condition {
    no("Programmed", PENDING, message)
}

/// There are no proxies to serve it.
pub fn no_resources(message: String) -> Condition {
    no("Programmed", NO_RESOURCES, message)
}

/// Proxies serve it, but no address leads to them yet.
pub fn address_not_assigned() -> Condition {
    no(
        "Programmed",
        ADDRESS_NOT_ASSIGNED,
        "its Service has no address yet; in a cluster without load balancers use type NodePort or ClusterIP",
    )
}

/// The object cannot be read; what it said before is in force.
pub fn unreadable(message: String) -> Condition {
    no("Accepted", INVALID, message)
}

/// There is nothing to serve (`GatewayReasonInvalid`).
pub fn not_programmed(message: String) -> Condition {
    no("Programmed", INVALID, message)
}

/// `spec.addresses` has a value that cannot be bound.
pub fn address_not_usable(message: String) -> Condition {
    no("Programmed", ADDRESS_NOT_USABLE, message)
}

/// `spec.tls.backend.clientCertificateRef` is good.
pub fn resolved_refs() -> Condition {
    yes("ResolvedRefs", "ResolvedRefs", "every reference is resolved")
}

/// `spec.tls.backend.clientCertificateRef` is not: `reason` is `InvalidClientCertificateRef` or `RefNotPermitted`.
pub fn unresolved_refs(reason: &'static str, message: String) -> Condition {
    no("ResolvedRefs", reason, message)
}

/// Some port lets clients in whose certificates are not good (`GatewayConditionInsecureFrontendValidationMode`).
pub fn insecure_frontend_validation(message: String) -> Condition {
    yes("InsecureFrontendValidationMode", "ConfigurationChanged", message)
}
