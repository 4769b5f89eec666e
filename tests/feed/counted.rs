// SPDX-License-Identifier: Apache-2.0
//! What the numbers of 5,000 routes cost a proxy, of which nothing else is in the process.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Child;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use torana_ir::{Action, Backend, BackendKey, Endpoint, Endpoints, Resource, Target, WeightedBackend};
use torana_tests::ports;
use torana_tests::program::memory;

use super::process::{get, start};
use super::{Controller, eventually, listener, rule, snapshot};

const ROUTES: usize = 5_000;
/// Most bytes that a route may add when it is asked for the first time; 5,471 when each had histograms.
const A_ROUTE: u64 = 2_000;
/// Most KiB that five scrapes may leave behind; 144,740 when the page was held at once.
const SCRAPES: u64 = 4 << 10;

/// Ended, not left, when a test fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill().is_ok() && self.0.wait().is_ok();
    }
}

/// A backend that answers once a connection: the pool is not what is measured.
async fn backend() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            assert_ne!(stream.read(&mut head).await.unwrap(), 0);
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
            stream.write_all(answer).await.unwrap();
        }
    });
    address
}

/// Forwards `/rNUMBER` to a backend of its own.
fn route(number: usize, address: SocketAddr) -> [Resource; 3] {
    let key = BackendKey::tcp("n", format!("s{number}"), 80);
    let Resource::Rule(rule) = rule(&format!("r{number}"), "unused.example") else { unreachable!("it is a rule") };
    let target = WeightedBackend { target: Target::Backend(key.clone()), weight: 1, filters: vec![] };
    let mut rule = (*rule).clone();
    (rule.filters, rule.action) = (vec![], Action::Forward(vec![target]));
    let endpoints = vec![Endpoint::new(address, true)];
    [
        Resource::Backend(Backend::new(key.clone()).into()),
        Resource::Endpoints(Endpoints::Static { backend: key, endpoints }.into()),
        Resource::Rule(rule.into()),
    ]
}

/// Asks for each of these, all on one connection.
async fn ask(port: u16, numbers: std::ops::Range<usize>) {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    for number in numbers {
        stream.write_all(format!("GET /r{number} HTTP/1.1\r\nhost: a.example\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nok") {
            assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "r{number}");
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"), "r{number}: {}", String::from_utf8_lossy(&answer));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_five_thousand_routes_adds_little_when_it_is_asked_for_and_a_scrape_leaves_nothing() {
    let (controller, folder, address) = (Controller::start().await, TempDir::new().unwrap(), backend().await);
    let (port, health) = (ports::free(), ports::free());
    let running = Running(start(&controller, folder.path(), health));
    let routes = (0..ROUTES).flat_map(|number| route(number, address));
    controller.publish(1, 1, snapshot(std::iter::once(listener(port)).chain(routes).collect()));
    eventually("ready", || async { get(health, "/readyz").await.starts_with("HTTP/1.1 200") }).await;
    ask(port, 0..50).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let before = memory(running.0.id());
    ask(port, 0..ROUTES).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let asked = memory(running.0.id());
    for _ in 0..5 {
        assert!(get(health, "/metrics").await.contains("route_name=\"r4999\""));
    }
    let after = memory(running.0.id());
    assert!(before > 0 && asked > 0 && after > 0, "it runs");
    let a_route = (asked.saturating_sub(before) << 10) / ROUTES as u64;
    println!("counted: {before} KiB, {asked} when each was asked, {after} after scrapes: {a_route} B a route");
    assert!(a_route <= A_ROUTE, "{a_route} B a route");
    assert!(after <= asked + SCRAPES, "{asked} KiB, {after} after scrapes");
}
