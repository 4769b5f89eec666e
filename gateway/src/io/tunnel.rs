// SPDX-License-Identifier: Apache-2.0
//! What an [`Io`](super::Io) asks of a connection that has no socket of its own, because it runs inside another one. Who
//! makes such tunnels, and of what, is unknown here.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI32, Ordering};

use tokio::io::{AsyncRead, AsyncWrite};

/// A connection inside another one. What ends too early is an error of its reads and writes, but never
/// [`UnexpectedEof`](std::io::ErrorKind::UnexpectedEof), which some take for an end.
pub trait Tunnelled: AsyncRead + AsyncWrite + fmt::Debug + Send + Sync + Unpin {
    /// Ends it: the peer is told that this is no end in order, and what was not sent yet is dropped.
    fn reset(&mut self);

    /// Our own address of the connection around it; `None` if that is not known.
    fn local(&self) -> Option<SocketAddr>;

    /// What [`next_id`] gave.
    fn id(&self) -> i32;
}

/// Any of them; TLS inside a tunnel is a stream over this.
pub type Inner = Box<dyn Tunnelled>;

/// A number unlike that of any socket and, while it lives, of any other tunnel.
pub(crate) fn next_id() -> i32 {
    static NEXT: AtomicI32 = AtomicI32::new(0);
    // Below zero, where no file descriptors are: -1, -2 … and round again.
    -1 - (NEXT.fetch_add(1, Ordering::Relaxed) & i32::MAX)
}
