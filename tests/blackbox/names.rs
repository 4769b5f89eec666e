// SPDX-License-Identifier: Apache-2.0
//! Services and workloads that are names: asked of DNS, asked again when the answer expires, kept while nobody answers.

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use torana_tests::{Backend, World, eventually};

use super::manifests::{object, route};

const ISTIO: &str = "networking.istio.io/v1";

/// What a server says of one name. IPv6 addresses there are none.
#[derive(Clone, Copy)]
enum Say {
    /// This address, for so many seconds.
    Address([u8; 4], u32),
    /// So many addresses of 127.0.0.0/8, for a second.
    Many(u8),
    /// SERVFAIL.
    Failure,
    /// Nothing at all.
    Silence,
}

/// What a server knows.
type Names = BTreeMap<String, Say>;

/// A DNS server (RFC 1035).
struct Dns {
    port: u16,
    names: Arc<Mutex<Names>>,
    asked: Arc<AtomicUsize>,
}

impl Dns {
    fn start(name: &str, say: Say) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let dns = Self { port, names: Arc::default(), asked: Arc::default() };
        dns.say_of(name, say);
        let (names, asked) = (Arc::clone(&dns.names), Arc::clone(&dns.asked));
        thread::spawn(move || {
            let mut query = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut query) {
                let names = names.lock().unwrap().clone();
                if let Some(answer) = answer(&query[..length], &names, &asked) {
                    let _ = socket.send_to(&answer, from).is_ok();
                }
            }
        });
        dns
    }

    /// From now on this of a name.
    fn say_of(&self, name: &str, say: Say) {
        self.names.lock().unwrap().insert(name.to_owned(), say);
    }

    /// From now on this of every name that it knows.
    fn say(&self, say: Say) {
        self.names.lock().unwrap().values_mut().for_each(|it| *it = say);
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

/// Header (12 bytes), then labels up to an empty one, type, class.
fn answer(query: &[u8], names: &Names, asked: &AtomicUsize) -> Option<Vec<u8>> {
    let (mut labels, mut at) = (Vec::new(), 12);
    while query[at] > 0 {
        let end = at + 1 + usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..end]).to_ascii_lowercase());
        at = end;
    }
    let (kind, end) = (query[at + 2], at + 5);
    let (code, addresses, ttl) = match names.get(&labels.join(".")) {
        None => (3, Vec::new(), 0),
        Some(Say::Silence) => return None,
        Some(Say::Failure) => (2, Vec::new(), 0),
        Some(Say::Address(address, ttl)) => (0, vec![*address], *ttl),
        Some(Say::Many(count)) => (0, (1..=*count).map(|at| [127, 0, 0, at]).collect(), 1),
    };
    asked.fetch_add(usize::from(kind == 1), Ordering::Relaxed);
    let addresses = if kind == 1 { addresses } else { Vec::new() };
    let count = u8::try_from(addresses.len()).unwrap();
    let mut answer = [&query[..2], &[0x81, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0], &query[12..end]].concat();
    for address in addresses {
        answer.extend([0xc0, 12, 0, 1, 0, 1]);
        answer.extend(u32::to_be_bytes(ttl));
        answer.extend([0, 4]);
        answer.extend(address);
    }
    Some(answer)
}

/// Two backends on one port of two loopback addresses.
fn pair() -> (Backend, Backend) {
    loop {
        let one = Backend::named("one");
        if let Some(two) = Backend::at(([127, 0, 0, 2], one.port).into(), "two") {
            return (one, two);
        }
    }
}

fn world(dns: &Dns, port: u16, host: &str) -> World {
    let name = format!("type: ExternalName, externalName: {host}, ports: [{{port: {port}}}]");
    let service = object("v1", "Service", "out", &name);
    // An alias maps no ports: the one of the reference is the one that is connected to.
    let route = route("r", &format!("rules: [{{backendRefs: [{{name: out, port: {port}}}]}}]"));
    World::start_with(
        &[World::gateway(), &service, &route].concat(),
        &["--resolver", &format!("127.0.0.1:{}", dns.port)],
    )
}

#[test]
fn a_name_is_asked_again_when_its_answer_expires_and_kept_while_nobody_answers() {
    let (one, _two) = pair();
    let dns = Dns::start("out.example.com", Say::Address([127, 0, 0, 1], 1));
    let world = world(&dns, one.port, "out.example.com");
    let text = || world.get("a", "/").map_or(String::new(), |reply| reply.text());
    assert!(eventually(|| text() == "one"), "{}", world.log());
    dns.say(Say::Address([127, 0, 0, 2], 1));
    assert!(eventually(|| text() == "two"), "{}", world.log());
    for trouble in [Say::Failure, Say::Silence] {
        dns.say(trouble);
        let start = world.log().len();
        assert!(eventually(|| world.log()[start..].contains("a backend's name is not resolved")), "{}", world.log());
        assert_eq!(text(), "two", "the last good answer");
    }
    dns.say(Say::Address([127, 0, 0, 1], 3600));
    assert!(eventually(|| text() == "one"), "{}", world.log());
    let asked = dns.asked();
    thread::sleep(Duration::from_secs(3));
    assert_eq!((dns.asked(), text().as_str()), (asked, "one"), "an answer for an hour is not asked again");
}

#[test]
fn a_name_that_nobody_knows_is_503_and_no_other_is_asked_for() {
    let backend = Backend::named("ok");
    let dns = Dns::start("out.example.com", Say::Address([127, 0, 0, 1], 1));
    let world = world(&dns, backend.port, "lost.example.com");
    assert!(eventually(|| world.log().contains("a backend's name is not resolved")), "{}", world.log());
    assert_eq!(world.status("a", "/"), 503);
    // Corrected, it is resolved at once.
    let text = std::fs::read_to_string(world.folder().join("world.yaml")).unwrap();
    world.apply("world.yaml", &text.replace("lost.example.com", "out.example.com"));
    assert!(eventually(|| world.status("a", "/") == 200), "{}", world.log());
}

/// A world whose every request goes to host `api.test` of a ServiceEntry.
fn world_of(dns: &Dns, spec: &str) -> World {
    let server = "{port: {number: ${HTTP}, name: http, protocol: HTTP}, hosts: ['*']}";
    let rule =
        "hosts: ['*'], gateways: [edge], http: [{retries: {attempts: 0}, route: [{destination: {host: api.test}}]}]";
    let manifests = [
        object(ISTIO, "Gateway", "edge", &format!("selector: {{istio: ingressgateway}}, servers: [{server}]")),
        object(ISTIO, "VirtualService", "r", rule),
        object(ISTIO, "ServiceEntry", "api", &format!("hosts: [api.test], {spec}")),
    ];
    World::start_with(&manifests.concat(), &["--resolver", &format!("127.0.0.1:{}", dns.port)])
}

/// Who answers so many requests, how often.
fn answers(world: &World, count: usize) -> BTreeMap<String, usize> {
    let mut answers = BTreeMap::new();
    for _ in 0..count {
        let reply = world.get("a", "/").unwrap();
        let who = if reply.status == 200 { reply.text() } else { reply.status.to_string() };
        *answers.entry(who).or_default() += 1;
    }
    answers
}

fn is_served_by(world: &World, names: &[&str]) -> bool {
    answers(world, 40).keys().map(String::as_str).eq(names.iter().copied())
}

#[test]
fn of_a_service_entry_every_name_is_resolved_and_one_that_fails_takes_nothing_from_the_others() {
    let (one, _two) = pair();
    let [three, four] = ["three", "four"].map(Backend::named);
    let dns = Dns::start("one.test", Say::Address([127, 0, 0, 1], 1));
    dns.say_of("two.test", Say::Address([127, 0, 0, 2], 1));
    let spec = format!(
        "ports: [{{number: 80, name: http, protocol: HTTP, targetPort: {}}}], resolution: DNS, endpoints: [\
         {{address: one.test}}, {{address: two.test}}, {{address: lost.test}}, \
         {{address: one.test, ports: {{http: {}}}}}, {{address: 127.0.0.1, ports: {{http: {}}}, weight: 1}}]",
        one.port, three.port, four.port
    );
    let world = world_of(&dns, &spec);
    assert!(eventually(|| is_served_by(&world, &["four", "one", "three", "two"])), "{}", world.log());
    dns.say_of("two.test", Say::Address([127, 0, 0, 1], 1));
    assert!(eventually(|| is_served_by(&world, &["four", "one", "three"])), "{}", world.log());
    for trouble in [Say::Failure, Say::Silence] {
        dns.say_of("one.test", trouble);
        dns.say_of("two.test", Say::Address([127, 0, 0, 2], 1));
        assert!(eventually(|| is_served_by(&world, &["four", "one", "three", "two"])), "{}", world.log());
        dns.say_of("two.test", Say::Address([127, 0, 0, 1], 1));
        assert!(eventually(|| is_served_by(&world, &["four", "one", "three"])), "{}", world.log());
    }
}

#[test]
fn shares_of_names_are_their_weights() {
    let (one, _two) = pair();
    let dns = Dns::start("one.test", Say::Address([127, 0, 0, 1], 3600));
    dns.say_of("two.test", Say::Address([127, 0, 0, 2], 3600));
    let spec = format!(
        "ports: [{{number: {}, name: http, protocol: HTTP}}], resolution: DNS, \
         endpoints: [{{address: one.test, weight: 3}}, {{address: two.test, weight: 1}}]",
        one.port
    );
    let world = world_of(&dns, &spec);
    let balance = "host: api.test, trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}";
    world.apply("balance.yaml", &object(ISTIO, "DestinationRule", "api", balance));
    let is_shared = || {
        let counted = answers(&world, 80);
        let count = |name: &str| counted.get(name).copied().unwrap_or_default();
        count("one").abs_diff(60) <= 2 && count("two").abs_diff(20) <= 2
    };
    assert!(eventually(is_shared), "{:?}", answers(&world, 80));
}

#[test]
fn of_dns_round_robin_one_address_is_used_and_of_an_entry_without_resolution_its_host_is() {
    for (resolution, names) in [("DNS_ROUND_ROBIN", &["one"][..]), ("DNS", &["one", "two"]), ("NONE", &["one", "two"])]
    {
        let (one, _two) = pair();
        let dns = Dns::start("api.test", Say::Many(2));
        let port = one.port;
        let spec = format!("ports: [{{number: {port}, name: http, protocol: HTTP}}], resolution: {resolution}");
        let world = world_of(&dns, &spec);
        assert!(eventually(|| is_served_by(&world, names)), "{resolution}: {}", world.log());
        // Through several answers.
        thread::sleep(Duration::from_millis(1500));
        assert!(is_served_by(&world, names), "{resolution}");
    }
}
