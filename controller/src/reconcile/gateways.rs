// SPDX-License-Identifier: Apache-2.0
//! Torana's Gateways, as the control loop needs them: who serves each, and with which parameters. Never judges one.

use std::collections::BTreeMap;
use std::sync::Arc;

use torana_crds::gateway::{Gateway, ListenerSet};
use torana_crds::parameters::GatewayParametersSpec;
use torana_crds::{Kind, Object, ObjectRef, Spoken};
use torana_ir::{GatewayId, Snapshot};

use crate::feed::Members;
use crate::provision::desired::{self, Desired, Install};
use crate::reconcile::ports;
use crate::report::Report;
use crate::store::{Cluster, FleetId};
use crate::translate::{ROUTES, Translation, fleet_of, is_ours, parameters};

/// One of them.
#[derive(Debug, Clone)]
pub(super) struct Ours {
    object: Arc<Object>,
    pub(super) id: GatewayId,
    pub(super) reference: ObjectRef,
    pub(super) fleet: FleetId,
    /// What its proxies are called, and their service account.
    pub(super) account: String,
    /// Those of its class and its own as one; `None` if some cannot be used: then its proxies stay as they are.
    pub(super) parameters: Option<GatewayParametersSpec>,
}

/// All of them, in order.
pub(super) fn ours(cluster: &Cluster) -> Vec<Ours> {
    let gateways = cluster.all::<Gateway>().filter(|gateway| is_ours(cluster, gateway));
    gateways.filter_map(|gateway| Ours::new(cluster, gateway)).collect()
}

impl Ours {
    fn new(cluster: &Cluster, gateway: &Gateway) -> Option<Self> {
        let (namespace, name) = (&gateway.meta.namespace, &gateway.meta.name);
        let id = GatewayId { namespace: namespace.clone(), name: name.clone() };
        let found = parameters::of_gateway(cluster, gateway).ok();
        Some(Self {
            object: Arc::clone(cluster.object(Kind::Gateway, namespace, name)?),
            reference: ObjectRef::new(Kind::Gateway, namespace, name),
            fleet: fleet_of(&id),
            account: desired::name(gateway),
            parameters: found.map(|it| desired::merged(it.class.map(|it| &it.spec), it.own.map(|it| &it.spec))),
            id,
        })
    }

    /// The Gateway as written.
    pub(super) fn gateway(&self) -> Option<&Gateway> {
        Gateway::of(&self.object)
    }

    /// What it needs in the cluster, with the ListenerSets that name it; `None`: what is there stays as it is.
    pub(super) fn desired(&self, report: &Report, sets: &[&ListenerSet], install: &Install) -> Option<Desired> {
        let (gateway, parameters) = (self.gateway()?, self.parameters.as_ref()?);
        let ports = ports::of(report, &self.reference, gateway, sets);
        Some(desired::desired(gateway, parameters, &ports, install)).filter(|desired| !desired.objects.is_empty())
    }

    /// Whether its proxies use the network of their nodes.
    pub(super) fn is_on_hosts(&self) -> bool {
        self.parameters.as_ref().is_some_and(|parameters| parameters.host_network == Some(true))
    }
}

/// Whether a change of `object` may change which Gateways there are, or what their proxies take. Most changes are of
/// others.
pub(super) fn depend_on(object: &ObjectRef) -> bool {
    let of_backends = [Kind::Service, Kind::EndpointSlice, Kind::BackendTlsPolicy];
    !object.known_kind().is_some_and(|kind| ROUTES.contains(&kind) || of_backends.contains(&kind))
}

/// Who belongs to which fleet.
pub(super) fn members(gateways: &[Ours]) -> Members {
    let member = |ours: &Ours| ((ours.id.namespace.clone(), ours.account.clone()), ours.fleet.clone());
    gateways.iter().map(member).collect()
}

/// A Gateway that serves nothing has an empty program: its proxies must know that they have all there is.
pub(super) fn programs(gateways: &[Ours], translation: &Translation) -> BTreeMap<FleetId, Arc<Snapshot>> {
    let program = |ours: &Ours| {
        let snapshot = translation.snapshots.get(&ours.fleet).cloned().unwrap_or_default();
        (ours.fleet.clone(), snapshot)
    };
    gateways.iter().map(program).collect()
}
