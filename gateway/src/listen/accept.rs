// SPDX-License-Identifier: Apache-2.0
//! The accept loop of one socket on one worker.

use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::admission::{Admission, Place};
use super::handshake::{self, Session, Shaken};
use super::proxy_header::{self, Ends};
use crate::access::Facts;
use crate::address::canonical;
use crate::http::{self, Conduct, Worker};
use crate::io::{Io, Peer};
use crate::stream::{self, Client, Course};
use crate::table::{Bind, Opening};

/// Connections that are closed in one go while descriptors are exhausted.
const SHED: usize = 64;
/// Wait after a failed accept: doubled up to the second.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A socket that is accepted from.
pub(super) struct Door {
    pub(super) listener: TcpListener,
    pub(super) bind: Bind,
    pub(super) worker: Arc<Worker>,
    pub(super) admission: Arc<Admission>,
    /// Held before the first client comes: afterwards there may be no descriptor left.
    pub(super) reserve: Reserve,
}

impl Door {
    /// Accepts until `stop`, then serves what the kernel has already accepted and closes the socket.
    pub(super) async fn run(mut self, mut stop: oneshot::Receiver<()>) {
        let mut pause = FIRST_PAUSE;
        loop {
            let accepted = tokio::select! {
                biased;
                // The other end is dropped with the worker: the same thing.
                _ = &mut stop => break,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, remote)) => {
                    pause = FIRST_PAUSE;
                    self.reserve.hold();
                    self.enter(stream, remote);
                }
                Err(error) if of_one_connection(&error) => {}
                Err(error) => {
                    if exhausted(&error) {
                        self.shed();
                    }
                    tracing::warn!(port = self.bind.port, %error, "accept failed");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
        while let Some(Ok((stream, remote))) = self.listener.accept().now_or_never() {
            self.enter(stream, remote);
        }
    }

    fn shed(&mut self) {
        self.reserve.release();
        for _ in 0..SHED {
            match self.listener.accept().now_or_never() {
                Some(Ok(_)) => self.worker.metrics.connection_refused("descriptors"),
                _ => break,
            }
        }
        self.reserve.hold();
    }

    fn enter(&self, stream: TcpStream, remote: SocketAddr) {
        // A v4 client of a v6 socket is a v4 client.
        let remote = canonical(remote);
        match self.admission.admit(remote.ip(), Instant::now()) {
            Ok(place) => {
                let (bind, worker) = (self.bind, Arc::clone(&self.worker));
                tokio::spawn(connection(stream, remote, bind, worker, place));
            }
            Err(reason) => self.worker.metrics.connection_refused(reason),
        }
    }
}

/// Serves a connection to its end. What a handshake needs is boxed and gone before the first request: the task of an
/// idle connection is small.
pub(super) async fn connection(
    mut stream: TcpStream,
    mut remote: SocketAddr,
    bind: Bind,
    worker: Arc<Worker>,
    mut place: Place,
) {
    // One task, not one within another: each would hold the arguments.
    let direct = remote.ip();
    let conduct = 'served: {
        let mut local = match (bind.address, stream.local_addr()) {
            (_, Ok(local)) => canonical(local),
            (Some(address), Err(_)) => SocketAddr::new(address, bind.port),
            (None, Err(_)) => return,
        };
        // None: the listener went while the connection was on its way.
        let found = worker.table.load().bind(&bind).map(|bind| (bind.opening(), bind.has_proxy_protocol()));
        let Some((opening, has_header)) = found else { return };
        if has_header {
            let told = Box::pin(introduced(&mut stream, &bind, &worker)).await;
            let Some(told) = told else { return worker.metrics.connection_refused("proxy_protocol") };
            if let Some(Ends { remote: client, local: address }) = told {
                (remote, local) = (client, address);
                // Of the load balancer's connections each is its client's.
                match place.of(remote.ip(), Instant::now()) {
                    Ok(own) => place = own,
                    Err(reason) => return worker.metrics.connection_refused(reason),
                }
            }
        }
        match opening {
            Opening::Request => {
                let _open = worker.metrics.connected(None, "http");
                let peer = Peer { direct, remote, local, tls: None };
                break 'served http::serve(Box::new(Io::tcp(stream)), peer, bind, worker).await;
            }
            Opening::Bytes => return Box::pin(passed_on(stream, (direct, (remote, local)), bind, worker)).await,
            // No connection comes in by a socket of datagrams.
            Opening::Datagram => return,
            Opening::Handshake => {}
        }
        let shaken = Box::pin(handshake::shake(stream, (direct, Ends { remote, local }), &bind, &worker)).await;
        let Session { io, peer, listener } = match shaken {
            Some(Shaken::Requests(session)) => *session,
            Some(Shaken::Stream(client, course)) => return Box::pin(stream::serve(*client, *course, worker)).await,
            Some(Shaken::Proven(stream)) => return Box::pin(handshake::goodbye(stream)).await,
            None => return,
        };
        let _open = worker.metrics.connected(Some(&listener), "https");
        drop(listener);
        http::serve(io, Peer { direct, remote, local, tls: Some(peer) }, bind, worker).await
    };
    if conduct == Conduct::Abusive {
        place.strike(Instant::now());
    }
}

/// What the header of the PROXY protocol says, if there is one in time.
async fn introduced(stream: &mut TcpStream, bind: &Bind, worker: &Worker) -> Option<Option<Ends>> {
    let limit = worker.table.load().bind(bind)?.limits().handshake_deadline;
    tokio::time::timeout(limit, proxy_header::read(stream)).await.ok()?.ok()
}

/// Bytes that begin with anything: the port alone says where they go.
async fn passed_on(
    stream: TcpStream,
    (direct, ends): (IpAddr, (SocketAddr, SocketAddr)),
    bind: Bind,
    worker: Arc<Worker>,
) {
    let routed = worker.table.load().bind(&bind).and_then(|bind| bind.stream());
    let Some(routed) = routed else { return };
    let client = Client { io: Box::new(Io::tcp(stream)), remote: ends.0, sni: None, tls_version: None };
    stream::serve(client, Course::set(routed, &Facts::of(direct, ends, None, &[])), worker).await;
}

/// A descriptor that is given up to get rid of clients that cannot be served: they see a close at once and not a
/// connection that hangs, and the kernel's queue does not stay full.
pub(super) struct Reserve(Option<File>);

impl Reserve {
    pub(super) fn new() -> Self {
        Self(File::open("/dev/null").ok())
    }

    /// Takes a descriptor again, if it was given up and somebody else was faster.
    fn hold(&mut self) {
        if self.0.is_none() {
            *self = Self::new();
        }
    }

    fn release(&mut self) {
        self.0 = None;
    }
}

/// accept(2): already-pending errors of the new connection, which say nothing about the socket.
fn of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable};
    const EPROTO: i32 = 71;
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | HostUnreachable | NetworkUnreachable
    ) || error.raw_os_error() == Some(EPROTO)
}

/// EMFILE of the process, ENFILE of the system.
fn exhausted(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(23 | 24))
}
