// SPDX-License-Identifier: Apache-2.0
//! Conditions of HTTP requests: every form of text, and those that are judged before there is any request.

use serde_json::{Map, Value, json};

use super::dice::Dice;
use super::virtual_services::gateways;
use super::words::{NAMESPACES, PLAIN_PORTS, TLS_PORTS};

/// Paths that rules name and requests have.
pub(super) const PATHS: [&str; 10] = ["/", "/", "/a", "/a", "/a/", "/a/b", "/ab", "/A", "/b", "/v1/items"];

/// Forms that a text is compared by.
struct Texts {
    exact: &'static [&'static str],
    prefix: &'static [&'static str],
    regex: &'static [&'static str],
    /// In so many of 100 cases it need only be there.
    presence: u32,
}

const URI: Texts = Texts {
    exact: &PATHS,
    prefix: &["/", "/", "/a", "/a", "/a/", "/A", "/b", "/v1/", ""],
    regex: &["/a.*", ".*", "/[ab]/?", "/a(/.*)?", "/v[0-9]+/.*", ".+"],
    presence: 0,
};
const VALUE: Texts = Texts {
    exact: &["a", "v1", "V1", ""],
    prefix: &["a", "v"],
    regex: &["a|b", "v[0-9]", "(?i)v1", ".*", ".+"],
    presence: 10,
};
const METHOD: Texts = Texts { exact: &["GET", "POST", "get"], prefix: &["P"], regex: &["GET|HEAD"], presence: 0 };
const SCHEME: Texts = Texts { exact: &["http", "https"], prefix: &["http"], regex: &[], presence: 0 };
const AUTHORITY: Texts = Texts {
    exact: &["a.example.com", "a.example.com:8080", "shop.test"],
    prefix: &["a.", "x."],
    regex: &[".*example.*"],
    presence: 0,
};

/// Names of headers and of parameters.
const HEADERS: [&str; 3] = ["x-user", "X-Version", "x-empty"];
const PARAMETERS: [&str; 2] = ["q", "r"];

fn text(dice: &mut Dice, texts: &Texts) -> Value {
    if dice.chance(texts.presence) {
        return json!({});
    }
    match dice.count(0..=9) {
        0..=4 => json!({"prefix": dice.pick(texts.prefix)}),
        5 | 6 if !texts.regex.is_empty() => json!({"regex": dice.pick(texts.regex)}),
        _ => json!({"exact": dice.pick(texts.exact)}),
    }
}

fn texts(dice: &mut Dice, names: &[&str]) -> Value {
    let count = dice.weighted(&[(8, 1), (2, 2)]);
    let mut found = Map::new();
    for name in dice.few(count, names) {
        found.insert(name.to_owned(), text(dice, &VALUE));
    }
    found.into()
}

/// Conditions of a rule of `namespace`. Most have few.
pub(super) fn http(dice: &mut Dice, namespace: &str) -> Value {
    let mut found = Map::new();
    if dice.chance(85) {
        found.insert("uri".into(), text(dice, &URI));
    }
    if dice.chance(15) {
        found.insert("ignoreUriCase".into(), true.into());
    }
    if dice.chance(20) {
        found.insert("headers".into(), texts(dice, &HEADERS));
    }
    if dice.chance(10) {
        let mut without = texts(dice, &HEADERS);
        // Only here is this an expression that may be written.
        if dice.chance(10) {
            without["x-user"] = json!({"regex": "*"});
        }
        found.insert("withoutHeaders".into(), without);
    }
    if dice.chance(12) {
        found.insert("queryParams".into(), texts(dice, &PARAMETERS));
    }
    for (name, texts) in [("method", &METHOD), ("scheme", &SCHEME), ("authority", &AUTHORITY)] {
        if dice.chance(6) {
            found.insert(name.into(), text(dice, texts));
        }
    }
    if dice.chance(10) {
        found.insert("name".into(), "m".into());
    }
    of_the_gateway(dice, namespace, &mut found);
    found.into()
}

/// Conditions that are the same for every request to one gateway.
fn of_the_gateway(dice: &mut Dice, namespace: &str, found: &mut Map<String, Value>) {
    if dice.chance(8) {
        found.insert("port".into(), port(dice).into());
    }
    if dice.chance(8) {
        found.insert("gateways".into(), gateways(dice, namespace));
    }
    if dice.chance(7) {
        found.insert("sourceLabels".into(), source_labels(dice));
    }
    if dice.chance(5) {
        found.insert("sourceNamespace".into(), dice.pick(&NAMESPACES).into());
    }
}

pub(super) fn port(dice: &mut Dice) -> u16 {
    if dice.chance(60) { dice.pick(&PLAIN_PORTS) } else { dice.pick(&TLS_PORTS) }
}

pub(super) fn source_labels(dice: &mut Dice) -> Value {
    if dice.chance(60) { json!({"app": "edge"}) } else { json!({"app": "other"}) }
}
