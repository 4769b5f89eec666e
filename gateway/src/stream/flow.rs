// SPDX-License-Identifier: Apache-2.0
//! One UDP flow: the datagrams between one client's address and one endpoint, over a socket of their own.
//!
//! A datagram that a socket does not take at once is dropped and counted, as networks do.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use socket2::{SockAddr, SockRef};
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::http::Worker;

/// Longer than any datagram.
pub(super) const LONGEST: usize = 64 << 10;
/// Answers that are passed on before others get their turn.
const BURST: usize = 64;

thread_local! {
    /// What answers are read into: they leave before the poll ends.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A flow; it is over when [`Flow::end`] is called.
pub(super) struct Flow {
    /// As the listening socket sees it.
    client: SocketAddr,
    backend: UdpSocket,
    since: Instant,
    /// Milliseconds after `since` of the last datagram.
    seen: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    /// The endpoint has refused a datagram.
    broken: AtomicBool,
    over: Notify,
}

impl Flow {
    /// Opens a flow. Nothing waits: to connect a datagram socket is to remember an address.
    pub(super) fn open(client: SocketAddr, endpoint: SocketAddr, now: Instant) -> io::Result<Arc<Self>> {
        let any: SocketAddr = match endpoint {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = std::net::UdpSocket::bind(any)?;
        socket.connect(endpoint)?;
        socket.set_nonblocking(true)?;
        Ok(Arc::new(Self {
            client,
            backend: UdpSocket::from_std(socket)?,
            since: now,
            seen: AtomicU64::new(0),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            broken: AtomicBool::new(false),
            over: Notify::new(),
        }))
    }

    /// Passes one datagram of the client on.
    pub(super) fn forward(&self, datagram: &[u8], now: Instant, worker: &Worker) {
        self.touch(now);
        // Straight to the socket: a new one is writable before the reactor has heard of it.
        match SockRef::from(&self.backend).send(datagram) {
            Ok(sent) => {
                self.received.fetch_add(sent as u64, Ordering::Relaxed);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => worker.metrics.datagram_dropped("to_backend"),
            // An answer to an earlier one: nobody is there.
            Err(_) => self.broken.store(true, Ordering::Relaxed),
        }
    }

    /// Brings answers to the client by the socket that it knows, until the flow is over. It does not hold that socket, which
    /// closes with its listener at once.
    pub(super) async fn answer(self: Arc<Self>, socket: Weak<UdpSocket>, worker: Arc<Worker>) {
        loop {
            tokio::select! {
                biased;
                () = self.over.notified() => return,
                ready = self.backend.readable() => {
                    let Some(socket) = socket.upgrade() else { return };
                    if ready.is_err() || !self.drain(&socket, &worker) {
                        self.broken.store(true, Ordering::Relaxed);
                        return;
                    }
                }
            }
            tokio::task::yield_now().await;
        }
    }

    /// Passes on what has come; `false` if nobody is there.
    fn drain(&self, socket: &UdpSocket, worker: &Worker) -> bool {
        BUFFER.with_borrow_mut(|buffer| {
            buffer.resize(LONGEST, 0);
            for _ in 0..BURST {
                match self.backend.try_recv(buffer) {
                    Ok(read) => self.reply(&buffer[..read], socket, worker),
                    Err(error) => return error.kind() == ErrorKind::WouldBlock,
                }
            }
            true
        })
    }

    fn reply(&self, datagram: &[u8], socket: &UdpSocket, worker: &Worker) {
        self.touch(Instant::now());
        match SockRef::from(socket).send_to(datagram, &SockAddr::from(self.client)) {
            Ok(sent) => {
                self.sent.fetch_add(sent as u64, Ordering::Relaxed);
            }
            // Full, or a client that cannot be reached: its next datagram may find another way.
            Err(_) => worker.metrics.datagram_dropped("to_client"),
        }
    }

    fn touch(&self, now: Instant) {
        self.seen.store(self.millis(now), Ordering::Relaxed);
    }

    fn millis(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.since).as_millis()).unwrap_or(u64::MAX)
    }

    /// When the last datagram came, in either direction.
    pub(super) fn seen(&self) -> Instant {
        self.since + std::time::Duration::from_millis(self.seen.load(Ordering::Relaxed))
    }

    /// Whether the endpoint has refused a datagram.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// Bytes of the client and of the backend.
    pub(super) fn moved(&self) -> (u64, u64) {
        (self.received.load(Ordering::Relaxed), self.sent.load(Ordering::Relaxed))
    }

    /// No more answers.
    pub(super) fn end(&self) {
        self.over.notify_one();
    }
}
