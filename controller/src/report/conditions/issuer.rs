// SPDX-License-Identifier: Apache-2.0
//! Conditions of an AcmeIssuer or a ClusterAcmeIssuer. Never looks at a certificate.

use crate::report::conditions::{Condition, no, yes};

/// It says what cannot be.
pub const INVALID: &str = "Invalid";

/// It says what can be done.
pub fn accepted() -> Condition {
    yes("Accepted", "Accepted", "the issuer is valid")
}

/// It does not: nothing is obtained with it.
pub fn invalid(message: String) -> Condition {
    no("Accepted", INVALID, message)
}
