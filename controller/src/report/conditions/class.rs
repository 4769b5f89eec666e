// SPDX-License-Identifier: Apache-2.0
//! Conditions of a GatewayClass. Never looks at Gateways.

use crate::report::conditions::{Condition, no, yes};

/// `GatewayClassReasonInvalidParameters`.
pub const INVALID_PARAMETERS: &str = "InvalidParameters";

/// Torana serves Gateways of this class.
pub fn accepted() -> Condition {
    yes("Accepted", "Accepted", "Gateways of this class are served by Torana")
}

/// `parametersRef` names something that Torana cannot use (`GatewayClassReasonInvalidParameters`).
pub fn invalid_parameters(message: String) -> Condition {
    no("Accepted", INVALID_PARAMETERS, message)
}

/// The installed CRDs are those that Torana is made for.
pub fn supported_version() -> Condition {
    yes("SupportedVersion", "SupportedVersion", "the installed version of Gateway API is supported")
}

/// They are others (`GatewayClassReasonUnsupportedVersion`).
pub fn unsupported_version(message: String) -> Condition {
    no("SupportedVersion", "UnsupportedVersion", message)
}
