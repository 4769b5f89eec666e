// SPDX-License-Identifier: Apache-2.0
//! Faults, statuses and filters in words. Nothing is decided here.

use torana_gateway::fault::Fault;
use torana_ir::{Filter, HeaderEdit, ListenerKey, Mirror, PathRewrite, Redirect, Rewrite, Target};

/// What a fault means for the client.
pub(super) fn fault(fault: Fault, listener: Option<&ListenerKey>) -> String {
    let listener = listener.map_or_else(|| "?".to_owned(), ToString::to_string);
    match fault {
        Fault::NoListener => "404: no listener of this port covers the host".to_owned(),
        Fault::NoRoute => format!("404: no route of listener {listener} matches"),
        Fault::Misdirected => "421: the host belongs to another listener than the TLS handshake was for".to_owned(),
        other => status(other.status()),
    }
}

/// What a status of the gateway itself means.
pub(super) fn status(status: u16) -> String {
    match status {
        500 => "500: the rule or its backend reference is invalid".to_owned(),
        503 => "503: no endpoint can be used".to_owned(),
        other => other.to_string(),
    }
}

/// One filter, short.
pub(super) fn filter(filter: &Filter) -> String {
    match filter {
        Filter::RequestHeaders(edit) => format!("RequestHeaderModifier: {}", edited(edit)),
        Filter::ResponseHeaders(edit) => format!("ResponseHeaderModifier: {}", edited(edit)),
        Filter::Redirect(redirect) => format!("RequestRedirect: {}", redirected(redirect)),
        Filter::Rewrite(Rewrite { hostname, path }) => {
            let hostname = hostname.as_ref().map(|hostname| format!("host {hostname}"));
            format!("URLRewrite: {}", listed([hostname, path.as_ref().map(rewritten)]))
        }
        Filter::Mirror(Mirror { target, numerator, denominator }) => {
            format!("RequestMirror: {numerator} of {denominator} requests to {}", aimed(target))
        }
        Filter::ExternalAuth(auth) => format!("ExternalAuth: asks {}", aimed(&auth.target)),
        Filter::Cors(cors) => format!("CORS: {} origins", cors.allow_origins.len()),
    }
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
    let Redirect { scheme, hostname, path, port, status } = redirect;
    listed([
        Some(status.to_string()),
        scheme.map(|scheme| format!("scheme {scheme}")),
        hostname.as_ref().map(|hostname| format!("host {hostname}")),
        port.map(|port| format!("port {port}")),
        path.as_ref().map(rewritten),
    ])
}

fn rewritten(path: &PathRewrite) -> String {
    match path {
        PathRewrite::Full(path) => format!("path {path:?}"),
        PathRewrite::Prefix(prefix) => format!("prefix {prefix:?}"),
    }
}

fn listed<const N: usize>(parts: [Option<String>; N]) -> String {
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
