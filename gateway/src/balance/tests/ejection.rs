// SPDX-License-Identifier: Apache-2.0
//! Events at endpoints → who is picked.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use torana_ir::{OutlierDetection, Unanswered};

use super::*;

#[derive(Debug, Clone, Copy)]
enum Event {
    /// So many tries in a row at a port.
    Tries(u16, Outcome, u32),
    /// Milliseconds that pass.
    Wait(u64),
    /// Only so many endpoints are listed from now on.
    Listed(usize),
}
use Event::{Listed, Tries, Wait};

const SILENT: Outcome = Outcome::Unanswered;
const BAD: Outcome = Outcome::Answered(503);
const GOOD: Outcome = Outcome::Answered(200);

/// Endpoints, ejections at most, panic threshold; then what happens, and the ports that are picked after that.
struct Case {
    name: &'static str,
    policy: OutlierDetection,
    count: usize,
    panic: u8,
    course: Course,
}

fn ours() -> OutlierDetection {
    OutlierDetection::of_the_unreachable()
}

fn most(percent: u8) -> OutlierDetection {
    OutlierDetection { most: Percent::new(percent).unwrap(), ..OutlierDetection::of_istio() }
}

fn cases() -> Vec<Case> {
    [unreachable(), answering(), left()].into_iter().flatten().collect()
}

type Course = &'static [(Event, &'static [u16])];

fn case(name: &'static str, policy: OutlierDetection, count: usize, panic: u8, course: Course) -> Case {
    Case { name, policy, count, panic, course }
}

/// Where nothing is said.
fn unreachable() -> Vec<Case> {
    vec![
        case(
            "five in a row, out for a second, back to the moment",
            ours(),
            4,
            0,
            &[
                (Tries(1, SILENT, 4), &[1, 2, 3, 4]),
                (Tries(1, SILENT, 1), &[2, 3, 4]),
                (Wait(999), &[2, 3, 4]),
                (Wait(1), &[1, 2, 3, 4]),
            ],
        ),
        case(
            "one that is back and not there goes at once, again for a second",
            ours(),
            4,
            0,
            &[
                (Tries(1, SILENT, 5), &[2, 3, 4]),
                (Wait(1000), &[1, 2, 3, 4]),
                (Tries(1, SILENT, 1), &[2, 3, 4]),
                (Wait(1000), &[1, 2, 3, 4]),
                (Tries(1, GOOD, 1), &[1, 2, 3, 4]),
                (Tries(1, SILENT, 4), &[1, 2, 3, 4]),
            ],
        ),
        case(
            "by itself nobody judges answers or slowness",
            ours(),
            4,
            0,
            &[(Tries(1, BAD, 50), &[1, 2, 3, 4]), (Tries(1, Outcome::TimedOut, 50), &[1, 2, 3, 4])],
        ),
        case(
            "half may be out, and no more",
            ours(),
            4,
            0,
            &[
                (Tries(1, SILENT, 5), &[2, 3, 4]),
                (Tries(2, SILENT, 5), &[3, 4]),
                (Tries(3, SILENT, 50), &[3, 4]),
                (Wait(1000), &[1, 2, 3, 4]),
                (Tries(3, SILENT, 1), &[1, 2, 4]),
            ],
        ),
        case(
            "never the only one, and of two one",
            ours(),
            1,
            0,
            &[
                (Tries(1, SILENT, 50), &[1]),
                (Listed(2), &[1, 2]),
                (Tries(1, SILENT, 1), &[2]),
                (Tries(2, SILENT, 50), &[2]),
            ],
        ),
        case(
            "the only one that is left is not left out",
            ours(),
            2,
            0,
            &[(Tries(1, SILENT, 5), &[2]), (Listed(1), &[1])],
        ),
    ]
}

/// Where answers are judged.
fn answering() -> Vec<Case> {
    vec![
        case(
            "a tenth of four is one",
            most(10),
            4,
            0,
            &[(Tries(1, BAD, 5), &[2, 3, 4]), (Tries(2, BAD, 50), &[2, 3, 4]), (Wait(30_000), &[1, 2, 3, 4])],
        ),
        case("nothing of nothing is still one", most(0), 4, 0, &[(Tries(1, BAD, 5), &[2, 3, 4])]),
        case(
            "each time longer, and after an answer the count begins anew",
            most(10),
            4,
            0,
            &[
                (Tries(1, BAD, 5), &[2, 3, 4]),
                (Wait(30_000), &[1, 2, 3, 4]),
                (Tries(1, BAD, 4), &[1, 2, 3, 4]),
                (Tries(1, BAD, 1), &[2, 3, 4]),
                (Wait(59_999), &[2, 3, 4]),
                (Wait(1), &[1, 2, 3, 4]),
            ],
        ),
        case(
            "all at a hundred percent: nobody is left",
            most(100),
            2,
            0,
            &[(Tries(1, BAD, 5), &[2]), (Tries(2, BAD, 5), &[]), (Wait(30_000), &[1, 2])],
        ),
    ]
}

/// How many are left, and who is who.
fn left() -> Vec<Case> {
    vec![
        case(
            "below the threshold ejections are ignored, and hold again above it",
            most(100),
            4,
            50,
            &[
                (Tries(1, BAD, 5), &[2, 3, 4]),
                (Tries(2, BAD, 5), &[3, 4]),
                (Wait(10_000), &[3, 4]),
                (Tries(3, BAD, 5), &[1, 2, 3, 4]),
                (Wait(20_000), &[1, 2, 4]),
            ],
        ),
        case(
            "a success of one is none of another",
            most(50),
            4,
            0,
            &[(Tries(1, BAD, 4), &[1, 2, 3, 4]), (Tries(2, GOOD, 9), &[1, 2, 3, 4]), (Tries(1, BAD, 1), &[2, 3, 4])],
        ),
        case(
            "an address that goes and comes back is a new one",
            most(50),
            4,
            0,
            &[(Tries(4, BAD, 5), &[1, 2, 3]), (Listed(3), &[1, 2, 3]), (Listed(4), &[1, 2, 3, 4])],
        ),
        case(
            "an address that stays stays out",
            most(50),
            4,
            0,
            &[(Tries(1, BAD, 5), &[2, 3, 4]), (Listed(3), &[2, 3]), (Wait(30_000), &[1, 2, 3])],
        ),
    ]
}

/// Five tries in a row without an answer.
fn fail(state: &BackendState, endpoint: &crate::balance::Endpoint, now: Instant) {
    for _ in 0..5 {
        state.report(endpoint, SILENT, || now);
    }
}

fn picked(state: &BackendState, now: Instant) -> BTreeSet<u16> {
    let draw = |at| Draw { random: spread(at), key: Some(scrambled(at)), tried: &[] };
    (0..400).filter_map(|at| state.pick(&draw(at), || now)).map(|endpoint| endpoint.address.port()).collect()
}

#[test]
fn who_is_picked_follows_from_what_happened() {
    for Case { name, policy, count, panic, course } in cases() {
        for balance in balances() {
            let config = Backend {
                balance: balance.clone(),
                outliers: Some(policy.clone()),
                panic: Percent::new(panic).unwrap(),
                ..Backend::new(key())
            };
            let (state, mut now) = (configured(config, &vec![1; count]), Instant::now());
            for (event, expected) in course {
                match *event {
                    Wait(millis) => now += Duration::from_millis(millis),
                    Listed(count) => state.set_source(listed(&vec![1; count])),
                    Tries(port, outcome, times) => {
                        let endpoint = state.endpoints().iter().nth(usize::from(port) - 1).unwrap().0.clone();
                        for _ in 0..times {
                            state.report(&endpoint, outcome, || now);
                        }
                    }
                }
                let expected: BTreeSet<u16> = expected.iter().copied().collect();
                assert_eq!(picked(&state, now), expected, "{name}: after {event:?}, {balance:?}");
            }
        }
    }
}

#[test]
fn an_ejection_is_told_once_with_its_reason() {
    let (state, now) = (state(&LoadBalance::LeastRequest, &[1, 1, 1, 1]), Instant::now());
    let first = Arc::clone(&state.endpoints().usable()[0]);
    let told: Vec<_> = (0..20).filter_map(|_| state.report(&first, SILENT, || now)).collect();
    assert_eq!((told, state.ejected()), (vec![Reason::Unanswered], 1));
    state.refresh(|| now + Duration::from_secs(2));
    assert_eq!(state.ejected(), 0, "nobody had to ask for it");
}

#[test]
fn one_that_is_back_has_its_share_at_once() {
    let (state, now) = (state(&LoadBalance::LeastRequest, &[1, 1, 1, 1]), Instant::now());
    let first = Arc::clone(&state.endpoints().usable()[0]);
    fail(&state, &first, now);
    let later = now + Duration::from_secs(1);
    assert_shares(&counts(&state, later, 10_000, false), &[1, 1, 1, 1], "after a second");
}

#[test]
fn keys_of_an_ejected_endpoint_move_and_no_others_and_all_come_back() {
    for balance in [ring(), maglev()] {
        let (state, now) = (state(&balance, &[1; 8]), Instant::now());
        let all = |now| -> Vec<u16> {
            let draw = |at| Draw { random: 0, key: Some(scrambled(at)), tried: &[] };
            (0..8000).map(|at| state.pick(&draw(at), || now).unwrap().address.port()).collect()
        };
        let before = all(now);
        let third = Arc::clone(&state.endpoints().usable()[2]);
        fail(&state, &third, now);
        let mut took: BTreeMap<u16, u32> = BTreeMap::new();
        for (before, during) in before.iter().zip(all(now)) {
            assert!(during != 3 && (*before == 3 || during == *before), "{balance:?}");
            if *before == 3 {
                *took.entry(during).or_default() += 1;
            }
        }
        assert!(took.len() == 7 && took.values().all(|count| *count > 70), "{balance:?}: not to all others: {took:?}");
        assert_eq!(all(now + Duration::from_secs(1)), before, "{balance:?}");
    }
}

#[test]
fn what_is_known_of_an_endpoint_outlives_a_change_of_the_configuration() {
    let (old, now) = (state(&LoadBalance::LeastRequest, &[1, 1, 1]), Instant::now());
    let first = Arc::clone(&old.endpoints().usable()[0]);
    let busy = first.begin();
    fail(&old, &first, now);
    let config = Backend { max_connections: 7, ..Backend::clone(&old.config) };
    let new = BackendState::new(Arc::new(config.clone()), Arc::default(), listed(&[1, 1, 1]), Some(&old));
    assert_eq!((picked(&new, now), new.ejected()), (BTreeSet::from([2, 3]), 1));
    assert_eq!(new.endpoints().iter().next().unwrap().0.in_flight(), 1);
    drop(busy);
    assert_eq!(picked(&new, now + Duration::from_secs(1)), BTreeSet::from([1, 2, 3]));
    let unjudged = Backend { outliers: None, ..config };
    fail(&new, &first, now + Duration::from_secs(1));
    let unjudged = BackendState::new(Arc::new(unjudged), Arc::default(), listed(&[1, 1, 1]), Some(&new));
    assert_eq!(picked(&unjudged, now + Duration::from_secs(1)), BTreeSet::from([1, 2, 3]), "nobody judges any more");
}

#[test]
fn a_session_does_not_lead_to_an_endpoint_that_is_left_out() {
    let (state, now) = (state(&LoadBalance::LeastRequest, &[1, 1]), Instant::now());
    let first = Arc::clone(&state.endpoints().usable()[0]);
    assert!(state.at(first.address).is_some());
    fail(&state, &first, now);
    assert!(state.at(first.address).is_none());
}

#[test]
fn workers_that_fail_at_once_eject_once() {
    let state = state(&LoadBalance::LeastRequest, &[1, 1, 1, 1]);
    let (first, now) = (Arc::clone(&state.endpoints().usable()[0]), Instant::now());
    let told = std::thread::scope(|scope| {
        let fail = || (0..200).filter(|_| state.report(&first, SILENT, || now).is_some()).count();
        let workers: Vec<_> = (0..4).map(|_| scope.spawn(fail)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum::<usize>()
    });
    assert_eq!((told, state.ejected()), (1, 1));
}

/// One of four is away for 22 s, each in turn, and 200 requests a second come: as many fail as have to.
#[test]
fn a_failover_costs_few_requests() {
    for retried in [false, true] {
        let (state, start) = (state(&LoadBalance::LeastRequest, &[1; 4]), Instant::now());
        let mut failed = 0;
        for at in 0..4 * 22 * 200_u64 {
            let now = start + Duration::from_millis(at * 5);
            let away = (at / (22 * 200)) as u16 + 1;
            let mut tried = Vec::new();
            for _ in 0..=u32::from(retried) {
                let draw = Draw { random: scrambled(at), key: None, tried: &tried };
                let endpoint = state.pick(&draw, || now).unwrap();
                let outcome = if endpoint.address.port() == away { SILENT } else { GOOD };
                state.report(&endpoint, outcome, || now);
                if outcome == GOOD {
                    failed -= u32::from(!tried.is_empty());
                    break;
                }
                failed += u32::from(tried.is_empty());
                tried.push(endpoint.id);
            }
        }
        assert!(failed <= if retried { 10 } else { 200 }, "{failed} failed, retried: {retried}");
        assert!(retried || failed >= 4 * 5, "{failed}: the first ones cannot be known");
    }
}

#[test]
fn apart_or_together_is_what_the_policy_says() {
    let apart = OutlierDetection { unanswered: Unanswered::Apart(NonZeroU32::new(2)), ..OutlierDetection::of_istio() };
    for (policy, expected) in [(apart, Reason::Unanswered), (OutlierDetection::of_istio(), Reason::Consecutive5xx)] {
        let config = Backend { outliers: Some(policy), ..Backend::new(key()) };
        let state = configured(config, &[1, 1]);
        let first = Arc::clone(&state.endpoints().usable()[0]);
        assert_eq!((0..9).find_map(|_| state.report(&first, SILENT, Instant::now)), Some(expected));
    }
}
