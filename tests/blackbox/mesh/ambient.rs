// SPDX-License-Identifier: Apache-2.0
//! Pods of the ambient mesh: HTTP/2 CONNECT in mutual TLS to port 15008 of their address, what they speak inside.

use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use torana_tests::{Authority, Backend, World, echo, eventually};

use super::super::http2::client as h2_client;
use super::super::manifests::{grpc_route, object, to};
use super::{Identity, ambient_pod, id, peer_authentication};

/// What a node's proxy was asked.
#[derive(Default)]
struct Asked {
    connections: AtomicUsize,
    /// `:authority`, and what the handshake called us, if it did.
    tunnels: Mutex<Vec<(String, Option<String>)>>,
    /// Answered in place of 200.
    refusal: AtomicUsize,
}

/// The proxy of a node, which opens tunnels to ports of 127.0.0.1 for whoever shakes hands; on port 15008 of `address`.
fn node(address: &'static str, config: Arc<ServerConfig>) -> Arc<Asked> {
    let asked = Arc::<Asked>::default();
    let (kept, listener) = (Arc::clone(&asked), TcpListener::bind((address, 15008)).unwrap());
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let acceptor = TlsAcceptor::from(config);
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(connection(stream, acceptor.clone(), Arc::clone(&kept)));
            }
        });
    });
    asked
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, asked: Arc<Asked>) {
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let sni = stream.get_ref().1.server_name().map(str::to_owned);
    asked.connections.fetch_add(1, Ordering::SeqCst);
    let Ok(mut h2) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, mut respond))) = h2.accept().await {
        assert_eq!(request.method(), Method::CONNECT);
        let authority = request.uri().authority().unwrap().to_string();
        assert_eq!(request.headers()["x-istio-source"], "gateway");
        let baggage = request.headers()["baggage"].to_str().unwrap();
        assert!(baggage.starts_with("k8s.namespace.name=default,k8s.deployment.name=gateway,"), "{baggage}");
        asked.tunnels.lock().unwrap().push((authority.clone(), sni.clone()));
        let refusal = asked.refusal.load(Ordering::SeqCst);
        if refusal > 0 {
            let status = StatusCode::from_u16(refusal.try_into().unwrap()).unwrap();
            respond.send_response(Response::builder().status(status).body(()).unwrap(), true).unwrap();
            continue;
        }
        let port: u16 = authority.rsplit(':').next().unwrap().parse().unwrap();
        let send = respond.send_response(Response::new(()), false).unwrap();
        tokio::spawn(tunnel(port, request.into_body(), send));
    }
}

/// Bytes between a stream and a port of this machine.
async fn tunnel(port: u16, mut from: h2::RecvStream, mut to: h2::SendStream<Bytes>) {
    let Ok(backend) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    let (mut read, mut write) = backend.into_split();
    tokio::spawn(async move {
        while let Some(Ok(data)) = from.data().await {
            from.flow_control().release_capacity(data.len()).ok();
            if write.write_all(&data).await.is_err() {
                return;
            }
        }
        write.shutdown().await.ok();
    });
    let mut bytes = vec![0; 16 << 10];
    while let Ok(count @ 1..) = read.read(&mut bytes).await {
        if to.send_data(Bytes::copy_from_slice(&bytes[..count]), false).is_err() {
            return;
        }
    }
    to.send_data(Bytes::new(), true).ok();
}

#[test]
fn http_goes_through_one_connection_to_the_node_and_leaves_no_bytes_outside() {
    const POD: &str = "127.0.53.1";
    let mesh = Authority::new();
    let identity = Identity::new(&mesh.issue("gateway", &[&id("gateway")]), &[&mesh]);
    let node = node(POD, mesh.server(&[&id("a")], &["h2"], Some(&mesh)));
    let backend = Backend::named("inside");
    let manifests = World::gateway().to_owned()
        + &peer_authentication("STRICT")
        + &ambient_pod("a", (POD, backend.port), "a")
        + &World::catch_all("all", "a");
    let world = identity.world(&manifests);
    assert!(eventually(|| world.status("a", "/") == 200), "{}", world.log());
    for _ in 0..100 {
        assert_eq!(world.get("a", "/").unwrap().text(), "inside");
    }
    assert_eq!(node.connections.load(Ordering::SeqCst), 1);
    let tunnels = node.tunnels.lock().unwrap();
    assert!(tunnels.len() < 4, "connections inside are kept too: {tunnels:?}");
    assert!(tunnels.iter().all(|it| *it == (format!("{POD}:{}", backend.port), None)), "{tunnels:?}");
    assert!(world.log().contains("\"upstream_transport\":\"hbone\""), "{}", world.log());
}

#[test]
fn a_waypoint_is_asked_for_the_service_and_nobody_passes_it_by() {
    const WAYPOINT: &str = "127.0.53.8";
    let mesh = Authority::new();
    let identity = Identity::new(&mesh.issue("gateway", &[&id("gateway")]), &[&mesh]);
    let node = node(WAYPOINT, mesh.server(&[&id("way")], &["h2"], Some(&mesh)));
    let backend = Backend::named("behind");
    // Of the Service itself nothing is known but its address.
    let service = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: a, namespace: default, labels: {{istio.io/use-waypoint: way, \
         istio.io/ingress-use-waypoint: \"true\"}}}}\nspec: {{clusterIP: 10.96.0.7, ports: [{{port: {}}}]}}\n---\n",
        backend.port
    );
    let route = World::catch_all("all", "a").replace("port: 80", &format!("port: {}", backend.port));
    let without = [World::gateway(), &service, &route].concat();
    let world = identity.world(&without);
    assert!(eventually(|| world.get("a", "/").unwrap().text() == "503 no_endpoints\n"), "{}", world.log());
    let way = ambient_pod("way", (WAYPOINT, 15008), "way").replacen("port: 80", "port: 15008", 1);
    world.apply("way.yaml", &way);
    assert!(eventually(|| world.status("a", "/") == 200), "{}", world.log());
    assert_eq!(world.get("a", "/").unwrap().text(), "behind");
    let tunnels = node.tunnels.lock().unwrap();
    assert!(tunnels.iter().all(|it| *it == (format!("10.96.0.7:{}", backend.port), None)), "{tunnels:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_and_tls_of_the_backends_own_go_inside_too() {
    const POD: &str = "127.0.53.2";
    let mesh = Authority::new();
    let identity = Identity::new(&mesh.issue("gateway", &[&id("gateway")]), &[&mesh]);
    let node = node(POD, mesh.server(&[&id("a")], &["h2"], Some(&mesh)));
    let (calls, own) = (echo::h2c().await, Authority::new());
    let backend = Backend::tls("twice", own.server(&["inner.example"], &["http/1.1"], None));
    let rule = object(
        "networking.istio.io/v1",
        "DestinationRule",
        "tls",
        "host: tls, trafficPolicy: {tls: {mode: SIMPLE, sni: inner.example, insecureSkipVerify: true}}",
    );
    let manifests = World::gateway().to_owned()
        + &ambient_pod("calls", (POD, calls), "a")
        + &grpc_route("calls", &format!("hostnames: [grpc.example], rules: [{{{}}}]", to("calls")))
        + &ambient_pod("tls", (POD, backend.port), "a")
        + &rule
        + &World::route("tls", "tls.example", "tls");
    let world = identity.world(&manifests);
    assert!(eventually(|| world.get("tls.example", "/").unwrap().text() == "twice"), "{}", world.log());
    assert_eq!(backend.seen()[0].tls.as_ref().unwrap().sni.as_deref(), Some("inner.example"));
    let mut client = h2_client(world.http).await;
    for _ in 0..50 {
        let request = Request::post("http://grpc.example/x.Y/Z").header("content-type", "application/grpc");
        let (response, mut body) =
            client.send_request(request.header("te", "trailers").body(()).unwrap(), false).unwrap();
        body.send_data(Bytes::from_static(b"hello"), true).unwrap();
        let mut body = response.await.unwrap().into_body();
        assert_eq!(body.data().await.unwrap().unwrap(), "hello");
        assert_eq!(body.trailers().await.unwrap().unwrap()["grpc-status"], "0");
    }
    assert_eq!(node.connections.load(Ordering::SeqCst), 1, "both go to one workload");
}

#[test]
fn who_is_refused_a_tunnel_is_told_503_and_why() {
    let mesh = Authority::new();
    let identity = Identity::new(&mesh.issue("gateway", &[&id("gateway")]), &[&mesh]);
    let backend = Backend::named("inside");
    for (pod, account, refusal, expected) in [
        ("127.0.53.3", "a", 0, "inside"),
        ("127.0.53.4", "a", 403, "503 tunnel_failed\n"),
        ("127.0.53.5", "a", 401, "503 tunnel_failed\n"),
        ("127.0.53.6", "a", 503, "503 connect_failed\n"),
        ("127.0.53.7", "b", 0, "503 upstream_tls_failed\n"),
    ] {
        let node = node(pod, mesh.server(&[&id(account)], &["h2"], Some(&mesh)));
        node.refusal.store(refusal, Ordering::SeqCst);
        let pods = ambient_pod("a", (pod, backend.port), "a") + &World::catch_all("all", "a");
        let world = identity.world(&[World::gateway(), &pods].concat());
        let text = || world.get("a", "/").unwrap().text();
        assert!(eventually(|| text() == expected), "{refusal} {account}: {}\n{}", text(), world.log());
        assert_eq!(backend.take().is_empty(), expected != "inside", "{refusal} {account}");
    }
}
