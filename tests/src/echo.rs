// SPDX-License-Identifier: Apache-2.0
//! Backends that send back what they get, over the protocols that [`Backend`](crate::Backend) does not speak. They end
//! with the runtime that they were started on.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Request, Response};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Accepts on a port of 127.0.0.1 for as long as the runtime lives.
async fn accept<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> u16
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("a bound address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // Small frames are not held back.
            stream.set_nodelay(true).expect("an open socket");
            tokio::spawn(serve(stream));
        }
    });
    port
}

/// A backend of WebSockets: every message comes back. Returns its port.
///
/// # Panics
/// If no port is free.
pub async fn websocket() -> u16 {
    accept(serve_websocket).await
}

/// A backend of HTTP/2 with prior knowledge: every piece of a body comes back, then the trailer `grpc-status: 0`.
/// Returns its port.
///
/// # Panics
/// If no port is free.
pub async fn h2c() -> u16 {
    accept(serve_h2).await
}

/// As [`h2c`], behind TLS. A connection that did not agree on `h2` is closed.
///
/// # Panics
/// If no port is free.
pub async fn h2_tls(config: Arc<ServerConfig>) -> u16 {
    accept(move |stream| {
        let acceptor = TlsAcceptor::from(Arc::clone(&config));
        async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                serve_h2(stream).await;
            }
        }
    })
    .await
}

/// As [`websocket`], behind TLS.
///
/// # Panics
/// If no port is free.
pub async fn websocket_tls(config: Arc<ServerConfig>) -> u16 {
    accept(move |stream| {
        let acceptor = TlsAcceptor::from(Arc::clone(&config));
        async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            serve_websocket(stream).await;
        }
    })
    .await
}

async fn serve_websocket(stream: impl AsyncRead + AsyncWrite + Unpin) {
    let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
    while let Some(Ok(message)) = socket.next().await {
        if message.is_close() || socket.send(message).await.is_err() {
            return;
        }
    }
}

async fn serve_h2(stream: impl AsyncRead + AsyncWrite + Unpin) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        // A stream that is reset ends here, and its client knows.
        tokio::spawn(async {
            let _ = stream_back(request, respond).await.is_ok();
        });
    }
}

async fn stream_back(request: Request<h2::RecvStream>, mut respond: SendResponse<Bytes>) -> Result<(), h2::Error> {
    let mut body = request.into_body();
    let mut send = respond.send_response(Response::new(()), false)?;
    while let Some(data) = body.data().await {
        let mut left = data?;
        body.flow_control().release_capacity(left.len())?;
        while !left.is_empty() {
            send.reserve_capacity(left.len());
            let Some(room) = std::future::poll_fn(|context| send.poll_capacity(context)).await else { return Ok(()) };
            let part = left.split_to(room?.min(left.len()));
            send.send_data(part, false)?;
        }
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    send.send_trailers(trailers)
}
