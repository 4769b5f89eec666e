// SPDX-License-Identifier: Apache-2.0
//! Looks at the frames of a peer as they are read: whether it has introduced itself, whether it goes away, and whether it
//! sends more of what asks for nothing than anything explains, which ends the connection. The `h2` crate bounds what is
//! kept of such frames, not how many there are. No byte is changed.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::state::State;
use crate::frames::{
    ACK, ALLOWANCE, DATA, FORGIVEN_A_SECOND, Frame, Frames, GOAWAY, HEADERS, MOST, PING, PREFACE, SETTINGS, explained,
    forgiven,
};
use crate::io::Io;

/// Frames that a stream of ours may bring back.
const FOR_STREAM: i32 = 8;
/// Frames that one of DATA may bring back, however small it is: a WINDOW_UPDATE for its stream, one for the connection, and
/// a PING to measure the way.
const FOR_DATA: i32 = 3;

/// An outer connection, watched.
pub(super) struct Meter {
    io: Box<Io>,
    state: Arc<State>,
    /// The peer's.
    theirs: Frames,
    /// What explains them.
    ours: Frames,
    budget: Budget,
}

impl Meter {
    /// Watches a connection of which nothing was read or written yet.
    pub(super) fn new(io: Box<Io>, state: Arc<State>) -> Self {
        let budget = Budget { left: ALLOWANCE, since: Instant::now() };
        Self { io, state, theirs: Frames::new(0), ours: Frames::new(PREFACE), budget }
    }

    fn note(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (mut sum, state) = (0, &self.state);
        self.theirs.pass(bytes, |frame| {
            match frame.kind {
                SETTINGS if !frame.has(ACK) => state.settle(),
                GOAWAY => state.leave(),
                _ => {}
            }
            sum += cost(frame);
        });
        if self.budget.spend(sum, Instant::now) {
            return Ok(());
        }
        tracing::warn!(connection = ?self.io, "an HBONE peer sends more frames than anything explains");
        Err(io::Error::new(io::ErrorKind::InvalidData, "too many frames"))
    }

    fn wrote<'b>(&mut self, written: usize, slices: impl Iterator<Item = &'b [u8]>) {
        let (mut left, mut worth_all) = (written, 0_i32);
        for slice in slices {
            let part = slice.get(..left).unwrap_or(slice);
            self.ours.pass(part, |frame| worth_all = worth_all.saturating_add(worth(frame)));
            left -= part.len();
        }
        self.budget.earn(worth_all);
    }
}

/// What a frame counts for: nothing if it carries bytes of a tunnel, which other limits bound.
fn cost(frame: Frame) -> i32 {
    match frame.kind {
        _ if frame.is_body() => 0,
        // Each may touch every stream of the connection (RFC 9113 §6.9.2), and has to be acknowledged.
        SETTINGS if !frame.has(ACK) => 10,
        // We ask every few seconds. The library writes a line to the log for each that was not asked for.
        PING if frame.has(ACK) => 100,
        _ => 1,
    }
}

/// How many of the peer's a frame of ours explains. What only answers the peer explains nothing.
fn worth(frame: Frame) -> i32 {
    match frame.kind {
        HEADERS => FOR_STREAM,
        DATA => FOR_DATA + explained(frame.length),
        _ => 0,
    }
}

/// Frames that may still come.
struct Budget {
    left: i32,
    since: Instant,
}

impl Budget {
    /// `false` if that is too much.
    fn spend(&mut self, frames: i32, now: impl FnOnce() -> Instant) -> bool {
        self.left = self.left.saturating_sub(frames);
        if self.left >= 0 {
            return true;
        }
        // Only now the time matters.
        let forgiven = forgiven(&mut self.since, now(), FORGIVEN_A_SECOND);
        self.left = self.left.saturating_add(i32::try_from(forgiven).unwrap_or(MOST)).min(ALLOWANCE);
        self.left >= 0
    }

    fn earn(&mut self, frames: i32) {
        self.left = self.left.saturating_add(frames).min(MOST);
    }
}

impl AsyncRead for Meter {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        match ready!(Pin::new(&mut *this.io).poll_read(cx, buffer)) {
            Ok(()) => Poll::Ready(this.note(buffer.filled().get(before..).unwrap_or_default())),
            Err(error) => {
                this.state.broke(&error);
                Poll::Ready(Err(error))
            }
        }
    }
}

impl AsyncWrite for Meter {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut *self.io).poll_write(cx, bytes))?;
        self.wrote(written, std::iter::once(bytes));
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut *self.io).poll_write_vectored(cx, slices))?;
        self.wrote(written, slices.iter().map(|slice| &**slice));
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_written_and_what_time_forgives_explain_frames_and_nothing_else_does() {
        let start = Instant::now();
        let mut budget = Budget { left: ALLOWANCE, since: start };
        assert!(budget.spend(ALLOWANCE, || start));
        assert!(!budget.spend(1, || start));
        let mut budget = Budget { left: 0, since: start };
        assert!(budget.spend(200, || start + Duration::from_secs(2)));
        assert!(!budget.spend(1, || start + Duration::from_secs(2)));
        let mut budget = Budget { left: 0, since: start };
        budget.earn(worth(Frame { kind: DATA, flags: 0, length: 16 << 10 }));
        assert!(budget.spend(67, || start) && !budget.spend(1, || start));
        for _ in 0..100_000 {
            budget.earn(worth(Frame { kind: HEADERS, flags: 0, length: 1 }));
        }
        assert_eq!(budget.left, MOST);
        assert_eq!(
            worth(Frame { kind: PING, flags: ACK, length: 8 }),
            0,
            "an answer to a flood explains no more of it"
        );
    }

    #[test]
    fn a_frame_counts_for_what_it_asks_for() {
        for (kind, flags, length, expected) in [
            (SETTINGS, 0, 12, 10),
            (SETTINGS, ACK, 0, 1),
            (PING, 0, 8, 1),
            (PING, ACK, 8, 100),
            (0, 0, 16_384, 0),
            (0, 1, 0, 0),
            (0, 0, 0, 1),
            (1, 4, 70, 1),
            (3, 0, 4, 1),
        ] {
            assert_eq!(cost(Frame { kind, flags, length }), expected, "kind {kind}, flags {flags}");
        }
    }
}
