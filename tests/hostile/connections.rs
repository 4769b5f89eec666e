// SPDX-License-Identifier: Apache-2.0
//! A25–A27, A30, W02, W05: several messages on one connection.

use std::time::Duration;

use torana_tests::{Backend, Connection, Seen};

use super::oracle::{Range, canary};
use super::row::{BAD, MARKER, Row, SMUGGLED, get, post, served};

#[test]
fn what_follows_a_malformed_request_reaches_nobody() {
    let range = Range::new();
    let breaks: [&[u8]; 4] = [
        b"Content-Length: +5\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        b"X : y\r\n",
        b"X: a\0\r\n",
    ];
    for broken in breaks {
        let mut connection = range.connect();
        let bytes = [get("/first", ""), get("/second", broken), get("/third", "")].concat();
        connection.send(&bytes).unwrap();
        assert_eq!(connection.reply("GET").unwrap().status, 200);
        assert_eq!(connection.reply("GET").unwrap().status, 400);
        assert!(connection.closed_within(Duration::from_secs(2)));
        let seen: Vec<String> = range.backend.take().into_iter().map(|seen| seen.target).collect();
        assert_eq!(seen, ["/first"]);
    }
    println!("hostile A25: {} rows, 0 wrong", breaks.len());
}

/// `/early` is answered by a filter, before the body was read.
pub(super) const EARLY: &str = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: early, namespace: default}\n\
    spec:\n  parentRefs: [{name: edge}]\n  rules:\n  - matches: [{path: {type: PathPrefix, value: /early}}]\n    filters:\n    \
    - {type: RequestRedirect, requestRedirect: {statusCode: 302, hostname: b.example}}\n---\n";

#[test]
fn an_unread_body_is_never_taken_for_a_request() {
    let range = Range::with(EARLY);
    let head = |framing: &str| format!("POST /early HTTP/1.1\r\nHost: a.example\r\n{MARKER}: 1\r\n{framing}\r\n\r\n");
    let length = SMUGGLED.len();
    let rows = [
        format!("{}{SMUGGLED}", head(&format!("Content-Length: {length}"))),
        format!("{}{SMUGGLED}", head(&format!("Content-Length: {}", length + 100))),
        format!("{}{length:x}\r\n{SMUGGLED}\r\n0\r\n\r\n", head("Transfer-Encoding: chunked")),
        format!("{}{length:x}\r\n{SMUGGLED}", head("Transfer-Encoding: chunked")),
        format!("{}zz\r\n{SMUGGLED}", head("Transfer-Encoding: chunked")),
        head("Expect: 100-continue\r\nContent-Length: 50"),
    ];
    for bytes in &rows {
        for split in [bytes.len(), bytes.find("\r\n\r\n").unwrap() + 4] {
            let mut connection = range.connect();
            connection.send(&bytes.as_bytes()[..split]).unwrap();
            let reply = connection.reply("POST").unwrap();
            assert_eq!(reply.status, 302, "{bytes:?}");
            drop(connection.send(&bytes.as_bytes()[split..]));
            drop(canary(&mut connection));
            let strange: Vec<Seen> = range.backend.take().into_iter().filter(|seen| seen.target != "/canary").collect();
            assert!(strange.is_empty(), "{bytes:?}: {strange:?}");
        }
    }
    println!("hostile A26: {} rows, 0 wrong", rows.len() * 2);
}

#[test]
fn a_client_that_waits_is_told_once_to_go_on() {
    let range = Range::new();
    for (body, framing) in [("hello", "Content-Length: 5"), ("5\r\nhello\r\n0\r\n\r\n", "Transfer-Encoding: chunked")] {
        let mut connection = range.connect();
        connection.send(&post(format!("Expect: 100-continue\r\n{framing}\r\n"), "")).unwrap();
        assert_eq!(connection.any_reply("POST").unwrap().status, 100);
        assert!(range.backend.seen().is_empty());
        connection.send(body.as_bytes()).unwrap();
        assert_eq!(connection.any_reply("POST").unwrap().status, 200);
        canary(&mut connection).unwrap();
        let seen = range.backend.take();
        assert_eq!((seen.len(), &seen[0].body[..]), (2, &b"hello"[..]));
    }
    let refused = |line: &str, statuses| {
        let expect = super::row::Expect::Refused(statuses);
        Row::new("A27", "RFC 9110 §10.1.1", post(format!("{line}\r\nContent-Length: 5\r\n"), "hello"), expect)
    };
    let mut rows: Vec<Row> = [
        "Expect: 200-ok",
        "Expect: 100-continue, x",
        "Expect: 100-continu",
        "Expect: ",
        "Expect: 100-continue\r\nExpect: y",
        "Expect: \"100-continue\"",
    ]
    .map(|line| refused(line, &[417]))
    .into();
    rows.extend(
        ["Expect: 100-continue\x0b", "Expect : 100-continue", "Expect: 100-continue\0", "Expect:\r\n 100-continue"]
            .map(|line| refused(line, &[400, 417])),
    );
    // A client that does not wait may get its answer at once.
    rows.push(Row::new(
        "A27",
        "RFC 9110 §10.1.1",
        post("Expect: 100-Continue\r\nContent-Length: 5\r\n", "hello"),
        served("/case", b"hello"),
    ));
    rows.push(Row::new("A27", "RFC 9110 §10.1.1", get("/case", "Expect: 100-continue\r\n"), served("/case", b"")));
    range.run("A27", &rows);
}

#[test]
fn answers_go_to_those_who_asked() {
    const ROUNDS: u64 = 2_000;
    let backend = Backend::scripted(|seen| {
        let body = if seen.method == "HEAD" { "" } else { seen.target.as_str() };
        let length = seen.target.len();
        let answer = format!("HTTP/1.1 200 OK\r\nX-Id: {}\r\nContent-Length: {length}\r\n\r\n{body}", seen.target);
        match seen.target.rsplit('/').next() {
            Some("early") => format!("HTTP/1.1 103 Early Hints\r\nX-Id: {}\r\n\r\n{answer}", seen.target).into_bytes(),
            Some("refuse") => answer.replace("200 OK", "403 Forbidden").into_bytes(),
            Some("none") => format!("HTTP/1.1 204 No Content\r\nX-Id: {}\r\n\r\n", seen.target).into_bytes(),
            _ => answer.into_bytes(),
        }
    });
    let manifests = [
        torana_tests::World::gateway().to_owned(),
        torana_tests::World::service("b", backend.port),
        torana_tests::World::catch_all("all", "b"),
    ];
    let world = torana_tests::World::start(&manifests.concat());
    let mut clients = [Connection::open(world.http).unwrap(), Connection::open(world.http).unwrap()];
    let mut random = fastrand::Rng::with_seed(7);
    for round in 0..ROUNDS {
        let mut asked = [Vec::new(), Vec::new()];
        for (client, connection) in clients.iter_mut().enumerate() {
            let mut bytes = Vec::new();
            for number in 0..random.usize(1..4) {
                let method = *random.choice(&["GET", "HEAD", "POST"]).unwrap();
                let ending = *random.choice(&["plain", "early", "refuse", "none"]).unwrap();
                let target = format!("/{client}/{round}/{number}/{ending}");
                let body = if method == "POST" { "Content-Length: 5\r\n\r\nhello" } else { "\r\n" };
                bytes.extend(format!("{method} {target} HTTP/1.1\r\nHost: a\r\n{MARKER}: 1\r\n{body}").into_bytes());
                asked[client].push((method, target));
            }
            connection.send(&bytes).unwrap();
        }
        for (client, connection) in clients.iter_mut().enumerate() {
            for (method, target) in &asked[client] {
                let reply = connection.reply(method).unwrap();
                assert_eq!(reply.header("x-id"), Some(target.as_str()), "{method} {target}");
            }
        }
    }
    println!("hostile A30: {ROUNDS} rounds of two clients, {} upstream connections, 0 wrong", backend.connections());
}

#[test]
fn an_upgrade_is_honoured_only_where_it_is_whole() {
    let range = Range::new();
    let mut rows = Vec::new();
    for lines in [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n",
        "Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n",
        "Upgrade: websocket\r\n",
        "Connection: Upgrade\r\n",
        // The backend answers 200: what follows is a request like any other.
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n",
    ] {
        rows.push(Row::new("W05", "RFC 9110 §7.8, RFC 9113 §3.1", get("/case", lines), served("/case", b"")));
    }
    let http10 =
        format!("GET /case HTTP/1.0\r\nHost: a\r\n{MARKER}: 1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    rows.push(Row::new("W05", "RFC 9110 §7.8", http10, served("/case", b"")));
    rows.push(Row::new("W05", "RFC 9112 §2.2", get("/case", "Connection: Upgrade\r\nUpgrade: web\0socket\r\n"), BAD));
    range.run("W05", &rows);
    let mut connection = range.connect();
    let upgrade = get("/upgrade", "Connection: Upgrade\r\nUpgrade: websocket\r\n");
    drop(range.backend.take());
    connection.send(&[upgrade, get("/after", "X: y\0\r\n")].concat()).unwrap();
    assert_eq!(connection.reply("GET").unwrap().text(), "/upgrade");
    assert_eq!(connection.reply("GET").unwrap().status, 400);
    let seen = range.backend.take();
    assert_eq!((seen.len(), seen[0].header("upgrade")), (1, Some("websocket")));
    println!("hostile W02: 1 row, 0 wrong");
}
