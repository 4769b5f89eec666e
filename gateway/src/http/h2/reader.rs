// SPDX-License-Identifier: Apache-2.0
//! Counts the frames of a client as they are read, by their nine-byte heads (RFC 9113 §4.1): the `h2` crate answers or
//! ignores most kinds without telling anybody. Payloads are skipped, nothing is copied, and nothing is refused here but
//! further reading, once a client has sent more than its ledger explains.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::http::h2::ledger::{Ledger, forgiven};
use crate::io::Io;

/// Frames that ask for nothing are forgiven at this rate.
const FORGIVEN_A_SECOND: u128 = 100;
/// Bytes before the first frame (RFC 9113 §3.4).
const PREFACE: usize = 24;
/// Bytes of a frame's head.
const HEAD: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

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
        Self { io, ledger, frames: Frames::new(), forgiven_at: Instant::now() }
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
            let cost = this.frames.pass(&buffer.filled()[before..]);
            this.account(cost);
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

/// Where in the sequence of frames a connection is.
struct Frames {
    /// Bytes that are no head: the rest of a payload.
    skip: usize,
    /// A frame's head that came in parts.
    head: [u8; HEAD],
    have: usize,
    /// HEADERS began a field block that has not ended.
    block: bool,
}

impl Frames {
    fn new() -> Self {
        Self { skip: PREFACE, head: [0; HEAD], have: 0, block: false }
    }

    /// Goes over `bytes`; gives what the frames that begin in them cost.
    fn pass(&mut self, mut bytes: &[u8]) -> i32 {
        let mut sum = 0;
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            let part = (HEAD - self.have).min(bytes.len());
            self.head[self.have..self.have + part].copy_from_slice(&bytes[..part]);
            self.have += part;
            bytes = &bytes[part..];
            if self.have < HEAD {
                return sum;
            }
            self.have = 0;
            let [high, middle, low, kind, flags, ..] = self.head;
            self.skip = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
            sum += cost(kind, flags, self.skip);
            if matches!(kind, HEADERS | CONTINUATION) {
                self.block = flags & END_HEADERS == 0;
            }
        }
    }

    /// The last byte belongs to the head of a request, or to that of a frame, and is not its last.
    fn amid_head(&self) -> bool {
        self.block || self.have > 0 || (self.skip > 0 && matches!(self.head[3], HEADERS | CONTINUATION))
    }
}

/// What a frame counts for: nothing if it carries a request or a body, which other limits bound.
fn cost(kind: u8, flags: u8, length: usize) -> i32 {
    match kind {
        DATA if length > 0 || flags & END_STREAM != 0 => 0,
        HEADERS => 0,
        // Each may touch every stream of the connection (RFC 9113 §6.9.2), and has to be acknowledged.
        SETTINGS => 10,
        // We ask once, before the end. The library writes a line to the log for each that was not asked for.
        PING if flags & ACK != 0 => 100,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::h2::ledger::ALLOWANCE;

    fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
        let size = u32::try_from(length).unwrap().to_be_bytes();
        [&size[1..], &[kind, flags, 0, 0, 0, 1], &vec![6; length]].concat()
    }

    fn stream() -> Vec<u8> {
        let frames = [
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
        ];
        let mut bytes = vec![b'P'; PREFACE];
        for (kind, flags, length, expected) in frames {
            assert_eq!(cost(kind, flags, length), expected, "kind {kind}");
            bytes.extend(frame(kind, flags, length));
        }
        bytes
    }

    #[test]
    fn frames_are_counted_alike_however_they_are_cut() {
        let bytes = stream();
        for size in [1, 2, 8, 9, 10, 23, 24, 25, 4096, bytes.len()] {
            let mut frames = Frames::new();
            let sum: i32 = bytes.chunks(size).map(|part| frames.pass(part)).sum();
            assert_eq!((sum, frames.have, frames.skip), (117, 0, 0), "in parts of {size}");
        }
    }

    #[test]
    fn a_head_lasts_until_the_end_of_its_block() {
        let mut frames = Frames::new();
        frames.pass(&[b'P'; PREFACE]);
        let whole = [frame(1, 0, 5), frame(9, 0, 0), frame(9, END_HEADERS, 3), frame(0, 0, 4)].concat();
        let ends = [14, 23, 35, 48];
        for (at, byte) in whole.iter().enumerate() {
            frames.pass(std::slice::from_ref(byte));
            let (read, in_data_head) = (at + 1, (36..44).contains(&(at + 1)));
            assert_eq!(frames.amid_head(), read < ends[2] || in_data_head, "after {read} bytes");
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
