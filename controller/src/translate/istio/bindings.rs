// SPDX-License-Identifier: Apache-2.0
//! Where a VirtualService is served: servers of the Gateways that it names, of Istio's API or of Gateway API, that see it
//! and share a host with it.
//!
//! Of Gateway API's listeners `allowedRoutes.namespaces` holds for VirtualServices too. Never looks at rules.

use std::collections::BTreeMap;
use std::sync::Arc;

use torana_crds::istio::names::{Export, GatewayName};
use torana_crds::istio::{MeshConfig, VirtualService};
use torana_crds::{GATEWAY_GROUP, Kind, ObjectMeta, ObjectRef};
use torana_ir::{HostPattern, ListenerKey};

use crate::hosts;
use crate::report::Remark;
use crate::report::conditions::route::{NO_MATCHING_LISTENER_HOSTNAME, NO_MATCHING_PARENT, NOT_ALLOWED_BY_LISTENERS};
use crate::translate::frame::{Parent, Parents, Slot, mesh};
use crate::translate::ledger::Ledger;
use crate::translate::proxies::Proxies;
use crate::translate::servers::{INVALID, Incoming, ScopedHost, ServerSlot, UNSUPPORTED};

/// One server that serves a VirtualService.
#[derive(Debug)]
pub(super) struct Binding<'p> {
    /// The Gateway as `namespace/name`, or `mesh`.
    pub(super) gateway: String,
    /// Who serves it.
    pub(super) proxies: Arc<Proxies>,
    /// The server's port.
    pub(super) port: u16,
    /// What comes in.
    pub(super) cargo: Incoming,
    /// Requests are sent to https.
    pub(super) redirects: bool,
    /// Clients come over TLS.
    pub(super) over_tls: bool,
    /// Listeners with the hosts that both have, and their patterns.
    pub(super) listeners: Vec<(ListenerKey, Vec<HostPattern>)>,
    /// The listeners' own hosts.
    pub(super) own: Vec<(&'p ListenerKey, &'p HostPattern)>,
    /// How early its rules are asked: see [`torana_ir::Order`].
    pub(super) rank: u8,
    /// Its place among the servers that share its listener.
    pub(super) server: u16,
}

/// A VirtualService as others see it.
struct Seen<'s> {
    meta: &'s ObjectMeta,
    /// Its `exportTo`, or that of the mesh.
    export: &'s [Export],
}

/// Every server that serves it; why others do not goes to the ledger.
pub(super) fn of<'p>(
    whole: &MeshConfig,
    parents: &'p Parents,
    service: &VirtualService,
    ledger: &mut Ledger,
) -> Vec<Binding<'p>> {
    let seen = Seen { meta: &service.meta, export: whole.virtual_service_export(&service.spec.export_to) };
    let spec = &service.spec;
    if spec.is_delegate() {
        return Vec::new();
    }
    let mesh_only = [GatewayName(GatewayName::MESH.to_owned())];
    let names = if spec.gateways.is_empty() { &mesh_only } else { spec.gateways.as_slice() };
    let mut bindings = Vec::new();
    let mut hosts = None;
    for (index, name) in names.iter().enumerate() {
        let path = format!("spec.gateways[{index}]");
        if name.is_mesh() {
            ledger.need(&mesh());
            if let Some(Parent::Ours(slots)) = parents.get(&mesh()) {
                let hosts = hosts.get_or_insert_with(|| hosts_of(service, ledger)).clone();
                let admitting = slots.iter().filter(|slot| slot.namespaces.admit(&service.meta.namespace));
                bindings.extend(admitting.filter_map(|slot| {
                    let hosts = with_short_names(&hosts, &slot.key.gateway.namespace);
                    of_listener(slot, "mesh", &seen, &hosts)
                }));
            }
            continue;
        }
        if spec.is_for_mesh() && spec.hosts.iter().any(|host| host == "*") {
            let message = "every host of the mesh and of a Gateway: Istio refuses the object, so it is not served here";
            ledger.remarks.push(Remark::error(INVALID, &path, message, "name hosts, or no gateway"));
            continue;
        }
        let (namespace, gateway) = name.target(&service.meta.namespace);
        let (theirs, ours) =
            (ObjectRef::new(Kind::IstioGateway, namespace, gateway), ObjectRef::new(Kind::Gateway, namespace, gateway));
        ledger.need(&theirs);
        ledger.need(&ours);
        let shown = format!("{namespace}/{gateway}");
        let hosts = hosts.get_or_insert_with(|| hosts_of(service, ledger)).clone();
        match (parents.get(&theirs), parents.get(&ours)) {
            // Who has both means Istio's, as it always did.
            (Some(Parent::Servers(slots)), _) => {
                let found: Vec<_> = slots.iter().filter_map(|slot| of_server(slot, &shown, &seen, &hosts)).collect();
                if found.is_empty() && !slots.is_empty() {
                    ledger.remarks.push(unmet(&path, &shown));
                }
                bindings.extend(found);
            }
            (Some(_), _) | (_, Some(Parent::Foreign)) => {}
            (None, Some(Parent::Ours(slots))) => {
                let admitting = || slots.iter().filter(|slot| slot.namespaces.admit(&service.meta.namespace));
                let found: Vec<_> = admitting().filter_map(|slot| of_listener(slot, &shown, &seen, &hosts)).collect();
                if found.is_empty() {
                    let is_let_in = slots.is_empty() || admitting().next().is_some();
                    ledger.remarks.push(if is_let_in {
                        unmet(&path, &shown)
                    } else {
                        shut_out(&path, &shown, service)
                    });
                }
                bindings.extend(found);
            }
            (None, Some(Parent::Servers(_)) | None) => ledger.remarks.push(absent(&path, &shown)),
        }
    }
    bindings
}

fn unmet(path: &str, gateway: &str) -> Remark {
    let message = format!("no server of Gateway {gateway} shares a host with it and sees it");
    let remedy = "align hosts, and look at exportTo and at the namespaces of the server's hosts";
    Remark::warning(NO_MATCHING_LISTENER_HOSTNAME, path, message, remedy)
}

fn shut_out(path: &str, gateway: &str, service: &VirtualService) -> Remark {
    let namespace = &service.meta.namespace;
    let message = format!("no listener of Gateway {gateway} takes routes from namespace {namespace}");
    Remark::error(NOT_ALLOWED_BY_LISTENERS, path, message, "allow it in allowedRoutes.namespaces of the listener")
}

fn absent(path: &str, gateway: &str) -> Remark {
    let message = format!("there is no Gateway {gateway}, of Istio or of Gateway API");
    Remark::error(NO_MATCHING_PARENT, path, message, "create it or correct the name")
}

/// Its hosts; what is none is said.
fn hosts_of(service: &VirtualService, ledger: &mut Ledger) -> Vec<HostPattern> {
    let mut patterns = Vec::with_capacity(service.spec.hosts.len());
    for (index, host) in service.spec.hosts.iter().enumerate() {
        if let Some(pattern) = HostPattern::parse(&hosts::whole(host, &service.meta.namespace)) {
            patterns.push(pattern);
        } else {
            let message = format!("hosts like {host:?} are not supported, so it is not served");
            let path = format!("spec.hosts[{index}]");
            ledger.remarks.push(Remark::error(UNSUPPORTED, &path, message, "write a DNS name, *.name or *"));
        }
    }
    patterns
}

/// In the mesh a Service has shorter names, too; the shortest in its own namespace only, where the Gateway may be.
fn with_short_names(whole: &[HostPattern], namespace: &str) -> Vec<HostPattern> {
    let shorter = whole.iter().flat_map(|host| {
        let HostPattern::Exact(name) = host else { return Vec::new() };
        let Some(service) = hosts::service(name.as_str()) else { return Vec::new() };
        let own = format!("{}.{}", service.name, service.namespace);
        let shortest = (service.namespace == namespace).then_some(service.name);
        [Some(format!("{own}.svc")), Some(own), shortest].into_iter().flatten().collect()
    });
    whole.iter().cloned().chain(shorter.filter_map(|name| HostPattern::parse(&name))).collect()
}

fn of_server<'p>(
    slot: &'p ServerSlot,
    gateway: &str,
    service: &Seen<'_>,
    hosts: &[HostPattern],
) -> Option<Binding<'p>> {
    let own: Vec<_> = slot.listeners.iter().map(|(key, host)| (key, host)).collect();
    let narrows = slot.cargo != Incoming::Requests;
    let place = Place { slot_hosts: &slot.hosts, own, narrows, proxies: &slot.proxies };
    let binding = place.bind(gateway, service, hosts)?;
    let ServerSlot { port, cargo, redirects, over_tls, server, .. } = *slot;
    Some(Binding { port, cargo, redirects, over_tls, server, ..binding })
}

/// A listener of Gateway API.
fn of_listener<'p>(slot: &'p Slot, gateway: &str, service: &Seen<'_>, hosts: &[HostPattern]) -> Option<Binding<'p>> {
    let takes = |kind: &str| slot.kinds.iter().any(|it| it.group == GATEWAY_GROUP && it.kind == kind);
    let cargo = if takes("HTTPRoute") {
        Incoming::Requests
    } else if takes("TLSRoute") && slot.passes_on {
        Incoming::Handshakes
    } else if takes("TLSRoute") || takes("TCPRoute") {
        Incoming::Streams
    } else {
        return None;
    };
    let hostname = slot.hostname.as_ref().filter(|_| slot.served)?;
    let hosts_there = [ScopedHost { namespace: None, pattern: hostname.clone() }];
    let place =
        Place { slot_hosts: &hosts_there, own: vec![(&slot.key, hostname)], narrows: true, proxies: &slot.proxies };
    let binding = place.bind(gateway, service, hosts)?;
    Some(Binding { port: slot.port, cargo, redirects: false, over_tls: slot.over_tls, ..binding })
}

struct Place<'p, 's> {
    slot_hosts: &'s [ScopedHost],
    own: Vec<(&'p ListenerKey, &'p HostPattern)>,
    /// Hosts are cut down to those of each listener. Requests go by the most specific host that a VirtualService has in
    /// common with the server, whichever of the server's hosts its client shook hands for, so theirs are not.
    narrows: bool,
    proxies: &'s Arc<Proxies>,
}

impl<'p> Place<'p, '_> {
    /// `None` if they do not see it, or share no host with it.
    fn bind(self, gateway: &str, service: &Seen<'_>, hosts: &[HostPattern]) -> Option<Binding<'p>> {
        if !self.proxies.see(service.export, service.meta) {
            return None;
        }
        let shared: Vec<HostPattern> = self
            .slot_hosts
            .iter()
            .flat_map(|scoped| hosts.iter().filter_map(|host| scoped.meets(&service.meta.namespace, host)))
            .collect();
        let mut listeners: BTreeMap<&ListenerKey, Vec<HostPattern>> = BTreeMap::new();
        for (key, pattern) in &self.own {
            for host in &shared {
                let Some(both) = pattern.intersection(host) else { continue };
                let host = if self.narrows { both } else { host.clone() };
                let there = listeners.entry(key).or_default();
                if !there.contains(&host) {
                    there.push(host);
                }
            }
        }
        let listeners: Vec<_> = listeners.into_iter().map(|(key, hosts)| (key.clone(), hosts)).collect();
        let rank = rank(service, self.proxies);
        let proxies = Arc::clone(self.proxies);
        (!listeners.is_empty()).then(|| Binding {
            gateway: gateway.to_owned(),
            proxies,
            port: 0,
            cargo: Incoming::Requests,
            redirects: false,
            over_tls: false,
            listeners,
            own: self.own,
            rank,
            server: 0,
        })
    }
}

/// What only the proxies' own namespace sees goes before what was exported to it, and that before what all see.
fn rank(service: &Seen<'_>, proxies: &Proxies) -> u8 {
    let export = service.export;
    let is_theirs = service.meta.namespace == proxies.namespace;
    let names = |to: &Export| match to {
        Export::Own => is_theirs,
        Export::Namespace(namespace) => *namespace == proxies.namespace,
        Export::All | Export::Nobody => false,
    };
    match export.iter().any(names) && !export.contains(&Export::All) {
        true if is_theirs => 1,
        true => 2,
        false => 3,
    }
}
