// SPDX-License-Identifier: Apache-2.0
//! One outer connection: its beginning in HTTP/2, and what is asked over it. It is never opened twice: what has broken
//! stays broken.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::Reason;
use h2::client::{Builder, Connection, SendRequest};
use http::{Method, Request, StatusCode, Uri, Version};
use tokio::sync::oneshot;

use super::Ask;
use super::driver::Driver;
use super::meter::Meter;
use super::state::{Counters, OpenOuter, State};
use super::tunnel::{SEND_BUFFER, Tunnel};
use crate::fault::Fault;
use crate::io::Io;

/// Streams on one connection at a time, if the peer does not say less.
pub(super) const MAX_STREAMS: usize = 100;
/// Receive window of a connection: what all its tunnels may hold together.
const CONNECTION_WINDOW: u32 = 16 << 20;
/// Receive window of a stream: so small that tunnels which nobody reads leave the others theirs.
pub(super) const STREAM_WINDOW: u32 = 160 << 10;
const _: () = assert!(STREAM_WINDOW as usize * MAX_STREAMS <= CONNECTION_WINDOW as usize);
/// The largest frame that we take.
const MAX_FRAME: u32 = 1 << 20;
/// The longest head of an answer.
const MAX_HEAD: u32 = 16 << 10;
/// Streams that we have reset and whose last frames may still come. Of one that is forgotten too early each frame counts
/// as an error of the peer's.
const MAX_RESET: usize = 1_000;

/// A connection that streams are opened on.
pub(super) struct Outer {
    requests: SendRequest<Bytes>,
    state: Arc<State>,
    counters: Arc<Counters>,
    local: Option<SocketAddr>,
    /// Later ones have higher numbers.
    pub(super) serial: u64,
    /// Tells the connection's task when this is dropped.
    _in_use: oneshot::Sender<Infallible>,
}

impl Outer {
    /// Begins HTTP/2, and waits for the peer to introduce itself: who does not like us says so before.
    pub(super) async fn establish(io: Box<Io>, counters: &Arc<Counters>, serial: u64) -> Result<Arc<Self>, Fault> {
        let (state, local) = (Arc::<State>::default(), io.local());
        let began = builder().handshake(Meter::new(io, Arc::clone(&state))).await;
        let (requests, mut connection) = began.map_err(|_| state.fault())?;
        std::future::poll_fn(|cx| settle(&mut connection, &state, cx)).await?;
        let open = OpenOuter::new(counters);
        let counters = Arc::clone(counters);
        let (in_use, unused) = oneshot::channel();
        tokio::spawn(Driver::new(connection, Arc::clone(&state), unused, open).run());
        Ok(Arc::new(Self { requests, state, counters, local, serial, _in_use: in_use }))
    }

    /// It may be lent out again, if not now.
    pub(super) fn is_usable(&self) -> bool {
        !self.state.is_leaving()
    }

    pub(super) fn is_busy(&self) -> bool {
        self.state.streams() > 0
    }

    /// Room for one more stream, if there is some.
    pub(super) fn lease(self: &Arc<Self>) -> Option<Lease> {
        let most = self.requests.current_max_send_streams().min(MAX_STREAMS);
        (self.is_usable() && self.state.streams() < most).then(|| {
            self.state.enter();
            Lease(Arc::clone(self))
        })
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_max_send_streams(MAX_STREAMS)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(MAX_FRAME)
        .max_header_list_size(MAX_HEAD)
        .max_concurrent_reset_streams(MAX_RESET)
        .max_send_buffer_size(SEND_BUFFER);
    builder
}

/// Moves frames until the peer's SETTINGS are there (RFC 9113 §3.4).
fn settle(connection: &mut Connection<Meter, Bytes>, state: &State, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
    let ended = Pin::new(connection).poll(cx);
    match ended {
        Poll::Ready(_) => Poll::Ready(Err(state.fault())),
        Poll::Pending if state.is_settled() => Poll::Ready(Ok(())),
        Poll::Pending => Poll::Pending,
    }
}

/// Why a peer gave no tunnel.
#[derive(Debug)]
pub(super) enum Denied {
    /// It answered, and said no.
    Refused(StatusCode),
    /// It cannot have looked at what was asked, or the connection is gone.
    Unanswered,
    /// It ended the stream.
    Reset,
    /// It cannot be asked like that.
    Malformed,
}

/// The right to one stream; to be dropped after the stream.
pub(super) struct Lease(Arc<Outer>);

impl Lease {
    pub(super) fn serial(&self) -> u64 {
        self.0.serial
    }

    pub(super) fn local(&self) -> Option<SocketAddr> {
        self.0.local
    }

    pub(super) fn counters(&self) -> &Arc<Counters> {
        &self.0.counters
    }

    /// Asks for a tunnel (RFC 9113 §8.5) and waits for the answer, however long it takes.
    pub(super) async fn ask(self, ask: &Ask<'_>) -> Result<Tunnel, Denied> {
        let request = request(ask).ok_or(Denied::Malformed)?;
        // A handle of one's own: it must not be kept, or the connection would think itself in use.
        let sent = self.0.requests.clone().send_request(request, false);
        let (response, send) = sent.map_err(|_| self.unanswered())?;
        match response.await {
            Ok(response) if response.status().is_success() => Ok(Tunnel::new(response.into_body(), send, self)),
            Ok(response) => Err(Denied::Refused(response.status())),
            Err(error) if error.is_reset() && error.reason() != Some(Reason::REFUSED_STREAM) => Err(Denied::Reset),
            Err(_) => Err(self.unanswered()),
        }
    }

    /// Nobody is sent here any more.
    fn unanswered(&self) -> Denied {
        self.0.state.leave();
        Denied::Unanswered
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.state.exit();
    }
}

fn request(ask: &Ask<'_>) -> Option<Request<()>> {
    let authority = Uri::builder().authority(ask.authority).build().ok()?;
    let request = Request::builder().method(Method::CONNECT).uri(authority).version(Version::HTTP_2);
    let mut request = request.body(()).ok()?;
    request.headers_mut().clone_from(ask.headers);
    Some(request)
}
