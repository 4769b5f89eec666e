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
