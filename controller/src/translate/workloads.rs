// SPDX-License-Identifier: Apache-2.0
//! Workloads: what a ServiceEntry lists, and the WorkloadEntries and pods of a namespace that it, or a Service, selects.
//! A pure function of the objects. Never resolves a name, never looks for a service.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;

use torana_crds::core::{Pod, Service, ServicePort, TargetPort};
use torana_crds::istio::WorkloadEntry;
use torana_crds::istio::service_entry::{Resolution, Workload, WorkloadAddress};
use torana_crds::{Severity, StringMap};
use torana_ir::{Backend, Endpoint, Endpoints, Hostname, Locality, NamedEndpoint};

use crate::store::Cluster;
use crate::translate::localities;
use crate::translate::mesh_peers::{Known, MeshPeers};

/// One that may be an endpoint.
#[derive(Debug, Clone, Copy)]
pub(super) enum Found<'c> {
    /// The host of the ServiceEntry itself, which is to be resolved.
    Host(&'c str),
    /// As it is written.
    Workload(&'c Workload),
    /// A pod that is ready.
    Pod(&'c Pod, IpAddr),
}

/// Where connections to one go.
#[derive(Debug, Clone, Copy)]
enum Address<'c> {
    Ip(IpAddr),
    Name(&'c str),
}

impl<'c> Found<'c> {
    /// Whether it has these labels. The host itself has none.
    pub(super) fn has(&self, labels: &StringMap) -> bool {
        let own = match self {
            Self::Host(_) => return labels.is_empty(),
            Self::Workload(workload) => &workload.labels,
            Self::Pod(pod, _) => &pod.meta.labels,
        };
        is_part(labels, own)
    }

    /// What is known of it as a workload of a mesh, if that could be one; `namespace` is that of its ServiceEntry, or its own.
    fn known<'s>(&'s self, namespace: &'s str) -> Option<Known<'s>> {
        match self {
            Self::Host(_) => None,
            Self::Workload(workload) => Some(Known::of_workload(workload, namespace)),
            Self::Pod(pod, _) => Some(Known::of_pod(pod)),
        }
    }

    /// Whether it has a name that must be resolved.
    pub(super) fn is_name(&self) -> bool {
        matches!(self.address(), Some(Address::Name(_)))
    }

    /// `None`: nobody knows how to connect to it.
    fn address(&self) -> Option<Address<'c>> {
        let ip = |ip: IpAddr| Some(Address::Ip(ip)).filter(|_| !ip.is_unspecified() && !ip.is_multicast());
        match self {
            Self::Host(name) => Some(Address::Name(name)),
            Self::Pod(_, address) => ip(*address),
            Self::Workload(Workload { address, .. }) => match address {
                WorkloadAddress::Ip(address) => ip(*address),
                WorkloadAddress::Name(name) => Some(Address::Name(name)),
                WorkloadAddress::Unix(_) | WorkloadAddress::Unset => None,
            },
        }
    }

    /// Its port for a port of that name, which is elsewhere this one.
    fn port(&self, name: &str, usual: u16) -> u16 {
        match self {
            Self::Workload(workload) => workload.ports.get(name).copied().unwrap_or(usual),
            Self::Host(_) | Self::Pod(..) => usual,
        }
    }

    fn weight(&self) -> NonZeroU32 {
        match self {
            Self::Workload(workload) => workload.weight.and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN),
            Self::Host(_) | Self::Pod(..) => NonZeroU32::MIN,
        }
    }

    /// Where it stands, and its labels, as far as the backend asks for that.
    fn place(&self, backend: &Backend) -> (Locality, StringMap) {
        match (&backend.locality, self) {
            (Some(policy), Self::Workload(workload)) => localities::place_workload(policy, workload),
            (Some(policy), Self::Pod(pod, _)) => localities::place_pod(policy, pod),
            (None, _) | (_, Self::Host(_)) => <_>::default(),
        }
    }
}

/// WorkloadEntries and pods of a namespace that have these labels and may get requests.
pub(super) fn selected<'c>(cluster: &'c Cluster, namespace: &str, labels: &StringMap) -> Vec<Found<'c>> {
    let entries = entries(cluster, namespace, labels);
    let pods = cluster.within::<Pod>(namespace).filter(|pod| pod.meta.deletion.is_none() && pod.status.is_ready);
    let pods = pods.filter(|pod| is_part(labels, &pod.meta.labels));
    let pods = pods.filter_map(|pod| Some(Found::Pod(pod, pod.status.address?)));
    entries.map(Found::Workload).chain(pods).collect()
}

/// WorkloadEntries of a namespace that have these labels, are well, and that Istio does not refuse.
fn entries<'c>(cluster: &'c Cluster, namespace: &str, labels: &StringMap) -> impl Iterator<Item = &'c Workload> {
    let all = cluster.within::<WorkloadEntry>(namespace).filter(|entry| is_part(labels, &entry.spec.labels));
    all.filter(|entry| entry.is_healthy() && is_valid(entry)).map(|entry| &entry.spec)
}

fn is_valid(entry: &WorkloadEntry) -> bool {
    !entry.problems().iter().any(|problem| problem.severity == Severity::Error)
}

fn is_part(labels: &StringMap, of: &StringMap) -> bool {
    labels.iter().all(|(key, value)| of.get(key) == Some(value))
}

/// Endpoints of `backend` for a port of that name and number, in the order in which they were found. Of several names where
/// one address is to be used, the first is.
pub(super) fn endpoints(
    (backend, peers): (&Backend, &MeshPeers<'_>),
    (port, usual): (&str, u16),
    found: &[Found<'_>],
    resolution: Resolution,
) -> Endpoints {
    let only_first = resolution == Resolution::DnsRoundRobin;
    let (mut addresses, mut names): (BTreeMap<SocketAddr, Endpoint>, Vec<NamedEndpoint>) = <_>::default();
    for one in found.iter().take(if only_first { 1 } else { usize::MAX }) {
        let (port, weight, (locality, labels)) = (one.port(port, usual), one.weight(), one.place(backend));
        let mesh = peers.of(one.known(&backend.key.namespace), port);
        match one.address() {
            Some(Address::Ip(ip)) => {
                let address = SocketAddr::new(ip, port);
                let endpoint = Endpoint { weight, locality, labels, mesh, ..Endpoint::new(address, true) };
                addresses.entry(address).or_insert(endpoint);
            }
            Some(Address::Name(name)) if resolution != Resolution::Static => {
                let Some(host) = Hostname::new(name.strip_suffix('.').unwrap_or(name)) else { continue };
                let name = NamedEndpoint::new(host.as_str(), port);
                names.push(NamedEndpoint { only_first, weight, locality, labels, mesh, ..name });
            }
            Some(Address::Name(_)) | None => {}
        }
    }
    let (backend, addresses) = (backend.key.clone(), addresses.into_values().collect());
    let mut names = names.into_iter();
    match names.next() {
        None => Endpoints::Static { backend, endpoints: addresses },
        Some(first) => Endpoints::Dns { backend, first, others: names.collect(), addresses },
    }
}

/// Adds WorkloadEntries that a Service selects to the endpoints that slices tell of. Pods it selects are told of there.
pub(super) fn add_selected(
    cluster: &Cluster,
    (service, port): (&Service, &ServicePort),
    (backend, subset): (&Backend, Option<&StringMap>),
    peers: &MeshPeers<'_>,
    endpoints: &mut Vec<Endpoint>,
) {
    let selector = &service.spec.selector;
    if selector.is_empty() || service.is_headless() {
        return;
    }
    let nothing = StringMap::new();
    let all = entries(cluster, &service.meta.namespace, selector);
    for workload in all.filter(|workload| is_part(subset.unwrap_or(&nothing), &workload.labels)) {
        let Some(number) = number(port, workload) else { continue };
        let one = Found::Workload(workload);
        let Some(Address::Ip(ip)) = one.address() else { continue };
        let address = SocketAddr::new(ip, number);
        if let Err(at) = endpoints.binary_search_by_key(&address, |endpoint| endpoint.address) {
            let (locality, labels) = one.place(backend);
            let mesh = peers.of(one.known(&service.meta.namespace), number);
            let weight = one.weight();
            endpoints.insert(at, Endpoint { weight, locality, labels, mesh, ..Endpoint::new(address, true) });
        }
    }
}

/// The port of a workload that a port of a Service leads to; a name of a port is looked for among its own.
fn number(port: &ServicePort, workload: &Workload) -> Option<u16> {
    match &port.target_port {
        Some(TargetPort::Name(name)) => workload.ports.get(name).copied(),
        Some(TargetPort::Number(number)) if *number > 0 => {
            Some(workload.ports.get(&port.name).copied().unwrap_or(*number))
        }
        // Kubernetes always says one; where there is none it is the port itself.
        _ => Some(workload.ports.get(&port.name).copied().unwrap_or(port.port)),
    }
}
