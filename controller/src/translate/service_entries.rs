// SPDX-License-Identifier: Apache-2.0
//! Services that Kubernetes does not know: which ServiceEntries are one service, and where its endpoints are.
//!
//! Of several entries of one host the oldest that the proxies see counts; those of its namespace with the same resolution
//! add their ports. Never resolves a name.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;

use torana_crds::StringMap;
use torana_crds::istio::names::{Export, Protocol};
use torana_crds::istio::service_entry::{EntryPort, Resolution, Workload, WorkloadAddress};
use torana_crds::istio::{ServiceEntry, WorkloadEntry};
use torana_ir::{Backend, Endpoint, Endpoints, Hostname};

use crate::hosts;
use crate::report::{Entry, Remark};
use crate::store::Cluster;
use crate::translate::localities;
use crate::translate::proxies::Proxies;
use crate::translate::servers::{UNSUPPORTED, verdict};

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

    /// Where the endpoints of a port are that have these labels.
    pub(super) fn endpoints(&self, cluster: &Cluster, host: &str, backend: &Backend, labels: &StringMap) -> Endpoints {
        let key = &backend.key;
        let none = || Endpoints::Static { backend: key.clone(), endpoints: Vec::new() };
        let (Some(entry), Some(port)) = (self.entries.first(), self.port(key.port)) else { return none() };
        let number = port.target_port.unwrap_or(port.number);
        let workloads: Vec<&Workload> = match &entry.spec.workload_selector {
            None => self.entries.iter().flat_map(|entry| &entry.spec.endpoints).collect(),
            Some(selector) => {
                let all = cluster.within::<WorkloadEntry>(&entry.meta.namespace);
                all.map(|it| &it.spec).filter(|it| selector.iter().all(|(k, v)| it.labels.get(k) == Some(v))).collect()
            }
        };
        let is_none_written = workloads.is_empty();
        let chosen = workloads.into_iter().filter(|it| labels.iter().all(|(k, v)| it.labels.get(k) == Some(v)));
        let chosen: Vec<_> = chosen.map(|it| (it, it.ports.get(&port.name).copied().unwrap_or(number))).collect();
        let dns = |host: &str, port| match Hostname::new(host) {
            Some(host) => Endpoints::of_name(key.clone(), host.as_str(), port),
            None => none(),
        };
        match entry.spec.resolution {
            Resolution::Static => fixed(backend, &chosen),
            // The host itself has no labels.
            Resolution::Dns | Resolution::DnsRoundRobin if is_none_written && labels.is_empty() => dns(host, number),
            Resolution::Dns | Resolution::DnsRoundRobin => {
                match chosen.iter().find_map(|(it, port)| Some((name(it)?, *port))) {
                    Some((name, port)) => dns(name, port),
                    None => fixed(backend, &chosen),
                }
            }
            Resolution::None | Resolution::DynamicDns => none(),
        }
    }
}

fn name(workload: &Workload) -> Option<&str> {
    match &workload.address {
        WorkloadAddress::Name(name) => Some(name),
        _ => None,
    }
}

fn fixed(backend: &Backend, chosen: &[(&Workload, u16)]) -> Endpoints {
    let mut found: BTreeMap<SocketAddr, Endpoint> = BTreeMap::new();
    for (workload, port) in chosen {
        if let WorkloadAddress::Ip(address) = &workload.address
            && is_reachable(*address)
        {
            let weight = workload.weight.and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN);
            let mut endpoint = Endpoint { weight, ..Endpoint::new(SocketAddr::new(*address, *port), true) };
            if let Some(policy) = &backend.locality {
                localities::place_workload(policy, workload, &mut endpoint);
            }
            found.insert(endpoint.address, endpoint);
        }
    }
    Endpoints::Static { backend: backend.key.clone(), endpoints: found.into_values().collect() }
}

fn is_reachable(address: IpAddr) -> bool {
    !address.is_unspecified() && !address.is_multicast()
}

/// What there is to say about an entry by itself.
pub(super) fn entry(entry: &ServiceEntry) -> Entry {
    let (mut remarks, is_valid) = verdict(entry.problems());
    let spec = &entry.spec;
    let mut say = |field: &str, message: &str| {
        remarks.push(Remark::warning(UNSUPPORTED, &format!("spec.{field}"), message, ""));
    };
    if is_valid {
        if matches!(spec.resolution, Resolution::None | Resolution::DynamicDns) {
            say("resolution", "the host of each request is not connected to, so requests get 503");
        }
        let names = spec.endpoints.iter().filter(|it| name(it).is_some()).count();
        if names > 1 {
            say("endpoints", "of several names the first is used");
        }
        let addresses = spec.endpoints.iter().any(|it| matches!(it.address, WorkloadAddress::Ip(_)));
        if names > 0 && addresses {
            say("endpoints", "beside a name no address is connected to");
        }
        let paths = spec.endpoints.iter().any(|it| matches!(it.address, WorkloadAddress::Unix(_)));
        if paths {
            say("endpoints", "sockets of files are not connected to");
        }
    }
    Entry { generation: entry.meta.generation, remarks, ..Entry::default() }
}
