// SPDX-License-Identifier: Apache-2.0
//! AuthorizationPolicy and RequestAuthentication of `security.istio.io`, as far as they say whom they are for: their rules
//! are not evaluated yet, so whoever they are for is closed. Never judges a request.

use serde::Deserialize;

use crate::istio::destination_rule::WorkloadSelector;
use crate::meta::ObjectMeta;

/// `security.istio.io` AuthorizationPolicy.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AuthorizationPolicy {
    /// Metadata.
    #[serde(rename = "metadata")]
    pub meta: ObjectMeta,
    /// Whom it is for. `{}` lets nobody in.
    #[serde(default)]
    pub spec: Scope,
}

/// `security.istio.io` RequestAuthentication.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RequestAuthentication {
    /// Metadata.
    #[serde(rename = "metadata")]
    pub meta: ObjectMeta,
    /// Whom it is for.
    #[serde(default)]
    pub spec: Scope,
}

/// Whom a policy is for: at most one of `selector` and targets; neither: all of its namespace.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Scope {
    /// Pods with these labels.
    pub selector: Option<WorkloadSelector>,
    /// The same as an only entry of `target_refs`, deprecated.
    pub target_ref: Option<PolicyTarget>,
    /// Objects of its namespace.
    pub target_refs: Vec<PolicyTarget>,
    /// `ALLOW` where nothing is written; `AUDIT` only writes a log.
    pub action: String,
}

impl Scope {
    /// Every object that it names.
    pub fn targets(&self) -> impl Iterator<Item = &PolicyTarget> {
        self.target_ref.iter().chain(&self.target_refs)
    }
}

/// `PolicyTargetReference`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct PolicyTarget {
    /// API group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
    /// Its own, if any is written.
    pub namespace: String,
}
