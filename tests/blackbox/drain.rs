// SPDX-License-Identifier: Apache-2.0
//! SIGTERM: what is in flight ends well.

use std::time::Duration;

use torana_tests::{Backend, Connection, World, eventually};

#[test]
fn a_request_in_flight_is_answered_before_the_exit() {
    let backend = Backend::scripted(|_| {
        std::thread::sleep(Duration::from_secs(1));
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec()
    });
    let mut world = World::start(&format!(
        "{}{}{}",
        World::gateway(),
        World::service("b", backend.port),
        World::catch_all("all", "b")
    ));
    let mut idle = Connection::open(world.http).unwrap();
    let mut busy = Connection::open(world.http).unwrap();
    busy.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!(eventually(|| backend.bytes() > 0));
    world.terminate();
    let reply = busy.reply("GET").unwrap();
    assert_eq!((reply.status, reply.header("connection")), (200, Some("close")));
    assert!(idle.closed_within(Duration::from_secs(5)));
    assert_eq!(world.exit_code(), Some(0));
    assert!(Connection::open(world.http).is_err());
}
