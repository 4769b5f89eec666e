// SPDX-License-Identifier: Apache-2.0
//! Endpoints of a backend that work, work slowly, break or are away, as they are told while requests come. They count;
//! they judge nothing.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use torana_tests::ports;

use super::{fill, head, length};

/// What an endpoint does with the requests that come to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Conduct {
    /// Answers 200 at once, with the letter that it is called by.
    Serve,
    /// The same, after an exponentially distributed time with this mean.
    Take(Duration),
    /// Takes connections and requests, and is silent.
    Silent,
    /// Answers with these bytes and then does something to the connection.
    Say(&'static [u8], End),
    /// Answers 200, a byte a second.
    Drip,
    /// Takes connections and reads nothing.
    Deaf,
    /// Answers so many requests of a connection, then resets it when the next has come.
    Tire(usize),
    /// Resets its connections and listens no more.
    Away,
    /// Takes no connection; finishes what it is at, and closes connections that are idle.
    Leave,
}

/// What comes after an answer that is not whole.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum End {
    Reset,
    Close,
}

/// One endpoint, on the loopback address. It is away when this is dropped.
pub(super) struct Endpoint {
    pub(super) port: u16,
    conduct: watch::Sender<Conduct>,
    state: Arc<State>,
}

struct State {
    name: u8,
    requests: AtomicUsize,
    connections: AtomicUsize,
    ledger: Option<Ledger>,
    slots: Semaphore,
}

/// How often each request came, by the number that its path ends with, over all endpoints.
pub(super) type Ledger = Arc<[AtomicU8]>;

impl Endpoint {
    /// Called by a letter.
    pub(super) fn start(runtime: &Handle, name: u8, conduct: Conduct) -> Self {
        Self::counting(runtime, name, conduct, None)
    }

    /// As [`Endpoint::start`], and each request is entered in the ledger before it is answered.
    pub(super) fn counting(runtime: &Handle, name: u8, conduct: Conduct, ledger: Option<Ledger>) -> Self {
        let (port, (sender, told)) = (ports::free(), watch::channel(conduct));
        let state = Arc::new(State {
            name,
            requests: AtomicUsize::default(),
            connections: AtomicUsize::default(),
            ledger,
            slots: Semaphore::new(super::SLOTS),
        });
        runtime.spawn(listen(port, told, Arc::clone(&state)));
        Self { port, conduct: sender, state }
    }

    pub(super) fn set(&self, conduct: Conduct) {
        self.conduct.send_replace(conduct);
    }

    /// Requests that came to it so far, whole.
    pub(super) fn requests(&self) -> usize {
        self.state.requests.load(Ordering::Relaxed)
    }

    /// Connections that it took so far.
    pub(super) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::Relaxed)
    }
}

impl Conduct {
    fn listens(self) -> bool {
        !matches!(self, Self::Away | Self::Leave)
    }
}

async fn listen(port: u16, mut told: watch::Receiver<Conduct>, state: Arc<State>) {
    while told.wait_for(|conduct| conduct.listens()).await.is_ok() {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = TcpListener::bind(address).await.expect("an endpoint's port");
        let mut asked = told.clone();
        loop {
            tokio::select! {
                stream = listener.accept() => if let Ok((stream, _)) = stream {
                    state.connections.fetch_add(1, Ordering::Relaxed);
                    tokio::spawn(connection(stream, told.clone(), Arc::clone(&state)));
                },
                // Gone: so is the endpoint.
                gone = asked.wait_for(|conduct| !conduct.listens()) => {
                    if gone.is_err() { return }
                    break;
                }
            }
        }
    }
}

async fn connection(mut stream: TcpStream, mut told: watch::Receiver<Conduct>, state: Arc<State>) {
    let (mut buffer, mut served) = (Vec::with_capacity(1024), 0);
    let mut away = told.clone();
    let _ = stream.set_nodelay(true);
    loop {
        if *told.borrow_and_update() == Conduct::Deaf {
            let _ = away.wait_for(|conduct| *conduct != Conduct::Deaf).await;
            return reset(&stream);
        }
        let is_whole = tokio::select! {
            is_whole = request(&mut stream, &mut buffer) => is_whole,
            gone = away.wait_for(|conduct| matches!(conduct, Conduct::Away | Conduct::Leave)) => {
                if !gone.is_ok_and(|conduct| *conduct == Conduct::Leave) { reset(&stream); }
                return;
            }
        };
        let Some(number) = is_whole else { return };
        state.requests.fetch_add(1, Ordering::Relaxed);
        if let (Some(ledger), Some(number)) = (&state.ledger, number) {
            ledger[number].fetch_add(1, Ordering::Relaxed);
        }
        let conduct = *told.borrow_and_update();
        let stays = tokio::select! {
            stays = answer(&mut stream, conduct, served, &state) => stays,
            _ = away.wait_for(|conduct| *conduct == Conduct::Away) => false,
        };
        served += 1;
        if !stays {
            return reset(&stream);
        }
    }
}

/// Reads one request, and takes it out of the buffer; gives the number that its path ends with. `None` at the end.
async fn request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Option<usize>> {
    let head = head(stream, buffer).await?;
    let text = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
    let number = text.split(' ').nth(1).and_then(|path| path.rsplit('/').next()?.parse().ok());
    let whole = head + length(&text).unwrap_or(0);
    fill(stream, buffer, whole).await?;
    buffer.drain(..whole);
    Some(number)
}

/// Whether the connection stays.
async fn answer(stream: &mut TcpStream, conduct: Conduct, served: usize, state: &State) -> bool {
    let good = [b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n".as_slice(), &[state.name]].concat();
    match conduct {
        Conduct::Serve | Conduct::Leave => stream.write_all(&good).await.is_ok(),
        Conduct::Take(mean) => {
            let _slot = state.slots.acquire().await;
            tokio::time::sleep(mean.mul_f64(-(1.0 - fastrand::f64()).ln())).await;
            stream.write_all(&good).await.is_ok()
        }
        Conduct::Silent | Conduct::Deaf => std::future::pending().await,
        Conduct::Say(bytes, end) => {
            let _ = stream.write_all(bytes).await;
            if end == End::Close {
                let _ = stream.shutdown().await;
                // Until the other side has closed too: a reset would overtake the bytes.
                let _ = stream.read(&mut [0; 64]).await;
                return true;
            }
            // What was said should arrive before the reset.
            tokio::time::sleep(Duration::from_millis(20)).await;
            false
        }
        Conduct::Drip => {
            for byte in &good {
                if stream.write_all(&[*byte]).await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            false
        }
        Conduct::Tire(most) if served < most => stream.write_all(&good).await.is_ok(),
        Conduct::Tire(_) | Conduct::Away => false,
    }
}

/// The connection ends with a reset when it is dropped.
fn reset(stream: &TcpStream) {
    let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
}
