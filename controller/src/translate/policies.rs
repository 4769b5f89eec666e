// SPDX-License-Identifier: Apache-2.0
//! BackendTLSPolicies and the Services that they target: which one is in force for a port, and what their authors are
//! told.
//!
//! A policy for a port by its name comes before one for the whole Service; of two that target the same the older one is
//! in force, then the first by name, and the other is Conflicted (`BackendTLSPolicySpec.targetRefs`). The one in force
//! stays in force if it is invalid. Its ancestors are the Gateways with a route that reaches the Service.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use torana_crds::core::{Service, ServicePort};
use torana_crds::policy::{BackendTlsPolicy, PolicyTargetRef};
use torana_crds::{GATEWAY_GROUP, Kind, ObjectRef, ParentRef};
use torana_ir::{BackendTls, GatewayId, TrustBundle, TrustBundleKey};

use crate::report::conditions::policy as conditions;
use crate::report::{AncestorEntry, Entry, Remark};
use crate::store::{Cluster, Dirty, unlink};
use crate::translate::backend_tls::{Judged, judge};
use crate::translate::entries::joined;
use crate::translate::trust::{self, TrustStore};

/// `PolicyStatus.ancestors` holds no more.
const MOST_ANCESTORS: usize = 16;

/// How many routes of each Gateway reach a Service.
pub(super) type Reach = BTreeMap<ObjectRef, BTreeMap<GatewayId, u32>>;

/// Every policy.
#[derive(Debug, Clone, Default)]
pub(super) struct Policies {
    judged: BTreeMap<ObjectRef, Arc<Judged>>,
    /// Policies by the Services that they target, there or not.
    targets: BTreeMap<ObjectRef, BTreeSet<ObjectRef>>,
    /// Policies by the objects that they refer to, there or not.
    needs: BTreeMap<ObjectRef, BTreeSet<ObjectRef>>,
    /// Services that a policy targeted when it was last looked at.
    services: BTreeMap<ObjectRef, BTreeSet<ObjectRef>>,
    store: TrustStore,
}

/// A policy's claim to a Service or to one of its ports.
struct Claim<'c> {
    policy: &'c BackendTlsPolicy,
    target: &'c PolicyTargetRef,
}

impl Policies {
    /// Judges anew what `dirty` touched. Returns the Services whose ports may be spoken to otherwise now.
    pub(super) fn update(&mut self, cluster: &Cluster, dirty: &Dirty) -> BTreeSet<ObjectRef> {
        let mut touched = BTreeSet::new();
        for object in &dirty.objects {
            if object.known_kind() == Some(Kind::BackendTlsPolicy) {
                touched.insert(object.clone());
            }
            touched.extend(self.needs.get(object).into_iter().flatten().cloned());
        }
        let mut services = BTreeSet::new();
        for policy in &touched {
            services.extend(self.forget(policy));
            if let Some(object) = cluster.find::<BackendTlsPolicy>(&policy.namespace, &policy.name) {
                services.extend(self.learn(cluster, policy, object));
            }
        }
        if !touched.is_empty() {
            let needs = &self.needs;
            self.store.retain(|key| needs.contains_key(&trust::object_of(key)));
        }
        services
    }

    fn forget(&mut self, policy: &ObjectRef) -> BTreeSet<ObjectRef> {
        let needs = self.judged.remove(policy).map(|judged| judged.needs.clone()).unwrap_or_default();
        for need in &needs {
            unlink(&mut self.needs, need, policy);
        }
        let services = self.services.remove(policy).unwrap_or_default();
        for service in &services {
            unlink(&mut self.targets, service, policy);
        }
        services
    }

    fn learn(&mut self, cluster: &Cluster, reference: &ObjectRef, policy: &BackendTlsPolicy) -> BTreeSet<ObjectRef> {
        let judged = judge(cluster, policy, &mut self.store);
        for need in &judged.needs {
            self.needs.entry(need.clone()).or_default().insert(reference.clone());
        }
        self.judged.insert(reference.clone(), Arc::new(judged));
        let targets = policy.spec.target_refs.iter().map(|target| target.target(&reference.namespace));
        let services: BTreeSet<_> = targets.filter(|to| to.known_kind() == Some(Kind::Service)).collect();
        for service in &services {
            self.targets.entry(service.clone()).or_default().insert(reference.clone());
        }
        self.services.insert(reference.clone(), services.clone());
        services
    }

    /// The policies that target a Service.
    pub(super) fn of(&self, service: &ObjectRef) -> impl Iterator<Item = &ObjectRef> {
        self.targets.get(service).into_iter().flatten()
    }

    /// A bundle that some policy refers to, if it can be used.
    pub(super) fn bundle(&self, key: &TrustBundleKey) -> Option<&Arc<TrustBundle>> {
        self.store.get(key)
    }

    /// How a port of a Service is spoken to; `None` is the port of an alias.
    pub(super) fn tls(&self, cluster: &Cluster, service: &ObjectRef, port: Option<&ServicePort>) -> BackendTls {
        let claims = self.claims(cluster, service);
        let named = port.map(|port| port.name.as_str()).filter(|name| !name.is_empty());
        let by_name = claims.iter().find(|claim| section(claim.target).is_some_and(|name| Some(name) == named));
        let whole = || claims.iter().find(|claim| section(claim.target).is_none());
        let Some(claim) = by_name.or_else(whole) else { return BackendTls::Plain };
        let policy = reference(claim.policy);
        self.judged.get(&policy).map_or(BackendTls::Plain, |judged| judged.backend(&policy))
    }

    /// What there is to say about a policy; nothing if no Gateway of ours reaches what it targets.
    pub(super) fn entry(&self, cluster: &Cluster, policy: &ObjectRef, reach: &Reach) -> Option<Entry> {
        let object = cluster.find::<BackendTlsPolicy>(&policy.namespace, &policy.name)?;
        let judged = self.judged.get(policy)?;
        let mut entry = Entry { generation: object.meta.generation, ..Entry::default() };
        let mut ancestors: BTreeMap<GatewayId, Vec<Remark>> = BTreeMap::new();
        let mut refusals = Vec::new();
        for (index, target) in object.spec.target_refs.iter().enumerate() {
            let (to, path) = (target.target(&policy.namespace), format!("spec.targetRefs[{index}]"));
            let gateways = reach.get(&to).into_iter().flat_map(BTreeMap::keys);
            match self.refusal(cluster, object, (target, &to), &path) {
                Err(stray) => entry.remarks.push(stray),
                Ok(refusal) => {
                    for gateway in gateways {
                        ancestors.entry(gateway.clone()).or_default().extend(refusal.clone());
                    }
                    refusals.extend(refusal);
                }
            }
        }
        if ancestors.is_empty() {
            return Some(entry);
        }
        entry.remarks.extend(refusals);
        entry.remarks.extend(judged.tls.as_ref().err().cloned());
        entry.remarks.extend(judged.unresolved.iter().chain(&judged.remarks).cloned());
        if ancestors.len() > MOST_ANCESTORS {
            let message = format!("more than {MOST_ANCESTORS} Gateways use it; the status tells of the first");
            entry.remarks.push(Remark::note("TooManyAncestors", "", message, ""));
        }
        let ancestors = ancestors.into_iter().take(MOST_ANCESTORS);
        entry.ancestors = ancestors.map(|(gateway, refusals)| ancestor(gateway, &refusals, judged)).collect();
        Some(entry)
    }

    /// Why a policy is not in force for one of its targets, if it is not; as an error, what to say of a target that no
    /// Gateway can reach.
    fn refusal(
        &self,
        cluster: &Cluster,
        policy: &BackendTlsPolicy,
        (target, to): (&PolicyTargetRef, &ObjectRef),
        path: &str,
    ) -> Result<Option<Remark>, Remark> {
        if to.known_kind() != Some(Kind::Service) {
            let message = format!("{} of group {:?} is no Service, so it has no effect there", to.kind, to.group);
            return Err(Remark::note(conditions::TARGET_NOT_FOUND, path, message, ""));
        }
        let Some(service) = cluster.find::<Service>(&to.namespace, &to.name) else {
            let message = format!("there is no {to}, so it has no effect there");
            return Err(Remark::warning(conditions::TARGET_NOT_FOUND, path, message, "create it or correct the name"));
        };
        if let Some(name) = section(target)
            && !service.spec.ports.iter().any(|port| port.name == name)
        {
            let message = format!("{to} has no port named {name}, so TLS is not begun there");
            let path = format!("{path}.sectionName");
            return Ok(Some(Remark::error(
                conditions::TARGET_NOT_FOUND,
                &path,
                message,
                "use the name of one of its ports",
            )));
        }
        let claims = self.claims(cluster, to);
        let first = claims.iter().find(|claim| section(claim.target) == section(target));
        Ok(first.filter(|first| !std::ptr::eq(first.policy, policy)).map(|first| {
            let rival = reference(first.policy);
            let what = section(target).map(|name| format!(" port {name} of")).unwrap_or_default();
            let message = format!("{rival} targets{what} {to} too and comes first, so it is in force there");
            Remark::error(conditions::CONFLICTED, path, message, "remove one of them, or target ports by name")
        }))
    }

    /// Every claim to a Service, the first in order of precedence first.
    fn claims<'c>(&self, cluster: &'c Cluster, service: &ObjectRef) -> Vec<Claim<'c>> {
        let policies = self.of(service).filter_map(|it| cluster.find::<BackendTlsPolicy>(&it.namespace, &it.name));
        let mut claims: Vec<_> = policies
            .flat_map(|policy| policy.spec.target_refs.iter().map(move |target| Claim { policy, target }))
            .filter(|claim| claim.target.target(&service.namespace) == *service)
            .collect();
        claims.sort_by_key(|claim| (claim.policy.meta.created.unwrap_or_default(), &claim.policy.meta.name));
        claims
    }
}

fn ancestor(gateway: GatewayId, refusals: &[Remark], judged: &Judged) -> AncestorEntry {
    let accepted = match (refusals.first(), &judged.tls) {
        (Some(first), _) => conditions::not_accepted(first.reason, joined(refusals)),
        (None, Err(why)) => conditions::not_accepted(why.reason, why.to_string()),
        (None, Ok(_)) => conditions::accepted(match judged.remarks.as_slice() {
            [] => "backends are spoken to in TLS".to_owned(),
            some => format!("backends are spoken to in TLS, but: {}", joined(some)),
        }),
    };
    let resolved = match judged.unresolved.first() {
        None => conditions::resolved_refs(),
        Some(first) => conditions::unresolved_refs(first.reason, joined(&judged.unresolved)),
    };
    let ancestor = ParentRef {
        group: GATEWAY_GROUP.to_owned(),
        kind: Kind::Gateway.as_str().to_owned(),
        namespace: Some(gateway.namespace),
        name: gateway.name,
        section_name: None,
        port: None,
    };
    AncestorEntry { ancestor, conditions: vec![accepted, resolved] }
}

fn section(target: &PolicyTargetRef) -> Option<&str> {
    target.section_name.as_deref().filter(|name| !name.is_empty())
}

fn reference(policy: &BackendTlsPolicy) -> ObjectRef {
    ObjectRef::new(Kind::BackendTlsPolicy, &policy.meta.namespace, &policy.meta.name)
}
