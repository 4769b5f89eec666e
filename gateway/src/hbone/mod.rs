// SPDX-License-Identifier: Apache-2.0
//! HBONE: connections inside streams of HTTP/2 (`CONNECT`, RFC 9113 §8.5), over outer connections that one worker shares.
//!
//! Who asks for a tunnel also says how an outer connection is opened, with all that is known of identities and
//! certificates; here it is only kept, under a key that is never mixed up with another. Nothing of a tunnel is sent before
//! the peer has agreed to it, and nothing falls back to a connection outside.

mod state;

mod meter;

mod driver;

mod tunnel;

mod outer;

mod pool;

use std::net::SocketAddr;

use http::{HeaderMap, StatusCode};

use crate::fault::Fault;

pub use pool::Pool;
pub use state::Counts;
pub use tunnel::Tunnel;

/// What outer connections are told apart by: a tunnel is only ever inside one that was opened under the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    /// Generation of our identity and of what peers are checked against; never used twice.
    pub identity: u64,
    /// Who the peer may be: the id of that set.
    pub peers: u64,
    /// The peer's socket.
    pub address: SocketAddr,
}

/// Where a tunnel leads.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// `:authority`: the inner address, with its port.
    pub authority: &'a str,
    /// What the peer is told besides; none of the fields that HTTP/2 forbids (RFC 9113 §8.2.2).
    pub headers: &'a HeaderMap,
}

/// Why there is no tunnel. Whatever it is, no byte of the inner connection was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The peer said no: 401 and 403 by its policy, 503 because it did not get through itself.
    Refused(StatusCode),
    /// There is no outer connection; whoever waited for the same one has the same fault.
    Dial(Fault),
    /// The outer connection, or the stream, ended before the peer had answered.
    Broken,
    /// The deadline passed.
    TimedOut,
}

#[cfg(test)]
mod tests;
