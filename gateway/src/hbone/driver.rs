// SPDX-License-Identifier: Apache-2.0
//! The task of an outer connection: moves its frames, asks a peer that has streams whether it is still there, and ends with
//! the last who use it. It opens no streams.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::client::Connection;
use h2::{Ping, PingPong};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep};

use super::meter::Meter;
use super::state::{OpenOuter, State};

/// A peer with streams is asked so long after its last answer.
const PING_AFTER: Duration = Duration::from_secs(10);
/// For the answer.
const PONG_WITHIN: Duration = Duration::from_secs(20);
/// For the last frames of a connection that nobody uses any more.
const GOODBYE: Duration = Duration::from_secs(2);

/// An outer connection at work.
pub(super) struct Driver {
    connection: Connection<Meter, Bytes>,
    keepalive: Option<Keepalive>,
    state: Arc<State>,
    /// Ready when the pool has given it up and the last stream is over.
    unused: oneshot::Receiver<Infallible>,
    goodbye: Option<Pin<Box<Sleep>>>,
    _open: OpenOuter,
}

impl Driver {
    /// Of a connection whose peer was heard of just now.
    pub(super) fn new(
        mut connection: Connection<Meter, Bytes>,
        state: Arc<State>,
        unused: oneshot::Receiver<Infallible>,
        open: OpenOuter,
    ) -> Self {
        let keepalive = connection.ping_pong().map(Keepalive::new);
        Self { connection, keepalive, state, unused, goodbye: None, _open: open }
    }

    /// Runs until the connection has ended; what it carries then breaks.
    pub(super) async fn run(mut self) {
        std::future::poll_fn(|cx| self.poll(cx)).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Poll::Ready(ended) = Pin::new(&mut self.connection).poll(cx) {
            if let Err(error) = ended {
                tracing::debug!(%error, "outer connection broke");
            }
            return Poll::Ready(());
        }
        let busy = self.state.streams() > 0;
        if self.keepalive.as_mut().is_some_and(|keepalive| keepalive.poll(cx, busy).is_ready()) {
            tracing::debug!("outer connection is dead: no answer to a PING");
            return Poll::Ready(());
        }
        if self.goodbye.is_none() {
            ready!(Pin::new(&mut self.unused).poll(cx)).ok();
        }
        // The library says goodbye now; a peer that does not read is not waited for.
        let goodbye = self.goodbye.get_or_insert_with(|| Box::pin(tokio::time::sleep(GOODBYE)));
        goodbye.as_mut().poll(cx)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.state.leave();
    }
}

/// Whether the peer is there.
struct Keepalive {
    pings: PingPong,
    /// When it is asked next, or has to have answered.
    due: Instant,
    asked: bool,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Keepalive {
    fn new(pings: PingPong) -> Self {
        Self { pings, due: Instant::now() + PING_AFTER, asked: false, sleep: None }
    }

    /// Ready when an answer is overdue. Who is not `busy` is not asked, and costs no timer.
    fn poll(&mut self, cx: &mut Context<'_>, busy: bool) -> Poll<()> {
        loop {
            if self.asked && self.pings.poll_pong(cx).is_ready() {
                // An error is the connection's, which tells it itself.
                self.asked = false;
                self.due = Instant::now() + PING_AFTER;
            }
            if !self.asked && !busy {
                self.sleep = None;
                return Poll::Pending;
            }
            let due = self.due;
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
            if sleep.deadline() != due {
                sleep.as_mut().reset(due);
            }
            ready!(sleep.as_mut().poll(cx));
            if self.asked {
                return Poll::Ready(());
            }
            self.asked = self.pings.send_ping(Ping::opaque()).is_ok();
            self.due = Instant::now() + if self.asked { PONG_WITHIN } else { PING_AFTER };
        }
    }
}
