// SPDX-License-Identifier: Apache-2.0

use std::time::Duration;

use pingora_core::protocols::{ALPN, Ssl, Stream, UniqueID};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

async fn pair() -> (Io, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (client, accepted) =
        tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), async { listener.accept().await });
    (Io::tcp(accepted.unwrap().0), client.unwrap())
}

#[tokio::test]
async fn what_was_put_back_is_read_first_and_in_order() {
    let (mut io, mut client) = pair().await;
    client.write_all(b"rest").await.unwrap();
    io.unread(b"second ");
    io.unread(b"first ");
    io.unread(b"");
    let mut text = vec![0; 17];
    io.read_exact(&mut text).await.unwrap();
    assert_eq!(text, b"first second rest");
}

#[tokio::test]
async fn an_idle_connection_is_quiet_until_its_peer_sends_or_closes() {
    let (mut io, mut client) = pair().await;
    assert!(io.quiet());
    client.write_all(b"x").await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!io.quiet());

    let (mut io, client) = pair().await;
    drop(client);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!io.quiet());

    let (mut io, _client) = pair().await;
    io.unread(b"x");
    assert!(!io.quiet());
}

#[tokio::test]
async fn a_peer_that_is_not_listened_to_is_seen_to_leave_and_loses_nothing() {
    for half in [true, false] {
        let (mut io, mut client) = pair().await;
        let gone = async |io: &mut Io| {
            tokio::time::timeout(Duration::from_millis(100), std::future::poll_fn(|cx| io.poll_gone(cx, half)))
                .await
                .is_ok()
        };
        client.write_all(b"said").await.unwrap();
        assert!(!gone(&mut io).await);
        client.write_all(b" before").await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(gone(&mut io).await, !half, "an end may be that of a half");
        let mut text = String::new();
        io.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "said before");

        let (mut io, client) = pair().await;
        client.set_zero_linger().unwrap();
        drop(client);
        assert!(gone(&mut io).await);
        let (mut io, mut client) = pair().await;
        client.write_all(&vec![0; 64 << 10]).await.unwrap();
        assert!(!gone(&mut io).await);
        assert!(io.unread.len() < MOST_AHEAD + (4 << 10));
    }
}

#[tokio::test]
async fn slices_are_written_as_one() {
    let (mut io, mut client) = pair().await;
    let slices = [IoSlice::new(b"head "), IoSlice::new(b"body")];
    assert_eq!(io.write_vectored(&slices).await.unwrap(), 9);
    let mut text = [0; 9];
    client.read_exact(&mut text).await.unwrap();
    assert_eq!(&text, b"head body");
}

#[tokio::test]
async fn pingora_takes_it_and_gives_it_back() {
    let (io, mut client) = pair().await;
    let fd = io.id();
    let mut stream: Stream = Box::new(io);
    assert!(stream.get_ssl_digest().is_none() && stream.selected_alpn_proto().is_none());
    assert!(stream.get_socket_digest().unwrap().peer_addr().is_some());
    stream.shutdown().await.unwrap();
    assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
    let back = stream.into_any().downcast::<Io>().unwrap();
    assert_eq!(back.id(), fd);
}

#[tokio::test]
async fn under_tls_it_knows_protocol_and_version() {
    let made = rcgen::generate_simple_self_signed(vec!["a.com".into()]).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = rustls_pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let mut server = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    server.alpn_protocols = vec![b"h2".to_vec()];
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let mut client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = vec![b"h2".to_vec()];

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accept = async {
        let (stream, _) = listener.accept().await.unwrap();
        tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(server)).accept(Socket(stream)).await.unwrap()
    };
    let connect = async {
        let stream = TcpStream::connect(address).await.unwrap();
        let name = rustls_pki_types::ServerName::try_from("a.com").unwrap();
        tokio_rustls::TlsConnector::from(std::sync::Arc::new(client)).connect(name, Socket(stream)).await.unwrap()
    };
    let (accepted, connected) = tokio::join!(accept, connect);
    let (mut near, mut far) = (Io::tls_server(accepted), Io::tls_client(connected));
    assert_eq!(near.selected_alpn_proto(), Some(ALPN::H2));
    assert_eq!(far.get_ssl_digest().unwrap().version, "TLSv1.3");
    assert!(near.quiet());
    far.write_all(b"hello").await.unwrap();
    far.flush().await.unwrap();
    let mut text = [0; 5];
    near.read_exact(&mut text).await.unwrap();
    assert_eq!(&text, b"hello");
    near.shutdown().await.unwrap();
    // Session tickets and the close are read, no data.
    assert_eq!(far.read(&mut text).await.unwrap(), 0);
}

#[test]
fn an_idle_connection_costs_little_more_than_its_socket() {
    assert!(size_of::<Io>() <= 96, "{}", size_of::<Io>());
}
