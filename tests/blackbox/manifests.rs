// SPDX-License-Identifier: Apache-2.0
//! Manifests that many tests write. Specs are YAML in flow style.

use torana_tests::World;

/// A Gateway of class `torana`. Its listeners take routes of the default namespace, unless they say otherwise.
pub(super) fn gateway(name: &str, listeners: &[&str]) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: {name}, namespace: default}}\n\
         spec: {{gatewayClassName: torana, listeners: [{}]}}\n---\n",
        listeners.join(", ")
    )
}

/// An HTTPRoute; one without `parentRefs` is a child of `edge`.
pub(super) fn route(name: &str, spec: &str) -> String {
    object("gateway.networking.k8s.io/v1", "HTTPRoute", name, &with_parent(spec))
}

/// A GRPCRoute; one without `parentRefs` is a child of `edge`.
pub(super) fn grpc_route(name: &str, spec: &str) -> String {
    object("gateway.networking.k8s.io/v1", "GRPCRoute", name, &with_parent(spec))
}

/// Any object of the default namespace, or of the one in `namespace/name`.
pub(super) fn object(api: &str, kind: &str, name: &str, spec: &str) -> String {
    let (namespace, name) = name.split_once('/').unwrap_or(("default", name));
    format!(
        "apiVersion: {api}\nkind: {kind}\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {{{spec}}}\n---\n"
    )
}

/// A BackendTLSPolicy of the same name as the Service that it targets. `validation` is what it says.
pub(super) fn policy(service: &str, validation: &str) -> String {
    let targets = format!("targetRefs: [{{group: \"\", kind: Service, name: {service}}}]");
    let spec = format!("{targets}, validation: {{{validation}}}");
    object("gateway.networking.k8s.io/v1", "BackendTLSPolicy", service, &spec)
}

/// The `caCertificateRefs` of a ConfigMap.
pub(super) fn authorities(config_map: &str) -> String {
    format!("caCertificateRefs: [{{group: \"\", kind: ConfigMap, name: {config_map}}}]")
}

/// A Namespace with labels.
pub(super) fn namespace(name: &str, labels: &str) -> String {
    format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {{{labels}}}}}\n---\n")
}

/// The `backendRefs` of a rule that sends everything to one Service.
pub(super) fn to(service: &str) -> String {
    format!("backendRefs: [{{name: {service}, port: 80}}]")
}

fn with_parent(spec: &str) -> String {
    if spec.contains("parentRefs") { spec.to_owned() } else { format!("parentRefs: [{{name: edge}}], {spec}") }
}

/// A Service on port 80 with an endpoint on each of these loopback ports.
pub(super) fn service_at(name: &str, ports: &[u16]) -> String {
    let mut manifests = World::service(name, ports[0]);
    for (at, port) in ports.iter().enumerate().skip(1) {
        let slice =
            World::service(name, *port).replace(&format!("name: {name}-1"), &format!("name: {name}-{}", at + 1));
        manifests += slice.split_once("---\n").expect("a Service, then its slice").1;
    }
    manifests
}
