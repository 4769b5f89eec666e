// SPDX-License-Identifier: Apache-2.0
//! Every property of Istio's schemas is read into something, or is told of as ignored.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::object;
use crate::decode::{Content, Decoded, decode};
use crate::istio::ignored;
use crate::kind::{ISTIO_GROUPS, Kind};

const LIST: &str = include_str!("../../../testdata/istio/properties.txt");

/// Texts of which every property takes one.
const TEXTS: [&str; 6] = ["1s", "10.0.0.1", "http", "POST", "OK", "AAE="];

/// One property of a schema.
struct Property {
    kind: Kind,
    path: &'static str,
    value_type: &'static str,
    is_required: bool,
    words: Vec<&'static str>,
}

fn properties() -> Vec<Property> {
    let mut kind = None;
    let mut found = Vec::new();
    for line in LIST.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut parts = line.split(' ');
        let path = parts.next().unwrap();
        let Some(value_type) = parts.next() else {
            kind = ISTIO_GROUPS.iter().find_map(|group| Kind::parse(group, path));
            continue;
        };
        let mut rest = parts.peekable();
        // The schema does not ask for a port of a policy, the webhook does.
        let is_asked_for = path.ends_with("portLevelSettings[].port") || path.ends_with("[].port.number");
        let is_required = rest.next_if_eq(&"required").is_some() || is_asked_for;
        let words = rest.skip(1).collect();
        found.push(Property { kind: kind.unwrap(), path, value_type, is_required, words });
    }
    found
}

impl Property {
    fn is_leaf(&self) -> bool {
        !["object", "array"].contains(&self.value_type)
    }

    fn values(&self) -> Vec<Value> {
        match self.value_type {
            "string" if !self.words.is_empty() => self.words.iter().map(|word| json!(word)).collect(),
            "string" => TEXTS.iter().map(|text| json!(text)).collect(),
            "boolean" => vec![json!(true)],
            // None of the API's defaults.
            "integer" | "number" => vec![json!(2)],
            other => panic!("{}: {other}", self.path),
        }
    }
}

/// The steps of `spec.hosts[]` below the spec.
fn steps(path: &str) -> Vec<&str> {
    let mut steps = Vec::new();
    for part in path.split('.').skip(1) {
        let name = part.find(['[', '{']).map_or(part, |at| &part[..at]);
        steps.push(name);
        steps.extend(part[name.len()..].split_inclusive([']', '}']));
    }
    steps
}

/// What must be in the object or list at `path`.
fn least(all: &[&Property], path: &str) -> Value {
    let own = all.iter().find(|it| it.path == path).unwrap();
    match own.value_type {
        "array" => json!([]),
        "object" => {
            let children = all.iter().filter(|it| it.is_required && is_child(path, it.path));
            children.map(|it| (it.path.rsplit('.').next().unwrap().to_owned(), least(all, it.path))).collect()
        }
        _ => own.values()[0].clone(),
    }
}

fn is_child(parent: &str, path: &str) -> bool {
    path.strip_prefix(parent)
        .and_then(|rest| rest.strip_prefix('.'))
        .is_some_and(|name| !name.contains(['.', '[', '{']))
}

/// A spec in which the property has the value, or is absent, and all around it is there.
fn spec(all: &[&Property], property: &Property, value: Option<&Value>) -> Value {
    let mut spec = least(all, "spec");
    let (mut at, mut path) = (&mut spec, "spec".to_owned());
    let steps = steps(property.path);
    let (last, way) = steps.split_last().unwrap();
    for step in way {
        path.push_str(if step.starts_with(['[', '{']) { "" } else { "." });
        path.push_str(step);
        let inside = least(all, &path);
        at = match (*step, at) {
            ("[]", Value::Array(items)) => {
                items.push(inside);
                items.last_mut().unwrap()
            }
            ("{}", Value::Object(fields)) => fields.entry("key").or_insert(inside),
            (name, Value::Object(fields)) => fields.entry(name).or_insert(inside),
            (step, at) => panic!("{step} in {at}"),
        };
    }
    match (*last, at, value) {
        ("[]", Value::Array(items), value) => items.extend(value.cloned()),
        ("{}", Value::Object(fields), Some(value)) => put(fields, "key", value),
        (name, Value::Object(fields), Some(value)) => put(fields, name, value),
        (name, Value::Object(fields), None) => drop(fields.remove(name)),
        (step, at, _) => panic!("{step} in {at}"),
    }
    spec
}

fn put(fields: &mut Map<String, Value>, name: &str, value: &Value) {
    fields.insert(name.to_owned(), value.clone());
}

#[test]
fn every_property_is_read_or_told_of_as_ignored() {
    let properties = properties();
    let (mut leaves, mut told) = (0, BTreeSet::new());
    for property in properties.iter().filter(|it| it.is_leaf()) {
        leaves += 1;
        let all: Vec<_> = properties.iter().filter(|it| it.kind == property.kind).collect();
        let content = |value: Option<&Value>| decode(object(property.kind, spec(&all, property, value)), "web");
        let (name, without) = (format!("{} {}", property.kind, property.path), content(None).content);
        let (mut readable, mut counts) = (0, false);
        for value in property.values() {
            let Decoded { content, unknown_paths, ignored, .. } = content(Some(&value));
            assert_eq!(unknown_paths, Vec::<String>::new(), "{name}");
            let Content::Object(_) = content else { continue };
            readable += 1;
            if ignored.is_empty() {
                counts |= content != without;
            } else {
                assert!(ignored.iter().all(|it| !it.why.is_empty()));
                told.insert((property.kind, property.path.trim_end_matches("[]").to_owned()));
                counts = true;
            }
        }
        let least = property.words.len().max(1);
        assert!(readable >= least, "{name}: {readable} values of {least} are readable");
        assert!(counts, "{name} makes no difference");
    }
    assert_eq!(told, ignored::all().into_iter().collect());
    assert!(leaves > 400, "the list has {leaves} properties");
}

#[test]
fn a_property_that_is_not_of_the_api_is_unknown() {
    let spec = json!({"hosts": ["a"], "http": [{"mach": []}]});
    let decoded = decode(object(Kind::VirtualService, spec), "web");
    assert_eq!(decoded.unknown_paths, ["spec.http[0].mach"]);
    assert_eq!(decoded.ignored, []);
}
