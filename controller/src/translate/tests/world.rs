// SPDX-License-Identifier: Apache-2.0
//! A small world of objects in which everything refers to everything, each in several variants, some of them broken.

use std::sync::Arc;

use serde_json::{Value, json};
use torana_crds::{Object, Unreadable};

use crate::store::Event;

const GATEWAY_API: &str = "gateway.networking.k8s.io/v1";

/// One edit: which object becomes which of its variants; the variants beyond the last delete it, make it unreadable, or
/// give it to another revision.
pub(super) type Edit = (usize, usize);

fn metadata(namespace: &str, name: &str, variant: usize) -> Value {
    json!({"namespace": namespace, "name": name, "generation": variant,
        "creationTimestamp": format!("2024-01-0{}T00:00:00Z", 1 + variant % 3)})
}

fn object(api: &str, kind: &str, metadata: &Value, spec: &Value) -> Value {
    json!({"apiVersion": api, "kind": kind, "metadata": metadata, "spec": spec})
}

fn gateway(name: &str, variant: usize) -> Value {
    let https = |name: &str, secret: Value| json!({"name": name, "port": 443, "protocol": "HTTPS", "tls": {"certificateRefs": [secret]}});
    let http =
        json!({"name": "http", "port": 80, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "All"}}});
    let listeners = match variant {
        0 => json!([http]),
        1 => json!([http, https("tls", json!({"name": "cert"}))]),
        2 => json!([http, https("tls", json!({"name": "cert", "namespace": "b"}))]),
        3 => json!([{"name": "http", "port": 80, "protocol": "HTTP", "hostname": "*.example.com", "allowedRoutes":
            {"namespaces": {"from": "Selector", "selector": {"matchLabels": {"team": "x"}}}}}]),
        _ => json!([{"name": "tcp", "port": 80, "protocol": "TCP"}, {"name": "udp", "port": 80, "protocol": "UDP"},
            {"name": "pass", "port": 443, "protocol": "TLS", "tls": {"mode": "Passthrough"}},
            {"name": "end", "port": 443, "protocol": "TLS", "hostname": "*.example.com",
                "tls": {"mode": "Terminate", "certificateRefs": [{"name": "cert"}]}}]),
    };
    let class = if variant == 3 && name == "h" { "mine" } else { "torana" };
    let mut spec = json!({"gatewayClassName": class, "listeners": listeners,
        "allowedListeners": {"namespaces": {"from": if variant.is_multiple_of(2) { "All" } else { "None" }}}});
    if variant == 1 {
        let reference = json!({"group": "", "kind": "ConfigMap", "namespace": "b", "name": "ca"});
        spec["tls"] = json!({"frontend": {"default": {"validation": {"caCertificateRefs": [reference]}}},
            "backend": {"clientCertificateRef": {"name": "cert"}}});
    }
    object(GATEWAY_API, "Gateway", &metadata("a", name, variant), &spec)
}

fn route(kind: &str, (namespace, name): (&str, &str), variant: usize) -> Value {
    let parents = match variant {
        0 => json!([{"namespace": "a", "name": "g"}]),
        1 => json!([{"namespace": "a", "name": "g"}, {"namespace": "a", "name": "h"}]),
        2 => json!([{"kind": "ListenerSet", "namespace": "b", "name": "set"}]),
        3 => json!([{"namespace": "a", "name": "g", "sectionName": "http"}, {"namespace": "a", "name": "nobody"}]),
        _ => json!([{"namespace": "a", "name": "h"}]),
    };
    let backend = |namespace: &str, name: &str, port: u16| json!({"namespace": namespace, "name": name, "port": port});
    let backends = match variant {
        0 => json!([backend("a", "s", 80)]),
        1 => json!([backend("b", "s", 80), backend("a", "s", 81)]),
        2 => json!([backend("b", "t", 80)]),
        _ => json!([backend("a", "t", 80), backend("a", "s", 80)]),
    };
    let matches = match (kind, variant % 3) {
        ("HTTPRoute", 0) => json!([{"path": {"value": "/a"}}]),
        ("HTTPRoute", 1) => json!([{"path": {"type": "RegularExpression", "value": "/a("}}]),
        ("GRPCRoute", 0) => json!([{"method": {"service": "x.Y"}}]),
        _ => json!([]),
    };
    let mirror = json!({"type": "RequestMirror", "requestMirror": {"backendRef": backend("b", "s", 80)}});
    let filters = if variant == 4 { json!([mirror]) } else { json!([]) };
    let rules = json!([{"matches": matches, "backendRefs": backends, "filters": filters}, {"backendRefs": backends}]);
    let hostnames = if variant == 1 { json!(["a.example.com"]) } else { json!([]) };
    let spec = json!({"parentRefs": parents, "rules": rules, "hostnames": hostnames});
    object(GATEWAY_API, kind, &metadata(namespace, name, variant), &spec)
}

fn service((namespace, name): (&str, &str), variant: usize) -> Value {
    let spec = match variant {
        0 => json!({"selector": {"app": "vm"}, "ports": [{"port": 80}, {"name": "u", "port": 80, "protocol": "UDP"}]}),
        1 => {
            json!({"ports": [{"name": "x", "port": 80, "appProtocol": "kubernetes.io/h2c"}, {"name": "y", "port": 81}]})
        }
        2 => json!({"type": "ExternalName", "externalName": "x.example.com"}),
        3 => json!({"ports": [{"port": 80, "appProtocol": "https"}]}),
        _ => json!({"ports": [{"port": 15008}, {"name": "m", "port": 8080}]}),
    };
    let mut metadata = metadata(namespace, name, variant);
    match variant {
        0 => metadata["labels"] = json!({"istio.io/use-waypoint": "t", "istio.io/use-waypoint-namespace": "a"}),
        1 => metadata["labels"] = json!({"istio.io/ingress-use-waypoint": "true"}),
        _ => {}
    }
    object("v1", "Service", &metadata, &spec)
}

fn slice((namespace, name): (&str, &str), variant: usize) -> Value {
    let mut metadata = metadata(namespace, name, variant);
    metadata["labels"] = json!({"kubernetes.io/service-name": if variant == 1 { "t" } else { "s" }});
    let address = format!("10.0.0.{variant}");
    let addresses = json!([{"addresses": [if variant == 4 { "nowhere" } else { &address }],
        "zone": if variant == 3 { Value::Null } else { "z".into() }, "targetRef": {"kind": "Pod", "name": "one"}}]);
    let port = json!([{"name": if variant == 2 { "x" } else { "" }, "port": 8080}]);
    json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata, "addressType": "IPv4",
        "endpoints": addresses, "ports": port})
}

fn secret(namespace: &str, variant: usize) -> Value {
    let good = (
        include_str!("../../../testdata/certificates/good.crt"),
        include_str!("../../../testdata/certificates/good.key"),
    );
    let other = (
        include_str!("../../../testdata/certificates/other.crt"),
        include_str!("../../../testdata/certificates/other.key"),
    );
    let (chain, key) = match variant {
        0 => good,
        1 => other,
        2 => (good.0, other.1),
        _ => ("x", "x"),
    };
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata(namespace, "cert", variant),
        "type": "kubernetes.io/tls", "stringData": {"tls.crt": chain, "tls.key": key}})
}

fn listener_set(variant: usize) -> Value {
    let port = if variant == 0 { 81 } else { 80 };
    let spec = json!({"parentRef": {"namespace": "a", "name": if variant == 2 { "h" } else { "g" }}, "listeners":
        [{"name": "http", "port": port, "protocol": "HTTP", "hostname": "set.example.com",
            "allowedRoutes": {"namespaces": {"from": if variant == 3 { "Same" } else { "All" }}}}]});
    object(GATEWAY_API, "ListenerSet", &metadata("b", "set", variant), &spec)
}

fn grant(variant: usize) -> Value {
    let kind = ["HTTPRoute", "GRPCRoute", "Gateway", "Gateway", "TCPRoute"][variant % 5];
    let target = ["Service", "Service", "Secret", "ConfigMap", "Service"][variant % 5];
    let spec = json!({"from": [{"group": "gateway.networking.k8s.io", "kind": kind, "namespace": "a"}],
        "to": [{"group": "", "kind": target}]});
    object(GATEWAY_API, "ReferenceGrant", &metadata("b", "grant", variant), &spec)
}

fn policy(name: &str, variant: usize) -> Value {
    let mut target = json!({"group": "", "kind": "Service", "name": if variant == 0 { "s" } else { "t" }});
    if variant == 2 {
        target["sectionName"] = "x".into();
    }
    let targets =
        if variant == 3 { json!([target, {"group": "", "kind": "Service", "name": "s"}]) } else { json!([target]) };
    let validation = match variant {
        0 | 3 => json!({"hostname": "x", "caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "ca"}]}),
        _ => json!({"hostname": "x", "wellKnownCACertificates": "System"}),
    };
    let spec = json!({"targetRefs": targets, "validation": validation});
    object(GATEWAY_API, "BackendTLSPolicy", &metadata("a", name, variant), &spec)
}

fn traffic_policy(name: &str, variant: usize) -> Value {
    let mut target = json!({"group": "", "kind": "Service", "name": if variant == 0 { "s" } else { "t" }});
    match variant {
        2 => target["sectionName"] = "x".into(),
        3 => target["sectionName"] = "80".into(),
        _ => {}
    }
    let targets =
        if variant == 1 { json!([target, {"group": "", "kind": "Service", "name": "s"}]) } else { json!([target]) };
    let active = if variant == 3 { json!({"tcp": {}, "port": 0}) } else { json!({"http": {"path": "/healthz"}}) };
    let spec = json!({"targetRefs": targets, "healthCheck": {"active": active, "panicThreshold": 10 * variant}});
    object("torana.dev/v1alpha1", "TrafficPolicy", &metadata("a", name, variant), &spec)
}

fn authorities(namespace: &str, variant: usize) -> Value {
    let data = match variant {
        0 => json!({"ca.crt": include_str!("../../../testdata/certificates/good.crt")}),
        1 => json!({"ca.crt": include_str!("../../../testdata/certificates/other.crt")}),
        2 => json!({"ca.crt": "x"}),
        _ => json!({"other": variant.to_string()}),
    };
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(namespace, "ca", variant), "data": data})
}

fn class(variant: usize) -> Value {
    let controller = if variant.is_multiple_of(2) { "torana.dev/gateway-controller" } else { "example.com/other" };
    let name = if variant > 2 { "torana" } else { "mine" };
    let mut spec = json!({"controllerName": controller});
    if variant > 1 {
        let namespace = if variant == 4 { "b" } else { "a" };
        spec["parametersRef"] =
            json!({"group": "torana.dev", "kind": "GatewayParameters", "namespace": namespace, "name": "p"});
    }
    json!({"apiVersion": GATEWAY_API, "kind": "GatewayClass", "metadata": {"name": name}, "spec": spec})
}

fn parameters(variant: usize) -> Value {
    let mut spec = json!({"replicas": variant});
    if variant % 2 == 1 {
        spec["ingress"] = json!({"ports": [{"port": 80, "targetPort": 8000 + variant}]});
    }
    object("torana.dev/v1alpha1", "GatewayParameters", &metadata("a", "p", variant), &spec)
}

const ISTIO: &str = "networking.istio.io/v1";

fn istio_gateway((namespace, name): (&str, &str), variant: usize) -> Value {
    let http =
        |port: u16, hosts: Value| json!({"port": {"number": port, "name": "http", "protocol": "HTTP"}, "hosts": hosts});
    let tls = |mode: &str, hosts: Value| {
        json!({"port": {"number": 8443, "name": "tls", "protocol": if mode == "PASSTHROUGH" { "TLS" } else { "HTTPS" }},
        "hosts": hosts, "tls": {"mode": mode, "credentialName": if mode == "PASSTHROUGH" { Value::Null } else { "cert".into() }}})
    };
    let servers = match variant {
        0 => json!([http(8000, json!(["*"]))]),
        1 => json!([http(80, json!(["*.example.com"])), tls("SIMPLE", json!(["a.example.com", "b/b.example.com"]))]),
        2 => json!([http(8000, json!(["./a.example.com"])), tls("PASSTHROUGH", json!(["*.example.com"]))]),
        3 => {
            json!([{"port": {"number": 8000, "name": "http", "protocol": "HTTP"}, "hosts": ["*.example.com"], "tls": {"httpsRedirect": true}},
            {"port": {"number": 8001, "name": "tcp", "protocol": "TCP"}, "hosts": ["*"]}])
        }
        _ => json!([]),
    };
    let selector =
        if variant == 2 { json!({"app": "istio-ingressgateway"}) } else { json!({"istio": "ingressgateway"}) };
    object(ISTIO, "Gateway", &metadata(namespace, name, variant), &json!({"selector": selector, "servers": servers}))
}

fn virtual_service((namespace, name): (&str, &str), variant: usize) -> Value {
    let to = |host: &str, subset: Option<&str>| json!([{"destination": {"host": host, "subset": subset}}]);
    let spec = match variant {
        0 => json!({"hosts": ["*"], "gateways": ["a/web", "b/web"], "http": [
            {"match": [{"uri": {"prefix": "/a"}}], "route": to("s", Some("v1"))}, {"route": to("ext.example.com", None)}]}),
        1 => json!({"hosts": ["a.example.com"], "gateways": ["a/web", "a/g"], "exportTo": ["istio-system"], "http": [
            {"match": [{"uri": {"prefix": "/d"}}], "delegate": {"name": "sub", "namespace": "b"}}, {"route": to("t.b.svc.cluster.local", None)}]}),
        2 => json!({"hosts": ["a.example.com"], "gateways": ["a/web"], "exportTo": ["."],
            "tls": [{"match": [{"sniHosts": ["a.example.com"]}], "route": to("s.a.svc.cluster.local", None)}],
            "tcp": [{"route": to("s.a.svc.cluster.local", Some("v2"))}]}),
        3 => {
            json!({"hosts": ["b.example.com"], "http": [{"route": to("s.a.svc.cluster.local", None), "mirror": {"host": "ext.example.com"}}]})
        }
        _ => json!({"http": [{"route": to("s.a.svc.cluster.local", Some("v2"))}]}),
    };
    object(ISTIO, "VirtualService", &metadata(namespace, name, variant), &spec)
}

fn destination_rule((namespace, name): (&str, &str), variant: usize) -> Value {
    let host = ["s", "s.a.svc.cluster.local", "*.example.com", "*", "ext.example.com"][variant % 5];
    let subsets = json!([{"name": "v1", "labels": {"version": "v1"}}, {"name": "v2", "labels": {}}]);
    let balance = if variant.is_multiple_of(2) { "RANDOM" } else { "ROUND_ROBIN" };
    let mut spec = json!({"host": host, "trafficPolicy": {"loadBalancer": {"simple": balance}}});
    if variant < 3 {
        spec["subsets"] = subsets;
    }
    match variant {
        1 => spec["exportTo"] = json!(["."]),
        2 => {
            spec["trafficPolicy"]["tls"] =
                json!({"mode": "MUTUAL", "credentialName": "cert", "insecureSkipVerify": true});
        }
        3 => spec["workloadSelector"] = json!({"matchLabels": {"gateway.networking.k8s.io/gateway-name": "h"}}),
        4 => spec["trafficPolicy"]["tls"] = json!({"mode": "SIMPLE", "credentialName": "configmap://ca"}),
        _ => {}
    }
    match variant {
        1 | 4 => spec["trafficPolicy"]["outlierDetection"] = json!({}),
        2 => {
            let shares = json!([{"from": "*", "to": {"r": 70, "q": 30}}]);
            spec["trafficPolicy"]["loadBalancer"]["localityLbSetting"] = json!({"distribute": shares});
        }
        _ => {}
    }
    object(ISTIO, "DestinationRule", &metadata(namespace, name, variant), &spec)
}

fn service_entry(namespace: &str, variant: usize) -> Value {
    let endpoint = json!({"address": "192.0.2.1", "labels": {"version": "v1"}, "locality": "r/z"});
    let mut spec = json!({"hosts": [if variant == 3 { "other.example.com" } else { "ext.example.com" }],
        "ports": [{"number": if variant == 2 { 81 } else { 80 }, "name": "http", "protocol": "HTTP"}],
        "resolution": if variant == 1 { "DNS" } else { "STATIC" }});
    match variant {
        0 => spec["endpoints"] = json!([endpoint]),
        2 => spec["workloadSelector"] = json!({"labels": {"app": "vm"}}),
        4 => spec["exportTo"] = json!(["."]),
        _ => {}
    }
    object(ISTIO, "ServiceEntry", &metadata(namespace, "ext", variant), &spec)
}

fn workload(variant: usize) -> Value {
    let app = if variant == 3 { "other" } else { "vm" };
    let address = if variant == 1 { "vm.example.com".to_owned() } else { format!("192.0.2.{}", 10 + variant) };
    let spec = json!({"address": address, "labels": {"app": app, "version": "v1"}});
    let mut entry = object(ISTIO, "WorkloadEntry", &metadata("a", "vm", variant), &spec);
    match variant {
        2 => entry["status"] = json!({"conditions": [{"type": "Healthy", "status": "False"}]}),
        4 => entry["spec"] = json!({"labels": {"app": app}}),
        _ => {}
    }
    entry
}

fn pod(name: &str, variant: usize) -> Value {
    let mut metadata = metadata("a", name, variant);
    let region = if variant < 2 { "r" } else { "q" };
    let app = if variant == 3 { "other" } else { "vm" };
    metadata["labels"] = json!({"version": if variant.is_multiple_of(2) { "v1" } else { "v2" }, "app": app, "topology.kubernetes.io/region": region});
    match variant {
        1 | 3 => metadata["labels"]["security.istio.io/tlsMode"] = "istio".into(),
        4 => metadata["annotations"] = json!({"ambient.istio.io/redirection": "enabled"}),
        _ => {}
    }
    let conditions = json!([{"type": "Ready", "status": if variant == 2 { "False" } else { "True" }}]);
    let status = json!({"podIP": format!("192.0.2.{}", 20 + variant), "conditions": conditions});
    let spec = if variant == 3 { json!({}) } else { json!({"serviceAccountName": "account"}) };
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status})
}

fn peer_authentication(namespace: &str, variant: usize) -> Value {
    let spec = match variant {
        0 => json!({"mtls": {"mode": "STRICT"}}),
        1 => json!({"mtls": {"mode": "DISABLE"}}),
        2 => json!({"selector": {"matchLabels": {"app": "vm"}}, "mtls": {"mode": "STRICT"}}),
        3 => json!({"selector": {"matchLabels": {"app": "vm"}}, "portLevelMtls": {"8080": {"mode": "DISABLE"}}}),
        _ => json!({"portLevelMtls": {"8080": {"mode": "DISABLE"}}}),
    };
    object("security.istio.io/v1", "PeerAuthentication", &metadata(namespace, "peers", variant), &spec)
}

fn authorization(variant: usize) -> Value {
    let (namespace, spec) = match variant {
        0 => ("istio-system", json!({})),
        1 => ("istio-system", json!({"selector": {"matchLabels": {"istio": "ingressgateway"}}})),
        2 => ("istio-system", json!({"selector": {"matchLabels": {"app": "other"}}})),
        3 => ("istio-system", json!({"action": "AUDIT"})),
        _ => (
            "istio-system",
            json!({"targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "g"}]}),
        ),
    };
    object("security.istio.io/v1", "AuthorizationPolicy", &metadata(namespace, "policy", variant), &spec)
}

fn telemetry(namespace: &str, variant: usize) -> Value {
    let spec = match variant {
        0 => json!({"accessLogging": [{"disabled": true}]}),
        1 => json!({"selector": {"matchLabels": {"istio": "ingressgateway"}},
            "accessLogging": [{"filter": {"expression": "response.code >= 400"}}]}),
        2 => json!({"metrics": [{"overrides": [{"match": {"metric": "REQUEST_SIZE"}, "disabled": true}]}],
            "tracing": [{"providers": [{"name": "otel"}], "randomSamplingPercentage": 50}]}),
        3 => json!({"tracing": [{"providers": [{"name": ""}]}]}),
        _ => json!({"targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "g"}],
            "tracing": [{"providers": [{"name": "otel"}]}]}),
    };
    object("telemetry.istio.io/v1", "Telemetry", &metadata(namespace, "telemetry", variant), &spec)
}

fn mesh(name: &str, variant: usize) -> Value {
    let text = match variant {
        0 => "{rootNamespace: a, defaultDestinationRuleExportTo: ['.'], defaultServiceExportTo: ['.'], trustDomain: x}",
        1 => "discoverySelectors: [{matchLabels: {team: x}}, {matchLabels: {kubernetes.io/metadata.name: istio-system}}]",
        2 => {
            "{pathNormalization: {normalization: MERGE_SLASHES}, connectTimeout: 3s, defaultHttpRetryPolicy: {attempts: 7,
             perTryTimeout: 2s, retryOn: 5xx}, defaultTrafficPolicy: {outlierDetection: {consecutive5xxErrors: 3}}}"
        }
        3 => "connectTimeout: [",
        _ => {
            "{defaultVirtualServiceExportTo: ['.'], pathNormalization: {normalization: NONE}, unknown: 1, extensionProviders:
             [{name: otel, opentelemetry: {service: s.a.svc.cluster.local, port: 80}}], defaultProviders: {tracing: [otel]}}"
        }
    };
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata("istio-system", name, variant),
        "data": {"mesh": text}})
}

fn namespace(variant: usize) -> Value {
    let mut labels = json!({"team": if variant.is_multiple_of(2) { "x" } else { "y" }});
    match variant {
        1 => labels["istio.io/ingress-use-waypoint"] = "true".into(),
        3 => labels["istio.io/use-waypoint"] = "t".into(),
        _ => {}
    }
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a", "labels": labels}})
}

fn issuer(variant: usize) -> Value {
    let dns01 = json!({"webhook": {"url": if variant == 1 { "http://dns.example" } else { "https://dns.example" }}});
    let mut spec = json!({"directory": "https://acme.example/dir", "challenges": [{"type": "DNS01", "dns01": dns01}]});
    match variant {
        2 => spec["caBundle"] = "x".into(),
        3 => spec["limits"] = json!({"allowedHosts": [{"namespaces": ["a"], "hosts": ["*.x"]}]}),
        _ => {}
    }
    let kind = if variant == 4 { "ClusterAcmeIssuer" } else { "AcmeIssuer" };
    object("torana.dev/v1alpha1", kind, &metadata("a", "i", variant), &spec)
}

pub(super) const WORLD: usize = 49;

fn raw(object: usize, variant: usize) -> Value {
    match object {
        0 => gateway("g", variant),
        1 => gateway("h", variant),
        2 => route("HTTPRoute", ("a", "r"), variant),
        3 => route("HTTPRoute", ("a", "q"), variant),
        4 => route("HTTPRoute", ("b", "r"), variant),
        5 => route("GRPCRoute", ("a", "r"), variant),
        6 => service(("a", "s"), variant),
        7 => service(("a", "t"), variant),
        8 => service(("b", "s"), variant),
        9 => service(("b", "t"), variant),
        10 => slice(("a", "s-1"), variant),
        11 => slice(("a", "s-2"), variant),
        12 => slice(("b", "s-1"), variant),
        13 => secret("a", variant),
        14 => secret("b", variant),
        15 => listener_set(variant),
        16 => grant(variant),
        17 => policy("policy", variant),
        18 => class(variant),
        19 => route("TCPRoute", ("a", "r"), variant),
        20 => route("TCPRoute", ("a", "q"), variant),
        21 => route("TLSRoute", ("a", "r"), variant),
        22 => route("UDPRoute", ("a", "r"), variant),
        23 => policy("other", variant),
        24 => authorities("a", variant),
        25 => authorities("b", variant),
        26 => parameters(variant),
        28 => istio_gateway(("a", "web"), variant),
        29 => istio_gateway(("b", "web"), variant),
        30 => virtual_service(("a", "v"), variant),
        31 => virtual_service(("b", "v"), variant),
        32 => virtual_service(("b", "sub"), variant),
        33 => destination_rule(("a", "rule"), variant),
        34 => destination_rule(("istio-system", "rule"), variant),
        35 => service_entry("a", variant),
        36 => service_entry("b", variant),
        37 => workload(variant),
        38 => pod("one", variant),
        39 => authorization(variant),
        40 => mesh("istio", variant),
        41 => mesh("istio-user", variant),
        42 => traffic_policy("traffic", variant),
        43 => traffic_policy("second", variant),
        44 => peer_authentication("a", variant),
        45 => peer_authentication("istio-system", variant),
        46 => issuer(variant),
        47 => telemetry("a", variant),
        48 => telemetry("istio-system", variant),
        _ => namespace(variant),
    }
}

pub(super) fn decoded(object: usize, variant: usize) -> Object {
    made(raw(object, variant))
}

/// Labelled for another revision, which only Istio's objects mind.
fn of_canary(object: usize, variant: usize) -> Object {
    let mut raw = raw(object, variant);
    raw["metadata"]["labels"]["istio.io/rev"] = "canary".into();
    made(raw)
}

fn made(raw: Value) -> Object {
    let decoded = torana_crds::decode(raw, "");
    let reference = decoded.reference;
    decoded.content.object().unwrap_or_else(|| panic!("{reference} is unreadable"))
}

pub(super) fn event((object, variant): Edit) -> Event {
    match variant {
        0..=4 => Event::Applied(Arc::new(decoded(object, variant))),
        9.. => Event::Applied(Arc::new(of_canary(object, variant % 5))),
        5 | 6 => Event::Removed(decoded(object, 0).reference()),
        _ => {
            let why = Unreadable { path: "spec".into(), why: format!("wrong {variant}") };
            Event::Unreadable(decoded(object, 0).reference(), why)
        }
    }
}
