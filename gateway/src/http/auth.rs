// SPDX-License-Identifier: Apache-2.0
//! Asking an authorization server about a request. What is asked and what an answer means is the filter's to say
//! (`filter::ExternalAuth`); whatever goes wrong here, the request does not go on.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;
use torana_ir::Limits;

use crate::balance::BackendState;
use crate::fault::Fault;
use crate::filter::{Circumstances, ExternalAuth, Reply, Ruling};
use crate::head::{BodyLength, Head};
use crate::http::asking;
use crate::http::conn::Conn;
use crate::http::forward::{Order, Trace, forward};
use crate::http::pace::Pace;
use crate::http::piece::Piece;
use crate::http::replay::Replay;
use crate::http::scratch;
use crate::http::side::Down;
use crate::http::tee::Copies;
use crate::http::visit;
use crate::table::ListenerPlan;

/// An answer is waited for so long, whatever the request's own deadline.
const DEADLINE: Duration = Duration::from_secs(5);

/// Asks. `kept` takes the request's body if it is sent along; it is whole then.
pub(crate) async fn ask(
    conn: &Conn,
    down: &mut Down,
    (head, auth): (&Head, &ExternalAuth<Arc<BackendState>>),
    (listener, request_deadline): (&ListenerPlan, Option<Instant>),
    kept: &mut Option<Replay>,
) -> Result<Ruling, Fault> {
    let Some(backend) = &auth.backend else { return Err(Fault::InvalidConfig) };
    if auth.body() > 0 && head.body != BodyLength::None && kept.is_none() {
        *kept = Some(collect(down, head, auth.body(), &listener.limits).await?);
    }
    let body = kept.as_ref().filter(|_| auth.body() > 0).map(Replay::bytes).unwrap_or_default();
    if body.len() > auth.body() as usize {
        return Err(Fault::BodyTooLarge);
    }
    let about = Circumstances { client: conn.peer.remote, local: conn.peer.local, body };
    let question = auth.question(head, about);
    let deadline = Instant::now() + DEADLINE;
    let order = Order {
        worker: &conn.worker,
        conn,
        head: &question.head,
        backend,
        identity: listener.identity.as_ref(),
        request_deadline: Some(request_deadline.map_or(deadline, |request| request.min(deadline))),
        attempt_deadline: None,
        retry: None,
        preferred: None,
        key: visit::key(backend, &question.head, conn.peer.remote.ip()).number,
        http2: question.grpc,
        idle: DEADLINE,
        pace: None,
        trailers: question.grpc,
    };
    let mut asking = Down::Asking(Box::new(asking::Down::new(question.body)));
    let mut trace = Trace::default();
    if let Err(fault) = forward(&order, &mut asking, &mut Copies::default(), &mut trace, |_, _| {}).await {
        tracing::debug!(backend = %backend.key(), reason = fault.reason(), "not authorized: no answer");
        return Err(Fault::AuthFailed);
    }
    let Down::Asking(answered) = asking else { return Err(Fault::AuthFailed) };
    let asking::Down { head: Some(head), answer, trailers, .. } = *answered else { return Err(Fault::AuthFailed) };
    match auth.ruling(Reply { head, body: answer.into(), trailers }) {
        Ruling::Unclear(why) => {
            tracing::debug!(backend = %backend.key(), why, "not authorized: no clear answer");
            Err(Fault::AuthFailed)
        }
        ruling => Ok(ruling),
    }
}

/// Reads a request's body whole, if it is not larger than `most`.
async fn collect(down: &mut Down, head: &Head, most: u32, limits: &Limits) -> Result<Replay, Fault> {
    let mut kept = Replay::up_to(head.body, most as usize);
    let (mut pace, mut received) = (Pace::sending(limits), 0);
    poll_fn(|cx| {
        while kept.is_whole() {
            let taken = scratch::with(|scratch| match down.poll_piece(cx, scratch) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Err(broken)) => Poll::Ready(Err(broken.fault())),
                Poll::Ready(Ok(piece)) => {
                    received += kept.take(&piece);
                    Poll::Ready(Ok(!matches!(piece, Piece::Data(_))))
                }
            });
            match taken {
                Poll::Ready(Ok(false)) => {}
                Poll::Ready(Ok(true)) => break,
                Poll::Ready(Err(fault)) => return Poll::Ready(Err(fault)),
                Poll::Pending => {
                    down.watchdog().set(pace.poll(received, true, Instant::now));
                    return down.watchdog().poll(cx).map(|()| Err(Fault::BodyTimeout));
                }
            }
        }
        Poll::Ready(Ok(()))
    })
    .await?;
    if kept.is_whole() { Ok(kept) } else { Err(Fault::BodyTooLarge) }
}
