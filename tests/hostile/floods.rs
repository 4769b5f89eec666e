// SPDX-License-Identifier: Apache-2.0
//! B01–B12: clients of HTTP/2 that keep a gateway busy without asking for anything, or take back what they ask for. Each
//! comes from an address of its own; beside them a good client must get all its answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use torana_tests::{Backend, Connection, Seen, World, eventually};

use super::frames::{
    CONTINUATION, Client, DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, Got, HEADERS, PING, PRIORITY, RST_STREAM,
    SETTINGS, WINDOW_UPDATE, block, connect_from, frame,
};
use super::http2::good;
use super::row::get;

const PROTOCOL_ERROR: u32 = 1;
const CANCEL: u32 = 8;
const ENHANCE_YOUR_CALM: u32 = 11;
const CALM: &[u32] = &[ENHANCE_YOUR_CALM];
const EITHER: &[u32] = &[ENHANCE_YOUR_CALM, PROTOCOL_ERROR];

/// A flood that goes on for longer than this is not stopped.
const PATIENCE: Duration = Duration::from_secs(10);
/// SETTINGS_INITIAL_WINDOW_SIZE (RFC 9113 §6.5.2).
const INITIAL_WINDOW: u8 = 4;
/// Streams that a client may have open.
const STREAMS: u32 = 100;

/// What is sent in round after round, in parts with a pause between them.
struct Flood {
    id: &'static str,
    what: &'static str,
    opening: Vec<u8>,
    round: fn(u32) -> Vec<Vec<u8>>,
    /// Codes of GOAWAY that are fine.
    codes: &'static [u32],
}

fn stream(round: u32) -> u32 {
    2 * round + 1
}

/// HEADERS of a request for `path`; `ends`: without a body.
fn request(id: u32, path: &'static [u8], ends: bool, more: &[(&'static [u8], &'static [u8])]) -> Vec<u8> {
    let mut fields = good();
    fields.retain(|(name, _)| *name != b":path" && (ends || *name != b":method"));
    fields.insert(0, (b":path", path));
    if !ends {
        fields.insert(0, (b":method", b"POST"));
    }
    fields.extend_from_slice(more);
    frame(HEADERS, END_HEADERS | if ends { END_STREAM } else { 0 }, id, &block(&fields))
}

fn settings(id: u8, value: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[&[0, id][..], &value.to_be_bytes()].concat())
}

fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &increment.to_be_bytes())
}

/// A field of 3.9 KB goes into the table of the connection, with a good request.
fn bomb() -> Vec<u8> {
    let mut fields = block(&good());
    // Literal with incremental indexing, new name (RFC 7541 §6.2.1).
    let value = [b'b'; 3_900];
    fields.extend_from_slice(&[0x40, 1, b'x', 0x7f, 0xbd, 0x1d]);
    fields.extend_from_slice(&value);
    frame(HEADERS, END_STREAM | END_HEADERS, 1, &fields)
}

/// Requests that are taken back, by the client or by making the gateway reset them (CVE-2023-44487, CVE-2025-8671).
fn resets() -> Vec<Flood> {
    let flood = |id, what, round, codes| Flood { id, what, opening: Vec::new(), round, codes };
    vec![
        flood("B01", "rapid reset", |n| vec![[request(stream(n), b"/slow", true, &[]), cancel(n)].concat()], CALM),
        flood("B01", "rapid reset, paced", |n| vec![request(stream(n), b"/slow", true, &[]), cancel(n)], CALM),
        flood("B02", "WINDOW_UPDATE of 0", |n| made(n, &window_update(stream(n), 0)), EITHER),
        flood("B02", "WINDOW_UPDATE over 2^31", |n| made(n, &window_update(stream(n), u32::MAX >> 1)), CALM),
        flood(
            "B02",
            "PRIORITY on itself",
            |n| made(n, &frame(PRIORITY, 0, stream(n), &[&stream(n).to_be_bytes()[..], &[0]].concat())),
            CALM,
        ),
        flood(
            "B02",
            "DATA after END_STREAM",
            |n| vec![request(stream(n), b"/slow", true, &[]), frame(DATA, 0, stream(n), b"x")],
            EITHER,
        ),
        flood(
            "B02",
            "DATA beyond content-length",
            |n| {
                let head = request(stream(n), b"/slow", false, &[(b"content-length", b"1")]);
                vec![head, frame(DATA, 0, stream(n), b"xx")]
            },
            CALM,
        ),
        flood(
            "B08",
            "empty HEADERS and CONTINUATION",
            |n| {
                let parts = [frame(HEADERS, 0, stream(n), b""), frame(CONTINUATION, END_HEADERS, stream(n), b"")];
                vec![parts.concat()]
            },
            CALM,
        ),
    ]
}

fn cancel(round: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream(round), &CANCEL.to_be_bytes())
}

fn made(round: u32, fault: &[u8]) -> Vec<Vec<u8>> {
    vec![request(stream(round), b"/slow", false, &[]), fault.to_vec()]
}

/// Frames that ask for nothing.
fn frames() -> Vec<Flood> {
    let flood = |id, what, opening, round| Flood { id, what, opening, round, codes: CALM };
    let open = request(1, b"/case", false, &[]);
    let many: Vec<u8> = (0..STREAMS).flat_map(|n| request(stream(n), b"/slow", true, &[])).collect();
    let large = [settings(INITIAL_WINDOW, 0), request(1, b"/large", true, &[])].concat();
    vec![
        flood("B03", "CONTINUATION without end", frame(HEADERS, 0, 1, &block(&good())), |_| {
            vec![frame(CONTINUATION, 0, 1, &block(&[(b"x", &[b'a'; 1_000])]))]
        }),
        flood("B03", "empty CONTINUATION without end", frame(HEADERS, 0, 1, &block(&good())), |_| {
            vec![frame(CONTINUATION, 0, 1, b"")]
        }),
        // 8,000 references to the field, 62 being the newest.
        flood("B04", "HPACK bomb", bomb(), |n| {
            vec![frame(HEADERS, END_STREAM | END_HEADERS, stream(n + 1), &[block(&good()), vec![0xbe; 8_000]].concat())]
        }),
        flood("B05", "SETTINGS", Vec::new(), |_| vec![frame(SETTINGS, 0, 0, b"")]),
        flood("B05", "PING", Vec::new(), |_| vec![frame(PING, 0, 0, &[0; 8])]),
        flood("B05", "PING that answers nothing", Vec::new(), |_| vec![frame(PING, 1, 0, &[0; 8])]),
        flood("B06", "PRIORITY", Vec::new(), |n| vec![frame(PRIORITY, 0, stream(n % 1_000), &[0, 0, 0, 0, 9])]),
        flood("B06", "unknown frames", Vec::new(), |_| vec![frame(0xfa, 0, 0, b"?")]),
        flood("B07", "WINDOW_UPDATE", Vec::new(), |_| vec![window_update(0, 1)]),
        flood("B08", "empty DATA", open, |_| vec![frame(DATA, 0, 1, b"")]),
        flood("B09", "windows of one byte", large, |_| vec![window_update(1, 1)]),
        flood("B10", "INITIAL_WINDOW_SIZE to and fro, 100 streams", many, |n| {
            vec![settings(INITIAL_WINDOW, if n % 2 == 0 { 0 } else { 1_000 })]
        }),
    ]
}

/// A gateway in front of a backend that takes its time for `/slow` and has much to say for `/large`.
fn world() -> (Arc<World>, Backend) {
    let backend = Backend::scripted(|seen: &Seen| {
        if seen.target == "/slow" {
            thread::sleep(Duration::from_millis(200));
        }
        let body = vec![b'x'; if seen.target == "/large" { 1 << 20 } else { 2 }];
        [format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(), &body].concat()
    });
    let manifests =
        [World::gateway().to_owned(), World::service("b", backend.port), World::catch_all("all", "b")].concat();
    (Arc::new(World::start(&manifests)), backend)
}

/// A good client, at work until told to stop; it gives the times of its answers.
struct Victim {
    stop: Arc<AtomicBool>,
    working: thread::JoinHandle<Vec<Duration>>,
}

impl Victim {
    fn start(port: u16) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&stop);
        let working = thread::spawn(move || {
            let mut connection = Connection::open(port).unwrap();
            let mut times = Vec::new();
            while !until.load(Ordering::Relaxed) {
                let start = Instant::now();
                connection.send(&get("/good", "")).unwrap();
                assert_eq!(connection.reply("GET").expect("a good client gets its answer").status, 200);
                times.push(start.elapsed());
                thread::sleep(Duration::from_millis(5));
            }
            times
        });
        Self { stop, working }
    }

    /// Ends it; how many answers, and the slowest of a hundred.
    fn end(self) -> (usize, Duration) {
        self.stop.store(true, Ordering::Relaxed);
        let mut times = self.working.join().expect("the good client had no error");
        times.sort_unstable();
        (times.len(), times[times.len() * 99 / 100])
    }
}

/// Floods until the gateway ends it. Gives the rounds that were sent, and the code of GOAWAY (0: none came).
fn attack(host: u8, port: u16, flood: &Flood) -> Result<(u32, u32), String> {
    let mut client = Client::open_from(host, port);
    client.stream.set_write_timeout(Some(PATIENCE)).unwrap();
    let mut reader = client.reader();
    let reading = thread::spawn(move || reader.end(PATIENCE));
    client.send(&flood.opening);
    let (start, mut rounds) = (Instant::now(), 0);
    'rounds: while start.elapsed() < PATIENCE && !reading.is_finished() {
        let parts = (flood.round)(rounds);
        for (number, part) in parts.iter().enumerate() {
            if number > 0 {
                thread::sleep(Duration::from_millis(1));
            }
            if std::io::Write::write_all(&mut client.stream, part).is_err() {
                break 'rounds;
            }
        }
        rounds += 1;
    }
    match reading.join().unwrap() {
        Some(code) => Ok((rounds, code)),
        None => Err(format!("still open after {PATIENCE:?} and {rounds} rounds")),
    }
}

fn metric(world: &World, line: &str) -> u64 {
    let page = world.health("/metrics").map(|reply| reply.text()).unwrap_or_default();
    let mut values = page.lines().filter_map(|one| one.strip_prefix(line)?.rsplit(' ').next()?.parse::<u64>().ok());
    values.next().unwrap_or(0)
}

fn aborted(world: &World) -> u64 {
    let reasons = ["http2_frames", "http2_resets", "http2_limits"];
    reasons
        .iter()
        .map(|reason| metric(world, &format!("torana_connections_aborted_total{{reason=\"{reason}\"}}")))
        .sum()
}

fn run(floods: &[Flood], most_reach: usize) {
    let (world, backend) = world();
    let victim = Victim::start(world.http);
    let (before, mut wrong) = (world.memory(), Vec::new());
    for (number, flood) in floods.iter().enumerate() {
        let (counted, seen) = (aborted(&world), backend.connections());
        drop(backend.take());
        let start = Instant::now();
        let outcome = attack(u8::try_from(number + 2).unwrap(), world.http, flood);
        let took = start.elapsed();
        // What is on its way to the backend has time to arrive.
        thread::sleep(Duration::from_millis(300));
        let reached = backend.take().iter().filter(|seen| seen.target == "/slow").count();
        let name = format!("hostile {}: {}", flood.id, flood.what);
        println!("{name}: {outcome:?} in {took:?}, {reached} reached the backend");
        match outcome {
            Err(why) => wrong.push(format!("{name}: {why}")),
            // A reset may overtake the GOAWAY.
            Ok((_, code)) if code != 0 && !flood.codes.contains(&code) => wrong.push(format!("{name}: GOAWAY {code}")),
            Ok(_) if reached > most_reach => wrong.push(format!("{name}: {reached} requests reached the backend")),
            Ok((_, code)) => {
                let told = code == PROTOCOL_ERROR || eventually(|| aborted(&world) > counted);
                let opened = backend.connections() - seen;
                if !told || opened > most_reach {
                    wrong.push(format!("{name}: counted {told}, {opened} connections to the backend"));
                }
            }
        }
    }
    let (answers, slowest) = victim.end();
    let back = eventually(|| world.memory() < before + (16 << 10));
    println!(
        "hostile B: {answers} answers beside the floods, p99 {slowest:?}; memory {before} -> {} KiB",
        world.memory()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(back, "memory stays: {before} -> {} KiB", world.memory());
    assert_eq!(world.status("a.example", "/good"), 200);
    let lines = world.log().lines().filter(|line| line.contains("connection ended for what it sent")).count();
    assert!(lines <= floods.len(), "{lines} lines for {} floods", floods.len());
    let warnings = world.log().lines().filter(|line| line.contains(" WARN ")).count();
    assert!(warnings <= floods.len(), "{warnings} warnings for {} floods", floods.len());
}

#[test]
fn requests_that_are_taken_back_end_the_connection() {
    run(&resets(), 100);
}

#[test]
fn frames_that_ask_for_nothing_end_the_connection() {
    run(&frames(), 101);
}

#[test]
fn who_comes_back_after_each_goaway_is_not_let_in_and_others_are() {
    let (world, _backend) = world();
    let victim = Victim::start(world.http);
    let flood = &frames()[4];
    let mut ended = 0;
    let refused = || metric(&world, "torana_connections_refused_total{reason=\"ip_abuse\"}");
    while refused() == 0 && ended < 100 {
        attack(77, world.http, flood).unwrap();
        ended += 1;
    }
    let mut late = connect_from(77, world.http).unwrap();
    let closed = std::io::Read::read(&mut late, &mut [0; 1]);
    assert!(closed.is_err() || closed.is_ok_and(|read| read == 0), "let in again");
    assert_eq!(world.status("a.example", "/good"), 200);
    let (answers, slowest) = victim.end();
    println!("hostile B12: let in {ended} times, then refused; {answers} answers beside it, p99 {slowest:?}");
    assert!((20..40).contains(&ended), "{ended}");
}

/// What came for each of `STREAMS` streams until all have ended: HEADERS' first status byte, code of RST_STREAM.
fn endings(client: &mut Client, patience: Duration) -> Vec<(Option<Got>, Option<u32>)> {
    let mut ends = vec![(None, None); STREAMS as usize];
    let start = Instant::now();
    while start.elapsed() < patience && ends.iter().any(|(_, reset)| reset.is_none()) {
        let Ok(next) = client.frame() else { continue };
        let Some(Frame { kind, stream, payload }) = next else { break };
        let Some(end) = ends.get_mut((stream / 2) as usize).filter(|_| stream > 0) else {
            assert_ne!(kind, GOAWAY, "{payload:?}");
            continue;
        };
        match kind {
            HEADERS => end.0 = Some(Got::Status(super::frames::status(&payload))),
            RST_STREAM => end.1 = payload.try_into().ok().map(u32::from_be_bytes),
            _ => {}
        }
    }
    ends
}

#[test]
fn answers_that_nobody_takes_are_thrown_away_and_hold_little() {
    let (world, _backend) = world();
    assert_eq!(world.status("a.example", "/good"), 200);
    let before = world.memory();
    let mut client = Client::open(world.http);
    client.send(&settings(INITIAL_WINDOW, 0));
    for round in 0..STREAMS {
        client.send(&request(stream(round), b"/large", true, &[]));
    }
    thread::sleep(Duration::from_secs(3));
    let held = world.memory().saturating_sub(before);
    let start = Instant::now();
    let ends = endings(&mut client, Duration::from_secs(75));
    println!("hostile B09: {STREAMS} streams without a window hold {held} KiB, ended after {:?}", start.elapsed());
    let cut = ends.iter().filter(|end| **end == (Some(Got::Status(200)), Some(CANCEL))).count();
    assert_eq!(cut, STREAMS as usize, "{ends:?}");
    // Two pieces of 32 KiB at most, and the stream's task.
    assert!(held <= 128 * u64::from(STREAMS), "{held} KiB are held");
    client.send(&request(stream(STREAMS), b"/good", true, &[]));
    assert_eq!(client.outcome(stream(STREAMS)), Got::Status(200), "the connection lives");
}

#[test]
fn requests_without_an_end_are_answered_and_cut_in_time() {
    let (world, _backend) = world();
    let mut client = Client::open(world.http);
    let mut slow = Client::open(world.http);
    slow.send(&request(1, b"/good", true, &[]));
    assert_eq!(slow.outcome(1), Got::Status(200));
    slow.send(&frame(HEADERS, END_STREAM, 3, &block(&good())));
    let start = Instant::now();
    for round in 0..STREAMS {
        client.send(&request(stream(round), b"/body", false, &[]));
    }
    let code = slow.end(Duration::from_secs(15));
    println!("hostile R01: a head of HTTP/2 without an end: closed after {:?}", start.elapsed());
    assert_eq!(code, Some(ENHANCE_YOUR_CALM));
    let ends = endings(&mut client, Duration::from_secs(30));
    println!("hostile B11: {STREAMS} bodies that do not come: ended after {:?}", start.elapsed());
    // 408 is no status of the static table: any but 200.
    let cut = ends.iter().filter(|(head, reset)| *head == Some(Got::Status(1)) && *reset == Some(0)).count();
    assert_eq!(cut, STREAMS as usize, "{ends:?}");
    assert!(start.elapsed() > Duration::from_secs(15), "who sends slowly has some time");
}
