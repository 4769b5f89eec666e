// SPDX-License-Identifier: Apache-2.0
//! What a VirtualService does to requests, over sockets.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use torana_ir::{
    Abort, AbortWith, Authority, BackendTls, Delay, DirectResponse, Filter, HeaderEdit, HeaderName, HeaderValue,
    Invalid, Mirror, Order, PathRewrite, Redirect, RedirectPort, RegexRewrite, Retry, Rewrite, Share,
};

use super::*;

/// A backend that does with the n-th connection what the n-th of `answers` says, then what the last says: empty is
/// silence, `!` an end. It keeps the heads that came.
struct Double {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Double {
    async fn start(answers: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heads);
        tokio::spawn(async move {
            let mut count = 0;
            while let Ok((mut stream, _)) = listener.accept().await {
                let answer = answers[count.min(answers.len() - 1)];
                count += 1;
                let kept = Arc::clone(&kept);
                tokio::spawn(async move {
                    let mut bytes = [0; 4096];
                    while let Ok(read @ 1..) = stream.read(&mut bytes).await {
                        kept.lock().unwrap().push(String::from_utf8_lossy(&bytes[..read]).into_owned());
                        if answer == "!" || (!answer.is_empty() && stream.write_all(answer.as_bytes()).await.is_err()) {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, heads }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A gateway in front of `backend` with one rule of a VirtualService, after `edit`.
async fn edge(backend: SocketAddr, edit: impl FnOnce(&mut Rule)) -> (SocketAddr, Arc<Metrics>) {
    edge_of(snapshot(backend), edit).await
}

async fn edge_of(mut snapshot: Snapshot, edit: impl FnOnce(&mut Rule)) -> (SocketAddr, Arc<Metrics>) {
    let (key, rule) = snapshot.rules.iter().next().map(|(key, rule)| (key.clone(), Rule::clone(rule))).unwrap();
    snapshot.rules.remove(&key);
    let mut rule = Rule { order: Order::Written { rank: 3, server: 0 }, retry: Some(Retry::new(2)), ..rule };
    rule.key.route.kind = RouteKind::VirtualService;
    edit(&mut rule);
    snapshot.rules.insert(rule.key.clone(), Arc::new(rule));
    programmed(&snapshot).await
}

async fn get(edge: SocketAddr, fields: &str) -> String {
    talk(edge, format!("GET /a HTTP/1.1\r\nHost: a:80\r\nConnection: close\r\n{fields}\r\n").as_bytes()).await
}

async fn post(edge: SocketAddr) -> String {
    talk(edge, b"POST /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi").await
}

fn status(answer: &str) -> u16 {
    answer[9..12].parse().unwrap()
}

fn added(name: &str, value: &str) -> Filter {
    let add = vec![(HeaderName::new(name).unwrap(), HeaderValue::new(value).unwrap())];
    Filter::ResponseHeaders(HeaderEdit { add, ..HeaderEdit::default() })
}

fn direct(status: u16, body: &str) -> Filter {
    Filter::Respond(DirectResponse { status, body: body.as_bytes().to_vec() })
}

/// The line of the numbers that holds `part`, as soon as there is one.
async fn counted(metrics: &Metrics, part: &str) -> String {
    let found = async {
        loop {
            if let Some(line) = metrics.render().lines().find(|line| line.contains(part)) {
                return line.to_owned();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), found).await.expect(part)
}

const GRPC: &str = "Content-Type: application/grpc+proto\r\n";

#[tokio::test]
async fn a_direct_response_without_content_does_not_run_into_the_next_answer() {
    let backend = Double::start(&[OK]).await;
    for (code, expected) in [(204, 0), (304, 0), (205, 0), (200, 2)] {
        let (edge, _) = edge(backend.address, |rule| rule.filters = vec![direct(code, "text")]).await;
        let twice = "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let answers = talk(edge, twice.as_bytes()).await;
        let bodies: Vec<_> = answers.split("\r\n\r\n").collect();
        assert_eq!(answers.matches(&format!("HTTP/1.1 {code} ")).count(), 2, "{answers}");
        assert_eq!(bodies.iter().filter(|body| body.starts_with("text")).count(), expected, "{answers}");
    }
    assert!(backend.heads().is_empty());
}

#[tokio::test]
async fn edits_of_the_response_reach_what_the_rule_itself_answers_but_no_abort() {
    let backend = Double::start(&[OK]).await;
    let redirect = Redirect {
        scheme: None,
        host: Authority::new("b:81").ok(),
        path: None,
        port: RedirectPort::Kept,
        query: None,
        status: 303,
    };
    let abort = Abort { with: AbortWith::Http(555), share: Share::ALL };
    for (filter, code, edited) in
        [(direct(418, "tea"), 418, true), (Filter::Redirect(redirect), 303, true), (Filter::Abort(abort), 555, false)]
    {
        let html = || added("content-type", "text/html");
        let (edge, _) = edge(backend.address, |rule| rule.filters = vec![html(), filter]).await;
        let answer = get(edge, "").await;
        assert_eq!((status(&answer), answer.contains("text/html")), (code, edited), "{answer}");
        assert!(
            answer.matches("ontent-").count() <= 2 && (code != 303 || answer.contains("http://b:81/a\r\n")),
            "{answer}"
        );
    }
    assert!(backend.heads().is_empty());
}

#[tokio::test]
async fn an_abort_is_told_in_the_client_s_language() {
    let backend = Double::start(&[OK]).await;
    for (with, fields, code, expected) in [
        (AbortWith::Http(503), "", 503, "\r\n\r\nfault filter abort"),
        (AbortWith::Http(503), GRPC, 200, "grpc-status: 14\r\n"),
        (AbortWith::Grpc(8), "", 200, "grpc-status: 8\r\n"),
    ] {
        let abort = Filter::Abort(Abort { with, share: Share::ALL });
        let (edge, _) = edge(backend.address, |rule| rule.filters = vec![abort]).await;
        let answer = get(edge, fields).await;
        assert!(status(&answer) == code && answer.contains(expected), "{answer}");
    }
    assert!(backend.heads().is_empty());
}

#[tokio::test]
async fn a_destination_that_does_not_resolve_is_503_also_where_no_tls_can_be_had() {
    let invalid = || Invalid { reason: "BackendNotFound".into(), message: String::new() };
    let backend = Double::start(&[OK]).await;
    let mut refused = snapshot(backend.address);
    let key = BackendKey::tcp("n", "b", 80);
    let no_tls = Backend { tls: BackendTls::Refused(invalid()), ..Backend::new(key.clone()) };
    refused.backends.insert(key, Arc::new(no_tls));
    let edges = [
        edge(backend.address, |rule| rule.action = Action::Invalid(invalid())).await.0,
        edge_of(refused, |_| {}).await.0,
    ];
    for edge in edges {
        let (http, grpc) = (get(edge, "").await, get(edge, GRPC).await);
        assert!(status(&http) == 503 && http.ends_with("503 no_destination\n"), "{http}");
        assert!(status(&grpc) == 200 && grpc.contains("grpc-status: 14\r\n"), "{grpc}");
    }
}

#[tokio::test]
async fn a_connection_that_ends_before_the_answer_is_503() {
    let backend = Double::start(&["!"]).await;
    let (edge, _) = edge(backend.address, |_| {}).await;
    let answer = post(edge).await;
    assert!(status(&answer) == 503 && answer.ends_with("503 upstream_reset\n"), "{answer}");
    assert_eq!(backend.heads().len(), 1, "it may have been processed");
}

#[tokio::test]
async fn what_got_no_answer_is_tried_again_whatever_the_method_if_the_author_asked_for_it() {
    let rows: [&'static [&'static str]; 2] = [&["!", OK], &["", OK]];
    for (answers, otherwise) in rows.into_iter().zip([503, 504]) {
        for unanswered in [true, false] {
            let backend = Double::start(answers).await;
            let (edge, _) = edge(backend.address, |rule| {
                rule.timeouts.backend_request = Some(Duration::from_millis(200));
                rule.retry = Some(Retry { unanswered, backoff: Some(Duration::from_millis(1)), ..Retry::new(2) });
            })
            .await;
            let answer = post(edge).await;
            let expected = if unanswered { 200 } else { otherwise };
            assert_eq!((status(&answer), backend.heads().len()), (expected, 1 + usize::from(unanswered)), "{answer}");
        }
    }
}

#[tokio::test]
async fn an_answer_is_not_passed_on_for_its_grpc_status_or_a_header() {
    const UNAVAILABLE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\ngrpc-status: 14\r\n\r\n";
    const LIMITED: &str = "HTTP/1.1 429 No\r\nContent-Length: 0\r\nx-envoy-ratelimited: true\r\n\r\n";
    let grpc = || Retry { grpc: [14].into(), ..Retry::new(1) };
    let header = || Retry { header: HeaderName::new("x-envoy-ratelimited").ok(), ..Retry::new(1) };
    let (unavailable, limited): (&[&str], &[&str]) = (&[UNAVAILABLE, OK], &[LIMITED, OK]);
    for (answers, retry, tries) in
        [(unavailable, grpc(), 2), (unavailable, header(), 1), (limited, header(), 2), (limited, grpc(), 1)]
    {
        let backend = Double::start(answers).await;
        let tried = Retry { backoff: Some(Duration::from_millis(1)), ..retry };
        // One that was declined leaves its connection, so each try needs its own.
        let mut snapshot = snapshot(backend.address);
        let key = BackendKey::tcp("n", "b", 80);
        let mut single = Backend::new(key.clone());
        single.caps.requests_per_connection = std::num::NonZeroU32::new(1);
        snapshot.backends.insert(key, Arc::new(single));
        let (edge, _) = edge_of(snapshot, |rule| rule.retry = Some(tried)).await;
        let answer = get(edge, "").await;
        assert_eq!((answer.ends_with("ok"), backend.heads().len()), (tries == 2, tries), "{answer}");
    }
}

#[tokio::test]
async fn what_cannot_be_sent_is_not_tried_again_if_the_rule_says_no() {
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for (unsent, retried) in [(false, None), (true, Some(2))] {
        let (edge, metrics) = edge(unused, |rule| rule.retry = Some(Retry { unsent, ..Retry::new(2) })).await;
        assert_eq!(status(&get(edge, "").await), 503);
        let text = metrics.render();
        let lines =
            text.lines().filter_map(|line| line.strip_prefix("torana_upstream_retries_total{backend=\"n/b:80\"} "));
        assert_eq!(lines.map(|count| count.parse::<u32>().unwrap()).next(), retried, "{text}");
    }
}

#[tokio::test]
async fn a_delay_holds_a_request_back_and_is_none_of_our_own_time() {
    let backend = Double::start(&[OK]).await;
    let delay = Filter::Delay(Delay { time: Duration::from_millis(300), share: Share::ALL });
    let (edge, metrics) = edge(backend.address, |rule| rule.filters = vec![delay]).await;
    let start = Instant::now();
    assert_eq!(status(&get(edge, "").await), 200);
    assert!(start.elapsed() >= Duration::from_millis(300));
    let line = counted(&metrics, "overhead_seconds_sum{").await;
    let own: f64 = line.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(own < 0.3, "{line}");
}

#[tokio::test]
async fn a_delay_is_none_of_the_request_s_timeout_and_ends_with_its_client() {
    let backend = Double::start(&[OK]).await;
    let (late, _) = edge(backend.address, |rule| {
        rule.filters = vec![Filter::Delay(Delay { time: Duration::from_millis(500), share: Share::ALL })];
        rule.timeouts.request = Some(Duration::from_millis(300));
    })
    .await;
    assert_eq!((status(&get(late, "").await), status(&post(late).await)), (200, 200));
    let backend = Double::start(&[OK]).await;
    let delay = Filter::Delay(Delay { time: Duration::MAX, share: Share::ALL });
    let (edge, metrics) = edge(backend.address, |rule| rule.filters = vec![delay]).await;
    let mut client = TcpStream::connect(edge).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(client);
    counted(&metrics, "code=\"499\"").await;
    assert!(backend.heads().is_empty());
}

#[tokio::test]
async fn a_client_of_http2_that_takes_its_stream_back_ends_a_delay_though_its_body_is_still_to_come() {
    let backend = Double::start(&[OK]).await;
    let delay = Filter::Delay(Delay { time: Duration::MAX, share: Share::ALL });
    let (edge, metrics) = edge(backend.address, |rule| rule.filters = vec![delay]).await;
    let (mut client, connection) = h2::client::handshake(TcpStream::connect(edge).await.unwrap()).await.unwrap();
    tokio::spawn(connection);
    let (answer, mut body) = client.send_request(http::Request::post("http://a/x").body(()).unwrap(), false).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    body.send_reset(h2::Reason::CANCEL);
    drop(answer);
    counted(&metrics, "code=\"499\"").await;
}

#[tokio::test]
async fn a_rewritten_path_is_canonical_on_the_wire_and_one_beyond_its_bound_is_414() {
    let backend = Double::start(&[OK]).await;
    let rewrite = |path| Filter::Rewrite(Rewrite { host: Authority::new("b:81").ok(), path: Some(path) });
    let text = rewrite(PathRewrite::Text("/public/".into()));
    let (raw, _) = edge(backend.address, |rule| {
        rule.matches = vec![RouteMatch::of(PathMatch::Text { text: "/foo".into(), any_case: false })];
        rule.filters = vec![text];
    })
    .await;
    let ask = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(status(&talk(raw, ask("/foo../secret?q=..").as_bytes()).await), 200);
    let head = backend.heads().pop().unwrap();
    assert!(head.starts_with("GET /secret?q=.. HTTP/1.1\r\n") && head.contains("b:81\r\n"), "{head}");
    let regex = rewrite(PathRewrite::Regex(RegexRewrite::new("a", &"b".repeat(1024)).unwrap()));
    let (long, _) = edge(backend.address, |rule| rule.filters = vec![regex]).await;
    let answer = talk(long, ask(&format!("/{}", "a".repeat(65))).as_bytes()).await;
    assert!(status(&answer) == 414 && answer.ends_with("414 target_too_long\n"), "{answer}");
}

#[tokio::test]
async fn the_host_of_a_copy_ends_in_shadow() {
    let (backend, copies) = (Double::start(&[OK]).await, Double::start(&[OK]).await);
    let mut snapshot = snapshot(backend.address);
    let key = BackendKey::tcp("n", "copies", 80);
    let endpoints = Endpoints::Static { backend: key.clone(), endpoints: vec![Endpoint::new(copies.address, true)] };
    snapshot.backends.insert(key.clone(), Arc::new(Backend::new(key.clone())));
    snapshot.endpoints.insert(key.clone(), Arc::new(endpoints));
    let mirror = Mirror { target: Target::Backend(key), numerator: 1, denominator: 1, shadow: true };
    let (edge, _) = edge_of(snapshot, |rule| rule.filters = vec![Filter::Mirror(mirror)]).await;
    assert_eq!(status(&get(edge, "").await), 200);
    while copies.heads().is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(copies.heads()[0].to_lowercase().contains("\r\nhost: a-shadow:80\r\n"), "{:?}", copies.heads());
    assert!(backend.heads()[0].to_lowercase().contains("\r\nhost: a:80\r\n"), "{:?}", backend.heads());
}
