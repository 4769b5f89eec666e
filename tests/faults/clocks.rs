// SPDX-License-Identifier: Apache-2.0
//! K06: the clock of the controller is wrong, and steps while it runs. Needs libfaketime (Debian: faketime).

use std::time::{Duration, Instant};

use torana_tests::Clock;

use super::lab::{HOSTS, Lab};
use super::traffic::Traffic;
use super::{RECOVERY, until, with_lab};

#[test]
fn k06_a_clock_that_is_wrong_or_steps_ends_no_leadership_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let Some(clock) = Clock::new(&folder.path().join("clock")) else { return };
    with_lab(async |mut lab: Lab| {
        let traffic = Traffic::start(lab.http, &HOSTS);
        lab.settles().await;
        let environment = clock.environment();
        lab.controller.kill();
        let started = Instant::now();
        lab.controller.start_with(&lab.server, &environment);
        until(RECOVERY, "it leads", || lab.controller.leads()).await;
        lab.settles().await;
        // What an earlier leader provisioned is as it should be, and so is what it wrote.
        assert_eq!(lab.controller.line.writes(started), Vec::<String>::new(), "a new leader");
        for offset in ["+1h", "-1h", "+40d", "-40d", "+0"] {
            let begun = Instant::now();
            clock.set(offset);
            // More than two renewals.
            let mut lost = 0;
            while begun.elapsed() < Duration::from_secs(6) {
                lost += usize::from(!lab.controller.leads());
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            assert_eq!(lost, 0, "{offset}: it lost its lease");
            assert_eq!(lab.controller.line.writes(begun), Vec::<String>::new(), "{offset}");
            let calls = lab.controller.line.since(begun).len();
            assert!(calls < 100, "{offset}: {calls} calls");
            lab.route(HOSTS[0], offset).await;
            lab.serves(HOSTS[0], offset, RECOVERY).await;
            lab.settles().await;
        }
        // One that starts with a wrong clock is believed by the proxies.
        for offset in ["+40d", "-40d"] {
            clock.set(offset);
            lab.controller.kill();
            lab.controller.start_with(&lab.server, &environment);
            lab.route(HOSTS[1], offset).await;
            lab.serves(HOSTS[1], offset, RECOVERY).await;
        }
        lab.controller.line.keeps_addresses(started);
        traffic.stop("wrong clocks");
    });
}
