// SPDX-License-Identifier: Apache-2.0
//! A WebSocket client over `ws://` and `wss://`, to a real backend.

use futures_util::{SinkExt as _, StreamExt as _};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use super::stage;

/// Text, binary, ping and an orderly end; returns the subprotocol that the backend chose.
async fn converse(url: &str, stream: impl AsyncRead + AsyncWrite + Unpin) -> String {
    let mut request = url.into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", "chat, other".parse().unwrap());
    let (mut socket, response) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["x-echo-name"]), (101, &"echo".parse().unwrap()));
    for size in [0, 1, 125, 126, 65_535, 65_536, 1 << 20] {
        let message = vec![b'x'; size];
        socket.send(Message::binary(message.clone())).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap().into_data(), message, "{size} bytes");
    }
    socket.send(Message::Ping("are you there".into())).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::Pong("are you there".into()));
    socket.send(Message::text("grüß")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("grüß"));
    socket.close(None).await.unwrap();
    assert!(socket.next().await.unwrap().unwrap().is_close());
    assert!(socket.next().await.is_none(), "the connection ends after the closing handshake");
    response.headers()["sec-websocket-protocol"].to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_client_works_with_and_without_tls() {
    let stage = stage().await;
    let stream = TcpStream::connect(("127.0.0.1", stage.world.http)).await.unwrap();
    assert_eq!(converse("ws://echo.example.com/room", stream).await, "chat");
    let stream = TcpStream::connect(("127.0.0.1", stage.world.https)).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(stage.authority.client(&["http/1.1"]));
    let stream = connector.connect(ServerName::try_from("echo.example.com").unwrap(), stream).await.unwrap();
    assert_eq!(converse("wss://echo.example.com/room", stream).await, "chat");
}
