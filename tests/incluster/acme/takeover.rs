// SPDX-License-Identifier: Apache-2.0
//! The leader is killed in the midst of an order: whoever leads next sees the same order through.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::super::endurance::seconds;
use super::super::{CONTROLLERS, SYSTEM, controllers_are_there, leader, logs};
use super::relay::{Kind, Part};
use super::site::Site;

/// What the authority is asked for once in an order's life …
const ONCE: [Kind; 4] = [Kind::Order, Kind::Challenge, Kind::Finalize, Kind::Certificate];

/// A moment of an order.
struct Moment {
    what: &'static str,
    /// The name of the listener that has its order killed here.
    listener: &'static str,
    /// What is held then.
    held: (Kind, Part),
    /// Challenges that are kept.
    kept: usize,
    /// What of [`ONCE`] the authority was asked for.
    passed: [usize; 4],
}

const MOMENTS: [Moment; 5] = [
    Moment {
        what: "the order is kept, and no challenge is",
        listener: "ordered",
        held: (Kind::Authorization, Part::Question),
        kept: 0,
        passed: [1, 0, 0, 0],
    },
    Moment {
        what: "the proxies know the answer, and the authority is not asked to look",
        listener: "known",
        held: (Kind::Challenge, Part::Question),
        kept: 1,
        passed: [1, 0, 0, 0],
    },
    Moment {
        what: "the authority was asked to look, and nobody knows what it said",
        listener: "asked",
        held: (Kind::Challenge, Part::Answer),
        kept: 1,
        passed: [1, 1, 0, 0],
    },
    Moment {
        what: "the authority was asked to sign, and nobody knows what it said",
        listener: "finalized",
        held: (Kind::Finalize, Part::Answer),
        kept: 1,
        passed: [1, 1, 1, 0],
    },
    Moment {
        what: "the certificate is on its way",
        listener: "signed",
        held: (Kind::Certificate, Part::Answer),
        kept: 1,
        passed: [1, 1, 1, 1],
    },
];

fn difference(now: [usize; 4], before: [usize; 4]) -> [usize; 4] {
    std::array::from_fn(|at| now[at] - before[at])
}

/// Waits until another leads than `killed`, and both are there again.
fn another_leads(site: &Site, killed: &str) {
    site.until("another controller leads", || {
        let now = leader();
        !now.is_empty() && now != killed
    });
    controllers_are_there();
}

/// Holds that nobody who is there complained about the certificate in `secret`, and that nothing is left to do.
fn nothing_failed(site: &Site, secret: &str) {
    let (name, log) = (site.named(secret), logs(SYSTEM, CONTROLLERS, -1));
    let complaints = ["a certificate is not there yet", "nothing is done for a certificate", "broke off"];
    let of_it = |line: &&str| line.contains(&name) && complaints.iter().any(|complaint| line.contains(complaint));
    assert_eq!(log.lines().filter(of_it).collect::<Vec<_>>(), Vec::<&str>::new(), "{}", site.told());
    site.until("nothing is left to do", || site.state(secret).is_some_and(|state| state["order"] == Value::Null));
    let state = site.state(secret).unwrap();
    assert_eq!((&state["failures"], &state["trouble"]), (&0.into(), &Value::Null), "{state}");
}

/// Kills the leader at a moment of the order for the last of `listeners`.
fn kill_at(site: &Site, moment: &Moment, listeners: &[&str]) {
    let (orders, before) = (site.pebble.orders(), site.relay.passed(ONCE));
    let (kind, part) = moment.held;
    let expected = site.relay.hold(kind, part);
    site.want(listeners);
    let held = expected.held(|| site.told());
    let state = site.state(moment.listener).unwrap();
    let kept = state["order"]["challenges"].as_array().map(Vec::len);
    assert_eq!(kept, Some(moment.kept), "{}: {state}", moment.what);
    assert_eq!(difference(site.relay.passed(ONCE), before), moment.passed, "{}", moment.what);
    assert!(site.lab.find("secret", moment.listener).is_none(), "{}", moment.what);
    let (killed, began) = (site.kill_the_leader(), Instant::now());
    // What was held never goes further.
    drop(held);
    site.serves(moment.listener);
    println!("{}: served {:.1} s after the leader was killed", moment.what, began.elapsed().as_secs_f32());
    another_leads(site, &killed);
    nothing_failed(site, moment.listener);
    assert_eq!(site.pebble.orders() - orders, 1, "{}: {}", moment.what, site.told());
    let [placed, asked, signed, fetched] = difference(site.relay.passed(ONCE), before);
    assert_eq!((placed, asked, signed), (1, 1, 1), "{}: nothing is asked for twice", moment.what);
    assert_eq!(fetched, 1 + moment.passed[3], "{}: but what was signed", moment.what);
}

#[test]
fn an_order_whose_leader_is_killed_is_seen_through_by_the_next_and_never_placed_twice() {
    let Some(site) = Site::new() else { return };
    // Each takes as long as a Lease does: a short run has the first of them.
    let most = if seconds() < Duration::from_secs(15) { 1 } else { MOMENTS.len() };
    let mut listeners = Vec::new();
    for moment in MOMENTS.iter().take(most) {
        listeners.push(moment.listener);
        kill_at(&site, moment, &listeners);
    }
}

/// ACME has no way to say that an order is the one that was asked for before (RFC 8555 §7.4): whoever does not know the
/// answer must ask again.
#[test]
fn an_order_whose_answer_nobody_kept_is_placed_once_more_and_only_that_one_is_signed() {
    let Some(site) = Site::new() else { return };
    let expected = site.relay.hold(Kind::Order, Part::Answer);
    site.want(&["lost"]);
    let held = expected.held(|| site.told());
    assert_eq!(site.pebble.orders(), 1);
    let order = site.state("lost").map_or(Value::Null, |state| state["order"].clone());
    assert_eq!(order, Value::Null, "nobody can know of it");
    let killed = site.kill_the_leader();
    drop(held);
    site.serves("lost");
    another_leads(&site, &killed);
    nothing_failed(&site, "lost");
    assert_eq!((site.pebble.orders(), site.relay.passed(ONCE)), (2, [2, 1, 1, 1]), "{}", site.told());
}
