// SPDX-License-Identifier: Apache-2.0
//! `networking.istio.io` Gateway: servers of the pods that its selector finds. Never resolves a certificate.

use serde::Deserialize;

use crate::istio::names::{Protocol, ServerHost};
use crate::istio::scalars::{port, text};
use crate::istio::server_tls::ServerTls;
use crate::meta::{ObjectMeta, StringMap};

/// `networking.istio.io` Gateway.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct IstioGateway {
    /// Metadata.
    #[serde(rename = "metadata")]
    pub meta: ObjectMeta,
    /// Spec.
    #[serde(default)]
    pub spec: IstioGatewaySpec,
}

/// `Gateway` of Istio.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct IstioGatewaySpec {
    /// Labels of the pods that serve it, in any namespace; empty: every gateway.
    pub selector: StringMap,
    /// Servers; at least one.
    pub servers: Vec<Server>,
}

/// `Server`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Server {
    /// For people.
    #[serde(default, deserialize_with = "text")]
    pub name: Option<String>,
    /// Where it listens.
    pub port: ServerPort,
    /// An IP address; `None`: all of them.
    #[serde(default, deserialize_with = "text")]
    pub bind: Option<String>,
    /// Hosts that it serves; at least one.
    pub hosts: Vec<ServerHost>,
    /// TLS.
    pub tls: Option<ServerTls>,
}

/// `Port` of a server. Its number is that of the gateway's Service.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ServerPort {
    /// 1 to 65535.
    #[serde(deserialize_with = "port")]
    pub number: u16,
    /// What is spoken.
    pub protocol: Protocol,
    /// Unique within the Gateway.
    pub name: String,
}
