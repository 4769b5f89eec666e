// SPDX-License-Identifier: Apache-2.0
//! What a request tells its backend's balancing, and what that does to requests.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use torana_ir::{Caps, CookieName, CookiePath, HashOn, HeaderName, LoadBalance, OutlierDetection, Retry};

use super::*;

/// How an endpoint behaves.
#[derive(Clone, Copy)]
enum Conduct {
    /// Answers with this status and its own number.
    Answers(u16),
    /// Takes connections and says nothing.
    Silent,
    /// Closes a connection at the first bytes.
    Closes,
}

/// An endpoint, and how many connections it has taken.
struct Double {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Double {
    async fn start(number: usize, conduct: Conduct) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    let mut bytes = [0; 4096];
                    while stream.read(&mut bytes).await.is_ok_and(|read| read > 0) {
                        let Conduct::Answers(status) = conduct else {
                            if matches!(conduct, Conduct::Closes) {
                                return;
                            }
                            continue;
                        };
                        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 1\r\n\r\n{number}");
                        if stream.write_all(answer.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, connections }
    }
}

/// A gateway whose one backend has endpoints that behave so.
struct Edge {
    address: SocketAddr,
    metrics: Arc<Metrics>,
    doubles: Vec<Double>,
}

impl Edge {
    async fn new(conducts: &[Conduct], retry: Option<Retry>, edit: impl FnOnce(&mut Backend)) -> Self {
        let mut doubles = Vec::new();
        for (number, conduct) in conducts.iter().enumerate() {
            doubles.push(Double::start(number, *conduct).await);
        }
        let mut snapshot = snapshot(doubles[0].address);
        let key = BackendKey::tcp("n", "b", 80);
        let endpoints = doubles.iter().map(|double| Endpoint::new(double.address, true)).collect();
        snapshot.endpoints.insert(key.clone(), Arc::new(Endpoints::Static { backend: key.clone(), endpoints }));
        let mut backend = Backend::new(key.clone());
        edit(&mut backend);
        snapshot.backends.insert(key, Arc::new(backend));
        let rule = snapshot.rules.values().next().map(|rule| Rule { retry, ..Rule::clone(rule) }).unwrap();
        snapshot.rules.insert(rule.key.clone(), Arc::new(rule));
        let (address, metrics) = programmed(&snapshot).await;
        Self { address, metrics, doubles }
    }

    async fn ask(&self, target: &str, fields: &str) -> String {
        talk(self.address, format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n").as_bytes())
            .await
    }

    /// Statuses of so many requests one after the other.
    async fn statuses(&self, count: usize) -> Vec<u16> {
        let mut statuses = Vec::new();
        for _ in 0..count {
            statuses.push(self.ask("/", "").await[9..12].parse().unwrap());
        }
        statuses
    }

    fn counts(&self, line: &str) -> bool {
        self.metrics.render().lines().any(|it| it == line)
    }
}

const GOOD: Conduct = Conduct::Answers(200);

fn body(answer: &str) -> &str {
    answer.rsplit("\r\n").next().unwrap()
}

#[tokio::test]
async fn requests_of_one_key_go_to_one_endpoint_and_keys_to_all() {
    for (on, of) in
        [(HashOn::Header(HeaderName::new("x-user").unwrap()), "header"), (HashOn::Query("user".to_owned()), "query")]
    {
        let edge = Edge::new(&[GOOD; 4], None, |it| it.balance = LoadBalance::RingHash { on, least: 1024 }).await;
        let mut all = BTreeSet::new();
        for user in 0..24 {
            let (target, fields) = match of {
                "header" => ("/".to_owned(), format!("x-user: u{user}\r\n")),
                _ => (format!("/?a=b&user=u{user}"), String::new()),
            };
            let first = edge.ask(&target, &fields).await;
            assert_eq!(body(&first), body(&edge.ask(&target, &fields).await), "{of} {user}");
            all.insert(body(&first).to_owned());
        }
        assert_eq!(all.len(), 4, "{of}: {all:?}");
    }
}

#[tokio::test]
async fn one_client_address_is_one_key() {
    let on = HashOn::SourceIp;
    let edge = Edge::new(&[GOOD; 4], None, |it| it.balance = LoadBalance::RingHash { on, least: 1024 }).await;
    let mut all = BTreeSet::new();
    for _ in 0..12 {
        all.insert(body(&edge.ask("/", "").await).to_owned());
    }
    assert_eq!(all.len(), 1, "{all:?}");
}

#[tokio::test]
async fn a_client_is_given_the_cookie_that_brings_it_back_and_only_once() {
    let on = HashOn::Cookie {
        name: CookieName::new("lb").unwrap(),
        path: Some(CookiePath::new("/").unwrap()),
        ttl: Some(Duration::from_mins(1)),
    };
    let edge = Edge::new(&[GOOD; 4], None, |it| it.balance = LoadBalance::RingHash { on, least: 1024 }).await;
    for _ in 0..8 {
        let first = edge.ask("/", "").await;
        let cookie = first.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect(&first);
        assert!(cookie.ends_with("; Max-Age=60; Path=/; HttpOnly"), "{cookie}");
        let again = edge.ask("/", &format!("Cookie: {}\r\n", cookie.split(';').next().unwrap())).await;
        assert_eq!(body(&again), body(&first));
        assert!(!again.contains("set-cookie"), "{again}");
    }
}

#[tokio::test]
async fn more_requests_than_may_be_in_flight_are_503_at_once() {
    let caps = Caps { requests: Some(1), ..Caps::default() };
    let edge = Edge::new(&[Conduct::Silent], None, |it| it.caps = caps).await;
    let mut first = TcpStream::connect(edge.address).await.unwrap();
    first.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    while edge.doubles[0].connections.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    let answer = edge.ask("/", "").await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("overload_requests"), "{answer}");
    assert!(edge.counts("torana_upstream_overflow_total{backend=\"n/b:80\",reason=\"requests\"} 1"));
}

#[tokio::test]
async fn places_are_given_back() {
    let caps = Caps { requests: Some(1), pending: Some(1), ..Caps::default() };
    let edge = Edge::new(&[GOOD], None, |it| it.caps = caps).await;
    assert_eq!(edge.statuses(5).await, [200; 5]);
}

#[tokio::test]
async fn where_nobody_may_wait_for_a_connection_there_is_none() {
    let caps = Caps { pending: Some(0), ..Caps::default() };
    let edge = Edge::new(&[GOOD], None, |it| it.caps = caps).await;
    let answer = edge.ask("/", "").await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("overload_pending"), "{answer}");
    assert!(edge.counts("torana_upstream_overflow_total{backend=\"n/b:80\",reason=\"pending\"} 1"));
}

#[tokio::test]
async fn a_connection_carries_no_more_requests_than_it_may() {
    for (most, expected) in [(None, 1), (Some(2), 3), (Some(1), 6)] {
        let caps = Caps { requests_per_connection: most.and_then(NonZeroU32::new), ..Caps::default() };
        let edge = Edge::new(&[GOOD], None, |it| it.caps = caps).await;
        assert_eq!(edge.statuses(6).await, [200; 6]);
        assert_eq!(edge.doubles[0].connections.load(Ordering::Relaxed), expected, "{most:?}");
    }
}

#[tokio::test]
async fn one_that_breaks_every_connection_is_left_out_after_five() {
    let edge = Edge::new(&[Conduct::Closes, GOOD], None, |it| it.balance = LoadBalance::RoundRobin).await;
    let statuses = edge.statuses(40).await;
    let failed = statuses.iter().filter(|status| **status == 502).count();
    // A slow machine may take longer than the second that it is left out for.
    assert!((5..10).contains(&failed), "{statuses:?}");
    assert!(statuses[..12].contains(&502) && statuses.iter().all(|status| [200, 502].contains(status)), "{statuses:?}");
    let text = edge.metrics.render();
    assert!(text.contains("torana_upstream_ejections_total{backend=\"n/b:80\",reason=\"unanswered\"}"), "{text}");
}

#[tokio::test]
async fn answers_that_are_tried_again_count_as_those_that_are_passed_on() {
    let fives = OutlierDetection { consecutive_5xx: NonZeroU32::new(3), ..OutlierDetection::of_istio() };
    let again = Retry { codes: [503].into(), backoff: Some(Duration::from_millis(1)), ..Retry::new(1) };
    for (retry, failures) in [(None, 3), (Some(again), 0)] {
        let edge = Edge::new(&[Conduct::Answers(503), GOOD], retry, |it| {
            it.balance = LoadBalance::RoundRobin;
            it.outliers = Some(fives.clone());
        });
        let edge = edge.await;
        let statuses = edge.statuses(20).await;
        assert_eq!(statuses.iter().filter(|status| **status == 503).count(), failures, "{statuses:?}");
        assert!(
            edge.counts("torana_upstream_ejections_total{backend=\"n/b:80\",reason=\"consecutive_5xx\"} 1")
                && edge.counts("torana_upstream_ejected_endpoints{backend=\"n/b:80\"} 1"),
            "{}",
            edge.metrics.render()
        );
    }
}
