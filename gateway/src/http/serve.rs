// SPDX-License-Identifier: Apache-2.0
//! Which protocol a connection speaks: by ALPN under TLS, by its first bytes in cleartext (RFC 9113 §3.3).

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crate::http::conn::{Conduct, Conn};
use crate::http::h1::out::poll_read;
use crate::http::worker::Worker;
use crate::http::{h1, h2, scratch};
use crate::io::{Io, Peer};
use crate::table::Bind;

/// RFC 9113 §3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves a connection to its end. The handshake, if there is one, is done.
pub(crate) async fn serve(mut io: Box<Io>, peer: Peer, bind: Bind, worker: Arc<Worker>) -> Conduct {
    let limits = match worker.table.load().bind(&bind) {
        Some(bind) => bind.limits().clone(),
        None => return Conduct::Fine,
    };
    let by_alpn = peer.tls.as_ref().map(|tls| tls.h2);
    let conn = Conn::new(peer, bind, worker);
    match by_alpn {
        Some(true) => return Box::pin(h2::conn::serve(io, conn, limits)).await,
        Some(false) => {
            h1::conn::serve(io, conn, limits, Vec::new()).await;
            return Conduct::Fine;
        }
        None => {}
    }
    // Boxed: what only the beginning needs is no part of the task of an idle connection.
    let Some((sniffed, h2)) = Box::pin(begin(&mut io, &conn.worker, limits.idle)).await else { return Conduct::Fine };
    if h2 {
        io.unread(&sniffed);
        return Box::pin(h2::conn::serve(io, conn, limits)).await;
    }
    h1::conn::serve(io, conn, limits, sniffed).await;
    Conduct::Fine
}

/// The first bytes, and whether they are HTTP/2; `None` if none come in time.
async fn begin(io: &mut Io, worker: &Worker, idle: Duration) -> Option<(Vec<u8>, bool)> {
    tokio::select! {
        () = worker.farewell() => None,
        sniffed = tokio::time::timeout(idle, sniff(io)) => sniffed.ok().flatten(),
    }
}

/// Reads until the bytes differ from the preface or are the whole of it: `GET / HTTP/1.0` is shorter than the preface
/// and must not wait for more.
async fn sniff(io: &mut Io) -> Option<(Vec<u8>, bool)> {
    let mut seen = Vec::new();
    loop {
        let read = poll_fn(|cx| {
            scratch::with(|scratch| {
                let read = std::task::ready!(poll_read(io, cx, scratch))?;
                seen.extend_from_slice(&scratch[..read]);
                Poll::Ready(std::io::Result::Ok(read))
            })
        });
        if read.await.ok()? == 0 {
            return None;
        }
        let common = seen.len().min(PREFACE.len());
        if seen[..common] != PREFACE[..common] {
            return Some((seen, false));
        }
        if common == PREFACE.len() {
            return Some((seen, true));
        }
    }
}
