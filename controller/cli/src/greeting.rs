// SPDX-License-Identifier: Apache-2.0
//! What `run` prints on a terminal once the first generation is in force: what listens, what is served, what is wrong.
//! Never decides anything.

use std::fmt::Write;
use std::net::SocketAddr;

use torana_controller::plane::Plane;
use torana_controller::publish::Rejection;
use torana_controller::report::Severity;
use torana_ir::{Attachment, Listener, ResourceKey, RouteId, Snapshot};

/// One of the gateway's own servers: its name, and its address if it is on.
pub(crate) type OwnServer<'a> = (&'a str, Option<SocketAddr>);

/// The lines.
pub(crate) fn greeting(plane: &Plane, rejected: &[Rejection], servers: &[OwnServer<'_>]) -> String {
    let snapshot = plane.snapshot();
    let mut lines = String::new();
    for listener in snapshot.listeners.values() {
        let refusal = rejected.iter().find(|it| it.key == ResourceKey::Listener(listener.key.clone()));
        let line = match refusal {
            Some(refusal) => format!("✘ {}: {}", described(listener), refusal.reason),
            None => format!("✔ {}, {} routes", described(listener), routes(&snapshot, listener)),
        };
        push(&mut lines, &line);
    }
    if snapshot.listeners.is_empty() {
        push(&mut lines, "✘ no listener: write a Gateway with gatewayClassName: torana");
    }
    for (name, address) in servers {
        if let Some(address) = address {
            push(&mut lines, &format!("✔ {name} server on http://{address}"));
        }
    }
    let errors = plane.findings().iter().filter(|finding| finding.severity == Severity::Error).count();
    let (objects, backends) = (plane.cluster().len(), snapshot.backends.len());
    push(
        &mut lines,
        &match errors {
            0 => format!("✔ {objects} objects, {backends} backends"),
            _ => format!("✘ {objects} objects, {backends} backends, {errors} errors: see the log, or torana lint"),
        },
    );
    lines
}

fn push(lines: &mut String, line: &str) {
    // Writing to a String cannot fail.
    writeln!(lines, "{line}").ok();
}

fn described(listener: &Listener) -> String {
    let protocol = listener.protocol.as_str();
    let port = listener.port;
    let addresses = match listener.addresses.as_slice() {
        [] => format!("*:{port}"),
        some => some.iter().map(|ip| SocketAddr::new(*ip, port).to_string()).collect::<Vec<_>>().join(" "),
    };
    format!("{} on {protocol}://{addresses} for {}", listener.key, listener.hostname)
}

fn routes(snapshot: &Snapshot, listener: &Listener) -> usize {
    let serves = |attachments: &[Attachment]| attachments.iter().any(|it| it.listener == listener.key);
    let requests = snapshot.rules.values().filter(|rule| serves(&rule.attachments)).map(|rule| &rule.key.route);
    let streams = snapshot.streams.values().filter(|rule| serves(&rule.attachments)).map(|rule| &rule.key.route);
    let mut routes: Vec<&RouteId> = requests.chain(streams).collect();
    routes.dedup();
    routes.len()
}
