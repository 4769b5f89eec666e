// SPDX-License-Identifier: Apache-2.0
//! Connecting to one endpoint of a backend, and to another one if that fails: nothing was sent to any of them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;
use tokio::time::Instant;
use torana_ir::Protocol;

use super::account::Account;
use crate::balance::{BackendState, Draw, InFlight, Key, Outcome};
use crate::connections::Slot;
use crate::fault::Fault;
use crate::http::Worker;
use crate::io::Io;
use crate::table::ListenerPlan;
use crate::upstream::{Caller, REFUSED, Target};

/// Endpoints tried for one connection.
const MAX_CONNECTS: usize = 3;

/// A connection to a backend, counted there as long as it is held.
pub(super) struct Dialled {
    pub(super) io: Box<Io>,
    _slot: Slot,
    _in_flight: InFlight,
}

/// Connects, each time within the connect deadline of the backend.
pub(super) async fn dial(
    worker: &Worker,
    (backend, listener): (&Arc<BackendState>, &ListenerPlan),
    (caller, client): (Option<&Arc<Caller>>, IpAddr),
    account: &mut Account,
) -> Result<Dialled, Fault> {
    // What comes in TLS and is passed on so is not wrapped once more.
    let is_bare = *listener.protocol() != Protocol::TlsPassthrough;
    let identity = listener.identity.as_ref();
    let key = Key::of_stream(&backend.config.balance, client);
    let mut tried: SmallVec<[u64; 4]> = SmallVec::new();
    let mut last = Fault::NoEndpoints;
    while tried.len() < MAX_CONNECTS {
        let draw = Draw { random: fastrand::u64(..), key, tried: &tried };
        let picked = backend.pick(&draw, || Instant::now().into_std());
        let Some(endpoint) = picked.filter(|endpoint| !tried.contains(&endpoint.id)) else { break };
        let in_flight = endpoint.begin();
        let way = worker.pools.way(&endpoint)?;
        // What brings its own TLS gets none of the backend's.
        let transport = if is_bare || way.is_mesh() { way.word(&endpoint, backend) } else { "plain" };
        account.tried((&endpoint, Some(&way)), transport);
        let target = Target {
            backend,
            endpoint: &endpoint,
            way: &way,
            deadline: None,
            patience: idle(backend, listener),
            caller,
            identity,
            sni: None,
            fresh: true,
            http2: false,
        };
        match worker.pools.dial(&target, is_bare).await {
            Ok((io, slot)) => {
                worker.report(backend, &endpoint, Outcome::Connected);
                return Ok(Dialled { io, _slot: slot, _in_flight: in_flight });
            }
            Err(fault) => last = fault,
        }
        worker.overflowed(backend, last);
        match last {
            // A proxy that will not lead there is well, and others of its kind will not either.
            Fault::Overload(_) | Fault::Tunnel(REFUSED) => break,
            Fault::Connect | Fault::UpstreamTls(_) | Fault::Tunnel(_) => {
                worker.report(backend, &endpoint, Outcome::Unanswered);
            }
            _ => {}
        }
        tried.push(endpoint.id);
    }
    Err(last)
}

/// How long nothing may move on one of its streams.
pub(super) fn idle(backend: &BackendState, listener: &ListenerPlan) -> Duration {
    backend.config.connections.stream_idle.unwrap_or(listener.limits.tcp_idle)
}
