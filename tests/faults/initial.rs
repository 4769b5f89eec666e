// SPDX-License-Identifier: Apache-2.0
//! K02, K03, K04: a list that is streamed as the beginning of a watch is refused, not understood, cut, or never ends.

use std::time::Instant;

use super::lab::{HOSTS, Lab};
use super::line::{Asked, Fault, Line};
use super::tamper::Piece;
use super::traffic::Traffic;
use super::watches::{ROUTES, STILL, gone};
use super::{RECOVERY, until, with_lab};

const END: &str = "k8s.io/initial-events-end";

/// Has routes listed anew and changes one of them: it is in force, and nothing was withdrawn meanwhile. So many lists of
/// routes were `streamed` since then, and so many asked for in pages.
async fn listed_anew(lab: &Lab, edit: &str, streamed: usize, in_pages: usize) {
    let traffic = Traffic::start(lab.http, &HOSTS);
    let line = &lab.controller.line;
    let since = Instant::now();
    assert!(line.watches().send(ROUTES, &gone()) > 0);
    let of_routes = |is: fn(&Asked) -> bool| line.count(since, |asked| asked.path.ends_with(ROUTES) && is(asked));
    let lists = || (of_routes(|asked| asked.is_initial), of_routes(|asked| asked.lists() && !asked.is_initial));
    until(RECOVERY, "a new list", || lists() == (streamed, in_pages)).await;
    lab.route(HOSTS[0], edit).await;
    lab.serves(HOSTS[0], edit, RECOVERY).await;
    // A stream goes on by itself; pages are followed by a watch.
    let goes_on = || of_routes(|asked| asked.is_watch && !asked.is_initial && asked.status == 200) > 0;
    until(RECOVERY, "a watch", || in_pages == 0 || goes_on()).await;
    tokio::time::sleep(STILL).await;
    traffic.stop(edit);
    assert_eq!(lists(), (streamed, in_pages), "{edit}");
}

#[test]
fn k02_lists_are_streamed_where_the_server_can() {
    with_lab(async |lab: Lab| {
        lab.settles().await;
        listed_anew(&lab, "streamed", 1, 0).await;
    });
}

/// Whoever does not stream lists, as `spoil` makes it, is asked for pages, and is known for it.
fn asked_for_pages_from_then_on(edit: &str, spoil: impl FnOnce(&Line)) {
    with_lab(async |lab: Lab| {
        lab.settles().await;
        spoil(&lab.controller.line);
        listed_anew(&lab, edit, 1, 1).await;
        listed_anew(&lab, "remembered", 0, 1).await;
    });
}

#[test]
fn k02_a_server_that_refuses_to_stream_lists_is_asked_for_pages_from_then_on() {
    asked_for_pages_from_then_on("refused", |line| {
        line.fault(usize::MAX, Fault::Answer(422, None), |asked| asked.is_initial);
    });
}

#[test]
fn k02_a_server_that_knows_no_streamed_lists_is_asked_for_pages() {
    asked_for_pages_from_then_on("ignored", |line| {
        // What older ones do: the objects as changes, and no word that these were all.
        let is_mark = |line: &str| line.contains(r#""type":"BOOKMARK""#);
        let rest = move |line: &str| if is_mark(line) { Vec::new() } else { vec![Piece::Line(line.to_owned())] };
        line.watches().tamper(ROUTES, rest);
    });
}

#[test]
fn k03_a_streamed_list_that_is_cut_withdraws_nothing() {
    with_lab(async |lab: Lab| {
        lab.settles().await;
        let mut lines = 0;
        lab.controller.line.watches().tamper(ROUTES, move |line| {
            lines += 1;
            let half = line[..line.len() / 2].to_owned();
            // The first is whole, what comes after it is lost with the connection.
            vec![if lines == 2 { Piece::Broken(half) } else { Piece::Line(line.to_owned()) }]
        });
        listed_anew(&lab, "cut", 1, 1).await;
    });
}

#[test]
fn k04_a_bookmark_that_does_not_say_that_the_list_ends_does_not_end_it() {
    asked_for_pages_from_then_on("unmarked", |line| {
        line.watches().tamper(ROUTES, |line| vec![Piece::Line(line.replace(END, "example/other"))]);
    });
}
