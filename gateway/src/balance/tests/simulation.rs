// SPDX-License-Identifier: Apache-2.0
//! Requests that come at random to endpoints that take random time, in a time of their own: nothing sleeps.

#![expect(clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "times are far below 2^53, and positive")]

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::*;

const ENDPOINTS: usize = 8;
/// Requests that an endpoint works on at once; more wait there.
const WORKERS: usize = 64;
/// What a request takes on average, in nanoseconds.
const SERVICE: f64 = 10e6;
const REQUESTS: usize = 60_000;

/// At an endpoint.
#[derive(Default)]
struct Queue {
    busy: usize,
    /// When they came, and how long they take.
    waiting: VecDeque<(u64, u64)>,
}

/// Exponentially distributed.
fn random(rng: &mut fastrand::Rng, mean: f64) -> u64 {
    (-(1.0 - rng.f64()).ln() * mean) as u64
}

/// The 99th percentile of all latencies, in milliseconds, and the share of the first endpoint, which is so many times
/// slower than others. Half of what the endpoints together can do is asked for.
fn p99(balance: &LoadBalance, slower: f64) -> (f64, f64) {
    let (state, start) = (state(balance, &[1; ENDPOINTS]), Instant::now());
    let mut rng = fastrand::Rng::with_seed(7);
    let mut queues: Vec<Queue> = (0..ENDPOINTS).map(|_| Queue::default()).collect();
    let mut flights: Vec<Vec<InFlight>> = (0..ENDPOINTS).map(|_| Vec::new()).collect();
    // When, at which endpoint, when the request came that is done then.
    let mut done: BinaryHeap<Reverse<(u64, usize, u64)>> = BinaryHeap::new();
    let (mut latencies, mut at_first, mut now) = (Vec::new(), 0, 0);
    let mean = SERVICE / (ENDPOINTS * WORKERS) as f64 / 0.5;
    for _ in 0..REQUESTS {
        now += random(&mut rng, mean);
        while let Some(Reverse((end, at, came))) = done.peek().copied().filter(|Reverse((end, ..))| *end <= now) {
            done.pop();
            latencies.push(end - came);
            flights[at].pop();
            match queues[at].waiting.pop_front() {
                Some((came, takes)) => done.push(Reverse((end + takes, at, came))),
                None => queues[at].busy -= 1,
            }
        }
        let draw = Draw { random: rng.u64(..), key: None, tried: &[] };
        let endpoint = state.pick(&draw, || start + Duration::from_nanos(now)).unwrap();
        let at = usize::from(endpoint.address.port()) - 1;
        flights[at].push(endpoint.begin());
        at_first += usize::from(at == 0);
        let takes = random(&mut rng, SERVICE * if at == 0 { slower } else { 1.0 });
        if queues[at].busy < WORKERS {
            queues[at].busy += 1;
            done.push(Reverse((now + takes, at, now)));
        } else {
            queues[at].waiting.push_back((now, takes));
        }
    }
    latencies.extend(done.into_iter().map(|Reverse((end, _, came))| end - came));
    latencies.sort_unstable();
    let p99 = latencies[latencies.len() * 99 / 100] as f64 / 1e6;
    (p99, at_first as f64 / REQUESTS as f64)
}

#[test]
fn a_slow_endpoint_does_not_slow_the_others() {
    let balance = LoadBalance::LeastRequest;
    let ((even, _), (uneven, share)) = (p99(&balance, 1.0), p99(&balance, 20.0));
    assert!(uneven <= 1.5 * even, "p99 {even:.1} ms became {uneven:.1} ms; the slow one had {share:.4}");
    assert!(share < 0.02, "the slow one had {share:.4}");
    // The same without regard to load, to show that the simulation can tell.
    let (blind, share) = p99(&LoadBalance::RoundRobin, 20.0);
    assert!(blind > 10.0 * even && share > 0.12, "p99 {blind:.1} ms, share {share:.4}");
}
