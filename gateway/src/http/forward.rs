// SPDX-License-Identifier: Apache-2.0
//! Bringing a request to one endpoint of a backend, and to another one where nothing can have been processed yet.
//!
//! It decides when a try may be repeated; it builds no response.

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;
use tokio::time::Instant;
use torana_ir::Limits;

use crate::balance::{BackendState, Endpoint};
use crate::fault::Fault;
use crate::head::{BodyLength, Head, ResponseHead, Version};
use crate::http::exchange::{Deadlines, Exchange, Moved, Stop};
use crate::http::pace::Pace;
use crate::http::piece::Broken;
use crate::http::side::{Down, Up};
use crate::http::tee::Tee;
use crate::http::worker::Worker;
use crate::http::{h1, h2};
use crate::tls::backends::Identity;
use crate::upstream::{Lent, Target};

/// Tries of all kinds, so that a backend which refuses every stream ends.
const MAX_ATTEMPTS: u32 = 5;

/// Endpoints tried for one request when connects fail; nothing was sent to any of them.
const MAX_CONNECTS: usize = 3;

/// What a request is forwarded with.
pub(crate) struct Order<'a> {
    pub(crate) worker: &'a Worker,
    pub(crate) head: &'a Head,
    pub(crate) backend: &'a Arc<BackendState>,
    /// What the backend is shown if it asks for a certificate.
    pub(crate) identity: Option<&'a Arc<Identity>>,
    pub(crate) request_deadline: Option<Instant>,
    pub(crate) attempt_deadline: Option<Duration>,
    pub(crate) idle: Duration,
    /// How slow the client may be; `None` for one that is ourselves.
    pub(crate) pace: Option<&'a Limits>,
    /// Trailers are understood by the client (gRPC).
    pub(crate) trailers: bool,
}

impl Order<'_> {
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
    /// Tries, the first included.
    pub(crate) attempts: u32,
}

/// One try that failed: what the client would be told, and whether another may follow.
struct Failed {
    fault: Fault,
    again: Again,
}

#[derive(PartialEq, Eq)]
enum Again {
    No,
    /// On another endpoint: this one cannot be reached.
    Elsewhere,
    /// On a fresh connection to the same endpoint: the pooled one was stale.
    Fresh,
}

/// Forwards the request and brings the response to the client.
pub(crate) async fn forward(
    order: &Order<'_>,
    down: &mut Down,
    tee: &mut Tee,
    trace: &mut Trace,
    mut edit: impl FnMut(&mut ResponseHead) + Send,
) -> Result<(), Fault> {
    if let Some(invalid) = order.backend.refusal() {
        tracing::debug!(backend = %order.backend.key(), reason = %invalid.reason, message = %invalid.message, "no TLS");
        return Err(Fault::InvalidConfig);
    }
    let mut tried: SmallVec<[u64; 4]> = SmallVec::new();
    let mut same: Option<Arc<Endpoint>> = None;
    let mut last = Fault::NoEndpoints;
    while tried.len() < MAX_CONNECTS && trace.attempts < MAX_ATTEMPTS {
        let fresh = same.is_some();
        let chosen = same.take().or_else(|| order.backend.pick(fastrand::u64(..), &tried));
        let Some(endpoint) = chosen.filter(|endpoint| !tried.contains(&endpoint.id)) else { break };
        trace.attempts += 1;
        if trace.attempts > 1 {
            order.worker.metrics.upstream_retried(order.backend.key());
        }
        let failed = match attempt(order, (&endpoint, fresh), down, tee, trace, &mut edit).await {
            Ok(()) => return Ok(()),
            Err(failed) => failed,
        };
        last = failed.fault;
        match failed.again {
            Again::No => break,
            Again::Fresh => same = Some(endpoint),
            Again::Elsewhere => tried.push(endpoint.id),
        }
    }
    Err(last)
}

async fn attempt(
    order: &Order<'_>,
    (endpoint, fresh): (&Arc<Endpoint>, bool),
    down: &mut Down,
    tee: &mut Tee,
    trace: &mut Trace,
    edit: impl FnMut(&mut ResponseHead) + Send,
) -> Result<(), Failed> {
    let attempt_deadline = order.attempt_deadline.map(|limit| Instant::now() + limit);
    let nearest = [order.request_deadline, attempt_deadline].into_iter().flatten().min();
    let _in_flight = endpoint.begin();
    trace.endpoint = Some(Arc::clone(endpoint));
    let target = Target { backend: order.backend, endpoint, deadline: nearest, identity: order.identity, fresh };
    let lent = order.worker.pools.obtain(&target).await.map_err(|fault| unreachable_endpoint(fault, nearest, order))?;
    let mut reused = false;
    let mut up = match lent {
        Lent::H1(carrier) => {
            reused = carrier.reused;
            Up::H1(Box::new(h1::up::Up::begin(carrier, order.head)))
        }
        Lent::H2(session) => {
            let mut up = h2::up::Up::new(*session);
            up.begin(order.head, order.trailers).map_err(|broken| judge(broken.into(), order, false, down))?;
            Up::H2(Box::new(up))
        }
    };
    let deadlines = order.deadlines(attempt_deadline);
    let head_only = order.head.method() == "HEAD";
    let exchange = Exchange::new((down, &mut up), tee, &mut trace.moved, deadlines, head_only, edit);
    match exchange.run().await {
        Ok(()) => {
            if let Up::H1(up) = up
                && let Some(carrier) = up.into_reusable()
            {
                order.worker.pools.give_back(order.backend.config.idle, carrier);
            }
            Ok(())
        }
        Err(stop) => Err(judge(stop, order, reused, down)),
    }
}

/// Nothing was sent: another endpoint may be asked unless the deadline is what failed.
fn unreachable_endpoint(fault: Fault, nearest: Option<Instant>, order: &Order<'_>) -> Failed {
    let now = Instant::now();
    if nearest.is_some_and(|deadline| deadline <= now) {
        let request = order.request_deadline.is_some_and(|deadline| deadline <= now);
        let fault = if request { Fault::RequestTimeout } else { Fault::BackendTimeout };
        return Failed { fault, again: Again::No };
    }
    let again = if fault == Fault::Overload { Again::No } else { Again::Elsewhere };
    Failed { fault, again }
}

fn judge(stop: Stop, order: &Order<'_>, reused: bool, down: &Down) -> Failed {
    let untouched = !down.touched() && !down.started();
    let (fault, again) = match stop {
        Stop::Broken(broken) => {
            let again = match broken {
                // RFC 9113 §8.7: the backend says that it has not processed the stream.
                Broken::Refused if untouched => Again::Fresh,
                // RFC 9112 §9.3.1: an idle connection may be closed at any time. The request may have been processed,
                // so only what is idempotent is sent again (RFC 9110 §9.2.2).
                Broken::Upstream { before_response: true }
                    if reused && untouched && idempotent(order.head.method()) =>
                {
                    Again::Fresh
                }
                _ => Again::No,
            };
            (broken.fault(), again)
        }
        Stop::RequestTimeout => (Fault::RequestTimeout, Again::No),
        Stop::AttemptTimeout => (Fault::BackendTimeout, Again::No),
        Stop::Idle if down.received() => (Fault::StreamIdle, Again::No),
        Stop::Idle | Stop::SlowBody => (Fault::BodyTimeout, Again::No),
        Stop::SlowReader => (Fault::ReadTimeout, Again::No),
    };
    Failed { fault, again }
}

/// RFC 9110 §9.2.2.
fn idempotent(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE")
}
