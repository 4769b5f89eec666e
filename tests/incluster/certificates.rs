// SPDX-License-Identifier: Apache-2.0
//! Certificates that change every second under load: every handshake gets one of them, whole, and soon the newest.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use torana_tests::{Authority, Connection};

use super::endurance::seconds;
use super::{backend, gateway, lab, route};

const HOST: &str = "tls.example";

#[test]
fn certificates_that_change_every_second_fail_no_handshake() {
    let Some(lab) = lab() else { return };
    let authority = Authority::new();
    let secret = || authority.issue("web", &[HOST]).secret("web").replace(", namespace: default", "");
    let https = gateway("edge", 2).replace(
        "{name: http, port: 80, protocol: HTTP}",
        "{name: https, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: web}]}}",
    );
    lab.apply(&(backend(1) + &https + &route("web", "edge", HOST) + &secret()));
    lab.kubectl(&["rollout", "status", "deployment/echo", "--timeout=60s"]);
    let address: SocketAddr = format!("{}:443", lab.address("edge")).parse().unwrap();
    let config = authority.client(&["http/1.1"]);
    let (over, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(BTreeSet::new())));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (config, over, seen) = (Arc::clone(&config), Arc::clone(&over), Arc::clone(&seen));
            thread::spawn(move || {
                let mut handshakes = 0_usize;
                while !over.load(Ordering::Relaxed) {
                    let mut connection = Connection::tls_to(address, HOST, &config).unwrap();
                    assert_eq!(connection.get(HOST, "/").unwrap().status, 200);
                    let leaf = connection.session().unwrap().peer_certificates().unwrap()[0].to_vec();
                    seen.lock().unwrap().insert(leaf);
                    handshakes += 1;
                    thread::sleep(Duration::from_millis(20));
                }
                handshakes
            })
        })
        .collect();
    let (begin, mut rotations) = (Instant::now(), 0);
    while begin.elapsed() < seconds() {
        lab.apply(&secret());
        rotations += 1;
        thread::sleep(Duration::from_secs(1));
    }
    over.store(true, Ordering::Relaxed);
    let handshakes: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
    let seen = seen.lock().unwrap().len();
    println!("{rotations} rotations, {handshakes} handshakes, {seen} certificates seen");
    assert!(seen >= rotations, "every certificate was in force for a while");
}
