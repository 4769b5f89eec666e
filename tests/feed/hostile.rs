// SPDX-License-Identifier: Apache-2.0
//! What a stranger in the cluster may do to the feed's port, and what a proxy gone mad may: it is cut, and nobody else
//! notices.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use torana_ir::wire::{Ack, Hello, Known, Rejected, Word};

use super::puppet::Puppet;
use super::{Controller, many};

/// Sends `bytes` in cleartext; returns when the other side has closed.
async fn cleartext(controller: &Controller, bytes: &[u8]) {
    let mut stream = TcpStream::connect(controller.address).await.unwrap();
    stream.write_all(bytes).await.ok();
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(15), stream.read_to_end(&mut rest)).await;
    assert!(closed.is_ok(), "still open");
}

/// A proxy that is there before, during and after.
struct Witness(Puppet, u64);

impl Witness {
    async fn new(controller: &Controller) -> Self {
        controller.publish(1, 1, many(80, 1, "a1"));
        let mut puppet = Puppet::hello(controller, "witness", vec![]).await;
        puppet.next().await;
        puppet.ack(1).await;
        Self(puppet, 1)
    }

    async fn notices_nothing(&mut self, controller: &Controller) {
        self.1 += 1;
        controller.publish(1, self.1, many(80, 1, &format!("a{}", self.1)));
        assert_eq!(self.0.next().await.generation, self.1);
        self.0.ack(self.1).await;
        controller.in_force(&["witness"]).await;
    }
}

#[tokio::test]
async fn garbage_instead_of_tls_is_closed() {
    let controller = Controller::start().await;
    let mut witness = Witness::new(&controller).await;
    let noise: Vec<u8> = (0..100_000).map(|_| fastrand::u8(..)).collect();
    for bytes in [b"GET / HTTP/1.1\r\n\r\n".as_slice(), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &noise] {
        cleartext(&controller, bytes).await;
    }
    witness.notices_nothing(&controller).await;
}

#[tokio::test]
async fn who_says_nothing_is_cut_in_every_state() {
    let controller = Controller::start().await;
    let mut witness = Witness::new(&controller).await;
    let started = Instant::now();
    let silent_tls = cleartext(&controller, b"\x16\x03\x01");
    let silent_tcp = cleartext(&controller, b"");
    let silent_stream = async {
        let puppet = Puppet::open(&controller, "Bearer p@edge").await.unwrap();
        let why = puppet.end().await.expect("a reason");
        assert_eq!(why.code(), tonic::Code::DeadlineExceeded, "{why}");
    };
    tokio::join!(silent_tls, silent_tcp, silent_stream);
    assert!(started.elapsed() > Duration::from_secs(5), "they were given time");
    witness.notices_nothing(&controller).await;
}

#[tokio::test]
async fn a_crowd_of_strangers_from_one_address_is_turned_away_and_then_forgotten() {
    let controller = Controller::start().await;
    let mut witness = Witness::new(&controller).await;
    let mut crowd = Vec::new();
    for _ in 0..300 {
        crowd.push(TcpStream::connect(controller.address).await.unwrap());
    }
    // The last of them are closed at once.
    let mut last = crowd.pop().unwrap();
    let closed = tokio::time::timeout(Duration::from_secs(3), last.read(&mut [0])).await;
    assert!(matches!(closed, Ok(Ok(0) | Err(_))), "{closed:?}");
    witness.notices_nothing(&controller).await;
    drop(crowd);
    super::eventually("let in again", || async {
        let mut stream = TcpStream::connect(controller.address).await.unwrap();
        tokio::time::timeout(Duration::from_millis(100), stream.read(&mut [0])).await.is_err()
    })
    .await;
}

#[tokio::test]
async fn words_out_of_order_end_the_stream() {
    let controller = Controller::start().await;
    let mut witness = Witness::new(&controller).await;
    let ack = Word::Ack(Ack { generation: 1, rejected: vec![] });
    let hello = Word::Hello(Hello { complete: true, ..Hello::default() });
    for words in [vec![ack], vec![hello.clone(), hello]] {
        let puppet = Puppet::open(&controller, "Bearer p@edge").await.unwrap();
        for word in words {
            puppet.say(word).await;
        }
        let why = puppet.end().await.expect("a reason");
        assert_eq!(why.code(), tonic::Code::InvalidArgument, "{why}");
    }
    witness.notices_nothing(&controller).await;
}

#[tokio::test]
async fn a_huge_message_ends_its_stream() {
    let controller = Controller::start().await;
    let mut witness = Witness::new(&controller).await;
    let huge = Rejected { key: "k".repeat(5 << 20), reason: String::new() };
    let puppet = Puppet::hello(&controller, "p", vec![]).await;
    puppet.say(Word::Ack(Ack { generation: 1, rejected: vec![huge] })).await;
    puppet.end().await;
    super::eventually("gone", || async { controller.hub.connected(&super::fleet("edge")) == 1 }).await;
    witness.notices_nothing(&controller).await;
}

#[tokio::test]
async fn a_proxy_that_knows_without_end_is_cut() {
    let controller = Controller::start().await;
    let mut witness = Witness::new(&controller).await;
    let puppet = Puppet::open(&controller, "Bearer p@edge").await.unwrap();
    let talk = async {
        for round in 0..400 {
            let known =
                |at: usize| Known { key: format!("{}{round}.{at}", "k".repeat(3000)), hash: vec![0; 16].into() };
            puppet.say(Word::Hello(Hello { known: (0..300).map(known).collect(), ..Hello::default() })).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), talk).await.ok();
    let why = puppet.end().await.expect("a reason");
    assert!(matches!(why.code(), tonic::Code::ResourceExhausted | tonic::Code::DeadlineExceeded), "{why}");
    witness.notices_nothing(&controller).await;
}

#[tokio::test]
async fn a_proxy_that_does_not_read_is_cut() {
    let controller = Controller::start().await;
    let mut witness = Witness::new(&controller).await;
    controller.publish(1, 2, many(80, 40_000, "a.very.long.hostname.that.makes.the.routes.as.large.as.they.are"));
    witness.0.next().await;
    witness.0.ack(2).await;
    witness.1 = 2;
    let deaf = Puppet::hello(&controller, "deaf", vec![]).await;
    super::eventually("there", || async { controller.hub.connected(&super::fleet("edge")) == 2 }).await;
    super::eventually("cut", || async { controller.hub.connected(&super::fleet("edge")) == 1 }).await;
    drop(deaf);
    witness.notices_nothing(&controller).await;
}
