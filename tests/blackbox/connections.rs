// SPDX-License-Identifier: Apache-2.0
//! How connections to backends begin and end where a DestinationRule wants that otherwise than usual.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use torana_tests::{Backend, Connection, World, ports};

use super::manifests::{gateway, object, to};
use super::streams::{connect, line, listening, logged, plain_backend, stream_route};

fn rule(policy: &str) -> String {
    object("networking.istio.io/v1", "DestinationRule", "b", &format!("host: b, trafficPolicy: {{{policy}}}"))
}

/// A TCPRoute on `port` to a Service at `backend`.
fn streams(port: u16, backend: u16, policy: &str) -> World {
    let route = stream_route("TCPRoute", "r", &format!("rules: [{{{}}}]", to("b")));
    let edge = gateway("edge", &[&format!("{{name: tcp, port: {port}, protocol: TCP}}")]);
    World::start(&[edge, World::service("b", backend), route, rule(policy)].concat())
}

fn read_line(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    Some(line.trim_end().to_owned())
}

type Told = Arc<Mutex<Vec<(String, usize)>>>;

/// Serves HTTP after a line, which it remembers with the number of requests that came after it.
fn told() -> (u16, Told) {
    let all = Told::default();
    let kept = Arc::clone(&all);
    let port = listening(move |stream| {
        let mut reader = BufReader::new(stream);
        let Some(first) = read_line(&mut reader) else { return };
        let at = {
            let mut all = kept.lock().unwrap();
            all.push((first, 0));
            all.len() - 1
        };
        while let Some(line) = read_line(&mut reader) {
            if line.is_empty() {
                kept.lock().unwrap()[at].1 += 1;
                reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
            }
        }
    });
    (port, all)
}

#[test]
fn a_backend_is_told_by_the_proxy_protocol_whose_requests_these_are() {
    let (port, told) = told();
    let told_of = rule("proxyProtocol: {version: V1}");
    let parts = [World::gateway(), &World::service("b", port), &World::catch_all("all", "b"), &told_of];
    let world = World::start(&parts.concat());
    let mut clients = [(); 2].map(|()| Connection::open(world.http).unwrap());
    for _ in 0..3 {
        for client in &mut clients {
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            assert_eq!(client.reply("GET").unwrap().status, 200);
        }
    }
    let told = told.lock().unwrap().clone();
    assert!(told.len() == 2 && told[0].0 != told[1].0, "one connection of each client: {told:?}");
    for (line, requests) in told {
        let end = format!(" {}", world.http);
        assert!(line.starts_with("PROXY TCP4 127.0.0.1 127.0.0.1 ") && line.ends_with(&end), "{line}");
        assert_eq!(requests, 3);
    }
}

#[test]
fn a_stream_begins_with_the_header_of_the_proxy_protocol() {
    let port = ports::free();
    let _world = streams(port, plain_backend("b"), "proxyProtocol: {version: V1}");
    let mut client = connect(port);
    let source = client.local_addr().unwrap().port();
    assert_eq!(line(&mut client).unwrap(), "b");
    client.write_all(b"said\n").unwrap();
    assert_eq!(line(&mut client).unwrap(), format!("PROXY TCP4 127.0.0.1 127.0.0.1 {source} {port}\r"));
    assert_eq!(line(&mut client).unwrap(), "said");
}

/// A proxy that opens tunnels to one place only, and tells what it was asked.
fn proxy() -> u16 {
    listening(|stream| {
        let mut reader = BufReader::new(stream);
        let Some(asked) = read_line(&mut reader) else { return };
        while read_line(&mut reader).is_some_and(|line| !line.is_empty()) {}
        let agreed = asked == "CONNECT db.example:5432 HTTP/1.1";
        let answer = if agreed { "HTTP/1.1 200 OK\r\n\r\nthere\n" } else { "HTTP/1.1 403 Forbidden\r\n\r\n" };
        reader.get_mut().write_all(answer.as_bytes()).unwrap();
        if let Some(said) = read_line(&mut reader) {
            reader.get_mut().write_all(format!("{said} too\n").as_bytes()).unwrap();
        }
    })
}

#[test]
fn a_stream_goes_through_a_proxy_that_agrees() {
    let port = ports::free();
    let _world = streams(port, proxy(), "tunnel: {targetHost: db.example, targetPort: 5432}");
    let mut client = connect(port);
    client.write_all(b"hello\n").unwrap();
    assert_eq!(line(&mut client).unwrap(), "there");
    assert_eq!(line(&mut client).unwrap(), "hello too");
}

#[test]
fn a_stream_that_a_proxy_refuses_is_reset_and_the_log_says_why() {
    for tunnel in ["targetHost: other.example", "protocol: POST, targetHost: db.example"] {
        let port = ports::free();
        let world = streams(port, proxy(), &format!("tunnel: {{{tunnel}, targetPort: 5432}}"));
        assert!(line(&mut connect(port)).is_err());
        let reason = if tunnel.contains("POST") { "invalid_config" } else { "tunnel_failed" };
        assert_eq!(logged(&world, |line| line["protocol"] == "tcp")[0]["reason"], reason);
    }
}

#[test]
fn a_stream_ends_when_nothing_has_moved_for_as_long_as_its_rule_says() {
    let port = ports::free();
    let _world = streams(port, plain_backend("b"), "connectionPool: {tcp: {idleTimeout: 1s}}");
    let mut client = connect(port);
    assert_eq!(line(&mut client).unwrap(), "b");
    let began = Instant::now();
    assert!(line(&mut client).is_err());
    assert!((500..3000).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
}

#[test]
fn a_connection_that_is_old_enough_takes_no_more_requests() {
    let backend = Backend::named("b");
    let pool = "connectionPool: {tcp: {maxConnectionDuration: 1s, tcpKeepalive: {time: 30s, interval: 5s, probes: 3}}}";
    let parts = [World::gateway(), &World::service("b", backend.port), &World::catch_all("all", "b"), &rule(pool)];
    let world = World::start(&parts.concat());
    let end = Instant::now() + Duration::from_millis(2500);
    while Instant::now() < end {
        assert_eq!(world.status("a", "/"), 200);
        thread::sleep(Duration::from_millis(20));
    }
    assert!((2..=4).contains(&backend.connections()), "{}", backend.connections());
}
