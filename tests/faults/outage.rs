// SPDX-License-Identifier: Apache-2.0
//! K01: the API server is away, for a while or from the beginning.

use std::time::Instant;

use super::lab::{HOSTS, Lab};
use super::traffic::Traffic;
use super::{PATIENCE, RECOVERY, away, until, with_lab};

/// Calls that a controller may make while nobody answers: a burst of first tries of some thirty watches, and then …
const BURST: usize = 200;
/// … so many a second.
const MOST_CALLS: usize = 6;

#[test]
fn k01_without_the_api_server_every_request_is_served_and_a_change_is_in_force_soon_after_it_is_back() {
    with_lab(async |mut lab: Lab| {
        let traffic = Traffic::start(lab.http, &HOSTS);
        lab.settles().await;
        let provisioned = lab.provisioned().await;
        let gone = Instant::now();
        lab.server.vanish();
        tokio::time::sleep(away()).await;
        let lasted = gone.elapsed();
        let calls = lab.controller.line.since(gone).len();
        println!("{calls} calls in {lasted:?}");
        let seconds = usize::try_from(lasted.as_secs()).unwrap();
        assert!(calls < BURST + MOST_CALLS * seconds, "{calls} calls in {lasted:?}");
        assert!(lab.controller.metrics("torana_controller_watch_failures_total") > 0.0);
        assert!(!lab.controller.leads(), "nobody renewed its lease");
        let back = Instant::now();
        lab.server.serve().await;
        lab.route("four.example", "1").await;
        lab.serves("four.example", "1", RECOVERY).await;
        until(RECOVERY, "it leads again", || lab.controller.leads()).await;
        traffic.stop("without the API server");
        lab.settles().await;
        lab.controller.line.keeps_addresses(gone);
        let writes = lab.controller.line.writes(back);
        // What is provisioned is applied once more, which changes nothing.
        assert_eq!(lab.provisioned().await, provisioned);
        assert!(writes.len() <= 12, "{writes:?}");
        // The new route, and how many routes its Gateway has.
        assert!(writes.iter().filter(|it| it.contains("/status")).count() <= 4, "{writes:?}");
    });
}

#[test]
fn k01_a_proxy_that_starts_without_anybody_serves_what_it_kept_and_says_that_it_is_stale() {
    with_lab(async |mut lab: Lab| {
        until(PATIENCE, "it is not stale", || lab.proxy_metric("torana_config_stale") == Some(0.0)).await;
        // What is in force is kept a moment later.
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        lab.server.vanish();
        lab.controller.kill();
        lab.kill_gateway();
        lab.start_gateway();
        lab.serves(HOSTS[0], "0", PATIENCE).await;
        assert_eq!(lab.proxy_metric("torana_config_stale"), Some(1.0));
        let traffic = Traffic::start(lab.http, &HOSTS);
        // A controller that cannot list programs nobody.
        let controller = &mut lab.controller;
        controller.start(&lab.server);
        tokio::time::sleep(away() / 2).await;
        assert_eq!(lab.proxy_metric("torana_config_stale"), Some(1.0));
        lab.server.serve().await;
        lab.route("four.example", "1").await;
        lab.serves("four.example", "1", PATIENCE).await;
        until(RECOVERY, "it is not stale", || lab.proxy_metric("torana_config_stale") == Some(0.0)).await;
        traffic.stop("from what was kept");
    });
}
