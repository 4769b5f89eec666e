// SPDX-License-Identifier: Apache-2.0

use std::time::{Duration, Instant};

use torana_ir::Backend;

use super::*;
use crate::balance::tests::{balances, ids, listed, state};

fn chosen(balance: &LoadBalance, count: u16, draw: &Draw<'_>) -> Option<u16> {
    let state = state(balance, &vec![1; usize::from(count)]);
    state.pick(draw, Instant::now).map(|endpoint| endpoint.address.port())
}

#[test]
fn the_less_loaded_of_two_is_taken() {
    let pair = state(&LoadBalance::LeastRequest, &[1, 1]);
    let _busy = pair.endpoints().usable()[0].begin();
    for random in [0, u64::MAX, 0x8000_0000_0000_0000, 0x7fff_ffff_0000_0000] {
        let draw = Draw { random, ..Draw::default() };
        assert_eq!(pair.pick(&draw, Instant::now).unwrap().address.port(), 2);
    }
}

#[test]
fn load_is_compared_for_the_weight() {
    // Requests in flight at weights 1 and 4, and who is less busy.
    for (flights, expected) in [([1, 3], 2), ([1, 5], 1), ([2, 7], 2), ([0, 1], 1)] {
        let pair = state(&LoadBalance::LeastRequest, &[1, 4]);
        let set = pair.endpoints();
        let _busy: Vec<_> =
            set.usable().iter().zip(flights).flat_map(|(it, count)| (0..count).map(|_| it.begin())).collect();
        for random in [0, u64::MAX, 1 << 63, 1 << 40] {
            let draw = Draw { random, ..Draw::default() };
            assert_eq!(pair.pick(&draw, Instant::now).unwrap().address.port(), expected, "{flights:?}");
        }
    }
}

#[test]
fn of_more_choices_the_least_loaded_of_all_is_found_more_often() {
    let found = |choices: u8| {
        let state = state(&LoadBalance::LeastOf(choices.try_into().unwrap()), &[1; 10]);
        let set = state.endpoints();
        let _busy: Vec<_> = set.usable()[1..].iter().map(Endpoint::begin).collect();
        let mut rng = fastrand::Rng::with_seed(1);
        let idle = |random| state.pick(&Draw { random, ..Draw::default() }, Instant::now).unwrap().address.port() == 1;
        (0..10_000).filter(|_| idle(rng.u64(..))).count()
    };
    // In ten draws of nine others with one first, it is missed with 0.9 × (8 ÷ 9)⁹.
    for (choices, expected) in [(1, 1000), (2, 2000), (10, 6880)] {
        assert!(found(choices).abs_diff(expected) < 250, "{choices}: {}", found(choices));
    }
}

#[test]
fn tried_endpoints_are_avoided_while_others_are_left() {
    for balance in balances() {
        let state = state(&balance, &[1, 2, 3]);
        let all = ids(&state);
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..100 {
            let (random, others) = (rng.u64(..), [all[0], all[2]]);
            let only = state.pick(&Draw { random, key: Some(7), tried: &others }, Instant::now).unwrap();
            assert_eq!(only.id, all[1], "{balance:?}");
            let any = state.pick(&Draw { random, key: Some(7), tried: &all }, Instant::now);
            assert!(any.is_some(), "{balance:?}");
        }
    }
}

#[test]
fn one_that_gave_no_answer_is_asked_by_one_request_at_a_time() {
    let pair = state(&LoadBalance::LeastRequest, &[1, 1]);
    let set = pair.endpoints();
    let (silent, other) = (&set.usable()[0], &set.usable()[1]);
    let _busy: Vec<_> = (0..9).map(|_| other.begin()).collect();
    let port = || pair.pick(&Draw::default(), Instant::now).unwrap().address.port();
    assert_eq!(pair.report(silent, crate::balance::Outcome::Unanswered, Instant::now), None);
    assert_eq!(port(), 1, "somebody has to ask");
    let asking = silent.begin();
    assert_eq!(port(), 2);
    drop(asking);
    let _again = (silent.begin(), pair.report(silent, crate::balance::Outcome::Answered(500), Instant::now));
    assert_eq!(port(), 1, "it has answered");
}

#[test]
fn none_of_nothing_and_the_only_one_always() {
    for balance in balances() {
        for key in [None, Some(3)] {
            let draw = Draw { random: 7, key, tried: &[1] };
            assert_eq!(chosen(&balance, 0, &draw), None, "{balance:?}");
            assert_eq!(chosen(&balance, 1, &draw), Some(1), "{balance:?}");
        }
    }
}

#[test]
fn a_cycle_visits_each_once_and_goes_on_under_another_configuration() {
    let state = state(&LoadBalance::RoundRobin, &[1, 1, 1]);
    let port = |state: &crate::balance::BackendState| {
        state.pick(&Draw { random: 14, ..Draw::default() }, Instant::now).unwrap().address.port()
    };
    assert_eq!([port(&state), port(&state)], [2, 3]);
    let config = Backend { idle: Duration::ZERO, ..Backend::clone(&state.config) };
    let other = crate::balance::BackendState::new(
        std::sync::Arc::new(config),
        std::sync::Arc::default(),
        listed(&[1, 1, 1]),
        Some(&state),
    );
    assert_eq!([port(&other), port(&state), port(&other)], [1, 2, 3]);
}

#[test]
fn a_key_always_leads_to_the_same_endpoint_and_none_leads_anywhere() {
    for balance in balances().into_iter().filter(|balance| balance.hash_on().is_some()) {
        let state = state(&balance, &[1; 8]);
        let port = |random, key| state.pick(&Draw { random, key, tried: &[] }, Instant::now).unwrap().address.port();
        let mut rng = fastrand::Rng::with_seed(1);
        let keyed: std::collections::BTreeSet<u16> = (0..64).map(|_| port(rng.u64(..), Some(scrambled(5)))).collect();
        assert_eq!(keyed.len(), 1, "{balance:?}");
        let unkeyed: std::collections::BTreeSet<u16> = (0..640).map(|_| port(rng.u64(..), None)).collect();
        assert_eq!(unkeyed.len(), 8, "{balance:?}");
    }
}
