// SPDX-License-Identifier: Apache-2.0
//! Questions of ACME by HTTP-01: what comes back, and that no backend hears of them.

use std::io::Write;
use std::sync::Mutex;

use super::*;
use crate::samples::acme_host;

/// Where the access log goes.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

async fn asked() -> (SocketAddr, Arc<Metrics>, Lines) {
    let mut snapshot = snapshot(backend(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nbehind").await);
    let host = acme_host("g", "a.com", &["t"], None, true);
    snapshot.acme_hosts.insert(host.key.clone(), Arc::new(host));
    let lines = Lines::default();
    let (gateway, metrics) = logged(&snapshot, LogFormat::Json, lines.clone()).await;
    (gateway, metrics, lines)
}

async fn ask(gateway: SocketAddr, method: &str, host: &str, path: &str) -> String {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    talk(gateway, request.as_bytes()).await
}

#[tokio::test]
async fn the_answer_is_the_key_authorization_and_nothing_else() {
    let (gateway, metrics, _) = asked().await;
    let answer = ask(gateway, "GET", "a.com:80", "/.well-known/acme-challenge/t?x").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nt.thumb"), "{answer}");
    assert!(answer.contains("content-type: application/octet-stream\r\n"), "{answer}");
    let answer = ask(gateway, "HEAD", "a.com", "/.well-known/acme-challenge/t").await;
    assert!(answer.contains("content-length: 7\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
    let text = metrics.render();
    assert!(text.contains("torana_acme_challenges_total{type=\"http-01\"} 2\n"), "{text}");
    let counted = "torana_requests_total{backend=\"\",code=\"200\",gateway=\"n/g\",listener=\"http\",method=\"GET\"";
    assert!(text.contains(counted), "{text}");
}

#[tokio::test]
async fn what_has_no_answer_reaches_no_backend_either() {
    let (gateway, metrics, _) = asked().await;
    let answer = ask(gateway, "GET", "a.com", "/.well-known/acme-challenge/u").await;
    assert!(answer.starts_with("HTTP/1.1 404 ") && answer.ends_with("404 acme_unknown_token\n"), "{answer}");
    let answer = ask(gateway, "POST", "a.com", "/.well-known/acme-challenge/t").await;
    assert!(answer.starts_with("HTTP/1.1 405 ") && answer.contains("\r\nallow: GET, HEAD\r\n"), "{answer}");
    for (host, path) in [("b.com", "/.well-known/acme-challenge/t"), ("a.com", "/")] {
        let answer = ask(gateway, "GET", host, path).await;
        assert!(answer.ends_with("\r\n\r\nbehind"), "{host}{path}: {answer}");
    }
    assert!(metrics.render().contains("torana_acme_challenges_total{type=\"http-01\"} 0\n"));
}

#[tokio::test]
async fn http2_is_answered_alike() {
    let (gateway, ..) = asked().await;
    let (mut client, connection) = h2::client::handshake(TcpStream::connect(gateway).await.unwrap()).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get("http://a.com/.well-known/acme-challenge/t").body(()).unwrap();
    let response = client.send_request(request, true).unwrap().0.await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.into_body().data().await.unwrap().unwrap(), "t.thumb");
}

#[tokio::test]
async fn the_log_says_who_answered() {
    let (gateway, _, lines) = asked().await;
    ask(gateway, "GET", "a.com", "/.well-known/acme-challenge/t").await;
    ask(gateway, "GET", "a.com", "/.well-known/acme-challenge/u").await;
    for _ in 0..200 {
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        if text.lines().count() == 2 {
            assert!(text.contains("\"status\":200,\"reason\":\"acme_challenge\","), "{text}");
            assert!(text.contains("\"status\":404,\"flags\":\"NR\",\"reason\":\"acme_unknown_token\","), "{text}");
            assert!(
                text.contains("\"path\":\"/.well-known/acme-challenge/t\",") && !text.contains("\"route\""),
                "{text}"
            );
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("there are no two lines");
}
