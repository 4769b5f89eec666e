// SPDX-License-Identifier: Apache-2.0
//! Backends that may have few connections at once (`maxConnections`): who finds none free waits, in turn and not in vain.

use std::thread;
use std::time::{Duration, Instant};

use torana_tests::{Backend, Connection, Reply, World, echo, eventually, ports};

use super::manifests::{gateway, object, service_at, to};
use super::streams::{connect, line, plain_backend, stream_route};

/// What connections to `b` may be.
fn pool(of: &str) -> String {
    let spec = format!("host: b, trafficPolicy: {{connectionPool: {{{of}}}}}");
    object("networking.istio.io/v1", "DestinationRule", "b", &spec)
}

fn world(ports: &[u16], pool_of: &str, arguments: &[&str]) -> World {
    let parts = [World::gateway(), &service_at("b", ports), &World::catch_all("all", "b"), &pool(pool_of)];
    World::start_with(&parts.concat(), arguments)
}

/// Takes so long for each request.
fn slow(pause: u64) -> Backend {
    Backend::scripted(move |_| {
        thread::sleep(Duration::from_millis(pause));
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec()
    })
}

/// So many clients at once, each with so many requests, one after another on a connection of its own.
fn clients(world: &World, count: usize, each: usize) -> Vec<Reply> {
    let port = world.http;
    let one = move || {
        let mut connection = Connection::open(port).unwrap();
        let ask = |_| {
            connection.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            connection.reply("GET").unwrap()
        };
        (0..each).map(ask).collect::<Vec<_>>()
    };
    let threads: Vec<_> = (0..count).map(|_| thread::spawn(one)).collect();
    threads.into_iter().flat_map(|it| it.join().unwrap()).collect()
}

fn statuses(replies: &[Reply], status: u16) -> usize {
    replies.iter().filter(|reply| reply.status == status).count()
}

const ONE: &str = "tcp: {maxConnections: 1}";

#[test]
fn many_requests_take_turns_on_the_one_connection() {
    let backend = slow(10);
    let world = world(&[backend.port], ONE, &[]);
    let replies = clients(&world, 20, 2);
    assert_eq!((statuses(&replies, 200), backend.connections()), (40, 1));
}

#[test]
fn more_than_may_wait_are_told_so() {
    let backend = slow(1500);
    let world = world(&[backend.port], "tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 1}", &[]);
    let mut first = Connection::open(world.http).unwrap();
    first.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!(eventually(|| backend.connections() == 1));
    thread::sleep(Duration::from_millis(100));
    let replies = clients(&world, 5, 1);
    let refused: Vec<_> = replies.iter().filter(|reply| reply.status != 200).collect();
    assert_eq!((first.reply("GET").unwrap().status, refused.len()), (200, 4), "{refused:?}");
    assert!(refused.iter().all(|it| (it.status, it.text().as_str()) == (503, "503 overload_pending\n")), "{refused:?}");
    let counted = world.metric("torana_upstream_overflow_total{backend=\"default/b:80\",reason=\"pending\"}");
    assert_eq!(counted, Some(4.0));
}

#[test]
fn who_waits_for_a_connection_is_no_request_in_flight_yet() {
    let backend = slow(10);
    let world = world(&[backend.port], "tcp: {maxConnections: 1}, http: {http2MaxRequests: 1}", &[]);
    let replies = clients(&world, 8, 5);
    assert_eq!((statuses(&replies, 200), backend.connections()), (40, 1));
}

#[test]
fn more_than_may_be_in_flight_are_told_so_and_leave_their_connection_to_others() {
    let backend = slow(1500);
    let world = world(&[backend.port], "http: {http2MaxRequests: 1}", &[]);
    let mut first = Connection::open(world.http).unwrap();
    first.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!(eventually(|| backend.connections() == 1));
    thread::sleep(Duration::from_millis(100));
    let replies = clients(&world, 1, 3);
    assert!(
        replies.iter().all(|it| (it.status, it.text().as_str()) == (503, "503 overload_requests\n")),
        "{replies:?}"
    );
    assert_eq!((first.reply("GET").unwrap().status, backend.seen().len()), (200, 1));
    assert_eq!(backend.connections(), 2, "one was opened for the others, and kept");
}

#[test]
fn endpoints_share_what_connections_there_may_be() {
    let endpoints = [slow(5), slow(5)];
    let world = world(&endpoints.each_ref().map(|it| it.port), ONE, &[]);
    let replies = clients(&world, 8, 10);
    let served = endpoints.each_ref().map(|it| it.seen().len());
    assert!(statuses(&replies, 200) == 80 && served.iter().all(|served| *served > 8), "{served:?}");
}

#[test]
fn an_idle_connection_makes_way_for_one_to_another_endpoint() {
    let endpoints = [slow(0), slow(0)];
    let world = world(&endpoints.each_ref().map(|it| it.port), ONE, &[]);
    let began = Instant::now();
    for _ in 0..40 {
        assert_eq!(world.status("a", "/"), 200);
    }
    assert!(endpoints.iter().all(|it| !it.seen().is_empty()));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn workers_share_what_connections_there_may_be() {
    let backend = slow(2);
    let world = world(&[backend.port], ONE, &["--workers", "2"]);
    let began = Instant::now();
    let replies = clients(&world, 16, 20);
    assert_eq!(statuses(&replies, 200), 320);
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

#[test]
fn a_client_that_leaves_waits_no_more() {
    let backend = slow(1500);
    let world = world(&[backend.port], "tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 1}", &[]);
    let ask = || {
        let mut connection = Connection::open(world.http).unwrap();
        connection.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        thread::sleep(Duration::from_millis(200));
        connection
    };
    let mut first = ask();
    let left = ask();
    drop(left);
    thread::sleep(Duration::from_millis(100));
    let mut last = ask();
    let mut refused = ask();
    let status = |connection: &mut Connection| connection.reply("GET").unwrap().status;
    assert_eq!([status(&mut refused), status(&mut first), status(&mut last)], [503, 200, 200]);
    assert_eq!(backend.seen().len(), 2);
}

#[test]
fn a_deadline_ends_the_wait() {
    let backend = slow(2000);
    let route = object(
        "gateway.networking.k8s.io/v1",
        "HTTPRoute",
        "all",
        &format!("parentRefs: [{{name: edge}}], rules: [{{timeouts: {{request: 500ms}}, {}}}]", to("b")),
    );
    let world = World::start(&[World::gateway(), &service_at("b", &[backend.port]), &route, &pool(ONE)].concat());
    let began = Instant::now();
    assert_eq!(statuses(&clients(&world, 3, 1), 504), 3);
    assert!(began.elapsed() < Duration::from_millis(1500), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_of_http2_are_shared_and_take_turns_too() {
    let endpoints = [echo::h2c().await, echo::h2c().await];
    tokio::task::spawn_blocking(move || {
        let service = service_at("b", &endpoints).replace("port: 80", "port: 80, appProtocol: kubernetes.io/h2c");
        let parts = [World::gateway(), &service, &World::catch_all("all", "b"), &pool(ONE)];
        let world = World::start_with(&parts.concat(), &["--workers", "2"]);
        let began = Instant::now();
        let replies = clients(&world, 16, 20);
        assert_eq!(statuses(&replies, 200), 320);
        assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    })
    .await
    .unwrap();
}

#[test]
fn a_stream_waits_for_the_end_of_another() {
    let port = ports::free();
    let route = stream_route("TCPRoute", "r", &format!("rules: [{{{}}}]", to("b")));
    let edge = gateway("edge", &[&format!("{{name: tcp, port: {port}, protocol: TCP}}")]);
    let world = World::start(&[edge, World::service("b", plain_backend("b")), route, pool(ONE)].concat());
    let mut first = connect(port);
    assert_eq!(line(&mut first).unwrap(), "b");
    let mut second = connect(port);
    second.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(line(&mut second).is_err());
    let mut gone = connect(port);
    gone.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(line(&mut gone).is_err());
    drop(gone);
    drop(first);
    assert!(eventually(|| line(&mut second).is_ok()), "{}", world.log());
}
