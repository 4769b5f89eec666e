// SPDX-License-Identifier: Apache-2.0
//! Endpoints that break: nobody is told that a part is the whole, nobody waits for ever, and the others are not hurt.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use torana_tests::eventually;

use super::clients::closed;
use super::endpoint::End;
use super::*;

const PART: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart";
const CHUNK: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n";
const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Le";

/// How often each status was answered; 0: none that is whole.
fn statuses(runtime: &Runtime, world: &World, clients: usize, total: usize, ask: &Ask) -> BTreeMap<u16, usize> {
    let mut statuses = BTreeMap::new();
    for outcome in runtime.block_on(closed(world.http, clients, total, ask)) {
        *statuses.entry(outcome.status).or_default() += 1;
    }
    statuses
}

#[test]
fn an_answer_that_breaks_off_is_502_or_broken_off_and_never_whole() {
    let runtime = runtime();
    let one = endpoints(&runtime, 1, Conduct::Serve);
    // Without ejection, so that each request sees the same.
    let service = service("b", &one, "retries: {attempts: 0}, ", "outlierDetection: {consecutive5xxErrors: 0}");
    let world = world(&(service + &World::route("r", "route.example.com", "b")));
    // What an HTTPRoute answers, and what a VirtualService does: Istio says 503 where no answer begins.
    let rows = [
        ("nothing, then a reset", b"".as_slice(), End::Reset, (502, 503)),
        ("nothing, then the end", b"", End::Close, (502, 503)),
        ("half a head, then a reset", HEAD, End::Reset, (502, 503)),
        ("half a head, then the end", HEAD, End::Close, (502, 503)),
        ("half a body, then a reset", PART, End::Reset, (0, 0)),
        ("half a body, then the end", PART, End::Close, (0, 0)),
        ("a chunk, then a reset", CHUNK, End::Reset, (0, 0)),
        ("a chunk, then the end", CHUNK, End::Close, (0, 0)),
    ];
    for (what, bytes, end, (of_route, of_virtual_service)) in rows {
        one[0].set(Conduct::Say(bytes, end));
        for (host, expected) in [("route", of_route), ("b", of_virtual_service)] {
            // POST: nothing of this may be tried again.
            let request = format!("POST / HTTP/1.1\r\nHost: {host}.example.com\r\nContent-Length: 2\r\n\r\nhi");
            let post: Ask = Arc::new(move |_| request.clone().into_bytes());
            let (before, seen) = (one[0].requests(), statuses(&runtime, &world, 1, 5, &post));
            assert_eq!((seen, one[0].requests() - before), (BTreeMap::from([(expected, 5)]), 5), "{what}, {host}");
        }
        one[0].set(Conduct::Serve);
        assert_eq!(world.status("b.example.com", "/"), 200, "after {what}");
    }
}

#[test]
fn connections_that_end_after_a_hundred_requests_fail_no_request_that_may_be_sent_again() {
    let runtime = runtime();
    let one = endpoints(&runtime, 1, Conduct::Tire(100));
    let world = world(&service("b", &one, "retries: {attempts: 2, retryOn: reset}, ", ""));
    assert_eq!(statuses(&runtime, &world, 4, 2_000, &get("b")), BTreeMap::from([(200, 2_000)]));
    assert!((20..=60).contains(&one[0].connections()), "{}", one[0].connections());
}

#[test]
fn an_endpoint_that_does_not_answer_is_504_at_the_deadline_then_left_out_and_holds_no_more_than_its_cap() {
    let runtime = runtime();
    let large = || -> Ask {
        let body = vec![b'x'; 8 << 20];
        let head = format!("POST / HTTP/1.1\r\nHost: b.example.com\r\nContent-Length: {}\r\n\r\n", body.len());
        let request = [head.as_bytes(), &body].concat();
        Arc::new(move |_| request.clone())
    };
    let rows = [
        ("silent", Conduct::Silent, get("b")),
        ("a byte a second", Conduct::Drip, get("b")),
        ("deaf", Conduct::Deaf, large()),
    ];
    for (what, conduct, ask) in rows {
        let two = endpoints(&runtime, 2, Conduct::Serve);
        let policy = "loadBalancer: {simple: ROUND_ROBIN}, outlierDetection: {consecutive5xxErrors: 3, maxEjectionPercent: 50, \
                      baseEjectionTime: 60s}, connectionPool: {http: {http2MaxRequests: 4}}";
        let world = world(&service("b", &two, "timeout: 1s, retries: {attempts: 0}, ", policy));
        two[0].set(conduct);
        let begin = Instant::now();
        let first = statuses(&runtime, &world, 2, 12, &ask);
        let took = begin.elapsed();
        // The third in a row, and one that was on its way by then.
        let (waited, good) = (first.get(&504).copied().unwrap_or(0), first.get(&200).copied().unwrap_or(0));
        assert!((3..=4).contains(&waited) && waited + good == 12, "{what}: {first:?}");
        assert!(took < Duration::from_secs(15), "{what}: {took:?}");
        // Both silent: only the one that is not left out is asked, and by no more than four at once.
        two[1].set(Conduct::Silent);
        let capped = statuses(&runtime, &world, 12, 12, &get("b"));
        let (waited, refused) = (capped.get(&504).copied().unwrap_or(0), capped.get(&503).copied().unwrap_or(0));
        assert!(waited + refused == 12 && (1..=4).contains(&waited), "{what}: {capped:?}");
    }
}

#[test]
fn without_endpoints_requests_are_503_until_the_first_is_there() {
    let runtime = runtime();
    let one = endpoints(&runtime, 1, Conduct::Serve);
    let there = service("b", &one, "", "");
    let gone = there.replace("ready: true", "ready: false, serving: false");
    assert_ne!(there, gone);
    let world = world("");
    let mut slowest = Duration::ZERO;
    for _ in 0..5 {
        world.apply("b.yaml", &gone);
        assert!(eventually(|| world.status("b.example.com", "/") == 503));
        let begin = Instant::now();
        world.apply("b.yaml", &there);
        assert!(eventually(|| world.status("b.example.com", "/") == 200));
        slowest = slowest.max(begin.elapsed());
    }
    println!("the first endpoint is asked {slowest:?} after it was written, at the latest");
    assert!(!full() || slowest <= Duration::from_millis(100), "{slowest:?}");
}
