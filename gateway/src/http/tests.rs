// SPDX-License-Identifier: Apache-2.0
//! The request path over real sockets: a table, a backend, bytes in and bytes out.

mod balancing;
mod challenges;
mod istio;

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use torana_ir::{
    Action, Attachment, Backend, BackendKey, Endpoint, Endpoints, GatewayId, HostPattern, Limits, Listener,
    ListenerKey, PathMatch, PathMode, Protocol, RouteId, RouteKind, RouteMatch, Rule, RuleKey, SharedMap, Snapshot,
    Target, Timeouts, Transport, WeightedBackend,
};

use crate::http::{Worker, serve};
use crate::io::{Io, Peer};
use crate::observe::{AccessLog, LogFormat, Metrics};
use crate::samples::{nobody, unheard, untold};
use crate::table::{Bind, Table};

fn snapshot(backend: SocketAddr) -> Snapshot {
    let gateway = GatewayId { namespace: "n".into(), name: "g".into() };
    let listener = ListenerKey { gateway, set: None, name: "http".into() };
    let key = BackendKey::tcp("n", "b", 80);
    let route = RouteId { kind: RouteKind::HttpRoute, namespace: "n".into(), name: "r".into() };
    let rule = Rule {
        key: RuleKey { route, index: 0 },
        name: None,
        created: 0,
        attachments: vec![Attachment { listener: listener.clone(), hostnames: vec![HostPattern::Any] }],
        matches: vec![RouteMatch::of(PathMatch::Prefix(String::new()))],
        filters: vec![],
        action: Action::Forward(vec![WeightedBackend {
            target: Target::Backend(key.clone()),
            weight: 1,
            filters: vec![],
        }]),
        timeouts: Timeouts::default(),
        retry: None,
        session: None,
        order: torana_ir::Order::Specific,
        sampling: None,
    };
    let endpoints = Endpoints::Static { backend: key.clone(), endpoints: vec![Endpoint::new(backend, true)] };
    let listener = Listener {
        key: listener,
        addresses: vec![],
        port: 80,
        protocol: Protocol::Http,
        hostname: HostPattern::Any,
        path_mode: PathMode::Base,
        limits: Limits::default(),
        identity: None,
        closed: None,
        policies: vec![],
        tokens: vec![],
        proxy_protocol: false,
        tracing: None,
        log: None,
        metrics: None,
        server: None,
    };
    Snapshot {
        listeners: SharedMap::from([(listener.key.clone(), Arc::new(listener))]),
        certificates: SharedMap::new(),
        bundles: SharedMap::new(),
        rules: SharedMap::from([(rule.key.clone(), Arc::new(rule))]),
        streams: SharedMap::new(),
        backends: SharedMap::from([(key.clone(), Arc::new(Backend::new(key.clone())))]),
        endpoints: SharedMap::from([(key, Arc::new(endpoints))]),
        acme_hosts: SharedMap::new(),
        policies: SharedMap::new(),
        tokens: SharedMap::new(),
        providers: SharedMap::new(),
    }
}

/// A gateway in front of `backend`; the port that it listens on.
async fn gateway(backend: SocketAddr) -> SocketAddr {
    programmed(&snapshot(backend)).await.0
}

/// A gateway with a program of its own, and its numbers.
async fn programmed(snapshot: &Snapshot) -> (SocketAddr, Arc<Metrics>) {
    logged(snapshot, LogFormat::Off, std::io::sink()).await
}

/// The same with a log.
async fn logged(
    snapshot: &Snapshot,
    format: LogFormat,
    lines: impl std::io::Write + Send + 'static,
) -> (SocketAddr, Arc<Metrics>) {
    let table = Table::compile(snapshot, &Table::empty());
    let metrics = Arc::new(Metrics::new());
    let log = AccessLog::start(format, lines, &metrics).unwrap();
    let (keep, drain) = watch::channel(false);
    let worker = Worker::new(
        (Arc::new(ArcSwap::from_pointee(table)), nobody(), unheard()),
        Arc::clone(&metrics),
        (log, untold(&metrics)),
        drain,
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let local = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, remote)) = listener.accept().await {
            let bind = Bind { address: None, port: 80, transport: Transport::Tcp };
            let peer = Peer { direct: remote.ip(), remote, local, tls: None };
            tokio::spawn(serve(Box::new(Io::tcp(stream)), peer, bind, Arc::clone(&worker)));
        }
        drop(keep);
    });
    (local, metrics)
}

/// A backend that sends `answer` for every read.
async fn backend(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut bytes = [0; 4096];
                while stream.read(&mut bytes).await.is_ok_and(|read| read > 0) {
                    if stream.write_all(answer).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

async fn talk(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = String::new();
    let read = tokio::time::timeout(std::time::Duration::from_secs(5), stream.read_to_string(&mut answer));
    read.await.expect("an answer within 5 s").unwrap();
    answer
}

#[tokio::test]
async fn a_request_goes_through_and_the_connection_ends_as_asked() {
    let gateway = gateway(backend(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await).await;
    let answer = talk(gateway, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nok"), "{answer}");
}

#[tokio::test]
async fn a_bad_request_is_refused_and_closed() {
    let gateway = gateway(backend(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await).await;
    let answer = talk(gateway, b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
}

#[tokio::test]
async fn a_refused_connect_is_503() {
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = unused.local_addr().unwrap();
    drop(unused);
    let answer = talk(gateway(address).await, b"GET / HTTP/1.0\r\nHost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("503 connect_failed\n"), "{answer}");
}

#[tokio::test]
async fn http2_is_found_by_its_preface() {
    let gateway = gateway(backend(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await).await;
    let (mut client, connection) = h2::client::handshake(TcpStream::connect(gateway).await.unwrap()).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get("http://a/x").body(()).unwrap();
    let response = client.send_request(request, true).unwrap().0.await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.into_body().data().await.unwrap().unwrap(), "ok");
}
