// SPDX-License-Identifier: Apache-2.0
//! DestinationRules: subsets, several of one host, wildcards, and whom they are for.

use serde_json::{Map, Value, json};

use super::dice::Dice;
use super::services::DESTINATIONS;
use super::words::{NAMESPACES, export, object};

/// Subsets that rules name; the last is nobody's.
pub(super) const SUBSETS: [&str; 3] = ["v1", "v2", "v9"];

/// None to five.
pub(super) fn some(dice: &mut Dice) -> Vec<Value> {
    (0..dice.count(0..=5)).map(|at| rule(dice, at)).collect()
}

fn rule(dice: &mut Dice, at: usize) -> Value {
    let namespace = dice.pick(&NAMESPACES);
    let mut spec = Map::new();
    let host = match dice.count(0..=9) {
        0 => dice.pick(&["*.example.net", "*.svc.cluster.local", "*.apps.svc.cluster.local", "*"]),
        _ => dice.pick(&DESTINATIONS).0,
    };
    spec.insert("host".into(), host.into());
    let count = dice.weighted(&[(1, 0), (2, 1), (2, 2)]);
    let subsets = dice.few(count, &SUBSETS[..2]);
    let subsets: Vec<Value> =
        subsets.into_iter().map(|name| json!({"name": name, "labels": {"version": name}})).collect();
    if !subsets.is_empty() {
        spec.insert("subsets".into(), subsets.into());
    }
    if dice.chance(30) {
        spec.insert("trafficPolicy".into(), policy(dice));
    }
    export(dice, namespace, &mut spec);
    object(dice, "DestinationRule", (namespace, &format!("d{at}")), spec)
}

/// What of a policy shows in a route: by what a request is hashed.
fn policy(dice: &mut Dice) -> Value {
    let balance = match dice.count(0..=4) {
        0 => json!({"simple": "ROUND_ROBIN"}),
        1 => json!({"consistentHash": {"httpHeaderName": "x-user"}}),
        2 => json!({"consistentHash": {"useSourceIp": true}}),
        3 => json!({"consistentHash": {"httpCookie": {"name": "session", "ttl": "60s"}}}),
        _ => json!({"consistentHash": {"httpQueryParameterName": "q"}}),
    };
    json!({"loadBalancer": balance})
}
