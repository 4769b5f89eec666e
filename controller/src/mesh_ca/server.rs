// SPDX-License-Identifier: Apache-2.0
//! The port of the mesh's authority: TLS 1.2 and 1.3, HTTP/2, any number of calls a connection. Everything that a
//! stranger can do has a cap and a deadline; of a call nothing but its head is read before it is known whose it is.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls::version::{TLS12, TLS13};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service};
use tonic::{Code, Request, Response, Status};
use tonic_prost::ProstCodec;
use torana_ir::wire::certificates::{IstioCertificateRequest, IstioCertificateResponse, PATH};

use super::service::MeshCa;
use crate::ca::Serving;
use crate::feed::{Account, Accounts};
use crate::port::{self, Caps, Place, Stranger};

/// A workload needs one connection, and those of a node may share its address.
const CAPS: Caps = Caps { connections: 4096, per_ip: 512, strangers: 1024, strangers_per_ip: 64 };
/// From accept to a token that is good.
const STRANGER: Duration = Duration::from_secs(10);
/// A connection without a call that was admitted is told to go after this; its client makes another when it needs one.
const IDLE: Duration = Duration::from_mins(5);
/// From the head of a call to its answer.
const CALL: Duration = Duration::from_secs(10);
/// What a connection that was told to go gets for its last calls.
const FAREWELL: Duration = Duration::from_secs(12);
/// Calls of one connection at once: what clients believe to be allowed before they are told (RFC 9113, section 6.5.2).
const CALLS: u32 = 100;
/// Head of a call: a token is about 1 KiB.
const HEAD: u32 = 32 << 10;
/// Largest message: a request takes 2 KiB.
const MESSAGE: usize = 64 << 10;
/// What is kept of one call's bytes, and of one connection's, until somebody reads them.
const WINDOWS: (u32, u32) = (64 << 10, 128 << 10);
const SEND_BUFFER: usize = 64 << 10;

/// What a connection has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Stranger,
    /// When its last call was.
    Admitted(Instant),
    Over,
}

/// The configuration that serves `serving`: TLS 1.2 and 1.3, HTTP/2.
pub fn tls(serving: &Serving) -> Result<Arc<ServerConfig>, rustls::Error> {
    port::tls(serving, &[&TLS13, &TLS12])
}

impl<A: Accounts> MeshCa<A> {
    /// Serves on `listener` until `shutdown`; then every connection is closed. New connections get the newest value of
    /// `tls`.
    pub async fn serve(
        self: Arc<Self>,
        listener: &TcpListener,
        tls: watch::Receiver<Arc<ServerConfig>>,
        shutdown: impl Future<Output = ()>,
    ) {
        port::accept(listener, CAPS, shutdown, |stream, peer, places| {
            let tls = Arc::clone(&tls.borrow());
            let stage = Arc::new(watch::Sender::new(Stage::Stranger));
            connection(stream, tls, Call { ca: Arc::clone(&self), peer, stage }, places)
        })
        .await;
    }
}

async fn connection<A: Accounts>(
    stream: TcpStream,
    tls: Arc<ServerConfig>,
    call: Call<A>,
    (_place, stranger): (Place, Stranger),
) {
    let (peer, stage, deadline) = (call.peer, call.stage.subscribe(), Instant::now() + STRANGER);
    // Whoever never was admitted is a stranger until its connection is gone.
    let mut stranger = Some(stranger);
    stream.set_nodelay(true).ok();
    let io = match timeout_at(deadline, TlsAcceptor::from(tls).accept(stream)).await {
        Ok(Ok(io)) => io,
        Ok(Err(error)) => return tracing::debug!(%peer, %error, "no TLS"),
        Err(_) => return tracing::debug!(%peer, "no TLS in time"),
    };
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new()).max_concurrent_streams(CALLS).max_header_list_size(HEAD);
    builder.initial_stream_window_size(WINDOWS.0).initial_connection_window_size(WINDOWS.1);
    builder.max_send_buf_size(SEND_BUFFER);
    let service = service_fn(move |request| call.clone().answer(request));
    let mut serving = pin!(builder.serve_connection(TokioIo::new(io), service));
    let why = tokio::select! {
        _ = &mut serving => return,
        why = over(stage, &mut stranger, deadline) => why,
    };
    tracing::debug!(%peer, why, "a connection of the mesh's authority is over");
    serving.as_mut().graceful_shutdown();
    timeout(FAREWELL, serving).await.ok();
}

/// Returns when a connection is to end.
async fn over(mut stage: watch::Receiver<Stage>, stranger: &mut Option<Stranger>, deadline: Instant) -> &'static str {
    if timeout_at(deadline, stage.wait_for(|stage| *stage != Stage::Stranger)).await.is_err() {
        return "not admitted in time";
    }
    loop {
        let idle = match *stage.borrow_and_update() {
            Stage::Admitted(last) => {
                *stranger = None;
                last + IDLE
            }
            Stage::Stranger | Stage::Over => return "its token is not good",
        };
        // The sender is in the service, and that in the connection.
        if timeout_at(idle, stage.changed()).await.is_err() {
            return "idle";
        }
    }
}

/// The service of one connection.
struct Call<A> {
    ca: Arc<MeshCa<A>>,
    peer: SocketAddr,
    stage: Arc<watch::Sender<Stage>>,
}

impl<A> Clone for Call<A> {
    fn clone(&self) -> Self {
        Self { ca: Arc::clone(&self.ca), peer: self.peer, stage: Arc::clone(&self.stage) }
    }
}

impl<A: Accounts> Call<A> {
    async fn answer(self, request: http::Request<Incoming>) -> Result<http::Response<Body>, Infallible> {
        if request.uri().path() != PATH {
            return Ok(Status::unimplemented("there is no such method").into_http());
        }
        let peer = self.peer;
        let answered = timeout(CALL, self.admitted(request)).await;
        let answered = answered.unwrap_or_else(|_| Err(Status::deadline_exceeded("it took too long")));
        Ok(answered.unwrap_or_else(|why| {
            tracing::debug!(%peer, code = ?why.code(), why = why.message(), "a certificate is refused");
            why.into_http()
        }))
    }

    async fn admitted(self, request: http::Request<Incoming>) -> Result<http::Response<Body>, Status> {
        let account = self.ca.admit(request.headers()).await.inspect_err(|why| {
            // Whoever has another token comes again.
            if why.code() == Code::Unauthenticated {
                self.stage.send_replace(Stage::Over);
            }
        })?;
        self.stage.send_if_modified(|stage| {
            let open = *stage != Stage::Over;
            *stage = if open { Stage::Admitted(Instant::now()) } else { Stage::Over };
            open
        });
        let codec = ProstCodec::<IstioCertificateResponse, IstioCertificateRequest>::default();
        let mut grpc = tonic::server::Grpc::new(codec).max_decoding_message_size(MESSAGE);
        Ok(grpc.unary(Issue { ca: self.ca, account }, request).await)
    }
}

/// A call of which it is known whose it is.
struct Issue<A> {
    ca: Arc<MeshCa<A>>,
    account: Account,
}

impl<A: Accounts> Service<Request<IstioCertificateRequest>> for Issue<A> {
    type Response = Response<IstioCertificateResponse>;
    type Error = Status;
    type Future = BoxFuture<Self::Response, Status>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Status>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<IstioCertificateRequest>) -> Self::Future {
        let issued = self.ca.issue(&self.account, request.get_ref()).map(Response::new);
        Box::pin(std::future::ready(issued.inspect_err(|why| {
            tracing::debug!(account = %self.account, code = ?why.code(), why = why.message(), "a certificate is refused");
        })))
    }
}
