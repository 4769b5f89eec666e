// SPDX-License-Identifier: Apache-2.0
//! K03: the store was taken back to an earlier day, and versions with it.

use std::time::{Duration, Instant};

use super::lab::{HOSTS, Lab};
use super::traffic::Traffic;
use super::{RECOVERY, until, with_lab};

#[test]
fn k03_a_store_that_was_restored_is_believed_though_its_versions_are_lower() {
    with_lab(async |mut lab: Lab| {
        let traffic = Traffic::start(lab.http, &HOSTS);
        lab.settles().await;
        let begun = Instant::now();
        lab.server.keep().await;
        // Versions go on for a while, and all of that is forgotten.
        for edit in 0..30 {
            lab.route("forgotten.example", &edit.to_string()).await;
        }
        lab.serves("forgotten.example", "29", RECOVERY + RECOVERY).await;
        lab.server.restore().await;
        lab.route(HOSTS[0], "1").await;
        lab.serves(HOSTS[0], "1", Duration::from_mins(1)).await;
        until(RECOVERY, "what is not stored any more is gone", || {
            lab.get("forgotten.example").is_ok_and(|reply| reply.status == 404)
        })
        .await;
        until(RECOVERY, "it leads", || lab.controller.leads()).await;
        lab.controller.line.keeps_addresses(begun);
        traffic.stop("a restored store");
    });
}
