// SPDX-License-Identifier: Apache-2.0
//! What users see of balancing: shares, who moves when an endpoint goes, who is left out and when it is back.

mod checks;

mod ejection;

mod localities;

mod simulation;

mod workloads;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use torana_ir::{Backend, BackendKey, Endpoint, Endpoints, HashOn, LoadBalance, Percent, TableSize, WarmUp};

use super::scramble::scrambled;
use super::*;

const PICKS: u64 = 100_000;

pub(super) fn key() -> BackendKey {
    BackendKey::tcp("n", "b", 80)
}

/// Endpoints at ports from 1 on.
pub(super) fn listed(weights: &[u32]) -> Arc<Endpoints> {
    let endpoint = |(weight, port): (&u32, u16)| Endpoint {
        weight: (*weight).try_into().unwrap(),
        ..Endpoint::new(([127, 0, 0, 1], port).into(), true)
    };
    Arc::new(Endpoints::Static { backend: key(), endpoints: weights.iter().zip(1..).map(endpoint).collect() })
}

pub(super) fn state(balance: &LoadBalance, weights: &[u32]) -> BackendState {
    configured(Backend { balance: balance.clone(), ..Backend::new(key()) }, weights)
}

pub(super) fn configured(config: Backend, weights: &[u32]) -> BackendState {
    BackendState::new(Arc::new(config), Arc::default(), listed(weights), None)
}

pub(super) fn ids(state: &BackendState) -> Vec<u64> {
    state.endpoints().iter().map(|(endpoint, _)| endpoint.id).collect()
}

fn ring() -> LoadBalance {
    LoadBalance::RingHash { on: HashOn::SourceIp, least: 1024 }
}

fn maglev() -> LoadBalance {
    LoadBalance::Maglev { on: HashOn::SourceIp, table: TableSize::DEFAULT }
}

/// One of each.
pub(super) fn balances() -> Vec<LoadBalance> {
    let three = LoadBalance::LeastOf(3.try_into().unwrap());
    vec![LoadBalance::LeastRequest, three, LoadBalance::RoundRobin, LoadBalance::Random, ring(), maglev()]
}

/// As evenly spread as numbers can be, so that what is uneven is the algorithm's doing (Weyl's sequence).
fn spread(at: u64) -> u64 {
    at.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Picks by port, at one moment.
fn counts(state: &BackendState, now: Instant, picks: u64, keyed: bool) -> BTreeMap<u16, u64> {
    let mut counts = BTreeMap::new();
    for at in 0..picks {
        let random = spread(at);
        let draw = Draw { random, key: keyed.then_some(random), tried: &[] };
        *counts.entry(state.pick(&draw, || now).unwrap().address.port()).or_default() += 1;
    }
    counts
}

/// Within a hundredth of what is expected.
fn assert_shares(counts: &BTreeMap<u16, u64>, weights: &[u32], what: &str) {
    let (all, total): (u64, u32) = (counts.values().sum(), weights.iter().sum());
    for (weight, port) in weights.iter().zip(1..) {
        let (count, fair) =
            (counts.get(&port).copied().unwrap_or_default(), all * u64::from(*weight) / u64::from(total));
        assert!(count.abs_diff(fair) * 100 <= fair, "{what}: {count}, not {fair}, of {port} in {counts:?}");
    }
}

#[test]
fn every_algorithm_keeps_shares_to_a_hundredth() {
    for balance in balances().into_iter().filter(|balance| *balance != ring()) {
        for weights in [&[1, 1, 1, 1][..], &[1, 2, 3, 4], &[7], &[5, 95]] {
            let keyed = balance.hash_on().is_some();
            let counts = counts(&state(&balance, weights), Instant::now(), PICKS, keyed);
            assert_shares(&counts, weights, &format!("{balance:?}"));
        }
    }
}

#[test]
fn a_ring_s_shares_are_those_of_its_arcs_and_not_far_from_the_weights() {
    for weights in [&[1, 1, 1, 1][..], &[1, 2, 3, 4]] {
        let state = state(&ring(), weights);
        let (arcs, picks) =
            (counts(&state, Instant::now(), 8 * PICKS, true), counts(&state, Instant::now(), PICKS, true));
        let total: u32 = weights.iter().sum();
        for (weight, port) in weights.iter().zip(1u16..) {
            assert!(picks[&port].abs_diff(arcs[&port] / 8) * 100 <= PICKS, "{picks:?} {arcs:?}");
            let fair = PICKS * u64::from(*weight) / u64::from(total);
            assert!(picks[&port].abs_diff(fair) * 100 <= fair * 20, "{picks:?} of {weights:?}");
        }
    }
}

/// How many keys move when endpoint `gone` of `count` goes, in percent of those that are its share, and how many of these
/// were another's.
fn moved(all: &BackendState, count: usize, gone: u16) -> (u64, u64) {
    const KEYS: u64 = 100_000;
    let port = |at: u64| {
        let draw = Draw { random: 0, key: Some(spread(at)), tried: &[] };
        all.pick(&draw, Instant::now).unwrap().address.port()
    };
    let before: Vec<u16> = (0..KEYS).map(port).collect();
    let Endpoints::Static { endpoints, .. } = &*listed(&vec![1; count]) else { panic!("listed") };
    let left = endpoints.iter().filter(|endpoint| endpoint.address.port() != gone).cloned().collect();
    all.set_source(Arc::new(Endpoints::Static { backend: key(), endpoints: left }));
    let (mut moved, mut others) = (0, 0);
    for (at, before) in (0..).zip(&before) {
        let now = port(at);
        moved += u64::from(now != *before);
        others += u64::from(now != *before && *before != gone);
    }
    all.set_source(listed(&vec![1; count]));
    assert!((0..).zip(&before).all(|(at, before)| port(at) == *before), "all are back");
    (moved * 100 * count as u64 / KEYS, others)
}

#[test]
fn when_an_endpoint_goes_little_more_than_its_keys_move() {
    let larger = LoadBalance::Maglev { on: HashOn::SourceIp, table: TableSize::new(131_071).unwrap() };
    for (balance, count, most) in [
        (ring(), 3, 120),
        (ring(), 8, 120),
        (ring(), 50, 120),
        (maglev(), 3, 120),
        (maglev(), 8, 120),
        // More endpoints want more slots each.
        (maglev(), 50, 125),
        (larger, 50, 120),
    ] {
        let all = state(&balance, &vec![1; count]);
        for gone in (1..=count as u16).step_by(1 + count / 6) {
            let (moved, others) = moved(&all, count, gone);
            assert!(moved <= most, "{balance:?} without {gone} of {count}: {moved} % of its share moved");
            assert!(matches!(balance, LoadBalance::Maglev { .. }) || others == 0, "{others} of others moved");
        }
    }
}

#[test]
fn a_new_endpoint_gets_its_share_little_by_little() {
    let start = Instant::now();
    for balance in [LoadBalance::LeastRequest, LoadBalance::RoundRobin] {
        let warm_up = Some(WarmUp { minimum: Percent::FIFTH, ..WarmUp::over(Duration::from_secs(100)) });
        let config = Backend { balance: balance.clone(), warm_up, ..Backend::new(key()) };
        let state = configured(config, &[1, 1]);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_shares(&counts(&state, at(0), 10_000, false), &[1, 1], "both are as new");
        assert_shares(&counts(&state, at(1000), 10_000, false), &[1, 1], "both are warm");
        state.set_source(listed(&[1, 1, 2]));
        // Seconds that the third is known, and its share of its weight in percent.
        for (seconds, percent) in [(0, 20), (20, 20), (50, 50), (75, 75), (100, 100), (9000, 100)] {
            let counts = counts(&state, at(1000 + seconds), 48_000, false);
            assert_shares(&counts, &[100, 100, 2 * percent], &format!("{balance:?} after {seconds} s"));
        }
    }
}

#[test]
fn what_does_not_warm_up_is_not_slowed() {
    for balance in [LoadBalance::Random, maglev()] {
        let config = Backend {
            balance: balance.clone(),
            warm_up: Some(WarmUp::over(Duration::from_secs(100))),
            ..Backend::new(key())
        };
        let (state, now) = (configured(config, &[1]), Instant::now());
        assert_shares(&counts(&state, now, 10, false), &[1], "the first");
        state.set_source(listed(&[1, 1]));
        assert_shares(&counts(&state, now, PICKS, balance.hash_on().is_some()), &[1, 1], &format!("{balance:?}"));
    }
}

#[test]
fn nobody_asks_for_the_time_where_nothing_changes_with_it() {
    for balance in balances() {
        let state = state(&balance, &[1, 2, 3]);
        let draw = Draw { random: 1, key: Some(2), tried: &[] };
        assert!(state.pick(&draw, || panic!("the clock was asked")).is_some());
    }
}
