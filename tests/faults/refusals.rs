// SPDX-License-Identifier: Apache-2.0
//! K02: the API server is slow, has too much to do, fails, shows an expired certificate, or takes the token no longer.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::lab::{HOSTS, Lab};
use super::line::{Asked, Fault};
use super::traffic::Traffic;
use super::{PATIENCE, RECOVERY, until, with_lab};

/// So long each fault goes on.
const FAULT: Duration = Duration::from_secs(8);
/// What all watches, the lease and status may ask for together while it does: without pauses it were thousands.
const MOST_CALLS: usize = 250;

/// Lists and watches by what they are of, each with the moments at which it was asked for.
fn asked_for(asked: Vec<Asked>) -> BTreeMap<(String, bool), Vec<Instant>> {
    let mut all: BTreeMap<(String, bool), Vec<Instant>> = BTreeMap::new();
    for asked in asked.into_iter().filter(|asked| asked.lists() || asked.is_watch) {
        all.entry((asked.path, asked.selects)).or_default().push(asked.at);
    }
    all
}

#[test]
fn k02_lists_that_take_five_seconds_delay_a_change_and_nothing_else() {
    with_lab(async |mut lab: Lab| {
        let traffic = Traffic::start(lab.http, &HOSTS);
        lab.controller.line.fault(usize::MAX, Fault::Slow(Duration::from_secs(5)), Asked::lists);
        lab.controller.kill();
        let controller = &mut lab.controller;
        controller.start(&lab.server);
        lab.route("four.example", "1").await;
        lab.serves("four.example", "1", RECOVERY).await;
        until(RECOVERY, "it leads", || lab.controller.leads()).await;
        traffic.stop("slow lists");
        lab.controller.line.heal();
    });
}

#[test]
fn k02_whoever_is_told_when_to_come_again_does_not_come_before_and_not_all_at_once() {
    with_lab(async |lab: Lab| {
        let traffic = Traffic::start(lab.http, &HOSTS);
        let begun = Instant::now();
        lab.controller.line.fault(usize::MAX, Fault::Answer(429, Some(4)), |asked| !asked.path.contains("leases"));
        lab.controller.line.watches().break_all();
        tokio::time::sleep(FAULT + Duration::from_secs(2)).await;
        let asked = asked_for(lab.controller.line.since(begun));
        lab.controller.line.heal();
        assert!(asked.len() > 10, "{:?}", asked.keys());
        let mut seconds = Vec::new();
        for (path, times) in &asked {
            for pair in times.windows(2) {
                let gap = pair[1] - pair[0];
                // The first pause is after a broken connection, for which nobody said anything.
                assert!(pair[0] - begun < Duration::from_secs(1) || gap >= Duration::from_secs(4), "{path:?}: {gap:?}");
                seconds.push(pair[1]);
            }
        }
        let (first, last) = (seconds.iter().min().unwrap(), seconds.iter().max().unwrap());
        assert!(*last - *first > Duration::from_millis(100), "all at once");
        assert!(lab.controller.metrics("torana_controller_watch_failures_total") > 10.0);
        lab.route(HOSTS[0], "1").await;
        lab.serves(HOSTS[0], "1", RECOVERY).await;
        traffic.stop("429");
    });
}

#[test]
fn k02_errors_are_answered_by_longer_and_longer_pauses_and_a_change_is_in_force_after_them() {
    with_lab(async |lab: Lab| {
        let traffic = Traffic::start(lab.http, &HOSTS);
        let line = &lab.controller.line;
        for (edit, fault) in [("500", Fault::Answer(500, None)), ("429", Fault::Answer(429, None))] {
            let begun = Instant::now();
            line.fault(usize::MAX, fault, |_| true);
            line.watches().break_all();
            lab.route(HOSTS[1], edit).await;
            tokio::time::sleep(FAULT).await;
            let calls = line.since(begun).len();
            println!("{edit}: {calls} calls in {FAULT:?}");
            assert!(calls < MOST_CALLS, "{edit}: {calls} calls");
            line.heal();
            lab.serves(HOSTS[1], edit, RECOVERY).await;
        }
        let begun = Instant::now();
        let before = line.connections();
        line.expire();
        line.swallow();
        line.watches().break_all();
        tokio::time::sleep(FAULT).await;
        let tried = line.connections() - before;
        println!("expired certificate: {tried} connections in {:?}", begun.elapsed());
        assert!(tried > 0 && tried < MOST_CALLS, "{tried} connections");
        lab.route(HOSTS[2], "1").await;
        line.heal();
        lab.serves(HOSTS[2], "1", Duration::from_mins(1)).await;
        traffic.stop("errors");
    });
}

#[test]
fn k02_a_token_that_is_refused_is_read_again_from_its_file() {
    with_lab(async |lab: Lab| {
        let traffic = Traffic::start(lab.http, &HOSTS);
        let line = &lab.controller.line;
        let old = std::fs::read_to_string(lab.controller.token_file(&lab.server)).unwrap();
        // Two tokens of one second are the same.
        tokio::time::sleep(Duration::from_secs(1)).await;
        line.refuse(&old);
        line.watches().break_all();
        let begun = Instant::now();
        until(PATIENCE, "the old one is refused", || line.count(begun, |asked| asked.status == 401) > 0).await;
        let new = lab.controller.renew_token(&lab.server).await;
        assert_ne!(old, new);
        lab.route(HOSTS[0], "1").await;
        // Sooner than a minute, in which everybody reads it again.
        lab.serves(HOSTS[0], "1", Duration::from_secs(20)).await;
        traffic.stop("rotated token");
    });
}
