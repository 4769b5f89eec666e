// SPDX-License-Identifier: Apache-2.0
//! Who is at the other end of a client's connection.

use std::net::{IpAddr, SocketAddr};

use torana_ir::ListenerKey;

/// The two ends of a connection, and its TLS.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Who connects, for itself or for somebody else.
    pub direct: IpAddr,
    /// The client's socket.
    pub remote: SocketAddr,
    /// The address that the client connected to.
    pub local: SocketAddr,
    /// Set if TLS ended here.
    pub tls: Option<TlsPeer>,
}

/// What was agreed in the handshake.
#[derive(Debug, Clone)]
pub struct TlsPeer {
    /// The server name that the client asked for, in lower case.
    pub sni: Option<String>,
    /// The listener whose certificate was served, if it was chosen by that name. `None` without a name: requests may be
    /// for any host of the listener that takes all.
    pub listener: Option<ListenerKey>,
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// HTTP/2 was chosen by ALPN (RFC 9113 §3.2).
    pub h2: bool,
    /// What backends are told of the client's certificate.
    pub certificate: Option<Box<str>>,
    /// Names in that certificate, if it was verified.
    pub names: Box<[Box<str>]>,
}
