// SPDX-License-Identifier: Apache-2.0
//! What an API server with the shipped CRDs does to an object, for standalone mode: drops unknown fields, fills in
//! defaults, checks the structural schema and its CEL rules. Never decides what becomes of the object.
//!
//! A part that a schema leaves open (`x-kubernetes-preserve-unknown-fields`) is left as it is. Core kinds (Service,
//! EndpointSlice, Secret, ConfigMap, Namespace) have no CRD, and those of Istio are not shipped: their names are checked
//! here, their types and unknown fields by [`decode`](crate::decode).

mod suggest;

mod rule;

mod node;

mod subject;

mod shipped;

mod complete;

mod check;

use serde_json::Value;

use crate::decode::{reference, settle_nulls};
use crate::kind::Kind;
use crate::violation::{At, Findings};
pub use crate::violation::{Severity, Violation};

/// Checks and completes one raw object as an API server would. An object of a foreign kind is left alone.
///
/// With a [`Severity::Error`] an API server would refuse the object. Unknown fields are removed (so that `decode` does
/// not name them again), except those of the experimental channel.
pub fn admit(value: &mut Value) -> Vec<Violation> {
    let mut findings = Findings::default();
    let reference = reference(value, "default");
    let Some(kind) = reference.known_kind() else {
        return findings.list;
    };
    if !settle_nulls(kind, value) {
        findings.error(&At::Root, "is nested too deeply", "");
        return findings.list;
    }
    version(kind, value, &mut findings);
    names(kind, value, &mut findings);
    if let Some(schema) = shipped::schema_of(kind) {
        if let Some(fields) = value.as_object_mut() {
            fields.remove("status");
        }
        complete::complete(schema, value, &At::Root, &mut findings);
        check::check(schema, value, &At::Root, &mut findings);
    }
    findings.list
}

fn version(kind: Kind, value: &Value, findings: &mut Findings) {
    let api_version = value.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    let version = api_version.rsplit('/').next().unwrap_or_default();
    if !kind.versions().contains(&version) {
        let group = kind.group();
        let remedy = match kind.versions().first() {
            Some(served) if group.is_empty() => format!("write apiVersion: {served}"),
            Some(served) => format!("write apiVersion: {group}/{served}"),
            None => String::new(),
        };
        findings.error(&At::Root.field("apiVersion"), format!("{api_version} of {kind} is not served"), remedy);
    }
}

/// `metadata.name` and `metadata.namespace` (Kubernetes: "Object Names and IDs").
fn names(kind: Kind, value: &Value, findings: &mut Findings) {
    let metadata = At::Root.field("metadata");
    let text = |field: &str| value.get("metadata").and_then(|metadata| metadata.get(field));
    let name = text("name").and_then(Value::as_str).unwrap_or_default();
    let at = metadata.field("name");
    match kind {
        _ if name.is_empty() => findings.error(&at, "a name is required", "add metadata.name"),
        Kind::Service if !is_label(name) || name.starts_with(|first: char| first.is_ascii_digit()) => findings.error(
            &at,
            "is not a Service name",
            "use at most 63 lower-case letters, digits and -, with a letter in front",
        ),
        Kind::Namespace if !is_label(name) => {
            findings.error(&at, "is not a Namespace name", "use at most 63 lower-case letters, digits and -");
        }
        _ if !is_subdomain(name) => findings.error(
            &at,
            "is not an object name",
            "use at most 253 lower-case letters, digits, - and ., with a letter or digit at both ends",
        ),
        _ => {}
    }
    if let Some(namespace) = text("namespace")
        && !namespace.as_str().is_some_and(|namespace| namespace.is_empty() || is_label(namespace))
    {
        let remedy = "use at most 63 lower-case letters, digits and -";
        findings.error(&metadata.field("namespace"), "is not a Namespace name", remedy);
    }
}

/// RFC 1123 label.
fn is_label(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.len() <= 63
        && text.bytes().all(|byte| plain(byte) || byte == b'-')
        && text.bytes().next().is_some_and(plain)
        && text.bytes().next_back().is_some_and(plain)
}

/// RFC 1123 subdomain. Kubernetes bounds the whole, not its labels.
fn is_subdomain(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_part = |part: &str| {
        part.bytes().all(|byte| plain(byte) || byte == b'-')
            && part.bytes().next().is_some_and(plain)
            && part.bytes().next_back().is_some_and(plain)
    };
    text.len() <= 253 && text.split('.').all(is_part)
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "tables of literals read better without borrows")]
mod tests;
