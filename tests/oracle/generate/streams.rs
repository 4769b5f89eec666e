// SPDX-License-Identifier: Apache-2.0
//! Rules for what is passed on as bytes: TLS by server name, and TCP.

use serde_json::{Map, Value, json};

use super::dice::Dice;
use super::matches::{port, source_labels};
use super::routes::destination;
use super::virtual_services::gateways;

/// Server names are hosts of the rule, or below its wildcards.
pub(super) fn tls(dice: &mut Dice, namespace: &str, hosts: &[&str]) -> Value {
    let rules: Vec<Value> = (0..dice.count(1..=2))
        .map(|_| {
            let matches: Vec<Value> = (0..dice.count(1..=2)).map(|_| server_names(dice, namespace, hosts)).collect();
            json!({"match": matches, "route": destinations(dice, namespace)})
        })
        .collect();
    rules.into()
}

fn server_names(dice: &mut Dice, namespace: &str, hosts: &[&str]) -> Value {
    let host = dice.pick(hosts);
    let name = match host.strip_prefix('*') {
        Some("") if dice.chance(50) => "a.example.com".to_owned(),
        Some(suffix) if !suffix.is_empty() && dice.chance(50) => format!("{}{suffix}", dice.pick(&["x", "y"])),
        _ => host.to_owned(),
    };
    let mut found = conditions(dice, namespace);
    found.insert("sniHosts".into(), json!([name]));
    found.into()
}

fn conditions(dice: &mut Dice, namespace: &str) -> Map<String, Value> {
    let mut found = Map::new();
    if dice.chance(15) {
        found.insert("port".into(), port(dice).into());
    }
    if dice.chance(15) {
        found.insert("gateways".into(), gateways(dice, namespace));
    }
    if dice.chance(8) {
        found.insert("sourceLabels".into(), source_labels(dice));
    }
    if dice.chance(5) {
        found.insert("destinationSubnets".into(), json!(["10.0.0.0/8"]));
    }
    found
}

pub(super) fn tcp(dice: &mut Dice, namespace: &str) -> Value {
    let rules: Vec<Value> = (0..dice.count(1..=2))
        .map(|_| {
            let mut rule = Map::new();
            if dice.chance(40) {
                rule.insert("match".into(), json!([conditions(dice, namespace)]));
            }
            rule.insert("route".into(), destinations(dice, namespace));
            rule.into()
        })
        .collect();
    rules.into()
}

fn destinations(dice: &mut Dice, namespace: &str) -> Value {
    let count = dice.weighted(&[(7, 1), (3, 2)]);
    let some: Vec<Value> = (0..count)
        .map(|_| {
            let destination = destination(dice, namespace);
            let weight = dice.pick(&[0, 1, 25, 75]);
            if count > 1 {
                json!({"destination": destination, "weight": weight})
            } else {
                json!({"destination": destination})
            }
        })
        .collect();
    some.into()
}
