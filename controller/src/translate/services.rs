// SPDX-License-Identifier: Apache-2.0
//! One Service that rules send to: a backend for each of its ports that is used, with its endpoints. A pure function of
//! the Service, its EndpointSlices, the policies that target it and who uses it. Never looks at a route.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use torana_crds::core::{EndpointSlice, Pod, Service, ServicePort, SliceEndpoint, TransportProtocol};
use torana_crds::istio::DestinationRule;
use torana_crds::istio::destination_rule::{ClientTls, Subset};
use torana_crds::istio::names::Protocol as Spoken;
use torana_crds::{Kind, ObjectRef, StringMap};
use torana_ir::{
    Backend, BackendKey, BackendTls, Endpoint, Endpoints, Hostname, MeshTransport, NamedEndpoint, Transport,
    UpstreamProtocol,
};

use crate::hosts;
use crate::report::{Entry, Remark};
use crate::store::Cluster;
use crate::translate::backends::{is_alias, speaks_tls};
use crate::translate::destination_rules::{Blocks, InForce, in_force};
use crate::translate::endpoints::{Wanted, endpoints};
use crate::translate::localities;
use crate::translate::mesh_peers::{Known, MeshPeers};
use crate::translate::originations::{Originations, Peer};
use crate::translate::policies::Policies;
use crate::translate::proxies::Proxies;
use crate::translate::service_entries::{Told, host_named, host_of, within};
use crate::translate::traffic;
use crate::translate::waypoints::Passage;
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
    /// VirtualServices and providers: there the name of a port says what is spoken.
    pub(super) mesh: u32,
}

impl Users {
    /// The number of routes of a kind.
    pub(super) fn of(&mut self, kind: Option<Kind>) -> &mut u32 {
        match kind {
            Some(Kind::GrpcRoute) => &mut self.grpc,
            Some(Kind::TlsRoute | Kind::TcpRoute | Kind::UdpRoute) => &mut self.streams,
            // So are providers of the mesh.
            Some(Kind::VirtualService | Kind::ConfigMap) => &mut self.mesh,
            _ => &mut self.http,
        }
    }
}

/// A port of a Service, of all its endpoints or of a subset of them.
pub(super) type UsedPort = (u16, Transport, Option<String>);

/// Who uses which ports of a Service.
pub(super) type UsedPorts = BTreeMap<UsedPort, Users>;

/// Whether labels of pods decide which endpoints it has, or where they stand.
fn reads_labels(backend: &Backend) -> bool {
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
    /// Whether pods were looked at, or may be endpoints that no slice tells of.
    pub(super) reads_pods: bool,
    /// Objects, there or not, that say how it is reached.
    pub(super) ways: BTreeSet<ObjectRef>,
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
    let passage = Passage::of(cluster, &service.meta, &mut output.ways);
    let rule = in_force(cluster, (&host, &reference.namespace), view.proxies).filter(|_| passage.is_direct());
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
        let tls = output.govern(cluster, (rule.as_ref(), part), (peer, false), &mut view, &mut backend);
        policies.traffic.apply(cluster, reference, port, &mut backend);
        let is_external = is_alias(service) || *transport == Transport::Udp;
        let peers = MeshPeers::new(cluster, (tls, &backend.tls), (is_external, &[]));
        output.reads_pods |= reads_labels(&backend) || peers.asks();
        let led = port.and_then(|_| passage.lead(cluster, (service.address(), &host), &mut backend));
        let addresses = if let Some(Told { endpoints, remarks }) = led {
            output.say_all(reference, remarks);
            endpoints
        } else if is_alias(service) {
            output.alias(reference, service, &key, &peers)
        } else {
            output.slices(cluster, (reference, service), (port, part), (&backend, &peers))
        };
        output.backends.insert(key, called((backend, reachable(cluster, addresses)), &peers, &host));
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
    output.reads_pods = external.selects();
    let passage = external.passage(cluster, &mut output.ways);
    let rule = in_force(cluster, (host, &reference.namespace), view.proxies).filter(|_| passage.is_direct());
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
        let is_original = external.is_original();
        let tls = output.govern(cluster, (rule.as_ref(), part), (peer, is_original), &mut view, &mut backend);
        let is_outside = is_original || external.is_outside();
        let peers = MeshPeers::new(cluster, (tls, &backend.tls), (is_outside, external.names()));
        let labels = part.map(|part| part.labels.clone()).unwrap_or_default();
        let Some(entry) = external.told() else { continue };
        let port = external.port(*number);
        let led = port.and_then(|_| passage.lead(cluster, (external.address(), host), &mut backend));
        let told = led.unwrap_or_else(|| external.endpoints(cluster, host, (&backend, &peers), &labels));
        let Told { endpoints, remarks } = told;
        output.say_all(&entry, remarks);
        output.backends.insert(key, called((backend, reachable(cluster, endpoints)), &peers, host));
    }
    output
}

/// A backend with the name that workloads of a mesh are called by, if some of its endpoints are such.
fn called((mut backend, endpoints): Addressed, peers: &MeshPeers<'_>, host: &str) -> Addressed {
    let all = endpoints.addresses().iter().map(|it| &it.mesh).chain(endpoints.names().map(|it| &it.mesh));
    if all.flatten().any(|peer| peer.transport == MeshTransport::Mtls) {
        backend.mesh_name = peers.called(&backend.key, host);
    }
    (backend, endpoints)
}

/// In a cluster a loopback address is one of the proxy's pod, and its admin port nobody's backend.
fn reachable(cluster: &Cluster, endpoints: Endpoints) -> Endpoints {
    if cluster.settings().is_cluster() { endpoints.without_loopback() } else { endpoints }
}

impl ServiceOutput {
    /// Puts what the mesh and the DestinationRule in force say of a subset, or of the whole, into force. A policy of
    /// Gateway API that was there gives way to `tls` only, which is what is returned. Whoever is asked for the endpoint that
    /// a request was meant for `knows_original`, or does not.
    fn govern<'c>(
        &mut self,
        cluster: &'c Cluster,
        (rule, part): (Option<&InForce<'c>>, Option<&'c Subset>),
        (peer, knows_original): (Peer<'_>, bool),
        view: &mut View<'_>,
        backend: &mut Backend,
    ) -> Option<&'c ClientTls> {
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
        blocks.tls
    }

    /// Whether some endpoint takes nothing but mutual TLS of the mesh.
    pub(super) fn is_strict(&self) -> bool {
        let all = self.backends.values().map(|(_, endpoints)| endpoints);
        let addresses = all.clone().flat_map(Endpoints::addresses).map(|it| &it.mesh);
        addresses.chain(all.flat_map(Endpoints::names).map(|it| &it.mesh)).flatten().any(|peer| peer.strict)
    }

    /// Says that proxies of these Gateways, which are in no mesh, do not reach what is strict.
    pub(super) fn warn(&mut self, service: &ObjectRef, gateways: &[String]) {
        let message = format!(
            "its endpoints take nothing but mutual TLS of the mesh, in which the proxies of {} have no identity: requests get 503",
            gateways.join(", ")
        );
        let remedy = "set spec.mesh.identity of their GatewayParameters";
        self.say(service, Remark::warning("NoMeshIdentity", "", message, remedy));
    }

    /// Takes out what there is to say to ServiceEntries, of which there is more to say.
    pub(super) fn take_of_entries(&mut self) -> BTreeMap<ObjectRef, Vec<Remark>> {
        let entries = std::mem::take(&mut self.entries).into_iter();
        let (of_entries, others): (BTreeMap<_, _>, _) =
            entries.partition(|(object, _)| object.known_kind() == Some(Kind::ServiceEntry));
        self.entries = others;
        of_entries.into_iter().map(|(object, entry)| (object, entry.remarks)).collect()
    }

    fn say_all(&mut self, object: &ObjectRef, remarks: Vec<Remark>) {
        for remark in remarks {
            self.say(object, remark);
        }
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

    fn alias(
        &mut self,
        reference: &ObjectRef,
        service: &Service,
        key: &BackendKey,
        peers: &MeshPeers<'_>,
    ) -> Endpoints {
        let name = service.spec.external_name.as_deref().unwrap_or_default();
        let bare = name.strip_suffix('.').unwrap_or(name);
        if let Some(host) = Hostname::new(bare) {
            let first = NamedEndpoint { mesh: peers.of(None, key.port), ..NamedEndpoint::new(host.as_str(), key.port) };
            return Endpoints::Dns { backend: key.clone(), first, others: Vec::new(), addresses: Vec::new() };
        }
        let message = format!("{name:?} is not a DNS name, so requests get 503");
        self.say(
            reference,
            Remark::error("NoEndpoints", "spec.externalName", message, "write the DNS name to resolve"),
        );
        Endpoints::none(key.clone())
    }

    fn slices(
        &mut self,
        cluster: &Cluster,
        (reference, service): (&ObjectRef, &Service),
        (port, part): (Option<&ServicePort>, Option<&Subset>),
        (backend, peers): (&Backend, &MeshPeers<'_>),
    ) -> Endpoints {
        let Backend { key, locality, .. } = backend;
        let labels = part.map(|part| &part.labels).filter(|labels| !labels.is_empty());
        let pod = |endpoint: &SliceEndpoint| pod_of(cluster, reference, endpoint);
        // Of a pod that is not known yet, or not any more, nobody knows what it takes.
        let is_known = |endpoint: &SliceEndpoint| !(peers.asks() && is_awaited(cluster, endpoint, pod(endpoint)));
        let is_of = |endpoint: &SliceEndpoint| labels.is_none_or(|labels| is_part(pod(endpoint), labels));
        let keep = |endpoint: &SliceEndpoint| is_of(endpoint) && is_known(endpoint);
        let refused = Cell::new(None);
        let describe = |written: &SliceEndpoint, endpoint: &mut Endpoint| {
            let pod = pod(written);
            if let Some(policy) = locality {
                localities::place(policy, written, pod, endpoint);
            }
            let (known, number) = (pod.map(Known::of_pod), endpoint.address.port());
            endpoint.mesh = peers.of(known, number);
            if endpoint.mesh.is_none() && known.is_some_and(|known| peers.is_refused(known, number)) {
                refused.set(Some(endpoint.address));
            }
        };
        let wanted = Wanted { keep: &keep, describe: &describe };
        let (mut endpoints, remarks) =
            port.map(|port| endpoints(port, cluster.slices(reference), &wanted)).unwrap_or_default();
        if let Some(port) = port.filter(|port| port.protocol == TransportProtocol::Tcp) {
            add_selected(cluster, (service, port), (backend, labels), peers, &mut endpoints);
        }
        if let Some(address) = refused.get() {
            let message = format!(
                "a PeerAuthentication says STRICT for endpoint {address}, which is in no mesh (no sidecar, not ambient): it is \
                 spoken to in cleartext, and refuses that if it heeds the policy"
            );
            let remedy = "bring the workload into the mesh, or exempt it with a PeerAuthentication of its own";
            self.say(reference, Remark::warning("StrictOutsideMesh", "", message, remedy));
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

pub(super) fn pod_of<'c>(cluster: &'c Cluster, service: &ObjectRef, endpoint: &SliceEndpoint) -> Option<&'c Pod> {
    let pod = endpoint.target_ref.as_ref().filter(|target| target.kind == "Pod");
    pod.and_then(|target| cluster.find::<Pod>(&service.namespace, &target.name))
}

/// Whether an endpoint is a pod of which nothing is known though pods are watched: news of it is on its way.
pub(super) fn is_awaited(cluster: &Cluster, endpoint: &SliceEndpoint, pod: Option<&Pod>) -> bool {
    let is_pod = endpoint.target_ref.as_ref().is_some_and(|target| target.kind == "Pod");
    is_pod && pod.is_none() && cluster.settings().is_cluster() && cluster.knows_of::<Pod>()
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
