// SPDX-License-Identifier: Apache-2.0
//! One request from its head to its log line: route, filters, backend, forward, answer.
//!
//! The table is loaded once, gives one Plan, and is dropped before anything is awaited.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use torana_ir::UpstreamProtocol;

use crate::answer::Answer;
use crate::balance::Endpoint;
use crate::client::Client;
use crate::fault::{Fault, Manner, Reject};
use crate::filter::{By, RequestContext, Scene};
use crate::head::{Head, ResponseHead, Version};
use crate::http::auth::{self, Asker, Permission};
use crate::http::conn::Conn;
use crate::http::entry::{Admission, Entry};
use crate::http::forward::{Order, Trace, forward};
use crate::http::piece::Broken;
use crate::http::record::Record;
use crate::http::replay::Replay;
use crate::http::side::Down;
use crate::http::tee::Copies;
use crate::http::visit::Ties;
use crate::http::wait::pause;
use crate::http::{mirrors, respond};
use crate::table::{Choice, Notes, Plan, Routed, Verdict, WeightedPlan};
use crate::trace::Came;

/// Handles a request that passed the gate. The response is wholly sent, or cut, when this returns.
pub(crate) async fn handle(conn: &Arc<Conn>, down: &mut Down, mut head: Box<Head>) {
    let began = Instant::now();
    let client = Client::of(&mut head, conn.hops, conn.peer.remote.ip());
    // First, for the log has the path as its listener reads it.
    let routed = conn.worker.table.load().route(&conn.bind, &mut head, conn.sni_listener());
    let mut record = Record::begin(conn, &head, (client.address, began), &routed);
    if let Some((tracer, sampling)) = routed.tracing() {
        let (client, peer) = (client.address, conn.peer.remote);
        let came = Came { client, peer, started: began.into_std(), clock: SystemTime::now };
        record.begun(tracer.begin(&mut head, sampling, came));
    }
    if let Err(fault) = routed_on((conn, &client), (down, &mut head), routed, &mut record).await {
        fail(conn, down, &head, fault, &mut record).await;
    }
    record.finish(conn);
}

/// Does what was found to be done with a request.
async fn routed_on(
    (conn, client): (&Arc<Conn>, &Client),
    (down, head): (&mut Down, &mut Head),
    mut routed: Routed,
    record: &mut Record,
) -> Result<(), Fault> {
    let mut entry = Entry::new(conn, client);
    // Whoever is asked is asked once, and a token is looked for once: each looks at routes again at most once.
    for _ in 0..3 {
        let admission = match &routed {
            Routed::Plan { plan, guard, .. } => {
                record.routed(plan, plan.manner(head));
                entry.admitted((down, head), (guard, Some(&plan.listener)), record).await?
            }
            Routed::Fault { listener, grpc, guard, .. } => {
                record.unrouted(listener.as_deref(), *grpc);
                entry.admitted((down, head), (guard, listener.as_deref()), record).await?
            }
            Routed::Tokens { guard, listener } => {
                record.unrouted(Some(listener), head.is_grpc());
                entry.introduced((down, head), (guard, Some(listener)), record).await?.known()
            }
            Routed::Challenge { .. } => Admission::Open,
        };
        match (admission, routed) {
            (Admission::Answered(answer), _) => return own_answer(down, head, answer, record).await,
            (Admission::Again, _) => {}
            (Admission::Open, Routed::Plan { plan, prefix_len, .. }) => {
                return planned((conn, client), (down, head), (&plan, prefix_len), entry, record).await;
            }
            (Admission::Open, Routed::Challenge { authorization, listener }) => {
                conn.worker.metrics.challenge_answered("http-01");
                record.challenge(listener.as_deref());
                return own_answer(down, head, respond::challenge(authorization), record).await;
            }
            (Admission::Open, Routed::Fault { fault, .. }) => return Err(fault),
            (Admission::Open, Routed::Tokens { .. }) => return Err(Fault::Guarded),
        }
        routed = conn.worker.table.load().route(&conn.bind, head, conn.sni_listener());
    }
    Err(Fault::Guarded)
}

/// Answers a request that the gate refused.
pub(crate) async fn refuse(conn: &Arc<Conn>, down: &mut Down, reject: Reject, version: Version) {
    let mut record = Record::refused(conn, version, reject);
    close_after(down);
    let answer = respond::answer(Fault::Rejected(reject), Manner::default());
    record.answered(answer.status);
    if reject != Reject::NOT_HTTP {
        // A client that has left needs no answer; the line says why it was refused either way.
        let _ = respond::send(down, answer, false).await.is_ok();
    }
    record.finish(conn);
}

/// `OPTIONS *` asks about the gateway itself (RFC 9110 §9.3.7): 204, nothing is forwarded.
pub(crate) async fn options_asterisk(down: &mut Down) {
    let answer = Answer { status: 204, fields: crate::head::Fields::default(), body: bytes::Bytes::new() };
    // A client that has left needs no answer.
    let _ = respond::send(down, answer, false).await.is_ok();
}

async fn planned(
    (conn, client): (&Arc<Conn>, &Client),
    (down, head): (&mut Down, &mut Head),
    (plan, prefix_len): (&Arc<Plan>, usize),
    entry: Entry<'_>,
    record: &mut Record,
) -> Result<(), Fault> {
    let context = RequestContext { prefix_len, random: fastrand::u64(..) };
    let Entry { kept, fields, held, .. } = entry;
    let deadline = plan.timeouts.request.map(|limit| record.started() + held + limit);
    let scene = plan.makes_fields.then(|| Box::new(scene(conn, head)));
    let notes = Notes { fields, scene, ..Notes::default() };
    let mut passage = Passage { conn, client, plan, deadline, context, notes, kept };
    if let Some(answer) = passage.through(down, head, record, Stage::Rule).await? {
        return own_answer(down, head, answer, record).await;
    }
    let weighted = match plan.choose(fastrand::u64(..)) {
        Choice::Backend(weighted) => weighted,
        Choice::Invalid(invalid) => {
            // The user finds out from status, `lint` and `explain`; here it would be one line a request.
            tracing::debug!(rule = %plan.key(), reason = %invalid.reason, message = %invalid.message, "invalid backend");
            return Err(Fault::InvalidConfig);
        }
    };
    record.backend(&weighted.backend);
    if let Some(answer) = passage.through(down, head, record, Stage::Backend(weighted)).await? {
        return own_answer(down, head, answer, record).await;
    }
    if weighted.backend.config.protocol != UpstreamProtocol::Http1 {
        head.upgrade = false;
    }
    let mut ties = Ties::of(plan.session.as_ref(), head, &weighted.backend, client.address);
    let Passage { deadline, mut notes, kept, .. } = passage;
    let identity = plan.listener.identity.as_ref();
    let mut copies = Copies::new(mirrors::launch(conn, head, &notes.mirrors, identity), kept);
    record.forwarded();
    let order = Order {
        worker: &conn.worker,
        conn,
        head,
        backend: &weighted.backend,
        identity,
        request_deadline: deadline,
        attempt_deadline: plan.timeouts.backend_request,
        retry: plan.retry(),
        http2: false,
        preferred: ties.preferred(),
        key: ties.key(),
        idle: plan.listener.limits.stream_idle,
        pace: Some(&plan.listener.limits),
        trailers: head.trailers || record.manner().grpc,
        followed: record.followed(),
    };
    let mut trace = Trace::default();
    trace.moved.received = copies.kept.as_ref().map_or(0, |kept| kept.bytes().len() as u64);
    let mut upgraded = None;
    let edit = |response: &mut ResponseHead, endpoint: &Endpoint| {
        if response.status == 101 {
            upgraded = Some(plan.meters.upgraded(&conn.worker.metrics));
        }
        if let Some(scene) = &mut notes.scene {
            scene.upstream = Some(endpoint.address);
        }
        weighted.on_response(&notes, response);
        plan.on_response(&notes, response);
        for (_, name, value) in notes.fields.iter() {
            response.fields.push(name, value);
        }
        ties.note(response, endpoint, head.scheme);
    };
    let result = forward(&order, down, &mut copies, &mut trace, edit).await;
    drop(upgraded);
    record.traced(trace);
    result
}

/// What fields may be made of.
fn scene(conn: &Conn, head: &Head) -> Scene {
    let tls = conn.peer.tls.as_ref();
    Scene {
        remote: conn.peer.remote,
        local: conn.peer.local,
        protocol: head.version.as_str(),
        server_name: tls.and_then(|tls| tls.sni.clone()),
        tls_version: tls.map(|tls| tls.version),
        upstream: None,
    }
}

/// A request on its way through the filters of its rule and of its backend.
struct Passage<'p> {
    conn: &'p Conn,
    client: &'p Client,
    plan: &'p Plan,
    /// The request's own deadline.
    deadline: Option<Instant>,
    context: RequestContext,
    notes: Notes,
    /// Its body, if somebody has been shown it.
    kept: Option<Replay>,
}

/// Whose filters.
#[derive(Clone, Copy)]
enum Stage<'p> {
    Rule,
    Backend(&'p WeightedPlan),
}

impl Passage<'_> {
    /// Lets the request through, or gives what is answered.
    async fn through(
        &mut self,
        down: &mut Down,
        head: &mut Head,
        record: &mut Record,
        stage: Stage<'_>,
    ) -> Result<Option<Answer>, Fault> {
        let mut from = 0;
        loop {
            let verdict = match stage {
                Stage::Rule => self.plan.on_request(from, head, &mut self.context, &mut self.notes),
                Stage::Backend(weighted) => weighted.on_request(from, head, &mut self.context, &mut self.notes),
            };
            let (auth, next) = match verdict {
                Verdict::Continue => return Ok(None),
                Verdict::Respond(answer, by) => return Ok(Some(self.edited(answer, by, record.manner()))),
                Verdict::Fail(fault) => return Err(fault),
                Verdict::Ask(auth, next) => (auth, next),
                Verdict::Wait(time, next) => {
                    self.wait(down, time, record).await?;
                    from = next;
                    continue;
                }
            };
            let Self { conn, client, plan, deadline, .. } = *self;
            let followed = record.followed();
            let asker = Asker { conn, client: client.address, listener: &plan.listener, deadline, followed };
            // Boxed: few requests are asked about, and all would carry the room for it.
            match Box::pin(auth::ask(asker, down, (head, &auth), &mut self.kept)).await? {
                Permission::Granted(edit) => edit.apply(head, &mut self.notes.fields),
                Permission::Refused(answer) => {
                    record.fault(Fault::AuthDenied);
                    return Ok(Some(answer));
                }
            }
            from = next;
        }
    }

    /// Envoy does to a rule's redirects and direct responses what the rule does to responses, but not to preflights.
    fn edited(&self, answer: Answer, by: By, manner: Manner) -> Answer {
        let edits = match by {
            By::Direct => true,
            By::Redirect => manner.istio,
            By::Cors => false,
        };
        if !edits {
            return answer;
        }
        let Answer { status, fields, body } = answer;
        let mut head = ResponseHead { fields, ..ResponseHead::new(status) };
        self.plan.on_response(&self.notes, &mut head);
        Answer { status, fields: head.fields, body }.sealed()
    }

    /// Holds the request back. A client that leaves meanwhile ends it; the request's own deadline does not, and is as
    /// much later: of Istio's rules with a fault the timeout is for what follows the delay.
    async fn wait(&mut self, down: &mut Down, time: Duration, record: &mut Record) -> Result<(), Fault> {
        let began = Instant::now();
        let paused = pause(down, began.checked_add(time)).await;
        let held = began.elapsed();
        record.delayed(held);
        self.deadline = self.deadline.and_then(|deadline| deadline.checked_add(held));
        paused
    }
}

/// A filter answered, or nobody was to be asked.
async fn own_answer(down: &mut Down, head: &Head, answer: Answer, record: &mut Record) -> Result<(), Fault> {
    record.answered(answer.status);
    respond::send(down, answer, head.method() == "HEAD").await.map_err(Broken::fault)
}

/// Tells the client, if it can still be told.
async fn fail(conn: &Conn, down: &mut Down, head: &Head, fault: Fault, record: &mut Record) {
    let fault = fault.under(record.manner());
    record.fault(fault);
    if let Fault::Rejected(reject) = fault {
        conn.worker.metrics.rejected(reject.reason);
    }
    if fault == Fault::ReadTimeout {
        down.abandon();
    }
    if down.started() || fault == Fault::ClientGone {
        return;
    }
    let mut answer = respond::answer(fault, record.manner());
    if let Fault::BadToken(_) = fault {
        answer = answer.with("www-authenticate", &respond::realm(head));
    }
    record.answered(answer.status);
    // A client that has left needs no answer; the fault that is logged is the first one.
    let _ = respond::send(down, answer, head.method() == "HEAD").await.is_ok();
}

fn close_after(down: &mut Down) {
    if let Down::H1(down) = down {
        down.close_after();
    }
}
