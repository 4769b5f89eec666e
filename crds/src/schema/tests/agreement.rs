// SPDX-License-Identifier: Apache-2.0
//! Objects mutated in every place: what the schema admits, `decode` can read, and nothing panics.

use super::*;

fn pointers(value: &Value, at: &str, into: &mut Vec<String>) {
    into.push(at.to_owned());
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, field)| pointers(field, &format!("{at}/{}", name.replace('/', "~1")), into));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| pointers(item, &format!("{at}/{index}"), into));
        }
        _ => {}
    }
}

/// Every part of every object, replaced by every one of these.
fn mutants() -> impl Iterator<Item = Value> {
    let backend = json!({"name": "app", "namespace": "b", "port": 80, "weight": 2, "filters": [
        {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"add": [{"name": "a", "value": "b"}]}}]});
    let matches = json!([{"path": {"type": "PathPrefix", "value": "/a"}, "method": "GET",
                          "headers": [{"name": "a", "value": "b", "type": "RegularExpression"}],
                          "queryParams": [{"name": "a", "value": "b"}]}]);
    let filters = json!([
        {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "m", "port": 1}, "fraction": {"numerator": 1}}},
        {"type": "URLRewrite", "urlRewrite": {"hostname": "a.b", "path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}},
        {"type": "CORS", "cors": {"allowOrigins": ["https://a.b"], "allowMethods": ["GET"], "maxAge": 9}}]);
    let tls = json!({"mode": "Terminate", "certificateRefs": [{"name": "c"}], "options": {"example.com/a": "b"}});
    let allowed = json!({"kinds": [{"kind": "HTTPRoute"}],
                         "namespaces": {"from": "Selector", "selector": {"matchLabels": {"a": "b"}}}});
    let objects = [
        route(json!({"parentRefs": [{"name": "edge", "sectionName": "s", "port": 80}], "hostnames": ["*.example.com"],
                     "rules": [{"name": "r", "matches": matches, "filters": filters, "backendRefs": [backend],
                                "timeouts": {"request": "10s", "backendRequest": "1s"},
                                "retry": {"codes": [500], "attempts": 2, "backoff": "1s"}}]})),
        gateway(json!({"gatewayClassName": "t", "addresses": [{"type": "IPAddress", "value": "::1"}],
                       "listeners": [{"name": "s", "port": 443, "protocol": "HTTPS", "hostname": "a.b", "tls": tls,
                                      "allowedRoutes": allowed}],
                       "infrastructure": {"labels": {"a": "b"}, "parametersRef": {"group": "g", "kind": "K", "name": "n"}},
                       "allowedListeners": {"namespaces": {"from": "All"}},
                       "tls": {"frontend": {"default": {"validation": {"caCertificateRefs": [
                           {"group": "", "kind": "ConfigMap", "name": "ca"}]}}}}})),
    ];
    let others = [
        json!(null),
        json!(0),
        json!(-1),
        json!(u64::MAX),
        json!(1.5),
        json!(""),
        json!("x"),
        json!(true),
        json!([]),
        json!([{}]),
        json!(["x"]),
        json!({}),
        json!({"x": 1}),
    ];
    objects.into_iter().flat_map(move |object| {
        let others = others.clone();
        let mut places = Vec::new();
        pointers(&object, "", &mut places);
        places.into_iter().flat_map(move |place| {
            let object = object.clone();
            others.clone().into_iter().map(move |other| {
                let mut mutant = object.clone();
                *mutant.pointer_mut(&place).unwrap() = other;
                mutant
            })
        })
    })
}

#[test]
fn what_the_schema_admits_decode_can_read() {
    let (mut readable, mut refused) = (0, 0);
    for mutant in mutants() {
        let mut completed = mutant.clone();
        if admit(&mut completed).iter().any(|told| told.severity == Severity::Error) {
            refused += 1;
            // No panic, whatever it is.
            drop(decode(completed, "default"));
            continue;
        }
        if let crate::decode::Content::Unreadable(told) = decode(completed, "default").content {
            // Objects that are no longer of a spoken kind are not for the schema.
            assert_eq!(told.path, "kind", "{told} in {mutant:#}");
        }
        readable += 1;
    }
    assert!(readable > 100 && refused > 1_000, "{readable} {refused}");
}
