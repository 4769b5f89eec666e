// SPDX-License-Identifier: Apache-2.0
//! K08: the store of the API server is full: nothing is written, everything is read.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::lab::{HOSTS, Lab, route};
use super::server::Options;
use super::traffic::Traffic;
use super::{PATIENCE, RECOVERY, until, with_server, within};

/// Enough for everything, and soon used up.
const QUOTA: u64 = 24 << 20;

#[test]
fn k08_with_a_full_store_traffic_goes_on_and_what_could_not_be_written_is_when_there_is_room() {
    with_server(Options { quota: Some(QUOTA) }, async |server| {
        let lab = Lab::start(server).await;
        let traffic = Traffic::start(lab.http, &HOSTS);
        lab.settles().await;
        // Its status is not written before the store is full.
        lab.controller.line.cut();
        lab.route("late.example", "1").await;
        let filler = STANDARD.encode(vec![b'x'; 1 << 20]);
        let key = |number: usize| STANDARD.encode(format!("/filler/{number}"));
        for number in 0..64 {
            let answer = lab.server.etcd("kv/put", &json!({"key": key(number), "value": filler}));
            if !answer["error"].is_null() {
                break;
            }
        }
        lab.server.is_full(true).await;
        let begun = Instant::now();
        lab.controller.line.heal();
        // It is read and in force, though nothing can be written, the lease neither.
        lab.serves("late.example", "1", Duration::from_mins(1)).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        let calls = lab.controller.line.since(begun).len();
        let seconds = usize::try_from(begun.elapsed().as_secs()).unwrap();
        println!("full: {calls} calls in {seconds} s");
        assert!(calls < 100 + 15 * seconds, "{calls} calls in {seconds} s");
        let all = STANDARD.encode("/filler/");
        let end = STANDARD.encode("/filler0");
        lab.server.etcd("kv/deleterange", &json!({"key": all, "range_end": end}));
        lab.server.compact();
        lab.server.etcd("maintenance/defragment", &json!({}));
        lab.server.disarm();
        lab.server.is_full(false).await;
        until(RECOVERY, "it leads", || lab.controller.leads()).await;
        within(PATIENCE, "its status", || async {
            let route = lab.read(&route("late.example", "1")).await?;
            route["status"]["parents"].to_string().contains("\"True\"").then_some(())
        })
        .await;
        lab.controller.line.keeps_addresses(begun);
        traffic.stop("a full store");
    });
}
