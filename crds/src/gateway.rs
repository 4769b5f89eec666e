// SPDX-License-Identifier: Apache-2.0
//! GatewayClass, Gateway, ListenerSet. One `Listener` type serves both of the latter. Never judges a value.

use serde::Deserialize;

use crate::filter::Filter;
use crate::meta::{LabelSelector, ObjectMeta, StringMap};
use crate::refs::{LocalRef, NamespacedRef, ParentRef, SecretRef, gateway_group};

/// `gateway.networking.k8s.io/v1` GatewayClass.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct GatewayClass {
    /// Metadata.
    #[serde(rename = "metadata")]
    pub meta: ObjectMeta,
    /// Spec.
    pub spec: GatewayClassSpec,
}

/// `GatewayClassSpec`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayClassSpec {
    /// Whose class it is.
    pub controller_name: String,
    /// Parameters of every Gateway of the class.
    pub parameters_ref: Option<NamespacedRef>,
    /// For people.
    pub description: Option<String>,
}

/// `gateway.networking.k8s.io/v1` Gateway.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Gateway {
    /// Metadata.
    #[serde(rename = "metadata")]
    pub meta: ObjectMeta,
    /// Spec.
    pub spec: GatewaySpec,
}

/// `GatewaySpec`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewaySpec {
    /// Name of the GatewayClass.
    pub gateway_class_name: String,
    /// Listeners.
    pub listeners: Vec<Listener>,
    /// Addresses asked for; empty: the implementation chooses.
    #[serde(default)]
    pub addresses: Vec<GatewayAddress>,
    /// What the provisioned infrastructure carries.
    pub infrastructure: Option<Infrastructure>,
    /// Which ListenerSets may attach; default none.
    #[serde(default)]
    pub allowed_listeners: AllowedListeners,
    /// TLS towards clients and backends.
    pub tls: Option<GatewayTls>,
    /// Whether routes may use the Gateway by default (experimental channel).
    pub default_scope: Option<DefaultScope>,
}

/// `gateway.networking.k8s.io/v1` ListenerSet.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ListenerSet {
    /// Metadata.
    #[serde(rename = "metadata")]
    pub meta: ObjectMeta,
    /// Spec.
    pub spec: ListenerSetSpec,
}

/// `ListenerSetSpec`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerSetSpec {
    /// The Gateway.
    #[serde(rename = "parentRef")]
    pub parent: ParentRef,
    /// Listeners added to it.
    pub listeners: Vec<Listener>,
}

/// `Listener` and `ListenerEntry`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    /// Section name.
    pub name: String,
    /// `None`: every host.
    pub hostname: Option<String>,
    /// Port.
    pub port: u16,
    /// What is spoken.
    pub protocol: ProtocolType,
    /// Required for HTTPS and TLS.
    pub tls: Option<ListenerTls>,
    /// Which routes may attach.
    #[serde(default)]
    pub allowed_routes: AllowedRoutes,
    /// Filters of every request (experimental channel).
    pub filters: Option<ListenerFilters>,
}

/// `ProtocolType`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ProtocolType {
    /// Cleartext HTTP.
    Http,
    /// HTTP over TLS terminated here.
    Https,
    /// TLS, terminated or passed through.
    Tls,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// Implementation-specific or newer: not supported.
    #[serde(untagged)]
    Other(String),
}

impl ProtocolType {
    /// The protocol as written.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Http => "HTTP",
            Self::Https => "HTTPS",
            Self::Tls => "TLS",
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Other(other) => other,
        }
    }
}

/// `ListenerTLSConfig`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListenerTls {
    /// Default terminate.
    pub mode: TlsMode,
    /// Certificates, in the user's order.
    pub certificate_refs: Vec<SecretRef>,
    /// Implementation-specific options.
    pub options: StringMap,
}

/// `TLSModeType`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub enum TlsMode {
    /// TLS ends here.
    #[default]
    Terminate,
    /// TLS passes through.
    Passthrough,
    /// Not a value of this version.
    #[serde(untagged)]
    Other(String),
}

/// `AllowedRoutes`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct AllowedRoutes {
    /// From where; default the namespace of the Gateway or ListenerSet.
    pub namespaces: RouteNamespaces,
    /// Which kinds; empty: those of the protocol.
    pub kinds: Vec<RouteGroupKind>,
}

/// `RouteNamespaces`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RouteNamespaces {
    /// Default [`FromNamespaces::Same`].
    #[serde(default = "same")]
    pub from: FromNamespaces,
    /// For [`FromNamespaces::Selector`].
    pub selector: Option<LabelSelector>,
}

fn same() -> FromNamespaces {
    FromNamespaces::Same
}

impl Default for RouteNamespaces {
    fn default() -> Self {
        Self { from: same(), selector: None }
    }
}

/// `FromNamespaces`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub enum FromNamespaces {
    /// Every namespace.
    All,
    /// Namespaces whose labels match.
    Selector,
    /// The same namespace.
    Same,
    /// None.
    None,
    /// Not a value of this version.
    #[serde(untagged)]
    Other(String),
}

/// `RouteGroupKind`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
pub struct RouteGroupKind {
    /// Default `gateway.networking.k8s.io`.
    #[serde(default = "gateway_group")]
    pub group: String,
    /// Kind.
    pub kind: String,
}

/// `ListenerFilters` (experimental channel).
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct ListenerFilters {
    /// Applied to requests.
    pub requests: Vec<Filter>,
}

/// `GatewaySpecAddress`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct GatewayAddress {
    /// Default `IPAddress`.
    #[serde(rename = "type", default = "ip_address")]
    pub address_type: GatewayAddressType,
    /// `""`: one of that type, chosen by the implementation.
    #[serde(default)]
    pub value: String,
    /// Scope asked for, `""` or absent for the default (experimental channel).
    pub routability: Option<String>,
}

fn ip_address() -> GatewayAddressType {
    GatewayAddressType::IPAddress
}

/// `AddressType` of a Gateway.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub enum GatewayAddressType {
    /// A textual IP address.
    IPAddress,
    /// A DNS name.
    Hostname,
    /// A name that means something to the implementation.
    NamedAddress,
    /// Implementation-specific or newer.
    #[serde(untagged)]
    Other(String),
}

/// `GatewayInfrastructure`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Infrastructure {
    /// Put on every provisioned object.
    pub labels: StringMap,
    /// Put on every provisioned object.
    pub annotations: StringMap,
    /// Parameters of this Gateway.
    pub parameters_ref: Option<LocalRef>,
}

/// `AllowedListeners`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct AllowedListeners {
    /// From where.
    pub namespaces: ListenerNamespaces,
}

/// `ListenerNamespaces`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ListenerNamespaces {
    /// Default [`FromNamespaces::None`].
    #[serde(default = "none")]
    pub from: FromNamespaces,
    /// For [`FromNamespaces::Selector`].
    pub selector: Option<LabelSelector>,
}

fn none() -> FromNamespaces {
    FromNamespaces::None
}

impl Default for ListenerNamespaces {
    fn default() -> Self {
        Self { from: none(), selector: None }
    }
}

/// `GatewayTLSConfig`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct GatewayTls {
    /// Towards backends.
    pub backend: Option<GatewayBackendTls>,
    /// Towards clients.
    pub frontend: Option<FrontendTls>,
}

/// `GatewayBackendTLS`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayBackendTls {
    /// The Gateway's own certificate.
    pub client_certificate_ref: Option<SecretRef>,
}

/// `FrontendTLSConfig`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FrontendTls {
    /// For every port without an entry of its own.
    pub default: FrontendTlsConfig,
    /// For single ports.
    #[serde(default)]
    pub per_port: Vec<FrontendTlsPort>,
}

/// `TLSPortConfig`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct FrontendTlsPort {
    /// The port of HTTPS listeners.
    pub port: u16,
    /// Its configuration.
    pub tls: FrontendTlsConfig,
}

/// `TLSConfig`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct FrontendTlsConfig {
    /// How client certificates are checked; `None`: none is asked for.
    pub validation: Option<FrontendValidation>,
}

/// `FrontendTLSValidation`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FrontendValidation {
    /// ConfigMaps or Secrets with `ca.crt`.
    pub ca_certificate_refs: Vec<NamespacedRef>,
    /// Default valid certificates only.
    #[serde(default)]
    pub mode: FrontendValidationMode,
}

/// `FrontendValidationModeType`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub enum FrontendValidationMode {
    /// A client without a valid certificate is refused.
    #[default]
    AllowValidOnly,
    /// Asked for, not required, not verified.
    AllowInsecureFallback,
    /// Not a value of this version.
    #[serde(untagged)]
    Other(String),
}

/// `GatewayDefaultScope` (experimental channel).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub enum DefaultScope {
    /// Every Gateway that offers itself as default.
    All,
    /// None.
    None,
    /// Not a value of this version.
    #[serde(untagged)]
    Other(String),
}
