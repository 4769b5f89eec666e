// SPDX-License-Identifier: Apache-2.0
//! Whom an AuthorizationPolicy, a RequestAuthentication or a Telemetry is for, as it is written. Which proxies that are is
//! translation's to find out.

use serde::Deserialize;

use crate::istio::destination_rule::WorkloadSelector;

/// Whom a policy is for: at most one of `selector` and targets; neither: all of its namespace, and in the root
/// namespace all of the mesh.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scope<'p> {
    /// Pods with these labels; without labels all.
    pub selector: Option<&'p WorkloadSelector>,
    /// Objects, each of the policy's own namespace; a GatewayClass is of none.
    pub targets: Vec<&'p PolicyTarget>,
}

impl<'p> Scope<'p> {
    /// `targetRef` comes before `targetRefs`; a policy that has both is refused by `problems()`.
    pub(super) fn new(
        selector: Option<&'p WorkloadSelector>,
        target: Option<&'p PolicyTarget>,
        targets: &'p [PolicyTarget],
    ) -> Self {
        Self { selector, targets: target.into_iter().chain(targets).collect() }
    }

    /// Every object that it names.
    pub fn targets(&self) -> impl Iterator<Item = &'p PolicyTarget> {
        self.targets.iter().copied()
    }
}

/// `PolicyTargetReference`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct PolicyTarget {
    /// API group; `""` and `core` are the same.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
    /// Its own, if any is written. None may be: only objects of the policy's namespace can be meant.
    pub namespace: String,
}
