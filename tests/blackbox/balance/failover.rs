// SPDX-License-Identifier: Apache-2.0
//! Four endpoints, one of them away for a while, each in turn, under 200 requests a second over 256 rules to one Service.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::clients::{Ask, Outcome, evenly, open};
use super::*;

const RATE: u32 = 200;
/// VirtualServices, and rules of each.
const RULES: (usize, usize) = (16, 16);

/// How long each endpoint is away.
fn outage() -> Duration {
    Duration::from_secs(size(3, 22))
}

/// 16 VirtualServices with 16 rules each; `also` is what each rule says beside.
fn routes(also: &str) -> String {
    let rule = |at: usize| {
        let path = format!("match: [{{uri: {{prefix: /{at}/}}}}]");
        format!("{{{path}, {also}route: [{{destination: {{host: b, port: {{number: 80}}}}}}]}}")
    };
    let one = |number: usize| {
        let rules: Vec<String> = (0..RULES.1).map(rule).collect();
        let spec = format!("hosts: [h{number}.example.com], gateways: [edge], http: [{}]", rules.join(", "));
        object("networking.istio.io/v1", "VirtualService", &format!("r{number}"), &spec)
    };
    (0..RULES.0).map(one).collect::<Vec<_>>().concat()
}

/// Each request by another rule than the one before.
fn ask() -> Ask {
    Arc::new(|number| {
        let (host, path) = (number % RULES.0, number / RULES.0 % RULES.1);
        format!("GET /{path}/{number} HTTP/1.1\r\nHost: h{host}.example.com\r\n\r\n").into_bytes()
    })
}

/// What becomes of the requests while each endpoint in turn does as it is told, and when each was back.
fn outages(also: &str, policy: &str, conduct: Conduct) -> (Vec<Outcome>, Vec<Duration>) {
    let runtime = runtime();
    let four = endpoints(&runtime, 4, Conduct::Serve);
    let world = world(&(service_at("b", &ports(&four)) + &destination_rule("b", policy) + &routes(also)));
    let length = outage() * 4 + Duration::from_secs(4);
    let begin = Instant::now();
    let load = runtime.spawn({
        let (port, ask) = (world.http, ask());
        async move { open(port, evenly(RATE, length), &ask).await }
    });
    std::thread::sleep(Duration::from_millis(500));
    let mut back = Vec::new();
    for endpoint in &four {
        endpoint.set(conduct);
        std::thread::sleep(outage());
        endpoint.set(Conduct::Serve);
        back.push(begin.elapsed());
    }
    (runtime.block_on(load).unwrap(), back)
}

/// How many requests failed; after an outage its endpoint must have its share again within so long.
fn failed(what: &str, outcomes: &[Outcome], back: &[Duration], within: Duration) -> usize {
    let failed: Vec<_> = outcomes.iter().filter(|outcome| !outcome.is_good()).collect();
    println!(
        "{what}: {} of {} requests failed in {} outages of {:?}",
        failed.len(),
        outcomes.len(),
        back.len(),
        outage()
    );
    for (name, back) in (b'a'..).zip(back) {
        // While the next one is away three are left; after that four. Long enough that chance has little to say: of 300
        // requests a quarter is less than a sixth once in two thousand times.
        let when = *back + within..*back + within + Duration::from_millis(1500);
        let then: Vec<_> = outcomes.iter().filter(|outcome| when.contains(&outcome.at)).collect();
        let its = then.iter().filter(|outcome| outcome.from == name).count();
        let first = outcomes.iter().find(|outcome| outcome.at > *back && outcome.from == name);
        println!(
            "{what}: {} has {its} of {}, the first {:?} after",
            char::from(name),
            then.len(),
            first.map(|it| it.at.saturating_sub(*back))
        );
        assert!(its * 6 >= then.len(), "{what}: {} has {its} of {}", char::from(name), then.len());
    }
    failed.len()
}

const RETRIES: &str = "retries: {attempts: 2, retryOn: \"connect-failure,reset,gateway-error\"}, ";
const PATIENT: &str = "retries: {attempts: 2, perTryTimeout: 0.5s, retryOn: \"connect-failure,reset,gateway-error\"}, ";
const NO_RETRIES: &str = "retries: {attempts: 0}, ";

#[test]
fn an_endpoint_that_is_away_costs_few_requests_and_has_its_share_when_it_is_back() {
    let within = Duration::from_secs(1);
    let (outcomes, back) = outages(RETRIES, "", Conduct::Away);
    let retried = failed("away, retries", &outcomes, &back, within);
    let (outcomes, back) = outages(NO_RETRIES, "", Conduct::Away);
    let lost = failed("away, no retries", &outcomes, &back, within);
    assert!(retried <= 10 && lost <= 200, "{retried} with retries, {lost} without");
}

#[test]
fn an_endpoint_that_takes_requests_and_is_silent_costs_few_of_them() {
    // Each time it is let in again it is found out by three requests that wait in vain.
    let policy =
        "outlierDetection: {consecutive5xxErrors: 3, interval: 1s, baseEjectionTime: 10s, maxEjectionPercent: 50}";
    let (outcomes, _) = outages(&format!("timeout: 2s, {PATIENT}"), policy, Conduct::Silent);
    let retried = failed("silent, retries", &outcomes, &[], Duration::ZERO);
    let (outcomes, _) = outages(&format!("timeout: 0.5s, {NO_RETRIES}"), policy, Conduct::Silent);
    let lost = failed("silent, no retries", &outcomes, &[], Duration::ZERO);
    assert!(retried <= 10 && lost <= 200, "{retried} with retries, {lost} without");
    assert!(lost >= 4 * 3, "{lost}: the first ones cannot be known");
}
