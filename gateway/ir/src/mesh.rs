// SPDX-License-Identifier: Apache-2.0
//! Workloads of a mesh: which of them are spoken to as such, how, and who they must prove to be. What the proxy itself is
//! in the mesh is its own affair and not told here.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::origination::PeerName;

/// How one endpoint is spoken to that is a workload of the mesh: with the proxy's own certificate, after the endpoint has
/// proved who it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MeshPeer {
    /// What is between TCP and what the backend is spoken to in.
    pub transport: MeshTransport,
    /// Its certificate must bear one of these: its own identity, mostly. Empty: every certificate is refused.
    pub names: Vec<PeerName>,
    /// Cleartext is never an alternative (`STRICT`, `ISTIO_MUTUAL`). Where it may be one (`PERMISSIVE`), proxies that have
    /// no identity of the mesh and want none speak in cleartext; those that want one and cannot have it never do.
    pub strict: bool,
}

/// Where tunnels of a mesh are asked for (HBONE), on a workload's address or a waypoint's.
pub const HBONE_PORT: u16 = 15_008;

/// The identity of a service account in a trust domain, as Istio writes it.
pub fn spiffe_id(domain: impl fmt::Display, namespace: &str, account: &str) -> String {
    format!("spiffe://{domain}/ns/{namespace}/sa/{account}")
}

/// What is between TCP and what a backend is spoken to in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum MeshTransport {
    /// Mutual TLS with the sidecar, on the endpoint's own port.
    Mtls,
    /// A tunnel by HTTP/2 CONNECT in mutual TLS, on [`HBONE_PORT`] of the endpoint's address.
    Hbone,
}

impl MeshTransport {
    /// One word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mtls => "mtls",
            Self::Hbone => "hbone",
        }
    }
}
