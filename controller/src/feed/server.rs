// SPDX-License-Identifier: Apache-2.0
//! The feed's port: TLS 1.3, HTTP/2, one stream a connection. Everything that a stranger can do has a cap and a
//! deadline; one connection never waits for another.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls::version::TLS13;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use torana_ir::wire::{self, Upward};

use super::hub::Hub;
use super::identity::{Authenticate, bearer};
use super::session::Session;
use crate::ca::Serving;
use crate::port::{self, Caps, Place, Stranger};

/// From accept to a token that is good, and to whom the pod belongs: a leader that has seen little does not know that.
const STRANGER: Duration = Duration::from_secs(10);
/// From the end of the stream to the end of its connection.
const FAREWELL: Duration = Duration::from_secs(2);
/// A connection over which nothing came for so long is asked whether it is alive …
const PING: Duration = Duration::from_secs(10);
/// … and is given so long to answer.
const PONG: Duration = Duration::from_secs(10);
/// Head of a request: a token is about 1 KiB.
const HEAD: u32 = 32 << 10;
/// A proxy needs one connection; a thousand of them may come at once when a new leader begins.
const CAPS: Caps = Caps { connections: 8192, per_ip: 8192, strangers: 2048, strangers_per_ip: 64 };
/// Chunks that wait in one stream, besides what HTTP/2 holds.
const QUEUE: usize = 1;
const SEND_BUFFER: usize = 256 << 10;

/// What a connection has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Stranger,
    Admitted,
    Over,
}

/// The configuration that serves `serving`: TLS 1.3, HTTP/2.
pub fn tls(serving: &Serving) -> Result<Arc<ServerConfig>, rustls::Error> {
    port::tls(serving, &[&TLS13])
}

impl Hub {
    /// Serves the feed on `listener` until `shutdown`; then every stream is closed. New connections get the newest
    /// value of `tls`.
    pub async fn serve<A: Authenticate>(
        &self,
        listener: &TcpListener,
        tls: watch::Receiver<Arc<ServerConfig>>,
        authenticate: Arc<A>,
        shutdown: impl Future<Output = ()>,
    ) {
        // Sessions see that their connections are gone.
        port::accept(listener, CAPS, shutdown, |stream, peer, places| {
            let tls = Arc::clone(&tls.borrow());
            let call = Call::new(self.clone(), Arc::clone(&authenticate), peer);
            connection(stream, tls, call, places)
        })
        .await;
    }
}

async fn connection<A: Authenticate>(
    stream: TcpStream,
    tls: Arc<ServerConfig>,
    call: Call<A>,
    (_place, stranger): (Place, Stranger),
) {
    let peer = call.peer;
    let overdue = overdue(call.stage.subscribe(), stranger);
    let serving = async {
        stream.set_nodelay(true).ok();
        let io = match TlsAcceptor::from(tls).accept(stream).await {
            Ok(io) => io,
            Err(error) => return tracing::debug!(%peer, %error, "no TLS"),
        };
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new()).keep_alive_interval(PING).keep_alive_timeout(PONG);
        builder.max_concurrent_streams(1).max_header_list_size(HEAD).max_send_buf_size(SEND_BUFFER);
        let service = service_fn(move |request| call.clone().answer(request));
        if let Err(error) = builder.serve_connection(TokioIo::new(io), service).await {
            tracing::debug!(%peer, %error, "a connection of the feed ended");
        }
    };
    tokio::select! {
        () = serving => {}
        why = overdue => tracing::debug!(%peer, why, "a connection of the feed is cut"),
    }
}

/// Returns when a connection has been a stranger, or is over, for too long.
async fn overdue(mut stage: watch::Receiver<Stage>, stranger: Stranger) -> &'static str {
    if timeout(STRANGER, stage.wait_for(|stage| *stage != Stage::Stranger)).await.is_err() {
        return "not admitted in time";
    }
    drop(stranger);
    // The sender is in the service, and that in the connection.
    stage.wait_for(|stage| *stage == Stage::Over).await.ok();
    tokio::time::sleep(FAREWELL).await;
    "its stream is over"
}

/// The one service of a connection.
struct Call<A> {
    hub: Hub,
    authenticate: Arc<A>,
    peer: SocketAddr,
    stage: Arc<watch::Sender<Stage>>,
}

impl<A> Clone for Call<A> {
    fn clone(&self) -> Self {
        let (authenticate, stage) = (Arc::clone(&self.authenticate), Arc::clone(&self.stage));
        Self { hub: self.hub.clone(), authenticate, peer: self.peer, stage }
    }
}

impl<A: Authenticate> Call<A> {
    fn new(hub: Hub, authenticate: Arc<A>, peer: SocketAddr) -> Self {
        Self { hub, authenticate, peer, stage: Arc::new(watch::Sender::new(Stage::Stranger)) }
    }

    async fn answer(self, request: http::Request<Incoming>) -> Result<http::Response<Body>, Infallible> {
        if request.uri().path() != wire::PATH {
            return Ok(Status::unimplemented("there is no such method").into_http());
        }
        let codec = ProstCodec::<wire::Delta, Upward>::default();
        let mut grpc = tonic::server::Grpc::new(codec).max_decoding_message_size(wire::LARGEST_UPWARD);
        Ok(grpc.streaming(self, request).await)
    }

    /// Whose stream this is to be. A connection has one.
    async fn admit(&self, request: &Request<Streaming<Upward>>) -> Result<super::Proxy, Status> {
        let pod = self.authenticate.identify(bearer(request.metadata().as_ref())?).await?;
        let Some(fleet) = self.hub.fleet_of(&pod).await else {
            let account = format!("{}/{}", pod.namespace, pod.service_account);
            tracing::info!(%pod, account, "a pod that belongs to no fleet asks for a program");
            return Err(Status::permission_denied(format!("service account {account} belongs to no fleet")));
        };
        let first = self.stage.send_if_modified(|stage| {
            let first = *stage == Stage::Stranger;
            *stage = if first { Stage::Admitted } else { *stage };
            first
        });
        if first { Ok(self.hub.open(fleet, pod)) } else { Err(Status::failed_precondition("one stream a connection")) }
    }
}

impl<A: Authenticate> Service<Request<Streaming<Upward>>> for Call<A> {
    type Response = Response<ReceiverStream<Result<wire::Delta, Status>>>;
    type Error = Status;
    type Future = BoxFuture<Self::Response, Status>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Status>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Streaming<Upward>>) -> Self::Future {
        let call = self.clone();
        Box::pin(async move {
            let proxy = match call.admit(&request).await {
                Ok(proxy) => proxy,
                Err(why) => {
                    tracing::debug!(peer = %call.peer, why = why.message(), "a stream of the feed is refused");
                    return Err(why);
                }
            };
            let session = Session::new(call.hub.clone(), proxy);
            let (out, chunks) = mpsc::channel(QUEUE);
            // It ends with its connection, which drops the other end of `chunks`.
            tokio::spawn(async move {
                session.run(request.into_inner(), out).await;
                call.stage.send_replace(Stage::Over);
            });
            Ok(Response::new(ReceiverStream::new(chunks)))
        })
    }
}
