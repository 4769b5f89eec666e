// SPDX-License-Identifier: Apache-2.0
//! `tls` and `tcp` of a VirtualService: where handshakes go by their server name, and where bytes go.
//!
//! Of a match count its port and its gateways; what it says of labels and of subnets Istio does not ask at a gateway
//! either. Of `tcp` the first rule is taken whose matches are for the place.

use torana_crds::istio::VirtualService;
use torana_crds::istio::names::GatewayName;
use torana_crds::istio::virtual_service::StreamDestination;
use torana_ir::{Attachment, HostPattern, RouteId, RouteKind, RuleKey, StreamBackend, StreamRule};

use crate::hosts;
use crate::report::Remark;
use crate::store::Cluster;
use crate::translate::istio::bindings::Binding;
use crate::translate::istio::destinations::{OF_STREAMS, target};
use crate::translate::istio::matches;
use crate::translate::ledger::Ledger;
use crate::translate::servers::{HOST_CONFLICT, Incoming};

/// The rules of streams for every place that takes them.
pub(super) fn placed(
    cluster: &Cluster,
    service: &VirtualService,
    bindings: &[Binding<'_>],
    ledger: &mut Ledger,
) -> Vec<StreamRule> {
    let mut rules: Vec<StreamRule> = Vec::new();
    for place in bindings {
        match place.cargo {
            Incoming::Requests => {}
            Incoming::Handshakes => handshakes(cluster, service, place, &mut rules, ledger),
            Incoming::Streams => streams(cluster, service, place, &mut rules, ledger),
        }
    }
    rules
}

fn is_for(place: &Binding<'_>, port: Option<u16>, gateways: &[GatewayName], home: &str) -> bool {
    port.is_none_or(|port| port == place.port) && (gateways.is_empty() || matches::names(gateways, home, place))
}

fn handshakes(
    cluster: &Cluster,
    service: &VirtualService,
    place: &Binding<'_>,
    rules: &mut Vec<StreamRule>,
    ledger: &mut Ledger,
) {
    let home = &service.meta.namespace;
    let mut taken: Vec<HostPattern> = Vec::new();
    for (index, rule) in service.spec.tls.iter().enumerate() {
        let fitting = rule.matches.iter().enumerate().filter(|(_, one)| is_for(place, one.port, &one.gateways, home));
        let mut names = Vec::new();
        for (number, one) in fitting {
            let own = one.sni_hosts.iter().map(|host| hosts::whole(host, home));
            let own: Vec<_> = own.filter_map(|host| HostPattern::parse(&host)).collect();
            // Of two matches for one name the first has it, and the other is left out whole.
            if let Some(name) = own.iter().find(|name| taken.contains(name)) {
                let at = format!("spec.tls[{index}].match[{number}].sniHosts");
                let message = format!("an earlier match has {name} on port {}, so this one is left out", place.port);
                ledger.remarks.push(Remark::warning(HOST_CONFLICT, &at, message, "name each host once"));
                continue;
            }
            taken.extend(own.iter().cloned());
            names.extend(own);
        }
        let attachments: Vec<_> = place
            .own
            .iter()
            .filter_map(|(key, pattern)| {
                // As they are written: of two rules of a listener that of the narrower name goes first.
                let met = names.iter().filter(|name| pattern.intersection(name).is_some());
                let hostnames: Vec<_> = met.cloned().collect();
                (!hostnames.is_empty()).then(|| Attachment { listener: (*key).clone(), hostnames })
            })
            .collect();
        if !attachments.is_empty() {
            let at = format!("spec.tls[{index}]");
            rules.push(stream(cluster, (service, &rule.route), attachments, (place, &at), ledger));
        }
    }
}

fn streams(
    cluster: &Cluster,
    service: &VirtualService,
    place: &Binding<'_>,
    rules: &mut Vec<StreamRule>,
    ledger: &mut Ledger,
) {
    let home = &service.meta.namespace;
    let found = service.spec.tcp.iter().enumerate().find(|(_, rule)| {
        rule.matches.is_empty() || rule.matches.iter().any(|one| is_for(place, one.port, &one.gateways, home))
    });
    let Some((index, rule)) = found else { return };
    // Bytes name no host, and whoever ends TLS has asked for the name already.
    let listeners = place.own.iter().map(|(listener, _)| (*listener).clone());
    let attachments = listeners.map(|listener| Attachment { listener, hostnames: vec![HostPattern::Any] }).collect();
    let at = format!("spec.tcp[{index}]");
    rules.push(stream(cluster, (service, &rule.route), attachments, (place, &at), ledger));
}

fn stream(
    cluster: &Cluster,
    (service, route): (&VirtualService, &[StreamDestination]),
    attachments: Vec<Attachment>,
    (place, at): (&Binding<'_>, &str),
    ledger: &mut Ledger,
) -> StreamRule {
    let (namespace, name) = (service.meta.namespace.clone(), service.meta.name.clone());
    let is_only = route.len() == 1;
    let backends = route.iter().enumerate().filter(|(_, entry)| is_only || entry.weight > 0).map(|(index, entry)| {
        let at = format!("{at}.route[{index}].destination");
        let target = target(cluster, (&entry.destination, &namespace), place, (&at, OF_STREAMS), ledger);
        StreamBackend { target, weight: if is_only { 1 } else { entry.weight } }
    });
    let backends = backends.collect();
    let route = RouteId { kind: RouteKind::VirtualService, namespace, name };
    StreamRule {
        key: RuleKey { route, index: 0 },
        name: None,
        rank: place.rank,
        created: service.meta.created.unwrap_or_default(),
        attachments,
        backends,
    }
}
