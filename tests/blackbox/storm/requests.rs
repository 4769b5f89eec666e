// SPDX-License-Identifier: Apache-2.0
//! Two thousand requests a second while the manifest is saved ten times a second.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use torana_tests::{Backend, World, eventually};

use super::traffic::{self, Sight};

/// Clients of either protocol, each with one connection.
const CLIENTS: (usize, usize) = (4, 4);
/// Requests a second of each: 2,000 together.
const RATE: u32 = 250;
/// Time between two saves.
const TICK: Duration = Duration::from_millis(100);

/// Saves edits for so long; gives how long each took to be seen in an answer, if it was before the next.
fn storm(world: &World, sight: &Sight, length: Duration) -> Vec<Option<Duration>> {
    let (start, mut took) = (Instant::now(), Vec::new());
    for number in 2.. {
        let saved = Instant::now();
        if saved - start >= length {
            break;
        }
        super::edit(world, number);
        let seen = || sight.latest.load(Ordering::Relaxed) >= number;
        while saved.elapsed() < TICK && !seen() {
            thread::sleep(Duration::from_millis(1));
        }
        took.push(seen().then(|| saved.elapsed()));
        thread::sleep(TICK.saturating_sub(saved.elapsed()));
    }
    took
}

#[test]
fn edits_under_load_fail_no_request_and_close_no_connection() {
    let seconds = super::size("TORANA_STORM_SECONDS", 5);
    let (blue, green) = (Backend::forgetful("blue"), Backend::forgetful("green"));
    let world = super::start(blue.port, green.port);
    super::edit(&world, 1);
    assert!(eventually(|| world.get(super::EDITED, "/").is_ok_and(|reply| reply.text() == "green")));
    let sight = Arc::new(Sight::default());
    let clients = traffic::start(&sight, world.http, CLIENTS, RATE);
    let start = Instant::now();
    let took = storm(&world, &sight, Duration::from_secs(seconds as u64));
    let elapsed = start.elapsed();
    assert!(eventually(|| sight.latest.load(Ordering::Relaxed) > took.len()), "the last edit is in force");
    sight.stop();
    for client in clients {
        client.join().unwrap();
    }
    let (failures, served) = (sight.failures(), sight.served.load(Ordering::Relaxed));
    assert!(failures.is_empty(), "{} failures, the first: {:?}", failures.len(), &failures[..failures.len().min(5)]);
    let mut seen: Vec<Duration> = took.iter().copied().flatten().collect();
    seen.sort_unstable();
    let rate = served as u128 * 1000 / elapsed.as_millis();
    let connections = blue.connections() + green.connections();
    println!(
        "storm: {served} requests, 0 failed, {rate} a second over {CLIENTS:?} connections of HTTP/1 and HTTP/2; {} \
         edits, {} seen before the next, half of them within {:?}, the slowest {:?}; {connections} connections to \
         backends",
        took.len(),
        seen.len(),
        seen.get(seen.len() / 2).copied().unwrap_or(TICK),
        seen.last().copied().unwrap_or(TICK),
    );
    // Connections to backends are kept over edits too: at most those that were needed at one time.
    let most = CLIENTS.0 + CLIENTS.1 * traffic::STREAMS;
    assert!(connections <= 2 * most, "{connections} connections to backends");
    // Beside other tests the machine decides how many there are.
    let (asked, least) = (u128::from(RATE) * (CLIENTS.0 + CLIENTS.1) as u128, if super::full() { 90 } else { 10 });
    assert!(rate * 100 >= least * asked, "{rate} requests a second of {asked}");
    let prompt = seen.len() * 100 >= took.len() * 90;
    assert!(prompt || !super::full(), "{} of {} edits were seen before the next", seen.len(), took.len());
}
