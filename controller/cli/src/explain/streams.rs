// SPDX-License-Identifier: Apache-2.0
//! What becomes of a request whose port is no port of requests: its connection is passed on as it comes, and what the
//! backend makes of it is not known here.

use torana_controller::plane::object_of;
use torana_gateway::head::Scheme;
use torana_gateway::table::{BindTable, Handshake, Opening, StreamRouted};
use torana_ir::{ResourceKey, StreamBackend, StreamRule, Target};

use super::answer::{Answer, BackendStep, Cause, StreamStep};
use super::cause;
use super::judge::{Case, listener_object};

/// Explains a connection to `bind`, unless it carries requests to Torana.
pub(super) fn explain(case: &Case<'_>, bind: &BindTable) -> Option<Answer> {
    match bind.opening() {
        Opening::Bytes => Some(passed(case, &bind.stream()?, "TCP, passed on as it comes")),
        Opening::Handshake if case.question.scheme == Scheme::Https => {
            let name = case.question.host.as_str();
            // Clients send no name for an address.
            let sni = name.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_err().then_some(name);
            match bind.handshake(sni)? {
                Handshake::Pass(routed) => Some(passed(case, &routed, "TLS, passed on to end at the backend")),
                Handshake::Unwrap(routed, ..) => {
                    Some(passed(case, &routed, "TLS that ends here; what is inside is passed on"))
                }
                Handshake::Requests(..) => None,
            }
        }
        Opening::Handshake | Opening::Request | Opening::Datagram => None,
    }
}

/// Nothing listens for connections, though something does for datagrams.
pub(super) fn datagrams_only(case: &Case<'_>) -> Answer {
    let port = case.question.port;
    let what = format!("its listener on port {port} is of protocol UDP");
    let keys = case.listeners_on_port();
    let causes = keys.map(|key| case.cause(listener_object(key), "", what.clone(), "ask by UDP")).take(1).collect();
    let outcome = format!("connection refused: port {port} carries UDP only");
    Answer { outcome, causes, ..Answer::default() }
}

fn passed(case: &Case<'_>, routed: &StreamRouted, what: &'static str) -> Answer {
    let listener = routed.listener.key.clone();
    let rule = routed.plan.as_ref().and_then(|plan| case.snapshot.streams.get(plan.key()));
    let step = StreamStep { listener: listener.clone(), what, rule: rule.map(|rule| rule.key.clone()) };
    let Some(rule) = rule else {
        let kind = if what.starts_with("TCP") { "TCPRoute" } else { "TLSRoute" };
        let what = format!("no {kind} of listener {} takes the connection", listener.name);
        let remedy = format!("write a {kind} for it with this Gateway among its parentRefs");
        let causes = vec![case.cause(listener_object(&listener), "spec.listeners", what, remedy)];
        let outcome = "the connection is reset: no route takes it".to_owned();
        return Answer { outcome, causes, stream: Some(step), ..Answer::default() };
    };
    let total = rule.backends.iter().map(|entry| u64::from(entry.weight)).sum();
    let backends: Vec<BackendStep> = rule.backends.iter().map(|entry| backend(case, entry, total)).collect();
    let causes = causes(case, rule, &backends);
    let failing: u64 = backends.iter().filter(|step| step.refused).map(|step| u64::from(step.share.0)).sum();
    let outcome = match failing {
        _ if failing == total => "the connection is reset: it leads nowhere".to_owned(),
        0 => "passed on; what is answered is for the backend to say".to_owned(),
        _ => format!("passed on, but {failing} of {total} connections are reset"),
    };
    Answer { outcome, causes, backends, stream: Some(step), ..Answer::default() }
}

fn backend(case: &Case<'_>, entry: &StreamBackend, total: u64) -> BackendStep {
    let share = (entry.weight, total);
    match &entry.target {
        Target::Invalid(invalid) => {
            BackendStep { refused: true, ..BackendStep::nowhere(invalid.message.clone(), share) }
        }
        Target::Backend(key) => {
            let (endpoints, usable) = case.endpoints(key);
            let (refused, check) = (!usable, case.check(key));
            BackendStep { backend: key.to_string(), share, status: None, refused, endpoints, check }
        }
    }
}

fn causes(case: &Case<'_>, rule: &StreamRule, backends: &[BackendStep]) -> Vec<Cause> {
    let path = format!("spec.rules[{}].backendRefs", rule.key.index);
    if backends.iter().all(|step| step.share.0 == 0) {
        let what = format!("{path}: no backend has a weight");
        let object = object_of(&ResourceKey::Stream(rule.key.clone()));
        return vec![case.cause(object, &path, what, "give one of them a weight")];
    }
    let failing =
        rule.backends.iter().zip(backends).enumerate().filter(|(_, (_, step))| step.share.0 > 0 && step.refused);
    let causes = failing.map(|(at, (entry, _))| match &entry.target {
        Target::Invalid(invalid) => cause::invalid(case, &rule.key, invalid, &format!("{path}[{at}]")),
        Target::Backend(key) => cause::no_endpoints(case, key),
    });
    causes.collect()
}
