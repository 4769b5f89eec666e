// SPDX-License-Identifier: Apache-2.0
//! One HTTP/2 connection of a client: streams out of it, each in a task of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::Request;
use pingora_core::protocols::Stream;
use pingora_core::protocols::http::v2::server::{default_h2_options, handshake};
use tokio::time::Instant;
use torana_ir::Limits;

use crate::gate;
use crate::http::conn::Conn;
use crate::http::drained::Drained;
use crate::http::h2::down;
use crate::http::request;
use crate::http::side::Down;
use crate::http::watchdog::Watchdog;
use crate::io::Io;

/// Receive window of a connection: one slow stream cannot hold the others back.
const CONNECTION_WINDOW: u32 = 1 << 20;
/// Receive window of a stream; also bounds what is queued for a slow reader.
const STREAM_WINDOW: u32 = 64 << 10;
/// Streams that the library resets for protocol errors before it closes the connection (CVE-2025-8671).
const MAX_ERROR_RESETS: usize = 32;

type H2 = h2::server::Connection<Stream, Bytes>;
type Accepted = (Request<RecvStream>, SendResponse<Bytes>);

/// What is running on a connection. Streams that the client has reset count until their task has ended, so resetting
/// buys no further work.
#[derive(Clone, Default)]
struct Running(Arc<AtomicU32>);

struct Ticket(Running);

impl Running {
    fn enter(&self, limit: u32) -> Option<Ticket> {
        if self.0.load(Ordering::Relaxed) >= limit {
            return None;
        }
        self.0.fetch_add(1, Ordering::Relaxed);
        Some(Ticket(self.clone()))
    }

    fn none(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Serves a connection until its client leaves, is idle too long, or the process drains.
pub(crate) async fn serve(io: Box<Io>, conn: Arc<Conn>, limits: Limits) {
    let mut options = default_h2_options();
    options
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(STREAM_WINDOW as usize)
        .max_local_error_reset_streams(Some(MAX_ERROR_RESETS));
    let shaking = tokio::time::timeout(limits.handshake_deadline, handshake(io, Some(options)));
    let Ok(Ok(h2)) = shaking.await else { return };
    Accepting::new(h2, limits).run(conn).await;
}

struct Accepting {
    h2: H2,
    running: Running,
    watchdog: Watchdog,
    limits: Arc<Limits>,
    closing: bool,
}

impl Accepting {
    fn new(h2: H2, limits: Limits) -> Self {
        Self {
            h2,
            running: Running::default(),
            watchdog: Watchdog::default(),
            limits: Arc::new(limits),
            closing: false,
        }
    }

    async fn run(mut self, conn: Arc<Conn>) {
        let mut drained = Drained::new(&conn.worker.drain);
        loop {
            let next = std::future::poll_fn(|cx| {
                if !self.closing && drained.poll(cx).is_ready() {
                    self.close();
                }
                self.poll_next(cx)
            });
            let Some(mut accepted) = next.await else { return };
            match self.running.enter(self.limits.streams) {
                Some(ticket) => spawn_stream(Arc::clone(&conn), Arc::clone(&self.limits), accepted, ticket),
                None => accepted.1.send_reset(Reason::REFUSED_STREAM),
            }
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Accepted>> {
        match self.h2.poll_accept(cx) {
            Poll::Ready(Some(Ok(accepted))) => return Poll::Ready(Some(accepted)),
            Poll::Ready(Some(Err(error))) => {
                tracing::debug!(%error, "http/2 connection failed");
                return Poll::Ready(None);
            }
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => {}
        }
        // A running stream moves the deadline on; frames alone (PING, SETTINGS) do not.
        if self.watchdog.unset() || !self.running.none() {
            self.watchdog.set(Some(Instant::now() + self.limits.idle));
        }
        if self.watchdog.poll(cx).is_ready() {
            if !self.running.none() {
                self.watchdog.set(Some(Instant::now() + self.limits.idle));
            } else if self.closing {
                return Poll::Ready(None);
            } else {
                self.close();
            }
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// GOAWAY; streams that run may end (RFC 9113 §6.8).
    fn close(&mut self) {
        self.closing = true;
        self.h2.graceful_shutdown();
        self.watchdog.set(Some(Instant::now() + self.limits.idle));
    }
}

fn spawn_stream(conn: Arc<Conn>, limits: Arc<Limits>, (request, respond): Accepted, ticket: Ticket) {
    tokio::spawn(async move {
        let _ticket = ticket;
        let (parts, receive) = request.into_parts();
        let ended = receive.is_end_stream();
        let mut down = Down::H2(Box::new(down::Down::new(receive, respond)));
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
            down.close();
        }
    });
}
