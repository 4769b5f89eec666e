// SPDX-License-Identifier: Apache-2.0
//! What an API server would say, case by case.

mod shipped_crds;

mod coverage;

mod completion;

mod violations;

mod cel_rules;

mod agreement;

mod issuers;

use serde_json::{Value, json};

use super::shipped::{SHIPPED, Shipped};
use super::*;
use crate::decode::decode;

/// `(path, severity, part of why, part of remedy)`.
type Expected<'a> = (&'a str, Severity, &'a str, &'a str);

fn route(spec: Value) -> Value {
    json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
           "metadata": {"name": "web", "namespace": "default"}, "spec": spec})
}

fn rule(rule: Value) -> Value {
    route(json!({"rules": [rule]}))
}

fn gateway(spec: Value) -> Value {
    json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
           "metadata": {"name": "edge", "namespace": "default"}, "spec": spec})
}

fn listener(listener: Value) -> Value {
    gateway(json!({"gatewayClassName": "torana", "listeners": [listener]}))
}

fn admitted(mut value: Value) -> Vec<Violation> {
    admit(&mut value)
}

#[track_caller]
fn says(value: Value, expected: &[Expected<'_>]) {
    let told = admitted(value.clone());
    for (path, severity, why, remedy) in expected {
        let found = told.iter().any(|it| {
            it.path == *path && it.severity == *severity && it.why.contains(why) && it.remedy.contains(remedy)
        });
        assert!(found, "{path} {why:?} {remedy:?} is missing in {told:#?}\nof {value:#}");
    }
    assert_eq!(told.len(), expected.len(), "{told:#?}\nof {value:#}");
}

#[test]
#[ignore = "a measurement: run with --ignored --nocapture"]
fn five_thousand_routes_take_well_under_two_seconds() {
    let routes: Vec<Value> = (0..5_000)
        .map(|n| {
            let mut value = route(json!({
                "parentRefs": [{"name": "edge"}],
                "hostnames": [format!("h{n}.example.com")],
                "rules": [
                    {"matches": [{"path": {"value": format!("/a{n}")}}], "backendRefs": [{"name": "a", "port": 80}]},
                    {"matches": [{"path": {"type": "Exact", "value": "/b"}}],
                     "filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "a", "value": "b"}]}}],
                     "backendRefs": [{"name": "a", "port": 80}, {"name": "b", "port": 80, "weight": 9}]},
                ],
            }));
            value["metadata"]["name"] = json!(format!("r{n}"));
            value
        })
        .collect();
    let start = std::time::Instant::now();
    assert_eq!(admitted(routes[0].clone()), []);
    let first = start.elapsed();
    let start = std::time::Instant::now();
    for mut value in routes {
        assert_eq!(admit(&mut value), []);
        assert!(matches!(decode(value, "default").content, crate::decode::Content::Object(_)));
    }
    let all = start.elapsed();
    println!("first {first:?}, all {all:?}");
    assert!(all.as_secs() < 2, "{all:?}");
}
