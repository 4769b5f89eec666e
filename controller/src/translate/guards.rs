// SPDX-License-Identifier: Apache-2.0
//! Policies of Istio that are not evaluated yet fail closed: a listener that one is for lets nobody through. What Istio
//! would guard is never opened.
//!
//! Never looks at what a policy allows.

use torana_crds::istio::security::{AuthorizationPolicy, RequestAuthentication, Scope};
use torana_crds::{GATEWAY_GROUP, Kind, ObjectMeta, ObjectRef};
use torana_ir::Invalid;

use crate::report::conditions::istio as conditions;
use crate::report::{Entry, Remark};
use crate::store::Cluster;
use crate::translate::proxies::Proxies;

/// The reason.
const NOT_EVALUATED: &str = "PolicyNotEvaluated";

/// Of a policy that only tells what it would do.
const DRY_RUN: &str = "istio.io/dry-run";

/// Policies that deny or may deny.
#[derive(Debug)]
pub(super) struct Guards<'c> {
    policies: Vec<(ObjectRef, &'c ObjectMeta, &'c Scope)>,
    /// Where policies for the whole mesh are.
    root: &'c str,
}

impl<'c> Guards<'c> {
    /// Those of the cluster.
    pub(super) fn new(cluster: &'c Cluster) -> Self {
        let authorization = cluster.all::<AuthorizationPolicy>();
        let authorization = authorization.map(|it| (Kind::AuthorizationPolicy, &it.meta, &it.spec));
        let authentication = cluster.all::<RequestAuthentication>();
        let authentication = authentication.map(|it| (Kind::RequestAuthentication, &it.meta, &it.spec));
        let only_tells = |meta: &ObjectMeta, scope: &Scope| {
            scope.action == "AUDIT" || meta.annotations.get(DRY_RUN).is_some_and(|value| value == "true")
        };
        let all = authorization.chain(authentication).filter(|(_, meta, scope)| !only_tells(meta, scope));
        let named = all.map(|(kind, meta, scope)| (ObjectRef::new(kind, &meta.namespace, &meta.name), meta, scope));
        Self { policies: named.collect(), root: cluster.mesh().root_namespace() }
    }

    /// Why nobody is let through by listeners of these proxies, of a Gateway of Gateway API if one is given.
    pub(super) fn closes(&self, proxies: &Proxies, gateway: Option<&ObjectRef>) -> Option<Invalid> {
        let (policy, ..) = self.policies.iter().find(|(_, meta, scope)| self.is_for(meta, scope, proxies, gateway))?;
        let message = format!("{policy} is for this listener and is not evaluated yet, so nobody is let through");
        Some(Invalid { reason: NOT_EVALUATED.into(), message })
    }

    /// What there is to say of each policy, given all whom it may be for.
    pub(super) fn entries(&self, all: &[(&Proxies, Option<&ObjectRef>)]) -> Vec<(ObjectRef, Entry)> {
        let said = self.policies.iter().map(|(policy, meta, scope)| {
            let closes = all.iter().any(|(proxies, gateway)| self.is_for(meta, scope, proxies, *gateway));
            let mut entry = Entry { generation: meta.generation, ..Entry::default() };
            let remark = if closes {
                let message = "it is not evaluated yet, so the listeners that it is for answer 403";
                Remark::error(NOT_EVALUATED, "spec", message, "remove it, or narrow its selector")
            } else {
                Remark::note(NOT_EVALUATED, "spec", "it is for no listener of Torana", "")
            };
            entry.remarks.push(remark);
            if closes {
                entry.conditions.push(conditions::accepted(&entry.remarks));
            }
            (policy.clone(), entry)
        });
        said.collect()
    }

    /// A policy of the root namespace is for the whole mesh, gateways included.
    fn is_for(&self, meta: &ObjectMeta, scope: &Scope, proxies: &Proxies, gateway: Option<&ObjectRef>) -> bool {
        let is_root = meta.namespace == self.root;
        if scope.targets().next().is_some() {
            return scope.targets().any(|target| {
                let is_gateway = target.group == GATEWAY_GROUP && target.kind == "Gateway";
                let is_it = gateway.is_some_and(|it| it.name == target.name && it.namespace == meta.namespace);
                (is_gateway && is_it) || (target.kind == "GatewayClass" && is_root && gateway.is_some())
            });
        }
        let is_near = is_root || meta.namespace == proxies.namespace;
        is_near && scope.selector.as_ref().is_none_or(|selector| proxies.have(&selector.match_labels))
    }
}
