// SPDX-License-Identifier: Apache-2.0
//! Clients that ask a Gateway's address at a steady rate while things happen to what is behind it. Each keeps one
//! connection for as long as it may, and goes on with another when the server says `Connection: close`.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use torana_tests::Connection;

/// Connections that a client tries before it gives a request up, as browsers and libraries do.
const TRIES: usize = 8;
const PAUSE: Duration = Duration::from_millis(20);

/// What all clients see.
#[derive(Default)]
pub(super) struct Sight {
    served: AtomicUsize,
    /// A connection broke or could not be made, and the request succeeded on another one: what is killed takes along
    /// what it was at, and Kubernetes leads clients to it until it has noticed.
    broken: AtomicUsize,
    failures: Mutex<Vec<String>>,
    over: AtomicBool,
}

/// Clients that run until they are asked what they saw.
pub(super) struct Load {
    sight: Arc<Sight>,
    clients: Vec<JoinHandle<()>>,
}

/// What was seen.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) served: usize,
    pub(super) broken: usize,
    pub(super) failures: Vec<String>,
}

impl Load {
    /// `rate` requests a second, spread over `clients`.
    pub(super) fn start(address: &str, host: &'static str, clients: u32, rate: u32) -> Self {
        let address: SocketAddr = format!("{address}:80").parse().unwrap();
        let sight = Arc::new(Sight::default());
        let pause = Duration::from_secs(1) * clients / rate;
        let client = |number: u32| {
            let sight = Arc::clone(&sight);
            thread::spawn(move || run(&sight, number, address, host, pause))
        };
        Self { clients: (0..clients).map(client).collect(), sight: Arc::clone(&sight) }
    }

    /// Ends it.
    pub(super) fn stop(self) -> Seen {
        self.sight.over.store(true, Ordering::Relaxed);
        self.clients.into_iter().for_each(|client| client.join().unwrap());
        Seen {
            served: self.sight.served.load(Ordering::Relaxed),
            broken: self.sight.broken.load(Ordering::Relaxed),
            failures: self.sight.failures.lock().unwrap().clone(),
        }
    }
}

fn run(sight: &Sight, number: u32, address: SocketAddr, host: &str, pause: Duration) {
    let mut connection = None;
    let mut next = Instant::now() + pause * number / 64;
    while !sight.over.load(Ordering::Relaxed) {
        thread::sleep(next.saturating_duration_since(Instant::now()));
        next += pause;
        let mut answer = ask(&mut connection, address, host);
        for _ in 1..TRIES {
            if answer.is_ok() {
                break;
            }
            sight.broken.fetch_add(1, Ordering::Relaxed);
            thread::sleep(PAUSE);
            answer = ask(&mut connection, address, host);
        }
        match answer {
            Ok(200) => drop(sight.served.fetch_add(1, Ordering::Relaxed)),
            Ok(status) => sight.fail(format!("client {number}: {status}")),
            Err(error) => sight.fail(format!("client {number}: {error}")),
        }
    }
}

impl Sight {
    fn fail(&self, what: String) {
        self.failures.lock().unwrap().push(what);
    }
}

/// One request; the connection is gone if it may not be used again.
fn ask(connection: &mut Option<Connection>, address: SocketAddr, host: &str) -> std::io::Result<u16> {
    let mut open = match connection.take() {
        Some(open) => open,
        None => Connection::to(address)?,
    };
    open.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes())?;
    let reply = open.reply("GET")?;
    if !reply.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
        *connection = Some(open);
    }
    Ok(reply.status)
}
