// SPDX-License-Identifier: Apache-2.0
//! The sample backend over real sockets.

use std::time::Instant;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, stream};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, TE};
use http::{Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::{http1, http2};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::*;

type Out = UnsyncBoxBody<Bytes, Infallible>;
type Feed = mpsc::Sender<&'static [u8]>;

/// A running backend; it stops when `stop` is used or dropped.
struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: tokio::task::JoinHandle<()>,
}

async fn start() -> Running {
    let listener = bind(Some(Ipv4Addr::LOCALHOST.into()), 0).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let name = http::HeaderValue::from_static("v1");
    let backend = Arc::new(Backend { name, log: false, connections: Arc::new(Semaphore::new(CONNECTIONS as usize)) });
    let ended = tokio::spawn(backend.serve(listener, async move {
        let _stop_or_drop = stopped.await;
    }));
    Running { address, stop, ended }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Speaks {
    Http1,
    H2c,
}
const BOTH: [Speaks; 2] = [Speaks::Http1, Speaks::H2c];

async fn send(address: SocketAddr, speaks: Speaks, request: Request<Out>) -> Response<Incoming> {
    let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
    match speaks {
        Speaks::Http1 => {
            let (mut sender, connection) = http1::handshake(io).await.unwrap();
            tokio::spawn(connection);
            sender.send_request(request).await.unwrap()
        }
        Speaks::H2c => {
            let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
            tokio::spawn(connection);
            sender.send_request(request).await.unwrap()
        }
    }
}

fn request(address: SocketAddr, method: &str, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(format!("http://{address}{path}")).header(HOST, address.to_string())
}

fn nothing() -> Out {
    Empty::new().boxed_unsync()
}

/// A body that the test feeds while it is being sent.
fn fed() -> (Feed, Out) {
    let (feed, pieces) = mpsc::channel::<&'static [u8]>(4);
    let frames = stream::unfold(pieces, |mut pieces| async {
        let piece = pieces.recv().await?;
        Some((Ok(Frame::data(Bytes::from_static(piece))), pieces))
    });
    (feed, StreamBody::new(frames).boxed_unsync())
}

async fn get(address: SocketAddr, speaks: Speaks, path: &str) -> (StatusCode, Bytes) {
    let reply = send(address, speaks, request(address, "GET", path).body(nothing()).unwrap()).await;
    (reply.status(), reply.into_body().collect().await.unwrap().to_bytes())
}

#[tokio::test]
async fn the_request_comes_back_as_json_over_both_protocols() {
    let running = start().await;
    for (speaks, protocol) in [(Speaks::Http1, "HTTP/1.1"), (Speaks::H2c, "HTTP/2")] {
        let (feed, body) = fed();
        feed.send(b"hello").await.unwrap();
        drop(feed);
        let request = request(running.address, "POST", "/a/b?c=d").header("x-a", "1").header("x-a", "2");
        let reply = send(running.address, speaks, request.body(body).unwrap()).await;
        assert_eq!(reply.headers()["x-echo-name"], "v1");
        let bytes = reply.into_body().collect().await.unwrap().to_bytes();
        let json: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(json["name"], "v1");
        assert_eq!(json["method"], "POST");
        assert_eq!((&json["path"], &json["query"]), (&"/a/b".into(), &"c=d".into()));
        assert_eq!(json["host"], running.address.to_string());
        assert_eq!(json["protocol"], protocol);
        assert_eq!(json["headers"]["x-a"], serde_json::json!(["1", "2"]));
        assert_eq!((&json["body_bytes"], &json["body"]), (&5.into(), &"hello".into()));
    }
}

#[tokio::test]
async fn only_the_start_of_a_long_body_is_shown() {
    let running = start().await;
    let (feed, body) = fed();
    let sent = tokio::spawn(async move {
        for _ in 0..1000 {
            feed.send(&[b'a'; 1000]).await.unwrap();
        }
    });
    let reply = send(running.address, Speaks::Http1, request(running.address, "PUT", "/").body(body).unwrap()).await;
    let json: Value = serde_json::from_slice(&reply.into_body().collect().await.unwrap().to_bytes()).unwrap();
    sent.await.unwrap();
    assert_eq!(json["body_bytes"], 1_000_000);
    assert_eq!(json["body"].as_str().unwrap().len(), 4096);
}

#[tokio::test]
async fn status_paths_answer_with_that_status() {
    let running = start().await;
    for speaks in BOTH {
        for code in [200, 204, 304, 418, 503, 599] {
            let (status, body) = get(running.address, speaks, &format!("/status/{code}")).await;
            assert_eq!(status, code);
            assert_eq!(body.is_empty(), [204, 304].contains(&code), "{code}");
        }
        assert_eq!(get(running.address, speaks, "/status/abc").await.0, 400);
    }
}

#[tokio::test]
async fn head_gets_the_length_without_the_content() {
    let running = start().await;
    for speaks in BOTH {
        let head = request(running.address, "HEAD", "/bytes/12345").body(nothing()).unwrap();
        let reply = send(running.address, speaks, head).await;
        assert_eq!(reply.headers()[CONTENT_LENGTH], "12345", "{speaks:?}");
        assert!(reply.into_body().collect().await.unwrap().to_bytes().is_empty());
    }
}

#[tokio::test]
async fn as_many_bytes_come_as_were_asked_for() {
    let running = start().await;
    for speaks in BOTH {
        for length in [0, 1, 65_536, 5_000_003] {
            let (status, body) = get(running.address, speaks, &format!("/bytes/{length}")).await;
            assert_eq!((status.as_u16(), body.len()), (200, length));
        }
    }
}

#[tokio::test]
async fn delays_and_streams_take_their_time() {
    let running = start().await;
    let begin = Instant::now();
    assert_eq!(get(running.address, Speaks::Http1, "/delay/200ms").await.0, 200);
    assert!(begin.elapsed() >= Duration::from_millis(200));
    let begin = Instant::now();
    let (_, body) = get(running.address, Speaks::H2c, "/stream/3").await;
    assert_eq!(body, "line 1 of 3\nline 2 of 3\nline 3 of 3\n");
    assert!(begin.elapsed() >= Duration::from_millis(200));
}

#[tokio::test]
async fn the_body_comes_back_while_it_is_sent() {
    let running = start().await;
    for speaks in BOTH {
        let (feed, body) = fed();
        feed.send(b"one").await.unwrap();
        let request = request(running.address, "POST", "/echo").header(CONTENT_TYPE, "text/x").body(body).unwrap();
        let mut reply = send(running.address, speaks, request).await;
        assert_eq!(reply.headers()[CONTENT_TYPE], "text/x");
        for next in [b"two".as_slice(), b"six"] {
            assert_eq!(reply.body_mut().frame().await.unwrap().unwrap().into_data().unwrap().len(), 3);
            // Sent only after the previous piece has come back.
            feed.send(next).await.unwrap();
        }
        drop(feed);
        assert_eq!(reply.into_body().collect().await.unwrap().to_bytes(), "six");
    }
}

#[tokio::test]
async fn trailers_follow_the_body() {
    let running = start().await;
    for speaks in BOTH {
        let request = request(running.address, "GET", "/trailers").header(TE, "trailers").body(nothing()).unwrap();
        let body = send(running.address, speaks, request).await.into_body().collect().await.unwrap();
        assert_eq!(body.trailers().unwrap()["x-echo-trailer"], "here", "{speaks:?}");
    }
}

fn call(address: SocketAddr, method: &str) -> http::request::Builder {
    request(address, "POST", method).header(CONTENT_TYPE, "application/grpc+proto").header(TE, "trailers")
}

#[tokio::test]
async fn grpc_messages_come_back_one_by_one() {
    let running = start().await;
    let (feed, body) = fed();
    feed.send(b"\0\0\0\0\x02hi").await.unwrap();
    let mut reply =
        send(running.address, Speaks::H2c, call(running.address, "/any.Service/Any").body(body).unwrap()).await;
    assert_eq!(reply.headers()[CONTENT_TYPE], "application/grpc");
    assert_eq!(reply.body_mut().frame().await.unwrap().unwrap().into_data().unwrap(), "\0\0\0\0\x02hi");
    feed.send(b"\0\0\0\0\x01!").await.unwrap();
    drop(feed);
    let rest = reply.into_body().collect().await.unwrap();
    assert_eq!(rest.trailers().unwrap()["grpc-status"], "0");
    assert_eq!(rest.to_bytes(), "\0\0\0\0\x01!");
}

#[tokio::test]
async fn a_cut_grpc_message_is_an_internal_error() {
    let running = start().await;
    let (feed, body) = fed();
    feed.send(b"\0\0\0\0\x09hi").await.unwrap();
    drop(feed);
    let reply = send(running.address, Speaks::H2c, call(running.address, "/any.Service/Any").body(body).unwrap()).await;
    assert_eq!(reply.into_body().collect().await.unwrap().trailers().unwrap()["grpc-status"], "13");
}

#[tokio::test]
async fn grpc_fails_with_the_status_asked_for() {
    let running = start().await;
    let request = call(running.address, "/any.Service/Any").header("x-grpc-status", "14").body(nothing()).unwrap();
    let reply = send(running.address, Speaks::H2c, request).await;
    assert_eq!((reply.status().as_u16(), &reply.headers()["grpc-status"]), (200, &"14".parse().unwrap()));
}

#[tokio::test]
async fn grpc_health_says_serving() {
    let running = start().await;
    let request = call(running.address, "/grpc.health.v1.Health/Check").body(nothing()).unwrap();
    let body = send(running.address, Speaks::H2c, request).await.into_body().collect().await.unwrap();
    assert_eq!(body.trailers().unwrap()["grpc-status"], "0");
    assert_eq!(body.to_bytes().as_ref(), [0, 0, 0, 0, 2, 8, 1]);
}

#[tokio::test]
async fn websocket_messages_come_back_under_the_offered_subprotocol() {
    let running = start().await;
    let mut request = format!("ws://{}/chat", running.address).into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", "chat.v2, chat.v1".parse().unwrap());
    let socket = TcpStream::connect(running.address).await.unwrap();
    let (mut socket, reply) = tokio_tungstenite::client_async(request, socket).await.unwrap();
    assert_eq!(reply.headers()["sec-websocket-protocol"], "chat.v2");
    for message in [Message::text("hello"), Message::binary(vec![7; 100_000])] {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), message);
    }
    socket.close(None).await.unwrap();
    assert!(socket.next().await.unwrap().unwrap().is_close());
}

#[tokio::test]
async fn an_old_websocket_version_is_told_the_right_one() {
    let running = start().await;
    let request = request(running.address, "GET", "/").header("upgrade", "websocket").header("connection", "upgrade");
    let request = request.header("sec-websocket-version", "8").body(nothing()).unwrap();
    let reply = send(running.address, Speaks::Http1, request).await;
    assert_eq!((reply.status().as_u16(), &reply.headers()["sec-websocket-version"]), (426, &"13".parse().unwrap()));
}

#[tokio::test]
async fn a_request_in_flight_outlives_the_order_to_stop() {
    let running = start().await;
    let address = running.address;
    let slow = tokio::spawn(async move { get(address, Speaks::Http1, "/delay/300ms").await.0 });
    tokio::time::sleep(Duration::from_millis(100)).await;
    running.stop.send(()).unwrap();
    assert_eq!(slow.await.unwrap(), 200);
    running.ended.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}
