// SPDX-License-Identifier: Apache-2.0
//! BackendTLSPolicy: backends are spoken to in TLS, as long as they prove who they are; never in cleartext.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use http::Request;
use tokio::net::TcpStream;
use torana_tests::{Authority, Backend, Connection, Nginx, World, echo, eventually, ports};

use super::http2::client as h2_client;
use super::manifests::{authorities, gateway, grpc_route, object, policy, route, to};

const HTTP1: &[&str] = &["http/1.1"];
const BOTH: &[&str] = &["h2", "http/1.1"];
const HOST: &str = "abc.example.com";
const URI: &str = "spiffe://abc.example.com/test-identity";

/// `hostname`, and the authorities of a ConfigMap.
fn checks(hostname: &str, config_map: &str) -> String {
    format!("hostname: {hostname}, {}", authorities(config_map))
}

/// A route of `/name` to the Service `name`.
fn by_path(name: &str) -> String {
    route(name, &format!("rules: [{{matches: [{{path: {{value: /{name}}}}}], {}}}]", to(name)))
}

#[test]
fn a_backend_must_come_from_the_right_authority_and_bear_the_right_name() {
    let (ours, other) = (Authority::new(), Authority::new());
    let backend = Backend::tls("ok", ours.server(&[HOST, "other.example.com", URI], BOTH, None));
    let sans = |list: &str| format!("{}, subjectAltNames: [{list}]", checks("sni.example.com", "ours"));
    let rows = [
        ("right", checks(HOST, "ours"), 200, "", HOST),
        ("second", checks("other.example.com", "ours"), 200, "", "other.example.com"),
        ("authority", checks(HOST, "other"), 503, "bad_signature", ""),
        ("name", checks("mismatch.example.com", "ours"), 503, "name_mismatch", ""),
        ("uri", sans(&format!("{{type: URI, uri: \"{URI}\"}}")), 200, "", "sni.example.com"),
        (
            "one-of",
            sans(&format!("{{type: Hostname, hostname: no.example.com}}, {{type: Hostname, hostname: {HOST}}}")),
            200,
            "",
            "sni.example.com",
        ),
        ("no-uri", sans("{type: URI, uri: \"spiffe://abc.example.com/other\"}"), 503, "name_mismatch", ""),
        ("no-san", sans("{type: Hostname, hostname: no.example.com}"), 503, "name_mismatch", ""),
        ("system", format!("hostname: {HOST}, wellKnownCACertificates: System"), 503, "unknown_issuer", ""),
        ("absent", checks(HOST, "nowhere"), 500, "", ""),
    ];
    let mut manifests = World::gateway().to_owned() + &ours.bundle("ours") + &other.bundle("other");
    for (name, validation, ..) in &rows {
        manifests += &(World::service(name, backend.port) + &policy(name, validation) + &by_path(name));
    }
    let world = World::start(&manifests);
    for (name, _, status, error, sni) in rows {
        let reply = world.get("a", &format!("/{name}")).unwrap();
        assert_eq!(reply.status, status, "{name}: {}", reply.text());
        let seen = backend.take();
        assert_eq!(seen.len(), usize::from(status == 200), "{name}");
        if let [seen] = &seen[..] {
            let tls = seen.tls.as_ref().unwrap();
            assert_eq!((tls.sni.as_deref(), tls.alpn.as_deref()), (Some(sni), Some("http/1.1")), "{name}");
            assert!(tls.certificate.is_none() && seen.faults.is_empty(), "{name}: {seen:?}");
        }
        let line = || {
            let log = world.log();
            log.lines().find(|line| line.contains(&format!("\"path\":\"/{name}\""))).map(str::to_owned)
        };
        assert!(eventually(|| line().is_some()), "{name}");
        let line = line().unwrap();
        assert_eq!(line.contains("\"upstream_transport\":\"tls\""), status != 500, "{name}: {line}");
        assert!(error.is_empty() || line.contains(&format!("\"upstream_tls_error\":\"{error}\"")), "{name}: {line}");
    }
}

#[test]
fn new_authorities_are_in_force_for_the_next_request_whatever_is_pooled() {
    let (old, new) = (Authority::new(), Authority::new());
    let backend = Backend::tls("ok", old.server(&[HOST], HTTP1, None));
    let manifests = World::gateway().to_owned() + &World::service("b", backend.port) + &World::catch_all("all", "b");
    let world = World::start(&(manifests + &policy("b", &checks(HOST, "ca"))));
    assert_eq!(world.status("a", "/"), 500, "without authorities nobody can be verified");
    world.apply("ca.yaml", &old.bundle("ca"));
    assert!(eventually(|| world.status("a", "/") == 200));
    let connections = backend.connections();
    assert_eq!((world.status("a", "/"), backend.connections()), (200, connections), "a connection is used again");
    world.apply("ca.yaml", &new.bundle("ca"));
    assert!(eventually(|| world.status("a", "/") == 503), "the pooled connection is not used any more");
    let broken = old.bundle("ca").replace("ca.crt", "other");
    world.apply("ca.yaml", &broken);
    assert!(eventually(|| world.status("a", "/") == 500));
    world.apply("ca.yaml", &old.bundle("ca"));
    assert!(eventually(|| world.status("a", "/") == 200));
    assert!(backend.connections() > connections);
}

#[test]
fn rotation_under_load_fails_no_request() {
    let authority = Authority::new();
    let backend = Backend::tls("ok", authority.server(&[HOST], HTTP1, None));
    let with = |pem: &str| {
        let head = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ca, namespace: default}\n";
        format!("{head}data: {{ca.crt: {pem:?}}}\n---\n")
    };
    // The same authority, and one more in every second edit.
    let texts = [with(&authority.root_pem()), with(&(authority.root_pem() + &Authority::new().root_pem()))];
    let manifests = World::gateway().to_owned() + &World::service("b", backend.port) + &World::catch_all("all", "b");
    let world = World::start(&(manifests + &policy("b", &checks(HOST, "ca"))));
    world.apply("ca.yaml", &texts[0]);
    assert!(eventually(|| world.status("a", "/") == 200));
    // Each that is seen makes a connection; several that come at once are one.
    let (mut edit, began) = (0, Instant::now());
    while backend.connections() < 6 {
        edit += 1;
        world.apply("ca.yaml", &texts[edit % 2]);
        for _ in 0..30 {
            assert_eq!(world.status("a", "/"), 200);
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{edit} edits were not seen");
    }
}

#[test]
fn without_the_policy_it_is_cleartext_again_and_with_it_never() {
    let authority = Authority::new();
    let plain = Backend::named("plain");
    let manifests = World::gateway().to_owned() + &World::service("b", plain.port) + &World::catch_all("all", "b");
    let world = World::start(&(manifests + &authority.bundle("ca")));
    assert_eq!(world.status("a", "/"), 200);
    world.apply("policy.yaml", &policy("b", &checks(HOST, "ca")));
    assert!(eventually(|| world.status("a", "/") == 503));
    let _ = plain.take();
    assert_eq!(world.status("a", "/"), 503);
    world.apply("policy.yaml", &policy("b", &checks(HOST, "nowhere")));
    assert!(eventually(|| world.status("a", "/") == 500));
    assert_eq!(plain.seen().iter().filter(|seen| seen.method == "GET").count(), 0, "no request in cleartext");
    world.delete("policy.yaml");
    assert!(eventually(|| world.status("a", "/") == 200));
}

#[test]
fn an_endpoint_that_fails_the_handshake_is_left_for_another() {
    let (ours, other) = (Authority::new(), Authority::new());
    let (good, bad) = (ours.server(&[HOST], HTTP1, None), other.server(&[HOST], HTTP1, None));
    let (good, bad) = (Backend::tls("good", good), Backend::tls("bad", bad));
    let second = World::service("b", bad.port).split_once("---\n").unwrap().1.replace("b-1", "b-2");
    let manifests =
        [World::gateway(), &World::service("b", good.port), &second, &World::catch_all("all", "b")].concat();
    let world = World::start(&(manifests + &ours.bundle("ca") + &policy("b", &checks(HOST, "ca"))));
    for _ in 0..30 {
        assert_eq!(world.status("a", "/"), 200);
    }
    assert!(bad.connections() > 0 && bad.seen().is_empty());
}

#[test]
fn a_backend_that_is_silent_in_the_handshake_is_waited_for_as_long_as_for_a_connect() {
    let authority = Authority::new();
    // Accepts by its backlog and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let limit = "rules: [{timeouts: {request: 500ms}, backendRefs: [{name: b, port: 80}]}]";
    let manifests = World::gateway().to_owned() + &World::service("b", port) + &route("all", limit);
    let world = World::start(&(manifests + &authority.bundle("ca") + &policy("b", &checks(HOST, "ca"))));
    let start = std::time::Instant::now();
    assert_eq!(world.status("a", "/"), 504);
    assert!(start.elapsed() < std::time::Duration::from_secs(3), "{:?}", start.elapsed());
}

#[test]
fn a_policy_for_a_port_by_name_comes_first_and_of_two_alike_the_first() {
    let authority = Authority::new();
    let backend = Backend::tls("ok", authority.server(&["one.example.com", "two.example.com"], HTTP1, None));
    let targets = |name: &str, section: &str, hostname: &str| {
        let target = format!("targetRefs: [{{group: \"\", kind: Service, name: b{section}}}]");
        let spec = format!("{target}, validation: {{{}}}", checks(hostname, "ca"));
        object("gateway.networking.k8s.io/v1", "BackendTLSPolicy", name, &spec)
    };
    let manifests = World::gateway().to_owned()
        + &World::service("b", backend.port)
        + &World::catch_all("all", "b")
        + &authority.bundle("ca")
        + &targets("whole", "", "whole.example.com")
        + &targets("a", ", sectionName: http", "one.example.com")
        + &targets("b", ", sectionName: http", "two.example.com");
    let world = World::start(&manifests);
    assert_eq!(world.status("a", "/"), 200);
    assert_eq!(backend.take()[0].tls.as_ref().unwrap().sni.as_deref(), Some("one.example.com"));
    assert!(eventually(|| world.log().contains("is in force there")), "{}", world.log());
}

#[test]
fn the_gateways_certificate_is_shown_and_no_other_gateway_gets_its_connections() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let backend = Backend::tls("ok", authority.server(&[HOST], HTTP1, Some(&clients)));
    let port = ports::free();
    let other = gateway("other", &[&format!("{{name: http, port: {port}, protocol: HTTP}}")]);
    let edge = gateway("edge", &["{name: http, port: ${HTTP}, protocol: HTTP}"]);
    let edge = edge.replace("spec: {", "spec: {tls: {backend: {clientCertificateRef: {name: id}}}, ");
    let parents = "parentRefs: [{name: edge}, {name: other}]";
    let manifests = edge
        + &other
        + &World::service("b", backend.port)
        + &route("all", &format!("{parents}, rules: [{{{}}}]", to("b")))
        + &authority.bundle("ca")
        + &policy("b", &checks(HOST, "ca"));
    let world = World::start(&manifests);
    assert_ne!(world.status("a", "/"), 200, "the Secret is not there, so nothing is shown");
    let [first, second] = [(); 2].map(|()| clients.issue("edge", &[]));
    world.apply("id.yaml", &first.secret("id"));
    assert!(eventually(|| world.status("a", "/") == 200), "{}", world.log());
    assert_eq!(world.status("a", "/"), 200);
    let shown = || backend.take().last().and_then(|seen| seen.tls.clone()?.certificate);
    assert_eq!(shown(), Some(first.leaf()));
    let ask_other = || {
        let mut connection = Connection::open(port).unwrap();
        connection.get("a", "/").unwrap().status
    };
    assert!(ask_other() >= 500, "the other Gateway shows nothing");
    world.apply("id.yaml", &second.secret("id"));
    assert!(eventually(|| {
        assert_eq!(world.status("a", "/"), 200, "in between");
        shown() == Some(second.leaf())
    }));
    assert!(ask_other() >= 500);
    world.delete("id.yaml");
    assert!(eventually(|| world.status("a", "/") >= 500));
}

#[test]
fn nginx_demands_the_certificate_and_gets_it() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let nginx = Nginx::with_tls(&authority.issue("nginx", &[HOST]), &clients.root_pem());
    nginx.serve("page", "hello");
    let with = gateway("edge", &["{name: http, port: ${HTTP}, protocol: HTTP}"]);
    let manifests = World::service("b", nginx.tls) + &World::catch_all("all", "b") + &authority.bundle("ca");
    let manifests = manifests + &policy("b", &checks(HOST, "ca")) + &clients.secret("id", &[]);
    let world = World::start(&manifests);
    world.apply("gateway.yaml", &with);
    assert!(eventually(|| world.status("a", "/page") == 400), "nginx: no required certificate was sent");
    let shown = "spec: {tls: {backend: {clientCertificateRef: {name: id}}}, ";
    world.apply("gateway.yaml", &with.replace("spec: {", shown));
    assert!(eventually(|| world.get("a", "/page").is_ok_and(|reply| reply.text() == "hello")), "{}", world.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_grpc_and_requests_by_http2_are_carried_in_tls() {
    let (ours, other) = (Authority::new(), Authority::new());
    let good = echo::h2_tls(ours.server(&[HOST], BOTH, None)).await;
    let bad = echo::h2_tls(other.server(&[HOST], BOTH, None)).await;
    let mut manifests = World::gateway().to_owned() + &ours.bundle("ca");
    for (name, port) in [("good", good), ("bad", bad)] {
        let hosts = format!("hostnames: [{name}.example.com], rules: [{{{}}}]", to(name));
        manifests += &(World::service(name, port) + &policy(name, &checks(HOST, "ca")) + &grpc_route(name, &hosts));
    }
    manifests += &World::service_speaking("kubernetes.io/h2c", "named", good);
    manifests += &(policy("named", &checks(HOST, "ca")) + &World::route("named", "named.example.com", "named"));
    let world = World::start(&manifests);
    let mut client = h2_client(world.http).await;
    for (host, status) in [("good.example.com", "0"), ("bad.example.com", "14"), ("named.example.com", "0")] {
        let request = Request::post(format!("http://{host}/x.Y/Z")).header("content-type", "application/grpc");
        let (response, mut body) =
            client.send_request(request.header("te", "trailers").body(()).unwrap(), false).unwrap();
        body.send_data(bytes::Bytes::from_static(b"hello"), true).unwrap();
        let response = response.await.unwrap();
        let early = response.headers().get("grpc-status").cloned();
        let mut body = response.into_body();
        let mut text = Vec::new();
        while let Some(data) = body.data().await {
            text.extend_from_slice(&data.unwrap());
        }
        let status_of = body.trailers().await.unwrap().and_then(|it| it.get("grpc-status").cloned()).or(early);
        assert_eq!(status_of.unwrap(), status, "{host}");
        assert_eq!(text == b"hello", status == "0", "{host}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn websockets_go_through_tls() {
    let authority = Authority::new();
    let port = echo::websocket_tls(authority.server(&[HOST], BOTH, None)).await;
    let manifests = World::gateway().to_owned() + &World::service_speaking("kubernetes.io/wss", "b", port);
    let manifests = manifests + &World::catch_all("all", "b") + &authority.bundle("ca");
    let world = World::start(&(manifests + &policy("b", &checks(HOST, "ca"))));
    let stream = TcpStream::connect(("127.0.0.1", world.http)).await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async("ws://a/", stream).await.unwrap();
    for text in ["one", "two"] {
        socket.send(text.into()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap().into_text().unwrap(), text);
    }
}

#[test]
fn mirrors_go_by_tls_too() {
    let authority = Authority::new();
    let (main, mirror) = (Backend::named("main"), Backend::tls("mirror", authority.server(&[HOST], HTTP1, None)));
    let filter = "filters: [{type: RequestMirror, requestMirror: {backendRef: {name: mirror, port: 80}}}]";
    let manifests = World::gateway().to_owned()
        + &World::service("main", main.port)
        + &World::service("mirror", mirror.port)
        + &route("all", &format!("rules: [{{{filter}, {}}}]", to("main")))
        + &authority.bundle("ca")
        + &policy("mirror", &checks(HOST, "ca"));
    let world = World::start(&manifests);
    assert_eq!(world.get("a", "/x").unwrap().text(), "main");
    assert!(eventually(|| mirror.seen().iter().any(|seen| seen.target == "/x" && seen.tls.is_some())));
}

#[test]
fn large_bodies_pass_both_ways() {
    let authority = Authority::new();
    let config = authority.server(&[HOST], HTTP1, None);
    let backend = Backend::tls(&"x".repeat(3 << 20), config);
    let manifests = World::gateway().to_owned() + &World::service("b", backend.port) + &World::catch_all("all", "b");
    let world = World::start(&(manifests + &authority.bundle("ca") + &policy("b", &checks(HOST, "ca"))));
    let body = vec![b'y'; 2 << 20];
    let mut request = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    request.extend_from_slice(&body);
    for _ in 0..2 {
        assert_eq!(world.raw(&request).unwrap().body.len(), 3 << 20);
        assert_eq!(backend.take()[0].body, body);
    }
    assert_eq!(backend.connections(), 1);
}
