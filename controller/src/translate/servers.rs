// SPDX-License-Identifier: Apache-2.0
//! Servers of Istio's Gateways: from the Gateways whose selector finds the pods of a fleet to the listeners of its
//! proxies, and to what VirtualServices bind to ([`ServerSlot`]).
//!
//! Servers come by the age of their Gateways. On one port and address HTTP servers are one listener, whose virtual hosts
//! are those of all of them; servers of TLS are told apart by server name, a listener for each host. Whatever else a later
//! server asks of a taken port leaves it out, and nobody else (`mergeGateways`).
//!
//! Never looks at a VirtualService.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use torana_crds::istio::IstioGateway;
use torana_crds::istio::gateway::Server;
use torana_crds::istio::names::{HostScope, Protocol as Spoken};
use torana_crds::istio::server_tls::ServerTlsMode;
use torana_crds::{Kind, ObjectRef, Severity};
use torana_ir::{HostPattern, Listener, ListenerKey, Protocol, Tls};

use crate::report::conditions::istio as conditions;
use crate::report::{Entry, Remark};
use crate::translate::proxies::Proxies;

/// A port belongs to somebody else.
pub(super) const PORT_CONFLICT: &str = "PortConflict";
/// Another server has the host.
pub(super) const HOST_CONFLICT: &str = "HostConflict";
/// Not done yet, or never.
pub(super) const UNSUPPORTED: &str = "UnsupportedValue";
/// Istio's own validation refuses the object.
pub(super) const INVALID: &str = "Invalid";
/// The Service before the proxies lacks the port.
const NO_PORT: &str = "GatewayPortNotDefinedOnService";
/// No pods of Torana are selected.
const NO_WORKLOAD: &str = "SelectorMatchesNoWorkload";

/// A server, as VirtualServices see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServerSlot {
    /// Who serves it.
    pub(super) proxies: Arc<Proxies>,
    /// Its port, as written.
    pub(super) port: u16,
    /// What comes in.
    pub(super) cargo: Incoming,
    /// Hosts that it takes, of whose VirtualServices.
    pub(super) hosts: Vec<ScopedHost>,
    /// Requests are sent to https.
    pub(super) redirects: bool,
    /// Clients come over TLS.
    pub(super) over_tls: bool,
    /// Its place among the servers that share its listener.
    pub(super) server: u16,
    /// Listeners that serve it, with the hosts that belong to each.
    pub(super) listeners: Vec<(ListenerKey, HostPattern)>,
}

/// What comes in by a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Incoming {
    /// Requests: `http`.
    Requests,
    /// TLS that is passed on by its server name: `tls`.
    Handshakes,
    /// Bytes: `tcp`.
    Streams,
}

/// One entry of `hosts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ScopedHost {
    /// Whose VirtualServices; `None`: everybody's.
    pub(super) namespace: Option<String>,
    /// The host.
    pub(super) pattern: HostPattern,
}

impl ScopedHost {
    /// What this and a host of a VirtualService of `namespace` have in common.
    pub(super) fn meets(&self, namespace: &str, host: &HostPattern) -> Option<HostPattern> {
        let admits = self.namespace.as_deref().is_none_or(|own| own == namespace);
        admits.then(|| self.pattern.intersection(host)).flatten()
    }
}

/// How TLS ends at a server, or why it cannot be served.
pub(super) type Terms = Result<Tls, Remark>;

/// Who has a port on an address already.
pub(super) type Taken<'t> = &'t dyn Fn(&Proxies, u16, Option<IpAddr>) -> Option<String>;

/// How TLS ends at a server of these proxies.
pub(super) type Ending<'t> = &'t mut dyn FnMut(&Proxies, &Server, &str, &mut Vec<Remark>) -> Terms;

/// What came of the Gateways of Istio.
#[derive(Debug, Default)]
pub(super) struct Servers {
    /// Listeners.
    pub(super) listeners: BTreeMap<ListenerKey, Listener>,
    /// What VirtualServices bind to.
    pub(super) slots: BTreeMap<ObjectRef, Vec<ServerSlot>>,
    /// What there is to say.
    pub(super) entries: BTreeMap<ObjectRef, Entry>,
}

/// Ports of one fleet.
#[derive(Debug, Default)]
struct Ports {
    /// Who was first in the clear: whether in HTTP, and where.
    plain: BTreeMap<u16, (bool, Option<IpAddr>)>,
    /// Where TLS was first.
    tls: BTreeSet<u16>,
    /// How many servers in the clear share a port and an address.
    sharing: BTreeMap<(u16, Option<IpAddr>), u16>,
    /// Hosts as written of servers with `tls`, by port, and where.
    written: BTreeMap<(u16, String), Option<IpAddr>>,
}

impl Servers {
    /// Serves `gateways` by those of the `fleets` that they select. `taken` says who has a port already, `terms` how TLS
    /// ends at a server; both name the field.
    pub(super) fn new<'c>(
        gateways: impl Iterator<Item = &'c IstioGateway>,
        fleets: &[Arc<Proxies>],
        taken: Taken<'_>,
        terms: Ending<'_>,
    ) -> Self {
        let mut servers = Self::default();
        let mut gateways: Vec<_> = gateways.collect();
        gateways.sort_by_key(|gateway| age(gateway));
        let mut usable = Vec::with_capacity(gateways.len());
        for gateway in gateways {
            let reference = ObjectRef::new(Kind::IstioGateway, &gateway.meta.namespace, &gateway.meta.name);
            if servers.judged(gateway, &reference) {
                usable.push((gateway, reference));
            }
        }
        for proxies in fleets {
            let mut ports = Ports::default();
            for (gateway, reference) in usable.iter().filter(|(gateway, _)| proxies.have(&gateway.spec.selector)) {
                servers.slots.entry(reference.clone()).or_default();
                for (index, server) in gateway.spec.servers.iter().enumerate() {
                    let path = format!("spec.servers[{index}]");
                    let draft = Draft { gateway, server, path, proxies };
                    let slot = draft.slot(&mut ports, taken, terms, &mut servers.listeners);
                    let entry = servers.entries.entry(reference.clone()).or_default();
                    match slot {
                        Ok((slot, remarks)) => {
                            servers.slots.entry(reference.clone()).or_default().push(slot);
                            entry.remarks.extend(remarks);
                        }
                        Err(remark) => entry.remarks.push(remark),
                    }
                }
            }
        }
        for (gateway, reference) in usable {
            if !servers.slots.contains_key(&reference) {
                let message = "its selector finds no pods of Torana, so Torana does not serve it";
                let remark = Remark::note(NO_WORKLOAD, "spec.selector", message, "");
                servers.entries.entry(reference.clone()).or_default().remarks.push(remark);
            }
            let entry = servers.entries.entry(reference.clone()).or_default();
            entry.generation = gateway.meta.generation;
            if servers.slots.contains_key(&reference) {
                entry.conditions = vec![conditions::accepted(&entry.remarks)];
            }
        }
        servers
    }

    /// Whether Istio would take the object at all; what it says of it is said here.
    fn judged(&mut self, gateway: &IstioGateway, reference: &ObjectRef) -> bool {
        let (remarks, is_valid) = verdict(gateway.problems());
        let entry = self.entries.entry(reference.clone()).or_default();
        entry.generation = gateway.meta.generation;
        entry.remarks.extend(remarks);
        is_valid
    }
}

/// What Istio's validation says of an object, and whether it takes it.
pub(super) fn verdict(problems: Vec<torana_crds::Violation>) -> (Vec<Remark>, bool) {
    verdict_with(problems, "it has no effect")
}

/// The same of an object that something else comes of if Istio does not take it.
pub(super) fn verdict_with(problems: Vec<torana_crds::Violation>, consequence: &str) -> (Vec<Remark>, bool) {
    let is_valid = !problems.iter().any(|problem| problem.severity == Severity::Error);
    let remark = |problem: torana_crds::Violation| match problem.severity {
        Severity::Error => {
            let message = format!("{}: Istio refuses the object, so {consequence}", problem.why);
            Remark::error(INVALID, &problem.path, message, problem.remedy)
        }
        Severity::Warning => Remark::warning(INVALID, &problem.path, problem.why, problem.remedy),
        Severity::Note => Remark::note(INVALID, &problem.path, problem.why, problem.remedy),
    };
    (problems.into_iter().map(remark).collect(), is_valid)
}

/// Older goes first, then by name, then by namespace.
fn age(gateway: &IstioGateway) -> (i64, &str, &str) {
    (gateway.meta.created.unwrap_or_default(), &gateway.meta.name, &gateway.meta.namespace)
}

/// One server of one fleet.
struct Draft<'a> {
    gateway: &'a IstioGateway,
    server: &'a Server,
    path: String,
    proxies: &'a Arc<Proxies>,
}

impl Draft<'_> {
    /// Where the proxies listen.
    fn port(&self) -> u16 {
        self.proxies.listens_on(self.server.port.number)
    }

    /// What no other server is called.
    fn name(&self) -> String {
        format!("{}/{}/{}", self.gateway.meta.namespace, self.gateway.meta.name, self.path)
    }

    fn at(&self, field: &str) -> String {
        format!("{}.{field}", self.path)
    }

    fn slot(
        &self,
        ports: &mut Ports,
        taken: Taken<'_>,
        terms: Ending<'_>,
        listeners: &mut BTreeMap<ListenerKey, Listener>,
    ) -> Result<(ServerSlot, Vec<Remark>), Remark> {
        let mut remarks = Vec::new();
        let port = self.port();
        let address = self.address()?;
        let hosts = self.hosts(&mut remarks);
        ports.hosts(self, address)?;
        if let Some(holder) = taken(self.proxies, port, address) {
            let message = format!("port {port} belongs to {holder}, so the server is left out");
            return Err(Remark::error(PORT_CONFLICT, &self.at("port.number"), message, "use another port"));
        }
        ports.admit(self, address)?;
        remarks.extend(self.out_of_reach());
        let (cargo, protocol) = self.protocol(terms, &mut remarks)?;
        let mut slot = ServerSlot {
            proxies: Arc::clone(self.proxies),
            port: self.server.port.number,
            cargo,
            redirects: protocol == Protocol::Http && self.redirects(),
            over_tls: protocol.begins_with_tls(),
            server: 0,
            listeners: Vec::new(),
            hosts,
        };
        let key = |host: Option<&HostPattern>| self.key(&protocol, address, host);
        let shared = (matches!(protocol, Protocol::Https(_)) && slot.hosts.len() > 1).then(|| self.name());
        let listener = |key: &ListenerKey, host: &HostPattern| {
            self.proxies.clients.of(Listener {
                addresses: address.into_iter().collect(),
                protocol: protocol.clone(),
                hostname: host.clone(),
                server: shared.clone(),
                ..Listener::new(key.clone(), port)
            })
        };
        if !protocol.begins_with_tls() {
            let count = ports.sharing.entry((port, address)).or_default();
            slot.server = *count;
            *count = count.saturating_add(1);
            let key = key(None);
            listeners.entry(key.clone()).or_insert_with(|| listener(&key, &HostPattern::Any));
            slot.listeners.push((key, HostPattern::Any));
            return Ok((slot, remarks));
        }
        let mut patterns: BTreeSet<_> = slot.hosts.iter().map(|host| host.pattern.clone()).collect();
        // A server of every name asks for none in particular.
        if patterns.contains(&HostPattern::Any) {
            patterns = BTreeSet::from([HostPattern::Any]);
        }
        for host in patterns {
            let key = key(Some(&host));
            if listeners.contains_key(&key) {
                let message = format!("another server has host {host} on port {port}, so this one does not get it");
                remarks.push(Remark::error(HOST_CONFLICT, &self.at("hosts"), message, "name each host once"));
                continue;
            }
            listeners.insert(key.clone(), listener(&key, &host));
            slot.listeners.push((key, host));
        }
        Ok((slot, remarks))
    }

    /// What is said where the Service before the proxies does not have the port.
    fn out_of_reach(&self) -> Option<Remark> {
        let (port, fleet) = (self.server.port.number, &self.proxies.fleet);
        if self.proxies.are_reached(self.port()) {
            return None;
        }
        let message = format!("ingress {fleet} has no port {port}, so clients do not reach the server");
        Some(Remark::warning(NO_PORT, &self.at("port.number"), message, "add it to the ports of the ingress"))
    }

    /// `None`: all of them.
    fn address(&self) -> Result<Option<IpAddr>, Remark> {
        let Some(text) = self.server.bind.as_deref() else { return Ok(None) };
        let address: IpAddr = text.parse().map_err(|_| {
            let message = format!("{text:?} is not an address, so the server is left out");
            Remark::error(UNSUPPORTED, &self.at("bind"), message, "write an IP address")
        })?;
        Ok(Some(address).filter(|address| !address.is_unspecified()))
    }

    fn redirects(&self) -> bool {
        self.server.tls.as_ref().is_some_and(|tls| tls.https_redirect)
    }

    fn hosts(&self, remarks: &mut Vec<Remark>) -> Vec<ScopedHost> {
        let mut hosts = Vec::with_capacity(self.server.hosts.len());
        for (index, host) in self.server.hosts.iter().enumerate() {
            let namespace = match &host.scope {
                HostScope::Any => None,
                HostScope::Own => Some(self.gateway.meta.namespace.clone()),
                HostScope::Namespace(namespace) => Some(namespace.clone()),
            };
            if let Some(pattern) = HostPattern::parse(&host.dns_name) {
                hosts.push(ScopedHost { namespace, pattern });
            } else {
                let at = format!("{}[{index}]", self.at("hosts"));
                let message = format!("hosts like {:?} are not supported, so it is not served", host.dns_name);
                remarks.push(Remark::error(UNSUPPORTED, &at, message, "write a DNS name, *.name or *"));
            }
        }
        hosts
    }

    fn protocol(&self, terms: Ending<'_>, remarks: &mut Vec<Remark>) -> Result<(Incoming, Protocol), Remark> {
        let spoken = &self.server.port.protocol;
        if !spoken.is_tls() {
            let is_http = spoken.is_http();
            let both = if is_http { (Incoming::Requests, Protocol::Http) } else { (Incoming::Streams, Protocol::Tcp) };
            return Ok(both);
        }
        let mode = self.server.tls.as_ref().map(|tls| tls.mode).unwrap_or_default();
        if mode == ServerTlsMode::Passthrough {
            return Ok((Incoming::Handshakes, Protocol::TlsPassthrough));
        }
        let tls = terms(self.proxies, self.server, &self.at("tls"), remarks)?;
        Ok(match spoken {
            Spoken::Https => (Incoming::Requests, Protocol::Https(tls)),
            _ => (Incoming::Streams, Protocol::TlsTerminate(tls)),
        })
    }

    /// No listener of Gateway API has a slash in its name.
    fn key(&self, protocol: &Protocol, address: Option<IpAddr>, host: Option<&HostPattern>) -> ListenerKey {
        let mut name = format!("{}/{}", protocol.as_str(), self.port());
        if protocol.begins_with_tls() {
            // HTTPS and TLS share a port.
            name = format!("tls/{}", self.port());
        }
        for part in [address.map(|it| it.to_string()), host.map(ToString::to_string)].into_iter().flatten() {
            name.push('/');
            name.push_str(&part);
        }
        ListenerKey { gateway: self.proxies.fleet.clone(), set: None, name }
    }
}

impl Ports {
    /// A server with `tls`, also one that only redirects, is left out if another has one of its hosts.
    fn hosts(&mut self, draft: &Draft<'_>, address: Option<IpAddr>) -> Result<(), Remark> {
        if draft.server.tls.is_none() {
            return Ok(());
        }
        let port = draft.port();
        let namespace = &draft.gateway.meta.namespace;
        let written = draft.server.hosts.iter().map(|host| match &host.scope {
            HostScope::Any => host.dns_name.clone(),
            HostScope::Own => format!("{namespace}/{}", host.dns_name),
            HostScope::Namespace(namespace) => format!("{namespace}/{}", host.dns_name),
        });
        let written: Vec<_> = written.map(|host| (port, host)).collect();
        if let Some((_, host)) = written.iter().find(|key| self.written.get(*key) == Some(&address)) {
            let message = format!("an earlier server with tls has host {host} on port {port}, so this one is left out");
            return Err(Remark::error(HOST_CONFLICT, &draft.at("hosts"), message, "name each host once"));
        }
        self.written.extend(written.into_iter().map(|key| (key, address)));
        Ok(())
    }

    fn admit(&mut self, draft: &Draft<'_>, address: Option<IpAddr>) -> Result<(), Remark> {
        let spoken = &draft.server.port.protocol;
        let port = draft.port();
        let other = match self.plain.get(&port) {
            Some((true, _)) if spoken.is_http() => return Ok(()),
            Some((_, first)) if *first != address => return Ok(()),
            Some((true, _)) => "HTTP",
            Some((false, _)) => "TCP",
            None if spoken.is_tls() => {
                self.tls.insert(port);
                return Ok(());
            }
            None if self.tls.contains(&port) => "TLS",
            None => {
                self.plain.insert(port, (spoken.is_http(), address));
                return Ok(());
            }
        };
        let message = format!("an earlier server speaks {other} on port {port}, so this one is left out");
        Err(Remark::error(PORT_CONFLICT, &draft.at("port.protocol"), message, "use another port"))
    }
}
