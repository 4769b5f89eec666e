// SPDX-License-Identifier: Apache-2.0
//! A peer at the other end of outer connections: a real HTTP/2 server, with what it has seen. Connections to it are in
//! memory, so that a paused clock moves on only when nothing else does.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use ::bytes::Bytes;
use h2::server::{self, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::super::Key;
use crate::fault::Fault;
use crate::io::{Io, Tunnelled};

/// What a peer does with what it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Conduct {
    /// Agrees, and sends back what comes.
    Echo,
    /// Agrees, and connects to the authority.
    Bridge,
    /// Agrees, and reads nothing.
    Hoard,
    /// Agrees, sends these bytes and an end.
    Say(&'static str),
    /// Agrees, and sends zeros for ever.
    Pour,
    /// Agrees, and resets.
    Reset(Reason),
    /// Says this.
    Answer(u16),
    /// Resets without an answer.
    Deny(Reason),
    /// Says nothing to requests.
    Silent,
    /// Says nothing at all.
    Mute,
    /// Breaks the connection at its second request, before an answer.
    Fragile,
    /// Breaks it at the first.
    Brittle,
}

/// What becomes of all connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Serve,
    GoAway,
    Freeze,
    Break,
}

pub(super) struct Settings {
    pub(super) conduct: Conduct,
    pub(super) streams: Option<u32>,
    pub(super) window: u32,
    /// How long it takes to connect.
    pub(super) dial: Duration,
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    ended: AtomicUsize,
    dials: AtomicUsize,
    asked: Mutex<Vec<Request<()>>>,
    resets: Mutex<Vec<Option<Reason>>>,
    /// Bytes of tunnels.
    received: AtomicUsize,
    sent: AtomicUsize,
}

pub(super) struct Peer {
    pub(super) address: SocketAddr,
    settings: Arc<Settings>,
    seen: Arc<Seen>,
    orders: watch::Sender<Order>,
    refuses: Mutex<Option<Fault>>,
}

/// Every peer has a port of its own.
static PEERS: AtomicU16 = AtomicU16::new(1);

/// A connection without a socket.
#[derive(Debug)]
struct Memory {
    stream: DuplexStream,
    local: SocketAddr,
}

impl AsyncRead for Memory {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Memory {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Tunnelled for Memory {
    fn reset(&mut self) {}

    fn local(&self) -> Option<SocketAddr> {
        Some(self.local)
    }

    fn id(&self) -> i32 {
        -1
    }
}

/// The key of its connections, if there is no other.
pub(super) fn key(peer: &Peer) -> Key {
    Key { identity: 1, peers: 1, address: peer.address }
}

impl Peer {
    pub(super) fn echo() -> Self {
        Self::new(Conduct::Echo)
    }

    pub(super) fn new(conduct: Conduct) -> Self {
        Self::with(|settings| settings.conduct = conduct)
    }

    pub(super) fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings =
            Settings { conduct: Conduct::Echo, streams: None, window: (64 << 10) - 1, dial: Duration::ZERO };
        change(&mut settings);
        let address = SocketAddr::from(([10, 0, 0, 7], PEERS.fetch_add(1, Ordering::SeqCst)));
        let (settings, seen, orders) = (Arc::new(settings), Arc::<Seen>::default(), watch::channel(Order::Serve).0);
        Self { address, settings, seen, orders, refuses: Mutex::default() }
    }

    pub(super) async fn dial(&self) -> Result<Box<Io>, Fault> {
        self.seen.dials.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(self.settings.dial).await;
        let refuses = *self.refuses.lock().unwrap();
        refuses.map_or(Ok(()), Err)?;
        let (near, far) = tokio::io::duplex(64 << 10);
        let serial = self.seen.connections.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(connection(far, Arc::clone(&self.settings), Arc::clone(&self.seen), self.orders.subscribe()));
        let local = SocketAddr::from(([127, 0, 0, 1], u16::try_from(serial).unwrap()));
        Ok(Box::new(Io::tunnel(Box::new(Memory { stream: near, local }))))
    }

    pub(super) fn refuse(&self, fault: Option<Fault>) {
        *self.refuses.lock().unwrap() = fault;
    }

    pub(super) fn order(&self, order: Order) {
        self.orders.send_replace(order);
    }

    pub(super) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// Connections that are over.
    pub(super) fn ended(&self) -> usize {
        self.seen.ended.load(Ordering::SeqCst)
    }

    pub(super) fn dials(&self) -> usize {
        self.seen.dials.load(Ordering::SeqCst)
    }

    pub(super) fn received(&self) -> usize {
        self.seen.received.load(Ordering::SeqCst)
    }

    /// By those that pour.
    pub(super) fn sent(&self) -> usize {
        self.seen.sent.load(Ordering::SeqCst)
    }

    pub(super) fn asked(&self) -> Vec<Request<()>> {
        self.seen.asked.lock().unwrap().clone()
    }

    /// The reason of the one stream that was reset; it is waited for.
    pub(super) async fn reset(&self) -> Option<Reason> {
        for _ in 0..2_000 {
            if let Some(reset) = self.seen.resets.lock().unwrap().pop() {
                return reset;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("no stream was reset");
    }
}

async fn connection(socket: DuplexStream, its: Arc<Settings>, seen: Arc<Seen>, mut order: watch::Receiver<Order>) {
    if its.conduct == Conduct::Mute {
        return std::future::pending().await;
    }
    let mut builder = server::Builder::new();
    builder.initial_window_size(its.window).initial_connection_window_size(its.window).max_frame_size(1 << 20);
    if let Some(streams) = its.streams {
        builder.max_concurrent_streams(streams);
    }
    let Ok(mut h2) = builder.handshake::<_, Bytes>(socket).await else { return };
    let mut asked = 0;
    loop {
        tokio::select! {
            next = h2.accept() => {
                let Some(Ok((request, respond))) = next else { break };
                asked += 1;
                let most = match its.conduct { Conduct::Fragile => 1, Conduct::Brittle => 0, _ => usize::MAX };
                if asked > most {
                    break;
                }
                tokio::spawn(stream(request, respond, its.conduct, Arc::clone(&seen)));
            }
            Ok(()) = order.changed() => {
                let order = *order.borrow_and_update();
                match order {
                    Order::Serve => {}
                    Order::GoAway => h2.graceful_shutdown(),
                    Order::Freeze => std::future::pending().await,
                    Order::Break => break,
                }
            }
        }
    }
    seen.ended.fetch_add(1, Ordering::SeqCst);
}

async fn stream(request: Request<RecvStream>, mut respond: SendResponse<Bytes>, conduct: Conduct, seen: Arc<Seen>) {
    let (parts, mut receive) = request.into_parts();
    let authority = parts.uri.to_string();
    seen.asked.lock().unwrap().push(Request::from_parts(parts, ()));
    let answer = |status: u16| Response::builder().status(status).body(()).unwrap();
    match conduct {
        Conduct::Answer(status) => {
            respond.send_response(answer(status), true).unwrap();
            return;
        }
        Conduct::Deny(reason) => return respond.send_reset(reason),
        Conduct::Silent => {
            let reset = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
            return seen.resets.lock().unwrap().push(reset.ok());
        }
        _ => {}
    }
    let mut send = respond.send_response(answer(200), false).unwrap();
    let done = match conduct {
        Conduct::Bridge => bridge(&mut receive, &mut send, &authority, &seen).await,
        Conduct::Hoard => std::future::poll_fn(|cx| send.poll_reset(cx)).await.map(Some).map_err(|_| None),
        Conduct::Say(text) => {
            write(&mut send, text.as_bytes()).await.ok();
            send.send_data(Bytes::new(), true).unwrap();
            pass(&mut receive, None, &seen).await
        }
        Conduct::Pour => {
            let zeros = vec![0; 32 << 10];
            loop {
                if let Err(reset) = write(&mut send, &zeros).await {
                    break Err(reset);
                }
                seen.sent.fetch_add(zeros.len(), Ordering::SeqCst);
            }
        }
        Conduct::Reset(reason) => {
            // Else it would take the answer's place.
            tokio::time::sleep(Duration::from_millis(10)).await;
            return send.send_reset(reason);
        }
        _ => {
            let done = pass(&mut receive, Some(&mut send), &seen).await;
            if done.is_ok() {
                send.send_data(Bytes::new(), true).ok();
            }
            done
        }
    };
    if let Err(reset) | Ok(reset @ Some(_)) = done {
        seen.resets.lock().unwrap().push(reset);
    }
}

type Done = Result<Option<Reason>, Option<Reason>>;

/// Reads to the end, and sends it back if that is wanted.
async fn pass(receive: &mut RecvStream, mut back: Option<&mut SendStream<Bytes>>, seen: &Seen) -> Done {
    while let Some(data) = receive.data().await {
        let data = data.map_err(|error| error.reason())?;
        seen.received.fetch_add(data.len(), Ordering::SeqCst);
        if let Some(send) = &mut back {
            write(send, &data).await?;
        }
        receive.flow_control().release_capacity(data.len()).map_err(|_| None)?;
    }
    Ok(None)
}

async fn write(send: &mut SendStream<Bytes>, mut bytes: &[u8]) -> Result<(), Option<Reason>> {
    while !bytes.is_empty() {
        send.reserve_capacity(bytes.len());
        let room = match std::future::poll_fn(|cx| send.poll_capacity(cx)).await {
            Some(Ok(room)) => room.min(bytes.len()),
            Some(Err(error)) => return Err(error.reason()),
            None => return Err(std::future::poll_fn(|cx| send.poll_reset(cx)).await.ok()),
        };
        send.send_data(Bytes::copy_from_slice(&bytes[..room]), false).map_err(|error| error.reason())?;
        bytes = &bytes[room..];
    }
    Ok(())
}

/// What a node's proxy does.
async fn bridge(receive: &mut RecvStream, send: &mut SendStream<Bytes>, authority: &str, seen: &Seen) -> Done {
    let (mut from, mut to) = TcpStream::connect(authority).await.unwrap().into_split();
    let up = async {
        while let Some(data) = receive.data().await {
            let data = data.map_err(|error| error.reason())?;
            seen.received.fetch_add(data.len(), Ordering::SeqCst);
            to.write_all(&data).await.map_err(|_| None)?;
            receive.flow_control().release_capacity(data.len()).map_err(|_| None)?;
        }
        to.shutdown().await.map_err(|_| None)
    };
    let down = async {
        let mut bytes = vec![0; 16 << 10];
        loop {
            match from.read(&mut bytes).await.map_err(|_| None)? {
                0 => break send.send_data(Bytes::new(), true).map_err(|error| error.reason()),
                read => write(send, &bytes[..read]).await?,
            }
        }
    };
    tokio::try_join!(up, down).map(|_| None)
}
