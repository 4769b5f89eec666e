// SPDX-License-Identifier: Apache-2.0
//! Clients with one connection each for as long as the storm lasts, over HTTP/1 and HTTP/2: a connection that ends is
//! a failure. Every second request goes to the route that is edited, and its answer must be of one edit as a whole.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use torana_tests::Connection;

use super::{EDIT, EDITED, colour, host};

/// Streams at one time on a connection of HTTP/2.
pub(super) const STREAMS: usize = 50;

/// What all clients see.
#[derive(Default)]
pub(super) struct Sight {
    pub(super) served: AtomicUsize,
    /// The highest edit that an answer was of.
    pub(super) latest: AtomicUsize,
    failures: Mutex<Vec<String>>,
    over: AtomicBool,
}

impl Sight {
    /// The clients finish what they are at and stop.
    pub(super) fn stop(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    fn over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    pub(super) fn failures(&self) -> Vec<String> {
        self.failures.lock().unwrap().clone()
    }

    fn failed(&self, who: &str, why: impl std::fmt::Display) {
        self.failures.lock().unwrap().push(format!("{who}: {why}"));
    }

    /// Takes note of an answer; gives the edit that it is of.
    fn answered(&self, who: &str, edited: bool, (status, edit, body): (u16, Option<&str>, &[u8])) -> usize {
        self.served.fetch_add(1, Ordering::Relaxed);
        let number = edit.and_then(|edit| edit.parse().ok()).unwrap_or(0);
        let wanted = if edited { colour(number) } else { "blue" };
        if status != 200 || edited != (number > 0) || body != wanted.as_bytes() {
            let body = String::from_utf8_lossy(body);
            self.failed(who, format_args!("{status}, edit {edit:?}, {body:?}"));
        }
        self.latest.fetch_max(number, Ordering::Relaxed);
        number
    }
}

fn target(client: usize, turn: usize) -> (String, bool) {
    if turn.is_multiple_of(2) { (EDITED.to_owned(), true) } else { (host(client * 997 + turn), false) }
}

/// Threads that each send `rate` requests a second, until the sight stops them.
pub(super) fn start(sight: &Arc<Sight>, port: u16, (h1, h2): (usize, usize), rate: u32) -> Vec<thread::JoinHandle<()>> {
    let pause = Duration::from_secs(1) / rate;
    let one = (0..h1).map(|client| {
        let sight = Arc::clone(sight);
        thread::spawn(move || http1(&sight, port, client, pause))
    });
    let two = (h1..h1 + h2).map(|client| {
        let sight = Arc::clone(sight);
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(http2(&sight, port, client, pause));
        })
    });
    one.chain(two).collect()
}

fn http1(sight: &Sight, port: u16, client: usize, pause: Duration) {
    let who = format!("HTTP/1 client {client}");
    let mut connection = Connection::open(port).unwrap();
    let (mut next, mut last) = (Instant::now(), 0);
    for turn in 0.. {
        if sight.over() {
            return;
        }
        let (host, edited) = target(client, turn);
        let sent = connection.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
        match sent.and_then(|()| connection.reply("GET")) {
            Ok(reply) => {
                let number = sight.answered(&who, edited, (reply.status, reply.header(EDIT), &reply.body));
                if edited && number < last {
                    sight.failed(&who, format_args!("edit {number} after edit {last}"));
                }
                last = last.max(number);
            }
            Err(error) => return sight.failed(&who, error),
        }
        next += pause;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

async fn http2(sight: &Arc<Sight>, port: u16, client: usize, pause: Duration) {
    let who: Arc<str> = format!("HTTP/2 client {client}").into();
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut send, connection) = h2::client::handshake(stream).await.unwrap();
    let ended = {
        let (sight, who) = (Arc::clone(sight), Arc::clone(&who));
        async move {
            let result = connection.await;
            if !sight.over() {
                sight.failed(&who, format_args!("the connection ended: {result:?}"));
            }
        }
    };
    let driver = tokio::spawn(ended);
    let (mut running, mut next) = (JoinSet::new(), tokio::time::Instant::now());
    for turn in 0.. {
        if sight.over() {
            break;
        }
        while running.len() >= STREAMS || running.try_join_next().is_some() {
            if running.len() >= STREAMS {
                running.join_next().await;
            }
        }
        match request(&mut send, target(client, turn)).await {
            Ok((response, edited)) => {
                running.spawn(answer(Arc::clone(sight), Arc::clone(&who), response, edited));
            }
            Err(error) => {
                sight.failed(&who, error);
                break;
            }
        }
        next += pause;
        tokio::time::sleep_until(next).await;
    }
    running.join_all().await;
    drop(send);
    driver.await.unwrap();
}

async fn request(
    send: &mut SendRequest<Bytes>,
    (host, edited): (String, bool),
) -> Result<(ResponseFuture, bool), h2::Error> {
    std::future::poll_fn(|cx| send.poll_ready(cx)).await?;
    let request = http::Request::get(format!("http://{host}/")).body(()).unwrap();
    Ok((send.send_request(request, true)?.0, edited))
}

async fn answer(sight: Arc<Sight>, who: Arc<str>, response: ResponseFuture, edited: bool) {
    let whole = async {
        let (head, mut body) = response.await?.into_parts();
        let mut bytes = Vec::new();
        while let Some(data) = body.data().await {
            let data = data?;
            body.flow_control().release_capacity(data.len())?;
            bytes.extend_from_slice(&data);
        }
        Ok::<_, h2::Error>((head, bytes))
    };
    match tokio::time::timeout(Duration::from_secs(10), whole).await {
        Ok(Ok((head, body))) => {
            let edit = head.headers.get(EDIT).and_then(|edit| edit.to_str().ok());
            sight.answered(&who, edited, (head.status.as_u16(), edit, &body));
        }
        Ok(Err(error)) => sight.failed(&who, error),
        Err(_) => sight.failed(&who, "no answer within 10 s"),
    }
}
