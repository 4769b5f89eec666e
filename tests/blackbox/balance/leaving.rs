// SPDX-License-Identifier: Apache-2.0
//! Endpoints that come, are told to end, finish what they are at and go, many a second: no request notices.

use std::time::{Duration, Instant};

use torana_tests::eventually;

use super::clients::{evenly, open};
use super::*;

/// Changes of endpoints a second.
const CHANGES: u32 = 100;
const ENDPOINTS: usize = 8;

/// Of one endpoint: what its slice says.
#[derive(Clone, Copy, PartialEq)]
enum Stage {
    Ready,
    Ending,
    Gone,
}

fn slices(endpoints: &[Endpoint], stages: &[Stage]) -> String {
    let all = service_at("b", &ports(endpoints));
    let (service, slices) = all.split_once("---\n").unwrap();
    let slices = slices.split_inclusive("---\n").zip(stages).filter_map(|(slice, stage)| match stage {
        Stage::Ready => Some(slice.to_owned()),
        Stage::Ending => Some(slice.replace("ready: true", "ready: false, serving: true, terminating: true")),
        Stage::Gone => None,
    });
    format!("{service}---\n{}", slices.collect::<String>())
}

#[test]
fn endpoints_that_come_and_go_a_hundred_times_a_second_fail_no_request() {
    let runtime = runtime();
    let all = endpoints(&runtime, ENDPOINTS as u8, Conduct::Take(Duration::from_millis(5)));
    let length = Duration::from_secs(size(4, 30));
    let world = world(&virtual_service("b", "retries: {attempts: 0}, "));
    let mut stages = [Stage::Ready; ENDPOINTS];
    world.apply("b.yaml", &slices(&all, &stages));
    assert!(eventually(|| world.status("b.example.com", "/") == 200));
    let load = runtime.spawn({
        let port = world.http;
        async move { open(port, evenly(200, length), &get("b")).await }
    });
    let (begin, mut changes) = (Instant::now(), 0u32);
    while !load.is_finished() {
        // One after the other is told to end, is gone with the next change, and comes again with the one after.
        let step = changes as usize;
        let at = step / 3 % ENDPOINTS;
        stages[at] = [Stage::Ending, Stage::Gone, Stage::Ready][step % 3];
        world.apply("b.yaml", &slices(&all, &stages));
        changes += 1;
        std::thread::sleep(
            (begin + Duration::from_secs(1) / CHANGES * changes).saturating_duration_since(Instant::now()),
        );
    }
    let outcomes = runtime.block_on(load).unwrap();
    let failed: Vec<_> = outcomes.iter().filter(|outcome| !outcome.is_good()).collect();
    println!(
        "{} requests through {changes} changes of endpoints in {:?}: {} failed",
        outcomes.len(),
        begin.elapsed(),
        failed.len()
    );
    assert!(failed.is_empty(), "{} of {}: {:?}", failed.len(), outcomes.len(), failed.first());
    assert!(all.iter().all(|endpoint| endpoint.requests() > 0), "all were asked");
}

#[test]
fn backends_that_are_rolled_fail_no_request() {
    let runtime = runtime();
    let all = endpoints(&runtime, 6, Conduct::Take(Duration::from_millis(20)));
    all[3..].iter().for_each(|endpoint| endpoint.set(Conduct::Away));
    let rolls = size(4, 20);
    let world = world(&virtual_service("b", "retries: {attempts: 0}, "));
    let mut stages = [Stage::Ready, Stage::Ready, Stage::Ready, Stage::Gone, Stage::Gone, Stage::Gone];
    let write = |stages: &[Stage]| world.apply("b.yaml", &slices(&all, stages));
    write(&stages);
    assert!(eventually(|| world.status("b.example.com", "/") == 200));
    // Each step of a roll: the new one is ready, the old one is ending, and closes half a second later.
    let length = Duration::from_millis(900) * rolls;
    let load = runtime.spawn({
        let port = world.http;
        async move { open(port, evenly(200, length), &get("b")).await }
    });
    for roll in 0..rolls as usize {
        let (new, old) = ((roll + 3) % 6, roll % 6);
        all[new].set(Conduct::Take(Duration::from_millis(20)));
        (stages[new], stages[old]) = (Stage::Ready, Stage::Ending);
        write(&stages);
        std::thread::sleep(Duration::from_millis(500));
        all[old].set(Conduct::Leave);
        std::thread::sleep(Duration::from_millis(200));
        stages[old] = Stage::Gone;
        write(&stages);
        all[old].set(Conduct::Away);
        std::thread::sleep(Duration::from_millis(200));
    }
    let outcomes = runtime.block_on(load).unwrap();
    let failed: Vec<_> = outcomes.iter().filter(|outcome| !outcome.is_good()).collect();
    println!("{} requests through {rolls} replaced backends: {} failed", outcomes.len(), failed.len());
    assert!(failed.is_empty(), "{} of {}: {:?}", failed.len(), outcomes.len(), failed.first());
}
