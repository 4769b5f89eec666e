// SPDX-License-Identifier: Apache-2.0
use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use super::*;

const FQDN: &str = "_acme-challenge.example.com.";

/// A service that answers all with one status and body, and tells what it is sent.
struct Stub {
    port: u16,
    seen: mpsc::Receiver<(http::request::Parts, Bytes)>,
    /// Its own certificate, if it speaks TLS.
    root: Option<String>,
}

async fn service(status: u16, body: &'static str, is_tls: bool) -> Stub {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, seen) = mpsc::channel(8);
    let (root, acceptor) = if is_tls { certified() } else { (None, None) };
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            match &acceptor {
                None => answer(stream, status, body, &sender).await,
                Some(acceptor) => {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        answer(stream, status, body, &sender).await;
                    }
                }
            }
        }
    });
    Stub { port, seen, root }
}

fn certified() -> (Option<String>, Option<TlsAcceptor>) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = config.with_single_cert(vec![certificate.der().clone()], key).unwrap();
    (Some(certificate.pem()), Some(TlsAcceptor::from(Arc::new(config))))
}

async fn answer<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    status: u16,
    body: &'static str,
    seen: &mpsc::Sender<(http::request::Parts, Bytes)>,
) {
    let service = service_fn(|request: Request<Incoming>| async {
        let (parts, sent) = request.into_parts();
        seen.send((parts, sent.collect().await.unwrap().to_bytes())).await.unwrap();
        let answer = Response::builder().status(status).header("location", "/elsewhere");
        Ok::<_, Infallible>(answer.body(Full::new(Bytes::from(body))).unwrap())
    });
    drop(server::Builder::new().serve_connection(TokioIo::new(stream), service).await);
}

fn at(url: String) -> Service {
    Service { url, roots: None, headers: Vec::new() }
}

fn webhook(url: String) -> Webhook {
    Webhook(at(url))
}

async fn present(webhook: &Webhook) -> Result<(), DnsError> {
    webhook.perform(Action::Present, FQDN, "v").await
}

async fn refused(webhook: Webhook) -> String {
    present(&webhook).await.unwrap_err().to_string()
}

#[tokio::test]
async fn an_order_is_posted_with_the_headers() {
    let mut service = service(204, "", false).await;
    let headers = vec![("Authorization".to_owned(), "Bearer s3cret".to_owned())];
    let webhook = Webhook(Service { headers, ..at(format!("http://127.0.0.1:{}/dns?key=s3cret", service.port)) });
    present(&webhook).await.unwrap();
    let (head, body) = service.seen.recv().await.unwrap();
    assert_eq!((head.method.as_str(), head.uri.to_string()), ("POST", "/dns?key=s3cret".to_owned()));
    assert_eq!(head.headers["authorization"], "Bearer s3cret");
    assert_eq!(head.headers["content-type"], "application/json");
    assert_eq!(head.headers["host"], format!("127.0.0.1:{}", service.port));
    assert_eq!(body, r#"{"action":"present","fqdn":"_acme-challenge.example.com.","value":"v","zone":null}"#);
    webhook.perform(Action::CleanUp, FQDN, "v").await.unwrap();
    let (_, body) = service.seen.recv().await.unwrap();
    assert!(body.starts_with(br#"{"action":"cleanup""#));
    assert!(!format!("{webhook:?}").contains("s3cret"), "{webhook:?}");
}

#[tokio::test]
async fn a_service_behind_tls_must_be_vouched_for() {
    let mut service = service(200, "", true).await;
    let trusted = Service { roots: service.root.clone(), ..at(format!("https://localhost:{}/dns", service.port)) };
    present(&Webhook(trusted.clone())).await.unwrap();
    assert_eq!(service.seen.recv().await.unwrap().0.uri, "/dns");
    let public = refused(Webhook(Service { roots: None, ..trusted })).await;
    assert!(public.contains("TLS: ") && public.ends_with("are its roots configured?"), "{public}");
}

#[tokio::test]
async fn a_failure_says_what_the_service_says_and_shows_no_secret() {
    let mut service = service(500, "no such\n zone\u{1b}[0m", false).await;
    let error = refused(webhook(format!("http://localhost:{}/dns?key=s3cret", service.port))).await;
    assert_eq!(
        error,
        format!(
            "webhook http://localhost:{}/dns did not present _acme-challenge.example.com.: it answers 500 Internal Server \
             Error: no such zone [0m",
            service.port
        )
    );
    assert!(service.seen.recv().await.is_some());
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let mut service = service(307, "", false).await;
    let error = refused(webhook(format!("http://localhost:{}/dns", service.port))).await;
    assert!(error.ends_with("redirects are not followed, configure where it is"), "{error}");
    assert_eq!(service.seen.recv().await.unwrap().0.uri, "/dns");
    assert!(service.seen.try_recv().is_err());
}

#[tokio::test]
async fn of_a_long_answer_the_beginning_is_shown() {
    let long: &'static str = "x".repeat(1 << 20).leak();
    let service = service(403, long, false).await;
    let error = refused(webhook(format!("http://localhost:{}/dns", service.port))).await;
    assert!((4 << 10..5 << 10).contains(&error.len()), "{}", error.len());
    assert!(error.ends_with("are its credentials among the headers?"));
}

#[tokio::test]
async fn nothing_is_sent_in_cleartext_to_others_or_to_nowhere() {
    for (url, why) in [
        ("http://dns.example/", "must begin with https://"),
        ("http://192.0.2.1/", "must begin with https://"),
        ("http://localhost.example/", "must begin with https://"),
        ("ftp://localhost/", "must begin with https://"),
        ("localhost:1/dns", "invalid"),
        ("/dns", "has no host"),
        ("https://me:pass@dns.example/", "send credentials in a header"),
    ] {
        let error = refused(webhook(url.to_owned())).await;
        assert!(error.starts_with("webhook: ") && error.contains(why), "{url}: {error}");
    }
    for header in [("a b", "c"), ("a", "b\r\nc: d")] {
        let headers = vec![(header.0.to_owned(), header.1.to_owned())];
        let error = refused(Webhook(Service { headers, ..at("http://localhost:1/".to_owned()) })).await;
        assert!(error.contains("is no header"), "{error}");
    }
    for roots in ["", "no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let trusting = Service { roots: Some(roots.to_owned()), ..at("https://localhost:1/".to_owned()) };
        let error = refused(Webhook(trusting)).await;
        assert!(error.contains("its roots"), "{error}");
    }
}

#[tokio::test]
async fn a_service_that_says_nothing_is_not_waited_for_long() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = webhook(format!("http://{}/", listener.local_addr().unwrap()));
    let error = silent.run(Action::Present, FQDN, "v", Duration::from_millis(50)).await.unwrap_err().to_string();
    assert!(error.contains("no answer within 50ms"), "{error}");
}

#[tokio::test]
async fn a_service_that_hangs_up_after_its_answer_has_answered() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let abrupt = webhook(format!("http://{}/", listener.local_addr().unwrap()));
    tokio::spawn(async move {
        for answer in ["HTTP/1.1 200 x\r\ncontent-length: 0\r\n\r\n", "HTTP/1.1 204 x\r\nconnection: close\r\n\r\n", ""]
        {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut read = Vec::new();
            while !read.ends_with(b"}") && stream.read_buf(&mut read).await.unwrap() > 0 {}
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    assert_eq!(present(&abrupt).await, Ok(()));
    assert_eq!(present(&abrupt).await, Ok(()));
    assert!(present(&abrupt).await.unwrap_err().to_string().contains("closes the connection"));
}
