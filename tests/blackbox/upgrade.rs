// SPDX-License-Identifier: Apache-2.0
//! WebSockets and what must not become one.

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use torana_tests::{Backend, World, echo, eventually};

fn world(port: u16) -> World {
    World::start(&format!("{}{}{}", World::gateway(), World::service("b", port), World::catch_all("all", "b")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_carries_messages_both_ways_and_ends() {
    let port = echo::websocket().await;
    let world = tokio::task::spawn_blocking(move || world(port)).await.unwrap();
    let stream = TcpStream::connect(("127.0.0.1", world.http)).await.unwrap();
    let (mut socket, response) = tokio_tungstenite::client_async("ws://chat.example.com/room", stream).await.unwrap();
    assert_eq!(response.status(), 101);
    for number in 0..1000 {
        let text = format!("message {number}");
        socket.send(Message::text(text.clone())).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap().into_text().unwrap().as_str(), text);
    }
    let large = vec![7u8; 1 << 20];
    socket.send(Message::binary(large.clone())).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap().into_data(), large);
    let world = tokio::task::spawn_blocking(move || {
        assert_eq!(tunnels(&world), (Some(1.0), Some(0.0)));
        world
    });
    let world = world.await.unwrap();
    socket.close(None).await.unwrap();
    drop(socket);
    tokio::task::spawn_blocking(move || assert!(eventually(|| tunnels(&world) == (Some(0.0), Some(1.0)))))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tunnel_whose_client_just_leaves_is_no_failure() {
    let port = echo::websocket().await;
    let world = tokio::task::spawn_blocking(move || world(port)).await.unwrap();
    let stream = TcpStream::connect(("127.0.0.1", world.http)).await.unwrap();
    stream.set_zero_linger().unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async("ws://chat.example.com/reset", stream).await.unwrap();
    socket.send(Message::text("hello")).await.unwrap();
    socket.next().await.unwrap().unwrap();
    // With a reset, as browsers leave.
    drop(socket);
    let find = |log: &str| log.lines().find(|line| line.contains("/reset")).map(str::to_owned);
    let line = tokio::task::spawn_blocking(move || {
        assert!(eventually(|| find(&world.log()).is_some()), "{}", world.log());
        find(&world.log()).unwrap()
    });
    let line = line.await.unwrap();
    assert!(line.contains("\"status\":101") && !line.contains("\"reason\""), "{line}");
}

/// Upgraded connections that are open, and those that are over.
fn tunnels(world: &World) -> (Option<f64>, Option<f64>) {
    let labels = "gateway=\"default/edge\",listener=\"http\",route_kind=\"HTTPRoute\",route_name=\"all\",\
                  route_namespace=\"default\"";
    let value = |name: &str| world.metric(&format!("torana_upgraded_{name}{{{labels}}}"));
    (value("connections"), value("duration_seconds_count"))
}

#[test]
fn a_200_to_an_upgrade_is_no_tunnel() {
    let backend = Backend::scripted(|seen| {
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", seen.target.len(), seen.target).into_bytes()
    });
    let world = world(backend.port);
    let mut connection = torana_tests::Connection::open(world.http).unwrap();
    connection
        .send(
            b"GET /one HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\
              GET /two HTTP/1.1\r\nHost: a\r\n\r\n",
        )
        .unwrap();
    assert_eq!(connection.reply("GET").unwrap().text(), "/one");
    assert_eq!(connection.reply("GET").unwrap().text(), "/two");
    assert_eq!(backend.seen().len(), 2);
}

#[test]
fn an_unasked_101_is_502() {
    let backend = Backend::scripted(|_| {
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n".to_vec()
    });
    assert_eq!(world(backend.port).status("a", "/"), 502);
}
