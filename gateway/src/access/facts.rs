// SPDX-License-Identifier: Apache-2.0
//! What is known of a request or a stream when policies are asked. Never decides anything.

use std::net::{IpAddr, SocketAddr};

use crate::head::Head;

/// Who asks whom, and for what. Addresses of IPv4 are written as such, however they came.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'f> {
    /// The other end of the connection.
    pub peer: IpAddr,
    /// The client, as far as proxies before this one are believed.
    pub client: IpAddr,
    /// Where it came in.
    pub local: SocketAddr,
    /// The server name of the handshake, in lower case.
    pub server_name: Option<&'f str>,
    /// Names in the client's certificate, if that was verified.
    pub names: &'f [Box<str>],
    /// The request; streams have none.
    pub head: Option<&'f Head>,
    /// The payload of the token that was verified.
    pub claims: Option<&'f serde_json::Value>,
}

impl<'f> Facts<'f> {
    /// Of a connection from `peer` between these two, the client's end first: a load balancer that connects for somebody
    /// says so (PROXY protocol).
    pub(crate) fn of(
        peer: IpAddr,
        (client, local): (SocketAddr, SocketAddr),
        server_name: Option<&'f str>,
        names: &'f [Box<str>],
    ) -> Self {
        let local = SocketAddr::new(local.ip().to_canonical(), local.port());
        let (peer, client) = (peer.to_canonical(), client.ip().to_canonical());
        Self { peer, client, local, server_name, names, head: None, claims: None }
    }

    /// Of a request that came by it for `client`.
    #[must_use]
    pub(crate) fn with(self, client: IpAddr, head: &'f Head) -> Self {
        Self { client, head: Some(head), claims: head.claims(), ..self }
    }
}
