// SPDX-License-Identifier: Apache-2.0
//! Clients: so many at a time, each asking again when it is answered, or requests that come when they come, whether
//! others were answered or not. They keep what they see.

use std::net::Ipv4Addr;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{fill, head, length};

/// Nobody waits longer for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What became of one request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outcome {
    /// Which request it was, from 0.
    pub(super) number: usize,
    /// When it was sent, counted from the first.
    pub(super) at: Duration,
    pub(super) took: Duration,
    /// 0: no answer, or not a whole one.
    pub(super) status: u16,
    /// The first byte of the body: the name of the endpoint.
    pub(super) from: u8,
}

impl Outcome {
    pub(super) fn is_good(&self) -> bool {
        self.status == 200
    }
}

/// What is asked: the bytes of the request of that number.
pub(super) type Ask = Arc<dyn Fn(usize) -> Vec<u8> + Send + Sync>;

/// `total` requests, `clients` at a time.
pub(super) async fn closed(port: u16, clients: usize, total: usize, ask: &Ask) -> Vec<Outcome> {
    let (begin, next) = (Instant::now(), Arc::new(AtomicUsize::new(0)));
    let mut running = JoinSet::new();
    for _ in 0..clients {
        let (next, ask) = (Arc::clone(&next), Arc::clone(ask));
        running.spawn(async move {
            let (mut outcomes, mut kept) = (Vec::new(), None);
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= total {
                    return outcomes;
                }
                let outcome = one(port, &mut kept, &ask(number), begin).await;
                outcomes.push(Outcome { number, ..outcome });
            }
        });
    }
    running.join_all().await.concat()
}

/// A request at each of these times.
pub(super) async fn open(port: u16, times: impl Iterator<Item = Duration>, ask: &Ask) -> Vec<Outcome> {
    let (begin, idle) = (Instant::now(), Arc::new(Mutex::new(Vec::new())));
    let mut running = JoinSet::new();
    for (number, time) in times.enumerate() {
        tokio::time::sleep_until(begin + time).await;
        let (idle, request) = (Arc::clone(&idle), ask(number));
        running.spawn(async move {
            let mut kept = idle.lock().unwrap().pop();
            let outcome = one(port, &mut kept, &request, begin).await;
            idle.lock().unwrap().extend(kept);
            Outcome { number, ..outcome }
        });
    }
    running.join_all().await
}

/// As far apart as they must be for so many a second.
pub(super) fn evenly(rate: u32, length: Duration) -> impl Iterator<Item = Duration> {
    let step = Duration::from_secs(1) / rate;
    (0u32..).map(move |number| step * number).take_while(move |time| *time < length)
}

/// So many a second on average, independent of one another.
pub(super) fn randomly(rate: f64, length: Duration) -> impl Iterator<Item = Duration> {
    let mut now = Duration::ZERO;
    let next = move || {
        now += Duration::from_secs_f64(-(1.0 - fastrand::f64()).ln() / rate);
        Some(now)
    };
    std::iter::from_fn(next).take_while(move |time| *time < length)
}

/// Asks on the connection that is kept, or another one; keeps it if it may be asked again.
async fn one(port: u16, kept: &mut Option<TcpStream>, request: &[u8], begin: Instant) -> Outcome {
    let sent = Instant::now();
    let answered = tokio::time::timeout(PATIENCE, exchange(port, kept.take(), request)).await;
    let (status, from) = match answered {
        Ok(Some((status, from, stream))) => {
            *kept = stream;
            (status, from)
        }
        Ok(None) | Err(_) => (0, 0),
    };
    Outcome { number: 0, at: sent - begin, took: sent.elapsed(), status, from }
}

async fn exchange(port: u16, kept: Option<TcpStream>, request: &[u8]) -> Option<(u16, u8, Option<TcpStream>)> {
    let mut stream = match kept {
        Some(stream) => stream,
        None => TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.ok()?,
    };
    stream.set_nodelay(true).ok()?;
    // An answer may come before the whole request is sent, as for one that is too large.
    let (answer, is_sent) = {
        let (mut from, mut to) = stream.split();
        let mut reading = pin!(answer(&mut from));
        tokio::select! {
            _ = to.write_all(request) => (reading.await, true),
            answer = &mut reading => (answer, false),
        }
    };
    let (status, by, stays) = answer?;
    Some((status, by, (stays && is_sent).then_some(stream)))
}

/// Status, first byte of the body, and whether the connection stays.
async fn answer(from: &mut (impl AsyncRead + Unpin)) -> Option<(u16, u8, bool)> {
    let mut buffer = Vec::with_capacity(512);
    let head = head(from, &mut buffer).await?;
    let text = std::str::from_utf8(&buffer[..head]).ok()?.to_ascii_lowercase();
    let status = text.get(9..12)?.parse().ok()?;
    fill(from, &mut buffer, head + length(&text)?).await?;
    Some((status, buffer.get(head).copied().unwrap_or(0), !text.contains("connection: close")))
}
