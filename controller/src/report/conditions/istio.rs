// SPDX-License-Identifier: Apache-2.0
//! Of Istio's objects that Torana serves. Istio's own controllers write conditions of their own there: the name says whose
//! this one is.

use super::{Condition, no, yes};
use crate::report::{Remark, Severity};

/// Whether all of the object is in force.
pub const ACCEPTED: &str = "torana.dev/Accepted";

/// What follows from all that there is to say of an object.
pub fn accepted(remarks: &[Remark]) -> Condition {
    let told: Vec<_> =
        remarks.iter().filter(|remark| remark.severity > Severity::Note).map(ToString::to_string).collect();
    match remarks.iter().find(|remark| remark.severity == Severity::Error) {
        Some(worst) => no(ACCEPTED, worst.reason, told.join("; ")),
        None if told.is_empty() => yes(ACCEPTED, "Accepted", "Torana serves it"),
        None => yes(ACCEPTED, "Accepted", told.join("; ")),
    }
}
