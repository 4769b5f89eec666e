// SPDX-License-Identifier: Apache-2.0
//! Rules for HTTP requests: where they go, and what is done to them on the way.

use serde_json::{Map, Value, json};

use super::destination_rules::SUBSETS;
use super::dice::Dice;
use super::matches;
use super::services;
use super::virtual_services::DELEGATES;

/// A rule of an object in `namespace`; only a root delegates.
pub(super) fn http(dice: &mut Dice, namespace: &str, root: bool) -> Value {
    let mut rule = Map::new();
    if dice.chance(30) {
        rule.insert("name".into(), dice.pick(&["r1", "r2"]).into());
    }
    let count = dice.weighted(&[(1, 0), (8, 1), (3, 2), (1, 3)]);
    let conditions: Vec<Value> = (0..count).map(|_| matches::http(dice, namespace)).collect();
    // Where a prefix takes the place of another, there must be another.
    let prefixes = conditions.iter().all(|found| found.get("uri").is_none_or(|uri| uri.get("prefix").is_some()));
    if count > 0 {
        rule.insert("match".into(), conditions.into());
    }
    match dice.count(0..=19) {
        0 | 1 => drop(rule.insert("redirect".into(), redirect(dice, prefixes))),
        2 => drop(rule.insert("directResponse".into(), direct(dice))),
        3..=5 if root => delegate(dice, namespace, &mut rule),
        _ => {
            rule.insert("route".into(), destinations(dice, namespace));
            forwarding(dice, namespace, &mut rule);
        }
    }
    everywhere(dice, &mut rule);
    rule.into()
}

/// A rule for everything that goes somewhere.
pub(super) fn rest(dice: &mut Dice, namespace: &str) -> Value {
    let mut rule = Map::new();
    rule.insert("route".into(), destinations(dice, namespace));
    forwarding(dice, namespace, &mut rule);
    rule.into()
}

fn delegate(dice: &mut Dice, namespace: &str, rule: &mut Map<String, Value>) {
    let (of, name) = dice.pick(&DELEGATES);
    let local = of == namespace && dice.chance(50);
    rule.insert("delegate".into(), if local { json!({"name": name}) } else { json!({"name": name, "namespace": of}) });
    // What the delegate takes over.
    if dice.chance(25) {
        forwarding(dice, namespace, rule);
    }
}

fn redirect(dice: &mut Dice, prefixes: bool) -> Value {
    let mut found = Map::new();
    match dice.count(0..=4) {
        0 | 1 => drop(found.insert("uri".into(), dice.pick(&["/new", "/new?z=1"]).into())),
        2 if prefixes || dice.chance(10) => {
            drop(found.insert("prefixRewrite".into(), dice.pick(&["/new", "/new/"]).into()));
        }
        _ => drop(found.insert("authority".into(), "new.test".into())),
    }
    if dice.chance(30) {
        found.insert("scheme".into(), dice.pick(&["http", "https"]).into());
    }
    match dice.count(0..=5) {
        0 => drop(found.insert("port".into(), dice.pick(&[80, 443, 8443]).into())),
        1 => {
            let from = dice.pick(&["FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT"]);
            found.insert("derivePort".into(), from.into());
        }
        // Envoy would write a second port behind it.
        _ if found.contains_key("authority") && dice.chance(30) => {
            found.insert("authority".into(), "new.test:8443".into());
        }
        _ => {}
    }
    if dice.chance(50) {
        found.insert("redirectCode".into(), dice.pick(&[301, 302, 303, 307, 308, 302, 308, 305]).into());
    }
    found.into()
}

fn direct(dice: &mut Dice) -> Value {
    let status = dice.pick(&[200, 404, 503]);
    if dice.chance(50) { json!({"status": status}) } else { json!({"status": status, "body": {"string": "here"}}) }
}

fn destinations(dice: &mut Dice, namespace: &str) -> Value {
    let count = dice.weighted(&[(7, 1), (3, 2), (1, 3)]);
    let some: Vec<Value> = (0..count).map(|_| weighted(dice, namespace, count)).collect();
    some.into()
}

fn weighted(dice: &mut Dice, namespace: &str, of: usize) -> Value {
    let mut found = Map::new();
    found.insert("destination".into(), destination(dice, namespace));
    if of > 1 || dice.chance(10) {
        found.insert("weight".into(), dice.pick(&[0, 1, 25, 50, 50, 75, 100, 100]).into());
    }
    if dice.chance(10) {
        found.insert("headers".into(), headers(dice));
    }
    found.into()
}

/// A host in any form; what has one port often goes without.
pub(super) fn destination(dice: &mut Dice, namespace: &str) -> Value {
    let mut found = Map::new();
    let (host, ports) = services::destination(dice, namespace);
    found.insert("host".into(), host.into());
    if dice.chance(if ports.len() > 1 { 80 } else { 30 }) {
        let number = if dice.chance(92) { dice.pick(ports) } else { dice.pick(&[80, 8080, 9999]) };
        found.insert("port".into(), json!({"number": number}));
    }
    if dice.chance(12) {
        found.insert("subset".into(), dice.pick(&SUBSETS).into());
    }
    found.into()
}

/// What only a request has that goes on.
fn forwarding(dice: &mut Dice, namespace: &str, rule: &mut Map<String, Value>) {
    if dice.chance(25) {
        rule.insert("rewrite".into(), rewrite(dice));
    }
    if dice.chance(20) {
        rule.insert("timeout".into(), dice.pick(&["1.5s", "10s", "1m"]).into());
    }
    if dice.chance(20) {
        rule.insert("retries".into(), retries(dice));
    }
    if dice.chance(8) {
        rule.insert("fault".into(), fault(dice));
    }
    if dice.chance(8) {
        let mirror = destination(dice, namespace);
        if dice.chance(50) {
            rule.insert("mirror".into(), mirror);
            if dice.chance(50) {
                rule.insert("mirrorPercentage".into(), json!({"value": dice.pick(&[0.0, 0.5, 50.0, 100.0])}));
            }
        } else {
            rule.insert("mirrors".into(), json!([{"destination": mirror, "percentage": {"value": 12.5}}]));
        }
    }
}

/// What any rule may have.
fn everywhere(dice: &mut Dice, rule: &mut Map<String, Value>) {
    if dice.chance(15) {
        rule.insert("headers".into(), headers(dice));
    }
    if dice.chance(8) {
        rule.insert("corsPolicy".into(), cors(dice));
    }
}

fn rewrite(dice: &mut Dice) -> Value {
    match dice.count(0..=6) {
        0..=2 => json!({"uri": dice.pick(&["/", "/new", "/new/"])}),
        3 => json!({"authority": "inner.test"}),
        4 => json!({"uri": "/new", "authority": "inner.test"}),
        5 => json!({"uriRegexRewrite": {"match": "^/([ab])(.*)$", "rewrite": "/x\\2/\\1"}}),
        _ => json!({"uriRegexRewrite": {"match": "a", "rewrite": "$1-\\0"}}),
    }
}

fn retries(dice: &mut Dice) -> Value {
    let attempts = dice.pick(&[0, 1, 3]);
    let mut found = Map::new();
    found.insert("attempts".into(), attempts.into());
    if attempts == 0 {
        return found.into();
    }
    if dice.chance(50) {
        let on = ["5xx", "connect-failure,503", "gateway-error,reset", "retriable-status-codes,409,503", "429"];
        found.insert("retryOn".into(), dice.pick(&on).into());
    }
    if dice.chance(30) {
        found.insert("perTryTimeout".into(), "2s".into());
    }
    if dice.chance(15) {
        found.insert("backoff".into(), "0.1s".into());
    }
    if dice.chance(15) {
        found.insert("retryIgnorePreviousHosts".into(), dice.chance(50).into());
    }
    if dice.chance(15) {
        found.insert("retryRemoteLocalities".into(), dice.chance(50).into());
    }
    found.into()
}

fn fault(dice: &mut Dice) -> Value {
    let percentage = json!({"value": dice.pick(&[0.1, 50.0, 100.0])});
    match dice.count(0..=3) {
        0 => json!({"delay": {"fixedDelay": "2s", "percentage": percentage}}),
        1 => json!({"abort": {"httpStatus": 418, "percentage": percentage}}),
        2 => json!({"abort": {"grpcStatus": "UNAVAILABLE", "percentage": percentage}}),
        _ => json!({"delay": {"fixedDelay": "2s"}, "abort": {"httpStatus": 500}}),
    }
}

fn headers(dice: &mut Dice) -> Value {
    match dice.count(0..=5) {
        0 => json!({"request": {"set": {"x-set": "a"}, "add": {"x-add": "b"}, "remove": ["x-user"]}}),
        1 => json!({"response": {"set": {"x-set": "a"}, "add": {"x-add": "b"}, "remove": ["server"]}}),
        2 => json!({"request": {"set": {"Host": "set.test"}}}),
        3 => json!({"request": {"add": {":authority": "add.test", "x-add": "c"}}}),
        4 => json!({"request": {"set": {"x-b": "1", "x-a": "%REQ(x-user)%"}}, "response": {"remove": ["X-Old"]}}),
        _ => json!({"request": {"remove": ["X-Version"]}}),
    }
}

fn cors(dice: &mut Dice) -> Value {
    let mut found = json!({
        "allowOrigins": [{"exact": "https://a.example.com"}, {"regex": "https://.*\\.test"}],
        "allowMethods": ["GET", "POST"],
    });
    if dice.chance(50) {
        found["allowCredentials"] = true.into();
        found["allowHeaders"] = json!(["x-a", "x-b"]);
    }
    if dice.chance(50) {
        found["maxAge"] = "60s".into();
        found["exposeHeaders"] = json!(["x-c"]);
    }
    if dice.chance(20) {
        found["unmatchedPreflights"] = "IGNORE".into();
    }
    found
}
