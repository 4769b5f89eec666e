// SPDX-License-Identifier: Apache-2.0

mod challenges;

use std::fs::File;
use std::process::Command;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use torana_ir::{Certificate, CertificateKey, HostPattern, Limits, Listener, Protocol, Snapshot, Tls, Transport};

use super::*;
use crate::observe::{AccessLog, LogFormat, Metrics};
use crate::samples::{LOCAL, free_port, listener_key, nobody, unheard, untold};
use crate::table::Table;

struct World {
    workers: Workers,
    metrics: Arc<Metrics>,
    table: Arc<ArcSwap<Table>>,
    _drain: watch::Sender<bool>,
}

fn world(count: usize, caps: Caps) -> World {
    let (drain, draining) = watch::channel(false);
    let metrics = Arc::new(Metrics::new());
    let table = Arc::new(ArcSwap::from_pointee(Table::empty()));
    let log = AccessLog::start(LogFormat::Off, std::io::sink(), &metrics).unwrap();
    let worker = |_| {
        Worker::new(
            (Arc::clone(&table), nobody(), unheard()),
            Arc::clone(&metrics),
            (log.clone(), untold(&metrics)),
            draining.clone(),
        )
    };
    let workers = Workers::start((0..count).map(worker).collect(), &Admission::new(caps)).unwrap();
    World { workers, metrics, table, _drain: drain }
}

impl World {
    /// Puts `snapshot` in force and returns the sockets that could not be opened.
    async fn program(&mut self, snapshot: &Snapshot) -> Vec<(Bind, io::Error)> {
        let table = Table::compile(snapshot, &self.table.load());
        self.table.store(Arc::new(table));
        let binds = self.table.load().binds();
        self.workers.listen(&binds).await
    }

    async fn eventually(&self, line: &str) {
        for _ in 0..200 {
            if self.metrics.render().lines().any(|one| one == line) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{line} is not in\n{}", self.metrics.render());
    }
}

fn many() -> Caps {
    Caps { connections: 1000, connections_per_ip: 1000 }
}

fn listener(name: &str, port: u16, hostname: &str, protocol: Protocol) -> Arc<Listener> {
    Arc::new(Listener {
        addresses: vec![LOCAL],
        protocol,
        hostname: HostPattern::parse(hostname).unwrap(),
        limits: Limits { handshake_deadline: Duration::from_millis(500), ..Limits::default() },
        ..Listener::new(listener_key(name), port)
    })
}

fn snapshot(listeners: &[Arc<Listener>]) -> Snapshot {
    let listeners = listeners.iter().map(|one| (one.key.clone(), Arc::clone(one))).collect();
    Snapshot { listeners, ..Snapshot::default() }
}

/// A snapshot with one HTTPS listener for `hostname`, and a client that trusts its certificate.
fn https(port: u16, hostname: &str) -> (Snapshot, Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(vec![hostname.to_owned()]).unwrap();
    let key = CertificateKey { namespace: "n".into(), name: "c".into() };
    let pem = made.signing_key.serialize_pem();
    let certificate = Certificate::from_pem(key.clone(), made.cert.pem().as_bytes(), pem.as_bytes()).unwrap();
    let tls = Tls::new(vec![key.clone()]);
    let mut snapshot = snapshot(&[listener("secure", port, hostname, Protocol::Https(tls))]);
    snapshot.certificates.insert(key, Arc::new(certificate));
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (snapshot, Arc::new(client))
}

async fn all(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut bytes)).await.expect("a close");
    // A reset is a close too.
    read.ok();
    bytes
}

#[tokio::test]
async fn sockets_open_and_close_while_others_stay() {
    let (one, two) = (free_port(), free_port());
    let mut world = world(2, many());
    let both = [listener("one", one, "", Protocol::Http), listener("two", two, "", Protocol::Http)];
    assert!(world.program(&snapshot(&both)).await.is_empty());
    let kept = TcpStream::connect((LOCAL, one)).await.unwrap();
    TcpStream::connect((LOCAL, two)).await.unwrap();
    assert!(world.program(&snapshot(&both[..1])).await.is_empty());
    assert!(TcpStream::connect((LOCAL, two)).await.is_err());
    TcpStream::connect((LOCAL, one)).await.unwrap();
    assert!(world.program(&snapshot(&both)).await.is_empty());
    TcpStream::connect((LOCAL, two)).await.unwrap();
    world.workers.close_all().await;
    assert!(TcpStream::connect((LOCAL, one)).await.is_err());
    assert!(world.program(&snapshot(&both)).await.is_empty());
    assert!(TcpStream::connect((LOCAL, one)).await.is_err(), "closed for good");
    let mut byte = [0];
    assert_eq!(kept.try_read(&mut byte).unwrap_err().kind(), io::ErrorKind::WouldBlock, "connections go on");
}

#[tokio::test]
async fn a_port_that_is_taken_is_reported_and_opened_when_it_is_free() {
    let other = std::net::TcpListener::bind((LOCAL, 0)).unwrap();
    let (port, free) = (other.local_addr().unwrap().port(), free_port());
    let mut world = world(2, many());
    let program = snapshot(&[listener("one", port, "", Protocol::Http), listener("two", free, "", Protocol::Http)]);
    let failed = world.program(&program).await;
    assert_eq!(failed.len(), 1);
    assert_eq!((failed[0].0.port, failed[0].1.kind()), (port, io::ErrorKind::AddrInUse));
    TcpStream::connect((LOCAL, free)).await.unwrap();
    drop(other);
    assert!(world.program(&program).await.is_empty());
    TcpStream::connect((LOCAL, port)).await.unwrap();
}

#[tokio::test]
async fn beyond_the_cap_connections_are_closed_and_counted() {
    let port = free_port();
    let mut world = world(1, Caps { connections: 10, connections_per_ip: 2 });
    world.program(&snapshot(&[listener("one", port, "", Protocol::Http)])).await;
    let first = TcpStream::connect((LOCAL, port)).await.unwrap();
    let _second = TcpStream::connect((LOCAL, port)).await.unwrap();
    let mut third = TcpStream::connect((LOCAL, port)).await.unwrap();
    assert_eq!(all(&mut third).await, b"");
    world.eventually("torana_connections_refused_total{reason=\"ip_cap\"} 1").await;
    world.eventually("torana_connections{gateway=\"\",listener=\"\",protocol=\"http\"} 2").await;
    drop(first);
    world.eventually("torana_connections{gateway=\"\",listener=\"\",protocol=\"http\"} 1").await;
    let fourth = TcpStream::connect((LOCAL, port)).await.unwrap();
    world.eventually("torana_connections{gateway=\"\",listener=\"\",protocol=\"http\"} 2").await;
    drop(fourth);
}

#[tokio::test]
async fn a_handshake_is_answered_with_the_listener_of_its_name() {
    let port = free_port();
    let mut world = world(1, many());
    let (program, client) = https(port, "a.com");
    assert!(world.program(&program).await.is_empty());
    let connector = tokio_rustls::TlsConnector::from(client);
    let connect = async |name: &'static str| {
        let stream = TcpStream::connect((LOCAL, port)).await.unwrap();
        connector.connect(ServerName::try_from(name).unwrap(), stream).await
    };
    let served = connect("a.com").await.unwrap();
    world
        .eventually("torana_tls_handshake_seconds_count{gateway=\"n/g\",listener=\"secure\",protocol=\"TLSv1.3\"} 1")
        .await;
    world.eventually("torana_connections{gateway=\"n/g\",listener=\"secure\",protocol=\"https\"} 1").await;
    drop(served);
    let refused = connect("b.com").await.unwrap_err();
    let alert = refused.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()).cloned();
    assert_eq!(alert, Some(rustls::Error::AlertReceived(rustls::AlertDescription::UnrecognisedName)));
    world.eventually("torana_tls_errors_total{gateway=\"\",listener=\"\",reason=\"unrecognized_name\"} 1").await;
}

#[tokio::test]
async fn what_is_not_tls_on_a_tls_port_ends_at_once() {
    let port = free_port();
    let mut world = world(1, many());
    world.program(&https(port, "a.com").0).await;
    let mut plain = TcpStream::connect((LOCAL, port)).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nhost: a.com\r\n\r\n").await.unwrap();
    let answer = String::from_utf8(all(&mut plain).await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("content-length: {}", body.len())), "{answer}");

    let mut noise = TcpStream::connect((LOCAL, port)).await.unwrap();
    noise.write_all(b"\x00\x01\x02").await.unwrap();
    assert_eq!(all(&mut noise).await, b"");
    world.eventually("torana_tls_errors_total{gateway=\"\",listener=\"\",reason=\"not_tls\"} 2").await;
}

#[tokio::test]
async fn a_client_that_does_not_shake_hands_is_closed_at_the_deadline() {
    let port = free_port();
    let mut world = world(1, many());
    world.program(&https(port, "a.com").0).await;
    let mut silent = TcpStream::connect((LOCAL, port)).await.unwrap();
    let mut half = TcpStream::connect((LOCAL, port)).await.unwrap();
    half.write_all(&[22, 3, 1, 0, 200, 1, 0]).await.unwrap();
    assert_eq!((all(&mut silent).await, all(&mut half).await), (vec![], vec![]));
    world.eventually("torana_tls_errors_total{gateway=\"\",listener=\"\",reason=\"timeout\"} 2").await;
}

/// In a process of its own: the limit is that of the process.
#[test]
fn without_descriptors_clients_are_closed_and_afterwards_served_again() {
    const ALONE: &str = "TORANA_TEST_ALONE";
    const NAME: &str = "listen::tests::without_descriptors_clients_are_closed_and_afterwards_served_again";
    if std::env::var_os(ALONE).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(exhausted());
    }
    let alone =
        Command::new(std::env::current_exe().unwrap()).args(["--exact", NAME]).env(ALONE, "1").output().unwrap();
    assert!(alone.status.success(), "{}", String::from_utf8_lossy(&alone.stdout));
}

async fn exhausted() {
    let limit = Rlimit { current: Some(64), maximum: getrlimit(Resource::Nofile).maximum };
    setrlimit(Resource::Nofile, limit).unwrap();
    let port = free_port();
    let mut world = world(1, many());
    world.program(&snapshot(&[listener("one", port, "", Protocol::Http)])).await;
    let mut others: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    // One for the client, none for the server.
    others.pop();
    let mut client = TcpStream::connect((LOCAL, port)).await.unwrap();
    assert_eq!(all(&mut client).await, b"");
    world.eventually("torana_connections_refused_total{reason=\"descriptors\"} 1").await;
    drop((client, others));
    // A client that comes while others are being shed is shed with them.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let _served = TcpStream::connect((LOCAL, port)).await.unwrap();
    world.eventually("torana_connections{gateway=\"\",listener=\"\",protocol=\"http\"} 1").await;
}

#[tokio::test]
async fn the_task_of_a_connection_is_small() {
    let port = free_port();
    let mut world = world(1, many());
    world.program(&snapshot(&[listener("one", port, "", Protocol::Http)])).await;
    let stream = TcpStream::connect((LOCAL, port)).await.unwrap();
    let (_drain, draining) = watch::channel(false);
    let log = AccessLog::start(LogFormat::Off, std::io::sink(), &world.metrics).unwrap();
    let worker = Worker::new(
        (Arc::clone(&world.table), nobody(), unheard()),
        Arc::clone(&world.metrics),
        (log, untold(&world.metrics)),
        draining,
    );
    let place = Admission::new(many()).admit(LOCAL, std::time::Instant::now()).ok().unwrap();
    let bind = Bind { address: Some(LOCAL), port, transport: Transport::Tcp };
    let task = accept::connection(stream, (LOCAL, 1).into(), bind, worker, place);
    assert!(size_of_val(&task) <= 7 << 8, "{} bytes", size_of_val(&task));
}
