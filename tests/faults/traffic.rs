// SPDX-License-Identifier: Apache-2.0
//! Clients that ask all the time, while the API server is not as it should be.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use torana_tests::Connection;

const PAUSE: Duration = Duration::from_millis(5);

/// A client that asks each host in turn.
pub(super) struct Traffic {
    is_over: Arc<AtomicBool>,
    failures: Arc<Mutex<Vec<String>>>,
    client: JoinHandle<usize>,
}

impl Traffic {
    /// Asks `hosts` at `port`: each must be answered with 200.
    pub(super) fn start(port: u16, hosts: &[&str]) -> Self {
        let (is_over, failures) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Vec<String>>>::default());
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let client = thread::spawn({
            let (is_over, failures) = (Arc::clone(&is_over), Arc::clone(&failures));
            move || {
                let (mut connection, mut served) = (None, 0);
                for host in hosts.iter().cycle() {
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                    match ask(&mut connection, port, host) {
                        Ok(200) => served += 1,
                        other => failures.lock().unwrap().push(format!("{host}: {other:?}")),
                    }
                    thread::sleep(PAUSE);
                }
                served
            }
        });
        Self { is_over, failures, client }
    }

    /// Ends it. None may have failed.
    pub(super) fn stop(self, what: &str) {
        self.is_over.store(true, Ordering::Relaxed);
        let served = self.client.join().unwrap();
        let failures = self.failures.lock().unwrap();
        println!("{what}: {served} requests, {} failed", failures.len());
        assert!(failures.is_empty(), "{what}: {} failed: {:?}", failures.len(), &failures[..failures.len().min(5)]);
        assert!(served > 50, "{what}: only {served} requests");
    }
}

fn ask(connection: &mut Option<Connection>, port: u16, host: &str) -> std::io::Result<u16> {
    let mut open = match connection.take() {
        Some(open) => open,
        None => Connection::open(port)?,
    };
    let reply = open.get(host, "/")?;
    if reply.header("connection") != Some("close") {
        *connection = Some(open);
    }
    Ok(reply.status)
}
