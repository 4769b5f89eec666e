// SPDX-License-Identifier: Apache-2.0
//! Checks a completed value against its schema: types, enums, limits, patterns, formats, uniqueness, then CEL rules
//! where all below them holds. Changes nothing.

use std::collections::HashSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde_json::{Map, Value};

use crate::schema::node::{Format, ListType, Node, ValueType};
use crate::schema::rule::Verdict;
use crate::schema::subject::context;
use crate::schema::suggest::nearest;
use crate::violation::{At, Findings};

/// Says everything that is wrong with `value`.
pub(crate) fn check(node: &Node, value: &Value, at: &At<'_>, findings: &mut Findings) {
    let before = findings.errors();
    if let Some(expected) = node.value_type
        && !is_of(expected, value)
    {
        let (why, remedy) = wrong_type(expected, value);
        return findings.error(at, why, remedy);
    }
    if node.int_or_string && !is_of(ValueType::Integer, value) && !is_of(ValueType::String, value) {
        let why = format!("must be an integer or a text, and is {}", kind_text(value));
        return findings.error(at, why, "write a number, or a text such as 50% or 128Mi");
    }
    choices(node, value, at, findings);
    match value {
        Value::String(text) => string(node, text, at, findings),
        Value::Number(_) => number(node, value, at, findings),
        Value::Array(items) => array(node, items, at, findings),
        Value::Object(fields) => object(node, fields, at, findings),
        Value::Null | Value::Bool(_) => {}
    }
    combinations(node, value, at, findings);
    // A broken part would only make its rules fail again.
    if findings.errors() == before {
        rules(node, value, at, findings);
    }
}

fn conforms(node: &Node, value: &Value) -> bool {
    let mut findings = Findings::default();
    check(node, value, &At::Root, &mut findings);
    findings.errors() == 0
}

fn is_of(expected: ValueType, value: &Value) -> bool {
    match expected {
        ValueType::Object => value.is_object(),
        ValueType::Array => value.is_array(),
        ValueType::String => value.is_string(),
        ValueType::Integer => value.is_i64() || value.is_u64(),
        ValueType::Boolean => value.is_boolean(),
    }
}

fn wrong_type(expected: ValueType, value: &Value) -> (String, String) {
    let (expected_text, actual) = (type_text(expected), kind_text(value));
    let remedy = match (expected, value) {
        (ValueType::String, Value::Number(_) | Value::Bool(_)) => format!("put it in quotes: \"{value}\""),
        (ValueType::Integer, Value::String(text)) if text.parse::<i64>().is_ok() => format!("write {text} unquoted"),
        (ValueType::Boolean, Value::String(text)) if text == "true" || text == "false" => {
            format!("write {text} unquoted")
        }
        (ValueType::Array, _) => "write it as a list: start each entry with -".to_owned(),
        _ => format!("write {expected_text}"),
    };
    (format!("must be {expected_text}, not {actual}"), remedy)
}

fn type_text(expected: ValueType) -> &'static str {
    match expected {
        ValueType::Object => "a map",
        ValueType::Array => "a list",
        ValueType::String => "a text",
        ValueType::Integer => "an integer",
        ValueType::Boolean => "true or false",
    }
}

fn kind_text(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a fraction",
        Value::Number(_) => "an integer",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

fn choices(node: &Node, value: &Value, at: &At<'_>, findings: &mut Findings) {
    if node.choices.is_empty() || node.choices.contains(value) || is_experimental(value, at) {
        return;
    }
    let listed: Vec<_> = node.choices.iter().map(plain).collect();
    let word = value.as_str().unwrap_or_default();
    let remedy = match nearest(word, node.choices.iter().filter_map(Value::as_str)) {
        Some(known) => format!("did you mean `{known}`?"),
        None => format!("use one of: {}", listed.join(", ")),
    };
    findings.error(at, format!("{} is not one of: {}", shortened(value), listed.join(", ")), remedy);
}

/// The type of a filter whose part, `externalAuth`, is named as one of the experimental channel where it is met.
fn is_experimental(value: &Value, at: &At<'_>) -> bool {
    matches!(at, At::Field(At::Item(At::Field(_, "filters"), _), "type")) && value == "ExternalAuth"
}

/// A text without quotes, anything else as JSON.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Bounded, and quoted if it is a text.
fn shortened(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn string(node: &Node, text: &str, at: &At<'_>, findings: &mut Findings) {
    if node.min_length.is_some() || node.max_length.is_some() {
        // Kubernetes counts code points.
        let length = text.chars().count();
        if let Some(least) = node.min_length.filter(|least| length < *least) {
            let why =
                if length == 0 { "must not be empty".into() } else { format!("is shorter than {least} characters") };
            return findings.error(at, why, "");
        }
        if let Some(most) = node.max_length.filter(|most| length > *most) {
            findings.error(at, format!("is longer than {most} characters"), "shorten it");
        }
    }
    if let Some(pattern) = &node.pattern {
        match pattern.is_match(text) {
            Some(true) => {}
            Some(false) => {
                let why = format!("{} is not valid here", shortened(&Value::from(text)));
                findings.error(at, why, wanted(pattern.as_str()));
            }
            None => findings.note(at, format!("not checked here: pattern {}", pattern.as_str())),
        }
    }
    let formatted = match node.format {
        Some(Format::DateTime) => text.parse::<jiff::Timestamp>().is_ok(),
        Some(Format::Ipv4) => text.parse::<Ipv4Addr>().is_ok(),
        Some(Format::Ipv6) => text.parse::<Ipv6Addr>().is_ok(),
        Some(Format::Int32 | Format::Int64) | None => true,
    };
    if !formatted {
        findings.error(at, format!("{} has the wrong form", shortened(&Value::from(text))), "");
    }
}

/// What to write, for the patterns of Gateway API and of our own kinds.
fn wanted(pattern: &str) -> String {
    let wanted = match pattern {
        "^([0-9]{1,5}(h|m|s|ms)){1,4}$" => "write a duration like 500ms, 10s or 1h30m",
        r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$" => {
            "write a DNS name in lower case, without port or slash; *. may stand in front"
        }
        r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$" => {
            "use lower-case letters, digits, - and ., with a letter or digit at both ends"
        }
        r"^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$" => {
            "write an API group such as gateway.networking.k8s.io, without version, or \"\" for core"
        }
        "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$" => {
            "use lower-case letters, digits and -, with a letter or digit at both ends"
        }
        "^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$" => "write a kind such as Service",
        r"^[A-Za-z0-9!#$%&'*+\-.^_\x60|~]+$" => "use letters, digits and !#$%&'*+-.^_`|~ only",
        r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/[A-Za-z0-9\/\-._~%!$&'()*+,;=:]+$" => {
            "write a domain and a path, such as example.com/name"
        }
        r#"^https://[-A-Za-z0-9.:\[\]]+(/[!-"$-~]*)?$"# => "write a URL such as https://acme.example/directory",
        r"^(\[[0-9A-Fa-f:.]+\]|[-A-Za-z0-9.]+):[0-9]{1,5}$" => "write HOST:PORT, such as ns1.example.com:53",
        r"^(\[[0-9A-Fa-f:.]+\]|[0-9.]+):[0-9]{1,5}$" => "write an address and a port, such as 1.1.1.1:53",
        "^[-A-Za-z0-9!#$&'*+/=^_`{|}~.]{1,64}@[-A-Za-z0-9.]+$" => "write one address, such as ops@example.com",
        "^[!-~]+$" => "use visible ASCII characters without spaces",
        _ => return format!("it must match {pattern}"),
    };
    wanted.to_owned()
}

fn number(node: &Node, value: &Value, at: &At<'_>, findings: &mut Findings) {
    let Some(number) = value.as_i64() else {
        if value.is_u64() {
            findings.error(at, "is too large", "");
        }
        return;
    };
    let (least, most) = match node.format {
        Some(Format::Int32) => (i64::from(i32::MIN), i64::from(i32::MAX)),
        _ => (i64::MIN, i64::MAX),
    };
    let least = node.minimum.map_or(least, |minimum| minimum.max(least));
    let most = node.maximum.map_or(most, |maximum| maximum.min(most));
    if number < least || number > most {
        findings.error(at, format!("{number} is out of range"), format!("use {least} to {most}"));
    }
}

fn array(node: &Node, items: &[Value], at: &At<'_>, findings: &mut Findings) {
    if let Some(least) = node.min_items.filter(|least| items.len() < *least) {
        findings.error(at, format!("has {} entries, and needs at least {least}", items.len()), "");
    }
    if let Some(most) = node.max_items.filter(|most| items.len() > *most) {
        // Not looked into: the limit also bounds the work.
        let why = format!("has {} entries, and may have at most {most}", items.len());
        return findings.error(at, why, "split the object in several");
    }
    if let Some(child) = &node.items {
        for (index, item) in items.iter().enumerate() {
            check(child, item, &at.item(index), findings);
        }
    }
    unique(node, items, at, findings);
}

fn unique(node: &Node, items: &[Value], at: &At<'_>, findings: &mut Findings) {
    let key = |item: &Value| match node.list_type {
        ListType::Atomic => None,
        ListType::Set => Some(shortened(item)),
        ListType::Map => {
            let keys: Option<Vec<_>> = node.list_map_keys.iter().map(|key| item.get(key).map(plain)).collect();
            keys.map(|values| values.join(", "))
        }
    };
    let mut seen = HashSet::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        if let Some(key) = key(item)
            && !seen.insert(key.clone())
        {
            let by = node.list_map_keys.join(", ");
            let why = if by.is_empty() { format!("repeats {key}") } else { format!("repeats {by} {key:?}") };
            findings.error(&at.item(index), why, "entries must be unique: rename or remove one");
        }
    }
}

fn object(node: &Node, fields: &Map<String, Value>, at: &At<'_>, findings: &mut Findings) {
    for name in node.required.iter().filter(|name| !fields.contains_key(*name)) {
        findings.error(&at.field(name), "is required", "add it");
    }
    if let Some(most) = node.max_properties.filter(|most| fields.len() > *most) {
        return findings.error(at, format!("may have at most {most} entries"), "remove some");
    }
    for (name, field) in fields {
        if let Some(child) = node.properties.get(name).or(node.additional_properties.as_deref()) {
            check(child, field, &at.field(name), findings);
        }
    }
}

fn combinations(node: &Node, value: &Value, at: &At<'_>, findings: &mut Findings) {
    let matching = |nodes: &[Node]| nodes.iter().filter(|node| conforms(node, value)).count();
    let fits = (node.any_of.is_empty() || matching(&node.any_of) > 0)
        && (node.one_of.is_empty() || matching(&node.one_of) == 1)
        && node.not.as_ref().is_none_or(|not| !conforms(not, value));
    if !fits {
        // The only such schema of Gateway API is that of addresses of type IPAddress.
        findings.error(
            at,
            format!("{} is not valid here", shortened(value)),
            "an IPAddress needs an IPv4 or IPv6 address",
        );
    }
}

fn rules(node: &Node, value: &Value, at: &At<'_>, findings: &mut Findings) {
    if node.rules.is_empty() {
        return;
    }
    let context = context(value, node);
    for rule in node.rules.iter().filter(|rule| !rule.is_transition()) {
        match rule.verdict(&context) {
            Verdict::Holds => {}
            Verdict::Broken => findings.error(at, rule.message(), ""),
            Verdict::Unknown(why) => findings.note(at, format!("not checked here: {} ({why})", rule.message())),
        }
    }
}
