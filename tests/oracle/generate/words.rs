// SPDX-License-Identifier: Apache-2.0
//! The few names that configurations are made of, so that they meet often; and what every object begins with.

use serde_json::{Map, Value, json};

use super::dice::Dice;

/// The first is Istio's root namespace.
pub(super) const NAMESPACES: [&str; 3] = ["istio-system", "apps", "shop"];

/// Namespace and name of every Gateway there can be.
pub(super) const GATEWAYS: [(&str, &str); 4] = [("istio-system", "g"), ("apps", "g"), ("apps", "edge"), ("shop", "g")];

/// Hosts of servers and rules.
pub(super) const HOSTS: [&str; 12] = [
    "*",
    "*",
    "*.example.com",
    "*.example.com",
    "*.a.example.com",
    "a.example.com",
    "a.example.com",
    "x.a.example.com",
    "b.example.com",
    "B.example.com",
    "example.com",
    "shop.test",
];

/// Labels of the gateway's pod.
pub(super) const LABELS: [(&str, &str); 2] = [("istio", "ingressgateway"), ("app", "edge")];

/// Ports of servers without and with TLS.
pub(super) const PLAIN_PORTS: [u16; 3] = [80, 8080, 9000];
pub(super) const TLS_PORTS: [u16; 2] = [443, 8443];

/// Expressions, each with texts that match it and texts that do not, or only in part.
pub(super) const EXPRESSIONS: [(&str, &[&str]); 12] = [
    (".*", &["", "a"]),
    (".+", &["a", ""]),
    ("/a.*", &["/a", "/ab", "/x/a"]),
    ("/[ab]/?", &["/a", "/b/", "/c", "/a/b"]),
    ("/a(/.*)?", &["/a", "/a/", "/a/b", "/ab"]),
    ("/v[0-9]+/.*", &["/v1/items", "/v12/", "/v/items"]),
    ("a|b", &["a", "b", "ab", "A"]),
    ("v[0-9]", &["v1", "v9", "v", "v12"]),
    ("(?i)v1", &["v1", "V1", "v1 "]),
    ("GET|HEAD", &["GET", "HEAD", "POST"]),
    (".*example.*", &["a.example.com", "shop.test"]),
    ("*", &["a", ""]),
];

/// What an object begins with. Some are as old as others, and some have no age: Istio then takes them for new.
pub(super) fn object(dice: &mut Dice, kind: &str, (namespace, name): (&str, &str), spec: Map<String, Value>) -> Value {
    let version = dice.pick(&["v1", "v1", "v1", "v1beta1", "v1alpha3"]);
    let mut metadata = Map::new();
    metadata.insert("name".into(), name.into());
    metadata.insert("namespace".into(), namespace.into());
    if dice.chance(85) {
        let day = dice.count(1..=4);
        metadata.insert("creationTimestamp".into(), format!("2026-01-0{day}T00:00:00Z").into());
    }
    let mut object = json!({"apiVersion": format!("networking.istio.io/{version}"), "kind": kind});
    object["metadata"] = metadata.into();
    object["spec"] = spec.into();
    object
}

/// Most objects are for everybody; the rest is spread over every form, and few forms are wrong.
pub(super) fn export(dice: &mut Dice, namespace: &str, spec: &mut Map<String, Value>) {
    let others: Vec<&str> = NAMESPACES.into_iter().filter(|other| *other != namespace).collect();
    let other = dice.pick(&others);
    let to = match dice.count(0..=39) {
        0..=24 => return,
        25 | 26 => json!(["*"]),
        27..=29 => json!(["."]),
        30 | 31 => json!([namespace]),
        32 | 33 => json!([other]),
        34 | 35 => json!(["istio-system", "apps"]),
        36 => json!([".", other]),
        37 => json!(["gone", "."]),
        38 => json!([other, namespace]),
        _ if dice.chance(50) => json!(["~"]),
        _ => json!(["*", "."]),
    };
    spec.insert("exportTo".into(), to);
}
