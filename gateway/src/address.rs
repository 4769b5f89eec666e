// SPDX-License-Identifier: Apache-2.0
//! Addresses of sockets.

use std::net::SocketAddr;

/// A client of IPv4 at a socket for both families is one of IPv4: `::ffff:a.b.c.d` is `a.b.c.d` (RFC 4291 §2.5.5.2).
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
