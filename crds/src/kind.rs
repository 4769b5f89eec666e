// SPDX-License-Identifier: Apache-2.0
//! Which kinds are spoken, and how an object of any kind is named. Never knows what is inside an object.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The API group of Gateway API.
pub const GATEWAY_GROUP: &str = "gateway.networking.k8s.io";

/// The API group of Torana's own kinds.
pub const TORANA_GROUP: &str = "torana.dev";

/// The API group of Istio's networking kinds.
pub const ISTIO_GROUP: &str = "networking.istio.io";

/// The API group of Istio's security kinds.
pub const SECURITY_GROUP: &str = "security.istio.io";

/// The API group of Istio's Telemetry.
pub const TELEMETRY_GROUP: &str = "telemetry.istio.io";

/// The API group of Istio's WasmPlugin.
pub const EXTENSIONS_GROUP: &str = "extensions.istio.io";

/// The API groups of Istio's kinds.
pub const ISTIO_GROUPS: [&str; 4] = [ISTIO_GROUP, SECURITY_GROUP, TELEMETRY_GROUP, EXTENSIONS_GROUP];

/// A kind that Torana reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// Gateway API GatewayClass.
    GatewayClass,
    /// Gateway API Gateway.
    Gateway,
    /// Gateway API ListenerSet.
    ListenerSet,
    /// Gateway API HTTPRoute.
    HttpRoute,
    /// Gateway API GRPCRoute.
    GrpcRoute,
    /// Gateway API TLSRoute.
    TlsRoute,
    /// Gateway API TCPRoute.
    TcpRoute,
    /// Gateway API UDPRoute.
    UdpRoute,
    /// Gateway API BackendTLSPolicy.
    BackendTlsPolicy,
    /// Gateway API ReferenceGrant.
    ReferenceGrant,
    /// Torana's GatewayParameters.
    GatewayParameters,
    /// Torana's TrafficPolicy.
    TrafficPolicy,
    /// Torana's AcmeIssuer.
    AcmeIssuer,
    /// Torana's ClusterAcmeIssuer.
    ClusterAcmeIssuer,
    /// Istio's Gateway: another thing than Gateway API's, and shown as `Gateway.networking.istio.io`.
    IstioGateway,
    /// Istio's VirtualService.
    VirtualService,
    /// Istio's DestinationRule.
    DestinationRule,
    /// Istio's ServiceEntry.
    ServiceEntry,
    /// Istio's WorkloadEntry.
    WorkloadEntry,
    /// Istio's AuthorizationPolicy.
    AuthorizationPolicy,
    /// Istio's RequestAuthentication.
    RequestAuthentication,
    /// Istio's PeerAuthentication.
    PeerAuthentication,
    /// Istio's Telemetry.
    Telemetry,
    /// Istio's EnvoyFilter, which is not evaluated.
    EnvoyFilter,
    /// Istio's WasmPlugin, which is not evaluated.
    WasmPlugin,
    /// Istio's ProxyConfig, which is not evaluated.
    ProxyConfig,
    /// Core Service.
    Service,
    /// `discovery.k8s.io` EndpointSlice.
    EndpointSlice,
    /// Core Secret.
    Secret,
    /// Core ConfigMap.
    ConfigMap,
    /// Core Namespace.
    Namespace,
    /// Core Pod: little of it.
    Pod,
}

impl Kind {
    /// Every kind, in the order of declaration.
    pub const ALL: [Self; 32] = [
        Self::GatewayClass,
        Self::Gateway,
        Self::ListenerSet,
        Self::HttpRoute,
        Self::GrpcRoute,
        Self::TlsRoute,
        Self::TcpRoute,
        Self::UdpRoute,
        Self::BackendTlsPolicy,
        Self::ReferenceGrant,
        Self::GatewayParameters,
        Self::TrafficPolicy,
        Self::AcmeIssuer,
        Self::ClusterAcmeIssuer,
        Self::IstioGateway,
        Self::VirtualService,
        Self::DestinationRule,
        Self::ServiceEntry,
        Self::WorkloadEntry,
        Self::AuthorizationPolicy,
        Self::RequestAuthentication,
        Self::PeerAuthentication,
        Self::Telemetry,
        Self::EnvoyFilter,
        Self::WasmPlugin,
        Self::ProxyConfig,
        Self::Service,
        Self::EndpointSlice,
        Self::Secret,
        Self::ConfigMap,
        Self::Namespace,
        Self::Pod,
    ];

    /// The kind of that group and name, if it is read.
    pub fn parse(group: &str, kind: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == kind && known.group() == group)
    }

    /// The API group; core is `""`.
    pub fn group(self) -> &'static str {
        match self {
            Self::Service | Self::Secret | Self::ConfigMap | Self::Namespace | Self::Pod => "",
            Self::EndpointSlice => "discovery.k8s.io",
            Self::GatewayParameters | Self::TrafficPolicy | Self::AcmeIssuer | Self::ClusterAcmeIssuer => TORANA_GROUP,
            Self::IstioGateway
            | Self::VirtualService
            | Self::DestinationRule
            | Self::ServiceEntry
            | Self::WorkloadEntry
            | Self::EnvoyFilter
            | Self::ProxyConfig => ISTIO_GROUP,
            Self::AuthorizationPolicy | Self::RequestAuthentication | Self::PeerAuthentication => SECURITY_GROUP,
            Self::Telemetry => TELEMETRY_GROUP,
            Self::WasmPlugin => EXTENSIONS_GROUP,
            _ => GATEWAY_GROUP,
        }
    }

    /// API versions that are read. They differ in nothing that Torana reads, so one decoder serves all of a kind.
    pub fn versions(self) -> &'static [&'static str] {
        match self {
            Self::GatewayClass
            | Self::Gateway
            | Self::HttpRoute
            | Self::ReferenceGrant
            | Self::AuthorizationPolicy
            | Self::RequestAuthentication
            | Self::PeerAuthentication => &["v1", "v1beta1"],
            Self::Telemetry => &["v1", "v1alpha1"],
            Self::EnvoyFilter => &["v1alpha3"],
            Self::WasmPlugin => &["v1alpha1"],
            Self::ProxyConfig => &["v1beta1"],
            _ if self.group() == TORANA_GROUP => &["v1alpha1"],
            _ if self.group() == ISTIO_GROUP => &["v1", "v1beta1", "v1alpha3"],
            _ => &["v1"],
        }
    }

    /// The kind as Kubernetes writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GatewayClass => "GatewayClass",
            Self::Gateway | Self::IstioGateway => "Gateway",
            Self::ListenerSet => "ListenerSet",
            Self::HttpRoute => "HTTPRoute",
            Self::GrpcRoute => "GRPCRoute",
            Self::TlsRoute => "TLSRoute",
            Self::TcpRoute => "TCPRoute",
            Self::UdpRoute => "UDPRoute",
            Self::BackendTlsPolicy => "BackendTLSPolicy",
            Self::ReferenceGrant => "ReferenceGrant",
            Self::GatewayParameters => "GatewayParameters",
            Self::TrafficPolicy => "TrafficPolicy",
            Self::AcmeIssuer => "AcmeIssuer",
            Self::ClusterAcmeIssuer => "ClusterAcmeIssuer",
            Self::VirtualService => "VirtualService",
            Self::DestinationRule => "DestinationRule",
            Self::ServiceEntry => "ServiceEntry",
            Self::WorkloadEntry => "WorkloadEntry",
            Self::AuthorizationPolicy => "AuthorizationPolicy",
            Self::RequestAuthentication => "RequestAuthentication",
            Self::PeerAuthentication => "PeerAuthentication",
            Self::Telemetry => "Telemetry",
            Self::EnvoyFilter => "EnvoyFilter",
            Self::WasmPlugin => "WasmPlugin",
            Self::ProxyConfig => "ProxyConfig",
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::Secret => "Secret",
            Self::ConfigMap => "ConfigMap",
            Self::Namespace => "Namespace",
            Self::Pod => "Pod",
        }
    }

    /// Kinds of Istio that are about Envoy itself, and do nothing here.
    pub const UNEVALUATED: [Self; 3] = [Self::EnvoyFilter, Self::WasmPlugin, Self::ProxyConfig];

    /// Whether its objects live in a namespace.
    pub fn is_namespaced(self) -> bool {
        !matches!(self, Self::GatewayClass | Self::ClusterAcmeIssuer | Self::Namespace)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(shown(self.group(), self.as_str()))
    }
}

/// The kind as people are told of it: two Gateways must not be mistaken for each other.
fn shown<'a>(group: &str, kind: &'a str) -> &'a str {
    if kind == "Gateway" && group == ISTIO_GROUP { "Gateway.networking.istio.io" } else { kind }
}

/// The name of an object, of a spoken kind or not. Ordered by group, kind, namespace, name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct ObjectRef {
    /// API group; core is `""`.
    pub group: Cow<'static, str>,
    /// Kind as Kubernetes writes it.
    pub kind: Cow<'static, str>,
    /// Namespace; `""` for cluster-scoped objects.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl ObjectRef {
    /// The name of an object of a spoken kind. The namespace of a cluster-scoped kind is dropped.
    pub fn new(kind: Kind, namespace: &str, name: &str) -> Self {
        let namespace = if kind.is_namespaced() { namespace } else { "" };
        Self {
            group: Cow::Borrowed(kind.group()),
            kind: Cow::Borrowed(kind.as_str()),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    /// The name of an object of any kind.
    pub fn of_any_kind(group: &str, kind: &str, namespace: &str, name: &str) -> Self {
        match Kind::parse(group, kind) {
            Some(known) => Self::new(known, namespace, name),
            None => Self {
                group: Cow::Owned(group.to_owned()),
                kind: Cow::Owned(kind.to_owned()),
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            },
        }
    }

    /// The kind as people are told of it: that of Istio's Gateway with its group.
    pub fn shown_kind(&self) -> &str {
        shown(&self.group, &self.kind)
    }

    /// The kind, if it is read.
    pub fn known_kind(&self) -> Option<Kind> {
        Kind::parse(&self.group, &self.kind)
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.shown_kind();
        match self.namespace.as_str() {
            "" => write!(f, "{kind} {}", self.name),
            namespace => write!(f, "{kind} {namespace}/{}", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_shown_as_people_name_them() {
        assert_eq!(ObjectRef::new(Kind::HttpRoute, "default", "web").to_string(), "HTTPRoute default/web");
        assert_eq!(ObjectRef::new(Kind::GatewayClass, "default", "torana").to_string(), "GatewayClass torana");
    }

    #[test]
    fn the_gateway_of_istio_is_not_taken_for_that_of_gateway_api() {
        let istio = ObjectRef::of_any_kind("networking.istio.io", "Gateway", "a", "b");
        assert_eq!(
            (istio.known_kind(), istio.to_string()),
            (Some(Kind::IstioGateway), "Gateway.networking.istio.io a/b".into())
        );
        assert_eq!(Kind::IstioGateway.to_string(), "Gateway.networking.istio.io");
        let gateway = ObjectRef::new(Kind::Gateway, "a", "b");
        assert_ne!(istio, gateway);
        assert_eq!(gateway.to_string(), "Gateway a/b");
    }

    #[test]
    fn every_kind_is_found_by_its_own_group_only() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.group(), kind.as_str()), Some(kind));
            assert_eq!(Kind::parse("example.com", kind.as_str()), None);
        }
    }

    #[test]
    fn both_constructors_agree_on_spoken_kinds() {
        let one = ObjectRef::new(Kind::Gateway, "a", "b");
        assert_eq!(one, ObjectRef::of_any_kind(GATEWAY_GROUP, "Gateway", "a", "b"));
        assert_eq!(one.known_kind(), Some(Kind::Gateway));
    }
}
