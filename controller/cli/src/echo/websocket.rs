// SPDX-License-Identifier: Apache-2.0
//! WebSocket over HTTP/1.1 (RFC 6455): each message goes back as it came. Never keeps more than one.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::body::{self, Reply};

/// A connection on which no message comes for this long is dropped.
const IDLE: Duration = Duration::from_hours(1);
/// Largest message.
const MESSAGE: usize = 16 << 20;
/// Bytes read at once; small, so that thousands of idle connections cost little.
const BUFFER: usize = 4 << 10;

/// The client wants to speak WebSocket.
pub(super) fn is_upgrade(request: &Request<Incoming>) -> bool {
    let headers = request.headers();
    request.version() == Version::HTTP_11
        && has_token(headers, &UPGRADE, "websocket")
        && has_token(headers, &CONNECTION, "upgrade")
}

/// Switches protocols; the conversation runs beside the answer and holds one of `places` to its end.
pub(super) fn answer(mut request: Request<Incoming>, places: Arc<Semaphore>) -> Reply {
    let Ok(place) = places.try_acquire_owned() else {
        return body::complaint(StatusCode::SERVICE_UNAVAILABLE, "too many connections");
    };
    if request.headers().get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        let mut reply = body::complaint(StatusCode::UPGRADE_REQUIRED, "only version 13 is spoken (RFC 6455 §4.4)");
        reply.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        return reply;
    }
    let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY) else {
        return body::complaint(StatusCode::BAD_REQUEST, "Sec-WebSocket-Key is missing (RFC 6455 §4.2.1)");
    };
    let Ok(accept) = HeaderValue::from_str(&derive_accept_key(key.as_bytes())) else {
        return body::complaint(StatusCode::BAD_REQUEST, "Sec-WebSocket-Key is not usable (RFC 6455 §4.2.1)");
    };
    let protocol = first_protocol(request.headers());
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        converse(upgrade).await;
        drop(place);
    });

    let mut reply = Response::new(body::empty());
    *reply.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = reply.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    if let Some(protocol) = protocol {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    reply
}

async fn converse(upgrade: OnUpgrade) {
    let Ok(upgraded) = upgrade.await else { return };
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER)
        .write_buffer_size(BUFFER)
        .max_message_size(Some(MESSAGE))
        .max_frame_size(Some(MESSAGE));
    let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
    // Pings and the closing handshake are answered while reading.
    while let Ok(Some(Ok(message))) = timeout(IDLE, socket.next()).await {
        let is_content = message.is_text() || message.is_binary();
        if is_content && !matches!(timeout(IDLE, socket.send(message)).await, Ok(Ok(()))) {
            return;
        }
    }
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case(token))
}

/// The first subprotocol that the client offers.
fn first_protocol(headers: &HeaderMap) -> Option<HeaderValue> {
    let first = headers.get(SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?.split(',').next()?.trim();
    HeaderValue::from_str(first).ok().filter(|first| !first.is_empty())
}
