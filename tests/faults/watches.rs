// SPDX-License-Identifier: Apache-2.0
//! K03, K04: what comes on a watch is cut, doubled, swapped, old, of no known type, or not there any more.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::lab::{HOSTS, Lab};
use super::line::Asked;
use super::tamper::Piece;
use super::traffic::Traffic;
use super::{RECOVERY, with_lab};

pub(super) const ROUTES: &str = "httproutes";
/// After this what was not meant to happen has not.
pub(super) const STILL: Duration = Duration::from_secs(2);

/// An event of a watch that cannot go on: what it would tell was compacted away.
pub(super) fn gone() -> Piece {
    let event = r#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",
        "message":"too old resource version","reason":"Expired","code":410}}"#;
    Piece::Line(event.replace('\n', ""))
}

fn whole(line: &str) -> Vec<Piece> {
    vec![Piece::Line(line.to_owned())]
}

/// The event with another type.
fn retyped(line: &str, name: &str) -> String {
    let mut event: Value = serde_json::from_str(line).unwrap();
    event["type"] = name.into();
    event.to_string()
}

/// The last event of a route's change of spec, as the API server sent it.
fn last(lab: &Lab, edit: &str) -> String {
    let seen = lab.controller.line.watches().seen(ROUTES);
    let mark = format!("\"value\":\"{edit}\"");
    seen.into_iter().rev().find(|line| line.contains(&mark)).unwrap()
}

#[test]
fn k04_events_that_are_cut_unknown_or_garbage_cost_no_change() {
    with_lab(async |lab: Lab| {
        let traffic = Traffic::start(lab.http, &HOSTS);
        let line = &lab.controller.line;
        let cut = |line: &str| vec![Piece::Broken(line[..line.len() / 2].to_owned())];
        let unknown = |line: &str| whole(&retyped(line, "TRANSMOGRIFIED"));
        let garbage = |_: &str| whole("{\"type\": \"MODIFIED\", \"object\": 7}");
        line.watches().tamper(ROUTES, cut);
        lab.route(HOSTS[0], "cut").await;
        tokio::time::sleep(STILL).await;
        line.watches().heal();
        lab.serves(HOSTS[0], "cut", RECOVERY).await;
        line.watches().tamper(ROUTES, unknown);
        lab.route(HOSTS[0], "unknown").await;
        lab.serves(HOSTS[0], "unknown", RECOVERY).await;
        line.watches().tamper(ROUTES, garbage);
        lab.route(HOSTS[0], "garbage").await;
        lab.serves(HOSTS[0], "garbage", RECOVERY).await;
        line.watches().heal();
        traffic.stop("broken events");
    });
}

#[test]
fn k04_events_that_come_twice_late_or_in_another_order_never_take_a_route_back() {
    with_lab(async |lab: Lab| {
        let traffic = Traffic::start(lab.http, &HOSTS);
        let line = &lab.controller.line;
        lab.settles().await;
        // Twice: one generation, one write.
        let (begun, generation) = (Instant::now(), lab.controller.metric("torana_controller_generation"));
        line.watches().tamper(ROUTES, |line| [whole(line), whole(line)].concat());
        lab.route(HOSTS[0], "twice").await;
        lab.serves(HOSTS[0], "twice", RECOVERY).await;
        lab.settles().await;
        let generations = lab.controller.metric("torana_controller_generation") - generation;
        assert!((1.0..=2.0).contains(&generations), "{generations} generations");
        let writes = line.writes(begun);
        assert!(writes.len() <= 2, "{writes:?}");

        // The first after the second.
        let mut kept = None;
        line.watches().tamper(ROUTES, move |line| match kept.take() {
            None if line.contains("\"value\":\"first\"") => {
                kept = Some(line.to_owned());
                vec![]
            }
            None => whole(line),
            Some(kept) => [whole(line), whole(&kept)].concat(),
        });
        lab.route(HOSTS[0], "first").await;
        lab.route(HOSTS[0], "second").await;
        lab.serves(HOSTS[0], "second", RECOVERY).await;
        still(&lab, "second").await;
        line.watches().heal();

        // Long ago, and a deletion that was never one.
        let listed = Instant::now();
        let old = last(&lab, "twice");
        assert!(line.watches().send(ROUTES, &Piece::Line(old.clone())) > 0);
        still(&lab, "second").await;
        within_relist(&lab, listed).await;
        assert!(line.watches().send(ROUTES, &Piece::Line(retyped(&old, "DELETED"))) > 0);
        still(&lab, "second").await;
        traffic.stop("disorder");
    });
}

/// Nothing else is served for a while.
async fn still(lab: &Lab, edit: &str) {
    let begun = Instant::now();
    while begun.elapsed() < STILL {
        assert_eq!(lab.edit(HOSTS[0]).as_deref(), Some(edit));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Routes were listed anew, and the watch is there again.
async fn within_relist(lab: &Lab, since: Instant) {
    let is_of = |asked: &Asked| asked.path.ends_with(ROUTES);
    super::until(RECOVERY, "a new list", || {
        let watches = lab.controller.line.count(since, |asked| asked.is_watch && asked.status == 200 && is_of(asked));
        lab.controller.line.count(since, |asked| asked.lists() && is_of(asked)) > 0 && watches > 0
    })
    .await;
}

#[test]
fn k03_a_watch_that_is_gone_begins_with_a_list_and_withdraws_nothing_but_what_was_deleted() {
    with_lab(async |mut lab: Lab| {
        lab.route("four.example", "0").await;
        lab.serves("four.example", "0", RECOVERY).await;
        let traffic = Traffic::start(lab.http, &HOSTS);
        // As an event of a watch.
        let since = Instant::now();
        assert!(lab.controller.line.watches().send(ROUTES, &gone()) > 0);
        within_relist(&lab, since).await;
        // In earnest: everything that the controller has seen was compacted while it was cut off, and nobody remembers.
        lab.controller.line.cut();
        lab.route(HOSTS[0], "1").await;
        lab.delete_route("four.example").await;
        lab.server.compact();
        lab.server.vanish();
        lab.server.compact();
        lab.server.serve().await;
        let since = Instant::now();
        lab.controller.line.heal();
        lab.serves(HOSTS[0], "1", Duration::from_mins(1)).await;
        within_relist(&lab, since).await;
        super::until(RECOVERY, "what was deleted is gone", || lab.get("four.example").is_ok_and(|it| it.status == 404))
            .await;
        traffic.stop("compaction");
    });
}
