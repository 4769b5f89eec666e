// SPDX-License-Identifier: Apache-2.0
//! VirtualServices: several on one host, bound to Gateways by every form of a name, and what they delegate to.

use serde_json::{Map, Value, json};

use super::dice::Dice;
use super::words::{GATEWAYS, HOSTS, export, object};
use super::{routes, streams};

/// Namespace and name of every VirtualService that others delegate to; the last is never there.
pub(super) const DELEGATES: [(&str, &str); 4] =
    [("apps", "part"), ("shop", "part"), ("apps", "other"), ("shop", "gone")];

/// Most belong to those who have Services, too.
const OWNERS: [&str; 5] = ["apps", "shop", "apps", "shop", "istio-system"];

/// Names are few, so that two in different namespaces have the same.
const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// One to six, and up to three that are delegated to.
pub(super) fn some(dice: &mut Dice, present: &[(String, String)]) -> Vec<Value> {
    let places: Vec<(&str, &str)> = OWNERS.iter().flat_map(|namespace| NAMES.map(|name| (*namespace, name))).collect();
    let count = dice.count(1..=6);
    let mut drawn = dice.few(count, &places);
    drawn.sort_unstable();
    drawn.dedup();
    let mut all: Vec<Value> = drawn.into_iter().map(|place| root(dice, place, present)).collect();
    let count = dice.count(0..=3);
    all.extend(dice.few(count, &DELEGATES[..3]).into_iter().map(|place| delegate(dice, place)));
    all
}

fn root(dice: &mut Dice, place: (&str, &str), present: &[(String, String)]) -> Value {
    let (namespace, _) = place;
    let hosts = hosts(dice);
    let mut spec = Map::new();
    if dice.chance(97) {
        let present: Vec<(&str, &str)> = present.iter().map(|(of, name)| (of.as_str(), name.as_str())).collect();
        let from = if dice.chance(85) { &present[..] } else { &GATEWAYS };
        spec.insert("gateways".into(), names(dice, namespace, from));
    }
    if dice.chance(92) {
        spec.insert("http".into(), http(dice, namespace, true));
    }
    if !spec.contains_key("http") || dice.chance(30) {
        spec.insert("tls".into(), streams::tls(dice, namespace, &hosts));
    }
    if dice.chance(30) {
        spec.insert("tcp".into(), streams::tcp(dice, namespace));
    }
    spec.insert("hosts".into(), json!(hosts));
    export(dice, namespace, &mut spec);
    object(dice, "VirtualService", place, spec)
}

fn delegate(dice: &mut Dice, place: (&str, &str)) -> Value {
    let mut spec = Map::new();
    spec.insert("http".into(), http(dice, place.0, false));
    export(dice, place.0, &mut spec);
    object(dice, "VirtualService", place, spec)
}

/// One to four rules; often the last is for all that no other took.
fn http(dice: &mut Dice, namespace: &str, root: bool) -> Value {
    let mut rules: Vec<Value> = (0..dice.count(1..=3)).map(|_| routes::http(dice, namespace, root)).collect();
    if dice.chance(45) {
        rules.push(routes::rest(dice, namespace));
    }
    rules.into()
}

/// Hosts that overlap are refused: there are few of those.
fn hosts(dice: &mut Dice) -> Vec<&'static str> {
    let count = dice.weighted(&[(6, 1), (3, 2), (1, 3)]);
    let drawn = dice.few(count, &HOSTS);
    if dice.chance(3) {
        return drawn;
    }
    let mut hosts: Vec<&str> = Vec::new();
    for host in drawn {
        if !hosts.iter().any(|other| covers(host, other) || covers(other, host)) {
            hosts.push(host);
        }
    }
    hosts
}

/// Whether every name that the second stands for the first does, too.
pub(super) fn covers(wide: &str, narrow: &str) -> bool {
    wide == narrow || wide.strip_prefix('*').is_some_and(|suffix| narrow.trim_start_matches('*').ends_with(suffix))
}

/// A list of names of Gateways, there or not, as an object of `namespace` writes them.
pub(super) fn gateways(dice: &mut Dice, namespace: &str) -> Value {
    names(dice, namespace, &GATEWAYS)
}

fn names(dice: &mut Dice, namespace: &str, from: &[(&str, &str)]) -> Value {
    let count = dice.weighted(&[(4, 1), (3, 2), (3, 4)]);
    let mut names: Vec<String> =
        dice.few(count, from).into_iter().map(|gateway| reference(dice, namespace, gateway)).collect();
    if dice.chance(8) {
        names.push(dice.pick(&["mesh", "gone", "apps/gone", "./g"]).to_owned());
    }
    names.into()
}

fn reference(dice: &mut Dice, namespace: &str, (of, name): (&str, &str)) -> String {
    match dice.count(0..=9) {
        0..=5 if of == namespace => name.to_owned(),
        9 => format!("{name}.{of}.svc.cluster.local"),
        _ => format!("{of}/{name}"),
    }
}
