// SPDX-License-Identifier: Apache-2.0
//! What is wrong is named with its place and its remedy.

use super::*;
use Severity::{Error, Warning};

#[test]
fn what_is_right_is_not_remarked_upon() {
    says(route(json!({})), &[]);
    says(listener(json!({"name": "http", "port": 80, "protocol": "HTTP", "hostname": "*.example.com"})), &[]);
    says(listener(json!({"name": "x", "port": 80, "protocol": "example.com/own"})), &[]);
}

#[test]
fn structural_errors_name_the_place_and_the_remedy() {
    let hosts = |hosts: Value| route(json!({"hostnames": hosts}));
    let matches = |part: Value| rule(json!({"matches": [part]}));
    for (value, expected) in [
        (route(json!([])), ("spec", "must be a map, not a list", "write a map")),
        (hosts(json!("a.example.com")), ("spec.hostnames", "must be a list, not a text", "each entry with -")),
        (hosts(json!([1])), ("spec.hostnames[0]", "must be a text, not an integer", "\"1\"")),
        (hosts(json!(["A.example.com"])), ("spec.hostnames[0]", "\"A.example.com\" is not valid", "lower case")),
        (hosts(json!(["a:80"])), ("spec.hostnames[0]", "is not valid", "without port")),
        (hosts(json!([""])), ("spec.hostnames[0]", "must not be empty", "")),
        (
            matches(json!({"path": {"type": "Prefix", "value": "/"}})),
            ("spec.rules[0].matches[0].path.type", "is not one of", "PathPrefix"),
        ),
        (
            matches(json!({"method": "get"})),
            ("spec.rules[0].matches[0].method", "\"get\" is not one of: GET", "did you mean `GET`?"),
        ),
        (
            matches(json!({"headers": [{"name": "a"}]})),
            ("spec.rules[0].matches[0].headers[0].value", "is required", "add it"),
        ),
        (
            matches(json!({"headers": [{"name": "a b", "value": "c"}]})),
            ("spec.rules[0].matches[0].headers[0].name", "is not valid", "letters, digits"),
        ),
        (
            matches(json!({"headers": [{"name": "a", "value": "b"}, {"name": "a", "value": "c"}]})),
            ("spec.rules[0].matches[0].headers[1]", "repeats name \"a\"", "unique"),
        ),
        (
            rule(json!({"backendRefs": [{"name": "a", "port": "80"}]})),
            ("spec.rules[0].backendRefs[0].port", "must be an integer, not a text", "write 80 unquoted"),
        ),
        (
            rule(json!({"backendRefs": [{"name": "a", "port": 65536}]})),
            ("spec.rules[0].backendRefs[0].port", "65536 is out of range", "use 1 to 65535"),
        ),
        (
            rule(json!({"backendRefs": [{"name": "a", "port": 80, "weight": -1}]})),
            ("spec.rules[0].backendRefs[0].weight", "out of range", "use 0 to 1000000"),
        ),
        (
            rule(json!({"timeouts": {"request": "10"}})),
            ("spec.rules[0].timeouts.request", "\"10\" is not valid", "500ms, 10s or 1h30m"),
        ),
        (
            rule(
                json!({"filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": ["a", "a"]}}]}),
            ),
            ("spec.rules[0].filters[0].requestHeaderModifier.remove[1]", "repeats \"a\"", "unique"),
        ),
        (rule(json!({"retry": {"attempts": 1.5}})), ("spec.rules[0].retry.attempts", "not a fraction", "")),
        (
            rule(json!({"filters": [{"type": "CORS", "cors": {"allowCredentials": "true"}}]})),
            ("spec.rules[0].filters[0].cors.allowCredentials", "must be true or false", "write true unquoted"),
        ),
        (rule(json!({"name": "a".repeat(254)})), ("spec.rules[0].name", "longer than 253 characters", "shorten")),
        (
            route(json!({"hostnames": vec!["a.example.com"; 17]})),
            ("spec.hostnames", "has 17 entries, and may have at most 16", "split"),
        ),
        (gateway(json!({"gatewayClassName": "t", "listeners": []})), ("spec.listeners", "at least 1", "")),
        (
            gateway(json!({"listeners": [{"name": "a", "port": 1, "protocol": "HTTP"}]})),
            ("spec.gatewayClassName", "is required", "add it"),
        ),
        (
            gateway(json!({"gatewayClassName": "t", "listeners": [{"name": "a", "port": 1, "protocol": "HTTP"}],
                           "addresses": [{"value": "example.com"}]})),
            ("spec.addresses[0]", "is not valid", "IPv4 or IPv6"),
        ),
    ] {
        let (path, why, remedy) = expected;
        says(value, &[(path, Error, why, remedy)]);
    }
}

#[test]
fn numbers_and_maps_have_limits() {
    let huge = rule(json!({"backendRefs": [{"name": "a", "port": u64::MAX}]}));
    says(huge, &[("spec.rules[0].backendRefs[0].port", Error, "is too large", "")]);
    let large = rule(json!({"filters": [{"type": "CORS", "cors": {"maxAge": 3_000_000_000_u32}}]}));
    says(large, &[("spec.rules[0].filters[0].cors.maxAge", Error, "out of range", "use 1 to 2147483647")]);
    let labels: serde_json::Map<_, _> = (0..9).map(|n| (format!("k{n}"), json!("v"))).collect();
    let value = gateway(json!({"gatewayClassName": "t", "infrastructure": {"labels": labels},
                               "listeners": [{"name": "a", "port": 1, "protocol": "HTTP"}]}));
    says(value, &[("spec.infrastructure.labels", Error, "at most 8 entries", "remove some")]);
}

#[test]
fn a_missing_spec_is_an_error_where_it_is_required() {
    let mut value = listener(json!({}));
    value.as_object_mut().unwrap().remove("spec");
    says(value, &[("spec", Error, "is required", "add it")]);
}

#[test]
fn unknown_fields_are_dropped_with_a_suggestion() {
    let mut value = rule(json!({"matchs": [], "wonders": 1}));
    value["spce"] = json!({});
    says(
        value.clone(),
        &[
            ("spce", Warning, "unknown field", "did you mean `spec`?"),
            ("spec.rules[0].matchs", Warning, "unknown field", "did you mean `matches`?"),
            ("spec.rules[0].wonders", Warning, "unknown field", "use one of: backendRefs, filters"),
        ],
    );
    admit(&mut value);
    assert_eq!(decode(value, "default").unknown_paths, Vec::<String>::new());
}

#[test]
fn fields_of_the_experimental_channel_stay_and_are_named() {
    let experimental = "experimental channel";
    for (value, path) in [
        (rule(json!({"sessionPersistence": {}})), "spec.rules[0].sessionPersistence"),
        (route(json!({"useDefaultGateways": "All"})), "spec.useDefaultGateways"),
        (
            rule(json!({"filters": [{"type": "ExternalAuth", "externalAuth": {"protocol": "HTTP"}}]})),
            "spec.rules[0].filters[0].externalAuth",
        ),
        (listener(json!({"name": "a", "port": 1, "protocol": "HTTP", "filters": {}})), "spec.listeners[0].filters"),
    ] {
        says(value.clone(), &[(path, Warning, experimental, "not checked")]);
        let mut kept = value;
        admit(&mut kept);
        let pointer = format!("/{}", path.replace(['.', '['], "/").replace(']', ""));
        assert!(kept.pointer(&pointer).is_some(), "{pointer} of {kept}");
        assert_eq!(decode(kept, "default").unknown_paths, Vec::<String>::new());
    }
}

#[test]
fn what_is_told_of_one_object_is_bounded() {
    let names: serde_json::Map<_, _> = (0..10_000).map(|n| (format!("unknown{n}"), json!(1))).collect();
    assert_eq!(admitted(route(Value::Object(names))).len(), 100);
    let long = admitted(route(json!({"hostnames": ["A".repeat(100_000)]})));
    assert!(long.iter().all(|it| it.why.len() < 200 && it.remedy.len() < 200), "{long:?}");
}

#[test]
fn a_value_nested_too_deeply_is_refused() {
    let deep = (0..120).fold(json!(1), |inner, _| json!([inner]));
    says(route(json!({"x": deep})), &[("", Error, "nested too deeply", "")]);
}

#[test]
fn versions_and_names_are_checked_for_every_kind() {
    let object =
        |api: &str, kind: &str, metadata: Value| json!({"apiVersion": api, "kind": kind, "metadata": metadata});
    let gateway_api = "gateway.networking.k8s.io/v1";
    for (value, path, why) in [
        (object("v1", "Service", json!({"name": "1a"})), "metadata.name", "is not a Service name"),
        (object("v1", "Service", json!({"name": "a.b"})), "metadata.name", "is not a Service name"),
        (object("v1", "Secret", json!({"name": "A"})), "metadata.name", "is not an object name"),
        (object("v1", "Secret", json!({"name": "a..b"})), "metadata.name", "is not an object name"),
        (object("v1", "Secret", json!({"namespace": "a"})), "metadata.name", "a name is required"),
        (object("v1", "Secret", json!({"name": "a", "namespace": "a.b"})), "metadata.namespace", "is not a Namespace"),
        (object("v1", "Namespace", json!({"name": "a.b"})), "metadata.name", "is not a Namespace name"),
        (object("v2", "Secret", json!({"name": "a"})), "apiVersion", "v2 of Secret is not served"),
        (object("discovery.k8s.io/v1beta1", "EndpointSlice", json!({"name": "a"})), "apiVersion", "is not served"),
    ] {
        says(value, &[(path, Error, why, "")]);
    }
    says(object("v1", "Secret", json!({"name": "a.b-1", "namespace": ""})), &[]);
    let bare = object(gateway_api, "GRPCRoute", json!({"name": "a"}));
    says(bare, &[("spec", Error, "is required", "add it")]);
    says(object("example.com/v1", "HTTPRoute", json!({"name": "A"})), &[]);
    says(json!("text"), &[]);
}
