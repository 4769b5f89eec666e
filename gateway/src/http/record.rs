// SPDX-License-Identifier: Apache-2.0
//! What is counted and logged of one request. Filled along the way, handed over once at the end.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::access::{Facts, Judgement, Label};
use crate::balance::BackendState;
use crate::fault::{Fault, Manner, Reject};
use crate::head::{Head, Known, Version};
use crate::http::conn::Conn;
use crate::http::forward::Trace;
use crate::http::retry::Denied;
use crate::observe::{AccessRecord, Meters, MethodLabel, Outcome, Text, Watch};
use crate::table::{ListenerPlan, Plan, Routed};
use crate::trace::{Begun, Followed, Served};
use crate::upstream::Way;

/// One request's account.
pub(crate) struct Record {
    started: Instant,
    version: Version,
    /// What the metrics call the method that the client used.
    method: MethodLabel,
    manner: Manner,
    meters: Option<Arc<Meters>>,
    backend: Option<Arc<BackendState>>,
    trace: Trace,
    /// When the request was handed to the backend: all before is our own time …
    forwarded: Option<Instant>,
    /// … but what its rule would have it wait.
    delayed: Duration,
    status: u16,
    fault: Option<Fault>,
    line: Option<Box<AccessRecord>>,
    followed: Option<Box<Followed>>,
    /// What says whether the line is written; `None`: it is.
    watch: Option<Box<Watch>>,
}

impl Record {
    /// Begins the account of a request of `client` that passed the gate, came at `started` and is routed so.
    pub(crate) fn begin(conn: &Conn, head: &Head, (client, started): (IpAddr, Instant), routed: &Routed) -> Self {
        let logging = routed.listener().map(|listener| &listener.logging);
        let is_logged = conn.worker.log.is_on() && logging.map_or_else(|| is_logged(conn), |it| !it.is_off());
        let line = is_logged.then(|| Box::new(line(conn, head, client)));
        let facts = || Facts { head: Some(head), client, ..conn.facts() };
        let watch = logging.filter(|_| is_logged).and_then(|logging| logging.watch(&facts()));
        Self { started, watch, ..Self::new(head.version, MethodLabel::of(head.method()), line) }
    }

    /// Begins the account of one that did not.
    pub(crate) fn refused(conn: &Conn, version: Version, reject: Reject) -> Self {
        conn.worker.metrics.rejected(reject.reason);
        let new = || AccessRecord::new(SystemTime::now(), conn.peer.remote, version.as_str());
        let is_logged = conn.worker.log.is_on() && is_logged(conn);
        let mut record = Self::new(version, MethodLabel::of(""), is_logged.then(|| Box::new(new())));
        record.fault = Some(Fault::Rejected(reject));
        record
    }

    fn new(version: Version, method: MethodLabel, line: Option<Box<AccessRecord>>) -> Self {
        Self {
            started: Instant::now(),
            version,
            method,
            manner: Manner::default(),
            meters: None,
            backend: None,
            trace: Trace::default(),
            forwarded: None,
            delayed: Duration::ZERO,
            status: 0,
            fault: None,
            line,
            followed: None,
            watch: None,
        }
    }

    /// When the request's head was complete.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// How failures are told.
    pub(crate) fn manner(&self) -> Manner {
        self.manner
    }

    pub(crate) fn routed(&mut self, plan: &Plan, manner: Manner) {
        self.manner = manner;
        self.meters = Some(Arc::clone(&plan.meters));
    }

    pub(crate) fn unrouted(&mut self, listener: Option<&ListenerPlan>, grpc: bool) {
        self.manner = Manner { grpc, istio: false };
        self.meters = listener.map(|listener| Arc::clone(&listener.meters));
    }

    /// It belongs to a trace.
    pub(crate) fn begun(&mut self, begun: Begun) {
        if let Some(line) = &mut self.line {
            line.set(Text::TraceId, &begun.trace.text());
        }
        self.followed = begun.followed;
    }

    /// If spans tell of it.
    pub(crate) fn followed(&self) -> Option<&Followed> {
        self.followed.as_deref()
    }

    /// A question of ACME is answered.
    pub(crate) fn challenge(&mut self, listener: Option<&ListenerPlan>) {
        self.unrouted(listener, false);
        if let Some(line) = &mut self.line {
            line.answer = Some("acme_challenge");
        }
    }

    /// The request has its id.
    pub(crate) fn stamped(&mut self, head: &Head) {
        if let Some(line) = &mut self.line {
            line.set(Text::RequestId, head.fields.first_known(Known::RequestId).unwrap_or_default());
        }
        if let Some(followed) = &mut self.followed {
            followed.stamped(&head.fields);
        }
    }

    /// Somebody is asked, because of this rule of a policy.
    pub(crate) fn asked(&mut self, label: &Label) {
        if let Some(line) = &mut self.line {
            line.set(Text::Policy, label.as_bytes());
        }
    }

    /// Policies have spoken.
    pub(crate) fn judged(&mut self, judgement: &Judgement) {
        if let Some(line) = &mut self.line {
            line.judged(judgement);
        }
    }

    pub(crate) fn backend(&mut self, backend: &Arc<BackendState>) {
        self.backend = Some(Arc::clone(backend));
    }

    /// The rule held the request back for so long.
    pub(crate) fn delayed(&mut self, time: Duration) {
        self.delayed += time;
    }

    pub(crate) fn forwarded(&mut self) {
        self.forwarded = Some(Instant::now());
    }

    pub(crate) fn traced(&mut self, trace: Trace) {
        self.status = trace.moved.status;
        self.trace = trace;
    }

    /// Torana itself answered.
    pub(crate) fn answered(&mut self, status: u16) {
        self.status = status;
    }

    /// Keeps the first fault: what follows from it is not its cause.
    pub(crate) fn fault(&mut self, fault: Fault) {
        self.fault.get_or_insert(fault);
        if fault == Fault::ClientGone && self.status == 0 {
            self.status = fault.status();
        }
    }

    /// Counts and logs, and tells of it who follows its trace.
    pub(crate) fn finish(mut self, conn: &Conn) {
        let now = Instant::now();
        if let Some(followed) = self.followed.take() {
            conn.worker.spans.tell(followed.served(self.served(), now.into_std()));
        }
        let duration = now - self.started;
        let overhead = self.overhead(now);
        let grpc_status = self.trace.moved.grpc_status.filter(|_| self.manner.grpc);
        let outcome = Outcome {
            backend: self.backend.as_ref().map(|backend| backend.key()),
            method: self.method,
            version: self.version,
            status: self.status,
            fault: self.fault,
            grpc: self.manner.grpc,
            grpc_status,
            duration,
            overhead,
            received: self.trace.moved.received,
            sent: self.trace.moved.sent,
            mutual: self.trace.way.as_ref().is_some_and(Way::is_mesh),
        };
        let metrics = &conn.worker.metrics;
        self.meters.as_deref().unwrap_or(metrics.unrouted()).record(metrics, &outcome);
        let Some(mut line) = self.line else { return };
        line.duration = duration;
        line.overhead = overhead;
        line.status = self.status;
        line.grpc_status = grpc_status;
        line.fault = self.fault;
        line.bytes_received = self.trace.moved.received;
        line.bytes_sent = self.trace.moved.sent;
        line.nouns = self.meters.as_deref().map(|meters| Arc::clone(meters.nouns()));
        line.backend = self.backend.as_ref().map(|backend| Arc::clone(&backend.config));
        line.endpoint = self.trace.endpoint.as_ref().map(|endpoint| endpoint.address);
        if let (Some(backend), Some(endpoint)) = (&self.backend, &self.trace.endpoint) {
            line.upstream_transport = self.trace.way.as_ref().map(|way| way.word(endpoint, backend));
            let is_mesh = self.trace.way.as_ref().is_some_and(Way::is_mesh);
            line.upstream_peer = endpoint.peer.as_ref().filter(|_| is_mesh).map(Arc::clone);
        }
        line.attempts = self.trace.attempts;
        line.not_retried = self.trace.denied.map(Denied::as_str);
        if self.watch.is_none_or(|watch| watch.takes(&line)) {
            conn.worker.log.write(line);
        }
    }

    /// What became of it, for its span.
    fn served(&self) -> Served {
        Served {
            nouns: self.meters.as_deref().map(|meters| Arc::clone(meters.nouns())),
            backend: self.backend.as_ref().map(|backend| Arc::clone(&backend.config)),
            status: self.status,
            grpc_status: self.trace.moved.grpc_status.filter(|_| self.manner.grpc),
            fault: self.fault,
            received: self.trace.moved.received,
            sent: self.trace.moved.sent,
        }
    }

    /// Until the request was handed to the backend; all of it if it never was.
    fn overhead(&self, now: Instant) -> Duration {
        (self.forwarded.unwrap_or(now) - self.started).saturating_sub(self.delayed)
    }
}

/// Whether what belongs to no listener of the socket has a line.
fn is_logged(conn: &Conn) -> bool {
    conn.worker.table.load().bind(&conn.bind).is_none_or(|bind| bind.is_logged())
}

/// What is known before the request is routed or edited.
fn line(conn: &Conn, head: &Head, client: IpAddr) -> AccessRecord {
    let mut line = AccessRecord::new(SystemTime::now(), conn.peer.remote, head.version.as_str());
    line.client = client;
    line.reserve(head.target().len() + head.authority().len() + 128);
    line.set(Text::Method, head.method().as_bytes());
    line.set(Text::Authority, head.authority().as_bytes());
    line.set(Text::Path, head.target().as_bytes());
    if let Some(agent) = head.fields.first("user-agent") {
        line.set(Text::UserAgent, agent);
    }
    // W3C: version-traceid-parentid-flags.
    if let Some(id) = head.fields.first("traceparent").and_then(|parent| parent.split(|byte| *byte == b'-').nth(1)) {
        line.set(Text::TraceId, id);
    }
    if let Some(tls) = &conn.peer.tls {
        line.tls_version = Some(tls.version);
        line.set(Text::Sni, tls.sni.as_deref().unwrap_or_default().as_bytes());
    }
    line
}
