// SPDX-License-Identifier: Apache-2.0
//! A tunnel: the bytes of one stream, both ways. It keeps at most one frame that was read, and hands over no more than the
//! peer takes; what it carries it never looks at.

use std::fmt;
use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use h2::{Reason, RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::outer::Lease;
use super::state::OpenTunnel;
use crate::io::{Inner, Io, Tunnelled, next_id};

/// Bytes of a tunnel that were written and wait for the outer connection, at most.
pub(super) const SEND_BUFFER: usize = 64 << 10;

/// A connection inside another one. Dropped before both sides have ended, its stream is reset (`CANCEL`).
pub struct Tunnel {
    receive: RecvStream,
    send: SendStream<Bytes>,
    /// Of a frame, not read yet; its room in the window is given back byte by byte as it is read.
    unread: Bytes,
    /// The peer has ended its side.
    received: bool,
    /// We have ended ours.
    sent: bool,
    id: i32,
    _open: OpenTunnel,
    /// After the stream: whoever gets its place finds one.
    lease: Lease,
}

impl Tunnel {
    pub(super) fn new(receive: RecvStream, send: SendStream<Bytes>, lease: Lease) -> Self {
        let open = OpenTunnel::new(lease.counters());
        let (unread, id) = (Bytes::new(), next_id());
        Self { receive, send, unread, received: false, sent: false, id, _open: open, lease }
    }

    /// As something to shake hands over.
    pub fn into_inner(self) -> Inner {
        Box::new(self)
    }

    /// As any other connection.
    pub fn into_io(self) -> Io {
        Io::tunnel(self.into_inner())
    }

    /// The next frame's bytes, if the last one's are read; ready when there are some, or the peer has ended.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.unread.is_empty() && !self.received {
            match ready!(self.receive.poll_data(cx)) {
                Some(Ok(data)) => self.unread = data,
                // RFC 9113 §8.1: it has said everything, and listens no more.
                Some(Err(error)) if error.is_reset() && error.reason() == Some(Reason::NO_ERROR) => {
                    self.received = true;
                }
                Some(Err(error)) => return Poll::Ready(Err(broken(error))),
                // Trailers mean nothing in a tunnel.
                None => self.received = true,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// How many of `wanted` bytes may be written now: at least one.
    fn poll_room(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<io::Result<usize>> {
        if self.sent {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        loop {
            match self.send.capacity() {
                0 => self.send.reserve_capacity(wanted.min(SEND_BUFFER)),
                room => return Poll::Ready(Ok(room.min(wanted))),
            }
            match ready!(self.send.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(broken(error))),
                None => return Poll::Ready(Err(ErrorKind::ConnectionReset.into())),
            }
        }
    }

    fn pass(&mut self, bytes: Bytes, all: bool) -> io::Result<usize> {
        let length = bytes.len();
        self.send.send_data(bytes, false).map_err(broken)?;
        if all && self.send.capacity() > 0 {
            // What was asked for and is not needed: the other streams share the connection's window.
            self.send.reserve_capacity(0);
        }
        Ok(length)
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_frame(cx))?;
        let taken = self.unread.len().min(buffer.remaining());
        if taken == 0 {
            return Poll::Ready(Ok(()));
        }
        buffer.put_slice(self.unread.get(..taken).unwrap_or_default());
        self.unread.advance(taken);
        if self.unread.is_empty() {
            // Drops the memory, which an advanced `Bytes` would hold.
            self.unread = Bytes::new();
        }
        // A stream that has broken meanwhile has given everything back.
        self.receive.flow_control().release_capacity(taken).ok();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let room = ready!(self.poll_room(cx, bytes.len()))?;
        let part = bytes.get(..room).unwrap_or(bytes);
        Poll::Ready(self.pass(Bytes::copy_from_slice(part), part.len() == bytes.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let whole = slices.iter().map(|slice| slice.len()).sum();
        if whole == 0 {
            return Poll::Ready(Ok(0));
        }
        let room = ready!(self.poll_room(cx, whole))?;
        let mut gathered = BytesMut::with_capacity(room);
        for slice in slices {
            let part = slice.len().min(room - gathered.len());
            gathered.extend_from_slice(slice.get(..part).unwrap_or(slice));
        }
        Poll::Ready(self.pass(gathered.freeze(), room == whole))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The connection's task has been woken, as a socket's buffer is in the kernel's hands.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.sent {
            self.sent = true;
            self.send.send_data(Bytes::new(), true).map_err(broken)?;
        }
        Poll::Ready(Ok(()))
    }
}

impl Tunnelled for Tunnel {
    fn reset(&mut self) {
        self.sent = true;
        self.send.send_reset(Reason::CANCEL);
    }

    fn local(&self) -> Option<SocketAddr> {
        self.lease.local()
    }

    fn id(&self) -> i32 {
        self.id
    }
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stream = self.send.stream_id().as_u32();
        write!(f, "Tunnel(stream {stream}, from {:?})", self.lease.local())
    }
}

/// Whatever ends a tunnel out of order is a reset to who uses it.
fn broken(error: h2::Error) -> io::Error {
    io::Error::new(ErrorKind::ConnectionReset, error)
}
