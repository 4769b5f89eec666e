// SPDX-License-Identifier: Apache-2.0
//! One Service that rules send to: a backend for each of its ports that is used, with its endpoints. A pure function of
//! the Service, its EndpointSlices, the policies that target it and who uses it. Never looks at a route.

use std::collections::BTreeMap;

use torana_crds::core::{EndpointSlice, Service, ServicePort, TransportProtocol};
use torana_crds::{Kind, ObjectRef};
use torana_ir::{Backend, BackendKey, BackendTls, Endpoints, Hostname, Transport, UpstreamProtocol};

use crate::report::{Entry, Remark};
use crate::store::Cluster;
use crate::translate::backends::{is_alias, speaks_tls};
use crate::translate::endpoints::endpoints;
use crate::translate::policies::Policies;

/// Who uses a port: numbers of routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Users {
    /// HTTPRoutes.
    pub(super) http: u32,
    /// GRPCRoutes.
    pub(super) grpc: u32,
    /// TLSRoutes, TCPRoutes, UDPRoutes.
    pub(super) streams: u32,
}

impl Users {
    /// The number of routes of a kind.
    pub(super) fn of(&mut self, kind: Option<Kind>) -> &mut u32 {
        match kind {
            Some(Kind::GrpcRoute) => &mut self.grpc,
            Some(Kind::TlsRoute | Kind::TcpRoute | Kind::UdpRoute) => &mut self.streams,
            _ => &mut self.http,
        }
    }
}

/// Who uses which ports of a Service.
pub(super) type UsedPorts = BTreeMap<(u16, Transport), Users>;

/// A backend with its endpoints.
pub(super) type Addressed = (Backend, Endpoints);

/// All that follows from one Service.
#[derive(Debug, Default)]
pub(super) struct ServiceOutput {
    /// A backend with its endpoints for each port that is used.
    pub(super) backends: BTreeMap<BackendKey, Addressed>,
    /// What there is to say about the Service and its slices.
    pub(super) entries: BTreeMap<ObjectRef, Entry>,
}

/// Translates the ports of a Service that are used.
pub(super) fn service(
    cluster: &Cluster,
    reference: &ObjectRef,
    used: &UsedPorts,
    policies: &Policies,
) -> ServiceOutput {
    let mut output = ServiceOutput::default();
    let Some(service) = cluster.find::<Service>(&reference.namespace, &reference.name) else { return output };
    for ((number, transport), users) in used {
        let (namespace, name) = (reference.namespace.clone(), reference.name.clone());
        let key = BackendKey { namespace, name, port: *number, transport: *transport, subset: None };
        let protocol = match transport {
            Transport::Tcp => TransportProtocol::Tcp,
            Transport::Udp => TransportProtocol::Udp,
        };
        let port = service.port_of(*number, &protocol);
        let mut backend = Backend::new(key.clone());
        backend.tls = policies.tls(cluster, reference, port);
        let (cleartext, declared) = (backend.tls == BackendTls::Plain, (service, port));
        backend.protocol = output.protocol(reference, declared, cleartext, *users);
        let addresses = if is_alias(service) {
            output.alias(reference, service, &key)
        } else {
            output.slices(cluster, reference, port, &key)
        };
        output.backends.insert(key, (backend, addresses));
    }
    for (object, entry) in &mut output.entries {
        let slice = || Some(cluster.find::<EndpointSlice>(&object.namespace, &object.name)?.meta.generation);
        let is_slice = object.known_kind() == Some(Kind::EndpointSlice);
        entry.generation = if is_slice { slice().unwrap_or_default() } else { service.meta.generation };
    }
    output
}

impl ServiceOutput {
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
        if users.http == 0 && users.grpc == 0 {
            // Streams do not ask.
            return UpstreamProtocol::Http1;
        }
        let named = match port.and_then(|port| port.app_protocol.as_deref()) {
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
            return Endpoints::Dns { backend: key.clone(), host: host.as_str().to_owned(), port: key.port };
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
        reference: &ObjectRef,
        port: Option<&ServicePort>,
        key: &BackendKey,
    ) -> Endpoints {
        let (endpoints, remarks) = port.map(|port| endpoints(port, cluster.slices(reference))).unwrap_or_default();
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
