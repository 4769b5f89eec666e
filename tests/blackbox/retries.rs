// SPDX-License-Identifier: Apache-2.0
//! `HTTPRouteRule.retry`: which requests are tried again, how often, how soon, and which never are.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use torana_tests::{Backend, Connection, Reply, Seen, World, eventually, ports};

use super::log::line;
use super::manifests::{route, service_at, to};

/// A backend for targets like `/503/2/…`: that many requests for the same target get that status, then 200; `cut`,
/// `reset` and `slow` stand for what is no answer.
fn failing() -> Backend {
    let seen: Mutex<BTreeMap<String, usize>> = Mutex::default();
    Backend::scripted(move |request| {
        let mut parts = request.target.split('/').skip(1);
        let (how, times) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let mut seen = seen.lock().unwrap();
        let count = seen.entry(request.target.clone()).or_default();
        *count += 1;
        let fails = *count <= times.parse().unwrap_or(0);
        drop(seen);
        match how {
            _ if !fails => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec(),
            "cut" => b"!HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart".to_vec(),
            "reset" => b"!".to_vec(),
            "slow" => {
                thread::sleep(Duration::from_millis(1500));
                b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate".to_vec()
            }
            status => format!("HTTP/1.1 {status} No\r\nContent-Length: 6\r\nX-Try: {}\r\n\r\nfailed", 0).into_bytes(),
        }
    })
}

/// A world with one rule, whose `retry`, `timeouts` … are given, before `ports`.
fn world(rule: &str, ports: &[u16]) -> World {
    let route = route("r", &format!("rules: [{{{rule}, {}}}]", to("b")));
    World::start(&[World::gateway(), &service_at("b", ports), &route].concat())
}

fn tries(backend: &Backend, target: &str) -> Vec<Seen> {
    backend.seen().into_iter().filter(|seen| seen.target == target).collect()
}

fn post(world: &World, target: &str, body: &[u8]) -> Reply {
    let head = format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
    world.raw(&[head.as_bytes(), body].concat()).unwrap()
}

#[test]
fn listed_answers_are_tried_again_as_often_as_the_rule_says_and_the_last_is_passed_on() {
    let all = "codes: [500, 502, 503, 504]";
    let rows = [
        (format!("{all}, attempts: 3"), &[("/500/2", 200, 3), ("/500/3", 200, 4), ("/503/4", 503, 4)][..]),
        ("codes: [500], attempts: 3".to_owned(), &[("/500/1", 200, 2), ("/503/1", 503, 1), ("/404/1", 404, 1)]),
        (all.to_owned(), &[("/502/1", 200, 2), ("/504/2", 504, 2)]),
        (format!("{all}, attempts: 0"), &[("/500/1", 500, 1), ("/503/1", 503, 1)]),
        ("attempts: 3".to_owned(), &[("/reset/1", 502, 1), ("/503/1", 503, 1)]),
        ("codes: [404], attempts: 2".to_owned(), &[("/404/2", 200, 3)]),
    ];
    for (retry, requests) in rows {
        let backend = failing();
        let world = world(&format!("retry: {{{retry}}}"), &[backend.port]);
        for (target, status, expected) in requests {
            let reply = world.get("a", target).unwrap();
            assert_eq!((reply.status, tries(&backend, target).len()), (*status, *expected), "{retry} {target}");
            assert_eq!(
                reply.text(),
                if *status == 200 {
                    "ok"
                } else if target.contains("reset") {
                    "502 upstream_reset\n"
                } else {
                    "failed"
                }
            );
            assert_eq!(line(&world, target)["attempts"], *expected, "{retry} {target}");
            assert_eq!(line(&world, target)["status"], *status, "{retry} {target}");
        }
        let again: usize = requests.iter().map(|(.., tries)| tries - 1).sum();
        let metric = world.metric("torana_upstream_retries_total{backend=\"default/b:80\"}");
        assert_eq!(metric, (again > 0).then(|| f64::from(u32::try_from(again).unwrap())), "{retry}");
    }
}

#[test]
fn an_answer_that_is_not_passed_on_does_not_cost_its_connection() {
    let backend = failing();
    let world = world("retry: {codes: [503], attempts: 5}", &[backend.port]);
    assert_eq!(world.status("a", "/503/5"), 200);
    assert_eq!(backend.connections(), 1);
}

#[test]
fn of_a_dead_and_a_live_endpoint_the_live_one_answers() {
    let backend = Backend::named("ok");
    let world = world("retry: {attempts: 100}", &[ports::free(), backend.port]);
    for _ in 0..40 {
        let start = Instant::now();
        assert_eq!(world.status("a", "/"), 200);
        assert!(start.elapsed() < Duration::from_secs(1));
    }
}

#[test]
fn where_nobody_listens_tries_come_to_an_end() {
    for (attempts, expected) in [(0, 1), (1, 2), (4, 5)] {
        let dead = [ports::free(), ports::free()];
        let world = world(&format!("retry: {{attempts: {attempts}}}"), &dead);
        let reply = world.get("a", "/dead").unwrap();
        assert_eq!((reply.status, reply.text().as_str()), (503, "503 connect_failed\n"));
        assert_eq!(line(&world, "/dead")["attempts"], expected);
    }
}

#[test]
fn one_deadline_spans_all_tries_and_another_holds_for_each() {
    let backend = failing();
    let whole =
        world("retry: {codes: [503, 504], attempts: 9, backoff: 200ms}, timeouts: {request: 500ms}", &[backend.port]);
    let start = Instant::now();
    assert_eq!(whole.status("a", "/slow/9/whole"), 504);
    assert!((450..1200).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    // The next try could not begin before the deadline: what the backend said is passed on.
    assert_eq!(whole.status("a", "/503/9/whole"), 503);
    assert_eq!(line(&whole, "/503/9/whole")["not_retried"], "deadline");
    let each = "timeouts: {backendRequest: 300ms, request: 10s}";
    let listed = world(&format!("retry: {{codes: [504], attempts: 2}}, {each}"), &[backend.port]);
    assert_eq!((listed.status("a", "/slow/1/listed"), tries(&backend, "/slow/1/listed").len()), (200, 1));
    assert_eq!(listed.status("a", "/slow/9/listed"), 504);
    assert_eq!(line(&listed, "/slow/9/listed")["attempts"], 3);
    let other = world(&format!("retry: {{codes: [503], attempts: 2}}, {each}"), &[backend.port]);
    assert_eq!(other.status("a", "/slow/9/other"), 504);
    assert_eq!(line(&other, "/slow/9/other")["attempts"], 1);
}

#[test]
fn a_wait_is_kept_and_a_client_that_leaves_meanwhile_ends_it() {
    let backend = failing();
    let world = world("retry: {codes: [503], attempts: 3, backoff: 300ms}", &[backend.port]);
    let start = Instant::now();
    assert_eq!(world.status("a", "/503/2/patient"), 200);
    assert!((600..2500).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    let mut connection = Connection::open(world.http).unwrap();
    connection.send(b"GET /503/2/gone HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!(eventually(|| tries(&backend, "/503/2/gone").len() == 1));
    drop(connection);
    assert_eq!(line(&world, "/503/2/gone")["reason"], "client_gone");
    assert_eq!(tries(&backend, "/503/2/gone").len(), 1);
}

#[test]
fn a_body_is_sent_again_whole_and_one_that_is_too_large_once() {
    let (backend, mirror) = (failing(), Backend::named("mirror"));
    let filter = "filters: [{type: RequestMirror, requestMirror: {backendRef: {name: m, port: 80}}}]";
    let route = route("r", &format!("rules: [{{retry: {{codes: [503], attempts: 2}}, {filter}, {}}}]", to("b")));
    let services = World::service("b", backend.port) + &World::service("m", mirror.port);
    let world = World::start(&[World::gateway(), &services, &route].concat());
    let body: Vec<u8> = (0..64 << 10).map(|at: u32| b'a' + (at % 26) as u8).collect();
    for size in [0, 1, 1000, 64 << 10] {
        let target = format!("/503/2/{size}");
        assert_eq!(post(&world, &target, &body[..size]).status, 200, "{size}");
        let sent = tries(&backend, &target);
        assert_eq!(sent.len(), 3, "{size}");
        assert!(sent.iter().all(|seen| seen.body == body[..size] && seen.faults.is_empty()), "{size}");
        assert!(eventually(|| tries(&mirror, &target).len() == 1), "{size}");
        assert!(tries(&mirror, &target)[0].body == body[..size], "{size}");
    }
    let chunked = b"POST /503/1/chunked HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n\
        3\r\nabc\r\n2\r\nde\r\n0\r\nx-sum: 5\r\n\r\n";
    assert_eq!(world.raw(chunked).unwrap().status, 200);
    let sent = tries(&backend, "/503/1/chunked");
    assert_eq!(sent.len(), 2);
    assert!(
        sent.iter().all(|seen| seen.body == b"abcde" && seen.trailers == [("x-sum".into(), "5".into())]),
        "{sent:?}"
    );
    let large = [body.as_slice(), b"z"].concat();
    assert_eq!(post(&world, "/503/1/large", &large).status, 503);
    assert_eq!(tries(&backend, "/503/1/large").len(), 1);
    assert_eq!(line(&world, "/503/1/large")["not_retried"], "body_too_large");
}

#[test]
fn once_the_client_has_seen_a_byte_there_is_no_other_try() {
    let backend = failing();
    let world = world("retry: {codes: [502], attempts: 3}", &[backend.port]);
    assert!(world.get("a", "/cut/1").is_err());
    assert_eq!(tries(&backend, "/cut/1").len(), 1);
}

#[test]
fn a_connection_that_ends_without_an_answer_is_502_and_tried_again_if_that_is_listed_and_safe() {
    let backend = failing();
    let world = world("retry: {codes: [502], attempts: 3}", &[backend.port]);
    assert_eq!((world.status("a", "/reset/2"), tries(&backend, "/reset/2").len()), (200, 3));
    assert_eq!((post(&world, "/reset/1/post", b"once").status, tries(&backend, "/reset/1/post").len()), (502, 1));
    assert_eq!((post(&world, "/502/1/post", b"twice").status, tries(&backend, "/502/1/post").len()), (200, 2));
}

#[test]
fn retries_are_a_bounded_part_of_what_a_backend_gets() {
    let backend = Backend::scripted(|_| {
        thread::sleep(Duration::from_millis(500));
        b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n".to_vec()
    });
    let world = world("retry: {codes: [503], attempts: 4}", &[backend.port]);
    let clients: Vec<Connection> = (0..200)
        .map(|_| {
            let mut connection = Connection::open(world.http).unwrap();
            connection.patience(Duration::from_secs(30)).unwrap();
            connection.send(b"GET /storm HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            connection
        })
        .collect();
    for mut client in clients {
        assert_eq!(client.reply("GET").unwrap().status, 503);
    }
    let again = backend.seen().len() - 200;
    // At most a fifth of those in flight, or 32, are tried again, each up to four times.
    assert!((32..=4 * 40).contains(&again), "{again}");
    assert!(world.log().contains("\"not_retried\":\"budget\""));
}
