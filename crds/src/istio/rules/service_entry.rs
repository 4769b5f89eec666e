// SPDX-License-Identifier: Apache-2.0
//! Rules of ServiceEntry and WorkloadEntry (`ValidateServiceEntry`, `validateWorkloadEntry`). Never resolves a name.

use std::collections::BTreeSet;

use crate::istio::ServiceEntry;
use crate::istio::names::Protocol;
use crate::istio::rules::facts;
use crate::istio::rules::shared::{Exporter, at_most, export_to, labels, no_longer, selector};
use crate::istio::service_entry::{Location, Resolution, ServiceEntrySpec, Workload, WorkloadAddress};
use crate::violation::{At, Findings};

/// Whether an address may be a DNS name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    /// It may: somebody resolves it.
    Allowed,
    /// It must be an address.
    Refused,
}

pub(super) fn judge(entry: &ServiceEntry, root: &At<'_>, found: &mut Findings) {
    let (spec, at) = (&entry.spec, root.field("spec"));
    judge_hosts(spec, &at.field("hosts"), found);
    let addresses = at.field("addresses");
    at_most(256, spec.addresses.len(), &addresses, found);
    if !matches!(spec.resolution, Resolution::None | Resolution::Static) {
        for (index, _) in spec.addresses.iter().enumerate().filter(|(_, subnet)| !subnet.is_single()) {
            let why = "is a subnet, which only goes with resolution NONE and STATIC";
            found.error(&addresses.item(index), why, "write single addresses");
        }
    }
    judge_ports(spec, &at.field("ports"), found);
    if let Some(pods) = &spec.workload_selector {
        let place = at.field("workloadSelector");
        selector(pods, 256, &place.field("labels"), found);
        if !spec.endpoints.is_empty() {
            found.error(&place, "stands beside endpoints", "keep one of them");
        }
        if pods.is_empty() {
            found.warning(&place, "has no labels: it finds every workload of the namespace", "add labels");
        }
    }
    judge_endpoints(spec, &at.field("endpoints"), found);
    match spec.resolution {
        Resolution::None if spec.workload_selector.is_some() => {
            found.warning(&at.field("workloadSelector"), "has no effect with resolution NONE", "write STATIC");
        }
        Resolution::Dns | Resolution::DnsRoundRobin => judge_dns(spec, &at, found),
        Resolution::DynamicDns => judge_dynamic(entry, &at, found),
        Resolution::None | Resolution::Static => {}
    }
    export_to(&spec.export_to, &entry.meta.namespace, Exporter::ServiceEntry, &at.field("exportTo"), found);
}

fn judge_hosts(spec: &ServiceEntrySpec, at: &At<'_>, found: &mut Findings) {
    if spec.hosts.is_empty() {
        found.error(at, "is empty", "name the host");
    }
    at_most(256, spec.hosts.len(), at, found);
    for (index, host) in spec.hosts.iter().enumerate() {
        if host == "*" || !facts::is_pattern(host) {
            let remedy = "write a DNS name or *.suffix";
            found.error(&at.item(index), format!("is not a host: {host:?}"), remedy);
        } else if spec.resolution != Resolution::DynamicDns && facts::is_partial_wildcard(host) {
            found.warning(&at.item(index), "begins with part of a label", "write *.suffix");
        }
    }
}

fn judge_ports(spec: &ServiceEntrySpec, at: &At<'_>, found: &mut Findings) {
    at_most(256, spec.ports.len(), at, found);
    let (mut numbers, mut names) = (BTreeSet::new(), BTreeSet::new());
    for (index, port) in spec.ports.iter().enumerate() {
        let at = at.item(index);
        if !names.insert(&port.name) {
            found.error(&at.field("name"), format!("repeats {:?}", port.name), "give each port a name of its own");
        }
        if !numbers.insert(port.number) {
            found.error(&at.field("number"), format!("repeats {}", port.number), "write each port once");
        }
        judge_port_name(&port.name, &at.field("name"), found);
        if let Protocol::Other(other) = &port.protocol {
            let remedy = "write HTTP, HTTPS, HTTP2, GRPC, TLS, TCP or MONGO, or leave it out";
            found.error(&at.field("protocol"), format!("is not a protocol: {other:?}"), remedy);
        }
    }
    // Hosts of one address and port are told from each other by what is sent: bytes say nothing.
    let tells = |protocol: &Protocol| protocol.is_http() || protocol.is_tls();
    if spec.resolution != Resolution::None
        && spec.hosts.len() > 1
        && let Some(index) = spec.ports.iter().position(|port| !tells(&port.protocol))
    {
        let remedy = "write HTTP or TLS, or one ServiceEntry for each host";
        found.error(&at.item(index).field("protocol"), "cannot tell several hosts apart", remedy);
    }
}

fn judge_port_name(name: &str, at: &At<'_>, found: &mut Findings) {
    if !facts::is_label(name) {
        found.error(at, format!("is not a name of a port: {name:?}"), "use at most 63 letters, digits and -");
    }
}

fn judge_endpoints(spec: &ServiceEntrySpec, at: &At<'_>, found: &mut Findings) {
    at_most(4096, spec.endpoints.len(), at, found);
    if spec.endpoints.is_empty() {
        return;
    }
    match spec.resolution {
        Resolution::None => found.error(at, "does not go with resolution NONE", "write STATIC or DNS"),
        Resolution::DynamicDns => found.error(at, "does not go with resolution DYNAMIC_DNS", "write STATIC or DNS"),
        Resolution::DnsRoundRobin if spec.endpoints.len() > 1 => {
            found.error(at, "has several entries, but the resolution is DNS_ROUND_ROBIN", "write DNS, or keep one");
        }
        _ => {}
    }
    let named = if spec.resolution == Resolution::Static { Named::Refused } else { Named::Allowed };
    let names: BTreeSet<&str> = spec.ports.iter().map(|port| port.name.as_str()).collect();
    for (index, endpoint) in spec.endpoints.iter().enumerate() {
        let at = at.item(index);
        workload(endpoint, &at, named, found);
        for port in endpoint.ports.keys().filter(|port| !names.contains(port.as_str())) {
            let remedy = "use a name of spec.ports";
            found.error(&at.field("ports").field(port), "is not a port of the entry", remedy);
        }
        let is_unix = matches!(endpoint.address, WorkloadAddress::Unix(_));
        if is_unix && (spec.resolution != Resolution::Static || spec.ports.len() != 1) {
            let why = "is a socket of the file system, which goes with resolution STATIC and one port";
            found.error(&at.field("address"), why, "write an IP address");
        }
    }
}

/// What is resolved are the endpoints, or the hosts.
fn judge_dns(spec: &ServiceEntrySpec, at: &At<'_>, found: &mut Findings) {
    if spec.endpoints.is_empty() {
        for (index, host) in spec.hosts.iter().enumerate().filter(|(_, host)| !facts::is_name(host)) {
            let list = at.field("hosts");
            let why = format!("cannot be resolved: {host:?}");
            found.error(&list.item(index), why, "write a DNS name without *, or endpoints");
        }
    }
}

fn judge_dynamic(entry: &ServiceEntry, at: &At<'_>, found: &mut Findings) {
    let spec = &entry.spec;
    for (index, _) in spec.hosts.iter().enumerate().filter(|(_, host)| !host.starts_with('*')) {
        let list = at.field("hosts");
        found.error(&list.item(index), "is no wildcard, but the resolution is DYNAMIC_DNS", "write *.suffix, or DNS");
    }
    if !spec.addresses.is_empty() {
        found.error(&at.field("addresses"), "does not go with resolution DYNAMIC_DNS", "remove it");
    }
    for (index, port) in spec.ports.iter().enumerate() {
        if !matches!(port.protocol, Protocol::Http | Protocol::Http2 | Protocol::Grpc | Protocol::Tls) {
            let list = at.field("ports");
            let why = "does not go with resolution DYNAMIC_DNS";
            found.error(&list.item(index).field("protocol"), why, "write HTTP, HTTP2, GRPC or TLS");
        }
    }
    let waypoint = entry.meta.labels.get("istio.io/use-waypoint");
    let has_waypoint = waypoint.is_some_and(|name| !name.is_empty() && !name.eq_ignore_ascii_case("none"));
    if spec.location == Location::MeshInternal && has_waypoint {
        let why = "is MESH_INTERNAL with DYNAMIC_DNS and a waypoint, which do not go together";
        found.error(&at.field("location"), why, "write MESH_EXTERNAL");
    }
}

pub(super) fn workload(workload: &Workload, at: &At<'_>, named: Named, found: &mut Findings) {
    let place = at.field("address");
    match &workload.address {
        WorkloadAddress::Unset if workload.network.is_none() => {
            found.error(&place, "is missing", "write an IP address or a DNS name, or network");
        }
        WorkloadAddress::Unset => {
            found.warning(&place, "is missing: the gateway of the network is meant", "write it, if it is known");
        }
        WorkloadAddress::Unix(path) => {
            if !(path.starts_with('@') || (path.starts_with('/') && !path.ends_with('/'))) {
                found.error(&place, "is not the path of a socket", "write unix:///path or unix://@name");
            }
            if !workload.ports.is_empty() {
                found.error(&at.field("ports"), "does not go with a socket of the file system", "remove it");
            }
        }
        WorkloadAddress::Name(name) if named == Named::Refused || !facts::is_name(name) => {
            let remedy = if named == Named::Refused { "write an IP address, or DNS" } else { "write one of them" };
            let what = if named == Named::Refused { "an IP address" } else { "an IP address or a DNS name" };
            found.error(&place, format!("is not {what}: {name:?}"), remedy);
        }
        WorkloadAddress::Name(name) => no_longer(256, name, &place, found),
        WorkloadAddress::Ip(_) => {}
    }
    let ports = at.field("ports");
    at_most(128, workload.ports.len(), &ports, found);
    for name in workload.ports.keys() {
        judge_port_name(name, &ports.field(name), found);
    }
    let place = at.field("labels");
    at_most(256, workload.labels.len(), &place, found);
    labels(&workload.labels, &place, found);
    for (field, text, limit) in
        [("network", &workload.network, 2048), ("serviceAccount", &workload.service_account, 253)]
    {
        no_longer(limit, text.as_deref().unwrap_or_default(), &at.field(field), found);
    }
}
