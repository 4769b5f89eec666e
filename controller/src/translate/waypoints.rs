// SPDX-License-Identifier: Apache-2.0
//! Waypoints: proxies of the ambient mesh that apply a service's policies. Clients outside the mesh pass them by, unless
//! `istio.io/ingress-use-waypoint` says otherwise, of a service or of all of a namespace. Then nothing of the service is
//! reached but through them: where that cannot be, requests get 503 and never skip a policy.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use torana_crds::core::{Namespace, Service, ServicePort, SliceEndpoint, TransportProtocol};
use torana_crds::gateway::{Gateway, ProtocolType};
use torana_crds::{Kind, ObjectMeta, ObjectRef, StringMap};
use torana_ir::{Backend, BackendKey, Endpoint, Endpoints, HBONE_PORT, Transport};

use crate::report::Remark;
use crate::store::Cluster;
use crate::translate::allowed::Namespaces;
use crate::translate::endpoints::{Wanted, endpoints};
use crate::translate::mesh_peers::{self, Known};
use crate::translate::service_entries::Told;
use crate::translate::services::{has_rule, is_awaited, pod_of};

/// Labels of Services, ServiceEntries and namespaces.
const USE: &str = "istio.io/use-waypoint";
const USE_NAMESPACE: &str = "istio.io/use-waypoint-namespace";
const INGRESS: &str = "istio.io/ingress-use-waypoint";
/// Of a waypoint's Gateway: what it takes.
const FOR: &str = "istio.io/waypoint-for";

/// How those who come from outside reach a service.
#[derive(Debug)]
pub(super) enum Passage<'c> {
    /// By itself.
    Direct,
    /// Through its waypoint.
    Through(Waypoint<'c>),
    /// Not at all.
    Closed(Remark),
}

/// One that is there and takes what comes for the service.
#[derive(Debug)]
pub(super) struct Waypoint<'c> {
    service: &'c Service,
    port: &'c ServicePort,
}

impl<'c> Passage<'c> {
    /// Of the service with this metadata; `ways` takes the objects, there or not, that this follows from.
    pub(super) fn of(cluster: &'c Cluster, meta: &ObjectMeta, ways: &mut BTreeSet<ObjectRef>) -> Self {
        ways.insert(ObjectRef::new(Kind::Namespace, "", &meta.namespace));
        let nothing = StringMap::new();
        let around = cluster.find::<Namespace>("", &meta.namespace).map_or(&nothing, |it| &it.meta.labels);
        let is_meant = [&meta.labels, around].iter().find_map(|labels| labels.get(INGRESS));
        if !is_meant.is_some_and(|it| it.eq_ignore_ascii_case("true")) {
            return Self::Direct;
        }
        let with = |labels: &&&StringMap| labels.get(USE).is_some_and(|name| !name.is_empty());
        let Some(labels) = [&meta.labels, around].iter().find(with).copied() else { return Self::Direct };
        let name = labels.get(USE).map(String::as_str).unwrap_or_default();
        if name.eq_ignore_ascii_case("none") {
            return Self::Direct;
        }
        let namespace = labels.get(USE_NAMESPACE).map_or(meta.namespace.as_str(), String::as_str);
        ways.extend([Kind::Service, Kind::Gateway].map(|kind| ObjectRef::new(kind, namespace, name)));
        Waypoint::find(cluster, (namespace, name), &meta.namespace).map_or_else(
            |why| {
                let message = format!(
                    "nobody outside the mesh reaches it but through waypoint {namespace}/{name} (labels {USE} and {INGRESS}), \
                     {why}: requests get 503"
                );
                let remedy = format!("deploy the waypoint, or set {INGRESS}: \"false\"");
                Self::Closed(Remark::error("WaypointNotUsable", "metadata.labels", message, remedy))
            },
            Self::Through,
        )
    }

    /// Whether what is said of the service's own endpoints counts.
    pub(super) fn is_direct(&self) -> bool {
        matches!(self, Self::Direct)
    }

    /// Where `backend` of a service is, which has this address in the cluster, if any, and this host; `None`: it is reached
    /// by itself.
    pub(super) fn lead(
        &self,
        cluster: &Cluster,
        (address, host): (Option<IpAddr>, &str),
        backend: &mut Backend,
    ) -> Option<Told> {
        match self {
            // Datagrams are no part of any mesh.
            _ if backend.key.transport == Transport::Udp => None,
            Self::Direct => None,
            Self::Closed(remark) => {
                Some(Told { endpoints: Endpoints::none(backend.key.clone()), remarks: vec![remark.clone()] })
            }
            Self::Through(waypoint) => {
                backend.waypoint_for = Some(destination(address, host));
                Some(waypoint.lead(cluster, &backend.key, host))
            }
        }
    }
}

/// What a waypoint is asked for: the address that clients in the cluster know a service by, if it has one, or its host.
fn destination(address: Option<IpAddr>, host: &str) -> String {
    match address {
        Some(IpAddr::V4(address)) => address.to_string(),
        Some(IpAddr::V6(address)) => format!("[{address}]"),
        None => host.to_owned(),
    }
}

impl<'c> Waypoint<'c> {
    /// Where a backend of a service of this host is that it is asked for.
    fn lead(&self, cluster: &Cluster, key: &BackendKey, host: &str) -> Told {
        let Told { endpoints, mut remarks } = self.endpoints(cluster, key);
        let name = self.name();
        if let Some(subset) = &key.subset {
            let message =
                format!("subset {subset} of {host} is not chosen from here: waypoint {name} chooses endpoints");
            let remedy = "split by subset in a route of the waypoint";
            remarks.push(Remark::warning("ThroughWaypoint", "metadata.labels", message, remedy));
        } else if has_rule(cluster, &ObjectRef::new(Kind::Service, &key.namespace, &key.name)) {
            let message = format!("DestinationRules of {host} are applied by waypoint {name}, and not here");
            remarks.push(Remark::note("ThroughWaypoint", "metadata.labels", message, ""));
        }
        Told { endpoints, remarks }
    }

    /// The one of that name, for services of namespace `from`; or what is the matter with it.
    fn find(cluster: &'c Cluster, (namespace, name): (&str, &str), from: &str) -> Result<Self, String> {
        if let Some(gateway) = cluster.find::<Gateway>(namespace, name) {
            let takes = gateway.meta.labels.get(FOR).map_or("service", String::as_str);
            if !matches!(takes, "service" | "all") {
                return Err(format!("which takes nothing for services ({FOR}: {takes})"));
            }
            if namespace != from && !admits(cluster, gateway, from) {
                return Err(format!("whose allowedRoutes do not take in namespace {from}"));
            }
        }
        let service = cluster.find::<Service>(namespace, name).ok_or("of which there is no Service")?;
        let port = service.port_of(HBONE_PORT, &TransportProtocol::Tcp);
        let port = port.ok_or_else(|| format!("whose Service has no port {HBONE_PORT}"))?;
        Ok(Self { service, port })
    }

    /// Its endpoints, each with `key`'s port: that is the one it is asked for.
    fn endpoints(&self, cluster: &Cluster, key: &BackendKey) -> Told {
        let reference = self.reference();
        let pod = |endpoint: &SliceEndpoint| pod_of(cluster, &reference, endpoint);
        let keep = |endpoint: &SliceEndpoint| !is_awaited(cluster, endpoint, pod(endpoint));
        let describe = |written: &SliceEndpoint, endpoint: &mut Endpoint| {
            endpoint.address = SocketAddr::new(endpoint.address.ip(), key.port);
            endpoint.mesh = Some(Box::new(mesh_peers::of_waypoint(cluster, pod(written).map(Known::of_pod))));
        };
        let wanted = Wanted { keep: &keep, describe: &describe };
        // What is amiss with its slices is said of its own Service, once somebody routes there.
        let (endpoints, _) = endpoints(self.port, cluster.slices(&reference), &wanted);
        let is_there = endpoints.iter().any(|endpoint| endpoint.ready);
        let mut remarks = Vec::new();
        if !is_there {
            let message = format!("its waypoint {} has no ready endpoints, so requests get 503", self.name());
            let remedy = "look at the pods of the waypoint";
            remarks.push(Remark::warning("NoEndpoints", "metadata.labels", message, remedy));
        }
        Told { endpoints: Endpoints::Static { backend: key.clone(), endpoints }, remarks }
    }

    /// Namespace and name, as people write them.
    fn name(&self) -> String {
        format!("{}/{}", self.service.meta.namespace, self.service.meta.name)
    }

    fn reference(&self) -> ObjectRef {
        ObjectRef::new(Kind::Service, &self.service.meta.namespace, &self.service.meta.name)
    }
}

/// Whether a waypoint takes what comes for services of another namespace.
fn admits(cluster: &Cluster, gateway: &Gateway, from: &str) -> bool {
    let is_of_tunnels = |protocol: &ProtocolType| matches!(protocol, ProtocolType::Other(other) if other == "HBONE");
    gateway.spec.listeners.iter().filter(|listener| is_of_tunnels(&listener.protocol)).any(|listener| {
        let allowed = &listener.allowed_routes.namespaces;
        let namespaces =
            Namespaces::resolve(cluster, &gateway.meta.namespace, &allowed.from, allowed.selector.as_ref());
        namespaces.is_ok_and(|namespaces| namespaces.admit(from))
    })
}
