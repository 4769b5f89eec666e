// SPDX-License-Identifier: Apache-2.0
//! A request that may have been processed is never delivered again: POSTs over connections that end at any moment, counted
//! where they arrive.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use super::clients::closed;
use super::endpoint::{End, Ledger};
use super::*;

/// Connections at once.
const CLIENTS: usize = 32;

/// What endpoints do in turn, each for a few milliseconds: what comes when a process is killed, restarts, or closes what it
/// thinks idle.
const CONDUCTS: [Conduct; 6] = [
    Conduct::Serve,
    Conduct::Tire(50),
    Conduct::Say(b"", End::Reset),
    Conduct::Leave,
    Conduct::Say(b"HTTP/1.1 200 OK\r\nContent-Le", End::Close),
    Conduct::Away,
];

#[test]
fn no_post_is_delivered_twice_whatever_happens_to_its_connection() {
    let posts = size(20_000, 1_000_000);
    let runtime = runtime();
    let ledger: Ledger = (0..posts).map(|_| AtomicU8::new(0)).collect();
    let four: Vec<Endpoint> = (b'a'..=b'd')
        .map(|name| Endpoint::counting(runtime.handle(), name, Conduct::Serve, Some(Arc::clone(&ledger))))
        .collect();
    // Istio's own retries hold: connect-failure, refused-stream, unavailable, cancelled, 503.
    let world = world(&service("b", &four, "", "outlierDetection: {consecutive5xxErrors: 0}"));
    let post: Ask = Arc::new(|number| {
        format!("POST /{number} HTTP/1.1\r\nHost: b.example.com\r\nContent-Length: 5\r\n\r\nhello").into_bytes()
    });
    let load = runtime.spawn({
        let port = world.http;
        async move { closed(port, CLIENTS, posts, &post).await }
    });
    let mut turn = 0;
    while !load.is_finished() {
        // Two of four misbehave at a time, so that most are answered.
        four[turn % 4].set(Conduct::Serve);
        four[(turn + 2) % 4].set(CONDUCTS[turn % CONDUCTS.len()]);
        turn += 1;
        std::thread::sleep(Duration::from_millis(10 + fastrand::u64(..20)));
    }
    let outcomes = runtime.block_on(load).unwrap();
    let delivered = |times: u8| ledger.iter().filter(|count| count.load(Ordering::Relaxed) == times).count();
    let answered = outcomes.iter().filter(|outcome| outcome.is_good()).count();
    let (once, twice) = (delivered(1), posts - delivered(0) - delivered(1));
    println!(
        "{posts} POSTs, {turn} changes of what endpoints do: {answered} answered, {once} delivered once, {twice} more often"
    );
    assert_eq!(twice, 0, "delivered more than once");
    for outcome in outcomes.iter().filter(|outcome| outcome.is_good()) {
        assert_eq!(ledger[outcome.number].load(Ordering::Relaxed), 1, "answered, so it was delivered: {outcome:?}");
    }
    assert!(answered * 10 >= posts * 5 && answered < posts, "{answered} of {posts}: else this says nothing");
}
