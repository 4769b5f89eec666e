// SPDX-License-Identifier: Apache-2.0
//! R01–R04: two thousand attackers that are slow, beside a good client that must not notice.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use torana_tests::{Backend, Connection, Seen, World};

use super::row::{MARKER, get};

/// Sockets of the crowd.
const ATTACKERS: usize = 2_000;
/// The head deadline, and what scheduling on a busy machine may add.
const HEAD_DEADLINE: Duration = Duration::from_secs(10);
const GRACE: Duration = Duration::from_secs(5);

/// What the test's own two thousand sockets may add on a small machine.
const SLACK: Duration = Duration::from_millis(50);

/// What an attacker sends first, and then again and again.
struct Attack {
    id: &'static str,
    opening: Vec<u8>,
    drip: &'static [u8],
    /// Closed by the gateway within the head deadline.
    closed: bool,
}

fn attacks() -> [Attack; 4] {
    let large = get("/large", "");
    let body = format!("POST /case HTTP/1.1\r\nHost: a.example\r\n{MARKER}: 1\r\nContent-Length: 100000\r\n\r\nx")
        .into_bytes();
    [
        Attack {
            id: "R01 slow head",
            opening: b"GET / HTTP/1.1\r\nHost: a.example\r\n".to_vec(),
            drip: b"X: y\r\n",
            closed: true,
        },
        Attack { id: "R02 slow body", opening: body, drip: b"x", closed: false },
        Attack { id: "R03 slow read", opening: large, drip: b"", closed: false },
        Attack { id: "R04 idle hoard", opening: Vec::new(), drip: b"", closed: false },
    ]
}

fn answer(seen: &Seen) -> Vec<u8> {
    if seen.target == "/large" {
        return [&b"HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n"[..], &vec![b'x'; 1 << 20]].concat();
    }
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec()
}

/// Latencies of a good client on a keep-alive connection, until told to stop.
fn good_client(port: u16, stop: &AtomicBool, most: usize) -> Vec<Duration> {
    let mut connection = Connection::open(port).unwrap();
    let mut latencies = Vec::new();
    while !stop.load(Ordering::Relaxed) && latencies.len() < most {
        let start = Instant::now();
        connection.send(&get("/good", "")).unwrap();
        assert_eq!(connection.reply("GET").expect("a good client gets its answer").status, 200);
        latencies.push(start.elapsed());
        thread::sleep(Duration::from_millis(5));
    }
    latencies
}

fn p99(mut latencies: Vec<Duration>) -> Duration {
    latencies.sort_unstable();
    latencies[latencies.len() * 99 / 100]
}

/// Opens the crowd, each connection with the next attack in turn.
fn gather(port: u16) -> Vec<(usize, TcpStream)> {
    let attacks = attacks();
    (0..ATTACKERS)
        .map(|number| {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
            stream.set_nonblocking(true).unwrap();
            drop(stream.write(&attacks[number % 4].opening));
            (number % 4, stream)
        })
        .collect()
}

/// Drips on every connection until `until`; counts per attack how many the gateway has closed.
fn drip(crowd: &mut [(usize, TcpStream)], until: Instant, closed: &[AtomicUsize; 4]) {
    let attacks = attacks();
    let mut gone = vec![false; crowd.len()];
    while Instant::now() < until {
        for (number, (kind, stream)) in crowd.iter_mut().enumerate() {
            if gone[number] || *kind == 2 {
                continue;
            }
            let sent = if attacks[*kind].drip.is_empty() { Ok(0) } else { stream.write(attacks[*kind].drip) };
            let read = stream.read(&mut [0; 512]);
            let blocked = |error: &std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
            let ended =
                sent.is_err_and(|error| !blocked(&error)) || read.is_ok() || read.is_err_and(|error| !blocked(&error));
            if ended {
                gone[number] = true;
                closed[*kind].fetch_add(1, Ordering::Relaxed);
            }
        }
        thread::sleep(Duration::from_millis(500));
    }
}

#[test]
fn slow_crowds_harm_nobody_and_slow_heads_are_closed_in_time() {
    let backend = Backend::scripted(answer);
    let world = Arc::new(World::start(&format!(
        "{}{}{}",
        World::gateway(),
        World::service("b", backend.port),
        World::catch_all("all", "b")
    )));
    let never = AtomicBool::new(false);
    let baseline = p99(good_client(world.http, &never, 200));
    let before = world.memory();
    let stop = Arc::new(AtomicBool::new(false));
    let good = {
        let (world, stop) = (Arc::clone(&world), Arc::clone(&stop));
        thread::spawn(move || good_client(world.http, &stop, usize::MAX))
    };
    let mut crowd = gather(world.http);
    let closed: [AtomicUsize; 4] = Default::default();
    drip(&mut crowd, Instant::now() + HEAD_DEADLINE + GRACE, &closed);
    let during = world.memory();
    stop.store(true, Ordering::Relaxed);
    let latencies = good.join().expect("the good client had no error");
    let (count, under_attack) = (latencies.len(), p99(latencies));
    drop(crowd);
    for (attack, closed) in attacks().iter().zip(&closed) {
        let closed = closed.load(Ordering::Relaxed);
        println!("hostile {}: {} attackers, {closed} closed", attack.id, ATTACKERS / 4);
        if attack.closed {
            assert_eq!(closed, ATTACKERS / 4, "{} outlive the head deadline", attack.id);
        }
    }
    println!(
        "hostile R01-R04: good client p99 {baseline:?} alone, {under_attack:?} beside ({count} requests); memory +{} KiB",
        during.saturating_sub(before)
    );
    assert!(under_attack < 2 * baseline + SLACK, "{under_attack:?} against {baseline:?}");
    assert_eq!(world.status("a.example", "/good"), 200);
}
