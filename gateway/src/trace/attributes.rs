// SPDX-License-Identifier: Apache-2.0
//! What spans say: OpenTelemetry's conventions for HTTP, what Torana itself calls things, and the tags of Istio's gateways
//! that cost nothing. A query is not said: it often holds secrets.

use std::borrow::Cow;
use std::net::SocketAddr;

use torana_ir::{Backend, BackendKey, UpstreamProtocol, hostname_of};

use super::followed::{Request, Served, Tried};
use crate::fault::Fault;
use crate::head::{Scheme, Version};
use crate::observe::MethodLabel;

/// A name and what it is.
pub(crate) type Attribute<'s> = (&'s str, Value<'s>);

/// What an attribute is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value<'s> {
    /// A text.
    Text(Cow<'s, str>),
    /// A number.
    Number(i64),
}

impl<'s> From<&'s str> for Value<'s> {
    fn from(text: &'s str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl<'s> From<Cow<'s, str>> for Value<'s> {
    fn from(text: Cow<'s, str>) -> Self {
        Self::Text(text)
    }
}

impl From<u16> for Value<'_> {
    fn from(number: u16) -> Self {
        Self::Number(number.into())
    }
}

impl From<u64> for Value<'_> {
    fn from(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

/// Of a request of a client.
pub(super) fn of_request<'s>(request: &'s Request, served: &'s Served) -> Vec<Attribute<'s>> {
    let (host, port) = server(&request.authority, request.scheme);
    let mut all = vec![
        ("url.path", (&*request.path).into()),
        ("url.scheme", request.scheme.as_str().into()),
        ("server.address", host.into()),
        ("server.port", port.into()),
        ("client.address", request.client.to_string().into()),
        ("network.peer.address", request.peer.ip().to_canonical().to_string().into()),
        ("network.peer.port", request.peer.port().into()),
        ("network.protocol.version", version(request.version).into()),
        ("http.request.body.size", served.received.into()),
        ("http.response.body.size", served.sent.into()),
        ("component", "proxy".into()),
        ("response_flags", served.fault.map_or("-", Fault::flag).into()),
    ];
    method(&mut all, &request.method);
    all.extend(request.agent.as_deref().map(|agent| ("user_agent.original", agent.into())));
    all.extend(request.id.as_deref().map(|id| ("guid:x-request-id", id.into())));
    if served.status > 0 {
        all.push(("http.response.status_code", served.status.into()));
    }
    all.extend(served.grpc_status.map(|status| ("rpc.grpc.status_code", u64::from(status).into())));
    if let Some(nouns) = &served.nouns {
        all.push(("torana.gateway", nouns.gateway.as_str().into()));
        all.push(("torana.listener", nouns.listener.as_str().into()));
        if let Some(route) = &nouns.route {
            all.push(("torana.route", format!("{}/{}/{}", route.kind, route.namespace, route.name).into()));
            all.push(("torana.rule", route.rule.as_str().into()));
        }
    }
    all.extend(served.backend.iter().flat_map(|it| backend(it)));
    all
}

/// Of a request of our own, with this method, authority and path.
pub(super) fn of_try<'s>(tried: &'s Tried, (of, authority, path): (&'s str, &'s str, &'s str)) -> Vec<Attribute<'s>> {
    let mut all = vec![("component", "proxy".into())];
    method(&mut all, of);
    let is_http2 = tried.http2 || tried.backend.protocol == UpstreamProtocol::H2c;
    all.push(("network.protocol.version", if is_http2 { "2" } else { "1.1" }.into()));
    let scheme = if matches!(tried.backend.tls, torana_ir::BackendTls::Plain) { "http" } else { "https" };
    all.push(("url.full", format!("{scheme}://{authority}{path}").into()));
    if let Some(endpoint) = tried.endpoint {
        all.extend(place(endpoint));
    }
    if tried.number > 1 {
        all.push(("http.request.resend_count", u64::from(tried.number - 1).into()));
    }
    if tried.status > 0 {
        all.push(("http.response.status_code", tried.status.into()));
    }
    all.push(("response_flags", tried.fault.map_or("-", Fault::flag).into()));
    all.extend(backend(&tried.backend));
    all
}

/// Methods that nobody has defined are called so, and said beside (semantic conventions, `http.request.method`).
fn method<'s>(all: &mut Vec<Attribute<'s>>, method: &'s str) {
    match MethodLabel::of(method).as_str() {
        "OTHER" => {
            all.push(("http.request.method", "_OTHER".into()));
            all.push(("http.request.method_original", method.into()));
        }
        known => all.push(("http.request.method", known.into())),
    }
}

/// The endpoint is both: whom we mean and where we went.
fn place(endpoint: SocketAddr) -> [Attribute<'static>; 4] {
    let (address, port) = (endpoint.ip().to_string(), endpoint.port());
    [
        ("server.address", address.clone().into()),
        ("server.port", port.into()),
        ("network.peer.address", address.into()),
        ("network.peer.port", port.into()),
    ]
}

fn backend(backend: &Backend) -> [Attribute<'_>; 2] {
    [("torana.backend", backend.key.to_string().into()), ("upstream_cluster", cluster(&backend.key).into())]
}

/// As Istio names clusters of Envoy.
fn cluster(key: &BackendKey) -> String {
    let subset = key.subset.as_deref().unwrap_or_default();
    format!("outbound|{}|{subset}|{}.{}.svc.cluster.local", key.port, key.name, key.namespace)
}

fn server(authority: &str, scheme: Scheme) -> (&str, u16) {
    let host = hostname_of(authority);
    let port =
        authority.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')).and_then(|(_, port)| port.parse().ok());
    let usual = match scheme {
        Scheme::Http => 80,
        Scheme::Https => 443,
    };
    (host, port.unwrap_or(usual))
}

fn version(version: Version) -> &'static str {
    match version {
        Version::Http10 => "1.0",
        Version::Http11 => "1.1",
        Version::Http2 => "2",
    }
}
