// SPDX-License-Identifier: Apache-2.0
//! K07: writes meet conflicts, most of them.

use std::time::{Duration, Instant};

use super::lab::{HOSTS, Lab, route};
use super::line::Fault;
use super::traffic::Traffic;
use super::{PATIENCE, RECOVERY, until, with_lab, within};

#[test]
fn k07_a_storm_of_conflicts_is_survived_and_everything_is_written_once_it_is_over() {
    with_lab(async |lab: Lab| {
        let traffic = Traffic::start(lab.http, &HOSTS);
        let line = &lab.controller.line;
        lab.settles().await;
        let begun = Instant::now();
        // Of renewals too, but not for so long that others would take the lease.
        line.fault(6, Fault::Answer(409, None), |asked| asked.method == "PUT" && asked.path.contains("leases"));
        line.fault(60, Fault::Answer(409, None), |asked| asked.writes() && asked.path.ends_with("/status"));
        for host in ["five.example", "six.example", "seven.example"] {
            lab.route(host, "1").await;
            lab.serves(host, "1", RECOVERY).await;
        }
        let accepted = |value: &serde_json::Value| {
            let text = value["status"]["parents"].to_string();
            text.contains("\"Accepted\"") && text.contains("\"True\"")
        };
        for host in ["five.example", "six.example", "seven.example"] {
            within(PATIENCE, &format!("the status of {host}"), || async {
                lab.read(&route(host, "1")).await.filter(accepted)
            })
            .await;
        }
        lab.settles().await;
        let (seconds, calls) = (begun.elapsed().as_secs_f64(), line.since(begun).len());
        println!("{calls} calls in {seconds:.1} s");
        assert!(calls < 400, "{calls} calls");
        let written = line.count(begun, |it| it.path.ends_with("/status") && it.status == 200);
        assert!(written <= 3 + 4, "{written} writes of three routes and the Gateway");
        let conflicts = lab.controller.metrics("torana_controller_status_writes_total");
        assert!(conflicts > 3.0, "{conflicts}");
        // The lease goes on.
        until(Duration::from_secs(15), "it leads", || lab.controller.leads()).await;
        traffic.stop("conflicts");
    });
}
