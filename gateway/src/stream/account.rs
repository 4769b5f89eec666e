// SPDX-License-Identifier: Apache-2.0
//! What is counted and logged of one stream. Handed over once, at its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::Instant;

use super::Course;
use crate::balance::Endpoint;
use crate::fault::Fault;
use crate::http::Worker;
use crate::observe::{AccessRecord, Connected, StreamMeters, StreamOutcome, Text};
use crate::upstream::Way;

/// Bytes that were passed on.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Moved {
    /// From the client.
    pub(super) received: u64,
    /// From the backend.
    pub(super) sent: u64,
}

/// One stream's account; as long as it is held, the stream counts as open.
pub(super) struct Account {
    started: Instant,
    protocol: &'static str,
    line: Option<Box<AccessRecord>>,
    /// Both ends have shown each other who they are.
    is_mutual: bool,
    /// It is counted as one that began.
    is_begun: bool,
    _open: Connected,
}

impl Account {
    /// Begins the account of a stream of `peer`.
    pub(super) fn begin(worker: &Worker, peer: SocketAddr, course: &Course) -> Self {
        let listener = &course.routed.listener;
        let protocol = listener.protocol().as_str();
        let is_logged = worker.log.is_on() && !listener.logging.is_off();
        let mut line = is_logged.then(|| Box::new(AccessRecord::new(SystemTime::now(), peer, protocol)));
        if let Some(judgement) = course.judgement() {
            worker.metrics.judged(judgement);
            if let Some(line) = &mut line {
                line.judged(judgement);
            }
        }
        Self {
            started: Instant::now(),
            protocol,
            line,
            is_mutual: false,
            is_begun: false,
            _open: worker.metrics.connected(Some(&listener.key), protocol),
        }
    }

    /// What the client said in its handshake.
    pub(super) fn handshake(&mut self, sni: Option<&str>, version: Option<&'static str>) {
        if let Some(line) = &mut self.line {
            line.set(Text::Sni, sni.unwrap_or_default().as_bytes());
            line.tls_version = version;
        }
    }

    /// Where it went, at the last of so many tries, and how that is spoken to.
    pub(super) fn tried(&mut self, (endpoint, way): (&Endpoint, Option<&Way>), transport: &'static str) {
        self.is_mutual = way.is_some_and(Way::is_mesh);
        if let Some(line) = &mut self.line {
            line.endpoint = Some(endpoint.address);
            line.attempts += 1;
            line.upstream_transport = Some(transport);
            line.upstream_peer = endpoint.peer.as_ref().filter(|_| self.is_mutual).map(Arc::clone);
        }
    }

    /// Counts that it began, once it is known where it goes and how.
    pub(super) fn begun(&mut self, worker: &Worker, course: &Course) {
        let is_first = !std::mem::replace(&mut self.is_begun, true);
        if let Some(plan) = course.routed.plan.as_ref().filter(|_| is_first) {
            let backend = course.onward.as_ref().ok().map(|backend| backend.key());
            plan.meters.opened(&worker.metrics, backend, self.is_mutual);
        }
    }

    /// Counts and logs.
    pub(super) fn close(mut self, worker: &Worker, course: &Course, moved: Moved, fault: Option<Fault>) {
        self.begun(worker, course);
        let metrics = &worker.metrics;
        let backend = course.onward.as_ref().ok();
        let outcome = StreamOutcome {
            backend: backend.map(|backend| backend.key()),
            protocol: self.protocol,
            fault,
            duration: self.started.elapsed(),
            received: moved.received,
            sent: moved.sent,
            mutual: self.is_mutual,
        };
        let nouns = if let Some(plan) = &course.routed.plan {
            plan.meters.record(metrics, &outcome);
            plan.meters.nouns()
        } else {
            let nouns = course.routed.listener.meters.nouns();
            StreamMeters::unrouted(metrics, nouns, &outcome);
            nouns
        };
        let Some(mut line) = self.line else { return };
        line.duration = outcome.duration;
        line.fault = fault;
        line.bytes_received = moved.received;
        line.bytes_sent = moved.sent;
        line.nouns = Some(nouns.clone());
        line.backend = backend.map(|backend| backend.config.clone());
        if course.watch.as_ref().is_none_or(|watch| watch.takes(&line)) {
            worker.log.write(line);
        }
    }
}
