// SPDX-License-Identifier: Apache-2.0
//! A request that nobody sends, with everything that a policy may look at.

use std::net::{IpAddr, SocketAddr};

use serde_json::Value;

/// A request; on a listener of streams, a connection.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// There is a request.
    pub(super) http: bool,
    pub(super) peer: IpAddr,
    pub(super) client: IpAddr,
    pub(super) local: SocketAddr,
    pub(super) server_name: Option<String>,
    /// Names in the client's certificate.
    pub(super) names: Vec<Box<str>>,
    pub(super) method: String,
    pub(super) authority: String,
    /// Path and query.
    pub(super) target: String,
    pub(super) fields: Vec<(String, String)>,
    /// The payload of its token.
    pub(super) claims: Option<Value>,
}
