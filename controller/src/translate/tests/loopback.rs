// SPDX-License-Identifier: Apache-2.0
//! Nobody who may write a ServiceEntry gets to the ports of a proxy that are not meant for its clients.

use std::sync::Arc;

use serde_json::{Value, json};
use torana_ir::{Endpoints, SessionKey};

use crate::class::CONTROLLER_NAME;
use crate::store::{Cluster, Event, Settings};
use crate::translate::{Translation, translate};

fn translated(settings: Settings) -> Translation {
    let mut cluster = Cluster::new(settings);
    let api = |group: &str, kind: &str, name: &str, spec: Value| json!({"apiVersion": format!("{group}/v1"), "kind": kind, "metadata": {"name": name}, "spec": spec});
    let entry = |host: &str, resolution: &str, endpoints: Value| {
        json!({"hosts": [host], "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
            "resolution": resolution, "endpoints": endpoints})
    };
    let gateway = "gateway.networking.k8s.io";
    let istio = "networking.istio.io";
    let route = |host: &str| {
        json!({"match": [{"uri": {"prefix": format!("/{host}")}}],
        "route": [{"destination": {"host": host}}]})
    };
    let own = json!([{"address": "127.0.0.1"}, {"address": "::ffff:127.0.0.1"}, {"address": "10.0.0.1"}]);
    let listeners = json!([{"name": "http", "port": 80, "protocol": "HTTP"}]);
    let objects = [
        api(gateway, "GatewayClass", "torana", json!({"controllerName": CONTROLLER_NAME})),
        api(gateway, "Gateway", "edge", json!({"gatewayClassName": "torana", "listeners": listeners})),
        api(istio, "ServiceEntry", "own", entry("own.example", "STATIC", own)),
        api(istio, "ServiceEntry", "named", entry("named.example", "DNS", json!([]))),
        api(
            istio,
            "VirtualService",
            "r",
            json!({"hosts": ["a.example"], "gateways": ["edge"],
            "http": [route("own.example"), route("named.example")]}),
        ),
    ];
    let applied = |value| Event::Applied(Arc::new(torana_crds::decode(value, "default").content.object().unwrap()));
    cluster.apply_all(objects.map(applied));
    translate(&cluster)
}

/// Addresses that are connected to, and whether a name may lead to the proxy itself.
fn reached(translation: &Translation) -> (Vec<String>, Vec<bool>) {
    let all: Vec<&Endpoints> =
        translation.snapshots.values().flat_map(|it| it.endpoints.iter()).map(|(_, it)| &**it).collect();
    let addresses = all.iter().flat_map(|it| it.addresses()).map(|it| it.address.ip().to_string()).collect();
    let names = all.iter().flat_map(|it| it.names()).map(|name| !name.no_loopback).collect();
    (addresses, names)
}

#[test]
fn in_a_cluster_nothing_leads_to_the_proxy_itself() {
    let inside = translated(Settings::cluster(Vec::new(), SessionKey::new([0; 32]), 0));
    assert_eq!(reached(&inside), (vec!["10.0.0.1".to_owned()], vec![false]));
    let (addresses, names) = reached(&translated(Settings::standalone(0)));
    assert_eq!((addresses.len(), names), (3, vec![true]), "{addresses:?}");
}
