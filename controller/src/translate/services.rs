// SPDX-License-Identifier: Apache-2.0
//! One Service that rules send to: a backend for each of its ports that is used, with its endpoints. A pure function of
//! the Service, its EndpointSlices, the policies that target it and who uses it. Never looks at a route.

use std::collections::{BTreeMap, BTreeSet};

use torana_crds::core::{EndpointSlice, Pod, Service, ServicePort, SliceEndpoint, TransportProtocol};
use torana_crds::istio::DestinationRule;
use torana_crds::istio::destination_rule::Subset;
use torana_crds::istio::names::Protocol as Spoken;
use torana_crds::{Kind, ObjectRef, StringMap};
use torana_ir::{Backend, BackendKey, BackendTls, Endpoint, Endpoints, Hostname, Transport, UpstreamProtocol};

use crate::hosts;
use crate::report::{Entry, Remark};
use crate::store::Cluster;
use crate::translate::backends::{is_alias, speaks_tls};
use crate::translate::destination_rules::{Blocks, InForce, in_force};
use crate::translate::endpoints::{Wanted, endpoints};
use crate::translate::localities;
use crate::translate::originations::{Originations, Peer};
use crate::translate::policies::Policies;
use crate::translate::proxies::Proxies;
use crate::translate::service_entries::{Told, host_named, host_of, within};
use crate::translate::traffic;
use crate::translate::workloads::add_selected;

/// Who uses a port: numbers of routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Users {
    /// HTTPRoutes.
    pub(super) http: u32,
    /// GRPCRoutes.
    pub(super) grpc: u32,
    /// TLSRoutes, TCPRoutes, UDPRoutes.
    pub(super) streams: u32,
    /// VirtualServices: there the name of a port says what is spoken.
    pub(super) mesh: u32,
}

impl Users {
    /// The number of routes of a kind.
    pub(super) fn of(&mut self, kind: Option<Kind>) -> &mut u32 {
        match kind {
            Some(Kind::GrpcRoute) => &mut self.grpc,
            Some(Kind::TlsRoute | Kind::TcpRoute | Kind::UdpRoute) => &mut self.streams,
            Some(Kind::VirtualService) => &mut self.mesh,
            _ => &mut self.http,
        }
    }
}

/// A port of a Service, of all its endpoints or of a subset of them.
pub(super) type UsedPort = (u16, Transport, Option<String>);

/// Who uses which ports of a Service.
pub(super) type UsedPorts = BTreeMap<UsedPort, Users>;

/// Whether labels of pods decide which endpoints it has, or where they stand.
pub(super) fn reads_pods(backend: &Backend) -> bool {
    backend.key.subset.is_some() || backend.locality.is_some()
}

/// A backend with its endpoints.
pub(super) type Addressed = (Backend, Endpoints);

/// All that follows from one Service.
#[derive(Debug, Default)]
pub(super) struct ServiceOutput {
    /// A backend with its endpoints for each port that is used.
    pub(super) backends: BTreeMap<BackendKey, Addressed>,
    /// What there is to say about the Service and its slices.
    pub(super) entries: BTreeMap<ObjectRef, Entry>,
    /// Objects, there or not, that hold what it is spoken to with.
    pub(super) asked: BTreeSet<ObjectRef>,
    /// Whether pods may be endpoints that no slice tells of.
    pub(super) selects_pods: bool,
}

/// Who looks at a Service: DestinationRules may say another thing to each fleet.
#[derive(Debug)]
pub(super) struct View<'v> {
    /// The proxies.
    pub(super) proxies: &'v Proxies,
    /// What TLS begins with.
    pub(super) originations: &'v mut Originations,
}

/// Whether some DestinationRule is of a service.
pub(super) fn has_rule(cluster: &Cluster, reference: &ObjectRef) -> bool {
    let host = host_named(&reference.namespace, &reference.name);
    let is_meant = |pattern: &&str| hosts::takes_in(pattern, &host);
    cluster.of_host::<DestinationRule>(&host).next().is_some()
        || cluster.patterns::<DestinationRule>().iter().any(is_meant)
}

/// Translates the ports of a Service that are used. `reference` is a Service, or stands for a host of ServiceEntries.
pub(super) fn service(
    cluster: &Cluster,
    reference: &ObjectRef,
    used: &UsedPorts,
    policies: &Policies,
    mut view: View<'_>,
) -> ServiceOutput {
    if let Some(host) = host_of(&reference.name) {
        return of_entries(cluster, reference, host, used, view);
    }
    let mut output = ServiceOutput::default();
    let Some(service) = cluster.find::<Service>(&reference.namespace, &reference.name) else { return output };
    let host = hosts::of_service(&reference.namespace, &reference.name);
    let rule = in_force(cluster, (&host, &reference.namespace), view.proxies);
    for ((number, transport, subset), users) in used {
        let key = key(reference, (*number, *transport, subset.as_ref()));
        let protocol = match transport {
            Transport::Tcp => TransportProtocol::Tcp,
            Transport::Udp => TransportProtocol::Udp,
        };
        let port = service.port_of(*number, &protocol);
        let mut backend = Backend::new(key.clone());
        backend.tls = policies.tls(cluster, reference, port);
        let (cleartext, declared) = (backend.tls == BackendTls::Plain, (service, port));
        backend.protocol = output.protocol(reference, declared, cleartext, *users);
        let part = subset.as_ref().and_then(|name| rule.as_ref()?.subset(name));
        // Of a backend of both APIs the longer one holds, which is Istio's.
        if users.mesh > 0 {
            backend.connect_deadline = traffic::CONNECT;
        }
        let peer = Peer { host: &host, names: &[] };
        output.govern(cluster, (rule.as_ref(), part), (peer, false), &mut view, &mut backend);
        policies.traffic.apply(cluster, reference, port, &mut backend);
        let addresses = if is_alias(service) {
            output.alias(reference, service, &key)
        } else {
            output.slices(cluster, (reference, service), (port, part), &backend)
        };
        output.backends.insert(key, (backend, reachable(cluster, addresses)));
    }
    for (object, entry) in &mut output.entries {
        let slice = || Some(cluster.find::<EndpointSlice>(&object.namespace, &object.name)?.meta.generation);
        let is_slice = object.known_kind() == Some(Kind::EndpointSlice);
        entry.generation = if is_slice { slice().unwrap_or_default() } else { service.meta.generation };
    }
    output
}

fn key(reference: &ObjectRef, (port, transport, subset): (u16, Transport, Option<&String>)) -> BackendKey {
    let (namespace, name) = (reference.namespace.clone(), reference.name.clone());
    BackendKey { namespace, name, port, transport, subset: subset.cloned() }
}

/// A backend for each port of a host of ServiceEntries that is used.
fn of_entries(
    cluster: &Cluster,
    reference: &ObjectRef,
    host: &str,
    used: &UsedPorts,
    mut view: View<'_>,
) -> ServiceOutput {
    let mut output = ServiceOutput::default();
    let Some(external) = within(cluster, host, &reference.namespace) else { return output };
    output.selects_pods = external.selects();
    let rule = in_force(cluster, (host, &reference.namespace), view.proxies);
    for (number, transport, subset) in used.keys() {
        let key = key(reference, (*number, *transport, subset.as_ref()));
        let mut backend = Backend::new(key.clone());
        let spoken = external.port(*number).map(|port| &port.protocol);
        if matches!(spoken, Some(Spoken::Http2 | Spoken::Grpc)) {
            backend.protocol = UpstreamProtocol::H2c;
        }
        backend.connect_deadline = traffic::CONNECT;
        let part = subset.as_ref().and_then(|name| rule.as_ref()?.subset(name));
        let peer = Peer { host, names: external.names() };
        output.govern(cluster, (rule.as_ref(), part), (peer, external.is_original()), &mut view, &mut backend);
        let labels = part.map(|part| part.labels.clone()).unwrap_or_default();
        let Told { endpoints, remarks } = external.endpoints(cluster, host, &backend, &labels);
        if let Some(entry) = external.told() {
            for remark in remarks {
                output.say(&entry, remark);
            }
        }
        output.backends.insert(key, (backend, reachable(cluster, endpoints)));
    }
    output
}

/// In a cluster a loopback address is one of the proxy's pod, and its admin port nobody's backend.
fn reachable(cluster: &Cluster, endpoints: Endpoints) -> Endpoints {
    if cluster.settings().is_cluster() { endpoints.without_loopback() } else { endpoints }
}

impl ServiceOutput {
    /// Puts what the mesh and the DestinationRule in force say of a subset, or of the whole, into force. A policy of
    /// Gateway API that was there gives way to `tls` only. Whoever is asked for the endpoint that a request was meant for
    /// `knows_original`, or does not.
    fn govern<'c>(
        &mut self,
        cluster: &'c Cluster,
        (rule, part): (Option<&InForce<'c>>, Option<&'c Subset>),
        (peer, knows_original): (Peer<'_>, bool),
        view: &mut View<'_>,
        backend: &mut Backend,
    ) {
        let mesh = cluster.mesh().config();
        let mut blocks = Blocks::of(mesh, rule, part, backend.key.port);
        if let Some(tls) = blocks.tls {
            let to = (cluster, view.proxies.namespace.as_str());
            backend.tls = view.originations.backend(to, (tls, peer), &mut self.asked);
        }
        if knows_original {
            blocks.balance = blocks.balance.filter(|balance| !traffic::is_original(balance));
        }
        traffic::apply(blocks, backend);
        if let (Some(timeout), None) = (mesh.connect_timeout, blocks.connect_timeout()) {
            backend.connect_deadline = timeout;
        }
    }

    /// Takes out what there is to say to ServiceEntries, of which there is more to say.
    pub(super) fn take_of_entries(&mut self) -> BTreeMap<ObjectRef, Vec<Remark>> {
        let entries = std::mem::take(&mut self.entries).into_iter();
        let (of_entries, others): (BTreeMap<_, _>, _) =
            entries.partition(|(object, _)| object.known_kind() == Some(Kind::ServiceEntry));
        self.entries = others;
        of_entries.into_iter().map(|(object, entry)| (object, entry.remarks)).collect()
    }

    fn say(&mut self, object: &ObjectRef, remark: Remark) {
        let remarks = &mut self.entries.entry(object.clone()).or_default().remarks;
        // A slice says the same for every port of its Service.
        if !remarks.contains(&remark) {
            remarks.push(remark);
        }
    }

    /// HTTP/2 if the port says so, or if a GRPCRoute uses it: gRPC knows nothing else. Names other than Kubernetes' own
    /// are Istio's.
    fn protocol(
        &mut self,
        reference: &ObjectRef,
        (service, port): (&Service, Option<&ServicePort>),
        cleartext: bool,
        users: Users,
    ) -> UpstreamProtocol {
        if users.http == 0 && users.grpc == 0 && users.mesh == 0 {
            // Streams do not ask.
            return UpstreamProtocol::Http1;
        }
        let by_name = port.filter(|port| users.mesh > 0 && port.app_protocol.is_none() && names_http2(&port.name));
        let named = match port.and_then(|port| port.app_protocol.as_deref()) {
            None if by_name.is_some() => UpstreamProtocol::H2c,
            Some("kubernetes.io/h2c" | "grpc" | "http2") => UpstreamProtocol::H2c,
            None | Some("http" | "kubernetes.io/ws") => UpstreamProtocol::Http1,
            Some(tls) if !cleartext && speaks_tls(tls) => UpstreamProtocol::Http1,
            Some(other) => {
                let message = format!("appProtocol {other:?} is not known: HTTP/1.1 is spoken");
                let at = service.spec.ports.iter().position(|other| Some(other) == port).unwrap_or_default();
                let path = format!("spec.ports[{at}].appProtocol");
                self.say(reference, Remark::note("UnsupportedValue", &path, message, ""));
                UpstreamProtocol::Http1
            }
        };
        if users.grpc == 0 {
            return named;
        }
        if users.http > 0 && named == UpstreamProtocol::Http1 {
            let message = format!(
                "HTTP/2 is spoken to port {} for HTTPRoutes too, because a GRPCRoute uses it",
                port.map_or(0, |port| port.port)
            );
            let remedy =
                "if it speaks HTTP/2, write appProtocol: kubernetes.io/h2c; if not, give gRPC a port of its own";
            self.say(reference, Remark::warning("SharedWithGRPC", "spec.ports", message, remedy));
        }
        UpstreamProtocol::H2c
    }

    fn alias(&mut self, reference: &ObjectRef, service: &Service, key: &BackendKey) -> Endpoints {
        let name = service.spec.external_name.as_deref().unwrap_or_default();
        let bare = name.strip_suffix('.').unwrap_or(name);
        if let Some(host) = Hostname::new(bare) {
            return Endpoints::of_name(key.clone(), host.as_str(), key.port);
        }
        let message = format!("{name:?} is not a DNS name, so requests get 503");
        self.say(
            reference,
            Remark::error("NoEndpoints", "spec.externalName", message, "write the DNS name to resolve"),
        );
        Endpoints::Static { backend: key.clone(), endpoints: Vec::new() }
    }

    fn slices(
        &mut self,
        cluster: &Cluster,
        (reference, service): (&ObjectRef, &Service),
        (port, part): (Option<&ServicePort>, Option<&Subset>),
        backend: &Backend,
    ) -> Endpoints {
        let Backend { key, locality, .. } = backend;
        let labels = part.map(|part| &part.labels).filter(|labels| !labels.is_empty());
        let pod = |endpoint: &SliceEndpoint| pod_of(cluster, reference, endpoint);
        let keep = |endpoint: &SliceEndpoint| labels.is_none_or(|labels| is_part(pod(endpoint), labels));
        let place = |written: &SliceEndpoint, endpoint: &mut Endpoint| {
            if let Some(policy) = locality {
                localities::place(policy, written, pod(written), endpoint);
            }
        };
        let wanted = Wanted { keep: &keep, place: &place };
        let (mut endpoints, remarks) =
            port.map(|port| endpoints(port, cluster.slices(reference), &wanted)).unwrap_or_default();
        if let Some(port) = port.filter(|port| port.protocol == TransportProtocol::Tcp) {
            add_selected(cluster, (service, port), (backend, labels), &mut endpoints);
        }
        for (slice, remark) in remarks {
            self.say(&slice, remark);
        }
        if !endpoints.iter().any(|endpoint| endpoint.ready) {
            let (what, number) =
                if endpoints.is_empty() { ("no endpoints", key.port) } else { ("no ready endpoints", key.port) };
            let message = format!("{what} for port {number}");
            let remedy = format!("add an EndpointSlice with label kubernetes.io/service-name: {}", key.name);
            self.say(reference, Remark::warning("NoEndpoints", "", message, remedy));
        }
        Endpoints::Static { backend: key.clone(), endpoints }
    }
}

fn pod_of<'c>(cluster: &'c Cluster, service: &ObjectRef, endpoint: &SliceEndpoint) -> Option<&'c Pod> {
    let pod = endpoint.target_ref.as_ref().filter(|target| target.kind == "Pod");
    pod.and_then(|target| cluster.find::<Pod>(&service.namespace, &target.name))
}

/// Whether the pod of an endpoint has these labels.
fn is_part(pod: Option<&Pod>, labels: &StringMap) -> bool {
    pod.is_some_and(|pod| labels.iter().all(|(name, value)| pod.meta.labels.get(name) == Some(value)))
}

/// Istio reads what a port speaks off its name (`grpc`, `grpc-web` is HTTP/1, `http2-api`).
fn names_http2(name: &str) -> bool {
    let word = name.split('-').next().unwrap_or_default();
    matches!(word, "http2" | "grpc") && !name.starts_with("grpc-web")
}
