// SPDX-License-Identifier: Apache-2.0
//! What rules lead to: Services of Kubernetes, and ServiceEntries.

use serde_json::{Map, Value, json};

use super::dice::Dice;
use super::words::{NAMESPACES, export, object};

/// Namespace, name and ports of every Service there can be.
const SERVICES: [(&str, &str, &[u16]); 5] = [
    ("apps", "web", &[80]),
    ("shop", "web", &[8080]),
    ("apps", "api", &[80, 8080]),
    ("shop", "api", &[9090, 443]),
    ("istio-system", "bytes", &[9000]),
];

/// Hosts of ServiceEntries; some of them are Services', too.
const EXTERNAL: [&str; 5] =
    ["ext.example.net", "static.example.net", "*.wild.example.net", "web.apps.svc.cluster.local", "local.mesh"];

/// Hosts that rules name: all of the above in every form, and some that nobody has.
pub(super) const DESTINATIONS: [&str; 14] = [
    "web",
    "web",
    "api",
    "bytes",
    "web.apps.svc.cluster.local",
    "web.shop.svc.cluster.local",
    "api.apps.svc.cluster.local",
    "api.shop.svc.cluster.local",
    "bytes.istio-system.svc.cluster.local",
    "ext.example.net",
    "static.example.net",
    "local.mesh",
    "missing.example.net",
    "*.wild.example.net",
];

/// Namespaces, Services and their endpoints.
pub(super) fn kubernetes(dice: &mut Dice) -> Vec<Value> {
    let mut objects: Vec<Value> = NAMESPACES
        .iter()
        .map(|name| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}))
        .collect();
    for (namespace, name, ports) in SERVICES {
        if dice.chance(85) {
            objects.push(service(dice, (namespace, name), ports));
            objects.push(endpoints((namespace, name), ports));
        }
    }
    objects
}

fn service(dice: &mut Dice, (namespace, name): (&str, &str), ports: &[u16]) -> Value {
    let mut metadata = json!({"name": name, "namespace": namespace, "creationTimestamp": "2026-01-01T00:00:00Z"});
    if dice.chance(10) {
        let to = dice.pick(&[".", "*", "istio-system", "apps,shop", "~"]);
        metadata["annotations"] = json!({"networking.istio.io/exportTo": to});
    }
    let ports: Vec<Value> = ports.iter().map(|port| json!({"name": named(*port), "port": port})).collect();
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {"clusterIP": "10.0.0.1", "selector": {"app": name}, "ports": ports},
    })
}

fn named(port: u16) -> String {
    match port {
        443 => "https-443".to_owned(),
        9000 => "tcp-9000".to_owned(),
        _ => format!("http-{port}"),
    }
}

fn endpoints((namespace, name): (&str, &str), ports: &[u16]) -> Value {
    let ports: Vec<Value> = ports.iter().map(|port| json!({"name": named(*port), "port": port})).collect();
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": format!("{name}-1"), "namespace": namespace, "labels": {"kubernetes.io/service-name": name}
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.1.0.1"], "conditions": {"ready": true}}],
        "ports": ports,
    })
}

/// None to four.
pub(super) fn entries(dice: &mut Dice) -> Vec<Value> {
    (0..dice.count(0..=4)).map(|at| entry(dice, at)).collect()
}

fn entry(dice: &mut Dice, at: usize) -> Value {
    let namespace = dice.pick(&NAMESPACES);
    let count = dice.weighted(&[(5, 1), (2, 2)]);
    let hosts = dice.few(count, &EXTERNAL);
    let mut spec = Map::new();
    spec.insert("hosts".into(), json!(hosts));
    spec.insert("ports".into(), ports(dice));
    if dice.chance(50) {
        spec.insert("location".into(), dice.pick(&["MESH_EXTERNAL", "MESH_INTERNAL"]).into());
    }
    match dice.count(0..=9) {
        0..=5 => drop(spec.insert("resolution".into(), "DNS".into())),
        6..=8 => {
            spec.insert("resolution".into(), "STATIC".into());
            spec.insert("endpoints".into(), json!([{"address": "192.0.2.7", "labels": {"version": "v1"}}]));
        }
        _ => drop(spec.insert("resolution".into(), "NONE".into())),
    }
    export(dice, namespace, &mut spec);
    object(dice, "ServiceEntry", (namespace, &format!("s{at}")), spec)
}

fn ports(dice: &mut Dice) -> Value {
    dice.pick(&[
        &[(80, "HTTP")][..],
        &[(80, "HTTP")],
        &[(8080, "HTTP")],
        &[(80, "HTTP"), (443, "TLS")],
        &[(443, "HTTPS"), (8080, "HTTP2")],
        &[(9000, "TCP")],
    ])
    .iter()
    .map(|(number, protocol)| json!({"number": number, "name": format!("p{number}"), "protocol": protocol}))
    .collect()
}
