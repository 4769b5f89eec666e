// SPDX-License-Identifier: Apache-2.0
//! Asking an authorization server about a request. What is asked and what an answer means is the filter's to say
//! (`filter::ExternalAuth`), and so is what becomes of a request where nobody answers.

use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::time::Instant;
use torana_ir::{Limits, OnError};

use crate::balance::BackendState;
use crate::fault::Fault;
use crate::filter::{Circumstances, Edit, Question, Reply, Ruling};
use crate::guard::Authorizer;
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
use crate::http::wait::staying;
use crate::table::ListenerPlan;
use crate::trace::{self, Followed};

/// On whose behalf it is asked.
#[derive(Clone, Copy)]
pub(crate) struct Asker<'a> {
    pub(crate) conn: &'a Conn,
    /// The client.
    pub(crate) client: IpAddr,
    pub(crate) listener: &'a ListenerPlan,
    /// The request's own deadline.
    pub(crate) deadline: Option<Instant>,
    /// The request, if spans tell of it.
    pub(crate) followed: Option<&'a Followed>,
}

/// Whether a request may go on, and how.
pub(crate) enum Permission {
    /// It goes on, edited.
    Granted(Edit),
    /// This is the response.
    Refused(crate::answer::Answer),
}

/// Asks. `kept` takes what was read of the request's body if it is sent along.
pub(crate) async fn ask(
    asker: Asker<'_>,
    down: &mut Down,
    (head, auth): (&Head, &Authorizer),
    kept: &mut Option<Replay>,
) -> Result<Permission, Fault> {
    let Some(backend) = &auth.backend else { return Err(Fault::InvalidConfig) };
    if auth.body() > 0 && head.body != BodyLength::None && kept.is_none() {
        *kept = Some(collect(down, head, auth, &asker.listener.limits).await?);
    }
    let mut question = auth.question(head, circumstances(asker, auth, kept.as_ref())?);
    if asker.followed.is_none() && asker.listener.tracer.is_some() {
        trace::repeat(&head.fields, &mut question.head.fields);
    }
    // A client that leaves waits for nothing any more.
    let ruling = staying(down, pin!(async { Ok(answer(asker, (auth, backend), question).await) })).await?;
    match (ruling, auth.on_error()) {
        (Ruling::Allowed(edit), _) => Ok(Permission::Granted(edit)),
        (Ruling::Denied(answer), _) => Ok(Permission::Refused(answer)),
        (Ruling::Unclear(why), on_error) => {
            tracing::debug!(backend = %backend.key(), why, "no clear answer");
            match on_error {
                OnError::Allow => Ok(Permission::Granted(Edit::default())),
                OnError::Refuse(status) => Err(Fault::AuthFailed(status)),
            }
        }
    }
}

/// What the server is told besides the head.
fn circumstances<'a>(
    asker: Asker<'a>,
    auth: &Authorizer,
    kept: Option<&'a Replay>,
) -> Result<Circumstances<'a>, Fault> {
    let most = auth.body() as usize;
    let (mut body, mut is_part) = (&[][..], false);
    if let Some(kept) = kept.filter(|_| most > 0) {
        body = kept.bytes();
        is_part = !kept.is_ended() || body.len() > most;
        if body.len() > most {
            // It was kept for another server that takes more.
            body = if auth.takes_part() { &body[..most] } else { return Err(Fault::BodyTooLarge) };
        }
    }
    let Conn { peer, .. } = asker.conn;
    let principal = peer.tls.as_ref().and_then(|tls| tls.names.first()).map(AsRef::as_ref);
    let port = if asker.client == peer.remote.ip().to_canonical() { peer.remote.port() } else { 0 };
    Ok(Circumstances { client: SocketAddr::new(asker.client, port), local: peer.local, principal, body, is_part })
}

/// What the server says. Whatever goes wrong is no clear answer.
async fn answer(
    asker: Asker<'_>,
    (auth, backend): (&Authorizer, &Arc<BackendState>),
    mut question: Question,
) -> Ruling {
    let Asker { conn, listener, .. } = asker;
    let began = Instant::now();
    let deadline = began + auth.timeout();
    let span = asker.followed.map(|followed| (followed, followed.question(&mut question.head.fields)));
    let order = Order {
        worker: &conn.worker,
        conn,
        head: &question.head,
        backend,
        identity: listener.identity.as_ref(),
        request_deadline: Some(asker.deadline.map_or(deadline, |request| request.min(deadline))),
        attempt_deadline: None,
        retry: None,
        preferred: None,
        key: visit::key(backend, &question.head, conn.peer.remote.ip()).number,
        http2: question.grpc,
        idle: auth.timeout(),
        pace: None,
        trailers: question.grpc,
        followed: None,
    };
    let mut asking = Down::Asking(Box::new(asking::Down::new(question.body)));
    let mut trace = Trace::default();
    let result = forward(&order, &mut asking, &mut Copies::default(), &mut trace, |_, _| {}).await;
    if let Some((followed, span)) = span {
        let tried = trace.tried(&order, result.err(), true);
        let time = (began.into_std(), Instant::now().into_std());
        conn.worker.spans.tell(followed.tried(span, order.head, tried, time));
    }
    if let Err(fault) = result {
        return Ruling::Unclear(fault.reason());
    }
    let Down::Asking(answered) = asking else { return Ruling::Unclear("no answer") };
    let asking::Down { head: Some(head), answer, trailers, .. } = *answered else {
        return Ruling::Unclear("no answer");
    };
    auth.ruling(Reply { head, body: answer.into(), trailers })
}

/// Reads as much of a request's body as the server wants: all of it, if it is not larger, or its beginning.
async fn collect(down: &mut Down, head: &Head, auth: &Authorizer, limits: &Limits) -> Result<Replay, Fault> {
    let most = auth.body() as usize;
    let mut kept = if auth.takes_part() { Replay::beginning() } else { Replay::up_to(head.body, most) };
    let (mut pace, mut received) = (Pace::sending(limits), 0);
    let is_enough = |kept: &Replay| auth.takes_part() && kept.bytes().len() >= most;
    poll_fn(|cx| {
        while kept.is_whole() && !is_enough(&kept) {
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
    if kept.is_whole() { Ok(kept.settled()) } else { Err(Fault::BodyTooLarge) }
}
