// SPDX-License-Identifier: Apache-2.0
//! Questions of ACME by TLS: those that a handshake answers (TLS-ALPN-01), those inside (HTTP-01), and what clients see
//! while the certificate is on its way.

use rustls::SignatureScheme;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use x509_parser::extensions::GeneralName;

use super::*;
use crate::samples::{Trusting, acme_host};

/// A client that offers these protocols and takes every certificate.
fn offering(protocols: &[&[u8]]) -> TlsConnector {
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    let trusting = Arc::new(Trusting(vec![SignatureScheme::ECDSA_NISTP256_SHA256]));
    let mut config = builder
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(trusting)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

async fn shake(port: u16, name: &'static str, protocols: &[&[u8]]) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect((LOCAL, port)).await.unwrap();
    offering(protocols).connect(ServerName::try_from(name).unwrap(), stream).await
}

/// DNS names and the acmeIdentifier of what the server has shown.
fn shown(stream: &TlsStream<TcpStream>) -> (Vec<String>, Option<Vec<u8>>) {
    let leaf = &stream.get_ref().1.peer_certificates().unwrap()[0];
    let (_, parsed) = x509_parser::parse_x509_certificate(leaf).unwrap();
    let san = parsed.subject_alternative_name().unwrap();
    let names = san.iter().flat_map(|san| &san.value.general_names).map(|name| match name {
        GeneralName::DNSName(name) => (*name).to_owned(),
        other => panic!("{other:?}"),
    });
    let names = names.collect();
    let proof = parsed.extensions().iter().find(|one| one.oid.to_id_string() == "1.3.6.1.5.5.7.1.31");
    (names, proof.inspect(|one| assert!(one.critical)).map(|one| one.value.to_vec()))
}

fn asked(mut program: Snapshot, tokens: &[&str], proof: Option<&str>) -> Snapshot {
    let host = acme_host("g", "a.com", tokens, proof, true);
    program.acme_hosts.insert(host.key.clone(), Arc::new(host));
    program
}

async fn ended(mut stream: TlsStream<TcpStream>) -> io::Result<usize> {
    let mut rest = Vec::new();
    tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await.expect("a close")
}

#[tokio::test]
async fn an_authority_that_offers_its_protocol_alone_is_shown_the_proof_and_no_more() {
    let port = free_port();
    let mut world = world(1, many());
    let (program, _) = https(port, "a.com");
    world.program(&asked(program, &[], Some("token.thumb"))).await;
    let stream = shake(port, "a.com", &[b"acme-tls/1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"acme-tls/1"[..]));
    let proof = [&[4, 32][..], &torana_ir::sha256(b"token.thumb")].concat();
    assert_eq!(shown(&stream), (vec!["a.com".to_owned()], Some(proof)));
    // Without close_notify this would be an error.
    assert_eq!(ended(stream).await.unwrap(), 0);
    world.eventually("torana_acme_challenges_total{type=\"tls-alpn-01\"} 1").await;
}

#[tokio::test]
async fn the_proof_is_shown_where_no_listener_has_the_name() {
    let port = free_port();
    let mut world = world(1, many());
    let (program, _) = https(port, "b.com");
    world.program(&asked(program, &[], Some("token.thumb"))).await;
    assert!(shown(&shake(port, "a.com", &[b"acme-tls/1"]).await.unwrap()).1.is_some());
    assert!(shake(port, "a.com", &[b"h2"]).await.is_err());
}

#[tokio::test]
async fn whoever_offers_more_or_asks_about_others_is_a_client_as_any() {
    let port = free_port();
    let mut world = world(1, many());
    let (program, _) = https(port, "");
    world.program(&asked(program, &[], Some("token.thumb"))).await;
    for protocols in [&[&b"acme-tls/1"[..], b"h2"][..], &[b"h2", b"acme-tls/1"], &[b"http/1.1"], &[]] {
        let stream = shake(port, "a.com", protocols).await.unwrap();
        assert_ne!(stream.get_ref().1.alpn_protocol(), Some(&b"acme-tls/1"[..]));
        assert_eq!(shown(&stream).1, None);
    }
    // Nothing that the listener speaks is offered.
    assert!(shake(port, "b.com", &[b"acme-tls/1"]).await.is_err());
    world.eventually("torana_acme_challenges_total{type=\"tls-alpn-01\"} 0").await;
    // And where nothing is to be proven the name alone does not help.
    world.program(&asked(https(port, "").0, &["t"], None)).await;
    assert!(shake(port, "a.com", &[b"acme-tls/1"]).await.is_err());
}

#[tokio::test]
async fn an_authority_that_holds_on_is_left_in_time() {
    let port = free_port();
    let mut world = world(1, many());
    let (program, _) = https(port, "a.com");
    world.program(&asked(program, &[], Some("token.thumb"))).await;
    let began = std::time::Instant::now();
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(shake(port, "a.com", &[b"acme-tls/1"]).await.unwrap());
    }
    world.eventually("torana_acme_challenges_total{type=\"tls-alpn-01\"} 3").await;
    // None of them says a word; each hears the end at once, and then there is nobody left to write to.
    for stream in streams {
        let (mut tcp, _) = stream.into_inner();
        assert!(!all(&mut tcp).await.is_empty());
        while tcp.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_question_inside_of_tls_is_answered_as_one_in_cleartext() {
    let port = free_port();
    let mut world = world(1, many());
    let (program, client) = https(port, "a.com");
    world.program(&asked(program, &["t"], None)).await;
    let stream = TcpStream::connect((LOCAL, port)).await.unwrap();
    let mut stream = TlsConnector::from(client).connect(ServerName::try_from("a.com").unwrap(), stream).await.unwrap();
    let request = b"GET /.well-known/acme-challenge/t HTTP/1.1\r\nHost: a.com\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nt.thumb"), "{answer}");
}

#[tokio::test]
async fn a_placeholder_gives_way_to_the_certificate_and_connections_live_on() {
    let port = free_port();
    let mut world = world(1, many());
    let (mut program, _) = https(port, "a.com");
    let mut pending = Listener::clone(program.listeners.values().next().unwrap());
    let Protocol::Https(tls) = &mut pending.protocol else { unreachable!() };
    tls.placeholder = true;
    program.listeners.insert(pending.key.clone(), Arc::new(pending));
    let certificates = std::mem::take(&mut program.certificates);
    world.program(&program).await;
    let common_name = |stream: &TlsStream<TcpStream>| {
        let leaf = &stream.get_ref().1.peer_certificates().unwrap()[0];
        let (_, parsed) = x509_parser::parse_x509_certificate(leaf).unwrap();
        parsed.subject().to_string()
    };
    let mut before = shake(port, "a.com", &[b"http/1.1"]).await.unwrap();
    assert_eq!(common_name(&before), "CN=pending ACME");
    world.program(&Snapshot { certificates, ..program }).await;
    let after = shake(port, "a.com", &[b"http/1.1"]).await.unwrap();
    assert_ne!(common_name(&after), "CN=pending ACME");
    before.write_all(b"GET / HTTP/1.1\r\nHost: a.com\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    before.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
}
