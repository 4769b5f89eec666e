// SPDX-License-Identifier: Apache-2.0
//! K02: the connections to the API server go silent, and nobody closes them.

use std::time::{Duration, Instant};

use super::lab::{HOSTS, Lab};
use super::traffic::Traffic;
use super::{until, with_lab};

#[test]
fn k02_connections_that_went_silent_are_given_up_within_a_minute() {
    with_lab(async |lab: Lab| {
        let traffic = Traffic::start(lab.http, &HOSTS);
        lab.settles().await;
        let failures = lab.controller.metrics("torana_controller_watch_failures_total");
        let begun = Instant::now();
        lab.controller.line.swallow();
        lab.route(HOSTS[0], "1").await;
        lab.serves(HOSTS[0], "1", Duration::from_mins(1)).await;
        until(Duration::from_mins(1).saturating_sub(begun.elapsed()), "it leads", || lab.controller.leads()).await;
        let counted = lab.controller.metrics("torana_controller_watch_failures_total");
        assert!(counted > failures, "somebody should hear of it: {counted}");
        traffic.stop("half-open connections");
    });
}
