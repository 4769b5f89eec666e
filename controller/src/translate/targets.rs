// SPDX-License-Identifier: Apache-2.0
//! Policies that are attached directly to Services of their own namespace (GEP-2648), of whatever kind: which one is in
//! force for a port, and at which Gateways.
//!
//! A policy for one port comes before one for the whole Service; of two that target the same the older one is in force,
//! then the first by name, and the other is Conflicted. The one in force stays in force if it is invalid. Its ancestors
//! are the Gateways with a route that reaches the Service.
//!
//! Never looks at what a policy says.

use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;

use torana_crds::core::{Service, ServicePort};
use torana_crds::policy::{BackendTlsPolicy, PolicyTargetRef};
use torana_crds::traffic_policy::TrafficPolicy;
use torana_crds::{GATEWAY_GROUP, Kind, ObjectMeta, ObjectRef, ParentRef, Spoken};
use torana_ir::GatewayId;

use crate::report::conditions::policy as conditions;
use crate::report::{AncestorEntry, Condition, Entry, Remark};
use crate::store::{Cluster, unlink};

/// `PolicyStatus.ancestors` holds no more.
const MOST_ANCESTORS: usize = 16;

/// How many routes of each Gateway reach a Service.
pub(super) type Reach = BTreeMap<ObjectRef, BTreeMap<GatewayId, u32>>;

/// A kind of such policies.
pub(super) trait Policy: Spoken {
    /// What does not happen at a port that is not there.
    const IN_VAIN: &'static str;

    fn meta(&self) -> &ObjectMeta;

    fn targets(&self) -> &[PolicyTargetRef];

    /// Whether a `sectionName` means this port.
    fn means(section: &str, port: &ServicePort) -> bool;

    /// Its name.
    fn reference(&self) -> ObjectRef {
        let meta = self.meta();
        ObjectRef::new(Self::KIND, &meta.namespace, &meta.name)
    }
}

impl Policy for BackendTlsPolicy {
    const IN_VAIN: &'static str = "TLS is not begun there";

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn targets(&self) -> &[PolicyTargetRef] {
        &self.spec.target_refs
    }

    fn means(section: &str, port: &ServicePort) -> bool {
        port.name == section
    }
}

impl Policy for TrafficPolicy {
    const IN_VAIN: &'static str = "it has no effect there";

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn targets(&self) -> &[PolicyTargetRef] {
        &self.spec.target_refs
    }

    fn means(section: &str, port: &ServicePort) -> bool {
        port.name == section || section.parse() == Ok(port.port)
    }
}

/// Every policy of a kind, by what it targets.
#[derive(Debug)]
pub(super) struct Targets<P> {
    /// Policies by the Services that they target, there or not.
    policies: BTreeMap<ObjectRef, BTreeSet<ObjectRef>>,
    /// Services that a policy targeted when it was last looked at.
    services: BTreeMap<ObjectRef, BTreeSet<ObjectRef>>,
    kind: PhantomData<fn() -> P>,
}

impl<P> Default for Targets<P> {
    fn default() -> Self {
        Self { policies: BTreeMap::new(), services: BTreeMap::new(), kind: PhantomData }
    }
}

impl<P> Clone for Targets<P> {
    fn clone(&self) -> Self {
        Self { policies: self.policies.clone(), services: self.services.clone(), kind: PhantomData }
    }
}

/// A policy's claim to a Service or to one of its ports.
struct Claim<'c, P> {
    policy: &'c P,
    target: &'c PolicyTargetRef,
}

/// What becomes of a policy at its targets.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// Gateways whose routes lead to a target, and what is in its way there.
    pub(super) ancestors: BTreeMap<GatewayId, Vec<Remark>>,
    /// All that is in its way.
    pub(super) refusals: Vec<Remark>,
    /// What to say of targets that no Gateway can reach.
    pub(super) strays: Vec<Remark>,
}

impl<P: Policy> Targets<P> {
    /// Looks at a policy again, or at its absence. Returns the Services that it targets now, and did.
    pub(super) fn renew(&mut self, policy: &ObjectRef, object: Option<&P>) -> BTreeSet<ObjectRef> {
        let mut touched = self.services.remove(policy).unwrap_or_default();
        for service in &touched {
            unlink(&mut self.policies, service, policy);
        }
        let Some(object) = object else { return touched };
        let targets = object.targets().iter().map(|target| target.target(&policy.namespace));
        let services: BTreeSet<_> = targets.filter(|to| to.known_kind() == Some(Kind::Service)).collect();
        for service in &services {
            self.policies.entry(service.clone()).or_default().insert(policy.clone());
        }
        touched.extend(services.iter().cloned());
        self.services.insert(policy.clone(), services);
        touched
    }

    /// The policies that target a Service.
    pub(super) fn of(&self, service: &ObjectRef) -> impl Iterator<Item = &ObjectRef> {
        self.policies.get(service).into_iter().flatten()
    }

    /// The policy in force for a port of a Service; `None` is the port of an alias.
    pub(super) fn in_force<'c>(
        &self,
        cluster: &'c Cluster,
        service: &ObjectRef,
        port: Option<&ServicePort>,
    ) -> Option<&'c P> {
        let claims = self.claims(cluster, service);
        let is_own =
            |claim: &&Claim<'c, P>| claim.target.section().zip(port).is_some_and(|(name, port)| P::means(name, port));
        let own = claims.iter().find(is_own);
        let whole = || claims.iter().find(|claim| claim.target.section().is_none());
        Some(own.or_else(whole)?.policy)
    }

    /// What becomes of a policy at its targets.
    pub(super) fn standing(&self, cluster: &Cluster, policy: &P, reach: &Reach) -> Standing {
        let mut standing = Standing::default();
        for (index, target) in policy.targets().iter().enumerate() {
            let (to, path) = (target.target(&policy.meta().namespace), format!("spec.targetRefs[{index}]"));
            match self.refusal(cluster, policy, (target, &to), &path) {
                Err(stray) => standing.strays.push(stray),
                Ok(refusal) => {
                    for gateway in reach.get(&to).into_iter().flat_map(BTreeMap::keys) {
                        standing.ancestors.entry(gateway.clone()).or_default().extend(refusal.clone());
                    }
                    standing.refusals.extend(refusal);
                }
            }
        }
        standing
    }

    /// Why a policy is not in force for one of its targets, if it is not; as an error, what to say of a target that no
    /// Gateway can reach.
    fn refusal(
        &self,
        cluster: &Cluster,
        policy: &P,
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
        let meant = |target: &PolicyTargetRef| {
            let name = target.section()?;
            Some(service.spec.ports.iter().position(|port| P::means(name, port)))
        };
        if let (Some(name), Some(None)) = (target.section(), meant(target)) {
            let message = format!("{to} has no port named {name}, so {}", P::IN_VAIN);
            let path = format!("{path}.sectionName");
            return Ok(Some(Remark::error(
                conditions::TARGET_NOT_FOUND,
                &path,
                message,
                "use the name of one of its ports",
            )));
        }
        let claims = self.claims(cluster, to);
        let first = claims.iter().find(|claim| meant(claim.target) == meant(target));
        Ok(first.filter(|first| !std::ptr::eq(first.policy, policy)).map(|first| {
            let rival = first.policy.reference();
            let what = target.section().map(|name| format!(" port {name} of")).unwrap_or_default();
            let message = format!("{rival} targets{what} {to} too and comes first, so it is in force there");
            Remark::error(conditions::CONFLICTED, path, message, "remove one of them, or target ports by name")
        }))
    }

    /// Every claim to a Service, the first in order of precedence first.
    fn claims<'c>(&self, cluster: &'c Cluster, service: &ObjectRef) -> Vec<Claim<'c, P>> {
        let policies = self.of(service).filter_map(|it| cluster.find::<P>(&it.namespace, &it.name));
        let mut claims: Vec<_> = policies
            .flat_map(|policy| policy.targets().iter().map(move |target| Claim { policy, target }))
            .filter(|claim| claim.target.target(&service.namespace) == *service)
            .collect();
        claims.sort_by_key(|claim| {
            let meta = claim.policy.meta();
            (meta.created.unwrap_or_default(), &meta.name)
        });
        claims
    }
}

impl Standing {
    /// What there is to say of a policy: `said` of what it says by itself, if it is in force somewhere, and its conditions
    /// at a Gateway where this is in its way.
    pub(super) fn entry(
        self,
        generation: i64,
        said: impl IntoIterator<Item = Remark>,
        conditions: impl Fn(&[Remark]) -> Vec<Condition>,
    ) -> Entry {
        let mut entry = Entry { generation, remarks: self.strays, ..Entry::default() };
        if self.ancestors.is_empty() {
            return entry;
        }
        entry.remarks.extend(self.refusals);
        entry.remarks.extend(said);
        if self.ancestors.len() > MOST_ANCESTORS {
            let message = format!("more than {MOST_ANCESTORS} Gateways use it; the status tells of the first");
            entry.remarks.push(Remark::note("TooManyAncestors", "", message, ""));
        }
        let ancestors = self.ancestors.into_iter().take(MOST_ANCESTORS);
        let ancestor = |(gateway, refusals): (GatewayId, Vec<Remark>)| AncestorEntry {
            ancestor: parent(gateway),
            conditions: conditions(&refusals),
        };
        entry.ancestors = ancestors.map(ancestor).collect();
        entry
    }
}

fn parent(gateway: GatewayId) -> ParentRef {
    ParentRef {
        group: GATEWAY_GROUP.to_owned(),
        kind: Kind::Gateway.as_str().to_owned(),
        namespace: Some(gateway.namespace),
        name: gateway.name,
        section_name: None,
        port: None,
    }
}
