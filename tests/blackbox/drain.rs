// SPDX-License-Identifier: Apache-2.0
//! SIGTERM: what is in flight ends well.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use h2::client::SendRequest;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use torana_tests::{Backend, Connection, Echo, World, eventually};

#[test]
fn a_request_in_flight_is_answered_before_the_exit() {
    let backend = Backend::scripted(|_| {
        std::thread::sleep(Duration::from_secs(1));
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec()
    });
    let mut world = World::start(&format!(
        "{}{}{}",
        World::gateway(),
        World::service("b", backend.port),
        World::catch_all("all", "b")
    ));
    let mut idle = Connection::open(world.http).unwrap();
    let mut busy = Connection::open(world.http).unwrap();
    busy.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!(eventually(|| backend.bytes() > 0));
    world.terminate();
    let reply = busy.reply("GET").unwrap();
    assert_eq!((reply.status, reply.header("connection")), (200, Some("close")));
    assert!(idle.closed_within(Duration::from_secs(5)));
    assert_eq!(world.exit_code(), Some(0));
    assert!(Connection::open(world.http).is_err());
}

fn world(echo: u16) -> World {
    World::start(&format!(
        "{}{}{}{}{}",
        World::gateway(),
        World::service("h1", echo),
        World::service_speaking("kubernetes.io/h2c", "h2", echo),
        World::route("h1", "h1.example.com", "h1"),
        World::route("h2", "h2.example.com", "h2"),
    ))
}

/// What the clients are told, and what they tell.
#[derive(Default)]
struct Sight {
    /// Long-lived streams may end.
    leave: AtomicBool,
    served: AtomicUsize,
    failures: Mutex<Vec<String>>,
}

impl Sight {
    fn failed(&self, why: impl Into<String>) {
        self.failures.lock().unwrap().push(why.into());
    }

    fn served(&self) {
        self.served.fetch_add(1, Ordering::Relaxed);
    }

    fn leaving(&self) -> bool {
        self.leave.load(Ordering::Relaxed)
    }
}

/// One request after the other until the gateway says that this was the last.
fn http1(sight: &Sight, port: u16, path: &str) {
    let mut connection = Connection::open(port).unwrap();
    loop {
        let sent = connection.send(format!("GET {path} HTTP/1.1\r\nHost: h1.example.com\r\n\r\n").as_bytes());
        match sent.and_then(|()| connection.reply("GET")) {
            Ok(reply) if reply.status != 200 => return sight.failed(format!("HTTP/1: {}", reply.status)),
            Ok(reply) => {
                sight.served();
                if reply.header("connection") == Some("close") {
                    return;
                }
            }
            Err(error) => return sight.failed(format!("HTTP/1: {error}")),
        }
    }
}

async fn status(response: h2::client::ResponseFuture) -> Result<u16, h2::Error> {
    let (head, mut body) = response.await?.into_parts();
    while let Some(data) = body.data().await {
        body.flow_control().release_capacity(data?.len())?;
    }
    Ok(head.status.as_u16())
}

/// As [`http1`]; the last is said by GOAWAY.
async fn http2(sight: Arc<Sight>, mut send: SendRequest<Bytes>) {
    while let Ok(ready) = send.ready().await {
        send = ready;
        let request = http::Request::get("http://h2.example.com/delay/5ms").body(()).unwrap();
        let sent = match send.send_request(request, true) {
            Ok((response, _)) => status(response).await,
            // It came since the connection was ready: nothing was sent.
            Err(error) if error.is_go_away() && error.is_remote() => return,
            Err(error) => Err(error),
        };
        match sent {
            Ok(200) => sight.served(),
            other => sight.failed(format!("HTTP/2: {other:?}")),
        }
    }
}

/// A connection of HTTP/2; its streams may be opened until it goes away.
async fn h2_client(port: u16) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let (send, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(async move { connection.await.expect("the connection ends without an error") });
    send
}

async fn websocket(sight: Arc<Sight>, port: u16) {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async("ws://h1.example.com/", stream).await.unwrap();
    while !sight.leaving() {
        let sent = socket.send(Message::text("still here")).await.is_ok();
        if !sent || !matches!(socket.next().await, Some(Ok(got)) if got == Message::text("still here")) {
            return sight.failed("WebSocket: a message was lost");
        }
        sight.served();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    if socket.close(None).await.is_err() || !matches!(socket.next().await, Some(Ok(got)) if got.is_close()) {
        sight.failed("WebSocket: no end");
    }
}

/// A gRPC call whose messages go and come one by one.
async fn grpc(sight: Arc<Sight>, mut send: SendRequest<Bytes>) {
    const MESSAGE: &[u8] = &[0, 0, 0, 0, 2, b'h', b'i'];
    let call = async {
        let request = http::Request::post("http://h2.example.com/any.Service/Chat").header("te", "trailers");
        let request = request.header("content-type", "application/grpc").body(()).unwrap();
        let (response, mut messages) = send.send_request(request, false)?;
        messages.send_data(Bytes::from_static(MESSAGE), false)?;
        let mut body = response.await?.into_body();
        while let Some(data) = body.data().await {
            let data = data?;
            body.flow_control().release_capacity(data.len())?;
            assert_eq!(data, MESSAGE);
            sight.served();
            tokio::time::sleep(Duration::from_millis(10)).await;
            let leaving = sight.leaving();
            messages.send_data(Bytes::from_static(if leaving { &[] } else { MESSAGE }), leaving)?;
        }
        Ok::<_, h2::Error>(body.trailers().await?.and_then(|trailers| trailers.get("grpc-status").cloned()))
    };
    match call.await {
        Ok(Some(status)) if status == "0" => {}
        other => sight.failed(format!("gRPC: {other:?}")),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_nothing_fails_and_the_exit_is_clean() {
    let echo = tokio::task::spawn_blocking(|| Echo::start("echo")).await.unwrap();
    let port = echo.port;
    let mut world = tokio::task::spawn_blocking(move || world(port)).await.unwrap();
    let (sight, port) = (Arc::new(Sight::default()), world.http);
    let mut blocking = Vec::new();
    for path in ["/", "/", "/", "/", "/delay/5ms", "/delay/5ms", "/delay/300ms", "/bytes/100000"] {
        let sight = Arc::clone(&sight);
        blocking.push(thread::spawn(move || http1(&sight, port, path)));
    }
    // A long answer that is on its way.
    let long = Arc::clone(&sight);
    blocking.push(thread::spawn(move || {
        let mut connection = Connection::open(port).unwrap();
        connection.send(b"GET /stream/20 HTTP/1.1\r\nHost: h1.example.com\r\n\r\n").unwrap();
        match connection.reply("GET") {
            Ok(reply) if reply.text().ends_with("line 20 of 20\n") => long.served(),
            other => long.failed(format!("a long answer: {other:?}")),
        }
    }));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        tasks.spawn(websocket(Arc::clone(&sight), port));
        tasks.spawn(grpc(Arc::clone(&sight), h2_client(port).await));
        let send = h2_client(port).await;
        for _ in 0..8 {
            tasks.spawn(http2(Arc::clone(&sight), send.clone()));
        }
    }
    tokio::time::sleep(Duration::from_millis(700)).await;
    let before = sight.served.load(Ordering::Relaxed);
    world.terminate();
    tokio::time::sleep(Duration::from_secs(1)).await;
    sight.leave.store(true, Ordering::Relaxed);
    tasks.join_all().await;
    let exit = tokio::task::spawn_blocking(move || {
        for client in blocking {
            client.join().unwrap();
        }
        (world.exit_code(), world.log())
    });
    let (code, log) = exit.await.unwrap();
    let (failures, served) = (sight.failures.lock().unwrap().clone(), sight.served.load(Ordering::Relaxed));
    println!("drain: {before} answers before SIGTERM, {} after it, {} failed", served - before, failures.len());
    assert!(failures.is_empty(), "{failures:?}");
    assert!(before > 100 && served > before, "{served} answers, {before} of them before");
    assert_eq!(code, Some(0), "{log}");
}

#[test]
fn who_has_connected_is_answered_once_more() {
    let echo = Echo::start("echo");
    let mut world = world(echo.port);
    let request = b"GET / HTTP/1.1\r\nHost: h1.example.com\r\n\r\n";
    // One has not spoken yet, one is between two requests: what they send may be on its way.
    let (mut new, mut idle) = (Connection::open(world.http).unwrap(), Connection::open(world.http).unwrap());
    idle.send(request).unwrap();
    assert_eq!(idle.reply("GET").unwrap().status, 200);
    world.terminate();
    assert!(eventually(|| world.health("/readyz").is_none_or(|reply| reply.status != 200)));
    thread::sleep(Duration::from_millis(100));
    for connection in [&mut new, &mut idle] {
        connection.send(request).unwrap();
        let reply = connection.reply("GET").unwrap();
        assert_eq!((reply.status, reply.header("connection")), (200, Some("close")));
    }
    assert_eq!(world.exit_code(), Some(0));
}
