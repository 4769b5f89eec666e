// SPDX-License-Identifier: Apache-2.0
//! Every CEL rule gives a verdict, and `decode` knows every field.

use super::super::node::{Node, ValueType};
use super::*;

/// A value with every field of a schema.
fn sample(node: &Node) -> Value {
    if node.int_or_string {
        return json!("50%");
    }
    match node.value_type.unwrap() {
        ValueType::Object if node.properties.is_empty() => match node.additional_properties.as_deref() {
            Some(child) => json!({"example.com/key": sample(child)}),
            None => json!({}),
        },
        ValueType::Object => node.properties.iter().map(|(name, child)| (name.clone(), sample(child))).collect(),
        ValueType::Array => json!([sample(node.items.as_deref().unwrap())]),
        ValueType::Integer => node.choices.first().cloned().unwrap_or_else(|| json!(node.minimum.unwrap_or(1))),
        ValueType::Boolean => json!(true),
        ValueType::String => match &node.pattern {
            Some(pattern) if pattern.is_match("10s") == Some(true) && pattern.as_str().contains("ms") => {
                json!("10s")
            }
            _ => node.choices.first().cloned().unwrap_or_else(|| json!("a")),
        },
    }
}

#[test]
fn every_cel_rule_gives_a_verdict() {
    let (mut asked, mut unknown) = (0, Vec::new());
    for shipped in &SHIPPED {
        shipped_crds::visit(shipped.schema(), &mut |node| {
            let value = if node.rules.is_empty() { Value::Null } else { sample(node) };
            let context = super::super::subject::context(&value, node);
            for rule in node.rules.iter().filter(|rule| !rule.is_transition()) {
                asked += 1;
                if let super::super::rule::Verdict::Unknown(why) = rule.verdict(&context) {
                    unknown.push(format!("{}: {} ({why})", shipped.kind, rule.message()));
                }
            }
        });
    }
    assert_eq!(unknown, Vec::<String>::new());
    assert_eq!(asked, 182);
}

#[test]
fn decode_knows_every_field_of_the_shipped_crds() {
    for shipped in &SHIPPED {
        let spec = sample(&shipped.schema().properties["spec"]);
        let value = json!({"apiVersion": format!("{}/{}", shipped.kind.group(), shipped.kind.versions()[0]), "kind": shipped.kind.as_str(),
                           "metadata": {"name": "a"}, "spec": spec});
        let decoded = decode(value, "default");
        assert!(matches!(decoded.content, crate::decode::Content::Object(_)), "{:?}", decoded.content);
        assert_eq!(decoded.unknown_paths, Vec::<String>::new(), "{}", shipped.kind);
    }
}

#[test]
fn decode_knows_every_field_of_the_experimental_channel() {
    let auth = json!({"type": "ExternalAuth", "externalAuth": {
        "protocol": "HTTP", "backendRef": {"name": "a", "port": 1}, "forwardBody": {"maxSize": 1},
        "http": {"path": "/", "allowedHeaders": ["a"], "allowedResponseHeaders": ["b"]}, "grpc": {"allowedHeaders": []},
    }});
    let persistence = json!({"absoluteTimeout": "1h", "type": "Cookie", "header": {"name": "a"},
                             "cookie": {"name": "a", "path": "/", "lifetimeType": "Permanent"}});
    let listener = json!({"name": "a", "port": 1, "protocol": "HTTP", "filters": {"requests": [auth]}});
    for value in [
        route(json!({"useDefaultGateways": "All", "rules": [{"filters": [auth], "sessionPersistence": persistence}]})),
        gateway(json!({"gatewayClassName": "t", "defaultScope": "All", "listeners": [listener],
                       "addresses": [{"value": "::1", "routability": "Cluster"}]})),
    ] {
        let decoded = decode(value, "default");
        assert!(matches!(decoded.content, crate::decode::Content::Object(_)), "{:?}", decoded.content);
        assert_eq!(decoded.unknown_paths, Vec::<String>::new());
    }
}
