// SPDX-License-Identifier: Apache-2.0
//! Two connections as one: both directions polled on their own, each with an end of its own.
//!
//! Bytes are read into the worker's buffer and written at once; what the other side does not take is kept, and nothing
//! more is read until it is gone. So an idle connection holds no memory, and a slow one at most a buffer a direction.

use std::io::ErrorKind;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::time::Instant;

use super::account::Moved;
use crate::fault::Fault;
use crate::http::scratch;
use crate::http::watchdog::Watchdog;
use crate::io::Io;

/// A backend that has said everything and takes no more leaves the client so long to read it and to close: what the
/// client still sends would else be answered with a reset, which may overtake the backend's last words.
const LINGER: Duration = Duration::from_secs(2);

/// The relay of one connection.
pub(super) struct Relay<'a> {
    client: &'a mut Io,
    backend: &'a mut Io,
    moved: &'a mut Moved,
    /// From the client to the backend.
    up: Half,
    /// From the backend to the client.
    down: Half,
    idle: Duration,
    active_at: Instant,
    watchdog: Watchdog,
}

/// One direction.
#[derive(Default)]
struct Half {
    /// What was read and not taken yet, from `at`.
    pending: Vec<u8>,
    at: usize,
    moved: u64,
    /// Something was written since the last flush.
    dirty: bool,
    stage: Stage,
    /// The other side takes no more: what comes is read and dropped.
    discards: bool,
}

#[derive(Default, PartialEq, Eq, Clone, Copy)]
enum Stage {
    #[default]
    Open,
    /// The sender is done; the receiver is to be told.
    Ended,
    Closed,
}

/// Which side of a direction broke.
enum Broken {
    Sender,
    Receiver,
}

impl<'a> Relay<'a> {
    pub(super) fn new(client: &'a mut Io, backend: &'a mut Io, moved: &'a mut Moved, idle: Duration) -> Self {
        let (up, down) = (Half::default(), Half::default());
        Self { client, backend, moved, up, down, idle, active_at: Instant::now(), watchdog: Watchdog::default() }
    }

    /// Runs until both sides have ended, one breaks, or nothing moves for too long.
    pub(super) async fn run(mut self) -> Result<(), Fault> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let before = (self.up.moved, self.down.moved, self.up.at, self.down.at);
        let outcome = scratch::with(|scratch| self.poll_both(cx, scratch));
        *self.moved = Moved { received: self.up.moved, sent: self.down.moved };
        if outcome.is_ready() {
            return outcome;
        }
        if before != (self.up.moved, self.down.moved, self.up.at, self.down.at) {
            self.active_at = Instant::now();
        }
        let lingers = self.down.stage == Stage::Closed && self.up.discards;
        let patience = if lingers { self.idle.min(LINGER) } else { self.idle };
        self.watchdog.set(Some(self.active_at + patience));
        ready!(self.watchdog.poll(cx));
        Poll::Ready(if lingers { Ok(()) } else { Err(Fault::StreamIdle) })
    }

    fn poll_both(&mut self, cx: &mut Context<'_>, scratch: &mut [u8]) -> Poll<Result<(), Fault>> {
        match self.up.poll(cx, (&mut *self.client, &mut *self.backend), scratch) {
            Poll::Ready(Err(Broken::Sender)) => return Poll::Ready(Err(Fault::ClientGone)),
            Poll::Ready(Err(Broken::Receiver)) => {
                // It may have said something before, and that is still to be delivered.
                self.up.discard();
                cx.waker().wake_by_ref();
            }
            Poll::Ready(Ok(())) | Poll::Pending => {}
        }
        match self.down.poll(cx, (&mut *self.backend, &mut *self.client), scratch) {
            Poll::Ready(Err(Broken::Sender)) => return Poll::Ready(Err(Fault::UpstreamReset)),
            Poll::Ready(Err(Broken::Receiver)) => return Poll::Ready(Err(Fault::ClientGone)),
            Poll::Ready(Ok(())) | Poll::Pending => {}
        }
        if self.up.stage == Stage::Closed && self.down.stage == Stage::Closed {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }
}

impl Half {
    /// Moves what there is. Ready when this direction is closed.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        (from, to): (&mut Io, &mut Io),
        scratch: &mut [u8],
    ) -> Poll<Result<(), Broken>> {
        loop {
            ready!(self.poll_pending(cx, &mut *to))?;
            match self.stage {
                Stage::Closed => return Poll::Ready(Ok(())),
                Stage::Ended => {
                    ready!(self.poll_flush(cx, &mut *to))?;
                    if !self.discards {
                        // Whoever is gone by now has heard everything.
                        ready!(Pin::new(&mut *to).poll_shutdown(cx)).ok();
                    }
                    self.stage = Stage::Closed;
                }
                Stage::Open => match self.poll_read(cx, (&mut *from, &mut *to), scratch)? {
                    Poll::Ready(()) => {}
                    Poll::Pending => {
                        // Under TLS bytes may wait for a flush though the socket took them.
                        ready!(self.poll_flush(cx, &mut *to))?;
                        return Poll::Pending;
                    }
                },
            }
        }
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        (from, to): (&mut Io, &mut Io),
        scratch: &mut [u8],
    ) -> Result<Poll<()>, Broken> {
        let mut buffer = ReadBuf::new(scratch);
        match Pin::new(from).poll_read(cx, &mut buffer) {
            Poll::Pending => return Ok(Poll::Pending),
            // TLS whose client closed the socket without a word, as many do: an end all the same.
            Poll::Ready(Err(error)) if error.kind() == ErrorKind::UnexpectedEof => self.stage = Stage::Ended,
            Poll::Ready(Err(_)) => return Err(Broken::Sender),
            Poll::Ready(Ok(())) => {
                let read = buffer.filled();
                if read.is_empty() {
                    self.stage = Stage::Ended;
                } else if !self.discards {
                    self.moved += read.len() as u64;
                    self.dirty = true;
                    match to.write_now(cx, read) {
                        Poll::Ready(Ok(taken)) => self.keep(&read[taken..]),
                        Poll::Pending => self.keep(read),
                        Poll::Ready(Err(_)) => return Err(Broken::Receiver),
                    }
                }
            }
        }
        Ok(Poll::Ready(()))
    }

    fn keep(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.pending = bytes.to_vec();
        }
    }

    fn poll_pending(&mut self, cx: &mut Context<'_>, to: &mut Io) -> Poll<Result<(), Broken>> {
        while let Some(rest) = self.pending.get(self.at..).filter(|rest| !rest.is_empty()) {
            match ready!(to.write_now(cx, rest)) {
                Ok(0) | Err(_) => return Poll::Ready(Err(Broken::Receiver)),
                Ok(taken) => self.at += taken,
            }
        }
        if self.at > 0 {
            (self.pending, self.at) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>, to: &mut Io) -> Poll<Result<(), Broken>> {
        if self.dirty {
            ready!(Pin::new(to).poll_flush(cx)).map_err(|_| Broken::Receiver)?;
            self.dirty = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Nothing more goes to the receiver.
    fn discard(&mut self) {
        (self.pending, self.at) = (Vec::new(), 0);
        self.dirty = false;
        self.discards = true;
    }
}
