// SPDX-License-Identifier: Apache-2.0
//! Tunnels as connections like any other: what [`Io`] asks of them, HTTP/1.1 and TLS inside them, and TLS 1.3 around them.

use std::future::poll_fn;
use std::sync::Arc;

use ::bytes::Bytes;
use h2::Reason;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use pingora_core::protocols::{GetSocketDigest as _, Ssl as _, UniqueID as _};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::{TcpListener, TcpStream};

use super::peer::Order;
use super::*;
use crate::io::{Inner, Io, Socket};

/// For tasks of the same thread to do what they can.
async fn settled() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}

async fn gone(io: &mut Io, half: bool) -> bool {
    tokio::time::timeout(Duration::from_millis(100), poll_fn(|cx| io.poll_gone(cx, half))).await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn an_idle_tunnel_is_quiet_until_its_peer_sends_ends_or_breaks() {
    let pool = Pool::new();
    let echo = Peer::echo();
    let mut io = open(&pool, &echo).await.unwrap().into_io();
    assert!(io.quiet());
    io.write_all(b"x").await.unwrap();
    settled().await;
    assert!(!io.quiet());

    let mut io = open(&pool, &echo).await.unwrap().into_io();
    echo.order(Order::GoAway);
    settled().await;
    assert!(io.quiet(), "streams that are open go on");
    echo.order(Order::Break);
    settled().await;
    assert!(!io.quiet());

    for conduct in [Conduct::Say(""), Conduct::Reset(Reason::CANCEL)] {
        let peer = Peer::new(conduct);
        let mut io = open(&pool, &peer).await.unwrap().into_io();
        settled().await;
        assert!(!io.quiet(), "{conduct:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_not_listened_to_is_seen_to_leave_and_loses_nothing() {
    let pool = Pool::new();
    let peer = Peer::new(Conduct::Say("said before"));
    for half in [true, false] {
        let mut io = open(&pool, &peer).await.unwrap().into_io();
        assert_eq!(gone(&mut io, half).await, !half, "an end may be that of a half");
        let mut text = String::new();
        io.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "said before");

        let peer = Peer::new(Conduct::Reset(Reason::CANCEL));
        assert!(gone(&mut open(&pool, &peer).await.unwrap().into_io(), half).await);
        let peer = Peer::new(Conduct::Hoard);
        assert!(!gone(&mut open(&pool, &peer).await.unwrap().into_io(), half).await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_has_the_address_of_its_connection_and_a_number_of_its_own() {
    let (pool, peer) = (Pool::new(), Peer::echo());
    let mut first = open(&pool, &peer).await.unwrap().into_io();
    let second = open(&pool, &peer).await.unwrap().into_io();
    assert!(first.local().is_some() && first.local() == second.local());
    assert!(first.id() < 0 && second.id() < 0 && first.id() != second.id());
    assert!(first.get_socket_digest().is_none() && first.get_ssl_digest().is_none());
    first.reset();
    assert_eq!(peer.reset().await, Some(Reason::CANCEL));
    assert!(format!("{first:?}").starts_with("Io(tunnel, -"));
}

/// A server of HTTP/1.1 that tells what it was asked and over which of its connections.
async fn origin() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut connections = 0;
        while let Ok((socket, _)) = listener.accept().await {
            connections += 1;
            let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| async move {
                let path = request.uri().path().to_owned();
                let body = request.into_body().collect().await?.to_bytes();
                let said = format!("{connections} {path} {}", String::from_utf8_lossy(&body));
                Ok::<_, hyper::Error>(Response::new(Full::new(Bytes::from(said))))
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service));
        }
    });
    address
}

async fn tunnel_to(pool: &Pool, peer: &Peer, authority: &str) -> Tunnel {
    let ask = Ask { authority, headers: &HeaderMap::new() };
    pool.open(key(peer), &ask, Instant::now() + Duration::from_secs(20), || peer.dial()).await.unwrap()
}

#[tokio::test]
async fn http_1_is_spoken_through_a_tunnel_request_after_request() {
    let (pool, peer, origin) = (Pool::new(), Peer::new(Conduct::Bridge), origin().await);
    for at in 1..=3 {
        let io = tunnel_to(&pool, &peer, &origin.to_string()).await.into_io();
        let (mut requests, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io)).await.unwrap();
        let driving = tokio::spawn(connection);
        for path in ["/a", "/b", "/c"] {
            let body = "x".repeat(100_000);
            let request = Request::post(path).header("host", "a").body(Full::new(Bytes::from(body.clone()))).unwrap();
            let response = requests.send_request(request).await.unwrap();
            let said = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(said, format!("{at} {path} {body}"));
        }
        drop(requests);
        driving.await.unwrap().unwrap();
    }
    assert_eq!(counts(&pool), (1, 1, 0));
}

type Made = (CertificateDer<'static>, PrivateKeyDer<'static>);

fn certificate() -> Made {
    let made = rcgen::generate_simple_self_signed(vec!["a.com".into()]).unwrap();
    (made.cert.der().clone(), PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap())
}

/// TLS 1.3 for both ends; a client that is asked for its certificate has `shown`.
fn configurations(shown: Option<Made>, asks: bool) -> (rustls::ServerConfig, rustls::ClientConfig) {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let (served, key) = certificate();
    let roots = |of: &CertificateDer<'static>| {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(of.clone()).unwrap();
        roots
    };
    let server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap();
    let server = if asks {
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots(&served)),
            Arc::clone(&provider),
        );
        server.with_client_cert_verifier(verifier.build().unwrap())
    } else {
        server.with_no_client_auth()
    };
    let mut server = server.with_single_cert(vec![served.clone()], key).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots(&served));
    let mut client = match shown {
        Some((certificate, key)) => client.with_client_auth_cert(vec![certificate], key).unwrap(),
        None => client.with_no_client_auth(),
    };
    server.alpn_protocols = vec![b"h2".to_vec()];
    client.alpn_protocols = vec![b"h2".to_vec()];
    client.enable_sni = false;
    (server, client)
}

fn name() -> ServerName<'static> {
    ServerName::try_from("a.com").unwrap()
}

/// A peer behind TLS that sends back what comes; its dial.
async fn behind_tls(
    server: rustls::ServerConfig,
    client: rustls::ClientConfig,
) -> impl Fn() -> futures_util::future::BoxFuture<'static, Result<Box<Io>, Fault>> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server));
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(socket).await else { continue };
            assert_eq!(stream.get_ref().1.server_name(), None);
            tokio::spawn(async move {
                let mut h2 = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((request, mut respond))) = h2.accept().await {
                    let mut send = respond.send_response(Response::new(()), false).unwrap();
                    let mut receive = request.into_body();
                    tokio::spawn(async move {
                        while let Some(Ok(data)) = receive.data().await {
                            receive.flow_control().release_capacity(data.len()).unwrap();
                            send.send_data(data, false).unwrap();
                        }
                        send.send_data(Bytes::new(), true).ok();
                    });
                }
            });
        }
    });
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
    move || {
        let connector = connector.clone();
        Box::pin(async move {
            let socket = TcpStream::connect(address).await.map_err(|_| Fault::Connect)?;
            let stream =
                connector.connect(name(), Socket(socket)).await.map_err(|_| Fault::UpstreamTls("handshake"))?;
            Ok(Box::new(Io::tls_client(stream)))
        })
    }
}

const KEY: Key = Key {
    identity: 1,
    peers: 1,
    address: std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 15008),
};

#[tokio::test]
async fn tunnels_go_through_tls_1_3() {
    let (server, client) = configurations(None, false);
    let dial = behind_tls(server, client).await;
    let pool = Pool::new();
    let ask = Ask { authority: "10.0.0.7:8080", headers: &HeaderMap::new() };
    for _ in 0..50 {
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut tunnel = pool.open(KEY, &ask, deadline, &dial).await.unwrap();
        echoes(&mut tunnel).await;
    }
    assert_eq!(counts(&pool), (1, 1, 0));
}

/// Under TLS 1.3 the client's handshake is done before the server has seen its certificate.
#[tokio::test]
async fn a_certificate_that_the_peer_does_not_take_is_a_fault_of_tls_and_no_broken_tunnel() {
    for (shown, why) in [(None, "client_certificate_required"), (Some(certificate()), "alert")] {
        let (server, client) = configurations(shown, true);
        let dial = behind_tls(server, client).await;
        let ask = Ask { authority: "10.0.0.7:8080", headers: &HeaderMap::new() };
        let failed = Pool::new().open(KEY, &ask, Instant::now() + Duration::from_secs(20), dial).await;
        let Err(Failure::Dial(Fault::UpstreamTls(word))) = failed else { panic!("{failed:?}") };
        assert_eq!(word, why);
    }
}

#[tokio::test]
async fn tls_of_its_own_goes_through_a_tunnel() {
    let (server, client) = configurations(None, false);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = listener.local_addr().unwrap().to_string();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server));
    tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(socket).await.unwrap();
        let mut text = vec![0; 300_000];
        stream.read_exact(&mut text).await.unwrap();
        stream.write_all(&text).await.unwrap();
        stream.shutdown().await.unwrap();
    });
    let (pool, peer) = (Pool::new(), Peer::new(Conduct::Bridge));
    let tunnel: Inner = tunnel_to(&pool, &peer, &origin).await.into_inner();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
    let mut io = Io::tls_in_tunnel(connector.connect(name(), tunnel).await.unwrap());
    assert!(io.quiet() && io.local().is_some() && io.id() < 0);
    assert!(io.get_socket_digest().is_none());
    assert_eq!(io.get_ssl_digest().unwrap().version, "TLSv1.3");
    assert_eq!(io.selected_alpn_proto(), Some(pingora_core::protocols::ALPN::H2));
    let sent: Vec<u8> = (0..300_000).map(|at: u32| at as u8).collect();
    io.write_all(&sent).await.unwrap();
    io.flush().await.unwrap();
    let mut text = Vec::new();
    io.read_to_end(&mut text).await.unwrap();
    assert!(text == sent);
    io.reset();
    drop(io);
    assert_eq!(counts(&pool).2, 0);
}

#[tokio::test]
async fn http_2_goes_through_a_tunnel_as_pingora_speaks_it() {
    use pingora_core::connectors::http::v2::{H2HandshakeSettings, handshake};
    let (pool, peer) = (Pool::new(), Peer::new(Conduct::Bridge));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let mut h2 = h2::server::handshake(listener.accept().await.unwrap().0).await.unwrap();
        while let Some(Ok((_, mut respond))) = h2.accept().await {
            respond.send_response(Response::new(()), true).unwrap();
        }
    });
    let io = Box::new(tunnel_to(&pool, &peer, &origin).await.into_io());
    let mut settings = H2HandshakeSettings::new();
    settings.max_streams = 1;
    let connection = handshake(io, settings).await.unwrap();
    let mut session = connection.spawn_stream().await.unwrap().unwrap();
    let mut request = pingora_http::RequestHeader::build("GET", b"/", None).unwrap();
    request.insert_header("host", "a").unwrap();
    session.write_request_header(Box::new(request), true).unwrap();
    session.read_response_header().await.unwrap();
    assert_eq!(session.response_header().unwrap().status, 200);
}
