// SPDX-License-Identifier: Apache-2.0
//! In a cluster parameters with `ingress` are proxies for Gateways of Istio, whether there is any of Gateway API or not.

use serde_json::{Value, json};
use torana_crds::{Kind, ObjectRef};
use torana_ir::SessionKey;

use crate::class::CONTROLLER_NAME;
use crate::store::{Cluster, Event, FleetId, Settings};
use crate::translate::{Translation, retranslate, translate};

fn applied(value: Value) -> Event {
    Event::Applied(torana_crds::decode(value, "edge").content.object().unwrap().into())
}

fn ingress(name: &str, ingress: &Value) -> Value {
    json!({"apiVersion": "torana.dev/v1alpha1", "kind": "GatewayParameters",
        "metadata": {"namespace": "edge", "name": name}, "spec": {"ingress": ingress}})
}

fn servers(name: &str, selector: &Value, ports: &[u16]) -> Value {
    let server = |port: &u16| {
        let name = format!("http-{port}");
        json!({"port": {"number": port, "name": name, "protocol": "HTTP"}, "hosts": ["*"]})
    };
    let servers: Vec<_> = ports.iter().map(server).collect();
    json!({"apiVersion": "networking.istio.io/v1", "kind": "Gateway", "metadata": {"namespace": "app", "name": name},
        "spec": {"selector": selector, "servers": servers}})
}

fn rule() -> Value {
    json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"namespace": "app", "name": "web"},
        "spec": {"hosts": ["*"], "gateways": ["web"], "http": [{"directResponse": {"status": 200}}]}})
}

fn cluster(objects: impl IntoIterator<Item = Value>) -> Cluster {
    let mut cluster = Cluster::new(Settings::cluster(Vec::new(), SessionKey::new([0; 32]), 0));
    cluster.apply_all(objects.into_iter().map(applied));
    cluster
}

/// Fleets that have listeners, each with the ports and the number of rules.
fn served(translation: &Translation) -> Vec<(&str, Vec<u16>, usize)> {
    let each = translation.snapshots.iter().filter(|(_, snapshot)| !snapshot.listeners.is_empty());
    each.map(|(FleetId(fleet), snapshot)| {
        let ports = snapshot.listeners.values().map(|listener| listener.port).collect();
        (fleet.as_str(), ports, snapshot.rules.len())
    })
    .collect()
}

fn said(translation: &Translation, kind: Kind, (namespace, name): (&str, &str)) -> String {
    let entry = translation.report.objects.get(&ObjectRef::new(kind, namespace, name));
    entry.into_iter().flat_map(|entry| &entry.remarks).map(ToString::to_string).collect()
}

#[test]
fn a_gateway_of_istio_is_served_by_the_ingresses_that_it_selects() {
    let usual = json!({"istio": "ingressgateway"});
    let cluster = cluster([
        ingress("usual", &json!({})),
        ingress("other", &json!({"labels": {"istio": "other"}})),
        servers("web", &usual, &[80]),
        rule(),
    ]);
    assert_eq!(served(&translate(&cluster)), [("edge/usual", vec![8080], 1)]);
}

#[test]
fn an_ingress_comes_and_goes_with_its_parameters() {
    let mut cluster = cluster([servers("web", &json!({"istio": "ingressgateway"}), &[80]), rule()]);
    let mut last = translate(&cluster);
    assert_eq!(served(&last), []);
    for (parameters, expected) in
        [(json!({}), vec![("edge/usual", vec![8080], 1)]), (json!({"labels": {"istio": "other"}}), vec![])]
    {
        let dirty = cluster.apply(applied(ingress("usual", &parameters)));
        last = retranslate(&cluster, &dirty, last);
        assert_eq!(served(&last), expected, "{parameters}");
    }
}

#[test]
fn a_port_that_the_ingress_does_not_have_is_told() {
    let parameters = ingress("usual", &json!({"ports": [{"port": 80, "targetPort": 8080}, {"port": 9090}]}));
    let cluster = cluster([parameters, servers("web", &json!({"app": "istio-ingressgateway"}), &[9090, 9000])]);
    let said = said(&translate(&cluster), Kind::IstioGateway, ("app", "web"));
    assert!(said.contains("spec.servers[1].port.number: ingress edge/usual has no port 9000"), "{said}");
    assert!(!said.contains("servers[0]"), "{said}");
}

#[test]
fn of_an_ingress_and_a_gateway_of_one_name_the_gateway_has_the_proxies() {
    let class = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass",
        "metadata": {"name": "torana"}, "spec": {"controllerName": CONTROLLER_NAME}});
    let gateway = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
        "metadata": {"namespace": "edge", "name": "usual"},
        "spec": {"gatewayClassName": "torana", "listeners": [{"name": "http", "port": 8000, "protocol": "HTTP"}]}});
    let istio = servers("web", &json!({"istio": "ingressgateway"}), &[80]);
    let cluster = cluster([class, gateway, istio, ingress("usual", &json!({}))]);
    let translation = translate(&cluster);
    assert_eq!(served(&translation), [("edge/usual", vec![8000], 0)]);
    let said = said(&translation, Kind::GatewayParameters, ("edge", "usual"));
    assert!(said.contains("metadata.name: a Gateway of this name has proxies already"), "{said}");
}

#[test]
fn a_server_is_found_by_the_port_of_the_service_and_by_that_of_the_proxies() {
    let usual = json!({"istio": "ingressgateway"});
    let cluster =
        cluster([ingress("usual", &json!({})), servers("web", &usual, &[80]), servers("more", &usual, &[8080, 443])]);
    let translation = translate(&cluster);
    assert_eq!(served(&translation), [("edge/usual", vec![8080, 8443], 0)]);
    assert_eq!(said(&translation, Kind::IstioGateway, ("app", "more")), "");
}
