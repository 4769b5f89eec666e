// SPDX-License-Identifier: Apache-2.0
//! What a reference came to: a backend, or a mistake as data. Never an absent object.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::key::BackendKey;

/// A resolved reference, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// A backend of this snapshot.
    Backend(BackendKey),
    /// Requests that would go here get 500.
    Invalid(Invalid),
}

/// A user's mistake as data: what, where, and what to change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invalid {
    /// A Gateway API reason: `BackendNotFound`, `RefNotPermitted`, `InvalidKind`, `UnsupportedValue` …
    pub reason: Cow<'static, str>,
    /// One sentence for `explain` and the log.
    pub message: String,
}
