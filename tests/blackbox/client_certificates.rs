// SPDX-License-Identifier: Apache-2.0
//! Client certificates (`spec.tls.frontend`): who gets in, by port, and what changes it.

use std::sync::Arc;

use rustls::ClientConfig;
use torana_tests::{Authority, Backend, Connection, World, eventually, ports};

use super::manifests::authorities;

const HOST: &str = "a.example.com";

/// A Gateway with an HTTP listener, and HTTPS listeners on `${HTTPS}` and on `second`.
fn edge(frontend: &str, second: u16) -> String {
    let https = |name: &str, port: &str| {
        format!("{{name: {name}, port: {port}, protocol: HTTPS, tls: {{certificateRefs: [{{name: server}}]}}}}")
    };
    let listeners =
        ["{name: http, port: ${HTTP}, protocol: HTTP}", &https("one", "${HTTPS}"), &https("two", &second.to_string())];
    super::manifests::gateway("edge", &listeners)
        .replace("spec: {", &format!("spec: {{tls: {{frontend: {{{frontend}}}}}, "))
}

fn validation(config_map: &str) -> String {
    format!("{{validation: {{{}}}}}", authorities(config_map))
}

/// Whether a client gets an answer. Under TLS 1.3 it hears of its refusal only after its own handshake is done.
fn gets_in(port: u16, client: &Arc<ClientConfig>) -> bool {
    let reply = Connection::tls(port, HOST, client).and_then(|mut connection| connection.get(HOST, "/"));
    reply.is_ok_and(|reply| reply.status == 200)
}

/// An authority of servers, and clients with a certificate of each of `authorities` and one without.
fn clients<const N: usize>(server: &Authority, authorities: [&Authority; N]) -> Vec<Arc<ClientConfig>> {
    let shown = authorities.map(|authority| server.client_with(&[], Some(&authority.issue("client", &[]))));
    shown.into_iter().chain([server.client(&[])]).collect()
}

#[test]
fn each_port_lets_in_the_clients_of_its_own_authorities() {
    let (server, default, own) = (Authority::new(), Authority::new(), Authority::new());
    let (backend, second) = (Backend::named("ok"), ports::free());
    let frontend =
        format!("default: {}, perPort: [{{port: {second}, tls: {}}}]", validation("default"), validation("own"));
    let world = World::start(
        &(edge(&frontend, second)
            + &server.secret("server", &[HOST])
            + &default.bundle("default")
            + &own.bundle("own")
            + &World::service("b", backend.port)
            + &World::catch_all("all", "b")),
    );
    let all = clients(&server, [&default, &own]);
    for (port, expected) in [(world.https, [true, false, false]), (second, [false, true, false])] {
        for _ in 0..3 {
            let got: Vec<bool> = all.iter().map(|client| gets_in(port, client)).collect();
            assert_eq!(got, expected, "{port}");
        }
    }
    assert_eq!(world.status(HOST, "/"), 200, "HTTP asks nobody");
    let refused = world
        .metric("torana_tls_errors_total{gateway=\"default/edge\",listener=\"one\",reason=\"no_client_certificate\"}");
    assert_eq!(refused, Some(3.0), "{}", world.health("/metrics").unwrap().text());
}

#[test]
fn fallback_lets_everybody_in_and_a_port_of_its_own_asks_nobody() {
    let (server, ours, other) = (Authority::new(), Authority::new(), Authority::new());
    let (backend, second) = (Backend::named("ok"), ports::free());
    let lenient = validation("ours").replace("{validation: {", "{validation: {mode: AllowInsecureFallback, ");
    let frontend = format!("default: {lenient}, perPort: [{{port: {second}, tls: {{}}}}]");
    let world = World::start(
        &(edge(&frontend, second)
            + &server.secret("server", &[HOST])
            + &ours.bundle("ours")
            + &World::service("b", backend.port)
            + &World::catch_all("all", "b")),
    );
    for client in clients(&server, [&ours, &other]) {
        assert!(gets_in(world.https, &client) && gets_in(second, &client));
    }
    assert!(eventually(|| world.log().contains("clients are let in without a valid certificate")));
}

#[test]
fn without_a_good_authority_https_is_closed_and_http_is_not() {
    let (server, ours) = (Authority::new(), Authority::new());
    let (backend, second) = (Backend::named("ok"), ports::free());
    let frontend = format!("default: {}, perPort: [{{port: {second}, tls: {{}}}}]", validation("ours"));
    let world = World::start(
        &(edge(&frontend, second)
            + &server.secret("server", &[HOST])
            + &World::service("b", backend.port)
            + &World::catch_all("all", "b")),
    );
    let all = clients(&server, [&ours]);
    assert!(!all.iter().any(|client| gets_in(world.https, client)));
    assert!(gets_in(second, &all[1]) && world.status(HOST, "/") == 200);
    world.apply("ca.yaml", &ours.bundle("ours"));
    assert!(eventually(|| gets_in(world.https, &all[0])));
    assert!(!gets_in(world.https, &all[1]));
    world.apply("ca.yaml", &ours.bundle("ours").replace("ca.crt", "other"));
    assert!(eventually(|| !gets_in(world.https, &all[0])));
    assert!(gets_in(second, &all[1]) && world.status(HOST, "/") == 200);
}

#[test]
fn a_ticket_is_no_way_around_new_authorities() {
    let (server, old, new) = (Authority::new(), Authority::new(), Authority::new());
    let (backend, second) = (Backend::named("ok"), ports::free());
    let world = World::start(
        &(edge(&format!("default: {}", validation("ca")), second)
            + &server.secret("server", &[HOST])
            + &World::service("b", backend.port)
            + &World::catch_all("all", "b")),
    );
    world.apply("ca.yaml", &old.bundle("ca"));
    let all = clients(&server, [&old, &new]);
    assert!(eventually(|| gets_in(world.https, &all[0])));
    // The second connection of the same client is resumed.
    let mut resumed = Connection::tls(world.https, HOST, &all[0]).unwrap();
    assert_eq!(resumed.get(HOST, "/").unwrap().status, 200);
    assert_eq!(resumed.session().unwrap().handshake_kind(), Some(rustls::HandshakeKind::Resumed));
    world.apply("ca.yaml", &new.bundle("ca"));
    assert!(eventually(|| gets_in(world.https, &all[1])));
    assert!(!gets_in(world.https, &all[0]), "its tickets are of the old authorities");
    assert_eq!(resumed.get(HOST, "/").unwrap().status, 200, "who is in stays in");
}

#[test]
fn backends_are_told_nothing_of_clients_certificates_whatever_clients_say() {
    let (server, ours) = (Authority::new(), Authority::new());
    let (backend, second) = (Backend::named("ok"), ports::free());
    let world = World::start(
        &(edge(&format!("default: {}", validation("ours")), second)
            + &server.secret("server", &[HOST])
            + &ours.bundle("ours")
            + &World::service("b", backend.port)
            + &World::catch_all("all", "b")),
    );
    let client = &clients(&server, [&ours])[0];
    let spoofed = b"GET / HTTP/1.1\r\nHost: a.example.com\r\nX-Forwarded-Client-Cert: By=me\r\nx_forwarded_client_cert: x\r\n\r\n";
    let mut connection = Connection::tls(world.https, HOST, client).unwrap();
    connection.send(spoofed).unwrap();
    assert_eq!(connection.reply("GET").unwrap().status, 200);
    assert_eq!(world.raw(spoofed).unwrap().status, 200);
    for seen in backend.take() {
        let told: Vec<_> = seen.headers.iter().filter(|(name, _)| name.to_lowercase().contains("client")).collect();
        assert!(told.is_empty(), "{told:?}");
    }
}
