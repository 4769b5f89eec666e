// SPDX-License-Identifier: Apache-2.0
//! Extension providers: others that listeners ask, or tell of what passes. Policies name them.

use serde::{Deserialize, Serialize};

use crate::external_auth::ExternalAuth;
use crate::key::{BackendKey, ProviderKey};
use crate::target::Target;
use crate::tracing::Collector;

/// `MeshConfig.ExtensionProvider`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provider {
    /// Who it is.
    pub key: ProviderKey,
    /// What it is there for.
    pub purpose: Purpose,
}

/// What a provider is there for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// It says who may do what.
    Authorizer(ExternalAuth),
    /// It is told of spans.
    Collector(Collector),
}

impl Provider {
    /// Where it is.
    pub fn backend(&self) -> Option<&BackendKey> {
        let target = match &self.purpose {
            Purpose::Authorizer(it) => &it.target,
            Purpose::Collector(it) => &it.target,
        };
        match target {
            Target::Backend(key) => Some(key),
            Target::Invalid(_) => None,
        }
    }
}
