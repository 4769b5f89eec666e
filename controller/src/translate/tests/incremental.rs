// SPDX-License-Identifier: Apache-2.0
//! Whatever is edited in whatever order, translating what changed equals translating everything, the delta says what
//! changed, and the rest is shared. Objects are drawn from a small world in which everything refers to everything.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use torana_crds::{Object, Unreadable};
use torana_ir::{Delta, ResourceKey, Rule, SessionKey, Snapshot, StreamRule};

use crate::store::{Cluster, Event, FleetId, Settings};
use crate::translate::routes::{backends_of, backends_of_streams};
use crate::translate::{Translation, fleet_of, retranslate, translate};

const GATEWAY_API: &str = "gateway.networking.k8s.io/v1";

/// One edit: which object becomes which of its variants; the variants beyond the last delete it or make it unreadable.
type Edit = (usize, usize);

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
        0 => json!({"ports": [{"port": 80}, {"name": "u", "port": 80, "protocol": "UDP"}]}),
        1 => {
            json!({"ports": [{"name": "x", "port": 80, "appProtocol": "kubernetes.io/h2c"}, {"name": "y", "port": 81}]})
        }
        2 => json!({"type": "ExternalName", "externalName": "x.example.com"}),
        3 => json!({"ports": [{"port": 80, "appProtocol": "https"}]}),
        _ => json!({"ports": [{"port": 8080}]}),
    };
    object("v1", "Service", &metadata(namespace, name, variant), &spec)
}

fn slice((namespace, name): (&str, &str), variant: usize) -> Value {
    let mut metadata = metadata(namespace, name, variant);
    metadata["labels"] = json!({"kubernetes.io/service-name": if variant == 1 { "t" } else { "s" }});
    let address = format!("10.0.0.{variant}");
    let addresses = json!([{"addresses": [if variant == 4 { "nowhere" } else { &address }]}]);
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
    object("torana.dev/v1alpha1", "GatewayParameters", &metadata("a", "p", variant), &json!({"replicas": variant}))
}

fn namespace(variant: usize) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a",
        "labels": {"team": if variant.is_multiple_of(2) { "x" } else { "y" }}}})
}

const WORLD: usize = 28;

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
        _ => namespace(variant),
    }
}

fn decoded(object: usize, variant: usize) -> Object {
    let decoded = torana_crds::decode(raw(object, variant), "");
    let reference = decoded.reference;
    decoded.content.object().unwrap_or_else(|| panic!("{reference} is unreadable"))
}

fn event((object, variant): Edit) -> Event {
    match variant {
        0..=4 => Event::Applied(Arc::new(decoded(object, variant))),
        5 | 6 => Event::Removed(decoded(object, 0).reference()),
        _ => {
            let why = Unreadable { path: "spec".into(), why: format!("wrong {variant}") };
            Event::Unreadable(decoded(object, 0).reference(), why)
        }
    }
}

fn shared<K: Ord + Debug, V: PartialEq>(before: &BTreeMap<K, Arc<V>>, after: &BTreeMap<K, Arc<V>>) {
    for (key, value) in after {
        if let Some(old) = before.get(key).filter(|old| *old == value) {
            assert!(Arc::ptr_eq(old, value), "{key:?} did not change and is not shared");
        }
    }
}

/// What one fleet needs of the whole, found without remembering anything.
fn part(whole: &Snapshot, fleet: &FleetId) -> Snapshot {
    let mut part = Snapshot::default();
    let mut needs = Vec::new();
    for listener in whole.listeners.values().filter(|it| fleet_of(&it.key.gateway) == *fleet) {
        if let Some(tls) = listener.protocol.tls() {
            needs.extend(tls.certificates.iter().cloned().map(ResourceKey::Certificate));
            let bundles = tls.client.iter().flat_map(|client| &client.bundles);
            needs.extend(bundles.cloned().map(ResourceKey::TrustBundle));
        }
        needs.extend(listener.identity.iter().cloned().map(ResourceKey::Certificate));
        part.listeners.insert(listener.key.clone(), Arc::clone(listener));
    }
    for rule in whole.rules.values() {
        let mut rule = Rule::clone(rule);
        rule.attachments.retain(|it| fleet_of(&it.listener.gateway) == *fleet);
        if !rule.attachments.is_empty() {
            for key in backends_of(&rule) {
                needs.extend([ResourceKey::Backend(key.clone()), ResourceKey::Endpoints(key.clone())]);
                let bundles = whole.backends.get(key).into_iter().flat_map(|backend| backend.tls.bundles());
                needs.extend(bundles.cloned().map(ResourceKey::TrustBundle));
            }
            part.rules.insert(rule.key.clone(), Arc::new(rule));
        }
    }
    for rule in whole.streams.values() {
        let mut rule = StreamRule::clone(rule);
        rule.attachments.retain(|it| fleet_of(&it.listener.gateway) == *fleet);
        if !rule.attachments.is_empty() {
            let backends = backends_of_streams(&rule).into_iter();
            needs.extend(
                backends.flat_map(|key| [ResourceKey::Backend(key.clone()), ResourceKey::Endpoints(key.clone())]),
            );
            part.streams.insert(rule.key.clone(), Arc::new(rule));
        }
    }
    let upserts = needs.iter().filter_map(|key| whole.get(key)).collect();
    part.apply(Delta { upserts, removals: Vec::new() });
    part
}

fn check(cluster: &Cluster, before: &BTreeMap<FleetId, Arc<Snapshot>>, now: &Translation) {
    let fresh = translate(cluster);
    assert_eq!(now.report, fresh.report);
    assert_eq!(now.snapshots, fresh.snapshots);
    let fleets: BTreeSet<_> = before.keys().chain(now.snapshots.keys()).chain(now.deltas.keys()).collect();
    for fleet in fleets {
        let of = |snapshots: &BTreeMap<FleetId, Arc<Snapshot>>| snapshots.get(fleet).cloned().unwrap_or_default();
        let (before, after) = (of(before), of(&now.snapshots));
        let mut applied = Snapshot::clone(&before);
        applied.apply(now.deltas.get(fleet).cloned().unwrap_or_default());
        assert_eq!(applied, *after);
        if cluster.settings().is_cluster() {
            assert_eq!(*after, part(&now.whole, fleet));
        }
        shared(&before.listeners, &after.listeners);
        shared(&before.certificates, &after.certificates);
        shared(&before.bundles, &after.bundles);
        shared(&before.rules, &after.rules);
        shared(&before.streams, &after.streams);
        shared(&before.backends, &after.backends);
        shared(&before.endpoints, &after.endpoints);
    }
    let served: BTreeSet<_> = now.whole.listeners.keys().map(|key| fleet_of(&key.gateway)).collect();
    let in_cluster = cluster.settings().is_cluster();
    assert!(!in_cluster || served.iter().all(|fleet| now.snapshots.contains_key(fleet)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn translating_what_changed_equals_translating_everything(
        in_cluster: bool,
        start in proptest::collection::vec(0usize..7, WORLD),
        batches in proptest::collection::vec(proptest::collection::vec((0..WORLD, 0usize..9), 1..4), 1..12),
    ) {
        let now = 1_798_761_600;
        let settings = if in_cluster { Settings::cluster(Vec::new(), SessionKey::new([0; 32]), now) } else { Settings::standalone(now) };
        let mut cluster = Cluster::new(settings);
        cluster.apply(event((18, 4)));
        cluster.apply_all(start.into_iter().enumerate().map(event));
        let mut last = translate(&cluster);
        check(&cluster, &BTreeMap::new(), &last);
        for batch in batches {
            let before = last.snapshots.clone();
            let dirty = cluster.apply_all(batch.into_iter().map(event));
            last = retranslate(&cluster, &dirty, last);
            check(&cluster, &before, &last);
        }
    }
}

#[test]
fn an_edit_that_changes_nothing_leaves_the_snapshot_as_it_is() {
    let mut cluster = Cluster::new(Settings::standalone(0));
    let dirty = cluster.apply_all([0, 2, 6, 10].map(|object| event((object, 0))));
    let last = retranslate(&cluster, &dirty, Translation::default());
    let before = Arc::clone(&last.snapshots[&FleetId::standalone()]);
    assert_eq!(before.rules.len(), 2);
    let dirty = cluster.apply(event((13, 0)));
    let next = retranslate(&cluster, &dirty, last);
    assert!(Arc::ptr_eq(&before, &next.snapshots[&FleetId::standalone()]) && next.deltas.is_empty());
}

/// Certificates, and Programmed and ResolvedRefs of the HTTPS listener of Gateway `g`.
fn served(translation: &Translation) -> (Vec<String>, Vec<String>) {
    let snapshot = translation.snapshots.values().next().unwrap();
    let gateway = decoded(0, 1).reference();
    let conditions = &translation.report.objects[&gateway].listeners[1].conditions;
    let shown = conditions.iter().filter(|it| matches!(it.condition_type, "ResolvedRefs" | "Programmed"));
    let certificates = snapshot.certificates.values().map(|certificate| format!("{certificate:?}"));
    (certificates.collect(), shown.map(|it| format!("{}={:?} {}", it.condition_type, it.status, it.reason)).collect())
}

#[test]
fn a_certificate_that_cannot_be_renewed_is_served_on_and_said() {
    const SECRET: usize = 13;
    let mut cluster = Cluster::new(Settings::standalone(1_798_761_600));
    let dirty = cluster.apply_all([(0, 1), (SECRET, 0), (16, 3), (25, 0)].map(event));
    let mut last = retranslate(&cluster, &dirty, Translation::default());
    let good = served(&last);
    assert_eq!(good.1, ["Programmed=True Programmed", "ResolvedRefs=True ResolvedRefs"]);
    let mut step = |variant, last| {
        let dirty = cluster.apply(event((SECRET, variant)));
        let now = retranslate(&cluster, &dirty, last);
        (now.report == translate(&cluster).report, now)
    };
    // A key that does not fit, no PEM at all, and a key that does not fit again.
    for variant in [2, 3, 2] {
        let (same, now) = step(variant, last);
        assert!(same);
        assert_eq!(served(&now).0, good.0, "{variant}");
        assert_eq!(served(&now).1, ["Programmed=True Programmed", "ResolvedRefs=False InvalidCertificateRef"]);
        last = now;
    }
    let (_, renewed) = step(1, last);
    assert_eq!(served(&renewed).1, good.1);
    let (_, broken) = step(4, renewed.clone());
    assert_eq!(served(&broken).0, served(&renewed).0, "the last good one, not the first");
    let (_, gone) = step(5, broken);
    assert_eq!(
        served(&gone),
        (vec![], vec!["Programmed=False Invalid".into(), "ResolvedRefs=False InvalidCertificateRef".into()])
    );
}

#[test]
fn a_certificate_that_was_never_good_closes_its_listener() {
    let mut cluster = Cluster::new(Settings::standalone(1_798_761_600));
    let dirty = cluster.apply_all([(0, 1), (13, 2), (18, 4)].map(event));
    assert!(served(&retranslate(&cluster, &dirty, Translation::default())).0.is_empty());
    let dirty = cluster.apply(event((13, 3)));
    assert!(served(&retranslate(&cluster, &dirty, Translation::default())).0.is_empty());
}
