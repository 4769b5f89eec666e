// SPDX-License-Identifier: Apache-2.0
//! Backends and their endpoints. Endpoints are a resource of their own: they change most often and swap alone.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::key::BackendKey;
use crate::origination::BackendTls;

/// What a rule forwards to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backend {
    /// Who it is.
    pub key: BackendKey,
    /// What its endpoints speak to HTTPRoutes and GRPCRoutes. Streams are passed on as they come.
    pub protocol: UpstreamProtocol,
    /// Whether TLS is between.
    pub tls: BackendTls,
    /// How one endpoint is chosen.
    pub balance: LoadBalance,
    /// Deadline of one connect.
    pub connect_deadline: Duration,
    /// Pooled connections close after this long without a request.
    pub idle: Duration,
    /// Connections a worker may have open or opening to this backend.
    pub max_connections: u32,
}

impl Backend {
    /// A backend with the defaults: HTTP/1.1 in cleartext, least request, connect in 5 s, idle 60 s, 4,096 connections a worker.
    pub fn new(key: BackendKey) -> Self {
        Self {
            key,
            protocol: UpstreamProtocol::Http1,
            tls: BackendTls::Plain,
            balance: LoadBalance::LeastRequest,
            connect_deadline: Duration::from_secs(5),
            idle: Duration::from_mins(1),
            max_connections: 4096,
        }
    }
}

/// `appProtocol` of a Service port. It is fixed, under TLS too: what else a backend would agree to by ALPN is not asked,
/// so that every request of a backend may do the same (upgrade, share a connection).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum UpstreamProtocol {
    /// HTTP/1.1 (also `kubernetes.io/ws`).
    Http1,
    /// HTTP/2 (`kubernetes.io/h2c`; always for GRPCRoute): with prior knowledge in cleartext, by ALPN under TLS.
    H2c,
}

/// How an endpoint is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoadBalance {
    /// Power of two choices by requests in flight: Istio's default.
    LeastRequest,
    /// Smooth weighted round robin.
    RoundRobin,
}

/// The addresses of a backend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Endpoints {
    /// From EndpointSlices, sorted by address.
    Static {
        /// Which backend.
        backend: BackendKey,
        /// May be empty: requests get 503.
        endpoints: Vec<Endpoint>,
    },
    /// A name that the proxy resolves and re-resolves by TTL (`externalName`); the last good answer is kept.
    Dns {
        /// Which backend.
        backend: BackendKey,
        /// DNS name, lower case.
        host: String,
        /// Port of every address.
        port: u16,
    },
}

impl Endpoints {
    /// The backend these belong to.
    pub fn backend(&self) -> &BackendKey {
        let (Self::Static { backend, .. } | Self::Dns { backend, .. }) = self;
        backend
    }
}

/// One address of a backend.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Endpoint {
    /// Where it listens.
    pub address: SocketAddr,
    /// `false`: terminating but serving; used only when no ready endpoint is left (EndpointSlice `serving`).
    pub ready: bool,
}
