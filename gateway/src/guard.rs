// SPDX-License-Identifier: Apache-2.0
//! What stands before the routes of a listener: who is asked, whose tokens are believed, and who may do what. Decides
//! nothing itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use torana_ir::ProviderKey;

use crate::access::Access;
use crate::balance::BackendState;
use crate::filter::ExternalAuth;
use crate::token::Tokens;

/// Somebody else who is asked about requests.
pub(crate) type Authorizer = ExternalAuth<Arc<BackendState>>;

/// All who may be asked, by the names that policies call them by.
pub(crate) type Authorizers = BTreeMap<ProviderKey, Arc<Authorizer>>;

/// The policies of one listener.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    /// Who may be asked; `None`: no policy asks anybody.
    pub authorizers: Option<Arc<Authorizers>>,
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
        is(self.tokens.as_ref(), other.tokens.as_ref())
            && is(self.access.as_ref(), other.access.as_ref())
            && is(self.authorizers.as_ref(), other.authorizers.as_ref())
    }
}

fn is<T>(one: Option<&Arc<T>>, other: Option<&Arc<T>>) -> bool {
    one.map(Arc::as_ptr) == other.map(Arc::as_ptr)
}
