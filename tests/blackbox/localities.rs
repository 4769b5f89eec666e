// SPDX-License-Identifier: Apache-2.0
//! Where endpoints stand: near ones first, far ones when those fail, and shares of localities.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use torana_tests::{Backend, Connection, World, eventually};

use super::manifests::object;

const API: &str = "networking.istio.io/v1";

/// Requests that are counted.
const COUNTED: usize = 400;

/// A service of two endpoints in zone `a`, one in `b` and one in another region, with this policy; zone `a` is where the
/// proxy stands.
struct Site {
    world: World,
    /// Which backends give no answer.
    dead: BTreeMap<&'static str, Arc<AtomicBool>>,
}

impl Site {
    fn start(policy: &str) -> Self {
        let places = [("a1", "west/a"), ("a2", "west/a"), ("b", "west/b"), ("east", "east/c")];
        let mut dead = BTreeMap::new();
        let endpoints = places.map(|(name, place)| {
            let port = mortal(name, dead.entry(name).or_insert_with(Arc::default)).port;
            format!("{{address: 127.0.0.1, ports: {{http: {port}}}, locality: {place}}}")
        });
        let entry = format!(
            "hosts: [api.test], resolution: STATIC, location: MESH_INTERNAL, \
             ports: [{{number: 80, name: http, protocol: HTTP}}], endpoints: [{}]",
            endpoints.join(", ")
        );
        let server = "{port: {number: ${HTTP}, name: http, protocol: HTTP}, hosts: ['*']}";
        let rule = "hosts: ['*'], gateways: [edge], http: [{retries: {attempts: 0}, route: [{destination: {host: api.test}}]}]";
        let manifests = [
            object(API, "Gateway", "edge", &format!("selector: {{istio: ingressgateway}}, servers: [{server}]")),
            object(API, "VirtualService", "r", rule),
            object(API, "ServiceEntry", "api", &entry),
            object(API, "DestinationRule", "api", &format!("host: api.test, trafficPolicy: {{{policy}}}")),
        ];
        let world = World::start_with(&manifests.concat(), &["--locality", "west/a"]);
        Self { world, dead }
    }

    /// Who answers how often, of so many requests.
    fn answers(&self, count: usize) -> BTreeMap<String, usize> {
        let mut connection = Connection::open(self.world.http).unwrap();
        let mut answers = BTreeMap::new();
        for _ in 0..count {
            let reply = connection.get("any", "/").unwrap();
            let who = if reply.status == 200 { reply.text() } else { reply.status.to_string() };
            *answers.entry(who).or_default() += 1;
        }
        answers
    }

    /// Whether exactly these answer.
    fn is_served_by(&self, names: &[&str]) -> bool {
        self.answers(40).keys().map(String::as_str).eq(names.iter().copied())
    }

    fn kill(&self, name: &str) {
        self.dead[name].store(true, Ordering::SeqCst);
    }

    fn revive(&self) {
        self.dead.values().for_each(|dead| dead.store(false, Ordering::SeqCst));
    }
}

/// Says its name while it lives; then it closes every connection that a request comes on.
fn mortal(name: &str, dead: &Arc<AtomicBool>) -> Backend {
    let (answer, dead) = (format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len()), Arc::clone(dead));
    Backend::scripted(move |_| if dead.load(Ordering::SeqCst) { b"!".to_vec() } else { answer.clone().into_bytes() })
}

#[test]
fn near_endpoints_get_everything_until_they_fail_and_again_when_they_are_back() {
    let site =
        Site::start("outlierDetection: {consecutive5xxErrors: 3, baseEjectionTime: 2s, maxEjectionPercent: 100}");
    let counted = site.answers(COUNTED);
    assert_eq!(counted.keys().collect::<Vec<_>>(), ["a1", "a2"], "{counted:?}");
    site.kill("a1");
    // One of two carries 70 %, and the zone beside it the rest.
    assert!(eventually(|| site.is_served_by(&["a2", "b"])), "{:?}", site.answers(COUNTED));
    site.kill("a2");
    let left = Instant::now();
    assert!(eventually(|| site.is_served_by(&["b"])), "{:?}", site.answers(COUNTED));
    site.kill("b");
    assert!(eventually(|| site.is_served_by(&["east"])), "{:?}", site.answers(COUNTED));
    site.revive();
    assert!(eventually(|| site.is_served_by(&["a1", "a2"])), "{:?}", site.answers(COUNTED));
    assert!(left.elapsed() >= Duration::from_secs(2), "back before the ejection is over");
}

#[test]
fn localities_have_their_shares() {
    let to = "{west/a: 50, west/b: 40, east/*: 10}";
    let site = Site::start(&format!(
        "loadBalancer: {{simple: ROUND_ROBIN, localityLbSetting: {{distribute: [{{from: west/a/*, to: {to}}}]}}}}"
    ));
    let counted = site.answers(COUNTED);
    for (name, percent) in [("a1", 25), ("a2", 25), ("b", 40), ("east", 10)] {
        let count = counted.get(name).copied().unwrap_or_default();
        assert!(count.abs_diff(COUNTED * percent / 100) <= 4, "{name}: {counted:?}");
    }
}
