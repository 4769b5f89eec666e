// SPDX-License-Identifier: Apache-2.0
//! `sessionPersistence`: a client comes back to the endpoint that it came to before, for as long as that is there.

use std::collections::{BTreeMap, BTreeSet};

use torana_tests::{Backend, Reply, World, eventually};

use super::manifests::{route, service_at};

/// Three endpoints each of `a` and `b`, which answer with their names.
struct Fleet {
    names: BTreeMap<u16, String>,
    a: Vec<u16>,
    b: Vec<u16>,
}

impl Fleet {
    fn new() -> Self {
        let names: Vec<String> = ["a", "b"].iter().flat_map(|it| (0..3).map(move |at| format!("{it}{at}"))).collect();
        let backends: Vec<(u16, String)> =
            names.iter().map(|name| (Backend::forgetful(name).port, name.clone())).collect();
        let ports: Vec<u16> = backends.iter().map(|(port, _)| *port).collect();
        Self { names: backends.into_iter().collect(), a: ports[..3].to_vec(), b: ports[3..].to_vec() }
    }

    /// A world in which `host` is served from `backends` with `persistence`.
    fn world(&self, persistence: &str, refs: &str) -> World {
        let rule = format!("rules: [{{sessionPersistence: {{{persistence}}}, backendRefs: [{refs}]}}]");
        let world = World::start(&[World::gateway(), &route("r", &rule)].concat());
        world.apply("services.yaml", &(service_at("a", &self.a) + &service_at("b", &self.b)));
        assert!(eventually(|| world.status("x", "/") == 200));
        world
    }
}

/// `GET /` with these fields.
fn get(world: &World, fields: &str) -> Reply {
    world.raw(format!("GET / HTTP/1.1\r\nHost: x\r\n{fields}\r\n").as_bytes()).unwrap()
}

/// The `name=value` of the only `Set-Cookie`, and its attributes.
fn cookie(reply: &Reply) -> Option<(String, String)> {
    let all: Vec<_> = reply.headers.iter().filter(|(name, _)| name == "set-cookie").collect();
    assert!(all.len() <= 1, "{all:?}");
    let (pair, attributes) = all.first()?.1.split_once("; ")?;
    Some((pair.to_owned(), attributes.to_owned()))
}

const ONE: &str = "{name: a, port: 80}";
const BOTH: &str = "{name: a, port: 80}, {name: b, port: 80}";

#[test]
fn a_cookie_brings_a_client_back_and_says_nothing_of_where() {
    let fleet = Fleet::new();
    let world = fleet.world("cookie: {name: JSESSIONID}", ONE);
    let mut reached = BTreeSet::new();
    for _ in 0..20 {
        let first = get(&world, "");
        let (pair, attributes) = cookie(&first).expect("a cookie");
        assert!(pair.starts_with("JSESSIONID=") && pair.len() > 60, "{pair}");
        assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Strict");
        for port in fleet.names.keys() {
            assert!(!pair.contains(&port.to_string()), "{pair}");
        }
        for _ in 0..10 {
            let again = get(&world, &format!("Cookie: lang=de; {pair}; x=y\r\n"));
            assert_eq!((again.text(), cookie(&again)), (first.text(), None));
        }
        reached.insert(first.text());
    }
    assert_eq!(reached.len(), 3, "new clients are balanced: {reached:?}");
    let forged = get(&world, "Cookie: JSESSIONID=MTI3LjAuMC4xOjgw\r\n");
    assert!(forged.status == 200 && cookie(&forged).is_some());
}

#[test]
fn when_its_endpoint_goes_a_client_gets_another_and_keeps_that() {
    let fleet = Fleet::new();
    let world = fleet.world("type: Cookie", ONE);
    let first = get(&world, "");
    let (pair, _) = cookie(&first).expect("a cookie");
    let left: Vec<u16> = fleet.a.iter().copied().filter(|port| fleet.names[port] != first.text()).collect();
    world.apply("services.yaml", &(service_at("a", &left) + &service_at("b", &fleet.b)));
    assert!(eventually(|| get(&world, &format!("Cookie: {pair}\r\n")).text() != first.text()));
    let moved = get(&world, &format!("Cookie: {pair}\r\n"));
    let (next, _) = cookie(&moved).expect("a new cookie");
    world.apply("services.yaml", &(service_at("a", &fleet.a) + &service_at("b", &fleet.b)));
    assert!(eventually(|| get(&world, &format!("Cookie: {pair}\r\n")).text() == first.text()));
    for _ in 0..10 {
        let again = get(&world, &format!("Cookie: {next}\r\n"));
        assert_eq!((again.text(), cookie(&again)), (moved.text(), None));
    }
}

#[test]
fn shares_of_backends_are_kept_and_each_backend_has_its_own_endpoint() {
    let fleet = Fleet::new();
    let world = fleet.world("type: Cookie", BOTH);
    let mut jar = String::new();
    let mut reached: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..40 {
        let reply = get(&world, &jar);
        if let Some((pair, _)) = cookie(&reply) {
            jar = format!("Cookie: {pair}\r\n");
        }
        *reached.entry(reply.text()).or_default() += 1;
    }
    let share =
        |name: &str| reached.iter().filter(|(it, _)| it.starts_with(name)).map(|(_, count)| count).sum::<usize>();
    assert_eq!((reached.len(), share("a"), share("b")), (2, 20, 20), "{reached:?}");
}

#[test]
fn a_dead_endpoint_is_left_and_the_client_is_told() {
    let live = Backend::named("live");
    let rule = format!("rules: [{{sessionPersistence: {{}}, backendRefs: [{ONE}]}}]");
    let world = World::start(&[World::gateway(), &route("r", &rule)].concat());
    let mortal = torana_tests::ports::free();
    world.apply("services.yaml", &service_at("a", &[mortal]));
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], mortal));
    let listener = std::net::TcpListener::bind(address).unwrap();
    let answering = std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nmortal").unwrap();
    });
    let mut first = None;
    assert!(eventually(|| {
        first = Some(get(&world, "")).filter(|reply| reply.status == 200);
        first.is_some()
    }));
    answering.join().unwrap();
    let first = first.unwrap();
    assert_eq!(first.text(), "mortal");
    let (pair, _) = cookie(&first).expect("a cookie");
    world.apply("services.yaml", &service_at("a", &[mortal, live.port]));
    assert!(eventually(|| get(&world, &format!("Cookie: {pair}\r\n")).text() == "live"));
    let moved = get(&world, &format!("Cookie: {pair}\r\n"));
    assert!(moved.text() == "live" && cookie(&moved).is_some());
}

#[test]
fn a_permanent_cookie_says_how_long_and_a_session_ends_in_time() {
    let fleet = Fleet::new();
    let world = fleet.world("absoluteTimeout: 2s, cookie: {lifetimeType: Permanent, path: /shop}", ONE);
    let (pair, attributes) = cookie(&get(&world, "")).expect("a cookie");
    assert_eq!(attributes, "Path=/shop; HttpOnly; SameSite=Strict; Max-Age=2");
    assert!(pair.starts_with("torana-"), "{pair}");
    assert!(eventually(|| cookie(&get(&world, &format!("Cookie: {pair}\r\n"))).is_some()), "over, and begun anew");
}

#[test]
fn a_header_brings_a_client_back() {
    let fleet = Fleet::new();
    let world = fleet.world("type: Header, header: {name: X-Session}", ONE);
    let first = get(&world, "");
    let value = first.header("x-session").expect("a session").to_owned();
    for _ in 0..10 {
        let again = get(&world, &format!("X-Session: {value}\r\n"));
        assert_eq!((again.text(), again.header("x-session")), (first.text(), None));
    }
}
