// SPDX-License-Identifier: Apache-2.0
//! Rules of VirtualService (`ValidateVirtualService`). Never about rules that others make unreachable.

use std::collections::BTreeSet;

use crate::istio::VirtualService;
use crate::istio::names::GatewayName;
use crate::istio::rules::facts;
use crate::istio::rules::shared::{Exporter, export_to, gateway_names};
use crate::istio::rules::{http, streams};
use crate::istio::virtual_service::VirtualServiceSpec;
use crate::violation::{At, Findings};

pub(super) fn judge(service: &VirtualService, root: &At<'_>, found: &mut Findings) {
    let (spec, at) = (&service.spec, root.field("spec"));
    if spec.is_delegate() {
        judge_delegate(spec, &at, found);
    }
    gateway_names(&spec.gateways, &at.field("gateways"), found);
    judge_hosts(spec, &at.field("hosts"), found);
    if spec.http.is_empty() && spec.tls.is_empty() && spec.tcp.is_empty() {
        found.error(&at, "has no rules", "add http, tls or tcp");
    }
    let mut names = BTreeSet::new();
    for (index, rule) in spec.http.iter().enumerate() {
        let list = at.field("http");
        let at = list.item(index);
        if rule.name.as_ref().is_some_and(|name| !names.insert(name)) {
            found.warning(&at.field("name"), "repeats the name of another rule", "give each rule a name of its own");
        }
        http::judge(rule, spec, &at, found);
    }
    let hosts: BTreeSet<&str> = spec.hosts.iter().map(String::as_str).collect();
    for (index, rule) in spec.tls.iter().enumerate() {
        streams::judge_tls(rule, spec, &hosts, &at.field("tls").item(index), found);
    }
    for (index, rule) in spec.tcp.iter().enumerate() {
        streams::judge_tcp(rule, &at.field("tcp").item(index), found);
    }
    export_to(&spec.export_to, &service.meta.namespace, Exporter::Other, &at.field("exportTo"), found);
}

/// It takes part in another one: only its `http` means something.
fn judge_delegate(spec: &VirtualServiceSpec, at: &At<'_>, found: &mut Findings) {
    let others = [("gateways", spec.gateways.is_empty()), ("tls", spec.tls.is_empty()), ("tcp", spec.tcp.is_empty())];
    for (field, _) in others.into_iter().filter(|(_, is_empty)| !is_empty) {
        let remedy = "remove it, or add hosts if nobody delegates to it";
        found.error(&at.field(field), "has no meaning without hosts", remedy);
    }
}

fn judge_hosts(spec: &VirtualServiceSpec, at: &At<'_>, found: &mut Findings) {
    let before = found.errors();
    let has_sni = spec.tls.iter().flat_map(|rule| &rule.matches).any(|it| !it.sni_hosts.is_empty());
    for (index, host) in spec.hosts.iter().enumerate() {
        let at = at.item(index);
        let is_generated = has_sni && !spec.is_for_mesh() && facts::is_generated(host);
        if !facts::is_pattern(host) && !facts::is_ip(host) && !is_generated {
            found.error(&at, format!("is not a host: {host:?}"), "write a DNS name, *.suffix, * or an IP address");
        } else if host == "*" && spec.is_for_mesh() {
            let named = spec.gateways.iter().any(GatewayName::is_mesh);
            let remedy =
                if named { "name the hosts, or remove mesh from gateways" } else { "name gateways, or the hosts" };
            found.warning(&at, "is every host of the mesh, which Istio refuses", remedy);
        }
    }
    if found.errors() == before {
        judge_overlaps(&spec.hosts, at, found);
    }
}

/// `host.Name.Matches`: no two hosts may cover a name together. Written backwards and in order, whatever a wildcard
/// covers follows it.
fn judge_overlaps(hosts: &[String], at: &At<'_>, found: &mut Findings) {
    let mut backwards: Vec<(Vec<u8>, bool, usize)> = hosts
        .iter()
        .enumerate()
        .map(|(index, host)| {
            let end = host.strip_prefix('*');
            (end.unwrap_or(host).bytes().rev().collect(), end.is_none(), index)
        })
        .collect();
    backwards.sort();
    let mut covering: Vec<&(Vec<u8>, bool, usize)> = Vec::new();
    let mut before: Option<&(Vec<u8>, bool, usize)> = None;
    for one in &backwards {
        while covering.last().is_some_and(|wildcard| !one.0.starts_with(&wildcard.0)) {
            covering.pop();
        }
        let same = before.filter(|before| (&before.0, before.1) == (&one.0, one.1));
        if let Some((_, _, other)) = covering.last().copied().or(same) {
            let index = one.2.max(*other);
            let other = hosts.get(one.2.min(*other)).map_or("", String::as_str);
            let why = format!("overlaps with {other:?}");
            found.error(&at.item(index), why, "name every host once, or write one VirtualService for each");
        }
        if !one.1 {
            covering.push(one);
        }
        before = Some(one);
    }
}
