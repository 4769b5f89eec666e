// SPDX-License-Identifier: Apache-2.0
//! Faults, statuses and filters in words. Nothing is decided here.

use torana_gateway::fault::Fault;
use torana_ir::{
    AbortWith, Filter, HeaderEdit, HealthCheck, ListenerKey, MeshPeer, MeshTransport, Mirror, PathRewrite, PeerName,
    Probe, Redirect, RedirectPort, Rewrite, Share, Target,
};

/// What a fault means for the client.
pub(super) fn fault(fault: Fault, listener: Option<&ListenerKey>) -> String {
    let listener = listener.map_or_else(|| "?".to_owned(), ToString::to_string);
    match fault {
        Fault::NoListener => "404: no listener of this port covers the host".to_owned(),
        Fault::NoRoute => format!("404: no route of listener {listener} matches"),
        Fault::Misdirected => "421: the host belongs to another listener than the TLS handshake was for".to_owned(),
        Fault::Guarded => {
            format!("403: a policy for listener {listener} is not evaluated yet, so nobody is let through")
        }
        Fault::UnknownToken => "404: a question of ACME that nobody has an answer to; no route is asked".to_owned(),
        Fault::ChallengeMethod => "405: a question of ACME, which is asked by GET".to_owned(),
        other => status(other.status()),
    }
}

/// What an authority of ACME gets that asks about a host.
pub(super) fn challenge() -> String {
    "200: a question of ACME, answered by the gateway itself before any route is asked".to_owned()
}

/// What a status of the gateway itself means.
pub(super) fn status(status: u16) -> String {
    match status {
        500 => "500: the rule or its backend reference is invalid".to_owned(),
        503 => "503: no endpoint can be used".to_owned(),
        other => other.to_string(),
    }
}

/// The same of a rule that leads nowhere: 503 of a VirtualService.
pub(super) fn nowhere(status: u16) -> String {
    format!("{status}: the rule or its backend reference is invalid")
}

/// A health check, short: `GET /healthz every 5s`.
pub(super) fn check(check: &HealthCheck) -> String {
    let asked = match &check.probe {
        Probe::Http(probe) => format!("{} {}", probe.method.as_str(), probe.target.as_str()),
        Probe::Tcp => "connecting".to_owned(),
        Probe::Grpc { service, .. } if service.is_empty() => "grpc.health.v1.Health".to_owned(),
        Probe::Grpc { service, .. } => format!("grpc.health.v1.Health of {service}"),
    };
    let port = check.port.map(|port| format!(" on port {port}")).unwrap_or_default();
    format!("{asked}{port} every {:?}", check.interval)
}

/// One filter, short.
pub(super) fn filter(filter: &Filter) -> String {
    match filter {
        Filter::RequestHeaders(edit) => format!("RequestHeaderModifier: {}", edited(edit)),
        Filter::ResponseHeaders(edit) => format!("ResponseHeaderModifier: {}", edited(edit)),
        Filter::Redirect(redirect) => format!("RequestRedirect: {}", redirected(redirect)),
        Filter::Rewrite(Rewrite { host, path }) => {
            let host = host.as_ref().map(|host| format!("host {host}"));
            format!("URLRewrite: {}", listed([host, path.as_ref().map(rewritten)]))
        }
        Filter::Mirror(Mirror { target, numerator, denominator, shadow }) => {
            let named = if *shadow { ", whose host ends in -shadow" } else { "" };
            format!("RequestMirror: {numerator} of {denominator} requests to {}{named}", aimed(target))
        }
        Filter::Respond(answer) => {
            format!("directResponse: {} with {} bytes", answer.status, answer.body.len())
        }
        Filter::Delay(delay) => format!("fault.delay: {:?} for {}", delay.time, shared(delay.share)),
        Filter::Abort(abort) => {
            let with = match abort.with {
                AbortWith::Http(status) => status.to_string(),
                AbortWith::Grpc(status) => format!("grpc-status {status}"),
            };
            format!("fault.abort: {with} for {}", shared(abort.share))
        }
        Filter::ExternalAuth(auth) => format!("ExternalAuth: asks {}", aimed(&auth.target)),
        Filter::Cors(cors) => format!("CORS: {} origins", cors.allow_origins.len()),
    }
}

/// How a workload of a mesh is spoken to, why, and who it must be. A waypoint is spoken to for the sake of a host.
pub(super) fn mesh(peer: &MeshPeer, waypoint_for: Option<&str>) -> String {
    let (by, why) = match (peer.transport, waypoint_for) {
        (MeshTransport::Mtls, _) => ("mTLS", "a sidecar, or ISTIO_MUTUAL".to_owned()),
        (MeshTransport::Hbone, None) => ("HBONE", "the ambient mesh".to_owned()),
        (MeshTransport::Hbone, Some(host)) => ("HBONE", format!("the waypoint of {host}")),
    };
    let names = peer.names.iter().map(|name| match name {
        PeerName::Uri(id) => id.clone(),
        PeerName::Dns(name) => name.to_string(),
        PeerName::Wildcard(suffix) => format!("*.{suffix}"),
        PeerName::TrustDomain(domain) => format!("anybody of {domain}"),
        PeerName::Sent => "the host".to_owned(),
    });
    let names = names.collect::<Vec<_>>().join(" or ");
    let instead = if peer.strict { "never cleartext" } else { "cleartext from proxies of no mesh" };
    format!(" (by {by} for {why}: {names}; {instead})")
}

fn aimed(target: &Target) -> String {
    match target {
        Target::Backend(key) => key.to_string(),
        Target::Invalid(invalid) => format!("nowhere: {}", invalid.message),
    }
}

fn edited(edit: &HeaderEdit) -> String {
    let set = edit.set.iter().map(|(name, value)| format!("set {name}: {value}"));
    let add = edit.add.iter().map(|(name, value)| format!("add {name}: {value}"));
    let remove = edit.remove.iter().map(|name| format!("remove {name}"));
    set.chain(add).chain(remove).collect::<Vec<_>>().join(", ")
}

fn redirected(redirect: &Redirect) -> String {
    let Redirect { scheme, host, path, query, port, status } = redirect;
    listed([
        Some(status.to_string()),
        scheme.map(|scheme| format!("scheme {scheme}")),
        host.as_ref().map(|host| format!("host {host}")),
        match port {
            RedirectPort::Known => None,
            RedirectPort::Number(port) => Some(format!("port {port}")),
            RedirectPort::Kept => Some("port of the request".to_owned()),
        },
        path.as_ref().map(rewritten),
        query.as_ref().map(|query| format!("query {query:?}")),
    ])
}

fn rewritten(path: &PathRewrite) -> String {
    match path {
        PathRewrite::Full(path) => format!("path {path:?}"),
        PathRewrite::Prefix(prefix) => format!("prefix {prefix:?}"),
        PathRewrite::Text(text) => format!("matched text {text:?}"),
        PathRewrite::Regex(regex) => format!("{regex:?}"),
    }
}

fn shared(share: Share) -> String {
    format!("{} of a million requests", share.millionths())
}

fn listed<const N: usize>(parts: [Option<String>; N]) -> String {
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
