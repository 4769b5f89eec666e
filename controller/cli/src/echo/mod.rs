// SPDX-License-Identifier: Apache-2.0
//! `torana echo`: a sample backend that says what reached it. One port speaks HTTP/1.1, HTTP/2 with prior knowledge,
//! gRPC and WebSocket. Never terminates TLS, never reads a file, and keeps no body longer than it takes to answer.
//!
//! What a path does is in `paths`; everything else is answered with the request as JSON (`describe`).

mod body;

mod describe;

mod paths;

mod grpc;

mod websocket;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;

use self::body::Reply;

/// Connections open at one time; more wait in the kernel's queue.
const CONNECTIONS: u32 = 16_384;
/// A new connection's first request and every later head must come within this; so must each piece of a body.
const PATIENCE: Duration = Duration::from_mins(1);
/// Requests in flight may take this long to finish after the process is told to stop.
const FAREWELL: Duration = Duration::from_secs(5);
/// Streams a HTTP/2 connection may have at one time.
const STREAMS: u32 = 1_000;

/// Arguments of `torana echo`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Paths with a meaning of their own:
  /status/418    answers with that status (200 to 599)
  /delay/500ms   answers after that time (at most 60s)
  /bytes/1000    sends that many bytes (at most 8 GiB)
  /stream/10     sends that many lines, ten a second (at most 600)
  /trailers      sends a trailer field after its body
  /echo          sends the body of the request back while it arrives
Every gRPC method returns each message as it came; `x-grpc-status: 14` makes it fail with that status.
Every WebSocket returns each message as it came.

Examples:
  torana echo --port 9001 --name v1
  curl -s localhost:9001/hello?a=b
  curl -s --http2-prior-knowledge localhost:9001/status/418
  head -c 1G /dev/zero | curl -sT- localhost:9001/echo | wc -c")]
pub struct EchoArgs {
    /// Port to listen on; 0 lets the system choose
    #[arg(long, default_value_t = 9000, value_name = "PORT", env = "TORANA_ECHO_PORT")]
    pub port: u16,
    /// Address to listen on [default: every address, IPv4 and IPv6]
    #[arg(long, value_name = "IP", env = "TORANA_ECHO_ADDRESS")]
    pub address: Option<IpAddr>,
    /// Name that answers carry, to tell backends apart
    #[arg(long, default_value = "echo", value_name = "NAME", env = "TORANA_ECHO_NAME")]
    pub name: String,
    /// Say every request on standard error: method, path, version and host
    #[arg(long, env = "TORANA_ECHO_LOG")]
    pub log: bool,
}

/// Runs the command until SIGINT or SIGTERM.
pub async fn run(args: EchoArgs) -> anyhow::Result<()> {
    let name = http::HeaderValue::from_str(&args.name).context("--name cannot be sent in a header field")?;
    let listener = bind(args.address, args.port).await?;
    eprintln!("✔ echo {:?} on http://{}", args.name, listener.local_addr()?);
    let backend =
        Arc::new(Backend { name, log: args.log, connections: Arc::new(Semaphore::new(CONNECTIONS as usize)) });
    backend.serve(listener, stopped()).await;
    Ok(())
}

async fn bind(address: Option<IpAddr>, port: u16) -> anyhow::Result<TcpListener> {
    let result = match address {
        Some(address) => TcpListener::bind((address, port)).await,
        None => match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
            // A kernel without IPv6.
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await
            }
            other => other,
        },
    };
    result.with_context(|| format!("port {port} cannot be opened: choose another with --port"))
}

/// Resolves at the first SIGINT or SIGTERM.
async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// Resolves after [`PATIENCE`] if nothing was asked by then: the builder tells the protocols apart by the first bytes
/// and would wait for them for ever.
async fn silence(asked: Arc<AtomicBool>) {
    tokio::time::sleep(PATIENCE).await;
    if asked.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
}

/// One sample backend.
#[derive(Debug)]
struct Backend {
    name: http::HeaderValue,
    log: bool,
    connections: Arc<Semaphore>,
}

impl Backend {
    /// Accepts until `stop`, then lets requests in flight finish for [`FAREWELL`].
    async fn serve(self: Arc<Self>, listener: TcpListener, stop: impl Future<Output = ()>) {
        let (farewell, leaving) = watch::channel(false);
        let mut stop = pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                accepted = self.accept(&listener) => match accepted {
                    Ok((socket, peer, permit)) => {
                        let connection = self.clone().connection(socket, peer, leaving.clone());
                        tokio::spawn(async move {
                            connection.await;
                            drop(permit);
                        });
                    }
                    // Out of descriptors, or the client has left already: neither is a reason to stop or to spin.
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        }
        drop(listener);
        farewell.send_replace(true);
        // Every permit back means every connection is closed; if not, their time is up.
        let _closed = timeout(FAREWELL, self.connections.acquire_many(CONNECTIONS)).await.is_ok();
    }

    async fn accept(&self, listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let permit = self.connections.clone().acquire_owned().await.map_err(io::Error::other)?;
        let (socket, peer) = listener.accept().await?;
        // An IPv4 client of a socket for both families is `::ffff:a.b.c.d`.
        Ok((socket, SocketAddr::new(peer.ip().to_canonical(), peer.port()), permit))
    }

    async fn connection(self: Arc<Self>, socket: TcpStream, peer: SocketAddr, mut leaving: watch::Receiver<bool>) {
        if socket.set_nodelay(true).is_err() {
            return;
        }
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(PATIENCE);
        builder.http2().timer(TokioTimer::new()).max_concurrent_streams(STREAMS).keep_alive_interval(PATIENCE);
        let asked = Arc::new(AtomicBool::new(false));
        let service = service_fn(|request| {
            asked.store(true, Ordering::Relaxed);
            self.clone().answer(peer, request)
        });
        let mut connection = pin!(builder.serve_connection_with_upgrades(TokioIo::new(socket), service));
        let ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            _ = leaving.wait_for(|leaving| *leaving) => None,
            () = silence(asked.clone()) => return,
        };
        let ended = if let Some(ended) = ended {
            ended
        } else {
            connection.as_mut().graceful_shutdown();
            connection.await
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, error, "connection broke");
        }
    }

    async fn answer(self: Arc<Self>, peer: SocketAddr, request: Request<Incoming>) -> Result<Reply, Infallible> {
        if self.log {
            let host = describe::host(request.uri(), request.headers()).unwrap_or_default();
            eprintln!("{} {} {:?} {host:?}", request.method(), request.uri(), request.version());
        }
        let mut reply = if grpc::is_grpc(&request) {
            grpc::answer(request)
        } else if websocket::is_upgrade(&request) {
            websocket::answer(request, self.connections.clone())
        } else {
            paths::answer(&self.name, peer, request).await
        };
        reply.headers_mut().insert("x-echo-name", self.name.clone());
        Ok(reply)
    }
}

#[cfg(test)]
mod tests;
