// SPDX-License-Identifier: Apache-2.0
//! What Torana makes of a scenario: objects through the door, translated, compiled, and routed as a request would be.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use serde_json::{Value, json};
use torana_controller::store::{Cluster, Event, Ingress, Settings};
use torana_controller::translate::translate;
use torana_crds::{Content, Object, Severity};
use torana_gateway::filter::{Redirect, RequestContext, Rewrite};
use torana_gateway::head::{Head, Scheme, Version};
use torana_gateway::route::Routable;
use torana_gateway::table::{Bind, BindTable, Handshake, Opening, Plan, Routed, StreamRouted, Table};
use torana_ir::{
    AbortWith, Action, BackendKey, Filter, GatewayId, HashOn, HeaderEdit, OriginPattern, Retry, Rule, Snapshot,
    Transport, Unmatched,
};

use super::outcome::{Answer, Cors, Destination, Fault, Forward, Operations, Outcome, Retries, Target, edits, shares};
use super::scenario::{Call, Protocol, Scenario};

/// A certificate with its key, which is its own authority: nobody shakes hands here.
static PAIR: LazyLock<(String, String)> = LazyLock::new(|| {
    let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
});

/// The answer to every call.
pub(super) fn answer(scenario: &Scenario) -> Answer {
    let id = GatewayId { namespace: scenario.pod.namespace.clone(), name: "gateway".to_owned() };
    let ingress = Ingress { id, labels: scenario.pod.labels.clone(), ports: None };
    let mut cluster = Cluster::new(Settings { ingress: Some(ingress), ..Settings::standalone(0) });
    let mut rejected = Vec::new();
    let secrets = secrets(scenario);
    for (at, value) in scenario.istio.iter().chain(&scenario.kubernetes).chain(&secrets).enumerate() {
        let decoded = torana_crds::decode(dated(value, at), "default");
        let name = format!("{}/{}/{}", decoded.reference.kind, decoded.reference.namespace, decoded.reference.name);
        match decoded.content {
            Content::Object(object) => {
                if is_refused(&object) {
                    rejected.push(name);
                }
                cluster.apply(Event::Applied(Arc::new(*object)));
            }
            Content::Unreadable(_) => rejected.push(name),
            Content::Foreign => {}
        }
    }
    rejected.sort();
    let translation = translate(&cluster);
    let snapshot = translation.snapshots.into_values().next().unwrap_or_default();
    let table = Table::compile(&snapshot, &Table::empty());
    let world = World { snapshot: &snapshot, table: &table };
    Answer { rejected, outcomes: scenario.calls.iter().map(|call| world.outcome(call)).collect() }
}

/// Whatever is without an age is the youngest in Istio's own store when it comes there, one after the other; in a cluster
/// nothing is.
fn dated(object: &Value, at: usize) -> Value {
    let mut object = object.clone();
    if object["metadata"]["creationTimestamp"].is_null() {
        let (minutes, seconds) = (at / 60 % 60, at % 60);
        object["metadata"]["creationTimestamp"] = format!("2100-01-01T00:{minutes:02}:{seconds:02}Z").into();
    }
    object
}

/// Secrets of every name that a server takes its certificate from.
fn secrets(scenario: &Scenario) -> Vec<Value> {
    let servers = scenario.istio.iter().filter_map(|object| object["spec"]["servers"].as_array()).flatten();
    let names: Vec<&str> = servers.filter_map(|server| server["tls"]["credentialName"].as_str()).collect();
    let secret = |name: &&str| {
        let (certificate, key) = &*PAIR;
        json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": {"name": name, "namespace": scenario.pod.namespace},
            "stringData": {"tls.crt": certificate, "tls.key": key, "ca.crt": certificate}})
    };
    names.iter().map(secret).collect()
}

fn is_refused(object: &Object) -> bool {
    let problems = match object {
        Object::IstioGateway(it) => it.problems(),
        Object::VirtualService(it) => it.problems(),
        Object::DestinationRule(it) => it.problems(),
        Object::ServiceEntry(it) => it.problems(),
        Object::WorkloadEntry(it) => it.problems(),
        _ => Vec::new(),
    };
    problems.iter().any(|problem| problem.severity == Severity::Error)
}

struct World<'w> {
    snapshot: &'w Snapshot,
    table: &'w Table,
}

impl World<'_> {
    fn outcome(&self, call: &Call) -> Outcome {
        let bind = Bind { address: None, port: call.port, transport: Transport::Tcp };
        let Some(bind) = self.table.bind(&bind) else { return Outcome::NoListener };
        let over_tls = matches!(call.protocol, Protocol::Https | Protocol::Tls);
        match bind.opening() {
            Opening::Handshake if over_tls => self.handshake(bind, call),
            Opening::Request if call.protocol == Protocol::Http => self.request(bind, call, None),
            // What is passed on may be anything.
            Opening::Bytes => bind.stream().map_or(Outcome::Closed, |routed| self.stream(&routed)),
            _ => Outcome::Closed,
        }
    }

    fn handshake(&self, bind: &BindTable, call: &Call) -> Outcome {
        match bind.handshake(call.sni.as_deref()) {
            Some(Handshake::Requests(listener, ..)) if call.protocol == Protocol::Https => {
                self.request(bind, call, call.sni.is_some().then_some(&listener))
            }
            Some(Handshake::Unwrap(routed, ..) | Handshake::Pass(routed)) => self.stream(&routed),
            Some(Handshake::Requests(..)) | None => Outcome::Closed,
        }
    }

    fn stream(&self, routed: &StreamRouted) -> Outcome {
        let rule = routed.plan.as_ref().and_then(|plan| self.snapshot.streams.get(plan.key()));
        let Some(rule) = rule else { return Outcome::Closed };
        let targets = rule.backends.iter().filter(|entry| entry.weight > 0);
        Outcome::Stream(shares(targets.map(|entry| target(&entry.target, entry.weight)).collect()))
    }

    fn request(&self, bind: &BindTable, call: &Call, sni: Option<&torana_ir::ListenerKey>) -> Outcome {
        let scheme = if sni.is_some() || call.protocol == Protocol::Https { Scheme::Https } else { Scheme::Http };
        let mut head = Head::new(Version::Http11, scheme, &call.method, &call.host.to_lowercase(), &call.path);
        for (name, value) in &call.headers {
            head.fields.push(name.to_lowercase().as_bytes(), value.as_bytes());
        }
        match bind.route(&mut head, sni) {
            Routed::Plan { plan, prefix_len, .. } => self.planned(&plan, head, prefix_len, call),
            Routed::Fault { fault: torana_gateway::fault::Fault::Misdirected, .. } => Outcome::Misdirected,
            // Nobody asks for certificates here, or for claims.
            Routed::Fault { .. } | Routed::Challenge { .. } | Routed::Tokens { .. } => Outcome::NoRoute,
        }
    }

    fn planned(&self, plan: &Plan, mut head: Head, prefix_len: usize, call: &Call) -> Outcome {
        let rule = plan.rule();
        let response = || {
            edits(of(&rule.filters, |filter| match filter {
                Filter::ResponseHeaders(edit) => Some(edit),
                _ => None,
            }))
        };
        for filter in &rule.filters {
            match filter {
                Filter::Redirect(redirect) => {
                    let answer = Redirect::compile(redirect, (call.port, plan.listener.path_mode))
                        .apply(&head, prefix_len)
                        .unwrap();
                    let location = answer.fields.first("location").unwrap_or_default();
                    let location = String::from_utf8_lossy(location).to_lowercase();
                    return Outcome::Redirect { status: redirect.status, location, headers: response() };
                }
                Filter::Respond(answer) => {
                    let body = String::from_utf8_lossy(&answer.body).into_owned();
                    return Outcome::Direct { status: answer.status, body, headers: response() };
                }
                Filter::Rewrite(rewrite) => {
                    let mut context = RequestContext { prefix_len, random: 0 };
                    Rewrite::compile(rewrite, plan.listener.path_mode).apply(&mut head, &mut context).unwrap();
                }
                _ => {}
            }
        }
        Outcome::Forward(Box::new(self.forward(rule, &head, response())))
    }

    fn forward(&self, rule: &Rule, head: &Head, response: Vec<Operations>) -> Forward {
        let Action::Forward(entries) = &rule.action else {
            return Forward::nowhere("the rule is invalid");
        };
        let targets: Vec<Target> = entries
            .iter()
            .map(|entry| Target {
                request: edits(of(&entry.filters, |filter| match filter {
                    Filter::RequestHeaders(edit) => Some(edit),
                    _ => None,
                })),
                response: edits(of(&entry.filters, |filter| match filter {
                    Filter::ResponseHeaders(edit) => Some(edit),
                    _ => None,
                })),
                authority: entry.filters.iter().find_map(|filter| match filter {
                    Filter::Rewrite(rewrite) => rewrite.host.as_ref().map(ToString::to_string),
                    _ => None,
                }),
                ..target(&entry.target, entry.weight)
            })
            .collect();
        let hash = entries.iter().filter_map(|entry| self.hash(&entry.target)).collect();
        Forward {
            targets: shares(targets),
            path: head.target().to_owned(),
            authority: head.authority().to_owned(),
            timeout: rule.timeouts.request.map(milliseconds),
            retries: rule.retry.as_ref().and_then(|retry| retries(retry, rule.timeouts.backend_request)),
            hash,
            request: edits(of(&rule.filters, |filter| match filter {
                Filter::RequestHeaders(edit) => Some(edit),
                _ => None,
            })),
            response,
            cors: rule
                .filters
                .iter()
                .find_map(|filter| if let Filter::Cors(it) = filter { Some(cors(it)) } else { None }),
            fault: fault(&rule.filters),
            mirrors: rule
                .filters
                .iter()
                .filter_map(|filter| match filter {
                    Filter::Mirror(mirror) => {
                        let share = u64::from(mirror.numerator) * 1_000_000 / u64::from(mirror.denominator);
                        Some((destination(&mirror.target), u32::try_from(share).unwrap_or(u32::MAX)))
                    }
                    _ => None,
                })
                .collect(),
        }
    }

    fn hash(&self, target: &torana_ir::Target) -> Option<String> {
        let torana_ir::Target::Backend(key) = target else { return None };
        let backend = self.table.backend(key)?;
        Some(match backend.config.balance.hash_on()? {
            HashOn::Header(name) => format!("header {name}"),
            HashOn::Cookie { name, .. } => format!("cookie {name}"),
            HashOn::Query(name) => format!("query {name}"),
            HashOn::SourceIp => "source_ip".to_owned(),
        })
    }
}

fn of<'f>(filters: &'f [Filter], which: fn(&'f Filter) -> Option<&'f HeaderEdit>) -> Vec<Operations> {
    filters.iter().filter_map(which).map(operations).collect()
}

fn operations(edit: &HeaderEdit) -> Operations {
    let mut found = Operations::default();
    found.set.extend(edit.set.iter().map(|(name, value)| (name.to_string(), value.to_string())));
    for (name, value) in &edit.add {
        found.add.entry(name.to_string()).or_default().push(value.to_string());
    }
    found.remove = edit.remove.iter().map(ToString::to_string).collect();
    found.remove.sort();
    found.remove.dedup();
    found
}

fn target(to: &torana_ir::Target, weight: u32) -> Target {
    Target { destination: destination(to), weight, request: Vec::new(), response: Vec::new(), authority: None }
}

fn destination(to: &torana_ir::Target) -> Destination {
    match to {
        torana_ir::Target::Invalid(_) => Destination::Unknown,
        torana_ir::Target::Backend(BackendKey { namespace, name, port, subset, .. }) => {
            let host = match name.strip_suffix('.') {
                Some(host) => host.to_owned(),
                None => format!("{name}.{namespace}.svc.cluster.local"),
            };
            Destination::Known { host, port: *port, subset: subset.clone() }
        }
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn retries(retry: &Retry, per_try: Option<Duration>) -> Option<Retries> {
    (retry.attempts > 0).then(|| Retries {
        count: retry.attempts,
        answers: retry.codes.iter().copied().collect(),
        grpc: retry.grpc.iter().copied().collect(),
        rate_limited: retry.header.is_some(),
        unanswered: retry.unanswered,
        unsent: retry.unsent,
        per_try: per_try.map(milliseconds),
        backoff: retry.backoff.map(milliseconds),
        other_hosts: !retry.anywhere,
    })
}

fn cors(policy: &torana_ir::Cors) -> Cors {
    let origin = |origin: &OriginPattern| match origin {
        OriginPattern::Any => "exact *".to_owned(),
        OriginPattern::Exact(exact) => format!("exact {exact}"),
        OriginPattern::Prefix(prefix) => format!("prefix {prefix}"),
        OriginPattern::Regex(regex) => format!("regex {}", regex.as_str()),
        OriginPattern::Wildcard { scheme, suffix } => format!("wildcard {scheme}*{suffix}"),
    };
    let mut origins: Vec<String> = policy.allow_origins.iter().map(origin).collect();
    origins.sort();
    let joined = |any: bool, names: Vec<String>| if any { "*".to_owned() } else { names.join(",") };
    let names = |names: &[torana_ir::HeaderName]| names.iter().map(ToString::to_string).collect();
    let methods = policy.allow_methods.iter().flatten().map(ToString::to_string).collect();
    Cors {
        origins,
        methods: joined(policy.any_method, methods),
        headers: joined(policy.any_header, names(&policy.allow_headers)),
        expose: joined(policy.expose_any, names(&policy.expose_headers)),
        max_age: policy.max_age.map(|age| age.as_secs()),
        credentials: policy.allow_credentials,
        forward_unmatched: policy.unmatched == Unmatched::Forwarded,
    }
}

fn fault(filters: &[Filter]) -> Option<Fault> {
    let mut found = Fault::default();
    for filter in filters {
        match filter {
            Filter::Delay(delay) => found.delay = Some((milliseconds(delay.time), delay.share.millionths())),
            Filter::Abort(abort) => {
                let with = match abort.with {
                    AbortWith::Http(status) => format!("http {status}"),
                    AbortWith::Grpc(status) => format!("grpc {status}"),
                };
                found.abort = Some((with, abort.share.millionths()));
            }
            _ => {}
        }
    }
    (found != Fault::default()).then_some(found)
}

/// Nothing is kept between two scenarios.
#[test]
fn the_same_scenario_has_the_same_answer() {
    let scenario = super::generate::scenario(3, 1);
    let all: BTreeMap<usize, Answer> = (0..2).map(|at| (at, answer(&scenario))).collect();
    assert_eq!(all[&0], all[&1]);
}
