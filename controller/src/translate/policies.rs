// SPDX-License-Identifier: Apache-2.0
//! Policies of Services and what they come to: BackendTLSPolicies here, TrafficPolicies in `traffic_policies`. Which of
//! several is in force is decided in `targets`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use torana_crds::core::ServicePort;
use torana_crds::policy::BackendTlsPolicy;
use torana_crds::{Kind, ObjectRef};
use torana_ir::{BackendTls, TrustBundle, TrustBundleKey};

use crate::report::conditions::policy as conditions;
use crate::report::{Condition, Entry, Remark};
use crate::store::{Cluster, Dirty, unlink};
use crate::translate::backend_tls::{Judged, judge};
use crate::translate::entries::joined;
use crate::translate::targets::{Policy as _, Reach, Targets};
use crate::translate::traffic_policies::TrafficPolicies;
use crate::translate::trust::{self, TrustStore};

/// Every policy.
#[derive(Debug, Clone, Default)]
pub(super) struct Policies {
    /// How what goes to Services is treated.
    pub(super) traffic: TrafficPolicies,
    judged: BTreeMap<ObjectRef, Arc<Judged>>,
    targets: Targets<BackendTlsPolicy>,
    /// Policies by the objects that they refer to, there or not.
    needs: BTreeMap<ObjectRef, BTreeSet<ObjectRef>>,
    store: TrustStore,
}

impl Policies {
    /// Judges anew what `dirty` touched. Returns the Services whose ports may be treated otherwise now.
    pub(super) fn update(&mut self, cluster: &Cluster, dirty: &Dirty) -> BTreeSet<ObjectRef> {
        let mut services = self.traffic.update(cluster, dirty);
        let mut touched = BTreeSet::new();
        for object in &dirty.objects {
            if object.known_kind() == Some(Kind::BackendTlsPolicy) {
                touched.insert(object.clone());
            }
            touched.extend(self.needs.get(object).into_iter().flatten().cloned());
        }
        for policy in &touched {
            let object = cluster.find::<BackendTlsPolicy>(&policy.namespace, &policy.name);
            self.forget(policy);
            if let Some(object) = object {
                self.learn(cluster, policy, object);
            }
            services.extend(self.targets.renew(policy, object));
        }
        if !touched.is_empty() {
            let needs = &self.needs;
            self.store.retain(|key| needs.contains_key(&trust::object_of(key)));
        }
        services
    }

    fn forget(&mut self, policy: &ObjectRef) {
        let needs = self.judged.remove(policy).map(|judged| judged.needs.clone()).unwrap_or_default();
        for need in &needs {
            unlink(&mut self.needs, need, policy);
        }
    }

    fn learn(&mut self, cluster: &Cluster, reference: &ObjectRef, policy: &BackendTlsPolicy) {
        let judged = judge(cluster, policy, &mut self.store);
        for need in &judged.needs {
            self.needs.entry(need.clone()).or_default().insert(reference.clone());
        }
        self.judged.insert(reference.clone(), Arc::new(judged));
    }

    /// The policies of every kind that target a Service.
    pub(super) fn of(&self, service: &ObjectRef) -> impl Iterator<Item = &ObjectRef> {
        self.targets.of(service).chain(self.traffic.of(service))
    }

    /// A bundle that some policy refers to, if it can be used.
    pub(super) fn bundle(&self, key: &TrustBundleKey) -> Option<&Arc<TrustBundle>> {
        self.store.get(key)
    }

    /// How a port of a Service is spoken to; `None` is the port of an alias.
    pub(super) fn tls(&self, cluster: &Cluster, service: &ObjectRef, port: Option<&ServicePort>) -> BackendTls {
        let Some(policy) = self.targets.in_force(cluster, service, port) else { return BackendTls::Plain };
        let policy = policy.reference();
        self.judged.get(&policy).map_or(BackendTls::Plain, |judged| judged.backend(&policy))
    }

    /// What there is to say about a policy; nothing if no Gateway of ours reaches what it targets.
    pub(super) fn entry(&self, cluster: &Cluster, policy: &ObjectRef, reach: &Reach) -> Option<Entry> {
        if policy.known_kind() == Some(Kind::TrafficPolicy) {
            return self.traffic.entry(cluster, policy, reach);
        }
        let object = cluster.find::<BackendTlsPolicy>(&policy.namespace, &policy.name)?;
        let judged = self.judged.get(policy)?;
        let refused = judged.tls.as_ref().err();
        let said = refused.into_iter().chain(&judged.unresolved).chain(&judged.remarks).cloned();
        let standing = self.targets.standing(cluster, object, reach);
        Some(standing.entry(object.meta.generation, said, |refusals| verdict(refusals, judged)))
    }
}

fn verdict(refusals: &[Remark], judged: &Judged) -> Vec<Condition> {
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
    vec![accepted, resolved]
}
