// SPDX-License-Identifier: Apache-2.0
//! 5,000 routes: how long everything takes, and an edit. Bounds only catch a blow-up, for builds are
//! not optimised and machines busy; run with
//! `--release -- --nocapture speed` for numbers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use torana_crds::Object;

use crate::store::{Cluster, Event, FleetId, Settings};
use crate::translate::{retranslate, translate};

const ROUTES: usize = 5000;

fn object(value: Value) -> Arc<Object> {
    Arc::new(torana_crds::decode(value, "default").content.object().unwrap())
}

fn route(index: usize, path: &str) -> Event {
    Event::Applied(object(json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": format!("r{index}")},
        "spec": {
            "parentRefs": [{"name": "edge"}], "hostnames": [format!("h{index}.example.com")],
            "rules": [{
                "matches": [{"path": {"value": path}}], "backendRefs": [{"name": format!("s{index}"), "port": 80}],
            }],
        },
    })))
}

fn slice(index: usize, address: &str) -> Event {
    let labels = json!({"kubernetes.io/service-name": format!("s{index}")});
    Event::Applied(object(json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": format!("s{index}-1"), "labels": labels},
        "endpoints": [{"addresses": [address]}], "ports": [{"port": 8080}],
    })))
}

fn service(index: usize) -> Event {
    Event::Applied(object(json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": format!("s{index}")},
        "spec": {"ports": [{"port": 80}]},
    })))
}

fn timed<T>(what: &str, bound: Duration, run: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = run();
    let took = start.elapsed();
    println!("{what}: {took:?}");
    assert!(took < bound, "{what} took {took:?}");
    result
}

#[test]
fn speed_of_five_thousand_routes() {
    let mut cluster = Cluster::new(Settings::standalone(0));
    cluster.apply(Event::Applied(object(json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": {"name": "edge"},
        "spec": {"gatewayClassName": "torana", "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}]},
    }))));
    for index in 0..ROUTES {
        cluster.apply_all([route(index, "/"), service(index), slice(index, "10.0.0.1")]);
    }
    let mut last = timed("everything", Duration::from_secs(30), || translate(&cluster));
    assert_eq!(last.snapshots[&FleetId::standalone()].rules.len(), ROUTES);
    for (what, edit) in
        [("one route", route(7, "/a")), ("one slice", slice(7, "10.0.0.2")), ("another", route(8, "/b"))]
    {
        // Held by its readers, as in life: the edit copies the maps.
        let held = last.snapshots.clone();
        let dirty = cluster.apply(edit);
        last = timed(what, Duration::from_secs(2), || retranslate(&cluster, &dirty, last));
        assert_eq!(last.deltas[&FleetId::standalone()].upserts.len(), 1);
        drop(held);
    }
}
