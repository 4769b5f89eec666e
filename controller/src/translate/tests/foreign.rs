// SPDX-License-Identifier: Apache-2.0
//! What belongs to others costs nothing: no program changes, nothing is said, nothing is asked again.

use std::sync::Arc;

use serde_json::{Value, json};
use torana_ir::SessionKey;

use crate::class::CONTROLLER_NAME;
use crate::store::{Cluster, Event, Settings};
use crate::translate::{retranslate, translate};

fn cluster() -> Cluster {
    let mut cluster = Cluster::new(Settings::cluster(Vec::new(), SessionKey::new([0; 32]), 0));
    let class = |name: &str, controller: &str| {
        json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass", "metadata": {"name": name},
            "spec": {"controllerName": controller}})
    };
    let gateway = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": {"name": "theirs"},
        "spec": {"gatewayClassName": "other", "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}]}});
    cluster.apply_all([class("torana", CONTROLLER_NAME), class("other", "example.com/other"), gateway].map(applied));
    cluster
}

fn applied(value: Value) -> Event {
    Event::Applied(Arc::new(torana_crds::decode(value, "default").content.object().unwrap()))
}

fn route(path: &str) -> Value {
    json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "r"},
        "spec": {"parentRefs": [{"name": "theirs"}], "rules": [{
            "matches": [{"path": {"value": path}}], "backendRefs": [{"name": "s", "port": 80}]}]}})
}

fn service(port: u16) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{"port": port}]}})
}

#[test]
fn routes_of_others_and_what_they_name_are_no_news() {
    let mut cluster = cluster();
    let mut last = translate(&cluster);
    for object in [route("/a"), route("/b"), service(80), service(81)] {
        let dirty = cluster.apply(applied(object));
        last = retranslate(&cluster, &dirty, last);
        assert!(last.deltas.is_empty() && !last.is_news);
    }
}
