// SPDX-License-Identifier: Apache-2.0
//! Why a request does not arrive, and which object to change. The table knows only what is served; here the objects
//! that are not served are looked at too. The likeliest cause comes first.

use torana_controller::class;
use torana_controller::plane::object_of;
use torana_controller::report::{Remark, Severity};
use torana_controller::store::Fleets;
use torana_crds::gateway::{Gateway, GatewayClass, Listener, ListenerSet};
use torana_crds::policy::BackendTlsPolicy;
use torana_crds::{Kind, ObjectRef};
use torana_gateway::head::Head;
use torana_gateway::route::{Loser, Loss};
use torana_ir::{BackendKey, HostPattern, Invalid, ListenerKey, ResourceKey, RuleKey};

use super::answer::{Cause, lost};
use super::detached;
use super::judge::{Case, listener_object};

/// Causes told of one kind.
pub(super) const MOST: usize = 3;

pub(super) fn no_listener_on_port(case: &Case<'_>, ports: &str) -> Vec<Cause> {
    let port = case.question.port;
    let written: Vec<_> = listeners(case).into_iter().filter(|(.., listener)| listener.port == port).collect();
    if !written.is_empty() {
        return written.into_iter().take(MOST).map(|it| not_served(case, it)).collect();
    }
    let what = match ports {
        "" => format!("no Gateway has a working listener, so none on port {port}"),
        ports => format!("no listener has port {port}; there are listeners on: {ports}"),
    };
    let remedy = format!("add a listener with port {port}, or ask another port");
    let gateway = case.plane.cluster().all::<Gateway>().next();
    let object = gateway.map(|it| ObjectRef::new(Kind::Gateway, &it.meta.namespace, &it.meta.name));
    vec![match object {
        Some(object) => case.cause(object, "spec.listeners", what, remedy),
        None => {
            Cause { object: None, place: None, what: "there is no Gateway".to_owned(), remedy: "write one".to_owned() }
        }
    }]
}

pub(super) fn no_listener(case: &Case<'_>, head: &Head) -> Vec<Cause> {
    let (port, host) = (case.question.port, head.host());
    let covers = |listener: &Listener| pattern(listener).is_some_and(|pattern| pattern.covers(host));
    let on_port = || listeners(case).into_iter().filter(|(.., listener)| listener.port == port);
    let (served, other): (Vec<_>, Vec<_>) =
        on_port().partition(|(object, _, listener)| is_served(case, object, listener));
    let broken: Vec<_> = other.into_iter().filter(|(.., listener)| covers(listener)).collect();
    if !broken.is_empty() {
        return broken.into_iter().take(MOST).map(|it| not_served(case, it)).collect();
    }
    let causes = served.into_iter().map(|(object, at, listener)| {
        let hostname = listener.hostname.as_deref().unwrap_or("*");
        let what = format!("listener {} covers {hostname} only, not {host}", listener.name);
        case.cause(object, &format!("spec.listeners[{at}].hostname"), what, format!("add a listener for {host}"))
    });
    causes.take(MOST).collect()
}

/// The path is not for routes.
pub(super) fn reserved(case: &Case<'_>, head: &Head) -> Vec<Cause> {
    let hosts = case.snapshot.acme_hosts.keys().filter(|key| key.host == head.host());
    let causes = hosts.map(|key| {
        let what = format!("it obtains the certificate of {} by ACME, so authorities ask at this path", key.host);
        case.cause(object_of(&ResourceKey::AcmeHost(key.clone())), "", what, "routes need another path")
    });
    causes.take(MOST).collect()
}

pub(super) fn misdirected(case: &Case<'_>, host: Option<&ListenerKey>, sni: Option<&ListenerKey>) -> Vec<Cause> {
    let name = |key: Option<&ListenerKey>| key.map_or("none", |key| key.name.as_str()).to_owned();
    let what = format!(
        "the handshake was for {} (listener {}), the request is for {} (listener {})",
        case.question.host,
        name(sni),
        case.question.authority,
        name(host)
    );
    let remedy = "the client must connect anew for that host; give each listener a certificate of its own names only";
    host.map(|key| case.cause(listener_object(key), "spec.listeners", what, remedy)).into_iter().collect()
}

pub(super) fn no_route(case: &Case<'_>, key: Option<&ListenerKey>, losers: &[Loser], head: &Head) -> Vec<Cause> {
    let Some(key) = key else { return Vec::new() };
    let near =
        losers.iter().filter(|it| matches!(it.why, Loss::Method { .. } | Loss::Header { .. } | Loss::Query { .. }));
    let mut causes: Vec<_> = near.take(MOST).map(|it| mismatch(case, it)).collect();
    causes.extend(detached::routes(case, key, head.host()));
    causes.extend(detached::refused(case));
    let mut paths: Vec<_> = losers.iter().filter(|it| it.why == Loss::Path).collect();
    paths.sort_by_key(|it| std::cmp::Reverse(alike(&it.path, head.path())));
    causes.extend(paths.iter().take(MOST).map(|it| {
        let what = format!("rule {} wants {}, the path is {}", it.rule.index, it.path, head.path());
        let at = format!("spec.rules[{}].matches[{}]", it.rule.index, it.index);
        case.cause(object_of(&ResourceKey::Rule(it.rule.clone())), &at, what, "add a match for it")
    }));
    if causes.is_empty() {
        causes = hosts(case, losers, head.host());
    }
    if causes.is_empty() {
        let what = format!("no route is attached to listener {}", key.name);
        let remedy = "write an HTTPRoute with this Gateway among its parentRefs";
        causes.push(case.cause(listener_object(key), "spec.listeners", what, remedy));
    }
    causes
}

fn mismatch(case: &Case<'_>, loser: &Loser) -> Cause {
    let path = format!("spec.rules[{}].matches[{}]", loser.rule.index, loser.index);
    let what = format!("rule {} fits by host and path, but {}", loser.rule.index, lost(loser));
    case.cause(object_of(&ResourceKey::Rule(loser.rule.clone())), &path, what, "send that, or add a match without it")
}

/// Routes of the listener that serve other hosts only; each route once.
fn hosts(case: &Case<'_>, losers: &[Loser], host: &str) -> Vec<Cause> {
    let mut other: Vec<_> = losers.iter().filter(|it| it.why == Loss::Host).collect();
    other.sort_by_key(|it| (std::cmp::Reverse(alike_end(&it.hostname, host)), it.rule.route.clone()));
    other.dedup_by_key(|it| it.rule.route.clone());
    let causes = other.into_iter().map(|it| {
        let what = format!("serves host {}, not {host}", it.hostname);
        let object = object_of(&ResourceKey::Rule(it.rule.clone()));
        case.cause(object, "spec.hostnames", what, format!("add {host} to its hostnames, or write a route for it"))
    });
    causes.take(MOST).collect()
}

/// Bytes that a path match in words shares with the path.
fn alike(wanted: &str, path: &str) -> usize {
    let wanted = wanted.split_once(' ').map_or(wanted, |(_, path)| path);
    wanted.bytes().zip(path.bytes()).take_while(|(a, b)| a == b).count()
}

fn alike_end(one: &str, other: &str) -> usize {
    one.bytes().rev().zip(other.bytes().rev()).take_while(|(a, b)| a == b).count()
}

/// Matches that fit too and are never reached by this request.
pub(super) fn shadowed(case: &Case<'_>, losers: &[Loser]) -> Vec<Cause> {
    let shadowed = losers.iter().filter(|it| matches!(it.why, Loss::Shadowed { .. }));
    let causes = shadowed.map(|it| {
        let path = format!("spec.rules[{}].matches[{}]", it.rule.index, it.index);
        let object = object_of(&ResourceKey::Rule(it.rule.clone()));
        let what = format!("rule {} {}", it.rule.index, lost(it));
        case.cause(object, &path, what, "if it should win, make its match more specific")
    });
    causes.take(MOST).collect()
}

/// An invalid rule or reference; the report knows best what to do about it.
pub(super) fn invalid(case: &Case<'_>, rule: &RuleKey, invalid: &Invalid, path: &str) -> Cause {
    let object = object_of(&ResourceKey::Rule(rule.clone()));
    let remark = errors(case, &object).find(|remark| remark.path.starts_with(path));
    match remark {
        Some(remark) => told(case, &object, remark),
        None => case.cause(object, path, format!("{path}: {} ({})", invalid.message, invalid.reason), ""),
    }
}

/// A backend that may not be spoken to: the policy that asks for TLS is the thing to change.
pub(super) fn refused(case: &Case<'_>, key: &BackendKey, invalid: &Invalid) -> Cause {
    let policies = case.plane.cluster().within::<BackendTlsPolicy>(&key.namespace);
    let mut named = policies.map(|it| ObjectRef::new(Kind::BackendTlsPolicy, &it.meta.namespace, &it.meta.name));
    let policy = named.find(|policy| invalid.message.starts_with(&format!("{policy}: ")));
    match policy.as_ref().and_then(|policy| Some((policy, complaint(case, policy, "spec.validation")?))) {
        Some((policy, remark)) => told(case, policy, remark),
        None => case.cause(object_of(&ResourceKey::Backend(key.clone())), "", invalid.message.clone(), ""),
    }
}

pub(super) fn no_endpoints(case: &Case<'_>, key: &BackendKey) -> Cause {
    let object = object_of(&ResourceKey::Backend(key.clone()));
    if let Some(remark) = errors(case, &object).next() {
        return told(case, &object, remark);
    }
    let slices = case.plane.cluster().slices(&object).count();
    let what = match slices {
        0 => format!("no EndpointSlice belongs to it (label kubernetes.io/service-name: {})", key.name),
        _ => format!("none of its {slices} EndpointSlices has a usable address for port {}", key.port),
    };
    case.cause(object, "", what, "start its pods, or write an EndpointSlice with addresses and the Service's port name")
}

/// The first thing that the report holds against an object, below `path` if something is there.
pub(super) fn complaint<'a>(case: &'a Case<'_>, object: &'a ObjectRef, path: &str) -> Option<&'a Remark> {
    errors(case, object).find(|remark| remark.path.starts_with(path)).or_else(|| errors(case, object).next())
}

fn errors<'a>(case: &'a Case<'_>, object: &'a ObjectRef) -> impl Iterator<Item = &'a Remark> {
    let entry = case.plane.report().objects.get(object);
    let remarks = entry.into_iter().flat_map(|entry| &entry.remarks);
    remarks.filter(|remark| remark.severity == Severity::Error)
}

pub(super) fn told(case: &Case<'_>, object: &ObjectRef, remark: &Remark) -> Cause {
    let at = if remark.path.is_empty() { String::new() } else { format!("{}: ", remark.path) };
    let what = format!("{at}{} ({})", remark.message, remark.reason);
    case.cause(object.clone(), &remark.path, what, &*remark.remedy)
}

/// A listener as written, with its object and its place in the list.
type Written<'a> = (ObjectRef, usize, &'a Listener);

/// Every listener as written.
fn listeners<'a>(case: &'a Case<'_>) -> Vec<Written<'a>> {
    let cluster = case.plane.cluster();
    let gateways = cluster.all::<Gateway>().flat_map(|gateway| {
        let object = ObjectRef::new(Kind::Gateway, &gateway.meta.namespace, &gateway.meta.name);
        gateway.spec.listeners.iter().enumerate().map(move |(at, listener)| (object.clone(), at, listener))
    });
    let sets = cluster.all::<ListenerSet>().flat_map(|set| {
        let object = ObjectRef::new(Kind::ListenerSet, &set.meta.namespace, &set.meta.name);
        set.spec.listeners.iter().enumerate().map(move |(at, listener)| (object.clone(), at, listener))
    });
    gateways.chain(sets).collect()
}

fn is_served(case: &Case<'_>, object: &ObjectRef, listener: &Listener) -> bool {
    case.snapshot.listeners.keys().any(|key| listener_object(key) == *object && key.name == listener.name)
}

fn pattern(listener: &Listener) -> Option<HostPattern> {
    HostPattern::parse(listener.hostname.as_deref().unwrap_or_default())
}

/// A listener that is written and not served.
fn not_served(case: &Case<'_>, (object, at, listener): Written<'_>) -> Cause {
    let path = format!("spec.listeners[{at}]");
    let gateway = case.plane.cluster().find::<Gateway>(&object.namespace, &object.name);
    let class =
        gateway.filter(|_| object.known_kind() == Some(Kind::Gateway)).map(|it| it.spec.gateway_class_name.as_str());
    if let Some(class) = class.filter(|class| !class::is_ours(class, written(case, class), Fleets::One)) {
        let what = format!("its class {class} is not Torana's");
        return case.cause(object, "spec.gatewayClassName", what, "write gatewayClassName: torana");
    }
    match complaint(case, &object, &path) {
        Some(remark) => told(case, &object, remark),
        None => case.cause(object, &path, format!("listener {} is not served", listener.name), ""),
    }
}

fn written<'a>(case: &'a Case<'_>, class: &str) -> Option<&'a GatewayClass> {
    case.plane.cluster().find::<GatewayClass>("", class)
}
