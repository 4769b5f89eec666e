// SPDX-License-Identifier: Apache-2.0
//! Datagrams: flows between a client's address and one endpoint.

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::thread;
use std::time::Duration;

use torana_tests::{World, eventually, ports};

use super::super::manifests::{gateway, object};
use super::{born, greeted, logged, plain_backend, stream_route};

/// Answers each datagram with its name, the client's port as it sees it, and what came.
fn backend(name: &'static str) -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut bytes = vec![0; 64 << 10];
        while let Ok((read, client)) = socket.recv_from(&mut bytes) {
            let answer = [name.as_bytes(), b" ", client.port().to_string().as_bytes(), b" ", &bytes[..read]].concat();
            drop(socket.send_to(&answer, client));
        }
    });
    port
}

/// A Service `name` with UDP port 53.
fn service(name: &str, port: u16) -> String {
    let slice = format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
         metadata: {{name: {name}-udp, namespace: default, labels: {{kubernetes.io/service-name: {name}}}}}\n\
         addressType: IPv4\nports: [{{name: u, port: {port}, protocol: UDP}}]\nendpoints: [{{addresses: [127.0.0.1]}}]\n---\n"
    );
    object("v1", "Service", name, "ports: [{name: u, port: 53, protocol: UDP}]") + &slice
}

fn to(refs: &[(&str, u32)]) -> String {
    let refs: Vec<String> =
        refs.iter().map(|(name, weight)| format!("{{name: {name}, port: 53, weight: {weight}}}")).collect();
    format!("rules: [{{backendRefs: [{}]}}]", refs.join(", "))
}

fn udp(port: u16) -> String {
    gateway("edge", &[&format!("{{name: dns, port: {port}, protocol: UDP}}")])
}

/// A client with 200 ms of patience.
fn client() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    socket
}

/// The answer to one datagram: who gave it, by which port the backend knows the flow, and what it says.
fn ask(socket: &UdpSocket, port: u16, question: &[u8]) -> Option<(String, String, Vec<u8>)> {
    socket.send_to(question, ("127.0.0.1", port)).unwrap();
    let mut bytes = vec![0; 64 << 10];
    let (read, from) = socket.recv_from(&mut bytes).ok()?;
    assert_eq!(from.port(), port, "answers come from where was asked");
    let mut parts = bytes[..read].splitn(3, |byte| *byte == b' ');
    let text = |part: Option<&[u8]>| String::from_utf8_lossy(part.unwrap_or_default()).into_owned();
    Some((text(parts.next()), text(parts.next()), parts.next().unwrap_or_default().to_vec()))
}

fn who(port: u16) -> String {
    ask(&client(), port, b"who").map(|(name, ..)| name).unwrap_or_default()
}

#[test]
fn a_flow_keeps_its_backend_and_flows_are_shared_by_weight() {
    let port = ports::free();
    let services = service("a", backend("a")) + &service("b", backend("b"));
    let route = stream_route("UDPRoute", "r", &to(&[("a", 1), ("b", 1)]));
    let world = World::start(&[udp(port), services, route].concat());
    let mut flows: BTreeMap<String, usize> = BTreeMap::new();
    // All at once: the port of one that is closed may be the next one's, and that would be the same flow.
    let clients: Vec<_> = (0..42).map(|_| client()).collect();
    let (most, last) = clients.split_last_chunk::<2>().unwrap();
    for socket in most {
        let (name, seen_as, _) = ask(socket, port, b"0").expect("an answer");
        for number in 1..5_u8 {
            let answer = ask(socket, port, &[number]);
            assert_eq!(answer, Some((name.clone(), seen_as.clone(), vec![number])), "{}", world.log());
        }
        *flows.entry(name).or_default() += 1;
    }
    assert_eq!(flows, BTreeMap::from([("a".to_owned(), 20), ("b".to_owned(), 20)]));
    let large = vec![7; 60_000];
    assert_eq!(ask(&last[0], port, &large).unwrap().2, large);
    assert!(ask(&last[1], port, b"").unwrap().2.is_empty());
    let open = "torana_connections{gateway=\"default/edge\",listener=\"dns\",protocol=\"udp\"}";
    assert_eq!(world.metric(open), Some(42.0));
}

#[test]
fn a_port_number_is_one_of_tcp_and_one_of_udp() {
    let port = ports::free();
    let listeners =
        [format!("{{name: t, port: {port}, protocol: TCP}}"), format!("{{name: u, port: {port}, protocol: UDP}}")];
    let listeners = listeners.each_ref().map(String::as_str);
    let (tcp, udp) = (plain_backend("tcp"), backend("udp"));
    let both = object("v1", "Service", "dns", "ports: [{name: t, port: 53}, {name: u, port: 53, protocol: UDP}]");
    let slice = format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
         metadata: {{name: dns-1, namespace: default, labels: {{kubernetes.io/service-name: dns}}}}\n\
         addressType: IPv4\nports: [{{name: t, port: {tcp}}}, {{name: u, port: {udp}, protocol: UDP}}]\n\
         endpoints: [{{addresses: [127.0.0.1]}}]\n---\n"
    );
    let routes = ["TCPRoute", "UDPRoute"].map(|kind| stream_route(kind, "r", &to(&[("dns", 1)]))).concat();
    let world = World::start(&[gateway("edge", &listeners), both, slice, routes].concat());
    assert_eq!((greeted(port), who(port)), ("tcp".into(), "udp".into()), "{}", world.log());
}

#[test]
fn the_oldest_route_serves_new_flows_and_a_flow_does_not_outlive_its_endpoint() {
    let port = ports::free();
    let route = |name: &str, day: u8| born("UDPRoute", name, day, &to(&[(name, 1)]));
    let world = World::start(&[udp(port), service("young", backend("young")), route("young", 2)].concat());
    let kept = client();
    let name = |socket: &UdpSocket| ask(socket, port, b"x").map(|(name, ..)| name).unwrap_or_default();
    assert_eq!(name(&kept), "young");
    world.apply("old.yaml", &(route("old", 1) + &service("old", backend("old"))));
    assert!(eventually(|| who(port) == "old"), "{}", world.log());
    assert!((0..20).all(|_| who(port) == "old"));
    // It is never idle, but no rule leads any more to where it goes.
    assert!(eventually(|| name(&kept) == "old"), "{}", world.log());
    world.apply("old.yaml", &(route("old", 1) + &service("old", backend("moved"))));
    assert!(eventually(|| name(&kept) == "moved"), "{}", world.log());
}

#[test]
fn what_leads_nowhere_is_dropped_and_said_once_a_flow() {
    let (lost, dead) = (ports::free(), ports::free());
    let listeners = [
        format!("{{name: lost, port: {lost}, protocol: UDP}}"),
        format!("{{name: dead, port: {dead}, protocol: UDP}}"),
        format!("{{name: bare, port: {}, protocol: UDP}}", ports::free()),
    ];
    let listeners = listeners.each_ref().map(String::as_str);
    let route = |name: &str| {
        let parent = format!("parentRefs: [{{name: edge, sectionName: {name}}}]");
        stream_route("UDPRoute", name, &format!("{parent}, {}", to(&[(name, 1)])))
    };
    let dead_service = service("dead", ports::free());
    let world = World::start(&[gateway("edge", &listeners), dead_service, route("lost"), route("dead")].concat());
    let socket = client();
    for _ in 0..20 {
        socket.send_to(b"x", ("127.0.0.1", lost)).unwrap();
        socket.send_to(b"x", ("127.0.0.1", dead)).unwrap();
    }
    assert!(socket.recv_from(&mut [0; 16]).is_err(), "nobody answers");
    let said = logged(&world, |line| line["listener"] == "lost");
    assert!(said.len() == 1 && said[0]["reason"] == "invalid_config", "{said:?}");
    let said = logged(&world, |line| line["listener"] == "dead");
    assert!(said.len() == 1 && said[0]["reason"] == "connect_failed", "{said:?}");
}

#[test]
fn listeners_of_udp_open_and_close_and_a_taken_port_is_named() {
    let (port, taken) = (ports::free(), ports::free());
    let holder = UdpSocket::bind(("127.0.0.1", taken)).unwrap();
    let route = stream_route("UDPRoute", "r", &to(&[("a", 1)]));
    let world = World::start(&[service("a", backend("a")), route].concat());
    let both = gateway(
        "edge",
        &[
            &format!("{{name: one, port: {port}, protocol: UDP}}"),
            &format!("{{name: two, port: {taken}, protocol: UDP}}"),
        ],
    );
    world.apply("gateway.yaml", &both);
    assert!(eventually(|| who(port) == "a"), "{}", world.log());
    let says = || world.log().lines().any(|line| line.contains("Gateway default/edge: ") && line.contains("in use"));
    assert!(eventually(says), "{}", world.log());
    drop(holder);
    assert!(eventually(|| who(taken) == "a"), "{}", world.log());
    world.delete("gateway.yaml");
    assert!(eventually(|| UdpSocket::bind(("0.0.0.0", port)).is_ok()), "{}", world.log());
}
