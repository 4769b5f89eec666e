// SPDX-License-Identifier: Apache-2.0
//! The value that CEL rules speak about, as CEL sees it. Copies no text.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use cel::Context;
use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelNull, CelString, CelUInt};
use cel::common::value::Val;
use serde_json::Value;

use crate::schema::node::Node;
use crate::schema::rule::ENVIRONMENT;

/// A context in which `self` is `value`. One serves all rules of a node: the value is converted once.
pub(crate) fn context<'v>(value: &'v Value, node: &Node) -> Context<'v, 'v> {
    let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
    context.add_variable_as_val("self", to_cel(value, node));
    context
}

/// `value` as CEL sees it, its texts borrowed.
fn to_cel<'v>(value: &'v Value, node: &Node) -> Box<dyn Val + 'v> {
    match value {
        Value::Null => Box::new(CelNull),
        Value::Bool(flag) => Box::new(CelBool::from(*flag)),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(integer), _) => Box::new(CelInt::from(integer)),
            (None, Some(unsigned)) => Box::new(CelUInt::from(unsigned)),
            (None, None) => Box::new(CelDouble::from(number.as_f64().unwrap_or(f64::NAN))),
        },
        Value::String(text) => Box::new(CelString::from(text.as_str())),
        Value::Array(items) => {
            let child = node.items.as_deref().unwrap_or(&UNTYPED);
            Box::new(CelList::from(items.iter().map(|item| to_cel(item, child)).collect::<Vec<_>>()))
        }
        Value::Object(fields) => {
            let entries = fields.iter().map(|(name, field)| match node.properties.get(name) {
                // Only properties are escaped; keys of maps are data.
                Some(child) => (escaped(name).into(), to_cel(field, child)),
                None => {
                    (name.as_str().into(), to_cel(field, node.additional_properties.as_deref().unwrap_or(&UNTYPED)))
                }
            });
            Box::new(CelMap::from(entries.collect::<HashMap<_, _>>()))
        }
    }
}

/// Property names that are reserved words of CEL are written between double underscores (Kubernetes, "CEL: escaping").
/// `namespace` is the only one in the shipped CRDs, which a test asserts.
fn escaped(name: &str) -> &str {
    if name == "namespace" { "__namespace__" } else { name }
}

/// Schema of what a schema says nothing about.
static UNTYPED: LazyLock<Node> = LazyLock::new(Node::default);
