// SPDX-License-Identifier: Apache-2.0

use std::sync::Mutex;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use torana_ir::{Certificate, CertificateKey, Snapshot};

use super::*;
use crate::feed::Program;
use crate::observe::{Metrics, Readiness};
use crate::samples::nobody;

async fn started(service: impl server::Service) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, Arc::new(service)));
    address
}

/// Status line and body of one exchange.
async fn ask(address: std::net::SocketAddr, head: &str, body: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let request = format!("{head}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

async fn get(address: std::net::SocketAddr, target: &str) -> (String, String) {
    ask(address, &format!("GET {target} HTTP/1.1\r\nhost: localhost:1"), "").await
}

const OK: &str = "HTTP/1.1 200 OK";

#[tokio::test]
async fn readiness_names_what_blocks_and_liveness_does_not_care() {
    let (metrics, readiness) = (Arc::new(Metrics::new()), Readiness::default());
    readiness.block("table");
    readiness.block("draining");
    let address =
        started(Health { metrics: Arc::clone(&metrics), readiness: readiness.clone(), standing: nobody() }).await;
    for path in ["/readyz", "/healthz/ready"] {
        let expected = ("HTTP/1.1 503 Service Unavailable".to_owned(), "not ready: draining, table\n".to_owned());
        assert_eq!(get(address, path).await, expected);
    }
    assert_eq!(get(address, "/livez").await, (OK.to_owned(), "ok\n".to_owned()));
    readiness.clear("table");
    readiness.clear("draining");
    assert_eq!(get(address, "/readyz").await, (OK.to_owned(), "ok\n".to_owned()));
    metrics.rejected("bad_host");
    let (status, text) = get(address, "/metrics").await;
    assert_eq!(status, OK);
    assert!(text.contains("# TYPE torana_requests_rejected_total counter\n"), "{text}");
    assert_eq!(get(address, "/debug/config").await.0, "HTTP/1.1 404 Not Found");
    let put = ask(address, "PUT /readyz HTTP/1.1\r\nhost: a", "").await;
    assert_eq!(put.0, "HTTP/1.1 405 Method Not Allowed");
}

struct Level(Mutex<String>);

impl LogLevel for Level {
    fn level(&self) -> String {
        self.0.lock().unwrap().clone()
    }
    fn set_level(&self, level: &str) -> Result<(), String> {
        if level == "loud" {
            return Err("\"loud\" is not a level".to_owned());
        }
        level.clone_into(&mut self.0.lock().unwrap());
        Ok(())
    }
}

fn debug(snapshot: Snapshot) -> Debug {
    let table = Arc::new(ArcSwap::from_pointee(Table::compile(&snapshot, &Table::empty())));
    let (_, generation) = watch::channel(7);
    let explain: Explain = Arc::new(|table: &Table, query: &str| match query {
        "" => Err("a url is needed".to_owned()),
        query => Ok(format!("{{\"query\":\"{query}\",\"binds\":{}}}", table.binds().len())),
    });
    Debug {
        program: Program { snapshot: Arc::new(snapshot.into()), table, generation },
        explain: Some(explain),
        log_level: Some(Arc::new(Level(Mutex::new("info".to_owned())))),
        standing: nobody(),
    }
}

#[tokio::test]
async fn the_configuration_is_shown_without_its_keys() {
    let made = rcgen::generate_simple_self_signed(vec!["a.com".into()]).unwrap();
    let (key, pem) = (CertificateKey { namespace: "n".into(), name: "c".into() }, made.signing_key.serialize_pem());
    let certificate = Certificate::from_pem(key.clone(), made.cert.pem().as_bytes(), pem.as_bytes()).unwrap();
    let mut snapshot = Snapshot::default();
    snapshot.certificates.insert(key, Arc::new(certificate));
    let address = started(debug(snapshot)).await;
    let (status, body) = get(address, "/debug/config").await;
    let config: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status.as_str(), &config["generation"]), (OK, &7.into()));
    assert_eq!(config["snapshot"]["certificates"][0]["names"][0], "a.com");
    let secret = pem.lines().nth(1).unwrap();
    assert!(!body.contains(secret) && body.contains("sha256:"), "{body}");
}

#[tokio::test]
async fn a_request_is_explained_from_the_table_in_force() {
    let address = started(debug(Snapshot::default())).await;
    let (status, body) = get(address, "/debug/explain?url=http://a").await;
    assert_eq!((status.as_str(), body.as_str()), (OK, "{\"query\":\"url=http://a\",\"binds\":0}"));
    let (status, body) = get(address, "/debug/explain").await;
    assert_eq!((status.as_str(), body.as_str()), ("HTTP/1.1 400 Bad Request", "a url is needed\n"));
}

#[tokio::test]
async fn the_log_level_is_told_and_set() {
    let address = started(debug(Snapshot::default())).await;
    assert_eq!(get(address, "/log-level").await.1, "info\n");
    let put = async |level: &str| ask(address, "PUT /log-level HTTP/1.1\r\nhost: 127.0.0.1", level).await;
    assert_eq!(put("debug\n").await, (OK.to_owned(), "debug\n".to_owned()));
    assert_eq!(put("loud").await.0, "HTTP/1.1 400 Bad Request");
    assert_eq!(put(&"x".repeat(2000)).await.0, "HTTP/1.1 413 Payload Too Large");
    assert_eq!(get(address, "/log-level").await.1, "debug\n");
}

#[tokio::test]
async fn a_web_page_cannot_ask_through_a_name_of_its_own() {
    let address = started(debug(Snapshot::default())).await;
    for (host, allowed) in
        [("localhost:15000", true), ("127.0.0.1:15000", true), ("[::1]:15000", true), ("evil.com", false)]
    {
        let (status, _) = ask(address, &format!("GET /debug/config HTTP/1.1\r\nhost: {host}"), "").await;
        assert_eq!(status == OK, allowed, "{host}: {status}");
    }
}

#[tokio::test]
async fn a_client_that_never_finishes_its_head_is_closed() {
    let address =
        started(Health { metrics: Arc::new(Metrics::new()), readiness: Readiness::default(), standing: nobody() })
            .await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /livez HTTP/1.1\r\nx: ").await.unwrap();
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(8), stream.read_to_end(&mut rest)).await;
    assert!(closed.is_ok());
}
