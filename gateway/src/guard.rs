// SPDX-License-Identifier: Apache-2.0
//! What stands before the routes of a listener: whose tokens are believed, and who may do what. Decides nothing itself.

use std::sync::Arc;

use crate::access::Access;
use crate::token::Tokens;

/// The policies of one listener.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    /// Whose tokens are believed; `None`: nobody looks for any.
    pub tokens: Option<Arc<Tokens>>,
    /// Who may do what; `None`: everybody, everything.
    pub access: Option<Arc<Access>>,
}

impl Guard {
    /// There is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.tokens.is_none() && self.access.is_none()
    }

    /// Whether it is that one itself.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.tokens.as_ref().map(Arc::as_ptr) == other.tokens.as_ref().map(Arc::as_ptr)
            && self.access.as_ref().map(Arc::as_ptr) == other.access.as_ref().map(Arc::as_ptr)
    }
}
