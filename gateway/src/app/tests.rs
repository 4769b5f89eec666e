// SPDX-License-Identifier: Apache-2.0

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use torana_ir::Delta;

use super::*;
use crate::feed;
use crate::samples::{self, LOCAL, free_port};

fn listen(port: u16) -> Delta {
    samples::listen("web", port)
}

async fn get(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect((LOCAL, port)).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn config(health: u16) -> Config {
    Config {
        workers: 2,
        health: Some((LOCAL, health).into()),
        access_log: LogFormat::Off,
        drain_deadline: Duration::from_millis(300),
        ..Config::default()
    }
}

#[tokio::test]
async fn it_is_ready_when_it_serves_and_not_when_it_drains() {
    let (port, health) = (free_port(), free_port());
    let (mut publisher, feed) = feed::channel();
    let app = App::start(config(health), feed).unwrap();
    assert!(get(health, "/readyz").await.ends_with("not ready: table\n"));
    publisher.publish(1, listen(port)).await.unwrap();
    publisher.ack().await.unwrap();
    assert!(get(health, "/readyz").await.starts_with("HTTP/1.1 200 "));
    assert!(get(port, "/").await.starts_with("HTTP/1.1 404 "), "no route");
    let metrics = get(health, "/metrics").await;
    assert!(metrics.contains("torana_config_generation 1\n"), "{metrics}");

    assert_eq!(app.drain().await, 0);
    assert!(TcpStream::connect((LOCAL, port)).await.is_err());
    assert!(get(health, "/readyz").await.ends_with("not ready: draining\n"));
    assert!(get(health, "/livez").await.starts_with("HTTP/1.1 200 "));
    assert_eq!(publisher.publish(2, Delta::default()).await, Ok(()), "it is still programmed");
    drop(app);
}

#[tokio::test]
async fn before_it_stops_accepting_it_is_not_ready() {
    let (port, health) = (free_port(), free_port());
    let (mut publisher, feed) = feed::channel();
    let app = App::start(Config { pre_stop: Duration::from_millis(400), ..config(health) }, feed).unwrap();
    publisher.publish(1, listen(port)).await.unwrap();
    publisher.ack().await.unwrap();
    let watched = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(get(health, "/readyz").await.ends_with("not ready: draining\n"));
        assert!(get(port, "/").await.starts_with("HTTP/1.1 404 "), "clients that come all the same are served");
    };
    tokio::join!(app.drain(), watched);
    assert!(TcpStream::connect((LOCAL, port)).await.is_err());
}

#[tokio::test]
async fn a_request_that_does_not_end_is_left_at_the_deadline() {
    let (port, health) = (free_port(), free_port());
    let (mut publisher, feed) = feed::channel();
    let app = App::start(config(health), feed).unwrap();
    publisher.publish(1, listen(port)).await.unwrap();
    publisher.ack().await.unwrap();
    let mut slow = TcpStream::connect((LOCAL, port)).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nhost:").await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let started = Instant::now();
    let left = app.drain().await;
    assert!(left <= 1 && started.elapsed() < Duration::from_secs(5), "{left}");
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind((LOCAL, 0)).unwrap();
    let address = taken.local_addr().unwrap();
    let (_publisher, feed) = feed::channel();
    let error = App::start(config(address.port()), feed).err().unwrap();
    assert!(error.to_string().starts_with(&address.to_string()), "{error}");
}
