// SPDX-License-Identifier: Apache-2.0
//! Where endpoints stand, and how many of them are left → who is picked how often.

use torana_ir::{Locality, LocalityPattern, LocalityPolicy, LocalityShares, OutlierDetection};

use super::*;

const NEAREST: LocalityPolicy = LocalityPolicy::Nearest { labels: Vec::new(), failover: Vec::new() };

/// From there, to these and what each gets.
type From<'f> = (&'f str, &'f [(&'f str, u32)]);

fn shares(of: &[From<'_>]) -> LocalityPolicy {
    let pattern = |text: &str| LocalityPattern(text.to_owned());
    let entry = |(from, to): &From<'_>| {
        let to = to.iter().map(|(to, share)| (pattern(to), *share)).collect();
        LocalityShares { from: pattern(from), to }
    };
    LocalityPolicy::Shares(of.iter().map(entry).collect())
}

/// Endpoints at ports from 1 on.
fn at(places: &[&str]) -> Arc<Endpoints> {
    let endpoint = |(place, port): (&&str, u16)| Endpoint {
        locality: (*place).to_owned().into(),
        ..Endpoint::new(([127, 0, 0, 1], port).into(), true)
    };
    Arc::new(Endpoints::Static { backend: key(), endpoints: places.iter().zip(1..).map(endpoint).collect() })
}

/// Those, as a proxy at `here` sees them; all of them may be ejected.
fn placed(policy: LocalityPolicy, here: &str, balance: &LoadBalance, places: &[&str]) -> BackendState {
    let outliers = Some(OutlierDetection { most: Percent::ALL, ..OutlierDetection::of_istio() });
    let config = Backend { locality: Some(policy), balance: balance.clone(), outliers, ..Backend::new(key()) };
    let site = Site { locality: here.to_owned().into(), ..Site::default() };
    BackendState::new(Arc::new(config), Arc::new(site), at(places), None)
}

/// Has an endpoint ejected.
fn fail(state: &BackendState, port: u16, now: Instant) {
    let endpoint = state.at(([127, 0, 0, 1], port).into()).unwrap();
    let reasons: Vec<_> = (0..5).filter_map(|_| state.report(&endpoint, Outcome::Answered(503), || now)).collect();
    assert_eq!(reasons, [Reason::Consecutive5xx], "{port}");
}

fn keyed(balance: &LoadBalance) -> bool {
    balance.hash_on().is_some()
}

/// All but the ring, whose shares are those of its arcs.
fn even_ones() -> Vec<LoadBalance> {
    balances().into_iter().filter(|balance| *balance != ring()).collect()
}

#[test]
fn the_nearest_get_everything_and_as_they_go_the_next_take_the_rest() {
    let places = ["r/z/s", "r/z/s", "r/z/s", "r/z/s", "r/z", "r/z", "r/y", "q/z", "q/z", "q/z"];
    let now = Instant::now();
    for balance in even_ones() {
        let state = placed(NEAREST, "r/z/s", &balance, &places);
        let check = |weights: &[u32], what: &str| {
            let counts = counts(&state, now, PICKS, keyed(&balance));
            assert_shares(&counts, weights, &format!("{balance:?}: {what}"));
        };
        check(&[25, 25, 25, 25, 0, 0, 0, 0, 0, 0], "all are there");
        fail(&state, 1, now);
        check(&[0, 100, 100, 100, 0, 0, 0, 0, 0, 0], "three of four carry everything");
        fail(&state, 2, now);
        check(&[0, 0, 350, 350, 150, 150, 0, 0, 0, 0], "two of four carry 70 %");
        fail(&state, 3, now);
        check(&[0, 0, 0, 350, 325, 325, 0, 0, 0, 0], "one of four carries 35 %");
        fail(&state, 4, now);
        fail(&state, 5, now);
        check(&[0, 0, 0, 0, 0, 70, 30, 0, 0, 0], "the first part is gone");
        fail(&state, 6, now);
        check(&[0, 0, 0, 0, 0, 0, 100, 0, 0, 0], "so is the second");
        fail(&state, 7, now);
        check(&[0, 0, 0, 0, 0, 0, 0, 100, 100, 100], "only the farthest are left");
        let back = now + Duration::from_hours(1);
        state.refresh(|| back);
        check(&[25, 25, 25, 25, 0, 0, 0, 0, 0, 0], "all are back");
    }
}

#[test]
fn localities_have_their_shares_and_those_of_none_get_nothing() {
    let places = ["r/z/a", "r/z/b", "r/y", "q", "q", "p"];
    let policy = || shares(&[("r/z/*", &[("r/z/*", 60), ("r/y", 25), ("q/*", 15)]), ("p", &[("*", 100)])]);
    let now = Instant::now();
    for balance in even_ones() {
        let state = placed(policy(), "r/z/a", &balance, &places);
        let check = |weights: &[u32], what: &str| {
            let counts = counts(&state, now, PICKS, keyed(&balance));
            assert_shares(&counts, weights, &format!("{balance:?}: {what}"));
        };
        check(&[300, 300, 250, 75, 75, 0], "all are there");
        fail(&state, 3, now);
        check(&[300, 300, 0, 75, 75, 0], "a locality that is gone gets nothing");
        for elsewhere in ["q", "r", ""] {
            let alike = placed(policy(), elsewhere, &balance, &places);
            let counts = counts(&alike, now, PICKS, keyed(&balance));
            assert_shares(&counts, &[1; 6], &format!("{balance:?} at {elsewhere:?}"));
        }
    }
}

#[test]
fn keys_lead_to_near_ones_and_move_only_from_those_that_are_left_out() {
    let places = ["r/z", "r/z", "r/z", "r/z", "r/y", "r/y"];
    let now = Instant::now();
    for balance in [ring(), maglev()] {
        let state = placed(NEAREST, "r/z", &balance, &places);
        let port = |at: u64| {
            let draw = Draw { random: at, key: Some(spread(at)), tried: &[] };
            state.pick(&draw, || now).unwrap().address.port()
        };
        let before: Vec<u16> = (0..10_000).map(port).collect();
        assert!(before.iter().all(|port| *port < 5), "{balance:?}");
        fail(&state, 1, now);
        assert!((0..).zip(&before).all(|(at, was)| if *was == 1 {
            (2..5).contains(&port(at))
        } else {
            port(at) == *was
        }));
        fail(&state, 2, now);
        let after: Vec<u16> = (0..10_000).map(port).collect();
        let far = after.iter().filter(|port| **port > 4).count();
        assert!(far.abs_diff(3000) < 150, "{balance:?}: {far}");
        assert!(before.iter().zip(&after).all(|(was, now)| *was < 3 || now == was || *now > 4), "{balance:?}");
        assert!((0..10_000).map(port).eq(after), "{balance:?}: a key leads to the same one again");
    }
}

#[test]
fn how_busy_near_ones_are_does_not_send_more_away() {
    let now = Instant::now();
    for balance in [LoadBalance::LeastRequest, LoadBalance::LeastOf(5.try_into().unwrap())] {
        let state = placed(NEAREST, "r/z", &balance, &["r/z", "r/z", "r/z", "r/z", "r/y", "r/y"]);
        fail(&state, 1, now);
        fail(&state, 2, now);
        let set = state.endpoints();
        let _busy: Vec<_> = set.usable().iter().take(2).flat_map(|near| [near.begin(), near.begin()]).collect();
        let one_more = set.usable()[0].begin();
        let counts = counts(&state, now, PICKS, false);
        let near: u64 = [3, 4].iter().filter_map(|port| counts.get(port)).sum();
        assert!(near.abs_diff(PICKS * 70 / 100) < PICKS / 100, "{counts:?}");
        assert!(counts.get(&3) < counts.get(&4), "of two near ones the less busy: {counts:?}");
        drop(one_more);
    }
}

#[test]
fn where_nobody_knows_who_is_near_all_are_alike() {
    let now = Instant::now();
    for (here, places) in [("", ["r/z", "r/y"]), ("r/z", ["q/y", "p/x"]), ("r/z", ["", ""])] {
        let state = placed(NEAREST, here, &LoadBalance::Random, &places);
        assert_shares(&counts(&state, now, PICKS, false), &[1, 1], &format!("{here:?} {places:?}"));
    }
}

#[test]
fn another_policy_moves_requests_and_keeps_what_is_known() {
    let state = placed(NEAREST, "r/z", &LoadBalance::RoundRobin, &["r/z", "r/y"]);
    let (now, ids) = (Instant::now(), ids(&state));
    assert_eq!(counts(&state, now, 10, false), BTreeMap::from([(1, 10)]));
    let config = Backend { locality: Some(shares(&[("*", &[("r/y", 100)])])), ..Backend::clone(&state.config) };
    let site = Arc::new(Site { locality: Locality::new("r", "z", ""), ..Site::default() });
    let new = BackendState::new(Arc::new(config), site, at(&["r/z", "r/y"]), Some(&state));
    assert_eq!(counts(&new, now, 10, false), BTreeMap::from([(2, 10)]));
    let all: Vec<u64> = new.endpoints().iter().map(|(endpoint, _)| endpoint.id).collect();
    assert_eq!((all.len(), all.iter().filter(|id| ids.contains(id)).count()), (2, 2));
}
