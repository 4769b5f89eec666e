// SPDX-License-Identifier: Apache-2.0
//! Bringing a request to one endpoint of a backend, and to another one where nothing can have been processed yet or the
//! rule asks for it.
//!
//! What became of a try is judged in `judge`, what follows from that in `tries`; it builds no response.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;
use torana_ir::{Limits, Retry};

use crate::balance::{BackendState, Endpoint, Outcome, Place, Use};
use crate::fault::Fault;
use crate::head::{BodyLength, Head, ResponseHead, Version};
use crate::http::conn::Conn;
use crate::http::exchange::{Deadlines, Exchange, Lasting, Moved, Stop, Stopped, Turn};
use crate::http::pace::Pace;
use crate::http::piece::Piece;
use crate::http::replay::Replay;
use crate::http::retry::Denied;
use crate::http::side::{Down, Up};
use crate::http::tee::{Copies, Tee};
use crate::http::tries::{Again, Failed, Tries};
use crate::http::wait::staying;
use crate::http::worker::Worker;
use crate::http::{h1, h2, judge, scratch};
use crate::tls::backends::Identity;
use crate::trace::{Followed, SpanId, Tried};
use crate::upstream::{Lent, Target, Way};

/// Bytes of an answer that is not passed on that are read to keep its connection.
const MOST_DISCARDED: usize = 64 << 10;

/// What a request is forwarded with.
pub(crate) struct Order<'a> {
    pub(crate) worker: &'a Worker,
    /// Whose request it is.
    pub(crate) conn: &'a Conn,
    pub(crate) head: &'a Head,
    pub(crate) backend: &'a Arc<BackendState>,
    /// What the backend is shown if it asks for a certificate.
    pub(crate) identity: Option<&'a Arc<Identity>>,
    pub(crate) request_deadline: Option<Instant>,
    pub(crate) attempt_deadline: Option<Duration>,
    /// When the rule would have it tried again.
    pub(crate) retry: Option<&'a Retry>,
    /// HTTP/2 is spoken whatever the backend is said to speak: the request is gRPC of our own.
    pub(crate) http2: bool,
    /// The endpoint that is tried first, if the client has a session.
    pub(crate) preferred: Option<Arc<Endpoint>>,
    /// What the request is balanced by.
    pub(crate) key: Option<u64>,
    pub(crate) idle: Duration,
    /// How slow the client may be; `None` for one that is ourselves.
    pub(crate) pace: Option<&'a Limits>,
    /// Trailers are understood by the client (gRPC).
    pub(crate) trailers: bool,
    /// The request, if spans tell of its tries.
    pub(crate) followed: Option<&'a Followed>,
}

impl Order<'_> {
    /// No try that the rule asks for begins later; asked for only where there is such a rule.
    fn patience(&self) -> Option<Instant> {
        self.retry?;
        let patience = Instant::now() + self.idle;
        Some(self.request_deadline.map_or(patience, |deadline| deadline.min(patience)))
    }

    fn deadlines(&self, attempt: Option<Instant>) -> Deadlines {
        let sends = self.head.body != BodyLength::None && !is_grpc(self.head);
        Deadlines {
            request: self.request_deadline,
            attempt,
            idle: self.idle,
            sending: self.pace.filter(|_| sends).map(Pace::sending),
            reading: self.pace.map(Pace::reading),
        }
    }
}

/// Its streams may be silent for as long as the client likes, also before they are answered.
fn is_grpc(head: &Head) -> bool {
    head.version == Version::Http2
        && head.fields.first("content-type").is_some_and(|kind| kind.starts_with(b"application/grpc"))
}

/// What came of it, for the log.
#[derive(Default)]
pub(crate) struct Trace {
    pub(crate) moved: Moved,
    pub(crate) endpoint: Option<Arc<Endpoint>>,
    /// How it is spoken to; `None`: it is not, for want of an identity.
    pub(crate) way: Option<Way>,
    /// Tries, the first included.
    pub(crate) attempts: u32,
    /// Why there was no other though the rule allows more.
    pub(crate) denied: Option<Denied>,
    /// What the last try was answered, if that was not passed on.
    declined: Option<u16>,
}

impl Trace {
    /// What is told of the last try, which ended so.
    pub(crate) fn tried(&self, order: &Order<'_>, fault: Option<Fault>, is_question: bool) -> Tried {
        Tried {
            backend: Arc::clone(&order.backend.config),
            endpoint: self.endpoint.as_ref().map(|endpoint| endpoint.address),
            number: self.attempts,
            http2: order.http2,
            status: self.declined.unwrap_or(self.moved.status),
            fault: fault.filter(|_| self.declined.is_none()),
            is_question,
        }
    }
}

/// A try of a request that spans tell of.
struct Told {
    span: SpanId,
    /// The head that says so, if it is not the request's own.
    head: Option<Box<Head>>,
    began: Instant,
}

impl Told {
    /// The try of this number begins.
    fn begin(order: &Order<'_>, number: u32) -> Option<Self> {
        let (followed, began) = (order.followed?, Instant::now());
        if number == 1 {
            return Some(Self { span: followed.first(), head: None, began });
        }
        let (span, head) = followed.again(order.head);
        Some(Self { span, head: Some(Box::new(head)), began })
    }

    /// It has ended.
    fn end(self, order: &Order<'_>, tried: Tried) {
        let Some(followed) = order.followed else { return };
        let time = (self.began.into_std(), Instant::now().into_std());
        order.worker.spans.tell(followed.tried(self.span, order.head, tried, time));
    }
}

/// Forwards the request and brings the response to the client, after `edit` has seen its head and where it comes from.
pub(crate) async fn forward(
    order: &Order<'_>,
    down: &mut Down,
    copies: &mut Copies,
    trace: &mut Trace,
    mut edit: impl FnMut(&mut ResponseHead, &Endpoint) + Send,
) -> Result<(), Fault> {
    if let Some(invalid) = order.backend.refusal() {
        tracing::debug!(backend = %order.backend.key(), reason = %invalid.reason, message = %invalid.message, "no TLS");
        return Err(Fault::InvalidConfig);
    }
    let mut tries = Tries::new(order.backend, order.retry, order.patience());
    tries.keep(order.head.body, copies.kept.take());
    tries.prefer(order.preferred.clone(), order.key);
    let mut result = Err(Fault::NoEndpoints);
    while let Some((endpoint, fresh)) = tries.endpoint() {
        trace.attempts += 1;
        if trace.attempts > 1 {
            order.worker.metrics.upstream_retried(order.backend.key());
        }
        trace.declined = None;
        let edit = |head: &mut ResponseHead| edit(head, &endpoint);
        let told = Told::begin(order, trace.attempts);
        let head = told.as_ref().and_then(|told| told.head.as_deref()).unwrap_or(order.head);
        let tried = attempt(order, &mut tries, (&endpoint, fresh, head), (down, &mut copies.tee, trace), edit).await;
        if let Some(told) = told {
            told.end(order, trace.tried(order, tried.as_ref().err().map(|failed| failed.fault), false));
        }
        let Err(failed) = tried else {
            result = Ok(());
            break;
        };
        result = Err(failed.fault);
        order.worker.overflowed(order.backend, failed.fault);
        if !tries.follow(&failed, &endpoint) {
            break;
        }
        tries.pause(down).await?;
    }
    trace.denied = tries.retries.denied();
    if trace.denied == Some(Denied::Budget) {
        order.worker.metrics.upstream_overflowed(order.backend.key(), "retries");
    }
    result
}

async fn attempt(
    order: &Order<'_>,
    tries: &mut Tries<'_>,
    (endpoint, fresh, head): (&Arc<Endpoint>, bool, &Head),
    (down, tee, trace): (&mut Down, &mut Tee, &mut Trace),
    mut edit: impl FnMut(&mut ResponseHead) + Send,
) -> Result<(), Failed> {
    let report = |outcome: Option<Outcome>| {
        if let Some(outcome) = outcome {
            order.worker.report(order.backend, endpoint, outcome);
        }
    };
    let attempt_deadline = order.attempt_deadline.map(|limit| Instant::now() + limit);
    let nearest = [order.request_deadline, attempt_deadline].into_iter().flatten().min();
    let _in_flight = endpoint.begin();
    trace.endpoint = Some(Arc::clone(endpoint));
    // Without an identity other workloads are not reached either.
    trace.way = None;
    let way = order.worker.pools.way(endpoint).map_err(|fault| Failed { fault, again: Again::No })?;
    let way = &*trace.way.insert(way);
    let target = Target {
        backend: order.backend,
        endpoint,
        way,
        deadline: nearest,
        patience: order.idle,
        caller: order.backend.config.connections.proxy_protocol.map(|_| order.conn.caller()),
        identity: order.identity,
        sni: order.backend.tls().and_then(|tls| tls.sni(order.head.host())),
        fresh,
        http2: order.http2,
    };
    let obtaining = pin!(order.worker.pools.obtain(&target));
    let lent = staying(down, obtaining).await.map_err(|fault| {
        report(judge::unobtained(fault));
        judge::unreachable_endpoint(fault, nearest, order)
    })?;
    // Who still waits for a connection is pending, and no request in flight.
    let (lent, place) = admitted(order, lent)?;
    let mut reused = false;
    let mut up = match lent {
        Lent::H1(carrier) => {
            reused = carrier.reused;
            Up::H1(Box::new(h1::up::Up::begin(carrier, head)))
        }
        Lent::H2(session, lease) => {
            let mut up = h2::up::Up::new(*session, lease);
            let begun = up.begin(head, order.trailers);
            begun.map_err(|broken| {
                report(judge::ended(broken.into(), false, Turn::Backend));
                judge::judge(broken.into(), order, false, untouched(down, &tries.replay))
            })?;
            Up::H2(Box::new(up))
        }
    };
    let deadlines = order.deadlines(attempt_deadline);
    let head_only = order.head.method() == "HEAD";
    let lasting = Lasting { tee, replay: &mut tries.replay, retries: &mut tries.retries, moved: &mut trace.moved };
    let edit = |head: &mut ResponseHead| {
        report(Some(Outcome::Answered(head.status)));
        edit(head);
    };
    let ended = Exchange::new((down, &mut up), lasting, deadlines, head_only, edit).run().await;
    // Before the connection goes to who waits for it, and for this place.
    drop(place);
    let is_declined = matches!(ended, Err(Stopped { stop: Stop::Declined(_), .. }));
    if let Err(Stopped { stop: Stop::Declined(status), .. }) = ended {
        trace.declined = Some(status);
        discard(&mut up).await;
    }
    if (ended.is_ok() || is_declined)
        && let Up::H1(up) = up
        && let Some(carrier) = up.into_reusable()
    {
        order.worker.pools.give_back(&order.backend.config, carrier);
    }
    ended.map_err(|Stopped { stop, turn }| {
        report(judge::ended(stop, reused, turn));
        match stop {
            Stop::Idle if turn != Turn::Sender => Failed { fault: Fault::StreamIdle, again: Again::No },
            stop => judge::judge(stop, order, reused, untouched(down, &tries.replay)),
        }
    })
}

/// A place among the requests in flight for the one that goes out on `lent`, which goes back where there is none.
fn admitted(order: &Order<'_>, lent: Lent) -> Result<(Lent, Option<Place>), Failed> {
    match order.backend.place(Use::Requests) {
        Ok(place) => Ok((lent, place)),
        Err(of) => {
            if let Lent::H1(carrier) = lent {
                order.worker.pools.give_back(&order.backend.config, carrier);
            }
            Err(Failed { fault: Fault::Overload(of), again: Again::No })
        }
    }
}

/// Nothing has gone to the client, and all that was taken from it can be sent again.
fn untouched(down: &Down, replay: &Replay) -> bool {
    !down.started() && (!down.touched() || replay.is_whole())
}

/// Takes what has come of an answer that is not passed on, so that its connection can be used again. Waits for nothing.
async fn discard(up: &mut Up) {
    poll_fn(|cx| {
        let mut left = MOST_DISCARDED;
        scratch::with(|scratch| {
            while left > 0 {
                match up.poll_piece(cx, scratch) {
                    Poll::Ready(Ok(Piece::Data(data))) => left = left.saturating_sub(data.as_slice().len()),
                    _ => break,
                }
            }
        });
        Poll::Ready(())
    })
    .await;
}
