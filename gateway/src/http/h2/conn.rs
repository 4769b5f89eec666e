// SPDX-License-Identifier: Apache-2.0
//! One HTTP/2 connection of a client: streams out of it, each in a task of its own.

use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::Request;
use pingora_core::protocols::Stream;
use pingora_core::protocols::http::v2::server::{default_h2_options, handshake};
use tokio::time::Instant;
use torana_ir::Limits;

use crate::frames::forgiven;
use crate::gate;
use crate::http::conn::{Conduct, Conn};
use crate::http::drained::Drained;
use crate::http::h2::down;
use crate::http::h2::ledger::{Ledger, Ticket};
use crate::http::h2::reader::Reader;
use crate::http::request;
use crate::http::side::Down;
use crate::http::watchdog::Watchdog;
use crate::io::Io;

/// Receive window of a stream; also bounds what is queued for a slow reader.
const STREAM_WINDOW: u32 = 64 << 10;
/// The largest window that there is (RFC 9113 §6.9.1).
const LARGEST_WINDOW: u32 = (1 << 31) - 1;
/// Streams that the library resets for protocol errors before it closes the connection (CVE-2025-8671).
const MAX_ERROR_RESETS: usize = 32;
/// Requests that a client may take back, unanswered and at once (CVE-2023-44487). With those that are under way when it
/// is noticed, fewer than a hundred reach a backend.
const MOST_TAKEN_BACK: u32 = 95;
/// So many of them are forgiven a second.
const FORGIVEN_A_SECOND: u128 = 10;
/// A client that has asked for longer than this has waited, and may give up as often as it likes.
const PATIENT: Duration = Duration::from_secs(1);
/// For the last frame of a connection that is being ended to leave.
const GOODBYE: Duration = Duration::from_secs(2);

type H2 = h2::server::Connection<Stream, Bytes>;
type Accepted = (Request<RecvStream>, SendResponse<Bytes>);

/// Serves a connection until its client leaves, is idle too long, or the process drains.
pub(crate) async fn serve(io: Box<Io>, conn: Arc<Conn>, limits: Limits) -> Conduct {
    let mut options = default_h2_options();
    options
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .initial_window_size(STREAM_WINDOW)
        // What all streams may hold together: slow ones cannot hold the others back.
        .initial_connection_window_size(limits.streams.saturating_mul(STREAM_WINDOW).min(LARGEST_WINDOW))
        .max_send_buffer_size(STREAM_WINDOW as usize)
        .max_local_error_reset_streams(Some(MAX_ERROR_RESETS));
    let ledger = Arc::<Ledger>::default();
    let reader = Box::new(Reader::new(*io, Arc::clone(&ledger)));
    let shaking = tokio::time::timeout(limits.handshake_deadline, handshake(reader, Some(options)));
    let Ok(Ok(h2)) = shaking.await else { return Conduct::Fine };
    let Some(end) = Accepting::new(h2, ledger, limits).run(&conn).await else { return Conduct::Fine };
    conn.worker.metrics.connection_aborted(end.reason());
    tracing::warn!(client = %conn.peer.remote, reason = end.reason(), "connection ended for what it sent");
    if end == End::SlowHead { Conduct::Fine } else { Conduct::Abusive }
}

/// Why a connection was ended before its client was done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Frames that ask for nothing.
    Frames,
    /// Requests that were taken back.
    Resets,
    /// What the library counts: field blocks too long or in too many frames, empty DATA, errors that reset a stream.
    Library,
    /// The head of a request did not arrive in time.
    SlowHead,
}

impl End {
    /// The word of logs and of `torana_connections_aborted_total{reason}`.
    fn reason(self) -> &'static str {
        match self {
            Self::Frames => "http2_frames",
            Self::Resets => "http2_resets",
            Self::Library => "http2_limits",
            Self::SlowHead => "http2_slow_head",
        }
    }
}

struct Accepting {
    h2: H2,
    ledger: Arc<Ledger>,
    taken_back: TakenBack,
    watchdog: Watchdog,
    limits: Arc<Limits>,
    /// Unless a stream runs by then, the connection is closed.
    until: Instant,
    /// When the head of a request was first seen unfinished.
    head_since: Option<Instant>,
    closing: bool,
    end: Option<End>,
}

impl Accepting {
    fn new(h2: H2, ledger: Arc<Ledger>, limits: Limits) -> Self {
        let now = Instant::now();
        Self {
            h2,
            ledger,
            taken_back: TakenBack { level: 0, since: now },
            watchdog: Watchdog::default(),
            until: now + limits.idle,
            limits: Arc::new(limits),
            head_since: None,
            closing: false,
            end: None,
        }
    }

    /// Gives the reason if the connection was ended for what its client sent.
    async fn run(mut self, conn: &Arc<Conn>) -> Option<End> {
        let mut drained = Drained::new(&conn.worker.drain);
        loop {
            let next = std::future::poll_fn(|cx| {
                if !self.closing && drained.poll(cx).is_ready() {
                    self.close();
                }
                self.poll_next(cx)
            });
            let Some(mut accepted) = next.await else { return self.end };
            match self.ledger.enter(self.limits.streams) {
                Some(ticket) => spawn_stream(Arc::clone(conn), Arc::clone(&self.limits), accepted, ticket),
                None => accepted.1.send_reset(Reason::REFUSED_STREAM),
            }
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Accepted>> {
        match self.h2.poll_accept(cx) {
            Poll::Ready(Some(Ok(accepted))) => return Poll::Ready(Some(accepted)),
            Poll::Ready(Some(Err(error))) => {
                tracing::debug!(%error, "http/2 connection failed");
                if error.is_library() && error.reason() == Some(Reason::ENHANCE_YOUR_CALM) {
                    self.end.get_or_insert(End::Library);
                }
                return Poll::Ready(None);
            }
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => {}
        }
        match self.judge() {
            Some(end) => {
                self.abort(end);
                self.poll_next(cx)
            }
            None => self.poll_quiet(cx),
        }
    }

    /// What the client has done too much of.
    fn judge(&mut self) -> Option<End> {
        if self.end.is_some() {
            return None;
        }
        if self.ledger.flooded() {
            return Some(End::Frames);
        }
        let more = self.ledger.take_taken_back();
        (more > 0 && self.taken_back.add(more, Instant::now())).then_some(End::Resets)
    }

    /// Nothing came: is the connection idle, or the head of a request late?
    fn poll_quiet(&mut self, cx: &mut Context<'_>) -> Poll<Option<Accepted>> {
        let now = Instant::now();
        // A running stream moves the deadline on; frames alone (PING, SETTINGS) do not.
        if self.end.is_none() && self.ledger.running() > 0 {
            self.until = now + self.limits.idle;
        }
        let head = self.head_deadline(now);
        self.watchdog.set(Some(head.map_or(self.until, |head| head.min(self.until))));
        ready!(self.watchdog.poll(cx));
        if self.end.is_some() {
            return Poll::Ready(None);
        }
        if head.is_some_and(|head| head <= Instant::now()) {
            self.abort(End::SlowHead);
        } else if self.closing {
            return Poll::Ready(None);
        } else {
            self.close();
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// The head of a request that has begun to arrive has to end by then.
    fn head_deadline(&mut self, now: Instant) -> Option<Instant> {
        if self.end.is_some() || !self.ledger.amid_head() {
            self.head_since = None;
            return None;
        }
        Some(*self.head_since.get_or_insert(now) + self.limits.head_deadline)
    }

    /// GOAWAY; streams that run may end (RFC 9113 §6.8).
    fn close(&mut self) {
        self.closing = true;
        self.h2.graceful_shutdown();
        self.until = Instant::now() + self.limits.idle;
    }

    /// GOAWAY and the end of every stream (RFC 9113 §10.5).
    fn abort(&mut self, end: End) {
        self.end = Some(end);
        self.h2.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
        self.until = Instant::now() + GOODBYE;
    }
}

/// Requests that were taken back lately.
struct TakenBack {
    level: u32,
    since: Instant,
}

impl TakenBack {
    /// Whether `more` are too many.
    fn add(&mut self, more: u32, now: Instant) -> bool {
        let forgiven = forgiven(&mut self.since, now, FORGIVEN_A_SECOND);
        self.level = self.level.saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX)).saturating_add(more);
        self.level >= MOST_TAKEN_BACK
    }
}

fn spawn_stream(conn: Arc<Conn>, limits: Arc<Limits>, (request, respond): Accepted, ticket: Ticket) {
    let began = Instant::now();
    tokio::spawn(async move {
        let (parts, receive) = request.into_parts();
        let ended = receive.is_end_stream();
        let mut down = down::Down::new(receive, respond, ended, ticket);
        if down.poll_gone(&mut Context::from_waker(Waker::noop())).is_ready() {
            // Taken back in the same breath: no backend hears of it.
            return down.close(|| true);
        }
        let mut down = Down::H2(Box::new(down));
        match gate::h2(&parts, ended, conn.scheme(), &limits) {
            Ok(passed) if passed.asterisk => request::options_asterisk(&mut down).await,
            Ok(passed) => {
                conn.worker.metrics.fields_dropped(u64::from(passed.dropped_names));
                if let Down::H2(down) = &mut down {
                    down.begin(&passed.head);
                }
                request::handle(&conn, &mut down, passed.head).await;
            }
            Err(reject) => request::refuse(&conn, &mut down, reject, crate::head::Version::Http2).await,
        }
        if let Down::H2(down) = &mut down {
            down.close(|| began.elapsed() < PATIENT);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_may_take_back_what_it_asked_for_but_not_again_and_again() {
        let start = Instant::now();
        let after = |millis| start + Duration::from_millis(millis);
        let mut taken = TakenBack { level: 0, since: start };
        assert!(!taken.add(MOST_TAKEN_BACK - 1, start));
        assert!(!taken.add(10, after(1_000)));
        assert!(!taken.add(10, after(2_000)));
        assert!(taken.add(1, after(2_050)));
        // Half a forgiveness is kept, not lost.
        let mut taken = TakenBack { level: MOST_TAKEN_BACK - 1, since: start };
        assert!((1..=100).all(|step| step % 2 == 1 || !taken.add(u32::from(step % 2 == 0), after(step * 100))));
    }
}
