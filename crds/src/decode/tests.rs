// SPDX-License-Identifier: Apache-2.0
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::core::{SecretBytes, TargetPort, TransportProtocol};
use crate::filter::{Filter, PathModifier};
use crate::gateway::{FromNamespaces, ProtocolType};
use crate::route::{HttpRoute, PathMatchType};

fn gateway_api(kind: &str, spec: &Value) -> Value {
    json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": kind, "metadata": {"name": "it"}, "spec": spec})
}

fn core(kind: &str, mut fields: Value) -> Value {
    fields["apiVersion"] = json!(if kind == "EndpointSlice" { "discovery.k8s.io/v1" } else { "v1" });
    fields["kind"] = json!(kind);
    fields["metadata"] = json!({"name": "it"});
    fields
}

#[track_caller]
fn read(value: Value) -> Object {
    let decoded = decode(value, "default");
    assert_eq!(decoded.unknown_paths, Vec::<String>::new());
    match decoded.content {
        Content::Object(object) => *object,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn http_route(spec: &Value) -> HttpRoute {
    match read(gateway_api("HTTPRoute", spec)) {
        Object::HttpRoute(route) => route,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn filter(filter: &Value) -> Filter {
    http_route(&json!({"rules": [{"filters": [filter]}]})).spec.rules.remove(0).filters.remove(0)
}

#[track_caller]
fn unreadable(value: Value) -> Unreadable {
    match decode(value, "default").content {
        Content::Unreadable(unreadable) => unreadable,
        other => panic!("{other:?}"),
    }
}

mod identity {
    use super::*;

    #[test]
    fn a_namespaced_object_without_namespace_gets_the_default_one() {
        let decoded = decode(gateway_api("HTTPRoute", &json!({})), "mine");
        assert_eq!(decoded.reference.to_string(), "HTTPRoute mine/it");
        let object = decoded.content.object().unwrap();
        assert_eq!(object.meta().namespace, "mine");
        assert_eq!(object.reference(), decoded.reference);
    }

    #[test]
    fn a_cluster_scoped_object_has_no_namespace() {
        let mut class = gateway_api("GatewayClass", &json!({"controllerName": "example.com/c"}));
        class["metadata"]["namespace"] = json!("x");
        let decoded = decode(class, "default");
        assert_eq!(decoded.reference.to_string(), "GatewayClass it");
        assert_eq!(decoded.content.object().unwrap().meta().namespace, "");
    }

    #[test]
    fn other_kinds_are_foreign_whatever_is_in_them() {
        for (api_version, kind) in [("apps/v1", "Deployment"), ("v1", "Node"), ("example.com/v1", "HTTPRoute")] {
            let value = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "a"}, "spec": 5});
            assert_eq!(decode(value, "default").content, Content::Foreign);
        }
    }

    #[test]
    fn what_is_no_object_is_unreadable() {
        for value in [json!(null), json!("x"), json!([1]), json!({}), json!({"apiVersion": "v1"}), json!({"kind": 5})] {
            assert_eq!(unreadable(value).path, "kind");
        }
        let nameless = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": 5}});
        assert_eq!(unreadable(nameless).path, "metadata.name");
        let old =
            json!({"apiVersion": "gateway.networking.k8s.io/v1alpha2", "kind": "TLSRoute", "metadata": {"name": "a"}});
        assert_eq!(unreadable(old).to_string(), "apiVersion: version \"v1alpha2\" of TLSRoute is not served: use v1");
    }

    #[test]
    fn beta_versions_that_are_served_are_read() {
        let mut value = gateway_api("HTTPRoute", &json!({}));
        value["apiVersion"] = json!("gateway.networking.k8s.io/v1beta1");
        assert_eq!(read(value).kind(), Kind::HttpRoute);
    }

    #[test]
    fn a_namespace_carries_its_name_as_label() {
        let object = read(core("Namespace", json!({"spec": {"finalizers": ["kubernetes"]}})));
        assert_eq!(object.meta().labels["kubernetes.io/metadata.name"], "it");
    }
}

mod tolerance {
    use super::*;

    #[test]
    fn an_unknown_enum_value_keeps_the_rest() {
        let route = http_route(&json!({"hostnames": ["a"], "rules": [{
            "matches": [{"path": {"type": "Glob", "value": "/*"}}],
            "filters": [{"type": "Teleport"}, {"type": "CORS", "cors": {"allowOrigins": ["*"]}}],
        }]}));
        let rule = &route.spec.rules[0];
        assert_eq!(route.spec.hostnames, ["a"]);
        assert_eq!(rule.matches[0].path.match_type, PathMatchType::Other("Glob".into()));
        assert_eq!(rule.filters[0], Filter::Unknown { filter_type: "Teleport".into() });
        assert_eq!(rule.filters[1].type_name(), "CORS");
        let listeners =
            json!([{"name": "a", "port": 1, "protocol": "QUIC", "allowedRoutes": {"namespaces": {"from": "Moon"}}}]);
        let Object::Gateway(gateway) =
            read(gateway_api("Gateway", &json!({"gatewayClassName": "t", "listeners": listeners})))
        else {
            panic!("no Gateway");
        };
        let listener = &gateway.spec.listeners[0];
        assert_eq!(listener.protocol, ProtocolType::Other("QUIC".into()));
        assert_eq!(listener.allowed_routes.namespaces.from, FromNamespaces::Other("Moon".into()));
    }

    #[test]
    fn a_filter_and_its_part_must_fit_each_other() {
        for (value, why) in [
            (json!({"type": "CORS"}), "a filter of type CORS needs cors"),
            (json!({"type": "CORS", "cors": {}, "urlRewrite": {}}), "a filter of type CORS must not have urlRewrite"),
            (json!({"type": "URLRewrite", "cors": {}}), "a filter of type URLRewrite must not have cors"),
        ] {
            assert!(matches!(filter(&value), Filter::Malformed { why: found, .. } if found == why), "{value}");
        }
    }

    #[test]
    fn a_path_modifier_and_its_value_must_fit_each_other() {
        let path = |path: Value| match filter(&json!({"type": "URLRewrite", "urlRewrite": {"path": path}})) {
            Filter::UrlRewrite(rewrite) => rewrite.path.unwrap(),
            other => panic!("{other:?}"),
        };
        let full = json!({"type": "ReplaceFullPath", "replaceFullPath": "/a"});
        assert_eq!(path(full), PathModifier::ReplaceFullPath("/a".into()));
        let prefix = json!({"type": "ReplacePrefixMatch", "replacePrefixMatch": ""});
        assert_eq!(path(prefix), PathModifier::ReplacePrefixMatch(String::new()));
        for bad in [
            json!({"type": "ReplaceFullPath"}),
            json!({"type": "Regex"}),
            json!({"type": "ReplacePrefixMatch", "replaceFullPath": "/"}),
        ] {
            assert!(matches!(path(bad), PathModifier::Malformed(_)));
        }
    }

    #[test]
    fn null_is_the_same_as_absent() {
        let route =
            http_route(&json!({"hostnames": null, "rules": [{"matches": null, "timeouts": {"request": null}}]}));
        assert_eq!(route, http_route(&json!({"rules": [{}]})));
        assert_eq!(route.spec.rules[0].matches.len(), 1);
    }

    #[test]
    fn status_and_managed_fields_are_not_read() {
        let mut value = gateway_api("HTTPRoute", &json!({}));
        value["status"] = json!({"parents": 5});
        value["metadata"]["managedFields"] = json!([{"manager": "x"}]);
        value["metadata"]["ownerReferences"] = json!([]);
        assert_eq!(read(value).kind(), Kind::HttpRoute);
    }

    #[test]
    fn a_wrong_type_names_its_place() {
        for (spec, path) in [
            (
                json!({"rules": [{}, {"backendRefs": [{"name": "a", "port": 70_000}]}]}),
                "spec.rules[1].backendRefs[0].port",
            ),
            (json!({"rules": [{"timeouts": {"request": "1 minute"}}]}), "spec.rules[0].timeouts.request"),
            (json!({"rules": [{"backendRefs": [{"weight": 1}]}]}), "spec.rules[0].backendRefs[0]"),
            (json!({"hostnames": "a"}), "spec.hostnames"),
            (json!(5), "spec"),
            (
                json!({"rules": [{"filters": [{"type": "RequestRedirect", "requestRedirect": {"port": "x"}}]}]}),
                "spec.rules[0].filters[0].requestRedirect.port",
            ),
        ] {
            let told = unreadable(gateway_api("HTTPRoute", &spec));
            assert_eq!(told.path, path, "{told:?}");
        }
    }

    #[test]
    fn core_kinds_do_not_take_lists_for_maps() {
        for (value, path) in [
            (core("Service", json!({"spec": []})), "spec"),
            (core("Service", json!({"spec": {"ports": [["http", "TCP", 80, null, null]]}})), "spec.ports[0]"),
            (core("Service", json!({"spec": {"ports": {"port": 80}}})), "spec.ports"),
            (core("EndpointSlice", json!({"addressType": "IPv4", "endpoints": [[["::1"]]]})), "endpoints[0]"),
            (core("EndpointSlice", json!({"addressType": "IPv4", "ports": [80]})), "ports[0]"),
            (
                core(
                    "EndpointSlice",
                    json!({"addressType": "IPv4", "endpoints": [{"addresses": [], "conditions": [true]}]}),
                ),
                "endpoints[0].conditions",
            ),
            (core("ConfigMap", json!({"data": ["a"]})), "data"),
        ] {
            assert_eq!(unreadable(value).path, path);
        }
    }

    #[test]
    fn an_object_nested_too_deeply_is_unreadable() {
        let deep = (0..200).fold(json!(1), |inner, _| json!({"x": inner}));
        assert_eq!(unreadable(gateway_api("HTTPRoute", &deep)).why, "nested too deeply");
    }
}

mod unknown_fields {
    use super::*;

    #[track_caller]
    fn unknown(value: Value, expected: &[&str]) {
        let decoded = decode(value, "default");
        assert!(matches!(decoded.content, Content::Object(_)), "{decoded:?}");
        assert_eq!(decoded.unknown_paths, expected);
    }

    #[test]
    fn their_paths_are_told() {
        let rules = json!([{}, {"matchs": [], "filters": [{"type": "CORS", "cors": {"allowOrigin": []}}]}]);
        let mut value = gateway_api("HTTPRoute", &json!({"rules": rules, "hostname": "a"}));
        value["metadata"]["lables"] = json!({});
        unknown(
            value,
            &["metadata.lables", "spec.hostname", "spec.rules[1].filters[0].cors.allowOrigin", "spec.rules[1].matchs"],
        );
    }

    #[test]
    fn fields_of_kubernetes_that_are_of_no_use_here_are_not_unknown() {
        let ports = json!([{"port": 80, "nodePort": 30_000, "targetPrt": 1}]);
        let spec =
            json!({"clusterIPs": [], "ipFamilies": ["IPv4"], "sessionAffinity": "None", "ports": ports, "typ": "x"});
        unknown(core("Service", json!({"spec": spec, "status": {}})), &["spec.ports[0].targetPrt", "spec.typ"]);
        let endpoints = json!([{"addresses": ["::1"], "targetRef": {"kind": "Pod"}, "hints": {}, "nodename": "x"}]);
        let slice = json!({"addressType": "IPv6", "endpoints": endpoints, "ports": []});
        unknown(core("EndpointSlice", slice), &["endpoints[0].nodename"]);
        unknown(core("Secret", json!({"immutable": true, "stringdata": {}})), &["stringdata"]);
    }

    #[test]
    fn their_number_is_bounded() {
        let many: serde_json::Map<_, _> = (0..1_000).map(|n| (format!("x{n}"), json!(1))).collect();
        assert_eq!(decode(gateway_api("HTTPRoute", &Value::Object(many)), "default").unknown_paths.len(), 100);
    }
}

mod values {
    use super::*;

    #[test]
    fn an_http_route_without_rules_has_the_default_one() {
        let route = http_route(&json!({}));
        assert_eq!(route.spec.rules.len(), 1);
        assert_eq!(route.spec.rules[0].matches[0].path.value, "/");
        assert_eq!(http_route(&json!({"rules": []})).spec.rules, []);
    }

    #[test]
    fn timeouts_and_retries_are_durations() {
        let rule = http_route(&json!({"rules": [{
            "timeouts": {"request": "1m30s", "backendRequest": "0s"}, "retry": {"codes": [500], "backoff": "100ms"},
        }]}))
        .spec
        .rules
        .remove(0);
        assert_eq!(rule.timeouts.request, Some(Duration::from_secs(90)));
        assert_eq!(rule.timeouts.backend_request, Some(Duration::ZERO));
        let retry = rule.retry.unwrap();
        assert_eq!((retry.codes, retry.attempts, retry.backoff), (vec![500], 1, Some(Duration::from_millis(100))));
    }

    #[test]
    fn references_are_seen_from_the_referrer() {
        let mut route = http_route(&json!({
            "parentRefs": [{"name": "edge"}, {"name": "edge", "namespace": "infra", "kind": "ListenerSet", "port": 80}],
            "rules": [{"backendRefs": [{"name": "app", "port": 80}, {"group": "example.com", "kind": "Thing", "name": "x"}]}],
        }));
        let shown: Vec<_> = route.spec.parents.iter().map(|parent| parent.target("web").to_string()).collect();
        assert_eq!(shown, ["Gateway web/edge", "ListenerSet infra/edge"]);
        let backends = route.spec.rules.remove(0).backends;
        assert_eq!(backends[0].target("web"), ObjectRef::new(Kind::Service, "web", "app"));
        assert_eq!((backends[0].weight, backends[1].target("web").known_kind()), (1, None));
        let echoed = serde_json::to_value(&route.spec.parents).unwrap();
        let own = json!({"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "edge"});
        assert_eq!(echoed[0], own);
        assert_eq!(echoed[1]["port"], 80);
    }

    #[test]
    fn a_secret_is_decoded_and_string_data_wins() {
        let Object::Secret(secret) = read(core(
            "Secret",
            json!({"type": "kubernetes.io/tls", "data": {"a": "b25l", "b": "dHdv\n"}, "stringData": {"b": "three"}}),
        )) else {
            panic!("no Secret");
        };
        assert_eq!(secret.secret_type, "kubernetes.io/tls");
        assert_eq!(secret.data["a"].expose(), b"one");
        assert_eq!(secret.data["b"].expose(), b"three");
    }

    #[test]
    fn a_secret_value_is_never_printed() {
        let clear = "PRIVATE-KEY-TEXT";
        for data in [json!({"a": clear}), json!(clear), json!({"a": [clear]}), json!({"a": {clear: 1}})] {
            for field in ["data", "stringData"] {
                let decoded = decode(core("Secret", json!({field: data.clone()})), "default");
                let shown = format!("{decoded:?}");
                assert!(!shown.contains(clear), "{shown}");
            }
        }
        assert_eq!(format!("{:?}", SecretBytes::from(b"abc".to_vec())), "<3 secret bytes>");
    }

    #[test]
    fn bad_base64_names_its_key() {
        let told = unreadable(core("Secret", json!({"data": {"tls.key": "-----BEGIN"}})));
        assert_eq!(told.path, "data.tls.key");
        assert!(told.why.contains("stringData"));
    }

    #[test]
    fn a_service_and_its_slice_are_read() {
        let ports = json!([{"name": "h", "port": 80, "targetPort": "web", "appProtocol": "kubernetes.io/h2c"},
                           {"port": 53, "protocol": "UDP", "targetPort": 5353}]);
        let Object::Service(service) = read(core("Service", json!({"spec": {"clusterIP": "None", "ports": ports}})))
        else {
            panic!("no Service");
        };
        assert!(service.is_headless());
        let port = service.port(80).unwrap();
        assert_eq!((port.name.as_str(), &port.protocol), ("h", &TransportProtocol::Tcp));
        assert_eq!(port.target_port, Some(TargetPort::Name("web".into())));
        assert_eq!(service.port(53).unwrap().target_port, Some(TargetPort::Number(5353)));
        let endpoints = json!([{"addresses": ["10.0.0.1"]},
                               {"addresses": ["10.0.0.2"], "conditions": {"ready": false, "serving": true, "terminating": true}}]);
        let mut slice =
            core("EndpointSlice", json!({"addressType": "IPv4", "endpoints": endpoints, "ports": [{"port": 80}]}));
        slice["metadata"]["labels"] = json!({"kubernetes.io/service-name": "it"});
        let Object::EndpointSlice(slice) = read(slice) else { panic!("no EndpointSlice") };
        assert_eq!(slice.service(), Some("it"));
        let states: Vec<_> =
            slice.endpoints.iter().map(|it| (it.conditions.is_ready(), it.conditions.is_serving())).collect();
        assert_eq!(states, [(true, true), (false, true)]);
    }

    #[test]
    fn a_config_map_is_read() {
        let Object::ConfigMap(map) =
            read(core("ConfigMap", json!({"data": {"ca.crt": "x"}, "binaryData": {"b": "AAE="}})))
        else {
            panic!("no ConfigMap");
        };
        assert_eq!((map.data["ca.crt"].as_str(), &map.binary_data["b"]), ("x", &vec![0, 1]));
    }
}
