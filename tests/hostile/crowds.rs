// SPDX-License-Identifier: Apache-2.0
//! R01–R05: two thousand attackers of each kind, beside a good client that must not notice. Each kind comes from an
//! address of its own.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use torana_tests::{Backend, Connection, World, eventually};

use super::frames::connect_from;
use super::row::{MARKER, get};

/// Of each kind, if the system lets a process have the descriptors.
const ATTACKERS: usize = 2_000;
/// What scheduling on a busy machine may add to a deadline.
const GRACE: Duration = Duration::from_secs(8);
/// The good client's latencies are judged in windows of so many requests: a machine that tests share has bad moments
/// of its own.
const WINDOW: usize = 200;

/// KiB that the gateway may keep of what a crowd took.
const MOST_KEPT: u64 = 64 << 10;

/// What an attacker sends first, and then again and again.
struct Attack {
    id: &'static str,
    opening: Vec<u8>,
    drip: &'static [u8],
    /// Closed by the gateway after this.
    after: Duration,
    /// Word of the log for each of them.
    reason: &'static str,
}

fn attacks() -> [Attack; 4] {
    let body = format!("POST /case HTTP/1.1\r\nHost: a.example\r\n{MARKER}: 1\r\nContent-Length: 100000\r\n\r\nx");
    let attack = |id, opening: Vec<u8>, drip: &'static str, seconds, reason| Attack {
        id,
        opening,
        drip: drip.as_bytes(),
        after: Duration::from_secs(seconds),
        reason,
    };
    [
        attack("R01 slow head", b"GET / HTTP/1.1\r\nHost: a.example\r\n".to_vec(), "X: y\r\n", 10, "head_timeout"),
        attack("R02 slow body", body.into_bytes(), "x", 20, "body_timeout"),
        attack("R03 slow read", get("/large", ""), "", 60, "read_timeout"),
        attack("R04 idle hoard", Vec::new(), "", 60, ""),
    ]
}

/// Has more to say than anybody takes, and holds no copy of it, neither here nor in the kernel.
fn large_backend() -> u16 {
    static PART: [u8; 64 << 10] = [b'x'; 64 << 10];
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    socket2::SockRef::from(&listener).set_send_buffer_size(16 << 10).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let asked = stream.read(&mut [0; 4096]);
                let mut going =
                    asked.is_ok() && stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n").is_ok();
                while going {
                    going = stream.write_all(&PART).is_ok();
                }
            });
        }
    });
    port
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

/// The slowest of a hundred, in the best window and over all.
fn p99(latencies: &[Duration]) -> (Duration, Duration) {
    let of = |part: &[Duration]| {
        let mut sorted = part.to_vec();
        sorted.sort_unstable();
        sorted[sorted.len() * 99 / 100]
    };
    (latencies.chunks_exact(WINDOW).map(of).min().expect("a whole window"), of(latencies))
}

/// One connection of the crowd, and which attack it is.
struct Attacker {
    kind: usize,
    stream: TcpStream,
    opened: Instant,
    /// How long after.
    gone: Option<Duration>,
}

/// How many of each kind there are: the gateway takes connections for half of its descriptors, and two kinds need a
/// connection to a backend each.
fn attackers() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let files =
        limits.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next()?.parse().ok());
    files.map_or(ATTACKERS, |files: usize| ATTACKERS.min(files / 10))
}

/// Opens the crowd, each connection with the next attack in turn.
fn gather(port: u16) -> Vec<Attacker> {
    let attacks = attacks();
    let open = |number: usize| {
        let kind = number % attacks.len();
        let mut stream = connect_from(u8::try_from(kind + 2).unwrap(), port).expect("a connection");
        stream.set_nonblocking(true).unwrap();
        // The kernel's memory for TCP is shared with the gateway here.
        socket2::SockRef::from(&stream).set_recv_buffer_size(16 << 10).unwrap();
        drop(stream.write(&attacks[kind].opening));
        Attacker { kind, stream, opened: Instant::now(), gone: None }
    };
    (0..attackers() * attacks.len()).map(open).collect()
}

impl Attacker {
    /// Sends a little, and looks whether the gateway has answered or closed. Who reads slowly never looks.
    fn drip(&mut self, drip: &[u8]) -> bool {
        let over = |error: &std::io::Error| error.kind() != ErrorKind::WouldBlock;
        let sent = if drip.is_empty() { Ok(0) } else { self.stream.write(drip) };
        let read = self.stream.read(&mut [0; 512]);
        sent.is_err_and(|error| over(&error)) || read.map_or_else(|error| over(&error), |_| true)
    }
}

/// Drips on every connection until `until`.
fn drip(crowd: &mut [Attacker], until: Instant) {
    let attacks = attacks();
    while Instant::now() < until {
        for attacker in crowd.iter_mut().filter(|attacker| attacker.gone.is_none() && attacker.kind != 2) {
            if attacker.drip(attacks[attacker.kind].drip) {
                attacker.gone = Some(attacker.opened.elapsed());
            }
        }
        thread::sleep(Duration::from_millis(500));
    }
}

/// KiB that the sockets of this machine hold.
fn kernel_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("TCP:")).unwrap_or_default();
    line.rsplit(' ').next().and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4
}

/// R05: heads that are too long, one connection after the other; how many were refused as they should be.
fn large_heads(port: u16) -> usize {
    let head = get("/case", format!("X: {}\r\n", "a".repeat(70 << 10)));
    let refused = |_: &usize| {
        let mut stream = connect_from(9, port).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        drop(stream.write_all(&head));
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).is_ok() && answer == *b"HTTP/1.1 431"
    };
    (0..attackers()).filter(refused).count()
}

#[test]
fn crowds_of_attackers_harm_nobody_and_end_in_time() {
    let backend = Backend::named("ok");
    let large = World::catch_all("large", "large")
        .replace("rules: [{", "rules: [{matches: [{path: {type: Exact, value: /large}}], ");
    let world = Arc::new(World::start(&format!(
        "{}{}{}{}{large}",
        World::gateway(),
        World::service("b", backend.port),
        World::catch_all("all", "b"),
        World::service("large", large_backend()),
    )));
    let never = AtomicBool::new(false);
    let (baseline, _) = p99(&good_client(world.http, &never, 3 * WINDOW));
    let before = world.memory();
    let stop = Arc::new(AtomicBool::new(false));
    let good = {
        let (world, stop) = (Arc::clone(&world), Arc::clone(&stop));
        thread::spawn(move || good_client(world.http, &stop, usize::MAX))
    };
    let mut crowd = gather(world.http);
    let heads = {
        let port = world.http;
        thread::spawn(move || large_heads(port))
    };
    drip(&mut crowd, Instant::now() + Duration::from_secs(5));
    let (during, kernel) = (world.memory(), kernel_memory());
    drip(&mut crowd, Instant::now() + Duration::from_secs(55) + GRACE);
    stop.store(true, Ordering::Relaxed);
    let latencies = good.join().expect("the good client had no error");
    let heads = heads.join().unwrap();
    println!("hostile R05 large heads: {} attackers, {heads} refused", attackers());
    assert_eq!(heads, attackers());
    ended(&world, &crowd);
    let (best, all) = p99(&latencies);
    drop(crowd);
    // What was freed goes back to the system while others are served; some the allocator keeps.
    let back = eventually(|| world.status("a.example", "/good") == 200 && world.memory() < before + MOST_KEPT);
    println!(
        "hostile R01-R05: good client p99 {baseline:?} alone, {best:?} beside in its best window, {all:?} in all ({} \
         requests); memory {before} KiB before, {during} during, {} after; of the kernel, both ends: {kernel} KiB",
        latencies.len(),
        world.memory()
    );
    assert!(best < (2 * baseline).max(baseline + Duration::from_millis(5)), "{best:?} against {baseline:?}");
    assert!(back, "memory stays");
    assert_eq!(world.status("a.example", "/good"), 200);
}

/// Every attacker was ended, none before its time, all soon after.
fn ended(world: &World, crowd: &[Attacker]) {
    let (log, attackers) = (world.log(), attackers());
    for (kind, attack) in attacks().iter().enumerate() {
        let word = format!("\"reason\":\"{}\"", attack.reason);
        let logged = log.lines().filter(|line| line.contains(&word)).count();
        let times: Vec<Duration> =
            crowd.iter().filter(|attacker| attacker.kind == kind).filter_map(|attacker| attacker.gone).collect();
        let (first, last) = (times.iter().min(), times.iter().max());
        println!(
            "hostile {}: {attackers} attackers, {} closed ({first:?} to {last:?}), {logged} logged",
            attack.id,
            times.len()
        );
        if !attack.reason.is_empty() {
            assert_eq!(logged, attackers, "{}", attack.id);
        }
        // Who reads slowly does not see its end.
        if kind == 2 {
            continue;
        }
        assert_eq!(times.len(), attackers, "{} outlive their deadline", attack.id);
        assert!(*first.unwrap() + Duration::from_secs(1) > attack.after, "{}: {first:?} is early", attack.id);
        assert!(*last.unwrap() < attack.after + GRACE, "{}: {last:?} is late", attack.id);
    }
}
