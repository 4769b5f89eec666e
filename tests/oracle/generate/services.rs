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
const EXTERNAL: [&str; 6] = [
    "ext.example.net",
    "ext.example.net",
    "static.example.net",
    "*.wild.example.net",
    "web.apps.svc.cluster.local",
    "local.mesh",
];

/// Hosts that rules name, with ports that they may have.
pub(super) const DESTINATIONS: [(&str, &[u16]); 10] = [
    ("web.apps.svc.cluster.local", &[80]),
    ("web.apps.svc.cluster.local", &[80]),
    ("web.shop.svc.cluster.local", &[8080]),
    ("api.apps.svc.cluster.local", &[80, 8080]),
    ("api.shop.svc.cluster.local", &[9090, 443]),
    ("bytes.istio-system.svc.cluster.local", &[9000]),
    ("ext.example.net", &[80]),
    ("ext.example.net", &[80]),
    ("static.example.net", &[80, 8080]),
    ("local.mesh", &[80]),
];

/// A host as an object of that namespace writes it: often a Service's name alone, seldom one that is not there.
pub(super) fn destination(dice: &mut Dice, namespace: &str) -> (&'static str, &'static [u16]) {
    if dice.chance(40) {
        let strangers = dice.chance(15);
        let near: Vec<_> = SERVICES.iter().filter(|(of, ..)| strangers || *of == namespace).collect();
        let (_, name, ports) = dice.pick(&near);
        return (name, ports);
    }
    if dice.chance(5) { (dice.pick(&ODD), &[80]) } else { dice.pick(&DESTINATIONS) }
}

/// A host that is nobody's, and one that a ServiceEntry may have.
const ODD: [&str; 2] = ["missing.example.net", "*.wild.example.net"];

/// Namespaces, Services and their endpoints.
pub(super) fn kubernetes(dice: &mut Dice) -> Vec<Value> {
    let mut objects: Vec<Value> = NAMESPACES
        .iter()
        .map(|name| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}))
        .collect();
    for (namespace, name, ports) in SERVICES {
        if dice.chance(93) {
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

/// None to five.
pub(super) fn entries(dice: &mut Dice) -> Vec<Value> {
    let mut all: Vec<Value> = (0..dice.count(0..=4)).map(|at| entry(dice, at)).collect();
    if dice.chance(80) {
        all.push(plain(dice));
    }
    all
}

/// What most configurations have.
fn plain(dice: &mut Dice) -> Value {
    let mut ports = json!([{"number": 80, "name": "http", "protocol": "HTTP"}]);
    if dice.chance(40) {
        ports = json!([
            {"number": 80, "name": "http", "protocol": "HTTP"},
            {"number": 443, "name": "https", "protocol": "HTTPS"},
            {"number": 8080, "name": "other", "protocol": "HTTP"},
        ]);
    }
    let hosts = json!(["ext.example.net", "static.example.net", "local.mesh"]);
    let spec = json!({"hosts": hosts, "ports": ports, "resolution": "DNS"});
    object(dice, "ServiceEntry", ("shop", "plain"), spec.as_object().cloned().unwrap_or_default())
}

fn entry(dice: &mut Dice, at: usize) -> Value {
    let namespace = dice.pick(&NAMESPACES);
    let count = dice.weighted(&[(5, 1), (2, 2)]);
    let mut hosts = dice.few(count, &EXTERNAL);
    hosts.sort_unstable();
    hosts.dedup();
    let wild = hosts.iter().any(|host| host.starts_with('*'));
    let mut spec = Map::new();
    spec.insert("hosts".into(), json!(hosts));
    spec.insert("ports".into(), ports(dice));
    if dice.chance(50) {
        spec.insert("location".into(), dice.pick(&["MESH_EXTERNAL", "MESH_INTERNAL"]).into());
    }
    match dice.count(0..=9) {
        0..=5 if !wild || dice.chance(10) => drop(spec.insert("resolution".into(), "DNS".into())),
        0..=8 => {
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
