// SPDX-License-Identifier: Apache-2.0
//! HTTP/2 by prior knowledge, and gRPC's shapes over it.

use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use torana_tests::{Authority, Backend, Connection, World, echo};

pub(super) async fn client(port: u16) -> SendRequest<Bytes> {
    over(connect(port).await).await
}

/// Small frames are not held back.
async fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

async fn tls_client(port: u16, authority: &Authority) -> SendRequest<Bytes> {
    let stream = connect(port).await;
    let connector = tokio_rustls::TlsConnector::from(authority.client(&["h2"]));
    over(connector.connect(ServerName::try_from("a.example.com").unwrap(), stream).await.unwrap()).await
}

async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> SendRequest<Bytes> {
    let (send, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(async move {
        let _ = connection.await.is_ok();
    });
    send.ready().await.unwrap()
}

pub(super) async fn start(manifests: String) -> World {
    tokio::task::spawn_blocking(move || World::start(&manifests)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_is_spoken_on_the_port_of_http1() {
    let backend = Backend::named("blue");
    let world = start(format!(
        "{}{}{}",
        World::gateway(),
        World::service("blue", backend.port),
        World::catch_all("all", "blue")
    ))
    .await;
    let mut client = client(world.http).await;
    let request =
        Request::get("http://a.example.com/p?q").header("cookie", "a=1").header("cookie", "b=2").body(()).unwrap();
    let (response, _) = client.send_request(request, true).unwrap();
    let response = response.await.unwrap();
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), "blue");
    let seen = &backend.seen()[0];
    assert_eq!((seen.target.as_str(), seen.header("host")), ("/p?q", Some("a.example.com")));
    assert_eq!(seen.header("cookie"), Some("a=1; b=2"));
    assert_eq!(seen.faults, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bidirectional_stream_with_full_windows_does_not_stall() {
    let (port, authority) = (echo::h2c().await, Authority::new());
    let service = World::service_speaking("kubernetes.io/h2c", "b", port);
    let secret = authority.secret("certificate", &["a.example.com"]);
    let gateway = World::gateway_tls("certificate");
    let world = start(format!("{gateway}{secret}{service}{}", World::catch_all("all", "b"))).await;
    fill_and_drain(client(world.http).await, "http").await;
    fill_and_drain(tls_client(world.https, &authority).await, "https").await;
}

/// Nothing is read back until far more was sent than all windows on the way hold.
async fn fill_and_drain(mut client: SendRequest<Bytes>, scheme: &str) {
    const TOTAL: usize = 32 << 20;
    let request = Request::post(format!("{scheme}://a.example.com/echo")).header("te", "trailers");
    let request = request.header("content-type", "application/grpc");
    let (response, mut send) = client.send_request(request.body(()).unwrap(), false).unwrap();
    let sender = tokio::spawn(async move {
        let mut sent = 0;
        while sent < TOTAL {
            send.reserve_capacity(64 << 10);
            let room = std::future::poll_fn(|cx| send.poll_capacity(cx)).await.unwrap().unwrap();
            let size = room.min(TOTAL - sent);
            send.send_data(Bytes::from(vec![1; size]), false).unwrap();
            sent += size;
        }
        send.send_data(Bytes::new(), true).unwrap();
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut body = response.await.unwrap().into_body();
    let mut got = 0;
    while let Some(data) = tokio::time::timeout(Duration::from_secs(10), body.data()).await.expect("no stall") {
        let data = data.unwrap();
        got += data.len();
        body.flow_control().release_capacity(data.len()).unwrap();
    }
    sender.await.unwrap();
    assert_eq!(got, TOTAL);
    assert_eq!(body.trailers().await.unwrap().unwrap()["grpc-status"], "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_clients_get_a_status_where_nothing_matches() {
    let world = start(World::gateway().to_owned()).await;
    let mut client = client(world.http).await;
    let request = Request::post("http://a/svc/Method").header("content-type", "application/grpc").body(()).unwrap();
    let (response, _) = client.send_request(request, true).unwrap();
    let response = response.await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["grpc-status"]), (200, &"12".parse().unwrap()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_stream_cancels_its_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let closed = tokio::spawn(async move {
        use tokio::io::AsyncReadExt as _;
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = [0; 4096];
        while stream.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
    });
    let world =
        start(format!("{}{}{}", World::gateway(), World::service("b", port), World::catch_all("all", "b"))).await;
    let mut client = client(world.http).await;
    let (response, mut send) = client.send_request(Request::get("http://a/").body(()).unwrap(), false).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    send.send_reset(h2::Reason::CANCEL);
    drop(response);
    tokio::time::timeout(Duration::from_secs(5), closed).await.expect("the backend's connection ends").unwrap();
}

/// Answers at once, without a look at the request's body, with these frames.
async fn answering(frames: Vec<Bytes>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let frames = frames.clone();
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((_request, mut respond))) = connection.accept().await {
                    let mut send = respond.send_response(http::Response::new(()), false).unwrap();
                    for frame in &frames {
                        send.send_data(frame.clone(), false).unwrap();
                    }
                    send.send_data(Bytes::new(), true).unwrap();
                }
            });
        }
    });
    port
}

async fn before_h2c(port: u16) -> World {
    let service = World::service_speaking("kubernetes.io/h2c", "b", port);
    start(format!("{}{service}{}", World::gateway(), World::route("r", "a.example.com", "b"))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_frame_of_a_backend_does_not_end_the_body() {
    let frames = ["", "one", "", "two", ""].map(|text| Bytes::from_static(text.as_bytes()));
    let world = before_h2c(answering(frames.to_vec()).await).await;
    let replies = tokio::task::spawn_blocking(move || {
        let mut connection = Connection::open(world.http).unwrap();
        [(); 2].map(|()| {
            connection.send(b"GET / HTTP/1.1\r\nHost: a.example.com\r\n\r\n").unwrap();
            connection.reply("GET").unwrap().text()
        })
    });
    assert_eq!(replies.await.unwrap(), ["onetwo", "onetwo"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_early_answer_arrives_whole_and_then_the_upload_is_stopped() {
    let world = before_h2c(answering(vec![Bytes::from(vec![b'x'; 500_000])]).await).await;
    let mut client = client(world.http).await;
    // Torana's own answer, and one that is longer than every window on its way.
    for (host, status, length) in [("nobody.example.com", 404, 13), ("a.example.com", 200, 500_000)] {
        let request = Request::post(format!("http://{host}/")).body(()).unwrap();
        let (response, mut send) = client.send_request(request, false).unwrap();
        send.send_data(Bytes::from_static(b"the beginning"), false).unwrap();
        let (head, mut body) = response.await.unwrap().into_parts();
        let mut got = 0;
        while let Some(data) = body.data().await {
            let data = data.unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
            body.flow_control().release_capacity(data.len()).unwrap();
            got += data.len();
        }
        assert_eq!((head.status.as_u16(), got), (status, length), "{host}");
        let reset = tokio::time::timeout(Duration::from_secs(5), std::future::poll_fn(|cx| send.poll_reset(cx)));
        assert_eq!(reset.await.expect("the upload is stopped").unwrap(), h2::Reason::NO_ERROR, "{host}");
    }
}
