// SPDX-License-Identifier: Apache-2.0
//! Services that Kubernetes does not know: which ServiceEntries are one service, and where its endpoints are.
//!
//! Of several entries of one host the oldest that the proxies see counts; those of its namespace with the same resolution
//! add their ports. Never resolves a name.

use std::collections::BTreeSet;
use std::net::IpAddr;

use torana_crds::istio::names::{Export, Protocol};
use torana_crds::istio::service_entry::{EntryPort, Location, Resolution, Workload, WorkloadAddress};
use torana_crds::istio::{ServiceEntry, WorkloadEntry};
use torana_crds::{Kind, ObjectRef, StringMap};
use torana_ir::{Backend, Endpoints};

use crate::hosts;
use crate::report::{Entry, Remark};
use crate::store::Cluster;
use crate::translate::mesh_peers::MeshPeers;
use crate::translate::proxies::Proxies;
use crate::translate::servers::{UNSUPPORTED, verdict};
use crate::translate::waypoints::Passage;
use crate::translate::workloads::{self, Found};

/// Requests have nowhere to go.
const NO_ENDPOINTS: &str = "NoEndpoints";
/// Of `addresses`.
const OF_SIDECARS: &str = "sidecars go by it; a gateway goes by hosts and ports";

/// The ServiceEntries that are one service, the oldest first.
#[derive(Debug)]
pub(super) struct External<'c> {
    entries: Vec<&'c ServiceEntry>,
}

/// The service of that very name, if there is one that the proxies see.
pub(super) fn external<'c>(cluster: &'c Cluster, host: &str, proxies: &Proxies) -> Option<External<'c>> {
    let mesh = cluster.mesh().config();
    let export = |entry: &'c ServiceEntry| mesh.service_export(&entry.spec.export_to);
    let sees = |entry: &&'c ServiceEntry| proxies.see(export(entry), &entry.meta) && is_valid(entry);
    // The proxies' own namespace goes first, then what was exported to few, then what all see.
    let rank = |entry: &'c ServiceEntry| {
        let is_public = export(entry).is_empty() || export(entry).contains(&Export::All);
        if entry.meta.namespace == proxies.namespace { 0 } else { 1 + u8::from(is_public) }
    };
    let entries: Vec<_> = cluster.of_host::<ServiceEntry>(host).filter(sees).collect();
    let first = entries.iter().map(|entry| rank(entry)).min()?;
    of(entries.into_iter().filter(|entry| rank(entry) == first).collect())
}

/// The service of that name in a namespace, whoever sees it.
pub(super) fn within<'c>(cluster: &'c Cluster, host: &str, namespace: &str) -> Option<External<'c>> {
    let here = |entry: &&ServiceEntry| entry.meta.namespace == namespace && is_valid(entry);
    of(cluster.of_host::<ServiceEntry>(host).filter(here).collect())
}

fn of(mut entries: Vec<&ServiceEntry>) -> Option<External<'_>> {
    entries.sort_by_key(|entry| (entry.meta.created.unwrap_or_default(), &entry.meta.name, &entry.meta.namespace));
    let first = *entries.first()?;
    let is_one = |entry: &&ServiceEntry| {
        entry.meta.namespace == first.meta.namespace && entry.spec.resolution == first.spec.resolution
    };
    entries.retain(is_one);
    Some(External { entries })
}

/// Istio refuses others.
fn is_valid(entry: &ServiceEntry) -> bool {
    !entry.problems().iter().any(|problem| problem.severity == torana_crds::Severity::Error)
}

/// A host of a ServiceEntry as a backend's name: no Service's name ends in a dot.
pub(super) fn name_of(host: &str) -> String {
    format!("{host}.")
}

/// The host that a backend's name stands for, if it is one of a ServiceEntry.
pub(super) fn host_of(name: &str) -> Option<&str> {
    name.strip_suffix('.')
}

/// The host that rules know a service by, of Kubernetes or of a ServiceEntry, whose backends have this name.
pub(super) fn host_named(namespace: &str, name: &str) -> String {
    host_of(name).map_or_else(|| hosts::of_service(namespace, name), str::to_owned)
}

impl<'c> External<'c> {
    /// Where it is.
    pub(super) fn namespace(&self) -> &'c str {
        self.entries.first().map(|entry| entry.meta.namespace.as_str()).unwrap_or_default()
    }

    /// Names that certificates of its endpoints have, if that is said.
    pub(super) fn names(&self) -> &'c [String] {
        self.entries.first().map(|entry| entry.spec.subject_alt_names.as_slice()).unwrap_or_default()
    }

    /// Whether the proxies see it.
    pub(super) fn is_seen(&self, cluster: &Cluster, proxies: &Proxies) -> bool {
        let mesh = cluster.mesh().config();
        self.entries.iter().any(|entry| proxies.see(mesh.service_export(&entry.spec.export_to), &entry.meta))
    }

    /// Its ports, each number once.
    pub(super) fn ports(&self) -> impl Iterator<Item = &'c EntryPort> + '_ {
        let mut seen = Vec::new();
        self.entries.iter().flat_map(|entry| &entry.spec.ports).filter(move |port| {
            let is_new = !seen.contains(&port.number);
            seen.push(port.number);
            is_new
        })
    }

    /// The port of that number, unless it carries datagrams.
    pub(super) fn port(&self, number: u16) -> Option<&'c EntryPort> {
        self.ports().find(|port| port.number == number && port.protocol != Protocol::Udp)
    }

    /// Whether labels decide which workloads it has.
    pub(super) fn selects(&self) -> bool {
        self.entries.iter().any(|entry| entry.spec.workload_selector.is_some())
    }

    /// Whether it is no part of the mesh.
    pub(super) fn is_outside(&self) -> bool {
        self.entries.first().is_none_or(|entry| entry.spec.location == Location::MeshExternal)
    }

    /// Whether the endpoint is the one that is asked for, which at an edge its host says.
    pub(super) fn is_original(&self) -> bool {
        self.entries.first().is_some_and(|entry| entry.spec.resolution == Resolution::None)
    }

    /// Where the endpoints of a port are that have these labels, with what there is to say of that to its author.
    pub(super) fn endpoints(
        &self,
        cluster: &Cluster,
        host: &str,
        (backend, peers): (&Backend, &MeshPeers<'_>),
        labels: &StringMap,
    ) -> Told {
        let key = &backend.key;
        let (Some(first), Some(port)) = (self.entries.first(), self.port(key.port)) else {
            return Told { endpoints: Endpoints::none(key.clone()), remarks: Vec::new() };
        };
        let resolution = first.spec.resolution;
        let found = self.entries.iter().flat_map(|entry| workloads_of(cluster, entry, host));
        let found: Vec<_> = found.filter(|one| one.has(labels)).collect();
        let usual = port.target_port.unwrap_or(port.number);
        let endpoints = workloads::endpoints((backend, peers), (&port.name, usual), &found, resolution);
        let at = if first.spec.workload_selector.is_some() { "spec.workloadSelector" } else { "spec.endpoints" };
        let mut remarks = Vec::new();
        if resolution == Resolution::Static && found.iter().any(Found::is_name) {
            let message = "a workload has a name for its address, which is not resolved: it gets nothing";
            remarks.push(Remark::warning(NO_ENDPOINTS, at, message, "write resolution: DNS, or its IP address"));
        }
        let is_empty = endpoints.addresses().is_empty() && endpoints.names().next().is_none();
        // Of what leads nowhere anyway the resolution says it all.
        if is_empty && leads_anywhere(first, host) {
            let of_subset = key.subset.as_ref().map(|subset| format!(" of subset {subset}")).unwrap_or_default();
            let message = format!("no endpoints{of_subset} for port {}, so requests get 503", key.port);
            let remedy = match (at, key.subset.is_some()) {
                (_, true) => "look at the labels of the subset and of the workloads",
                ("spec.endpoints", _) => "list some, or write resolution: DNS",
                _ => "look at the labels of WorkloadEntries and pods of this namespace, and whether those are ready",
            };
            remarks.push(Remark::warning(NO_ENDPOINTS, at, message, remedy));
        }
        Told { endpoints, remarks }
    }

    /// How those who come from outside reach it; `ways` takes what that follows from.
    pub(super) fn passage(&self, cluster: &'c Cluster, ways: &mut BTreeSet<ObjectRef>) -> Passage<'c> {
        // Of `*.` nobody knows which host a request is for.
        let named = self.entries.first().filter(|entry| !entry.spec.hosts.iter().any(|host| is_wild(host)));
        named.map_or(Passage::Direct, |entry| Passage::of(cluster, &entry.meta, ways))
    }

    /// The address that clients in the mesh know it by, if it is one.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.entries.first()?.spec.addresses.iter().find(|it| it.is_single()).map(|it| it.address)
    }

    /// The entry that is told what there is to say of them all.
    pub(super) fn told(&self) -> Option<ObjectRef> {
        let meta = &self.entries.first()?.meta;
        Some(ObjectRef::new(Kind::ServiceEntry, &meta.namespace, &meta.name))
    }
}

/// Endpoints, with what there is to say.
#[derive(Debug)]
pub(super) struct Told {
    /// The endpoints.
    pub(super) endpoints: Endpoints,
    /// About the service; of ServiceEntries about the one that is [`External::told`].
    pub(super) remarks: Vec<Remark>,
}

/// What one entry says where its host is.
fn workloads_of<'c>(cluster: &'c Cluster, entry: &'c ServiceEntry, host: &'c str) -> Vec<Found<'c>> {
    let spec = &entry.spec;
    match spec.resolution {
        // An edge knows no other address that a request was meant for than that of its host.
        Resolution::None if is_wild(host) => Vec::new(),
        Resolution::None => vec![Found::Host(host)],
        Resolution::DynamicDns => Vec::new(),
        Resolution::Static | Resolution::Dns | Resolution::DnsRoundRobin => match &spec.workload_selector {
            Some(selector) => workloads::selected(cluster, &entry.meta.namespace, selector),
            None if spec.endpoints.is_empty() && spec.resolution != Resolution::Static => vec![Found::Host(host)],
            None => spec.endpoints.iter().map(Found::Workload).collect(),
        },
    }
}

fn is_wild(host: &str) -> bool {
    host.starts_with('*')
}

/// Whether the entry could lead to endpoints.
fn leads_anywhere(entry: &ServiceEntry, host: &str) -> bool {
    match entry.spec.resolution {
        Resolution::None => !is_wild(host),
        Resolution::DynamicDns => false,
        Resolution::Static | Resolution::Dns | Resolution::DnsRoundRobin => true,
    }
}

/// What there is to say about an entry by itself.
pub(super) fn entry(entry: &ServiceEntry, in_cluster: bool) -> Entry {
    let (mut remarks, is_valid) = verdict(entry.problems());
    let spec = &entry.spec;
    if is_valid {
        if spec.hosts.iter().any(|host| !leads_anywhere(entry, host)) {
            let message =
                "the host of each request is not connected to, so requests for names that *. stands for get 503";
            remarks.push(unsupported("spec.resolution", message));
        }
        if !spec.addresses.is_empty() {
            remarks.push(Remark::note(UNSUPPORTED, "spec.addresses", OF_SIDECARS, ""));
        }
        let resolved = matches!(spec.resolution, Resolution::Static | Resolution::Dns | Resolution::DnsRoundRobin);
        for (at, endpoint) in spec.endpoints.iter().enumerate().filter(|_| resolved) {
            remarks.extend(of_workload(endpoint, &format!("spec.endpoints[{at}]"), in_cluster));
        }
    }
    Entry { generation: entry.meta.generation, remarks, ..Entry::default() }
}

/// What there is to say about a WorkloadEntry by itself. Whether it is well changes all the time, and is not said.
pub(super) fn workload_entry(entry: &WorkloadEntry, in_cluster: bool) -> Entry {
    let (mut remarks, is_valid) = verdict(entry.problems());
    if is_valid {
        remarks.extend(of_workload(&entry.spec, "spec", in_cluster));
    }
    Entry { generation: entry.meta.generation, remarks, ..Entry::default() }
}

fn of_workload(workload: &Workload, at: &str, in_cluster: bool) -> Vec<Remark> {
    let mut remarks = Vec::new();
    match workload.address {
        WorkloadAddress::Unix(_) => {
            remarks.push(unsupported(&format!("{at}.address"), "sockets of files are not connected to"));
        }
        WorkloadAddress::Unset => {
            let message = "what is behind the gateway of a network is not connected to: it gets nothing";
            remarks.push(unsupported(&format!("{at}.network"), message));
        }
        WorkloadAddress::Ip(address) if in_cluster && address.to_canonical().is_loopback() => {
            let message = "would be the proxy itself, and is not connected to: it gets nothing";
            let remedy = "write an address that other pods reach it by";
            remarks.push(Remark::error(UNSUPPORTED, &format!("{at}.address"), message, remedy));
        }
        WorkloadAddress::Ip(_) | WorkloadAddress::Name(_) => {}
    }
    remarks
}

fn unsupported(at: &str, message: &str) -> Remark {
    Remark::warning(UNSUPPORTED, at, message, "")
}
