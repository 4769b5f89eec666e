// SPDX-License-Identifier: Apache-2.0
//! K05, K06: two that believe to lead, and holders of the lease whose clocks are wrong.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::lab::{Controller, HOSTS, Lab, SYSTEM};
use super::traffic::Traffic;
use super::{RECOVERY, until, with_lab};

const LEASE: &str = "torana-controller";

fn lease(spec: &Value) -> Value {
    json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": LEASE, "namespace": SYSTEM}, "spec": spec})
}

/// A moment, `seconds` from now, as a Lease says it.
fn moment(seconds: i64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let then = i64::try_from(now.as_secs()).unwrap() + seconds;
    let then = k8s_openapi::jiff::Timestamp::from_second(then).unwrap();
    format!("{then:.6}")
}

#[test]
fn k05_a_leader_that_is_cut_off_stops_before_the_next_begins_and_writes_nothing_when_it_comes_back() {
    with_lab(async |lab: Lab| {
        let mut second = Controller::new(&lab.server, "torana-1").await;
        second.start(&lab.server);
        let traffic = Traffic::start(lab.http, &HOSTS);
        lab.settles().await;
        // It follows for longer than anything it may believe after its start.
        tokio::time::sleep(Duration::from_secs(16)).await;
        let begun = Instant::now();
        lab.controller.line.cut();
        let mut both = 0;
        until(Duration::from_secs(40), "the other leads", || {
            both += usize::from(second.leads() && lab.controller.leads());
            second.leads()
        })
        .await;
        assert_eq!((both, lab.controller.leads()), (0, false), "two led at once");
        let healed = Instant::now();
        lab.controller.line.heal();
        lab.route(HOSTS[0], "1").await;
        until(RECOVERY, "the second writes", || !second.line.writes(healed).is_empty()).await;
        // Long enough for the first to see that it was deposed, and everything that it missed.
        tokio::time::sleep(Duration::from_secs(8)).await;
        assert_eq!(lab.controller.line.writes(healed), Vec::<String>::new());
        second.line.keeps_addresses(begun);
        let writes = second.line.writes(healed);
        assert!(writes.iter().filter(|it| it.contains("httproutes")).count() <= 1, "{writes:?}");
        assert!(lab.controller.log().contains("leadership"));
        traffic.stop("a split leader");
    });
}

#[test]
fn k06_a_lease_is_judged_by_how_long_it_was_seen_and_never_by_the_times_in_it() {
    with_lab(async |lab: Lab| {
        let traffic = Traffic::start(lab.http, &HOSTS);
        let begun = Instant::now();
        let mut transitions = lab.read(&lease(&json!({}))).await.unwrap()["spec"]["leaseTransitions"].as_i64().unwrap();
        for skew in [3_600, -3_600, 40 * 86_400, -40 * 86_400] {
            until(RECOVERY, "it leads", || lab.controller.leads()).await;
            transitions += 10;
            let taken = Instant::now();
            // Another holds it, whose clock is wrong; it holds for three seconds after it was seen.
            lab.apply(lease(&json!({"holderIdentity": "somebody", "leaseDurationSeconds": 3,
                "leaseTransitions": transitions, "renewTime": moment(skew), "acquireTime": moment(skew)})))
                .await;
            until(RECOVERY, "it leads no more", || !lab.controller.leads()).await;
            let deposed = Instant::now();
            until(RECOVERY, "it leads again", || lab.controller.leads()).await;
            let waited = deposed.elapsed();
            println!("skew {skew} s: followed after {:?}, for {waited:?}", deposed - taken);
            assert!(waited > Duration::from_millis(2_500), "{skew}: it did not wait: {waited:?}");
            assert!(waited < Duration::from_secs(8), "{skew}: it waited by the clock of the other: {waited:?}");
            let now = lab.read(&lease(&json!({}))).await.unwrap()["spec"]["leaseTransitions"].as_i64().unwrap();
            assert_eq!(now, transitions + 1, "every acquisition is a new epoch");
            transitions = now;
        }
        lab.route(HOSTS[0], "1").await;
        lab.serves(HOSTS[0], "1", RECOVERY).await;
        lab.controller.line.keeps_addresses(begun);
        traffic.stop("leases of wrong clocks");
    });
}
