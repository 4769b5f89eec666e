// SPDX-License-Identifier: Apache-2.0
//! Defaults are filled in; what a client may not write goes.

use super::*;

#[track_caller]
fn completes(mut value: Value, pointer: &str, expected: &Value) {
    let told = admit(&mut value);
    assert!(!told.iter().any(|it| it.severity == Severity::Error), "{told:#?}");
    assert_eq!(value.pointer(pointer), Some(expected), "{pointer} of {value:#}");
}

#[test]
fn an_http_route_gets_its_defaults() {
    let backend = json!({"name": "app", "port": 80});
    let parents = json!({"parentRefs": [{"name": "edge"}]});
    let filter = |filter: Value| rule(json!({"filters": [filter]}));
    let root = json!([{"path": {"type": "PathPrefix", "value": "/"}}]);
    for (value, pointer, expected) in [
        (route(json!({})), "/spec/rules/0/matches", root.clone()),
        (rule(json!({})), "/spec/rules/0/matches", root),
        (rule(json!({"matches": null})), "/spec/rules/0/matches/0/path/type", json!("PathPrefix")),
        (rule(json!({"matches": [{}]})), "/spec/rules/0/matches/0/path/value", json!("/")),
        (
            rule(json!({"matches": [{"path": {"value": "/a"}}]})),
            "/spec/rules/0/matches/0/path/type",
            json!("PathPrefix"),
        ),
        (
            rule(json!({"matches": [{"headers": [{"name": "a", "value": "b"}]}]})),
            "/spec/rules/0/matches/0/headers/0/type",
            json!("Exact"),
        ),
        (
            rule(json!({"matches": [{"queryParams": [{"name": "a", "value": "b"}]}]})),
            "/spec/rules/0/matches/0/queryParams/0/type",
            json!("Exact"),
        ),
        (rule(json!({"backendRefs": [backend]})), "/spec/rules/0/backendRefs/0/weight", json!(1)),
        (rule(json!({"backendRefs": [backend]})), "/spec/rules/0/backendRefs/0/kind", json!("Service")),
        (rule(json!({"backendRefs": [backend]})), "/spec/rules/0/backendRefs/0/group", json!("")),
        (route(parents.clone()), "/spec/parentRefs/0/kind", json!("Gateway")),
        (route(parents), "/spec/parentRefs/0/group", json!("gateway.networking.k8s.io")),
        (rule(json!({"retry": {}})), "/spec/rules/0/retry/attempts", json!(1)),
        (
            filter(json!({"type": "RequestRedirect", "requestRedirect": {}})),
            "/spec/rules/0/filters/0/requestRedirect/statusCode",
            json!(302),
        ),
        (filter(json!({"type": "CORS", "cors": {}})), "/spec/rules/0/filters/0/cors/maxAge", json!(5)),
        (
            filter(
                json!({"type": "RequestMirror", "requestMirror": {"backendRef": backend, "fraction": {"numerator": 1}}}),
            ),
            "/spec/rules/0/filters/0/requestMirror/fraction/denominator",
            json!(100),
        ),
    ] {
        completes(value, pointer, &expected);
    }
}

#[test]
fn a_gateway_gets_its_defaults() {
    let http = json!({"name": "http", "port": 80, "protocol": "HTTP"});
    let https = json!({"name": "s", "port": 443, "protocol": "HTTPS", "tls": {"certificateRefs": [{"name": "c"}]}});
    let addressed = gateway(json!({"gatewayClassName": "t", "listeners": [http], "addresses": [{"value": "::1"}]}));
    for (value, pointer, expected) in [
        (listener(http), "/spec/listeners/0/allowedRoutes/namespaces/from", json!("Same")),
        (listener(https.clone()), "/spec/listeners/0/tls/mode", json!("Terminate")),
        (listener(https), "/spec/listeners/0/tls/certificateRefs/0/kind", json!("Secret")),
        (addressed, "/spec/addresses/0/type", json!("IPAddress")),
    ] {
        completes(value, pointer, &expected);
    }
}

#[test]
fn status_is_dropped_and_gets_no_default() {
    let mut value = listener(json!({"name": "http", "port": 80, "protocol": "HTTP"}));
    value["status"] = json!({"conditions": "wrong"});
    assert_eq!(admit(&mut value), []);
    assert_eq!(value.get("status"), None);
}

#[test]
fn a_completed_object_and_a_bare_one_decode_alike() {
    let backends = json!([{"name": "app", "port": 80, "filters": [
        {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "m", "port": 1}, "fraction": {"numerator": 1}}},
    ]}]);
    for value in [
        route(json!({})),
        route(json!({"parentRefs": [{"name": "edge"}], "rules": [{"backendRefs": backends}]})),
        rule(json!({"retry": {}, "matches": [{"headers": [{"name": "a", "value": "b"}]}]})),
        rule(json!({"filters": [{"type": "CORS", "cors": {}}, {"type": "RequestRedirect", "requestRedirect": {}}]})),
        listener(json!({"name": "s", "port": 443, "protocol": "HTTPS", "tls": {"certificateRefs": [{"name": "c"}]}})),
    ] {
        let mut completed = value.clone();
        assert_eq!(admit(&mut completed), []);
        assert_eq!(decode(completed, "default"), decode(value, "default"));
    }
}
