// SPDX-License-Identifier: Apache-2.0
//! What checks come to → who is picked.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::LazyLock;

use torana_ir::{HealthCheck, OutlierDetection, Probe};

use super::*;

/// No time passes here.
fn now() -> Instant {
    static NOW: LazyLock<Instant> = LazyLock::new(Instant::now);
    *NOW
}

fn check() -> HealthCheck {
    HealthCheck {
        interval: Duration::from_secs(5),
        timeout: Duration::from_secs(1),
        unhealthy: NonZeroU32::MIN,
        healthy: NonZeroU32::MIN,
        port: None,
        probe: Probe::Tcp,
    }
}

fn checked(balance: &LoadBalance, panic: u8, count: usize) -> BackendState {
    let panic = Percent::new(panic).unwrap();
    let config = Backend { balance: balance.clone(), check: Some(check()), panic, ..Backend::new(key()) };
    configured(config, &vec![1; count])
}

fn at(state: &BackendState, port: u16) -> Arc<super::super::Endpoint> {
    let set = state.endpoints();
    let found = set.iter().find(|(endpoint, _)| endpoint.address.port() == port);
    Arc::clone(found.unwrap().0)
}

fn tell(state: &BackendState, port: u16, fails: bool) {
    state.checked(&at(state, port), fails, now);
}

fn picked(state: &BackendState) -> BTreeSet<u16> {
    let draw = |random: u64| Draw { random: scrambled(random), key: Some(scrambled(random)), tried: &[] };
    let picks = (0..400).filter_map(|random| state.pick(&draw(random), now));
    picks.map(|endpoint| endpoint.address.port()).collect()
}

#[test]
fn who_fails_is_not_picked_by_any_rule_until_he_passes() {
    for balance in balances() {
        let state = checked(&balance, 0, 3);
        assert_eq!(picked(&state), BTreeSet::from([1, 2, 3]), "{balance:?}: nobody was asked yet");
        tell(&state, 2, true);
        assert_eq!((picked(&state), state.endpoints().failing()), (BTreeSet::from([1, 3]), 1), "{balance:?}");
        assert!(state.at(([127, 0, 0, 1], 2).into()).is_none(), "{balance:?}: nor by a session");
        tell(&state, 2, false);
        assert_eq!((picked(&state), state.endpoints().failing()), (BTreeSet::from([1, 2, 3]), 0), "{balance:?}");
    }
}

#[test]
fn where_too_few_are_left_all_take_part_and_without_a_threshold_nobody() {
    // Of four: threshold, who fails, who is picked.
    let rows: [(u8, &[u16], &[u16]); 6] = [
        (50, &[1, 2], &[3, 4]),
        (50, &[1, 2, 3], &[1, 2, 3, 4]),
        (50, &[1, 2, 3, 4], &[1, 2, 3, 4]),
        (0, &[1, 2, 3], &[4]),
        (0, &[1, 2, 3, 4], &[]),
        (100, &[1], &[1, 2, 3, 4]),
    ];
    for balance in balances() {
        for (panic, failing, expected) in rows {
            let state = checked(&balance, panic, 4);
            for port in failing {
                tell(&state, *port, true);
            }
            assert_eq!(picked(&state), expected.iter().copied().collect(), "{balance:?} {panic} {failing:?}");
        }
    }
}

#[test]
fn what_was_found_counts_only_while_somebody_asks_and_goes_over_to_the_next_state() {
    let state = checked(&LoadBalance::Random, 0, 2);
    tell(&state, 1, true);
    let with = |config: Backend| BackendState::new(Arc::new(config), Arc::default(), listed(&[1, 1]), Some(&state));
    let same = with(Backend { max_connections: 7, ..Backend::clone(&state.config) });
    assert_eq!(picked(&same), BTreeSet::from([2]));
    let unasked = with(Backend { check: None, ..Backend::clone(&state.config) });
    assert_eq!((picked(&unasked), unasked.endpoints().failing()), (BTreeSet::from([1, 2]), 0));
}

#[test]
fn the_last_that_passes_is_not_ejected_and_ejections_give_way_before_checks() {
    let bad = |state: &BackendState, port: u16| {
        for _ in 0..5 {
            state.report(&at(state, port), Outcome::Unanswered, now);
        }
    };
    let state = checked(&LoadBalance::Random, 0, 2);
    tell(&state, 1, true);
    bad(&state, 2);
    assert_eq!((picked(&state), state.ejected()), (BTreeSet::from([2]), 0));
    let state = checked(&LoadBalance::Random, 0, 2);
    bad(&state, 2);
    assert_eq!((picked(&state), state.ejected()), (BTreeSet::from([1]), 1));
    tell(&state, 1, true);
    assert_eq!(picked(&state), BTreeSet::from([2]), "it was ejected, but it passes its checks");
    // Who says that all may be ejected means it.
    let all = OutlierDetection { most: Percent::ALL, ..OutlierDetection::of_the_unreachable() };
    let config = Backend { outliers: Some(all), check: Some(check()), ..Backend::new(key()) };
    let state = configured(config, &[1, 1]);
    bad(&state, 1);
    bad(&state, 2);
    assert_eq!(picked(&state), BTreeSet::new());
}
