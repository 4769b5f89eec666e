// SPDX-License-Identifier: Apache-2.0
//! Clients that come through others: a load balancer that says by the PROXY protocol for whom it connects, and proxies that
//! say so in `X-Forwarded-For`.

use std::process::Command;

use torana_tests::{Authority, Backend, Connection, World, eventually};

use super::log::line;

const CLIENT: &str = "203.0.113.7";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A Gateway whose parameters say this of clients, and a route of everything.
pub(super) fn manifests(client: &str, gateway: &str, backend: &Backend) -> String {
    let parameters = format!(
        "apiVersion: torana.dev/v1alpha1\nkind: GatewayParameters\nmetadata: {{name: edge, namespace: default}}\n\
         spec: {{client: {client}}}\n---\n"
    );
    let named = "gatewayClassName: torana\n  infrastructure: {parametersRef: {group: torana.dev, kind: \
                 GatewayParameters, name: edge}}\n";
    let gateway = gateway.replace("gatewayClassName: torana\n", named);
    parameters + &gateway + &World::service("app", backend.port) + &World::catch_all("all", "app")
}

/// Sends `before` and then a request; its status.
fn status(port: u16, before: &[u8], path: &str) -> std::io::Result<u16> {
    let mut connection = Connection::open(port)?;
    connection.send(&[before, format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n").as_bytes()].concat())?;
    connection.reply("GET").map(|reply| reply.status)
}

fn version_2(command: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, 0x11], &length, rest].concat()
}

#[test]
fn a_load_balancer_says_for_whom_it_connects_and_nobody_comes_in_without() {
    let backend = Backend::named("app");
    let world = World::start(&manifests("{proxyProtocol: true}", World::gateway(), &backend));
    let addresses = [203, 0, 113, 7, 198, 51, 100, 1, 0x12, 0x67, 0, 80];
    let headers: [(&str, Vec<u8>, &str, &str); 4] = [
        ("/one", b"PROXY TCP4 203.0.113.7 198.51.100.1 4711 80\r\n".to_vec(), CLIENT, "203.0.113.7:4711"),
        ("/six", b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 80\r\n".to_vec(), "2001:db8::7", "[2001:db8::7]:4711"),
        ("/two", version_2(0x21, &addresses), CLIENT, "203.0.113.7:4711"),
        ("/itself", version_2(0x20, &[]), "127.0.0.1", "127.0.0.1:"),
    ];
    for (path, header, client, peer) in headers {
        assert_eq!(status(world.http, &header, path).unwrap(), 200, "{path}: {}", world.log());
        let line = line(&world, path);
        assert!(line["client"] == client && line["peer"].as_str().unwrap().starts_with(peer), "{line}");
        let seen = backend.seen().into_iter().find(|seen| seen.target == path).unwrap();
        assert_eq!(seen.header("x-forwarded-for"), Some(client));
    }
    for none in [&b""[..], b"PROXY TCP4 203.0.113.7\r\n", b"PROXY TCP4 a b 1 2\r\n"] {
        assert!(status(world.http, none, "/none").is_err(), "{}", none.escape_ascii());
    }
    assert!(!backend.seen().iter().any(|seen| seen.target == "/none"));
    let refused = "torana_connections_refused_total{reason=\"proxy_protocol\"}";
    assert!(eventually(|| world.metric(refused) == Some(3.0)));
}

#[test]
fn the_header_comes_before_the_handshake() {
    let (backend, authority) = (Backend::named("app"), Authority::new());
    let gateway = World::gateway_tls("tls");
    let manifests = manifests("{proxyProtocol: true}", &gateway, &backend) + &authority.secret("tls", &["localhost"]);
    let world = World::start(&manifests);
    let curl = |more: &[&str]| {
        let mut command = Command::new("curl");
        command
            .args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "--cacert"])
            .arg(authority.root_file())
            .args(more);
        let output = command.arg(format!("https://localhost:{}/", world.https)).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(eventually(|| curl(&["--haproxy-protocol"]) == "200"), "{}", world.log());
    assert_eq!(curl(&[]), "000");
}

#[test]
fn as_many_proxies_are_believed_as_there_are() {
    let backend = Backend::named("app");
    let world = World::start(&manifests("{trustedHops: 2}", World::gateway(), &backend));
    for (path, fields, client, told, scheme) in [
        (
            "/two",
            "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 203.0.113.7, 10.1.1.1\r\nX-Forwarded-Proto: https\r\n",
            CLIENT,
            "203.0.113.7, 10.1.1.1, 127.0.0.1",
            "https",
        ),
        ("/past", "X-Forwarded-For: 203.0.113.7\r\n", "127.0.0.1", "127.0.0.1", "http"),
        ("/none", "Forwarded: for=203.0.113.7\r\nX-Real-IP: 203.0.113.7\r\n", "127.0.0.1", "127.0.0.1", "http"),
    ] {
        let mut connection = Connection::open(world.http).unwrap();
        connection.send(format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n").as_bytes()).unwrap();
        assert_eq!(connection.reply("GET").unwrap().status, 200);
        let line = line(&world, path);
        assert!(line["client"] == client && line["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
        let seen = backend.seen().into_iter().find(|seen| seen.target == path).unwrap();
        let field = |name: &str| seen.header(name).map(str::to_owned);
        assert_eq!(field("x-forwarded-for").as_deref(), Some(told));
        assert_eq!(field("x-forwarded-proto").as_deref(), Some(scheme));
        assert_eq!((field("forwarded"), field("x-real-ip")), (None, None));
    }
}
