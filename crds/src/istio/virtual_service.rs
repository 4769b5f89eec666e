// SPDX-License-Identifier: Apache-2.0
//! VirtualService, with its routes of TLS and TCP. Never decides which hosts of which Gateway it is for.

use serde::Deserialize;

use crate::istio::http::HttpRule;
use crate::istio::names::{Destination, Export, GatewayName};
use crate::istio::scalars::{Subnet, maybe_port, text};
use crate::meta::{ObjectMeta, StringMap};

/// `networking.istio.io` VirtualService.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct VirtualService {
    /// Metadata.
    #[serde(rename = "metadata")]
    pub meta: ObjectMeta,
    /// Spec.
    #[serde(default)]
    pub spec: VirtualServiceSpec,
}

/// `VirtualService`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VirtualServiceSpec {
    /// Hosts as written. Empty: another VirtualService delegates to this one.
    pub hosts: Vec<String>,
    /// Where it applies. Empty: to the sidecars of the mesh only.
    pub gateways: Vec<GatewayName>,
    /// Of requests, in the author's order: the first that matches is taken.
    pub http: Vec<HttpRule>,
    /// Of TLS that is passed on.
    pub tls: Vec<TlsRule>,
    /// Of bytes.
    pub tcp: Vec<TcpRule>,
    /// Namespaces that see it; empty: what the mesh says, usually all.
    pub export_to: Vec<Export>,
}

impl VirtualServiceSpec {
    /// Whether it is there for others to delegate to.
    pub fn is_delegate(&self) -> bool {
        self.hosts.is_empty()
    }

    /// Whether sidecars are meant, perhaps beside Gateways.
    pub fn is_for_mesh(&self) -> bool {
        self.gateways.is_empty() || self.gateways.iter().any(GatewayName::is_mesh)
    }
}

/// `TLSRoute`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct TlsRule {
    /// Alternatives; at least one.
    #[serde(rename = "match")]
    pub matches: Vec<TlsMatch>,
    /// Where to; at least one.
    #[serde(default)]
    pub route: Vec<StreamDestination>,
}

/// `TLSMatchAttributes`: all parts must match.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsMatch {
    /// Server names; at least one, each within the hosts of the VirtualService.
    pub sni_hosts: Vec<String>,
    /// Where the connection was meant to go; empty: anywhere.
    #[serde(default)]
    pub destination_subnets: Vec<Subnet>,
    /// Port of the server.
    #[serde(default, deserialize_with = "maybe_port")]
    pub port: Option<u16>,
    /// Labels that the proxy itself must have.
    #[serde(default)]
    pub source_labels: StringMap,
    /// Instead of those of the VirtualService.
    #[serde(default)]
    pub gateways: Vec<GatewayName>,
    /// The namespace that the proxy itself must be in.
    #[serde(default, deserialize_with = "text")]
    pub source_namespace: Option<String>,
}

/// `TCPRoute`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct TcpRule {
    /// Alternatives; empty: every connection.
    #[serde(rename = "match")]
    pub matches: Vec<TcpMatch>,
    /// Where to; at least one.
    pub route: Vec<StreamDestination>,
}

/// `L4MatchAttributes`: all parts must match.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TcpMatch {
    /// Where the connection was meant to go; empty: anywhere.
    pub destination_subnets: Vec<Subnet>,
    /// Port of the server.
    #[serde(deserialize_with = "maybe_port")]
    pub port: Option<u16>,
    /// Labels that the proxy itself must have.
    pub source_labels: StringMap,
    /// Instead of those of the VirtualService.
    pub gateways: Vec<GatewayName>,
    /// The namespace that the proxy itself must be in.
    #[serde(deserialize_with = "text")]
    pub source_namespace: Option<String>,
}

/// `RouteDestination`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct StreamDestination {
    /// Where to.
    pub destination: Destination,
    /// Share among the entries; a single entry takes all.
    #[serde(default)]
    pub weight: u32,
}
