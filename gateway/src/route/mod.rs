// SPDX-License-Identifier: Apache-2.0
//! Which rule a request belongs to: host, then path, then method, headers and query. Rules of Gateway API by its
//! precedence; if none of them fits, rules of Istio in the order in which they were written.
//!
//! Pure lookups over what [`Router::build`] indexed: their cost does not grow with the number of routes, and they
//! allocate nothing. The same code tells `explain` who lost and why. Nothing here knows what a rule does.

mod host;

mod query;

mod order;

mod candidate;

mod path;

mod texts;

mod sequence;

mod router;

mod record;

pub use candidate::{Candidate, Fit, Mismatch, Routable};
pub use host::HostIndex;
pub use order::{DecidingKey, PathRank, Precedence};
pub(crate) use query::{text as decoded, unescaped};
pub use record::{Decision, Explained, Loser, Loss, Winner};
pub use router::{Found, Recorder, Route, Router, Silent};

#[cfg(test)]
mod tests;
