// SPDX-License-Identifier: Apache-2.0
//! Proxies without any object of Gateway API: Gateways of Istio select them by the labels of their pods.

use serde_json::{Value, json};

use super::{Lab, ask, kubectl, lab, until, version};

/// Proxies that Gateways of this test select, and nobody else's.
fn ingress(lab: &Lab, fields: &str) -> String {
    let label = &lab.namespace;
    format!(
        "
apiVersion: torana.dev/v1alpha1
kind: GatewayParameters
metadata: {{name: ingress}}
spec:
  ingress: {{labels: {{istio: {label}}}{fields}}}
  replicas: 1
  workers: 1
  resources: {{requests: {{cpu: 5m, memory: 16Mi}}}}
---
"
    )
}

fn web(lab: &Lab, host: &str, port: u16) -> String {
    let label = &lab.namespace;
    format!(
        "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: web}}
spec:
  selector: {{istio: {label}}}
  servers: [{{port: {{number: {port}, name: http, protocol: HTTP}}, hosts: ['*.example']}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: web}}
spec:
  hosts: [{host}]
  gateways: [web]
  http: [{{route: [{{destination: {{host: web}}}}]}}]
---
apiVersion: v1
kind: Service
metadata: {{name: web}}
spec: {{selector: {{app: web}}, ports: [{{name: http, port: 80, targetPort: 9001}}]}}
---
"
    )
}

/// The address of the Service before the proxies, once it has one.
pub(super) fn address(lab: &Lab) -> String {
    let mut address = String::new();
    until("the ingress has an address", || {
        let service = lab.find("service", "ingress").unwrap_or_default();
        address = service["status"]["loadBalancer"]["ingress"][0]["ip"].as_str().unwrap_or_default().to_owned();
        !address.is_empty()
    });
    address
}

/// What Torana says of an object of Istio.
fn accepted(object: &Value) -> Option<&Value> {
    object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == "torana.dev/Accepted")
}

fn serves(address: &str, host: &str) -> bool {
    ask(address, host, "/").is_ok_and(|reply| reply.status == 200)
}

#[test]
fn gateways_of_istio_are_served_without_any_of_gateway_api() {
    let Some(lab) = lab() else { return };
    lab.apply(&(version("web", "v1", 9001) + &web(&lab, "web.example", 80) + &ingress(&lab, "")));
    let address = address(&lab);
    until("it serves", || serves(&address, "web.example"));
    assert_eq!(ask(&address, "other.example", "/").unwrap().status, 404);
    for kind in ["virtualservice", "gateways.networking.istio.io"] {
        until("its status says who serves it", || {
            accepted(&lab.get(kind, "web")).is_some_and(|it| it["status"] == "True")
        });
    }
    // Another host, and another selector.
    lab.apply(&web(&lab, "later.example", 80));
    until("the later host is served", || serves(&address, "later.example") && !serves(&address, "web.example"));
    lab.kubectl(&[
        "patch",
        "gateways.networking.istio.io",
        "web",
        "--type=merge",
        "-p",
        r#"{"spec": {"selector": {"istio": "others"}}}"#,
    ]);
    until("nobody listens any more", || ask(&address, "later.example", "/").is_err());
    until("nothing is said of what others serve", || accepted(&lab.get("virtualservice", "web")).is_none());
}

#[test]
fn the_ports_are_those_of_the_parameters_and_everything_goes_with_them() {
    let Some(lab) = lab() else { return };
    lab.apply(&ingress(&lab, ", ports: [{port: 80}, {port: 15443}]"));
    address(&lab);
    let ports = |service: &Value| -> Vec<_> {
        let ports = service["spec"]["ports"].as_array().into_iter().flatten();
        ports.map(|port| port["port"].as_u64().unwrap()).collect()
    };
    assert_eq!(ports(&lab.get("service", "ingress")), [80, 15443]);
    lab.apply(&ingress(&lab, ""));
    until("the ports are the usual ones", || ports(&lab.get("service", "ingress")) == [80, 443]);
    let pods = lab.kubectl(&["get", "pods", "-l", &format!("istio={}", lab.namespace), "-o", "name"]);
    assert_eq!(pods.lines().count(), 1, "{pods}");
    lab.kubectl(&["delete", "gatewayparameters", "ingress"]);
    until("nothing is left of it", || {
        ["deployment", "service", "serviceaccount"].iter().all(|kind| lab.find(kind, "ingress").is_none())
    });
}

#[test]
fn the_chart_brings_an_ingress_that_those_who_come_from_istio_expect() {
    let Some(lab) = lab() else { return };
    let chart = crate::house::source::root().join("deploy/charts/torana");
    let namespace = format!("ingress.namespace={}", lab.namespace);
    let rendered = super::super::helm(&[
        "template",
        "torana",
        chart.to_str().unwrap(),
        "--namespace",
        super::super::SYSTEM,
        "--show-only",
        "templates/ingress.yaml",
        "--set=ingress.enabled=true,ingress.parameters.replicas=1",
        "--set",
        &namespace,
    ]);
    lab.apply(&rendered);
    until("its pod is ready", || {
        lab.find("deployment", "torana-ingress").is_some_and(|it| it["status"]["readyReplicas"] == json!(1))
    });
    let service = lab.get("service", "torana-ingress");
    assert_eq!(service["spec"]["type"], "LoadBalancer");
    let pods = kubectl(&["-n", &lab.namespace, "get", "pods", "-l", "istio=ingressgateway", "-o", "name"]);
    assert_eq!(pods.lines().count(), 1, "{pods}");
}
