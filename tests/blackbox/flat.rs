// SPDX-License-Identifier: Apache-2.0
//! Memory stays flat while large bodies pass, whatever is spoken on either side; and what a stream that stands still
//! may hold.

use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use h2::SendStream;
use h2::client::SendRequest;
use rustls_pki_types::ServerName;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use torana_tests::{Authority, Echo, World};

/// What the allocator may add in steps of its own, in KiB.
const STEPS: u64 = 4096;
/// Streams that stand still at one time, so many on a connection, and what each may hold, in KiB.
const STREAMS: u64 = 400;
const ON_ONE: u64 = 100;
const EACH: u64 = 128;

fn world(authority: &Authority, echo: u16) -> World {
    let mut manifests = World::gateway_tls("certificate") + &authority.secret("certificate", &["*.example.com"]);
    manifests += &World::service("h1", echo);
    manifests += &World::service_speaking("kubernetes.io/h2c", "h2", echo);
    manifests += &(World::route("h1", "h1.example.com", "h1") + &World::route("h2", "h2.example.com", "h2"));
    World::start(&manifests)
}

/// What curl is told to speak, and where.
const CLIENTS: [(&str, &str); 4] =
    [("--http1.1", "http"), ("--http2-prior-knowledge", "http"), ("--http1.1", "https"), ("--http2", "https")];

/// Runs curl to its end; gives its output and the most memory of the gateway meanwhile.
fn watched(mut curl: Child, world: &World) -> (String, u64) {
    let mut peak = 0;
    while curl.try_wait().unwrap().is_none() {
        peak = peak.max(world.memory());
        thread::sleep(Duration::from_millis(20));
    }
    let output = curl.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    (String::from_utf8_lossy(&output.stdout).into_owned() + &errors, peak)
}

#[test]
fn large_bodies_pass_either_way_with_memory_flat() {
    let size = std::env::var("TORANA_BODY_MIB").ok().and_then(|text| text.parse().ok()).unwrap_or(96u64) << 20;
    let (authority, echo, folder) = (Authority::new(), Echo::start("echo"), TempDir::new().unwrap());
    let world = world(&authority, echo.port);
    let upload = folder.path().join("upload");
    for (protocol, scheme) in CLIENTS {
        let port = if scheme == "http" { world.http } else { world.https };
        let curl = |arguments: &[&str]| {
            let mut command = Command::new("curl");
            command.args(["-sS", "--max-time", "600", "--connect-to", "::127.0.0.1:", protocol, "--cacert"]);
            command.arg(authority.root_file()).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().expect("curl is installed: ./dev setup, or the package curl")
        };
        for backend in ["h1", "h2"] {
            let url = |path: &str| format!("{scheme}://{backend}.example.com:{port}{path}");
            // What is allocated once is allocated.
            File::create(&upload).unwrap().set_len(8 << 20).unwrap();
            let file = upload.to_str().unwrap();
            assert!(watched(curl(&["-T", file, &url("/")]), &world).0.contains("\"body_bytes\": 8388608"));
            let download = |size: u64| {
                let down = ["-o", "/dev/null", "-w", "%{size_download}", &url(&format!("/bytes/{size}"))];
                watched(curl(&down), &world)
            };
            assert_eq!(download(8 << 20).0, (8u32 << 20).to_string());
            let before = world.memory();
            let (got, down) = download(size);
            assert_eq!(got, size.to_string());
            // Holes of a file are not on the disk.
            File::create(&upload).unwrap().set_len(size).unwrap();
            let (answer, up) = watched(curl(&["-T", file, &url("/")]), &world);
            assert!(answer.contains(&format!("\"body_bytes\": {size}")), "{answer}");
            println!("flat: {size} bytes, {protocol} {scheme} to {backend}: {before} KiB, down {down}, up {up}");
            assert!(up.max(down) < before + STEPS, "{protocol} {scheme} {backend}: {before} KiB, {down} down, {up} up");
        }
    }
}

async fn client(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> SendRequest<Bytes> {
    let (send, connection) = h2::client::Builder::new()
        .initial_window_size(65_535)
        .initial_connection_window_size(8 << 20)
        .handshake(stream)
        .await
        .unwrap();
    tokio::spawn(async move {
        let _ = connection.await.is_ok();
    });
    send.ready().await.unwrap()
}

async fn tls(authority: &Authority, port: u16) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(authority.client(&["h2"]));
    client(connector.connect(ServerName::try_from("h1.example.com").unwrap(), stream).await.unwrap()).await
}

/// A backend that answers heads over HTTP/2 and never reads a body.
async fn deaf_h2() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut builder = h2::server::Builder::new();
                builder.initial_connection_window_size(8 << 20);
                let mut connection = builder.handshake::<_, Bytes>(stream).await.unwrap();
                let mut held = Vec::new();
                while let Some(Ok(stream)) = connection.accept().await {
                    held.push(stream);
                }
            });
        }
    });
    port
}

/// A backend that accepts over HTTP/1 and never reads.
async fn deaf_h1() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    port
}

/// Sends until nothing goes any more.
async fn fill(mut send: SendStream<Bytes>) -> SendStream<Bytes> {
    loop {
        send.reserve_capacity(64 << 10);
        let room = std::future::poll_fn(|cx| send.poll_capacity(cx));
        match tokio::time::timeout(Duration::from_secs(1), room).await {
            Ok(Some(Ok(room))) => send.send_data(Bytes::from(vec![1; room]), false).unwrap(),
            Ok(ended) => panic!("the stream ended: {ended:?}"),
            Err(_) => return send,
        }
    }
}

/// What every one of the streams holds that are open now, in KiB.
fn each(what: &str, world: &World, before: u64) {
    let each = world.memory().saturating_sub(before) / STREAMS;
    println!("flat: {what}: {each} KiB a stream that stands still");
    assert!(each <= EACH, "{what}: {each} KiB a stream");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_that_nobody_reads_costs_little() {
    let authority = Authority::new();
    let echo = tokio::task::spawn_blocking(|| Echo::start("echo")).await.unwrap();
    let world = world(&authority, echo.port);
    for backend in ["h1", "h2"] {
        let (mut held, mut before) = (Vec::new(), 0);
        let mut send = tls(&authority, world.https).await;
        for stream in 0..STREAMS {
            if stream > 0 && stream % ON_ONE == 0 {
                send = tls(&authority, world.https).await;
            }
            send = send.ready().await.unwrap();
            let request = http::Request::get(format!("https://{backend}.example.com/bytes/1000000000"));
            let (response, _) = send.send_request(request.body(()).unwrap(), true).unwrap();
            let first = async {
                let mut body = response.await.unwrap().into_body();
                body.data().await.unwrap().unwrap();
                body
            };
            // Those that stand still do not hold this one back.
            let first = tokio::time::timeout(Duration::from_secs(10), first).await;
            held.push(first.unwrap_or_else(|_| panic!("stream {stream} from {backend} gets nothing")));
            if stream == 0 {
                before = world.memory();
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        each(&format!("downloads over TLS and HTTP/2 from {backend}"), &world, before);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_nobody_reads_costs_little() {
    let authority = Authority::new();
    let (h1, h2) = (deaf_h1().await, deaf_h2().await);
    let mut manifests = World::gateway_tls("certificate") + &authority.secret("certificate", &["*.example.com"]);
    manifests += &(World::service("h1", h1) + &World::service_speaking("kubernetes.io/h2c", "h2", h2));
    manifests += &(World::route("h1", "h1.example.com", "h1") + &World::route("h2", "h2.example.com", "h2"));
    let world = World::start(&manifests);
    for backend in ["h1", "h2"] {
        let mut send = tls(&authority, world.https).await;
        let (mut responses, mut bodies, mut warm) = (Vec::new(), Vec::new(), 0);
        for stream in 0..STREAMS {
            if stream > 0 && stream % ON_ONE == 0 {
                send = tls(&authority, world.https).await;
            }
            send = send.ready().await.unwrap();
            let request = http::Request::post(format!("https://{backend}.example.com/"));
            let (response, body) = send.send_request(request.body(()).unwrap(), false).unwrap();
            responses.push(response);
            bodies.push(body);
            if stream == 0 {
                // What is allocated once is allocated.
                tokio::time::sleep(Duration::from_secs(1)).await;
                warm = world.memory();
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let before = world.memory();
        println!("flat: {} KiB a stream that is open to {backend}", before.saturating_sub(warm) / STREAMS);
        let filling: tokio::task::JoinSet<_> = bodies.into_iter().map(fill).collect();
        let full = filling.join_all().await;
        each(&format!("uploads over TLS and HTTP/2 to {backend}"), &world, before);
        assert_eq!(full.len() as u64, STREAMS);
    }
}
