// SPDX-License-Identifier: Apache-2.0
//! Starting the mirrors of a request: each a task of its own that the request never waits for.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::balance::BackendState;
use crate::filter::{self, Copied};
use crate::head::{BodyLength, Head};
use crate::http::conn::Conn;
use crate::http::forward::{Order, Trace, forward};
use crate::http::mirror;
use crate::http::side::Down;
use crate::http::tee::{Copies, LAG, Tee};
use crate::http::visit;
use crate::http::worker::Worker;
use crate::tls::backends::Identity;

/// Mirrored requests in flight on one worker; more are not started, and counted.
const MAX_IN_FLIGHT: u32 = 1024;
/// A mirror ends after this, whatever its backend does.
const DEADLINE: Duration = Duration::from_mins(1);

/// Starts one mirror for each of `backends`, which are shown `identity` if they ask; the tee carries the body to them.
pub(crate) fn launch(
    conn: &Arc<Conn>,
    head: &Head,
    backends: &[Copied<Arc<BackendState>>],
    identity: Option<&Arc<Identity>>,
) -> Tee {
    let mut tee = Tee::default();
    for Copied { backend, shadow } in backends {
        let Some(ticket) = Ticket::take(&conn.worker) else {
            conn.worker.metrics.mirror_dropped();
            continue;
        };
        let body = (head.body != BodyLength::None).then(|| {
            let (sender, receiver) = mpsc::channel(LAG);
            tee.add(sender);
            receiver
        });
        let mut copy = head.clone();
        // The original's tunnel or 100 Continue is not the mirror's.
        copy.upgrade = false;
        copy.expects_continue = false;
        if *shadow {
            copy.set_authority(&filter::shadow(head.authority()));
        }
        let key = visit::key(backend, &copy, conn.peer.remote.ip()).number;
        let to = (Arc::clone(backend), identity.map(Arc::clone), key);
        tokio::spawn(run((ticket, Arc::clone(conn)), copy, to, mirror::Down::new(body)));
    }
    tee
}

/// A backend, what it is shown, and what the copy is balanced by.
type To = (Arc<BackendState>, Option<Arc<Identity>>, Option<u64>);

async fn run((ticket, conn): (Ticket, Arc<Conn>), head: Head, (backend, identity, key): To, down: mirror::Down) {
    let order = Order {
        worker: &ticket.0,
        conn: &conn,
        head: &head,
        backend: &backend,
        identity: identity.as_ref(),
        request_deadline: Some(Instant::now() + DEADLINE),
        attempt_deadline: None,
        retry: None,
        preferred: None,
        key,
        http2: false,
        idle: DEADLINE,
        pace: None,
        trailers: false,
        followed: None,
    };
    let mut down = Down::Mirror(down);
    let mut trace = Trace::default();
    if let Err(fault) = forward(&order, &mut down, &mut Copies::default(), &mut trace, |_, _| {}).await {
        tracing::debug!(backend = %backend.key(), reason = fault.reason(), "mirror failed");
    }
}

/// One of the mirrors that a worker may have in flight.
struct Ticket(Arc<Worker>);

impl Ticket {
    fn take(worker: &Arc<Worker>) -> Option<Self> {
        let ticket = Self(Arc::clone(worker));
        // Refused, the ticket is dropped and takes its count with it.
        (worker.mirrors.fetch_add(1, Ordering::Relaxed) < MAX_IN_FLIGHT).then_some(ticket)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.mirrors.fetch_sub(1, Ordering::Relaxed);
    }
}
