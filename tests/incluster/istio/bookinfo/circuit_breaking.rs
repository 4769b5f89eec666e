// SPDX-License-Identifier: Apache-2.0
//! "Circuit Breaking". Its page calls the service of the mesh without a rule; a Gateway needs one.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use torana_tests::Connection;

use super::{Book, echoing, until};

const RULE: &str = "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: httpbin}
spec:
  hosts: [httpbin]
  http: [{route: [{destination: {host: httpbin}}]}]
";

/// The page's.
const BREAKER: &str = "
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: httpbin
spec:
  host: httpbin
  trafficPolicy:
    connectionPool:
      tcp:
        maxConnections: 1
      http:
        http1MaxPendingRequests: 1
        maxRequestsPerConnection: 1
    outlierDetection:
      consecutive5xxErrors: 1
      interval: 1s
      baseEjectionTime: 3m
      maxEjectionPercent: 100
";

/// Between two requests of a client: who waits next has a connection by then. While it is opened one waits still.
const PAUSE: Duration = Duration::from_millis(10);

/// How many of 10 requests of each of `clients` at a time were answered with 200, and how many with 503. Nothing else
/// may come.
fn load(book: &Book, clients: usize) -> (usize, usize) {
    let (served, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let client = || {
        let mut connection = Connection::to(format!("{}:80", book.edge).parse().unwrap()).unwrap();
        for _ in 0..10 {
            let count = match connection.get("httpbin", "/delay/50ms").unwrap().status {
                200 => &served,
                503 => &refused,
                other => panic!("{other}"),
            };
            count.fetch_add(1, Ordering::Relaxed);
            thread::sleep(PAUSE);
        }
    };
    thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(client);
        }
    });
    let counts = (served.into_inner(), refused.into_inner());
    println!("{clients} at a time: {} served, {} refused", counts.0, counts.1);
    counts
}

/// The address that a request came from at the backend.
fn remote(book: &Book) -> String {
    let shown: Value = serde_json::from_slice(&book.get("httpbin", "/get").reply.body).unwrap();
    shown["remote"].as_str().unwrap().to_owned()
}

pub(super) fn what_is_too_much_at_once_is_refused(book: &Book) {
    book.lab.apply(&(echoing(&book.sample("httpbin/httpbin"), 8080) + "\n---" + RULE));
    book.is_available();
    until("httpbin answers", || book.get("httpbin", "/get").status() == 200);
    assert_eq!(load(book, 3), (30, 0), "without a breaker nothing is too much");

    book.lab.apply(BREAKER);
    // One request a connection; there were three before.
    until("the breaker is in force", || (0..5).map(|_| remote(book)).collect::<BTreeSet<_>>().len() == 5);
    assert_eq!(load(book, 1), (10, 0));
    // The page saw 17 to 19 of 20 served by twos, where one waits for the other's connection, and 11 to 19 of 30 by threes.
    let (served, _) = load(book, 2);
    assert!(served >= 17, "{served} served");
    let (served, refused) = load(book, 3);
    assert!(served >= 10 && refused >= 5, "{served} served, {refused} refused");
    // What was refused here is no failure of the backend.
    assert_eq!(load(book, 1), (10, 0));

    // Its first failure ejects it, and there is no other.
    assert_eq!(book.get("httpbin", "/status/500").status(), 500);
    let ejected = book.get("httpbin", "/get");
    assert_eq!((ejected.status(), ejected.from()), (503, None));
    book.end();
    book.lab.kubectl(&["delete", "deployment", "httpbin", "--cascade=foreground"]);
}
