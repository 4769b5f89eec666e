// SPDX-License-Identifier: Apache-2.0
//! One stream type for every connection: TCP, TLS that ends here, TLS that begins here, and tunnels inside another one.
//!
//! It owns no buffer of its own, so that an idle connection costs its socket and nothing else; whoever writes many
//! small pieces gathers them. It decides nothing and has no deadlines: those belong to its users.

mod peer;

mod pingora;

mod socket;

mod tunnel;

use std::fmt;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

pub use peer::{Peer, TlsPeer};
pub use socket::Socket;
pub(crate) use tunnel::next_id;
pub use tunnel::{Inner, Tunnelled};

/// Bytes of a peer that are read before anybody takes them.
const MOST_AHEAD: usize = 16 << 10;

/// TLS states are large and boxed, so that a plain connection does not pay for them.
enum Transport {
    Tcp(TcpStream),
    Server(Box<tokio_rustls::server::TlsStream<Socket>>),
    Client(Box<tokio_rustls::client::TlsStream<Socket>>),
    Tunnel(Inner),
    ClientInTunnel(Box<tokio_rustls::client::TlsStream<Inner>>),
}

/// Calls the same method on whichever stream it is.
macro_rules! with {
    ($io:expr, $stream:ident => $call:expr) => {
        match &mut $io.transport {
            Transport::Tcp($stream) => $call,
            Transport::Server($stream) => $call,
            Transport::Client($stream) => $call,
            Transport::Tunnel($stream) => $call,
            Transport::ClientInTunnel($stream) => $call,
        }
    };
}

/// A connection. Every write goes straight to the socket (or to the TLS layer before it).
pub struct Io {
    transport: Transport,
    /// Read once to see what the peer speaks, and to be read again.
    unread: Bytes,
}

impl Io {
    /// A cleartext connection, accepted or opened.
    pub fn tcp(stream: TcpStream) -> Self {
        Self::new(Transport::Tcp(stream))
    }

    /// A client's connection whose TLS ends here; the handshake is done.
    pub fn tls_server(stream: tokio_rustls::server::TlsStream<Socket>) -> Self {
        Self::new(Transport::Server(Box::new(stream)))
    }

    /// A connection to a backend whose TLS begins here; the handshake is done.
    pub fn tls_client(stream: tokio_rustls::client::TlsStream<Socket>) -> Self {
        Self::new(Transport::Client(Box::new(stream)))
    }

    /// A connection to a backend inside another one.
    pub fn tunnel(tunnel: Inner) -> Self {
        Self::new(Transport::Tunnel(tunnel))
    }

    /// The same with TLS of its own, which begins here; the handshake is done.
    pub fn tls_in_tunnel(stream: tokio_rustls::client::TlsStream<Inner>) -> Self {
        Self::new(Transport::ClientInTunnel(Box::new(stream)))
    }

    fn new(transport: Transport) -> Self {
        Self { transport, unread: Bytes::new() }
    }

    /// Puts bytes back: they are read again before anything else.
    pub fn unread(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.unread = [bytes, &self.unread].concat().into();
        }
    }

    /// Writes what the socket takes at once; a TLS layer keeps what the socket does not take until it is flushed.
    pub fn write_now(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        with!(self, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    /// Whether an idle connection can still be used: nothing to read, not closed, no error. Costs a system call only if
    /// the reactor saw something happen. After `false` the connection must be dropped: a byte of it may be lost.
    pub fn quiet(&mut self) -> bool {
        let mut byte = [0; 1];
        let mut cx = Context::from_waker(Waker::noop());
        self.unread.is_empty() && self.read_transport(&mut cx, &mut ReadBuf::new(&mut byte)).is_pending()
    }

    /// Ready once a peer that is not listened to yet has gone. What it says meanwhile is kept, to be read later, and more
    /// is not looked at once that is `MOST_AHEAD`. An end tells nothing if it may be that of a `half`: who has said
    /// everything may still listen.
    pub fn poll_gone(&mut self, cx: &mut Context<'_>, half: bool) -> Poll<()> {
        let mut bytes = [0; 2 << 10];
        while self.unread.len() < MOST_AHEAD {
            let mut buffer = ReadBuf::new(&mut bytes);
            match self.read_transport(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    self.unread = [&self.unread, buffer.filled()].concat().into();
                }
                Poll::Ready(Ok(())) if half => return Poll::Pending,
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Pending
    }

    /// Ends with a reset when it is dropped, a tunnel at once: the peer must not take it for an end in order.
    pub fn reset(&mut self) {
        if let Some(tunnel) = self.inner_mut() {
            tunnel.reset();
        }
        if let Some(socket) = self.socket() {
            // A socket that is gone needs no reset.
            socket.set_zero_linger().ok();
        }
    }

    /// Our own address, which the peer has called or was called from, that of the connection around a tunnel; `None` of a
    /// socket that is gone.
    pub fn local(&self) -> Option<SocketAddr> {
        match self.inner() {
            Some(tunnel) => tunnel.local(),
            None => self.socket()?.local_addr().ok(),
        }
    }

    fn read_transport(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        with!(self, stream => Pin::new(stream).poll_read(cx, buffer))
    }

    /// `None` of a tunnel.
    fn socket(&self) -> Option<&TcpStream> {
        match &self.transport {
            Transport::Tcp(stream) => Some(stream),
            Transport::Server(stream) => Some(&stream.get_ref().0.0),
            Transport::Client(stream) => Some(&stream.get_ref().0.0),
            Transport::Tunnel(_) | Transport::ClientInTunnel(_) => None,
        }
    }

    /// `None` of what has a socket.
    fn inner(&self) -> Option<&Inner> {
        match &self.transport {
            Transport::Tunnel(tunnel) => Some(tunnel),
            Transport::ClientInTunnel(stream) => Some(stream.get_ref().0),
            Transport::Tcp(_) | Transport::Server(_) | Transport::Client(_) => None,
        }
    }

    fn inner_mut(&mut self) -> Option<&mut Inner> {
        match &mut self.transport {
            Transport::Tunnel(tunnel) => Some(tunnel),
            Transport::ClientInTunnel(stream) => Some(stream.get_mut().0),
            Transport::Tcp(_) | Transport::Server(_) | Transport::Client(_) => None,
        }
    }

    fn session(&self) -> Option<&rustls::CommonState> {
        match &self.transport {
            Transport::Tcp(_) | Transport::Tunnel(_) => None,
            Transport::Server(stream) => Some(stream.get_ref().1),
            Transport::Client(stream) => Some(stream.get_ref().1),
            Transport::ClientInTunnel(stream) => Some(stream.get_ref().1),
        }
    }

    /// The socket's descriptor, or a number below zero for a tunnel.
    fn number(&self) -> i32 {
        match self.inner() {
            Some(tunnel) => tunnel.id(),
            None => self.socket().map_or(-1, AsRawFd::as_raw_fd),
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.unread.is_empty() {
            return self.read_transport(cx, buffer);
        }
        let taken = self.unread.len().min(buffer.remaining());
        buffer.put_slice(&self.unread[..taken]);
        self.unread.advance(taken);
        if self.unread.is_empty() {
            // Drops the memory, which an advanced `Bytes` would hold.
            self.unread = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.write_now(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        with!(self, stream => Pin::new(stream).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        // Also under TLS: rustls gathers the slices into one record.
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        with!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        with!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

impl fmt::Debug for Io {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.transport {
            Transport::Tcp(_) => "tcp",
            Transport::Server(_) => "tls server",
            Transport::Client(_) => "tls client",
            Transport::Tunnel(_) => "tunnel",
            Transport::ClientInTunnel(_) => "tls client in tunnel",
        };
        write!(f, "Io({kind}, {})", self.number())
    }
}

/// As logs write it.
pub(crate) fn tls_version(session: &rustls::CommonState) -> &'static str {
    match session.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests;
