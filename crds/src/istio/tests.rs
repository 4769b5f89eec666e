// SPDX-License-Identifier: Apache-2.0
//! What is made of Istio's objects, and what is said of them. A row of a table is a snippet of YAML.

use serde_json::{Value, json};

use crate::decode::{Content, Decoded, decode};
use crate::kind::Kind;
use crate::object::{Object, Spoken};
use crate::violation::{Severity, Violation};

mod authorization_policies;
mod decoding;
mod destination_rules;
mod gateways;
mod http_rules;
mod properties;
mod request_authentications;
mod service_entries;
mod telemetries;
mod virtual_services;

/// A snippet of YAML.
#[track_caller]
fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// An object with that spec.
#[expect(clippy::needless_pass_by_value, reason = "tables of literals read better without borrows")]
fn object(kind: Kind, spec: Value) -> Value {
    let version = format!("{}/v1", kind.group());
    json!({"apiVersion": version, "kind": kind.as_str(), "metadata": {"name": "it"}, "spec": spec})
}

/// The object of a spec that is readable, with nothing left over.
#[track_caller]
fn read<T: Spoken + Clone>(spec: &str) -> T {
    let Decoded { content, unknown_paths, ignored, .. } = decode(object(T::KIND, yaml(spec)), "web");
    assert_eq!((unknown_paths, ignored), (Vec::new(), Vec::new()), "{spec}");
    match content {
        Content::Object(object) => T::of(&object).cloned().unwrap_or_else(|| panic!("{object:?}")),
        other => panic!("{spec}: {other:?}"),
    }
}

/// Where an object with that spec cannot be read, and why.
#[track_caller]
fn unreadable(kind: Kind, spec: &str) -> (String, String) {
    match decode(object(kind, yaml(spec)), "web").content {
        Content::Unreadable(unreadable) => (unreadable.path, unreadable.why),
        other => panic!("{spec}: {other:?}"),
    }
}

/// Every row: where the object of a kind with a spec cannot be read, and part of what is said.
#[track_caller]
fn refused(rows: &[(Kind, &str, &str, &str)]) {
    for (kind, spec, path, why) in rows {
        let told = unreadable(*kind, spec);
        assert_eq!(told.0, *path, "{spec}: {told:?}");
        assert!(told.1.contains(why), "{spec}: {told:?}");
    }
}

/// What is said of an object with that spec.
#[track_caller]
fn problems(kind: Kind, spec: &str) -> Vec<Violation> {
    problems_of(object(kind, yaml(spec)))
}

/// What is said of an object.
#[track_caller]
fn problems_of(object: Value) -> Vec<Violation> {
    let shown = object.to_string();
    match decode(object, "web").content.object() {
        Some(Object::IstioGateway(it)) => it.problems(),
        Some(Object::VirtualService(it)) => it.problems(),
        Some(Object::DestinationRule(it)) => it.problems(),
        Some(Object::ServiceEntry(it)) => it.problems(),
        Some(Object::WorkloadEntry(it)) => it.problems(),
        Some(Object::AuthorizationPolicy(it)) => it.problems(),
        Some(Object::RequestAuthentication(it)) => it.problems(),
        Some(Object::Telemetry(it)) => it.problems(),
        other => panic!("{shown}: {other:?}"),
    }
}

/// Every row: what is said of `spec`, [`marked`], and nothing else.
#[track_caller]
fn judged(kind: Kind, rows: &[(&str, &[&str])]) {
    for (spec, expected) in rows {
        assert_eq!(marked(&problems(kind, spec)), *expected, "{spec}");
    }
}

/// What is said, as `! path: why` of an error and `? path: why` of a warning. Each says what to change.
#[track_caller]
fn marked(told: &[Violation]) -> Vec<String> {
    assert!(told.iter().all(|it| !it.remedy.is_empty() && !it.path.is_empty()), "{told:?}");
    let shown = told.iter().map(|it| {
        let mark = if it.severity == Severity::Error { '!' } else { '?' };
        format!("{mark} {}: {}", it.path, it.why)
    });
    shown.collect()
}
