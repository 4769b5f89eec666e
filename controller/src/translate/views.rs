// SPDX-License-Identifier: Apache-2.0
//! What a service is to each fleet. DestinationRules may say another thing to proxies of one namespace, or with certain
//! labels, than to others, and credentials are taken from where the proxies are. Never asks who gets what.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use torana_crds::ObjectRef;
use torana_ir::{Backend, Resource, ResourceKey};

use crate::store::{Cluster, FleetId};
use crate::translate::fleets::{Apart, fleet_of, material};
use crate::translate::originations::Originations;
use crate::translate::policies::Policies;
use crate::translate::proxies::Proxies;
use crate::translate::services::{Addressed, ServiceOutput, UsedPorts, View, has_rule, service};

/// A service as fleets see it.
#[derive(Debug, Default)]
pub(super) struct Viewed {
    /// What it is to those of which `apart` says nothing.
    pub(super) output: ServiceOutput,
    /// What it is to others.
    pub(super) apart: Apart,
}

/// Translates a service for the `fleets` whose routes lead there.
pub(super) fn viewed(
    cluster: &Cluster,
    (reference, used): (&ObjectRef, &UsedPorts),
    fleets: &[Arc<Proxies>],
    (policies, originations): (&Policies, &mut Originations),
) -> Viewed {
    let mut of = |proxies: &Proxies| {
        service(cluster, reference, used, policies, View { proxies, originations: &mut *originations })
    };
    if let Some(ingress) = &cluster.settings().ingress {
        return Viewed { output: of(&Proxies::of_ingress(cluster, ingress)), apart: Apart::new() };
    }
    let Some((first, others)) = fleets.split_first().filter(|_| has_rule(cluster, reference)) else {
        let mut viewed = Viewed { output: of(&Proxies::of_the_root()), apart: Apart::new() };
        warn(&mut viewed, reference, fleets);
        return viewed;
    };
    let mut viewed = Viewed { output: of(first), apart: Apart::new() };
    for proxies in others {
        viewed.add(&fleet_of(&proxies.fleet), of(proxies));
    }
    warn(&mut viewed, reference, fleets);
    viewed
}

/// Says of a service whose workloads take nothing but mutual TLS that proxies without an identity do not reach it.
fn warn(viewed: &mut Viewed, service: &ObjectRef, fleets: &[Arc<Proxies>]) {
    let outside: Vec<_> = fleets.iter().filter(|it| !it.in_mesh).map(|it| it.fleet.to_string()).collect();
    if !outside.is_empty() && viewed.output.is_strict() {
        viewed.output.warn(service, &outside);
    }
}

impl Viewed {
    fn add(&mut self, fleet: &FleetId, output: ServiceOutput) {
        for (key, (backend, endpoints)) in output.backends {
            let common = self.output.backends.get(&key);
            let mut put = |resource: Resource| {
                self.apart.entry(resource.key()).or_default().insert(fleet.clone(), resource);
            };
            if common.is_none_or(|(common, _)| *common != backend) {
                put(Resource::Backend(Arc::new(backend)));
            }
            if common.is_none_or(|(_, common)| *common != endpoints) {
                put(Resource::Endpoints(Arc::new(endpoints)));
            }
        }
        for (object, entry) in output.entries {
            let remarks = &mut self.output.entries.entry(object).or_default().remarks;
            let new: Vec<_> = entry.remarks.into_iter().filter(|remark| !remarks.contains(remark)).collect();
            remarks.extend(new);
        }
        self.output.asked.extend(output.asked);
        self.output.reads_pods |= output.reads_pods;
    }

    /// Every form of its backends.
    fn backends(&self) -> impl Iterator<Item = &Backend> {
        let apart = self.apart.values().flat_map(BTreeMap::values).filter_map(|resource| match resource {
            Resource::Backend(backend) => Some(&**backend),
            _ => None,
        });
        self.output.backends.values().map(|(backend, _): &Addressed| backend).chain(apart)
    }

    /// Certificates and authorities that some form of it needs.
    pub(super) fn needs(&self) -> BTreeSet<ResourceKey> {
        self.backends().flat_map(|backend| material(&backend.tls)).collect()
    }

    /// Whether pods decide what some form of it is.
    pub(super) fn reads_pods(&self) -> bool {
        self.output.reads_pods
    }
}
