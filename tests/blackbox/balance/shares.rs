// SPDX-License-Identifier: Apache-2.0
//! The shares of endpoints under each algorithm, by requests that were answered; and whose keys move.

#![expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^53")]

use std::collections::BTreeMap;
use std::sync::Arc;

use super::clients::{Ask, Outcome, closed};
use super::*;

/// At once: enough for two workers, and for least request to have something to compare.
const CLIENTS: usize = 16;

/// How often each endpoint answered; everything must be answered.
fn counts(outcomes: &[Outcome]) -> BTreeMap<char, usize> {
    let mut counts = BTreeMap::new();
    for outcome in outcomes {
        assert!(outcome.is_good(), "{outcome:?}");
        *counts.entry(char::from(outcome.from)).or_default() += 1;
    }
    counts
}

/// Each share is within a hundredth of all requests of what it should be, or within five standard deviations where there
/// are fewer requests.
fn assert_shares(what: &str, counts: &BTreeMap<char, usize>, expected: &[f64]) {
    let all: usize = counts.values().sum();
    println!("{what}: {counts:?} of {all}");
    for (name, expected) in ('a'..).zip(expected) {
        let share = counts.get(&name).copied().unwrap_or(0) as f64 / all as f64;
        let allowed = f64::max(0.01, 5.0 * (expected * (1.0 - expected) / all as f64).sqrt());
        assert!((share - expected).abs() <= allowed, "{what}: {name} has {share:.4}, not {expected:.4}, of {all}");
    }
}

/// GET with a key that only this request has.
fn keyed(service: &str) -> Ask {
    let host = host(service);
    Arc::new(move |number| format!("GET /{number} HTTP/1.1\r\nHost: {host}\r\nx-key: k{number}\r\n\r\n").into_bytes())
}

const BY_KEY: &str = "consistentHash: {httpHeaderName: x-key";

#[test]
fn each_algorithm_gives_each_endpoint_its_share() {
    let requests = size(10_000, 100_000);
    let runtime = runtime();
    let four = endpoints(&runtime, 4, Conduct::Serve);
    let maglev = format!("{BY_KEY}, maglev: {{tableSize: 65537}}}}");
    let rows = [
        ("round", "simple: ROUND_ROBIN"),
        ("least", "simple: LEAST_REQUEST"),
        ("random", "simple: RANDOM"),
        ("maglev", &maglev),
    ];
    let services: Vec<String> =
        rows.iter().map(|(name, balance)| service(name, &four, "", &format!("loadBalancer: {{{balance}}}"))).collect();
    let world = world(&(services.concat() + &service("usual", &four, "", "")));
    for name in rows.iter().map(|(name, _)| *name).chain(["usual"]) {
        let outcomes = runtime.block_on(closed(world.http, CLIENTS, requests, &keyed(name)));
        assert_shares(name, &counts(&outcomes), &[0.25; 4]);
    }
}

#[test]
fn each_endpoint_gets_the_share_of_its_weight() {
    let requests = size(10_000, 100_000);
    let runtime = runtime();
    let four = endpoints(&runtime, 4, Conduct::Serve);
    let workloads: Vec<String> = four
        .iter()
        .zip(1..)
        .map(|(endpoint, weight)| {
            format!("{{address: 127.0.0.1, ports: {{http: {}}}, weight: {weight}}}", endpoint.port)
        })
        .collect();
    let rows = [
        ("round.example.com", "simple: ROUND_ROBIN".to_owned()),
        ("least.example.com", "simple: LEAST_REQUEST".to_owned()),
        ("random.example.com", "simple: RANDOM".to_owned()),
        ("maglev.example.com", format!("{BY_KEY}, maglev: {{tableSize: 65537}}}}")),
    ];
    let all: Vec<String> = rows
        .iter()
        .map(|(host, balance)| {
            let spec = format!(
                "hosts: [{host}], ports: [{{number: 80, name: http, protocol: HTTP}}], resolution: STATIC, endpoints: [{}]",
                workloads.join(", ")
            );
            object("networking.istio.io/v1", "ServiceEntry", host, &spec)
                + &destination_rule(host, &format!("loadBalancer: {{{balance}}}"))
                + &virtual_service(host, "")
        })
        .collect();
    let world = world(&all.concat());
    for (host, _) in &rows {
        let outcomes = runtime.block_on(closed(world.http, CLIENTS, requests, &keyed(host)));
        assert_shares(host, &counts(&outcomes), &[0.1, 0.2, 0.3, 0.4]);
    }
}

#[test]
fn routes_are_chosen_by_weight() {
    let requests = size(10_000, 100_000);
    let runtime = runtime();
    let three = endpoints(&runtime, 3, Conduct::Serve);
    let services: Vec<String> =
        ["a", "b", "c"].iter().zip(&three).map(|(name, endpoint)| service_at(name, &[endpoint.port])).collect();
    let route = |name: &str, weight: u32| format!("{{destination: {{host: {name}}}, weight: {weight}}}");
    let routes = [route("a", 70), route("b", 25), route("c", 5)].join(", ");
    let spec = format!("hosts: [weighted.example.com], gateways: [edge], http: [{{route: [{routes}]}}]");
    let world = world(&(services.concat() + &object("networking.istio.io/v1", "VirtualService", "weighted", &spec)));
    let outcomes = runtime.block_on(closed(world.http, CLIENTS, requests, &get("weighted")));
    assert_shares("weights of routes", &counts(&outcomes), &[0.70, 0.25, 0.05]);
}

/// Who answers each key.
fn owners(outcomes: &[Outcome]) -> BTreeMap<usize, u8> {
    outcomes.iter().map(|outcome| (outcome.number, outcome.from)).collect()
}

#[test]
fn keys_stay_where_they_are_and_those_of_an_endpoint_that_leaves_are_shared_by_the_others() {
    let keys = size(5_000, 50_000);
    let runtime = runtime();
    let eight = endpoints(&runtime, 8, Conduct::Serve);
    let balances = [("ring", format!("{BY_KEY}}}")), ("maglev", format!("{BY_KEY}, maglev: {{tableSize: 65537}}}}"))];
    let written = |left: &[Endpoint]| {
        let services = balances.iter().map(|(name, it)| service(name, left, "", &format!("loadBalancer: {{{it}}}")));
        services.collect::<Vec<_>>().concat()
    };
    let world = world("");
    for (name, _) in &balances {
        // Whether the last one is asked for some of these keys.
        let is_in = || {
            let before = eight[7].requests();
            let outcomes = runtime.block_on(closed(world.http, CLIENTS, 200, &keyed(name)));
            outcomes.iter().all(Outcome::is_good) && eight[7].requests() > before
        };
        world.apply("services.yaml", &written(&eight));
        assert!(torana_tests::eventually(is_in), "{name}");
        let ask = || owners(&runtime.block_on(closed(world.http, CLIENTS, keys, &keyed(name))));
        let (before, again) = (ask(), ask());
        let restless = before.iter().filter(|(key, owner)| again[key] != **owner).count();
        assert_eq!(restless, 0, "{name}: of {keys} keys, although nothing happens");
        let mut shares = BTreeMap::new();
        for owner in before.values() {
            *shares.entry(char::from(*owner)).or_insert(0) += 1;
        }
        world.apply("services.yaml", &written(&eight[..7]));
        assert!(torana_tests::eventually(|| !is_in()), "{name}");
        let after = ask();
        let moved = before.iter().filter(|(key, owner)| after[key] != **owner).count();
        println!("{name}: {moved} of {keys} keys moved when one of 8 left; shares before {shares:?}");
        assert!(moved as f64 <= 1.2 * keys as f64 / 8.0 * size(1.15, 1.0), "{name}: {moved} of {keys}");
    }
}
