// SPDX-License-Identifier: Apache-2.0
//! Connections to backends: used again, never in a wrong state, tried again only where that is safe.

use std::sync::atomic::{AtomicUsize, Ordering};

use torana_tests::{Backend, Connection, World};

fn world(port: u16) -> World {
    World::start(&format!("{}{}{}", World::gateway(), World::service("b", port), World::catch_all("all", "b")))
}

#[test]
fn one_connection_serves_many_requests() {
    let backend = Backend::named("ok");
    let world = world(backend.port);
    for _ in 0..20 {
        assert_eq!(world.status("a", "/"), 200);
    }
    assert_eq!(backend.connections(), 1);
}

#[test]
fn bytes_after_an_answer_end_the_connection() {
    let backend = Backend::scripted(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n".to_vec());
    let world = world(backend.port);
    for _ in 0..3 {
        assert_eq!(world.get("a", "/").unwrap().text(), "ok");
    }
    assert_eq!(backend.connections(), 3);
}

#[test]
fn an_early_answer_to_an_unfinished_upload_ends_both_connections() {
    let world = world(early_answer());
    let mut connection = Connection::open(world.http).unwrap();
    connection.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\npart").unwrap();
    let reply = connection.reply("POST").unwrap();
    assert_eq!((reply.status, reply.header("connection")), (413, Some("close")));
    assert!(connection.closed_within(std::time::Duration::from_secs(5)));
}

/// Answers before it has read the body.
fn early_answer() -> u16 {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = [0; 1024];
            let _ = stream.read(&mut head).unwrap();
            stream.write_all(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n").unwrap();
            std::thread::spawn(move || {
                let _ = stream.read(&mut [0; 4096]).is_ok();
                std::thread::sleep(std::time::Duration::from_secs(1));
            });
        }
    });
    port
}

/// A backend that answers once and closes the connection when the second request on it arrives.
fn closes_on_second() -> Backend {
    let counts: Vec<AtomicUsize> = (0..64).map(|_| AtomicUsize::new(0)).collect();
    Backend::scripted(move |seen| match counts[seen.connection].fetch_add(1, Ordering::SeqCst) {
        0 => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec(),
        _ => b"!".to_vec(),
    })
}

#[test]
fn a_stale_connection_is_replaced_for_an_idempotent_request() {
    let backend = closes_on_second();
    let world = world(backend.port);
    for _ in 0..3 {
        assert_eq!(world.status("a", "/"), 200);
    }
    assert_eq!(world.metric("torana_upstream_retries_total{backend=\"default/b:80\"}"), Some(2.0));
}

#[test]
fn a_post_is_never_sent_twice() {
    let backend = closes_on_second();
    let world = world(backend.port);
    let post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nonce";
    assert_eq!(world.raw(post).unwrap().status, 200);
    assert_eq!(world.raw(post).unwrap().status, 502);
    assert_eq!(backend.seen().len(), 2);
    assert_eq!(world.metric("torana_upstream_retries_total{backend=\"default/b:80\"}"), None);
}

#[test]
fn a_client_that_leaves_cancels_the_request() {
    let (port, closed) = observes_close();
    let world = world(port);
    let mut connection = Connection::open(world.http).unwrap();
    connection.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(100));
    drop(connection);
    assert!(torana_tests::eventually(|| closed.load(Ordering::SeqCst) == 1));
}

fn observes_close() -> (u16, std::sync::Arc<AtomicUsize>) {
    use std::io::Read as _;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let closed = std::sync::Arc::new(AtomicUsize::new(0));
    let count = std::sync::Arc::clone(&closed);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let count = std::sync::Arc::clone(&count);
            std::thread::spawn(move || {
                while stream.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {}
                count.fetch_add(1, Ordering::SeqCst);
            });
        }
    });
    (port, closed)
}
