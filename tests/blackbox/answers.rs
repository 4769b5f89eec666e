// SPDX-License-Identifier: Apache-2.0
//! Which status answers which situation, and what backends are told.

use torana_tests::{Backend, Connection, World, eventually};

fn route(name: &str, rules: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}, namespace: default}}\n\
         spec:\n  parentRefs: [{{name: edge}}]\n  hostnames: [a.example.com]\n  rules:\n{rules}---\n"
    )
}

#[test]
fn a_request_reaches_its_backend_and_the_answer_comes_back() {
    let backend = Backend::named("blue");
    let world = World::start(&format!(
        "{}{}{}",
        World::gateway(),
        World::service("blue", backend.port),
        World::catch_all("all", "blue")
    ));
    let reply = world.get("any.example.com:80", "/a/../b?x=1").unwrap();
    assert_eq!((reply.status, reply.text().as_str()), (200, "blue"));
    let seen = &backend.seen()[0];
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("GET", "/b?x=1"));
    assert_eq!(seen.header("host"), Some("any.example.com:80"));
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.header("x-forwarded-proto"), Some("http"));
    assert!(seen.header("x-request-id").is_some());
    assert_eq!(seen.faults, [""; 0]);
}

#[test]
fn the_status_says_whose_fault_it_is() {
    let backend = Backend::named("blue");
    let rules = "  - matches: [{path: {value: /ok}}]\n    backendRefs: [{name: blue, port: 80}]\n\
                 \x20 - matches: [{path: {value: /missing}}]\n    backendRefs: [{name: nowhere, port: 80}]\n\
                 \x20 - matches: [{path: {value: /empty}}]\n    backendRefs: [{name: empty, port: 80}]\n\
                 \x20 - matches: [{path: {value: /refused}}]\n    backendRefs: [{name: refused, port: 80}]\n\
                 \x20 - matches: [{path: {value: /norefs}}]\n";
    let empty = "apiVersion: v1\nkind: Service\nmetadata: {name: empty, namespace: default}\n\
                 spec: {ports: [{name: http, port: 80}]}\n---\n";
    let world = World::start(&format!(
        "{}{}{}{}{}",
        World::gateway(),
        World::service("blue", backend.port),
        World::service("refused", torana_tests::ports::free()),
        empty,
        route("r", rules)
    ));
    let rows = [
        ("a.example.com", "/ok", 200),
        ("a.example.com", "/none", 404),
        ("other.example.com", "/ok", 404),
        ("a.example.com", "/missing", 500),
        ("a.example.com", "/norefs", 500),
        ("a.example.com", "/empty", 503),
        ("a.example.com", "/refused", 503),
    ];
    for (host, path, status) in rows {
        assert_eq!(world.status(host, path), status, "{host}{path}");
    }
    for reason in ["no_route", "invalid_config", "no_endpoints", "connect_failed"] {
        assert!(eventually(|| world.log().contains(reason)), "the access log names {reason}");
    }
}

#[test]
fn weights_are_kept_exactly() {
    let (one, three) = (Backend::named("one"), Backend::named("three"));
    let rules = "  - backendRefs: [{name: one, port: 80, weight: 1}, {name: three, port: 80, weight: 3}, {name: nowhere, \
                 port: 80, weight: 0}]\n";
    let world = World::start(&format!(
        "{}{}{}{}",
        World::gateway(),
        World::service("one", one.port),
        World::service("three", three.port),
        route("r", rules)
    ));
    let mut connection = Connection::open(world.http).unwrap();
    for _ in 0..2000 {
        connection.send(b"GET / HTTP/1.1\r\nHost: a.example.com\r\n\r\n").unwrap();
        assert_eq!(connection.reply("GET").unwrap().status, 200);
    }
    let share = one.seen().len();
    assert!((400..600).contains(&share), "{share} of 2000 went to a quarter");
}

#[test]
fn filters_shape_request_and_response() {
    let backend = Backend::named("blue");
    let rules = "  - matches: [{path: {value: /go}}]\n    filters: [{type: RequestRedirect, requestRedirect: {scheme: https, \
                 statusCode: 301, path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}}}]\n\
                 \x20 - matches: [{path: {value: /api}}]\n    filters:\n    - type: URLRewrite\n      urlRewrite: {hostname: \
                 inner.local, path: {type: ReplacePrefixMatch, replacePrefixMatch: /v2}}\n\
                 \x20   - type: RequestHeaderModifier\n      requestHeaderModifier: {set: [{name: X-Set, value: s}], remove: \
                 [x-gone]}\n    - type: ResponseHeaderModifier\n      responseHeaderModifier: {add: [{name: X-Added, value: \
                 r}]}\n    backendRefs: [{name: blue, port: 80}]\n";
    let world =
        World::start(&format!("{}{}{}", World::gateway(), World::service("blue", backend.port), route("r", rules)));
    let moved = world.get("a.example.com", "/go/on?q=1").unwrap();
    assert_eq!((moved.status, moved.header("location")), (301, Some("https://a.example.com/new/on?q=1")));
    let reply = world.raw(b"GET /api/x HTTP/1.1\r\nHost: a.example.com\r\nX-Gone: 1\r\nX-Set: 0\r\n\r\n").unwrap();
    assert_eq!((reply.status, reply.header("x-added")), (200, Some("r")));
    let seen = &backend.seen()[0];
    assert_eq!((seen.target.as_str(), seen.header("host")), ("/v2/x", Some("inner.local")));
    assert_eq!((seen.header("x-set"), seen.header("x-gone")), (Some("s"), None));
}

#[test]
fn a_mirror_gets_the_whole_request_and_its_answer_is_dropped() {
    let (main, copy) = (Backend::named("main"), Backend::named("copy"));
    let rules = "  - filters: [{type: RequestMirror, requestMirror: {backendRef: {name: copy, port: 80}}}]\n    backendRefs: \
                 [{name: main, port: 80}]\n";
    let world = World::start(&format!(
        "{}{}{}{}",
        World::gateway(),
        World::service("main", main.port),
        World::service("copy", copy.port),
        route("r", rules)
    ));
    let reply = world.raw(b"POST /m?x HTTP/1.1\r\nHost: a.example.com\r\nContent-Length: 5\r\n\r\nhello").unwrap();
    assert_eq!((reply.status, reply.text().as_str()), (200, "main"));
    assert!(eventually(|| !copy.seen().is_empty()));
    let (one, two) = (&main.seen()[0], &copy.seen()[0]);
    assert_eq!((&one.target, &one.body), (&two.target, &two.body));
    assert_eq!(two.body, b"hello");
}
