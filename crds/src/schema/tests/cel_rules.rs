// SPDX-License-Identifier: Apache-2.0
//! CEL rules refuse what upstream says they refuse.

use super::*;
use Severity::Error;

#[test]
fn cel_rules_refuse_what_upstream_says_they_refuse() {
    let matches = |path: Value| rule(json!({"matches": [{"path": path}]}));
    let filter = |filter: Value| rule(json!({"filters": [filter]}));
    let path = "spec.rules[0].matches[0].path";
    let rewrite = json!({"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}});
    let redirect = json!({"type": "RequestRedirect", "requestRedirect": {"port": 80}});
    let backend = json!({"name": "a", "port": 80});
    let http = |name: &str| json!({"name": name, "port": 80, "protocol": "HTTP"});
    for (value, at, why) in [
        (matches(json!({"value": "a"})), path, "value must be an absolute path and start with '/'"),
        (matches(json!({"value": "/a//b"})), path, "must not contain '//'"),
        (matches(json!({"value": "/a/../b"})), path, "must not contain '/../'"),
        (matches(json!({"value": "/a%2fb"})), path, "must not contain '%2f'"),
        (matches(json!({"value": "/a b"})), path, "must only contain valid characters"),
        (filter(json!({"type": "CORS"})), "spec.rules[0].filters[0]", "filter.cors must be specified for CORS"),
        (
            filter(json!({"type": "CORS", "cors": {}, "urlRewrite": {}})),
            "spec.rules[0].filters[0]",
            "filter.urlRewrite must be nil",
        ),
        (
            rule(json!({"filters": [rewrite], "matches": [{"path": {"type": "Exact", "value": "/a"}}]})),
            "spec.rules[0]",
            "When using URLRewrite filter with path.replacePrefixMatch",
        ),
        (
            rule(json!({"filters": [redirect], "backendRefs": [backend]})),
            "spec.rules[0]",
            "RequestRedirect filter must not be used together with backendRefs",
        ),
        (rule(json!({"backendRefs": [{"name": "a"}]})), "spec.rules[0].backendRefs[0]", "Must have port for Service"),
        (
            rule(json!({"timeouts": {"request": "1s", "backendRequest": "2s"}})),
            "spec.rules[0].timeouts",
            "backendRequest timeout cannot be longer than request timeout",
        ),
        (
            route(json!({"rules": [{"name": "a"}, {"name": "a"}]})),
            "spec.rules",
            "Rule name must be unique within the route",
        ),
        (
            route(json!({"parentRefs": [{"name": "a"}, {"name": "a"}]})),
            "spec.parentRefs",
            "sectionName must be unique when parentRefs includes 2 or more references to the same parent",
        ),
        (
            gateway(json!({"gatewayClassName": "t", "listeners": [http("a"), http("b")]})),
            "spec.listeners",
            "Combination of port, protocol and hostname must be unique",
        ),
        (
            listener(json!({"name": "a", "port": 443, "protocol": "HTTPS", "tls": {}})),
            "spec.listeners[0].tls",
            "certificateRefs or options must be specified when mode is Terminate",
        ),
        (
            listener(json!({"name": "a", "port": 80, "protocol": "HTTP", "tls": {"options": {"example.com/a": "b"}}})),
            "spec.listeners",
            "tls must not be specified for protocols ['HTTP', 'TCP', 'UDP']",
        ),
    ] {
        says(value, &[(at, Error, why, "")]);
    }
}

#[test]
fn references_to_one_parent_in_two_namespaces_are_two_parents() {
    says(route(json!({"parentRefs": [{"name": "a"}, {"name": "a", "namespace": "b"}]})), &[]);
    let sections = json!([{"name": "a", "sectionName": "x"}, {"name": "a", "sectionName": "y"}]);
    says(route(json!({"parentRefs": sections})), &[]);
}

#[test]
fn tls_route_hostnames_must_not_be_addresses() {
    let tls = |host: &str| {
        json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "TLSRoute", "metadata": {"name": "a"},
               "spec": {"hostnames": [host], "rules": [{"backendRefs": [{"name": "b", "port": 443}]}]}})
    };
    says(tls("a.example.com"), &[]);
    says(tls("*.example.com"), &[]);
    says(tls("10.0.0.1"), &[("spec.hostnames", Error, "IP", "")]);
}

#[test]
fn a_rule_is_not_asked_about_a_broken_value() {
    let value = rule(json!({"backendRefs": [{"name": 1}]}));
    says(value, &[("spec.rules[0].backendRefs[0].name", Error, "must be a text", "")]);
}

#[test]
fn infrastructure_keys_are_checked() {
    let with = |labels: Value| {
        gateway(json!({"gatewayClassName": "t", "listeners": [{"name": "a", "port": 1, "protocol": "HTTP"}],
                       "infrastructure": {"labels": labels}}))
    };
    says(with(json!({"example.com/team": "a", "tier": "b"})), &[]);
    says(with(json!({"-bad": "a"})), &[("spec.infrastructure.labels", Error, "Label keys", "")]);
}
