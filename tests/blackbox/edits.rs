// SPDX-License-Identifier: Apache-2.0
//! Configuration changes under traffic: nothing is lost, no connection is tied to a generation.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use torana_tests::{Backend, Connection, World, eventually};

fn route(name: &str, host: &str, service: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}, namespace: default}}\n\
         spec: {{parentRefs: [{{name: edge}}], hostnames: [{host}], rules: [{{backendRefs: [{{name: {service}, port: \
         80}}]}}]}}\n---\n"
    )
}

#[test]
fn saving_a_file_reprograms_within_100_ms() {
    let (blue, green) = (Backend::named("blue"), Backend::named("green"));
    let world = World::start(&format!(
        "{}{}{}",
        World::gateway(),
        World::service("blue", blue.port),
        World::service("green", green.port)
    ));
    let mut took = Vec::new();
    for round in 0..20 {
        let name = if round % 2 == 0 { "blue" } else { "green" };
        let start = Instant::now();
        world.apply("route.yaml", &route("r", "a.example.com", name));
        assert!(eventually(|| world.get("a.example.com", "/").is_ok_and(|reply| reply.text() == name)));
        took.push(start.elapsed());
    }
    took.sort();
    assert!(took[10] < Duration::from_millis(100), "half of the saves took more than {:?}", took[10]);
    world.delete("route.yaml");
    assert!(eventually(|| world.status("a.example.com", "/") == 404));
}

#[test]
fn a_broken_file_keeps_the_last_good_objects() {
    let blue = Backend::named("blue");
    let world = World::start(&format!("{}{}", World::gateway(), World::service("blue", blue.port)));
    world.apply("route.yaml", &route("r", "a.example.com", "blue"));
    assert!(eventually(|| world.status("a.example.com", "/") == 200));
    world.apply("route.yaml", "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n  broken: [\n");
    assert!(eventually(|| world.log().contains("route.yaml:")));
    assert_eq!(world.status("a.example.com", "/"), 200);
}

#[test]
fn traffic_survives_a_storm_of_edits() {
    let blue = Backend::named("blue");
    let routes: String = (0..5000).map(|at| route(&format!("r{at}"), &format!("h{at}.example.com"), "blue")).collect();
    let world = Arc::new(World::start(&format!("{}{}{routes}", World::gateway(), World::service("blue", blue.port))));
    let seconds = std::env::var("TORANA_STORM_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let stop = Arc::new(AtomicBool::new(false));
    let (served, failed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..4)
        .map(|client| {
            let (world, stop) = (Arc::clone(&world), Arc::clone(&stop));
            let (served, failed) = (Arc::clone(&served), Arc::clone(&failed));
            thread::spawn(move || {
                // One connection for the whole storm: a close is a failure.
                let mut connection = Connection::open(world.http).unwrap();
                let request = format!("GET / HTTP/1.1\r\nHost: h{}.example.com\r\n\r\n", client * 1000);
                let mut next = Instant::now();
                while !stop.load(Ordering::Relaxed) {
                    let good = connection.send(request.as_bytes()).is_ok()
                        && connection.reply("GET").is_ok_and(|reply| reply.status == 200);
                    if !good {
                        failed.fetch_add(1, Ordering::Relaxed);
                        return;
                    }
                    served.fetch_add(1, Ordering::Relaxed);
                    next += Duration::from_millis(2);
                    thread::sleep(next.saturating_duration_since(Instant::now()));
                }
            })
        })
        .collect();
    let start = Instant::now();
    let mut edit = 0;
    while start.elapsed() < Duration::from_secs(seconds) {
        edit += 1;
        world.apply("edited.yaml", &route("edited", &format!("e{edit}.example.com"), "blue"));
        thread::sleep(Duration::from_millis(100));
    }
    assert!(eventually(|| world.status(&format!("e{edit}.example.com"), "/") == 200));
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().unwrap();
    }
    assert_eq!(failed.load(Ordering::Relaxed), 0);
    assert!(served.load(Ordering::Relaxed) > 100 * seconds as usize);
}
