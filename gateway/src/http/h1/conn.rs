// SPDX-License-Identifier: Apache-2.0
//! One HTTP/1 connection of a client: heads out of it one after the other, each handled to its end before the next.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;
use torana_ir::Limits;

use crate::fault::{Fault, Reject};
use crate::head::Version;
use crate::http::conn::Conn;
use crate::http::drained::Drained;
use crate::http::h1::down::{Down, Next};
use crate::http::request;
use crate::http::side;
use crate::io::Io;

/// After an answer that ends the connection the client may still be sending; what it sends is read and dropped for so
/// long, so that the answer is not lost to a reset (RFC 9112 §9.6).
const LINGER: Duration = Duration::from_secs(2);
/// And so many bytes.
const LINGER_BYTES: usize = 256 << 10;

/// Serves a connection until either side ends it. `sniffed`: bytes that were read to tell the protocol.
pub(crate) async fn serve(io: Box<Io>, conn: Arc<Conn>, limits: Limits, sniffed: Vec<u8>) {
    let farewell = Drained::then(&conn.worker.drain, conn.worker.farewell());
    let mut reader = Reader { farewell, limits };
    let mut side = side::Down::H1(Box::new(Down::new(io, sniffed, conn.scheme(), conn.worker.drain.clone())));
    loop {
        let side::Down::H1(down) = &mut side else { return };
        match reader.next(down).await {
            Next::Request(head, dropped) => {
                conn.worker.metrics.fields_dropped(u64::from(dropped));
                Box::pin(request::handle(&conn, &mut side, head)).await;
            }
            Next::Asterisk => Box::pin(request::options_asterisk(&mut side)).await,
            Next::Bad(reject) => Box::pin(request::refuse(&conn, &mut side, reject, Version::Http11)).await,
            Next::Closed => return,
        }
        let side::Down::H1(down) = &mut side else { return };
        if !down.reset_for_next() {
            let _ = Box::pin(tokio::time::timeout(LINGER, down.linger(LINGER_BYTES))).await.is_ok();
            return;
        }
    }
}

/// Waits for heads, under the idle and the head deadline.
struct Reader {
    farewell: Drained,
    limits: Limits,
}

impl Reader {
    async fn next(&mut self, down: &mut Down) -> Next {
        let mut begun = false;
        down.watchdog.set(Some(Instant::now() + self.limits.idle));
        poll_fn(|cx| {
            if let Poll::Ready(next) = down.poll_head(cx, &self.limits) {
                return Poll::Ready(next);
            }
            if !begun && down.begun() {
                begun = true;
                down.watchdog.set(Some(Instant::now() + self.limits.head_deadline));
            }
            self.poll_quiet(cx, down, begun)
        })
        .await
    }

    fn poll_quiet(&mut self, cx: &mut Context<'_>, down: &mut Down, begun: bool) -> Poll<Next> {
        if !begun && self.farewell.poll(cx).is_ready() {
            return Poll::Ready(Next::Closed);
        }
        match down.watchdog.poll(cx) {
            // RFC 9110 §15.5.9; an idle connection is just closed.
            Poll::Ready(()) if begun => Poll::Ready(Next::Bad(Reject::with(408, Fault::HeadTimeout.reason()))),
            Poll::Ready(()) => Poll::Ready(Next::Closed),
            Poll::Pending => Poll::Pending,
        }
    }
}
