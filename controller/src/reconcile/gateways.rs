// SPDX-License-Identifier: Apache-2.0
//! Torana's Gateways and ingresses, as the control loop needs them: who serves each, and with which parameters. Never
//! judges one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use torana_crds::gateway::{Gateway, GatewayAddress, ListenerSet};
use torana_crds::parameters::{GatewayParameters, GatewayParametersSpec, IdentitySource};
use torana_crds::{Kind, Object, ObjectRef, Spoken};
use torana_ir::{GatewayId, Snapshot};

use crate::feed::Members;
use crate::provision::desired::{self, Desired, Install, Subject};
use crate::reconcile::ports;
use crate::store::{Cluster, FleetId};
use crate::translate::{ROUTES, Translation, fleet_of, is_ingress, is_ours, parameters};

/// One of them.
#[derive(Debug, Clone)]
pub(super) struct Ours {
    object: Arc<Object>,
    pub(super) id: GatewayId,
    pub(super) reference: ObjectRef,
    pub(super) fleet: FleetId,
    /// What its proxies are called, and their service account.
    pub(super) account: String,
    /// Of a Gateway those of its class and its own as one; `None` if some cannot be used: then its proxies stay as they are.
    pub(super) parameters: Option<GatewayParametersSpec>,
}

/// All of them, in order; of one name the Gateway.
pub(super) fn ours(cluster: &Cluster) -> Vec<Ours> {
    let gateways = cluster.all::<Gateway>().filter(|gateway| is_ours(cluster, gateway));
    let gateways = gateways.filter_map(|gateway| Ours::of_gateway(cluster, gateway));
    let asked = cluster.all::<GatewayParameters>();
    let ingresses = asked.filter(|it| is_ingress(cluster, it)).filter_map(|it| Ours::of_ingress(cluster, it));
    gateways.chain(ingresses).collect()
}

/// The revision of the Istio whose settings are there, if they are, and the trust domain.
fn istio(cluster: &Cluster) -> (Option<&str>, String) {
    let mesh = cluster.mesh();
    let revision = mesh.is_there().then_some(cluster.settings().revision.as_str());
    (revision, mesh.config().trust_domains().next().unwrap_or_default())
}

impl Ours {
    fn of_gateway(cluster: &Cluster, gateway: &Gateway) -> Option<Self> {
        let found = parameters::of_gateway(cluster, gateway).ok();
        let merged = found.map(|it| desired::merged(it.class.map(|it| &it.spec), it.own.map(|it| &it.spec)));
        let parameters = merged.map(|merged| desired::settled(merged, istio(cluster)));
        Self::new(cluster, Kind::Gateway, Subject::Gateway(gateway), parameters)
    }

    fn of_ingress(cluster: &Cluster, parameters: &GatewayParameters) -> Option<Self> {
        let own = Some(desired::settled(parameters.spec.clone(), istio(cluster)));
        Self::new(cluster, Kind::GatewayParameters, Subject::Ingress(parameters), own)
    }

    fn new(
        cluster: &Cluster,
        kind: Kind,
        subject: Subject<'_>,
        parameters: Option<GatewayParametersSpec>,
    ) -> Option<Self> {
        let (namespace, name) = (&subject.meta().namespace, &subject.meta().name);
        let id = GatewayId { namespace: namespace.clone(), name: name.clone() };
        Some(Self {
            object: Arc::clone(cluster.object(kind, namespace, name)?),
            reference: ObjectRef::new(kind, namespace, name),
            fleet: fleet_of(&id),
            account: subject.name(),
            parameters,
            id,
        })
    }

    /// The object as written.
    pub(super) fn subject(&self) -> Option<Subject<'_>> {
        let gateway = Gateway::of(&self.object).map(Subject::Gateway);
        gateway.or_else(|| GatewayParameters::of(&self.object).map(Subject::Ingress))
    }

    /// Addresses that it asks for.
    pub(super) fn addresses(&self) -> &[GatewayAddress] {
        Gateway::of(&self.object).map(|gateway| gateway.spec.addresses.as_slice()).unwrap_or_default()
    }

    /// What it needs in the cluster, with the ListenerSets that name it; `None`: what is there stays as it is.
    pub(super) fn desired(&self, last: &Translation, sets: &[&ListenerSet], install: &Install) -> Option<Desired> {
        let (subject, parameters) = (self.subject()?, self.parameters.as_ref()?);
        let ports = match subject {
            Subject::Gateway(gateway) => {
                let served = last.snapshots.get(&self.fleet);
                let listeners = ports::of(&last.report, &self.reference, gateway, sets);
                // Servers of Istio's Gateways that its proxies have, too.
                listeners.into_iter().chain(served.into_iter().flat_map(|served| ports::served(served))).collect()
            }
            Subject::Ingress(_) => ports::of_ingress(parameters),
        };
        Some(desired::desired(subject, parameters, &ports, install)).filter(|desired| !desired.objects.is_empty())
    }

    /// Whether its proxies use the network of their nodes.
    pub(super) fn is_on_hosts(&self) -> bool {
        self.parameters.as_ref().is_some_and(|parameters| parameters.host_network == Some(true))
    }
}

/// Whether a change of `object` may change which Gateways there are, or what their proxies take. Most changes are of
/// others.
pub(super) fn depend_on(object: &ObjectRef) -> bool {
    const OF_BACKENDS: [Kind; 4] = [Kind::Service, Kind::EndpointSlice, Kind::BackendTlsPolicy, Kind::TrafficPolicy];
    const OF_THE_MESH: [Kind; 11] = [
        Kind::VirtualService,
        Kind::DestinationRule,
        Kind::ServiceEntry,
        Kind::WorkloadEntry,
        Kind::PeerAuthentication,
        Kind::AuthorizationPolicy,
        Kind::RequestAuthentication,
        Kind::Telemetry,
        Kind::EnvoyFilter,
        Kind::WasmPlugin,
        Kind::ProxyConfig,
    ];
    let is_other = |kind| ROUTES.contains(&kind) || OF_BACKENDS.contains(&kind) || OF_THE_MESH.contains(&kind);
    !object.known_kind().is_some_and(is_other)
}

/// Namespaces of those whose identity Torana's own authority signs.
pub(super) fn in_mesh(gateways: &[Ours]) -> BTreeSet<String> {
    let is_signed = |ours: &&Ours| {
        let mesh = ours.parameters.as_ref().and_then(|parameters| parameters.mesh.as_ref());
        mesh.is_some_and(|mesh| mesh.identity == Some(IdentitySource::Torana))
    };
    gateways.iter().filter(is_signed).map(|ours| ours.id.namespace.clone()).collect()
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
