// SPDX-License-Identifier: Apache-2.0
//! Telemetry of Istio, from the manifest to lines of the access log and to numbers of `/metrics`.

use std::thread;
use std::time::Duration;

use serde_json::Value;
use torana_tests::{Backend, World, eventually};

use super::manifests::{object, route, to};

fn telemetry(name: &str, spec: &str) -> String {
    object("telemetry.istio.io/v1", "Telemetry", name, spec)
}

/// An HTTPRoute of everything, and a Telemetry in the file of that name.
fn world(backend: &Backend, spec: &str) -> World {
    let routes = route("all", &format!("rules: [{{{}}}]", to("app")));
    let world = World::start(&[World::gateway(), &World::service("app", backend.port), &routes].concat());
    world.apply("telemetry.yaml", &telemetry("istio-system/mesh", spec));
    world
}

/// Paths of the lines so far, of those that begin so.
fn logged(world: &World, prefix: &str) -> Vec<String> {
    let log = world.log();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter_map(|line| Some(line["path"].as_str()?.to_owned())).filter(|path| path.starts_with(prefix)).collect()
}

/// Whether there are lines of requests to these paths and no others, asked for in this order.
fn has_lines(world: &World, attempt: usize, (asked, expected): (&[&str], &[&str])) -> bool {
    let prefix = format!("/{attempt}/");
    for path in asked {
        assert_ne!(world.status("a.example", &format!("{prefix}{path}")), 0);
    }
    let expected: Vec<_> = expected.iter().map(|path| format!("{prefix}{path}")).collect();
    // Lines are written by another thread, which rests for two milliseconds.
    thread::sleep(Duration::from_millis(100));
    logged(world, &prefix) == expected
}

/// The same until a Telemetry that was just written is in force.
fn will_have_lines(world: &World, lines: (&[&str], &[&str])) {
    let mut attempt = logged(world, "/").len();
    let is_so = || {
        attempt += 1000;
        has_lines(world, attempt, lines)
    };
    assert!(eventually(is_so), "{lines:?}: {}", world.log());
}

#[test]
fn lines_are_those_of_which_the_filter_is_true() {
    let backend = Backend::named("app");
    let filter = |text: &str| format!("accessLogging: [{{filter: {{expression: \"{text}\"}}}}]");
    let world = world(&backend, &filter("request.url_path.endsWith('/keep')"));
    will_have_lines(&world, (&["drop", "keep", "drop", "a/keep"], &["keep", "a/keep"]));
    world.apply("telemetry.yaml", &telemetry("istio-system/mesh", &filter("response.code == 404 || 1 > 2")));
    will_have_lines(&world, (&["x"], &[]));
    let mesh = telemetry("istio-system/mesh", &filter("response.code == 200 && has(request.headers.host)"));
    world.apply("telemetry.yaml", &mesh);
    will_have_lines(&world, (&["x"], &[]));
    let mesh = telemetry("istio-system/mesh", &filter("response.code == 200 && !has(request.referer)"));
    world.apply("telemetry.yaml", &mesh);
    will_have_lines(&world, (&["x", "y"], &["x", "y"]));
    // What cannot be evaluated loses no line, and is told.
    world.apply("telemetry.yaml", &telemetry("istio-system/mesh", &filter("nothing.here == 1")));
    assert!(eventually(|| world.log().contains("nothing.here is no attribute here")), "{}", world.log());
    will_have_lines(&world, (&["x"], &["x"]));
}

#[test]
fn the_nearest_says_whether_there_are_lines() {
    let backend = Backend::named("app");
    let world = world(&backend, "accessLogging: [{disabled: true}]");
    will_have_lines(&world, (&["x"], &[]));
    let target = "targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: edge}]";
    let near = telemetry("near", &format!("{target}, accessLogging: [{{disabled: false}}]"));
    world.apply("near.yaml", &near);
    will_have_lines(&world, (&["x"], &["x"]));
    world.delete("near.yaml");
    will_have_lines(&world, (&["x"], &[]));
    world.delete("telemetry.yaml");
    will_have_lines(&world, (&["x"], &["x"]));
}

#[test]
fn metrics_of_istio_are_left_out_and_their_labels_changed() {
    let backend = Backend::named("app");
    let server = "{port: {number: ${HTTP}, name: http, protocol: HTTP}, hosts: ['*']}";
    let gateway = format!("selector: {{istio: ingressgateway}}, servers: [{server}]");
    let rules = "hosts: ['*'], gateways: [edge], http: [{route: [{destination: {host: app}}]}]";
    let api = "networking.istio.io/v1";
    let overrides = "{match: {metric: REQUEST_SIZE}, disabled: true}, {match: {metric: REQUEST_COUNT}, tagOverrides: \
                     {source_cluster: {value: \"'east'\"}, response_flags: {operation: REMOVE}}}";
    let mesh = telemetry("istio-system/mesh", &format!("metrics: [{{overrides: [{overrides}]}}]"));
    let world = World::start(
        &[
            object(api, "Gateway", "edge", &gateway),
            World::service("app", backend.port),
            object(api, "VirtualService", "r", rules),
            mesh,
        ]
        .concat(),
    );
    let page = || world.health("/metrics").unwrap().text();
    let line = |text: &str, name: &str| text.lines().find(|line| line.starts_with(name)).map(str::to_owned);
    assert_eq!(world.status("a.example", "/"), 200);
    assert!(eventually(|| line(&page(), "istio_requests_total{").is_some()), "{}", page());
    let text = page();
    let total = line(&text, "istio_requests_total{").unwrap();
    assert!(total.contains("source_cluster=\"east\"") && total.contains("response_flags=\"\""), "{total}");
    let sizes = line(&text, "istio_response_bytes_count{").unwrap();
    assert!(sizes.contains("source_cluster=\"Kubernetes\"") && sizes.contains("response_flags=\"-\""), "{sizes}");
    assert_eq!(line(&text, "istio_request_bytes"), None);
}
