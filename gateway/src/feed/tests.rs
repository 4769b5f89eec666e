// SPDX-License-Identifier: Apache-2.0

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use super::*;
use crate::http::Worker;
use crate::listen::{Admission, Caps, Workers};
use crate::observe::{AccessLog, LogFormat, Metrics, Readiness};
use crate::samples::{LOCAL, free_port, listen, listener_key, nobody, untold};
use crate::table::Table;

struct World {
    publisher: Publisher,
    readiness: Readiness,
    metrics: Arc<Metrics>,
    program: Program,
}

fn world() -> World {
    let (publisher, feed) = channel();
    let metrics = Arc::new(Metrics::new());
    let table = Arc::new(ArcSwap::from_pointee(Table::empty()));
    let log = AccessLog::start(LogFormat::Off, std::io::sink(), &metrics).unwrap();
    let (_, draining) = watch::channel(false);
    let worker = Worker::new(
        (Arc::clone(&table), nobody(), Arc::clone(&feed.demands)),
        Arc::clone(&metrics),
        (log, untold(&metrics)),
        draining,
    );
    let admission = Admission::new(Caps { connections: 100, connections_per_ip: 100 });
    let workers = Arc::new(Mutex::new(Workers::start(vec![worker], &admission).unwrap()));
    let readiness = Readiness::default();
    let programming = Programming::new(table, workers, Arc::clone(&metrics), readiness.clone(), feed);
    let program = programming.program();
    tokio::spawn(programming.run());
    World { publisher, readiness, metrics, program }
}

impl World {
    async fn ack(&mut self) -> Ack {
        tokio::time::timeout(Duration::from_secs(10), self.publisher.ack()).await.expect("an ack").unwrap()
    }
}

#[tokio::test]
async fn an_ack_means_that_sockets_are_open() {
    let mut world = world();
    assert_eq!(world.readiness.blockers(), ["table"]);
    let port = free_port();
    world.publisher.publish(3, listen("web", port)).await.unwrap();
    assert_eq!(world.ack().await, Ack { generation: 3, rejected: vec![] });
    TcpStream::connect((LOCAL, port)).await.unwrap();
    assert!(world.readiness.blockers().is_empty());
    assert_eq!(*world.program.generation.borrow(), 3);
    assert!(world.metrics.render().contains("\ntorana_config_generation 3\n"));

    let gone = Delta { upserts: vec![], removals: vec![ResourceKey::Listener(listener_key("web"))] };
    world.publisher.publish(4, gone).await.unwrap();
    assert_eq!(world.ack().await.generation, 4);
    assert!(TcpStream::connect((LOCAL, port)).await.is_err());
}

#[tokio::test]
async fn a_port_that_is_taken_is_rejected_by_name_and_acked_again_when_it_is_free() {
    let mut world = world();
    let other = std::net::TcpListener::bind((LOCAL, 0)).unwrap();
    let (taken, free) = (other.local_addr().unwrap().port(), free_port());
    let mut delta = listen("taken", taken);
    delta.upserts.extend(listen("free", free).upserts);
    world.publisher.publish(1, delta).await.unwrap();
    let ack = world.ack().await;
    assert_eq!(ack.rejected.len(), 1);
    let (rejected, why) = &ack.rejected[0];
    assert_eq!(*rejected, ResourceKey::Listener(listener_key("taken")));
    assert!(why.starts_with(&format!("PortUnavailable: port {taken} on 127.0.0.1: ")), "{why}");
    TcpStream::connect((LOCAL, free)).await.unwrap();
    let counted = "torana_config_rejected_total{kind=\"Listener\",name=\"taken\",namespace=\"n\"} 1";
    assert!(world.metrics.render().contains(counted));
    drop(other);
    assert_eq!(world.ack().await, Ack { generation: 1, rejected: vec![] });
    TcpStream::connect((LOCAL, taken)).await.unwrap();
}

#[tokio::test]
async fn an_empty_program_is_acked_too() {
    let mut world = world();
    world.publisher.publish(1, Delta::default()).await.unwrap();
    assert_eq!(world.ack().await, Ack { generation: 1, rejected: vec![] });
    assert!(world.readiness.blockers().is_empty());
}

#[tokio::test]
async fn a_publisher_learns_that_the_data_plane_has_ended() {
    let (mut publisher, feed) = channel();
    drop(feed);
    assert_eq!(publisher.publish(1, Delta::default()).await, Err(Ended));
    assert_eq!(publisher.ack().await, Err(Ended));
}
