// SPDX-License-Identifier: Apache-2.0
//! Configuration changes under traffic: nothing is lost, no connection is tied to a generation.

use std::time::{Duration, Instant};

use torana_tests::{Backend, World, eventually};

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
