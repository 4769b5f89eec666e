// SPDX-License-Identifier: Apache-2.0
//! One endpoint of eight is twenty times slower than the others, at half of the load that they bear.

#![expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^53")]

use std::time::Duration;

use super::clients::{open, randomly};
use super::*;

/// What a request takes on average.
const MEAN: Duration = Duration::from_millis(40);
const ENDPOINTS: u8 = 8;

/// The latency that 99 % of the requests do not exceed, and the share of the first endpoint.
fn p99(runtime: &Runtime, first: Duration, balance: &str) -> (Duration, f64) {
    let all = endpoints(runtime, ENDPOINTS, Conduct::Take(MEAN));
    all[0].set(Conduct::Take(first));
    let world = world(&service("busy", &all, "", &format!("loadBalancer: {{simple: {balance}}}")));
    let rate = f64::from(ENDPOINTS) * (SLOTS as f64) / MEAN.as_secs_f64() / 2.0;
    let length = Duration::from_secs(size(4, 30));
    let outcomes = runtime.block_on(open(world.http, randomly(rate, length), &get("busy")));
    // Without regard to load more wait at the slow one than their patience lasts.
    let good = outcomes.iter().filter(|outcome| outcome.is_good()).count();
    assert!(good == outcomes.len() || balance == "ROUND_ROBIN", "{good} of {} are answered", outcomes.len());
    let mut times: Vec<Duration> = outcomes.iter().map(|outcome| outcome.took).collect();
    let share = all[0].requests() as f64 / outcomes.len() as f64;
    let p99 = percentile(&mut times, 99);
    println!("{balance}, the first takes {first:?}: {} requests, p99 {p99:?}, share {share:.4}", outcomes.len());
    (p99, share)
}

#[test]
fn a_slow_endpoint_gets_little_under_least_request_and_does_not_slow_the_others() {
    let runtime = runtime();
    let (even, share) = p99(&runtime, MEAN, "LEAST_REQUEST");
    assert!((0.11..0.14).contains(&share), "{share}");
    let (slow, share) = p99(&runtime, 20 * MEAN, "LEAST_REQUEST");
    assert!(share < 0.04, "{share}");
    let (blind, share) = p99(&runtime, 20 * MEAN, "ROUND_ROBIN");
    assert!((0.11..0.14).contains(&share), "{share}");
    // Times mean something on a machine that does nothing else; the balancer's own simulation holds everywhere.
    if !full() {
        return;
    }
    assert!(slow <= even.mul_f64(1.5), "p99 was {even:?} and is {slow:?}");
    assert!(blind > even.mul_f64(5.0), "without regard to load it is {blind:?}: else this says nothing");
}
