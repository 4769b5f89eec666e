// SPDX-License-Identifier: Apache-2.0
//! Rules of `tls` and `tcp` of a VirtualService. Never about requests.

use std::collections::BTreeSet;

use crate::istio::names::GatewayName;
use crate::istio::rules::facts;
use crate::istio::rules::shared::{destination, gateway_names, labels, weights};
use crate::istio::virtual_service::{StreamDestination, TcpRule, TlsRule, VirtualServiceSpec};
use crate::meta::StringMap;
use crate::violation::{At, Findings};

pub(super) fn judge_tls(
    rule: &TlsRule,
    spec: &VirtualServiceSpec,
    hosts: &BTreeSet<&str>,
    at: &At<'_>,
    found: &mut Findings,
) {
    let matches = at.field("match");
    if rule.matches.is_empty() {
        found.error(&matches, "is empty", "add sniHosts");
    }
    for (index, part) in rule.matches.iter().enumerate() {
        let at = matches.item(index);
        let names = at.field("sniHosts");
        if part.sni_hosts.is_empty() {
            found.error(&names, "is empty", "name the server names; they are within the hosts");
        }
        for (index, name) in part.sni_hosts.iter().enumerate() {
            judge_sni(name, spec, hosts, &names.item(index), found);
        }
        judge_source(&part.source_labels, &part.gateways, &at, found);
    }
    judge_route(&rule.route, &at.field("route"), found);
}

fn judge_sni(name: &str, spec: &VirtualServiceSpec, hosts: &BTreeSet<&str>, at: &At<'_>, found: &mut Findings) {
    if facts::is_ip(name) {
        found.warning(at, "is an IP address, which no client sends as server name", "write a DNS name");
    } else if !facts::is_pattern(name) && (spec.is_for_mesh() || !facts::is_generated(name)) {
        found.error(at, format!("is not a server name: {name:?}"), "write a DNS name or *.suffix");
    } else if !facts::is_within(name, |host| hosts.contains(host)) {
        found.error(at, format!("is not within the hosts: {name:?}"), "add it to spec.hosts");
    }
}

pub(super) fn judge_tcp(rule: &TcpRule, at: &At<'_>, found: &mut Findings) {
    for (index, part) in rule.matches.iter().enumerate() {
        judge_source(&part.source_labels, &part.gateways, &at.field("match").item(index), found);
    }
    judge_route(&rule.route, &at.field("route"), found);
}

/// What a match asks of the proxy itself.
pub(super) fn judge_source(source: &StringMap, gateways: &[GatewayName], at: &At<'_>, found: &mut Findings) {
    labels(source, &at.field("sourceLabels"), found);
    gateway_names(gateways, &at.field("gateways"), found);
}

fn judge_route(route: &[StreamDestination], at: &At<'_>, found: &mut Findings) {
    if route.is_empty() {
        found.error(at, "is empty", "add a destination");
    }
    for (index, to) in route.iter().enumerate() {
        destination(&to.destination, &at.item(index).field("destination"), found);
    }
    weights(route.iter().map(|to| to.weight), at, found);
}
