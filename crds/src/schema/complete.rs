// SPDX-License-Identifier: Apache-2.0
//! What an API server does to an object before it checks it: unknown fields go, defaults come. Judges nothing else.

use serde_json::{Map, Value};

use crate::schema::node::Node;
use crate::schema::suggest::nearest;
use crate::violation::{At, Findings};

/// Fields of the experimental channel of Gateway API v1.7.0 that Torana reads though the shipped (standard) CRDs lack
/// them, each with the field or list that it stands in.
const EXPERIMENTAL: &[(&str, &str)] = &[
    ("addresses", "routability"),
    ("spec", "defaultScope"),
    ("listeners", "filters"),
    ("rules", "sessionPersistence"),
    ("spec", "useDefaultGateways"),
    ("filters", "externalAuth"),
];

/// Drops the unknown, fills in the absent. Values of a wrong type are left for the check.
pub(crate) fn complete(node: &Node, value: &mut Value, at: &At<'_>, findings: &mut Findings) {
    match value {
        Value::Object(fields) if !node.properties.is_empty() => {
            prune(node, fields, at, findings);
            for (name, child) in &node.properties {
                if let Some(default) = &child.default
                    && !fields.contains_key(name)
                {
                    fields.insert(name.clone(), default.clone());
                }
                if let Some(field) = fields.get_mut(name) {
                    complete(child, field, &at.field(name), findings);
                }
            }
        }
        Value::Object(fields) => {
            if let Some(child) = &node.additional_properties {
                for (name, field) in fields.iter_mut() {
                    complete(child, field, &at.field(name), findings);
                }
            }
        }
        Value::Array(items) => {
            if let Some(child) = &node.items {
                for (index, item) in items.iter_mut().enumerate() {
                    complete(child, item, &at.item(index), findings);
                }
            }
        }
        _ => {}
    }
}

fn prune(node: &Node, fields: &mut Map<String, Value>, at: &At<'_>, findings: &mut Findings) {
    fields.retain(|name, _| {
        if node.properties.contains_key(name) {
            return true;
        }
        if EXPERIMENTAL.contains(&(at.name(), name)) {
            let remedy = "its values are not checked here, and a cluster needs the experimental CRDs for it";
            findings.warning(&at.field(name), "field of the experimental channel of Gateway API", remedy);
            return true;
        }
        let remedy = match nearest(name, node.properties.keys().map(String::as_str)) {
            Some(known) => format!("did you mean `{known}`?"),
            None => format!("remove it, or use one of: {}", listed(node)),
        };
        findings.warning(&at.field(name), "unknown field", remedy);
        false
    });
}

fn listed(node: &Node) -> String {
    let names: Vec<_> = node.properties.keys().take(20).map(String::as_str).collect();
    names.join(", ")
}
