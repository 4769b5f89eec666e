// SPDX-License-Identifier: Apache-2.0
//! Bodies of every framing and size.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use torana_tests::{Backend, Connection, World};

const GIB: u64 = 1 << 30;

fn world(port: u16) -> World {
    World::start(&format!("{}{}{}", World::gateway(), World::service("b", port), World::catch_all("all", "b")))
}

#[test]
fn a_chunked_request_is_framed_anew() {
    let backend = Backend::named("ok");
    let world = world(backend.port);
    let request =
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;ext=1\r\nabc\r\n0002\r\nde\r\n0\r\n\r\n";
    assert_eq!(world.raw(request).unwrap().status, 200);
    let seen = &backend.seen()[0];
    assert_eq!((&seen.body[..], &seen.faults[..]), (&b"abcde"[..], &[][..]));
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let backend = Backend::scripted(|seen| {
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", seen.target.len(), seen.target).into_bytes()
    });
    let world = world(backend.port);
    let mut connection = Connection::open(world.http).unwrap();
    let one = |path: &str| format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
    connection.send(format!("{}{}{}", one("/1"), one("/2"), one("/3")).as_bytes()).unwrap();
    for path in ["/1", "/2", "/3"] {
        assert_eq!(connection.reply("POST").unwrap().text(), path);
    }
}

#[test]
fn a_close_delimited_answer_is_delimited_anew() {
    let backend = Backend::scripted(|_| b"!HTTP/1.1 200 OK\r\n\r\nuntil the end".to_vec());
    let world = world(backend.port);
    let mut connection = Connection::open(world.http).unwrap();
    for _ in 0..2 {
        connection.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let reply = connection.reply("GET").unwrap();
        assert_eq!((reply.text().as_str(), reply.header("transfer-encoding")), ("until the end", Some("chunked")));
    }
}

#[test]
fn no_body_follows_head_204_and_304() {
    let backend = Backend::scripted(|seen| match seen.target.as_str() {
        "/204" => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
        "/304" => b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 5\r\n\r\n".to_vec(),
        _ => b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n".to_vec(),
    });
    let world = world(backend.port);
    let mut connection = Connection::open(world.http).unwrap();
    for (method, path, status) in [("HEAD", "/", 200), ("GET", "/204", 204), ("GET", "/304", 304), ("HEAD", "/", 200)] {
        connection.send(format!("{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
        assert_eq!(connection.reply(method).unwrap().status, status, "{method} {path}");
    }
    assert_eq!(backend.connections(), 1);
}

#[test]
fn an_expecting_client_gets_one_100_and_the_backend_gets_the_body() {
    let backend = Backend::named("ok");
    let world = world(backend.port);
    let mut connection = Connection::open(world.http).unwrap();
    connection.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n").unwrap();
    assert_eq!(connection.any_reply("PUT").unwrap().status, 100);
    connection.send(b"abc").unwrap();
    assert_eq!(connection.any_reply("PUT").unwrap().status, 200);
    assert_eq!(backend.seen()[0].body, b"abc");
    assert_eq!(backend.seen()[0].header("expect"), None);
}

#[test]
fn early_hints_are_passed_on() {
    let backend = Backend::scripted(|_| {
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
            .to_vec()
    });
    let world = world(backend.port);
    let mut connection = Connection::open(world.http).unwrap();
    connection.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let hints = connection.any_reply("GET").unwrap();
    assert_eq!((hints.status, hints.header("link")), (103, Some("</a>; rel=preload")));
    assert_eq!(connection.any_reply("GET").unwrap().text(), "ok");
}

/// Reads a request head, then the number of body bytes it announces, and answers with the number.
fn sink() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut head = Vec::new();
                let mut byte = [0; 1];
                while !head.ends_with(b"\r\n\r\n") {
                    stream.read_exact(&mut byte).unwrap();
                    head.push(byte[0]);
                }
                let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
                let length =
                    text.split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next()?.parse().ok());
                let got =
                    std::io::copy(&mut (&stream).take(length.unwrap()), &mut std::io::sink()).unwrap().to_string();
                write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{got}", got.len()).unwrap();
            });
        }
    });
    port
}

/// Answers with 2 GiB.
fn source() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut head = [0; 4096];
                let _ = stream.read(&mut head).unwrap();
                write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 2 * GIB).unwrap();
                let piece = vec![b'x'; 256 << 10];
                for _ in 0..2 * GIB / piece.len() as u64 {
                    if stream.write_all(&piece).is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

/// What is allocated once is allocated.
fn warm(world: &World) {
    let mut stream = TcpStream::connect(("127.0.0.1", world.http)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    stream.read_exact(&mut vec![0; 1 << 20]).unwrap();
}

/// Of 2 GiB nothing stays: 4 MiB are the allocator's own steps (each stream's share is measured with many streams).
fn flat(before: u64, after: u64) {
    assert!(after < before + 4096, "memory went from {before} to {after} KiB");
}

#[test]
fn two_gib_go_up_with_memory_flat() {
    let world = world(sink());
    assert_eq!(world.raw(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nwarm").unwrap().text(), "4");
    let before = world.memory();
    let mut stream = TcpStream::connect(("127.0.0.1", world.http)).unwrap();
    write!(stream, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", 2 * GIB).unwrap();
    let piece = vec![b'x'; 256 << 10];
    let mut peak = 0;
    for at in 0..2 * GIB / piece.len() as u64 {
        stream.write_all(&piece).unwrap();
        if at % 1024 == 0 {
            peak = peak.max(world.memory());
        }
    }
    flat(before, peak);
    // Head and body may come one after the other.
    let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
    while !String::from_utf8_lossy(&answer).ends_with(&(2 * GIB).to_string()) {
        let read = stream.read(&mut piece).unwrap();
        assert!(read > 0, "the answer ends with {:?}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&piece[..read]);
    }
}

#[test]
fn two_gib_come_down_with_memory_flat() {
    let world = world(source());
    warm(&world);
    let before = world.memory();
    let mut stream = TcpStream::connect(("127.0.0.1", world.http)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut piece = vec![0; 256 << 10];
    let (mut total, mut peak, mut reads) = (0u64, 0, 0u64);
    loop {
        let read = stream.read(&mut piece).unwrap();
        if read == 0 {
            break;
        }
        total += read as u64;
        reads += 1;
        if reads % 4096 == 0 {
            peak = peak.max(world.memory());
        }
    }
    flat(before, peak);
    assert!(total > 2 * GIB && total < 2 * GIB + 4096, "{total}");
}

#[test]
fn a_slow_reader_holds_back_its_backend_and_costs_little() {
    let world = world(source());
    warm(&world);
    let before = world.memory();
    let mut streams = Vec::new();
    for _ in 0..50 {
        let mut stream = TcpStream::connect(("127.0.0.1", world.http)).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        streams.push(stream);
    }
    thread::sleep(std::time::Duration::from_secs(1));
    let each = world.memory().saturating_sub(before) / 50;
    assert!(each <= 128, "{each} KiB a stream");
}
