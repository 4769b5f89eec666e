// SPDX-License-Identifier: Apache-2.0
//! TrafficPolicies of `torana.dev`: what they mean for a backend, and what their authors are told. A part that cannot be
//! honoured is left out; requests go on. Which of several policies is in force is decided in `targets`.

use std::collections::BTreeSet;

use torana_crds::core::{Service, ServicePort, TransportProtocol};
use torana_crds::traffic_policy::TrafficPolicy;
use torana_crds::{Kind, ObjectRef};
use torana_ir::{Backend, Transport};

use crate::hosts;
use crate::report::conditions::policy as conditions;
use crate::report::{Condition, Entry, Remark};
use crate::store::{Cluster, Dirty};
use crate::translate::entries::joined;
use crate::translate::health_checks::{self, Checks};
use crate::translate::targets::{Policy as _, Reach, Targets};

/// Every policy.
#[derive(Debug, Clone, Default)]
pub(super) struct TrafficPolicies(Targets<TrafficPolicy>);

impl TrafficPolicies {
    /// Looks anew at what `dirty` touched. Returns the Services whose ports may be treated otherwise now.
    pub(super) fn update(&mut self, cluster: &Cluster, dirty: &Dirty) -> BTreeSet<ObjectRef> {
        let mut services = BTreeSet::new();
        for policy in dirty.objects.iter().filter(|it| it.known_kind() == Some(Kind::TrafficPolicy)) {
            let object = cluster.find::<TrafficPolicy>(&policy.namespace, &policy.name);
            services.extend(self.0.renew(policy, object));
        }
        services
    }

    /// The policies that target a Service.
    pub(super) fn of(&self, service: &ObjectRef) -> impl Iterator<Item = &ObjectRef> {
        self.0.of(service)
    }

    /// Puts the policy for a port into force for its backend; no port is that of an alias. What DestinationRules say of
    /// the same gives way.
    pub(super) fn apply(
        &self,
        cluster: &Cluster,
        service: &ObjectRef,
        port: Option<&ServicePort>,
        backend: &mut Backend,
    ) {
        let Some(policy) = self.0.in_force(cluster, service, port) else { return };
        let host = hosts::of_service(&service.namespace, &service.name);
        let Ok(Some(Checks { check, panic })) = checks(policy, &host) else { return };
        // Nobody answers a check where datagrams go.
        if backend.key.transport == Transport::Udp && check.port.is_none() {
            return;
        }
        backend.check = Some(check);
        backend.panic = panic;
    }

    /// What there is to say about a policy; nothing if no Gateway of ours reaches what it targets.
    pub(super) fn entry(&self, cluster: &Cluster, policy: &ObjectRef, reach: &Reach) -> Option<Entry> {
        let object = cluster.find::<TrafficPolicy>(&policy.namespace, &policy.name)?;
        // Any name will do to see what is wrong.
        let judged = checks(object, "localhost");
        let is_elsewhere = matches!(&judged, Ok(Some(Checks { check, .. })) if check.port.is_some());
        let datagrams = if is_elsewhere { Vec::new() } else { datagrams(cluster, object) };
        let said = judged.as_ref().err().cloned().into_iter().chain(datagrams);
        let standing = self.0.standing(cluster, object, reach);
        Some(standing.entry(object.meta.generation, said, |refusals| vec![verdict(refusals, &judged)]))
    }
}

fn checks(policy: &TrafficPolicy, host: &str) -> Result<Option<Checks>, Remark> {
    policy.spec.health_check.as_ref().map_or(Ok(None), |checks| health_checks::judge(checks, host))
}

/// Ports whose endpoints nobody can ask.
fn datagrams(cluster: &Cluster, policy: &TrafficPolicy) -> Vec<Remark> {
    let mut remarks = Vec::new();
    for (index, target) in policy.spec.target_refs.iter().enumerate() {
        let section = target.section();
        let is_meant = |port: &&ServicePort| section.is_none_or(|section| TrafficPolicy::means(section, port));
        let Some(service) = cluster.find::<Service>(&policy.meta.namespace, &target.name) else { continue };
        for port in service.spec.ports.iter().filter(is_meant).filter(|port| port.protocol == TransportProtocol::Udp) {
            let message =
                format!("port {} is UDP, where nobody answers a check, so its endpoints are not checked", port.port);
            let (path, remedy) =
                (format!("spec.targetRefs[{index}]"), "name a port for checks: healthCheck.active.port");
            remarks.push(Remark::warning("UnsupportedValue", &path, message, remedy));
        }
    }
    remarks
}

fn verdict(refusals: &[Remark], judged: &Result<Option<Checks>, Remark>) -> Condition {
    match (refusals.first(), judged) {
        (Some(first), _) => conditions::not_accepted(first.reason, joined(refusals)),
        (None, Err(why)) => conditions::not_accepted(why.reason, why.to_string()),
        (None, Ok(Some(_))) => conditions::accepted("endpoints are checked".to_owned()),
        (None, Ok(None)) => conditions::accepted("nothing is asked for".to_owned()),
    }
}
