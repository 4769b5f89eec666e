// SPDX-License-Identifier: Apache-2.0
//! Identities of IR objects. Newtypes, ordered, printable; they carry the user's own names and nothing else.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A Gateway: the unit that metrics, logs and status are grouped by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GatewayId {
    /// Namespace of the Gateway.
    pub namespace: String,
    /// Name of the Gateway.
    pub name: String,
}

impl fmt::Display for GatewayId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// One listener of a Gateway or of a ListenerSet attached to it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ListenerKey {
    /// The Gateway that the listener belongs to.
    pub gateway: GatewayId,
    /// The ListenerSet (`namespace/name`) that brought the listener, if it is not the Gateway's own.
    pub set: Option<(String, String)>,
    /// The listener's `name` (section name), unique within its Gateway or ListenerSet.
    pub name: String,
}

impl fmt::Display for ListenerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.set {
            None => write!(f, "{}/{}", self.gateway, self.name),
            Some((namespace, set)) => write!(f, "{}/{namespace}.{set}/{}", self.gateway, self.name),
        }
    }
}

/// An AuthorizationPolicy or a RequestAuthentication.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PolicyKey {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for PolicyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// An extension provider, by the name that policies call it by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProviderKey(pub String);

impl fmt::Display for ProviderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The kind of object that a rule comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RouteKind {
    /// `gateway.networking.k8s.io` HTTPRoute.
    HttpRoute,
    /// `gateway.networking.k8s.io` GRPCRoute: Torana's own failures are gRPC statuses.
    GrpcRoute,
    /// `gateway.networking.k8s.io` TLSRoute.
    TlsRoute,
    /// `gateway.networking.k8s.io` TCPRoute.
    TcpRoute,
    /// `gateway.networking.k8s.io` UDPRoute.
    UdpRoute,
    /// `networking.istio.io` Gateway, whose servers may redirect to https: names rules of its own.
    IstioGateway,
    /// `networking.istio.io` VirtualService: what leads nowhere gets 503, not 500.
    VirtualService,
}

impl RouteKind {
    /// The kind as Kubernetes writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HttpRoute => "HTTPRoute",
            Self::GrpcRoute => "GRPCRoute",
            Self::TlsRoute => "TLSRoute",
            Self::TcpRoute => "TCPRoute",
            Self::UdpRoute => "UDPRoute",
            Self::IstioGateway => "Gateway.networking.istio.io",
            Self::VirtualService => "VirtualService",
        }
    }
}

impl fmt::Display for RouteKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A route object.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RouteId {
    /// Its kind.
    pub kind: RouteKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for RouteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.kind, self.namespace, self.name)
    }
}

/// One rule of a route, by its position in `spec.rules`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RuleKey {
    /// The route.
    pub route: RouteId,
    /// Index in `spec.rules`, from 0.
    pub index: u16,
}

impl fmt::Display for RuleKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rule {}", self.route, self.index)
    }
}

/// What carries the bytes of a port. A Service may have a TCP and a UDP port of one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum Transport {
    /// Connections.
    #[default]
    Tcp,
    /// Datagrams.
    Udp,
}

impl Transport {
    /// Whether it is TCP.
    pub fn is_tcp(&self) -> bool {
        *self == Self::Tcp
    }

    /// `tcp` or `udp`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A backend: one port of a Service or of a host of a ServiceEntry, or the part of it that a subset names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BackendKey {
    /// Namespace of the Service or ServiceEntry.
    pub namespace: String,
    /// Name of the Service; of a ServiceEntry its host with a dot at the end, which no Service's name has.
    pub name: String,
    /// The Service's port, not the target port.
    pub port: u16,
    /// What the port carries.
    #[serde(default, skip_serializing_if = "Transport::is_tcp")]
    pub transport: Transport,
    /// Which of its endpoints: a subset of a DestinationRule. `None`: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subset: Option<String>,
}

impl BackendKey {
    /// A port that carries TCP.
    pub fn tcp(namespace: impl Into<String>, name: impl Into<String>, port: u16) -> Self {
        Self { namespace: namespace.into(), name: name.into(), port, transport: Transport::Tcp, subset: None }
    }
}

impl fmt::Display for BackendKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.namespace, self.name, self.port)?;
        if self.transport == Transport::Udp {
            f.write_str("/udp")?;
        }
        self.subset.iter().try_for_each(|subset| write!(f, " subset {subset}"))
    }
}

/// A certificate with its key: one Secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CertificateKey {
    /// Namespace of the Secret.
    pub namespace: String,
    /// Name of the Secret.
    pub name: String,
}

impl fmt::Display for CertificateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A host whose certificate is obtained by ACME, for the listeners of one Gateway.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AcmeHostKey {
    /// The Gateway.
    pub gateway: GatewayId,
    /// The host: exact, in lower case.
    pub host: String,
}

impl fmt::Display for AcmeHostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.gateway, self.host)
    }
}

/// What kind of object a bundle of authorities comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TrustSource {
    /// A ConfigMap.
    ConfigMap,
    /// A Secret.
    Secret,
}

/// A bundle of authorities: `ca.crt` of one ConfigMap or Secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TrustBundleKey {
    /// Its kind.
    pub source: TrustSource,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for TrustBundleKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}/{}", self.source, self.namespace, self.name)
    }
}
