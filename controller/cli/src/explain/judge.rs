// SPDX-License-Identifier: Apache-2.0
//! The way of a request through the table that would serve it. The table decides, by the code that also serves; here is
//! only told what it decided. Causes outside the table are looked for in `cause`.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use torana_controller::plane::{Plane, object_of};
use torana_crds::ObjectRef;
use torana_gateway::answer::Answer as Response;
use torana_gateway::fault::{Fault, Reject};
use torana_gateway::filter::{RequestContext, Verdict};
use torana_gateway::head::{Head, Scheme};
use torana_gateway::table::{Asker, Bind, BindTable, Notes, Plan, Routed, Table};
use torana_ir::{
    Action, BackendKey, BackendTls, Endpoint, Invalid, ListenerKey, MeshPeer, NamedEndpoint, ResourceKey, RouteKind,
    Rule, Snapshot, Target, WeightedBackend,
};

use super::answer::{Answer, BackendStep, Cause};
use super::cause;
use super::question::Question;
use super::{policy, streams, words};

/// So many lots are drawn for a request, so that one passes which only some are kept from.
const DRAWS: u64 = 16;

/// What is known while one request is explained.
pub(super) struct Case<'a> {
    pub(super) plane: &'a Plane,
    pub(super) question: &'a Question,
    pub(super) snapshot: Arc<Snapshot>,
}

/// Explains one request: what `table` decides, and what of `plane` is the reason.
pub fn explain(table: &Table, plane: &Plane, question: &Question) -> Answer {
    let case = Case { plane, question, snapshot: plane.snapshot() };
    let scheme = question.scheme.as_str();
    let request = format!("{} {scheme}://{}{}", question.method, question.authority, question.target);
    let answer = match question.head() {
        Err(reject) => refused(reject),
        Ok(mut head) => match case.bind(table) {
            Some(bind) => match streams::explain(&case, bind) {
                Some(answer) => answer,
                None if bind.is_tls() != (question.scheme == Scheme::Https) => case.wrong_scheme(bind),
                None => case.on(table, bind, &mut head),
            },
            None => case.nobody_listens(table),
        },
    };
    Answer { request, ..answer }
}

fn refused(reject: Reject) -> Answer {
    let Reject { status, reason } = reject;
    let what = format!("the strict gate objects: {reason}");
    let cause = Cause { object: None, place: None, what, remedy: "the client must send another request".to_owned() };
    let outcome = format!("{status}: the request itself is refused");
    Answer { status: Some(status), outcome, causes: vec![cause], ..Answer::default() }
}

impl Case<'_> {
    pub(super) fn cause(&self, object: ObjectRef, path: &str, what: String, remedy: impl Into<String>) -> Cause {
        let place = self.plane.place(&object, path);
        Cause { object: Some(object), place, what, remedy: remedy.into() }
    }

    /// The socket that a client would reach: the address of the URL, else every address, else the first.
    fn bind<'t>(&self, table: &'t Table) -> Option<&'t Arc<BindTable>> {
        let address: Option<IpAddr> = self.question.host.trim_matches(['[', ']']).parse().ok();
        let on_port = |bind: &Bind| bind.port == self.question.port && bind.transport.is_tcp();
        let binds: Vec<Bind> = table.binds().into_iter().filter(on_port).collect();
        let exact = binds.iter().find(|bind| address.is_some() && bind.address == address);
        let any = || binds.iter().find(|bind| bind.address.is_none());
        table.bind(exact.or_else(any).or(binds.first())?)
    }

    fn nobody_listens(&self, table: &Table) -> Answer {
        let port = self.question.port;
        let binds = table.binds();
        if binds.iter().any(|bind| bind.port == port) {
            return streams::datagrams_only(self);
        }
        let ports: Vec<String> = binds.iter().map(|bind| bind.port.to_string()).collect();
        let causes = cause::no_listener_on_port(self, &ports.join(", "));
        Answer { outcome: format!("connection refused: nothing listens on port {port}"), causes, ..Answer::default() }
    }

    fn wrong_scheme(&self, bind: &BindTable) -> Answer {
        let (speaks, write) = match (bind.is_tls(), bind.ends_all_tls()) {
            (true, true) => ("HTTPS", "https"),
            (true, false) => ("TLS", "https"),
            (false, _) => ("HTTP", "http"),
        };
        let what = format!("its listeners on port {} speak {speaks}", self.question.port);
        let remedy = format!("ask for {write}://, or change the listener's protocol");
        let causes = self.listeners_on_port().map(|key| self.cause(listener_object(key), "", what.clone(), &*remedy));
        let outcome = format!("no answer: port {} speaks {speaks}", self.question.port);
        Answer { outcome, causes: causes.take(1).collect(), ..Answer::default() }
    }

    pub(super) fn listeners_on_port(&self) -> impl Iterator<Item = &ListenerKey> {
        self.snapshot.listeners.values().filter(|it| it.port == self.question.port).map(|it| &it.key)
    }

    fn on(&self, table: &Table, bind: &Arc<BindTable>, head: &mut Head) -> Answer {
        // Clients send no name for an address; then the handshake has chosen nothing.
        let named = bind.is_tls() && self.question.host.trim_matches(['[', ']']).parse::<IpAddr>().is_err();
        let sni = bind.listener(&self.question.host).filter(|_| named).map(|listener| listener.key.clone());
        let asker = self.asker(sni.is_some());
        let client = asker.client(bind, head);
        let explanation = table.explain(bind, head, sni.as_ref());
        let admission = asker.admission(&explanation.routed, client, head);
        let policy = admission.as_ref().map(policy::step);
        let denial = admission.as_ref().filter(|admission| policy::is_denied(admission));
        let answer = match &explanation.routed {
            _ if let Some(admission) = denial => policy::denied(self, admission),
            Routed::Plan { plan, prefix_len, .. } => self.planned(plan, *prefix_len, head),
            // Without a token, for it cannot be known who would sign one.
            Routed::Tokens { .. } => Answer::default(),
            Routed::Challenge { .. } => {
                Answer { status: Some(200), outcome: words::challenge(), challenge: true, ..Answer::default() }
            }
            Routed::Fault { fault, listener, .. } => {
                let key = listener.as_ref().map(|listener| &listener.key);
                let causes = match fault {
                    Fault::Rejected(reject) => return refused(*reject),
                    Fault::NoListener => cause::no_listener(self, head),
                    Fault::UnknownToken | Fault::ChallengeMethod => cause::reserved(self, head),
                    Fault::Misdirected => cause::misdirected(self, key, sni.as_ref()),
                    _ => cause::no_route(self, key, &explanation.decision.losers, head),
                };
                let status = fault.status();
                Answer { status: Some(status), outcome: words::fault(*fault, key), causes, ..Answer::default() }
            }
        };
        let causes =
            if answer.causes.is_empty() { cause::shadowed(self, &explanation.decision.losers) } else { answer.causes };
        let (winner, losers) = (explanation.decision.winner, explanation.decision.losers);
        Answer { listeners: explanation.listeners, policy, winner, losers, causes, ..answer }
    }

    /// Who asks. A proxy that listens everywhere is connected to at an address that nobody knows here.
    fn asker(&self, is_named: bool) -> Asker {
        let question = self.question;
        let address = question.host.trim_matches(['[', ']']).parse().unwrap_or(IpAddr::from([0; 4]));
        Asker {
            peer: question.from,
            local: SocketAddr::new(address, question.port),
            server_name: is_named.then(|| question.host.clone()),
            names: question.identities.iter().map(|name| name.as_str().into()).collect(),
        }
    }

    fn planned(&self, plan: &Plan, prefix_len: usize, head: &Head) -> Answer {
        let Some(rule) = self.snapshot.rules.get(plan.key()) else { return Answer::default() };
        let filters = rule.filters.iter().map(words::filter).collect();
        // Faults are injected into a share of requests: told is what becomes of the others, if there are others.
        let passed = (0..DRAWS).map(|random| passed(plan, prefix_len, random, head)).reduce(Result::or);
        let forwarded = match passed {
            Some(Ok(forwarded)) => forwarded,
            Some(Err(response)) => return Answer { filters, ..responded(&response) },
            None => head.clone(),
        };
        let entries = match &rule.action {
            Action::Invalid(invalid) => return Answer { filters, ..self.invalid(rule, invalid, "") },
            Action::Forward(entries) => entries,
        };
        let total: u64 = entries.iter().map(|entry| u64::from(entry.weight)).sum();
        let step = |entry: &WeightedBackend| {
            let (share, nowhere) = ((entry.weight, total), Some(nowhere(rule)));
            match &entry.target {
                Target::Invalid(invalid) => {
                    BackendStep { status: nowhere, ..BackendStep::nowhere(invalid.message.clone(), share) }
                }
                Target::Backend(key) if self.refusal(key).is_some() => {
                    BackendStep { status: nowhere, ..BackendStep::nowhere(key.to_string(), share) }
                }
                Target::Backend(key) => {
                    let (endpoints, usable) = self.endpoints(key);
                    let (status, check) = ((!usable).then_some(503), self.check(key));
                    BackendStep { backend: key.to_string(), share, status, refused: false, endpoints, check }
                }
            }
        };
        let backends: Vec<_> = entries.iter().map(step).collect();
        let shown = format!("{} {}{}", forwarded.method(), forwarded.authority(), forwarded.target());
        let answer = self.chosen(rule, &backends);
        let goes = backends.iter().any(|step| step.share.0 > 0 && step.status.is_none());
        Answer { filters, backends, forwarded: goes.then_some(shown), ..answer }
    }

    /// What follows from where requests may go.
    fn chosen(&self, rule: &Rule, backends: &[BackendStep]) -> Answer {
        let Action::Forward(entries) = &rule.action else { return Answer::default() };
        let taking = || backends.iter().zip(entries).enumerate().filter(|(_, (step, _))| step.share.0 > 0);
        if taking().next().is_none() {
            return self.no_weight(rule, entries.is_empty());
        }
        let causes: Vec<_> = taking()
            .filter_map(|(at, (step, entry))| {
                let path = format!("spec.rules[{}].backendRefs[{at}]", rule.key.index);
                match (&entry.target, step.status) {
                    (Target::Invalid(invalid), _) => Some(cause::invalid(self, &rule.key, invalid, &path)),
                    (Target::Backend(key), Some(_)) => Some(match self.refusal(key) {
                        Some(invalid) => cause::refused(self, key, invalid),
                        None => cause::no_endpoints(self, key),
                    }),
                    (Target::Backend(_), None) => None,
                }
            })
            .collect();
        let failing: u64 = taking().filter_map(|(_, (step, _))| step.status.map(|_| u64::from(step.share.0))).sum();
        let total = backends.first().map_or(0, |step| step.share.1);
        let first = taking().find_map(|(_, (step, _))| step.status);
        let (status, outcome) = match first {
            None => (None, "forwarded".to_owned()),
            Some(status) if failing == total => (Some(status), words::status(status)),
            Some(status) => (None, format!("forwarded, but {failing} of {total} requests get {status}")),
        };
        Answer { status, outcome, causes, ..Answer::default() }
    }

    fn no_weight(&self, rule: &Rule, none: bool) -> Answer {
        let (what, remedy) = if none {
            ("the rule names no backend", "add a backendRef")
        } else {
            ("every backendRef of the rule has weight 0", "give one of them a weight")
        };
        let path = format!("spec.rules[{}].backendRefs", rule.key.index);
        let object = object_of(&ResourceKey::Rule(rule.key.clone()));
        let causes = vec![self.cause(object, &path, format!("{path}: {what}"), remedy)];
        let status = nowhere(rule);
        Answer { status: Some(status), outcome: words::nowhere(status), causes, ..Answer::default() }
    }

    fn invalid(&self, rule: &Rule, invalid: &Invalid, below: &str) -> Answer {
        let path = format!("spec.rules[{}]{below}", rule.key.index);
        let causes = vec![cause::invalid(self, &rule.key, invalid, &path)];
        let status = nowhere(rule);
        Answer { status: Some(status), outcome: words::nowhere(status), causes, ..Answer::default() }
    }

    /// Why nothing may be sent to a backend, if that is so.
    fn refusal(&self, key: &BackendKey) -> Option<&Invalid> {
        match &self.snapshot.backends.get(key)?.tls {
            BackendTls::Refused(invalid) => Some(invalid),
            BackendTls::Plain | BackendTls::Originate(_) => None,
        }
    }

    /// What the endpoints of a backend are asked before they are sent anything, in words.
    pub(super) fn check(&self, key: &BackendKey) -> Option<String> {
        self.snapshot.backends.get(key)?.check.as_ref().map(words::check)
    }

    /// Endpoints in words, and whether one of them can be used.
    pub(super) fn endpoints(&self, key: &BackendKey) -> (Vec<String>, bool) {
        match self.snapshot.endpoints.get(key).map(AsRef::as_ref) {
            None => (Vec::new(), false),
            Some(from) => {
                let host = self.snapshot.backends.get(key).and_then(|backend| backend.waypoint_for.as_deref());
                let by = |peer: Option<&MeshPeer>| peer.map(|peer| words::mesh(peer, host)).unwrap_or_default();
                let named = |it: &NamedEndpoint| format!("{}:{} (DNS){}", it.host, it.port, by(it.mesh.as_deref()));
                let shown = |ready: bool| if ready { "" } else { " (terminating)" };
                let at = |it: &Endpoint| format!("{}{}{}", it.address, shown(it.ready), by(it.mesh.as_deref()));
                let names = from.names().map(named);
                let all = from.addresses().iter().map(at);
                let all: Vec<_> = names.chain(all).collect();
                let is_usable = !all.is_empty();
                (all, is_usable)
            }
        }
    }
}

/// A redirect or a preflight: the filter's own answer.
/// The request after the rule's filters, or what one of them answers. Nobody is asked here, and nobody waits: told is what
/// follows from a yes.
fn passed(plan: &Plan, prefix_len: usize, random: u64, head: &Head) -> Result<Head, Response> {
    let mut forwarded = head.clone();
    let mut context = RequestContext { prefix_len, random };
    let mut from = 0;
    loop {
        match plan.on_request(from, &mut forwarded, &mut context, &mut Notes::default()) {
            Verdict::Continue => return Ok(forwarded),
            Verdict::Respond(response, _) => return Err(response),
            Verdict::Fail(fault) => return Err(Response::new(fault.status())),
            Verdict::Ask(_, next) | Verdict::Wait(_, next) => from = next,
        }
    }
}

/// The status of what leads nowhere.
fn nowhere(rule: &Rule) -> u16 {
    if rule.key.route.kind == RouteKind::VirtualService { 503 } else { 500 }
}

fn responded(response: &Response) -> Answer {
    let location = response.fields.first("location").map(|value| String::from_utf8_lossy(value).into_owned());
    let outcome = match location {
        Some(location) => format!("{} to {location}, by a filter", response.status),
        None => format!("{} by a filter", response.status),
    };
    Answer { status: Some(response.status), outcome, ..Answer::default() }
}

/// The Gateway or ListenerSet of a listener.
pub(super) fn listener_object(key: &ListenerKey) -> ObjectRef {
    object_of(&ResourceKey::Listener(key.clone()))
}
