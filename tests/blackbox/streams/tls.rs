// SPDX-License-Identifier: Apache-2.0
//! Connections that are routed by the server name of their handshake, with their TLS or without.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rcgen::PKCS_ECDSA_P256_SHA256;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, DEFAULT_VERSIONS, StreamOwned};
use torana_tests::{Backend, Connection, Credential, KeyForm, World, client, eventually, ports};

use super::super::manifests::{gateway, route, to};
use super::{born, connect, line, logged, plain_backend, stream_route, tls_backend};

fn listener(name: &str, port: u16, hostname: &str, mode: &str) -> String {
    let host = if hostname.is_empty() { String::new() } else { format!("hostname: \"{hostname}\", ") };
    format!("{{name: {name}, port: {port}, protocol: TLS, {host}tls: {{{mode}}}}}")
}

fn passed(name: &str, port: u16, hostname: &str) -> String {
    listener(name, port, hostname, "mode: Passthrough")
}

fn credential(host: &str) -> Credential {
    Credential::new(&PKCS_ECDSA_P256_SHA256, &[host])
}

fn named(name: &str, hosts: &str) -> String {
    stream_route("TLSRoute", name, &format!("hostnames: [{hosts}], rules: [{{{}}}]", to(name)))
}

/// How the hello is sent.
#[derive(Debug, Clone, Copy)]
enum Pieces {
    Whole,
    Bytes,
    Records,
}

/// Shakes hands for `name` with a hello in pieces; who answers, and with which certificate.
fn asked(port: u16, name: &str, config: &Arc<ClientConfig>, pieces: Pieces) -> Option<(String, Vec<u8>)> {
    let mut session =
        ClientConnection::new(Arc::clone(config), ServerName::try_from(name.to_owned()).unwrap()).unwrap();
    let mut hello = Vec::new();
    session.write_tls(&mut hello).unwrap();
    let mut stream = connect(port);
    match pieces {
        Pieces::Whole => stream.write_all(&hello).ok()?,
        Pieces::Bytes => hello.iter().try_for_each(|byte| stream.write_all(&[*byte])).ok()?,
        Pieces::Records => hello[5..]
            .chunks(100)
            .try_for_each(|piece| {
                thread::sleep(Duration::from_millis(1));
                stream.write_all(&[&[22, 3, 1, 0, u8::try_from(piece.len()).unwrap()], piece].concat())
            })
            .ok()?,
    }
    while session.is_handshaking() {
        session.complete_io(&mut stream).ok()?;
    }
    let certificate = session.peer_certificates()?.first()?.to_vec();
    let greeting = line(&mut StreamOwned::new(session, stream)).ok()?;
    Some((greeting, certificate))
}

fn any() -> Arc<ClientConfig> {
    client(&[], DEFAULT_VERSIONS)
}

#[test]
fn tls_passes_through_by_server_name_whatever_pieces_the_hello_comes_in() {
    let port = ports::free();
    let (exact, wild) = (credential("a.example.com"), credential("*.b.example.com"));
    let services =
        World::service("exact", tls_backend("exact", &exact)) + &World::service("wild", tls_backend("wild", &wild));
    let routes = named("exact", "a.example.com") + &named("wild", "\"*.b.example.com\"");
    let world = World::start(&[gateway("edge", &[&passed("pass", port, "*.example.com")]), services, routes].concat());
    let own = |name: &str, credential: &Credential| Some((name.to_owned(), credential.der().to_vec()));
    for pieces in [Pieces::Whole, Pieces::Bytes, Pieces::Records] {
        for (name, expected) in [
            ("a.example.com", own("exact", &exact)),
            ("A.Example.com", own("exact", &exact)),
            ("x.b.example.com", own("wild", &wild)),
            ("y.x.b.example.com", own("wild", &wild)),
            ("b.example.com", None),
            ("c.example.com", None),
            ("a.example.org", None),
            ("127.0.0.1", None),
        ] {
            assert_eq!(asked(port, name, &any(), pieces), expected, "{name} {pieces:?}\n{}", world.log());
        }
    }
    let said = logged(&world, |line| line["sni"] == "x.b.example.com").remove(0);
    assert_eq!((&said["protocol"], &said["route"]), (&"tls".into(), &"TLSRoute/default/wild".into()), "{said}");
    assert!(said.get("tls_version").is_none(), "{said}");
    let said = logged(&world, |line| line["sni"] == "c.example.com").remove(0);
    assert_eq!((&said["listener"], &said["reason"]), (&"pass".into(), &"no_route".into()), "{said}");
}

#[test]
fn what_leads_nowhere_ends_without_a_word_of_tls() {
    let port = ports::free();
    let lost = stream_route(
        "TLSRoute",
        "lost",
        "hostnames: [lost.example.com], rules: [{backendRefs: [{name: nobody, port: 80}]}]",
    );
    let world = World::start(&[gateway("edge", &[&passed("pass", port, "*.example.com")]), lost].concat());
    let hello = |name: &str| {
        let mut session = ClientConnection::new(any(), ServerName::try_from(name.to_owned()).unwrap()).unwrap();
        let mut hello = Vec::new();
        session.write_tls(&mut hello).unwrap();
        hello
    };
    let ends = |bytes: &[u8]| {
        let mut stream = connect(port);
        let (mut got, sent) = (Vec::new(), stream.write_all(bytes));
        let read = stream.read_to_end(&mut got);
        let waited = read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
        sent.is_err() || (got.is_empty() && !waited)
    };
    // No listener, no route, no backend.
    for name in ["a.example.org", "none.example.com", "lost.example.com"] {
        assert!(ends(&hello(name)), "{name}");
    }
    // A hello without an end: 20 KiB are announced, and come.
    let mut endless = vec![22, 3, 1, 0x40, 0, 1, 0, 0x50, 0];
    endless.resize(5 + 0x4000, 0);
    endless.extend([22, 3, 1, 0x10, 0]);
    endless.resize(endless.len() + 0x1000, 0);
    assert!(ends(&endless));
    assert!(ends(b"SSH-2.0-x\r\n"));
    let errors = |reason: &str| {
        world.metric(&format!("torana_tls_errors_total{{gateway=\"\",listener=\"\",reason=\"{reason}\"}}"))
    };
    assert!(eventually(|| errors("unrecognized_name") == Some(1.0) && errors("hello_too_long") == Some(1.0)));
    assert_eq!(logged(&world, |line| line["sni"] == "lost.example.com")[0]["reason"], "invalid_config");
}

#[test]
fn passed_ended_and_https_share_a_port() {
    let port = ports::free();
    let (own, ended, https) = (credential("a.example.com"), credential("b.example.com"), credential("c.example.com"));
    let web = Backend::named("web");
    let listeners = [
        passed("pass", port, "a.example.com"),
        listener("end", port, "b.example.com", "mode: Terminate, certificateRefs: [{name: ended}]"),
        format!("{{name: https, port: {port}, protocol: HTTPS, tls: {{certificateRefs: [{{name: https}}]}}}}"),
    ];
    let services = World::service("own", tls_backend("own", &own))
        + &World::service("raw", plain_backend("raw"))
        + &World::service("web", web.port);
    let secrets = ended.secret("ended", KeyForm::Pkcs8) + &https.secret("https", KeyForm::Pkcs8);
    let routes = named("own", "a.example.com")
        + &named("raw", "b.example.com")
        + &route("web", &format!("rules: [{{{}}}]", to("web")));
    let listeners = listeners.each_ref().map(String::as_str);
    let world = World::start(&[gateway("edge", &listeners), services, secrets, routes].concat());
    let got = asked(port, "a.example.com", &any(), Pieces::Whole);
    assert_eq!(got, Some(("own".into(), own.der().to_vec())), "{}", world.log());
    for pieces in [Pieces::Whole, Pieces::Bytes, Pieces::Records] {
        let got = asked(port, "b.example.com", &any(), pieces);
        assert_eq!(got, Some(("raw".into(), ended.der().to_vec())), "{pieces:?}\n{}", world.log());
    }
    let mut connection = Connection::tls(port, "c.example.com", &any()).unwrap();
    assert_eq!(connection.session().unwrap().peer_certificates().unwrap()[0], https.der());
    assert_eq!(connection.get("c.example.com", "/").unwrap().text(), "web");
    // A request never gets to a host that belongs to a listener of streams.
    assert_eq!(connection.get("a.example.com", "/").unwrap().status, 421);
    assert_eq!(connection.get("b.example.com", "/").unwrap().status, 421);
    let mut nameless = Connection::tls(port, "127.0.0.1", &any()).unwrap();
    assert_eq!(nameless.get("b.example.com", "/").unwrap().status, 421);
    assert_eq!(nameless.get("d.example.com", "/").unwrap().status, 200);
    assert_eq!(web.seen().len(), 2);
    let said = logged(&world, |line| line["listener"] == "end").remove(0);
    assert_eq!((&said["route"], &said["tls_version"]), (&"TLSRoute/default/raw".into(), &"TLSv1.3".into()), "{said}");
}

#[test]
fn what_is_inside_ended_tls_goes_both_ways_and_each_side_ends_for_itself() {
    const ALL: usize = 1 << 20;
    let port = ports::free();
    let ended = credential("a.example.com");
    let end = listener("end", port, "", "mode: Terminate, certificateRefs: [{name: ended}]");
    let service = World::service("raw", plain_backend("raw"));
    let secret = ended.secret("ended", KeyForm::Pkcs8);
    let world = World::start(&[gateway("edge", &[&end]), service, secret, named("raw", "a.example.com")].concat());
    let mut config = Arc::unwrap_or_clone(any());
    config.alpn_protocols = vec![b"h2".to_vec(), b"postgresql".to_vec()];
    let session = ClientConnection::new(Arc::new(config), ServerName::try_from("a.example.com").unwrap()).unwrap();
    let mut stream = StreamOwned::new(session, connect(port));
    assert_eq!(line(&mut stream).unwrap(), "raw");
    assert_eq!(stream.conn.alpn_protocol(), None, "what is inside is not known");
    for piece in 0..ALL / 4096 {
        let sent = vec![u8::try_from(piece % 251).unwrap(); 4096];
        stream.write_all(&sent).unwrap();
        let mut got = vec![0; 4096];
        stream.read_exact(&mut got).unwrap();
        assert_eq!(got, sent, "{piece}");
    }
    stream.conn.send_close_notify();
    stream.flush().unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, format!("bye {ALL}"), "{}", world.log());
}

#[test]
fn the_routes_own_hostname_goes_before_its_age() {
    let (exact, wild) = (ports::free(), ports::free());
    let credential = credential("x");
    let service = |name: &'static str| World::service(name, tls_backend(name, &credential));
    let route = |name: &str, day: u8, section: &str, host: &str| {
        let parent = format!("parentRefs: [{{name: edge, sectionName: {section}}}]");
        born("TLSRoute", name, day, &format!("{parent}, hostnames: [\"{host}\"], rules: [{{{}}}]", to(name)))
    };
    let routes = [
        route("a-wild", 1, "exact", "*.example.com"),
        route("a-exact", 2, "exact", "abc.example.com"),
        route("b-short", 1, "wild", "*.com"),
        route("b-long", 3, "wild", "*.example.com"),
        route("b-late", 4, "wild", "*.example.com"),
    ];
    let services: String = ["a-wild", "a-exact", "b-short", "b-long", "b-late"].map(service).concat();
    let listeners = [passed("exact", exact, "abc.example.com"), passed("wild", wild, "*.example.com")];
    let listeners = listeners.each_ref().map(String::as_str);
    let world = World::start(&[gateway("edge", &listeners), services, routes.concat()].concat());
    for (port, expected) in [(exact, "a-exact"), (wild, "b-long")] {
        for _ in 0..10 {
            let got = asked(port, "abc.example.com", &any(), Pieces::Whole).map(|(name, _)| name);
            assert_eq!(got.as_deref(), Some(expected), "{}", world.log());
        }
    }
}

#[test]
fn a_renewed_certificate_and_a_new_mode_count_for_the_next_connection() {
    let port = ports::free();
    let [first, second, own] = [(); 3].map(|()| credential("a.example.com"));
    let end = listener("l", port, "", "mode: Terminate, certificateRefs: [{name: c}]");
    let services = World::service("s", plain_backend("plain"));
    let world = World::start(&[services, named("s", "a.example.com")].concat());
    world.apply("gateway.yaml", &gateway("edge", &[&end]));
    world.apply("secret.yaml", &first.secret("c", KeyForm::Pkcs8));
    let who = || {
        TcpStream::connect(("127.0.0.1", port)).ok().and_then(|_| asked(port, "a.example.com", &any(), Pieces::Whole))
    };
    let is = |name: &str, credential: &Credential| who() == Some((name.to_owned(), credential.der().to_vec()));
    assert!(eventually(|| is("plain", &first)), "{}", world.log());
    world.apply("secret.yaml", &second.secret("c", KeyForm::Pkcs8));
    assert!(eventually(|| is("plain", &second)), "{}", world.log());
    world.apply("service.yaml", &World::service("s2", tls_backend("tls", &own)));
    world.apply("route.yaml", &named("s2", "b.example.com, a.example.com"));
    world.apply("gateway.yaml", &gateway("edge", &[&passed("l", port, "")]));
    world.delete("world.yaml");
    assert!(eventually(|| is("tls", &own)), "{}", world.log());
}
