// SPDX-License-Identifier: Apache-2.0
//! Counts the frames of a client as they are read: the `h2` crate answers or ignores most kinds without telling anybody.
//! Nothing is refused here but further reading, once a client has sent more than its ledger explains.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::frames::{ACK, FORGIVEN_A_SECOND, Frame, Frames, HEADERS, PING, PREFACE, SETTINGS, forgiven};
use crate::http::h2::ledger::Ledger;
use crate::io::Io;

/// A client's connection, watched.
pub(crate) struct Reader {
    pub(super) io: Io,
    ledger: Arc<Ledger>,
    frames: Frames,
    forgiven_at: Instant,
}

impl Reader {
    /// Watches a connection whose next byte is the preface's first.
    pub(crate) fn new(io: Io, ledger: Arc<Ledger>) -> Self {
        Self { io, ledger, frames: Frames::new(PREFACE), forgiven_at: Instant::now() }
    }

    fn account(&mut self, cost: i32) {
        if cost == 0 || self.ledger.spend(cost) >= 0 {
            return;
        }
        // Only now the time matters.
        let forgiven = forgiven(&mut self.forgiven_at, Instant::now(), FORGIVEN_A_SECOND);
        if self.ledger.refill(i32::try_from(forgiven).unwrap_or(i32::MAX)) < 0 {
            self.ledger.flood();
        }
    }
}

impl AsyncRead for Reader {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.ledger.flooded() {
            // Whoever polls the connection looks at the ledger next and ends it.
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.io).poll_read(cx, buffer);
        if matches!(read, Poll::Ready(Ok(()))) {
            let mut sum = 0;
            this.frames.pass(&buffer.filled()[before..], |frame| sum += cost(frame));
            this.account(sum);
            this.ledger.note_head(this.frames.amid_head());
        }
        read
    }
}

impl AsyncWrite for Reader {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.io.write_now(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reader({:?})", self.io)
    }
}

/// What a frame counts for: nothing if it carries a request or a body, which other limits bound.
fn cost(frame: Frame) -> i32 {
    match frame.kind {
        _ if frame.is_body() => 0,
        HEADERS => 0,
        // Each may touch every stream of the connection (RFC 9113 §6.9.2), and has to be acknowledged.
        SETTINGS => 10,
        // We ask once, before the end. The library writes a line to the log for each that was not asked for.
        PING if frame.has(ACK) => 100,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::ALLOWANCE;

    #[test]
    fn a_frame_counts_for_what_it_asks_for() {
        for (kind, flags, length, expected) in [
            (4, 0, 12, 10),
            (1, 4, 70, 0),
            (0, 0, 16_384, 0),
            (0, 0, 0, 1),
            (0, 1, 0, 0),
            (8, 0, 4, 1),
            (6, 0, 8, 1),
            (6, 1, 8, 100),
            (2, 0, 5, 1),
            (3, 0, 4, 1),
            (9, 4, 1, 1),
            (0xfa, 0, 300, 1),
        ] {
            assert_eq!(cost(Frame { kind, flags, length }), expected, "kind {kind}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn more_frames_than_time_forgives_are_a_flood() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut reader = Reader::new(Io::tcp(socket), Arc::default());
        reader.account(ALLOWANCE);
        assert!(!reader.ledger.flooded());
        tokio::time::advance(std::time::Duration::from_secs(2)).await;
        reader.account(200);
        assert!(!reader.ledger.flooded());
        reader.account(1);
        assert!(reader.ledger.flooded());
    }
}
