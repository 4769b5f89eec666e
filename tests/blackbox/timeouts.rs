// SPDX-License-Identifier: Apache-2.0
//! Deadlines: of a route, of a head.

use std::time::{Duration, Instant};

use torana_tests::{Backend, Connection, World};

fn slow(timeouts: &str) -> World {
    let backend = Backend::scripted(|seen| {
        if seen.target == "/slow" {
            std::thread::sleep(Duration::from_secs(3));
        }
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec()
    });
    World::start(&format!(
        "{}{}apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: r, namespace: default}}\n\
         spec: {{parentRefs: [{{name: edge}}], rules: [{{timeouts: {{{timeouts}}}, backendRefs: [{{name: b, port: 80}}]}}]}}\n",
        World::gateway(),
        World::service("b", backend.port),
    ))
}

#[test]
fn a_request_that_takes_too_long_is_504() {
    for timeouts in ["request: 300ms", "request: 2s, backendRequest: 300ms"] {
        let world = slow(timeouts);
        let start = Instant::now();
        assert_eq!(world.status("a", "/slow"), 504, "{timeouts}");
        assert!(start.elapsed() < Duration::from_secs(2), "{timeouts}");
        assert_eq!(world.status("a", "/"), 200, "{timeouts}");
    }
}

#[test]
fn zero_switches_a_timeout_off() {
    assert_eq!(slow("request: 0s").status("a", "/slow"), 200);
}

#[test]
fn a_head_that_drips_is_408_at_its_deadline() {
    let world = slow("request: 1s");
    let mut connection = Connection::open(world.http).unwrap();
    connection.patience(Duration::from_secs(15)).unwrap();
    let start = Instant::now();
    connection.send(b"GET / HTTP/1.1\r\nHost: a\r\n").unwrap();
    assert_eq!(connection.reply("GET").unwrap().status, 408);
    let took = start.elapsed().as_secs();
    assert!((9..=12).contains(&took), "{took} s");
}
