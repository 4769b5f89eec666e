// SPDX-License-Identifier: Apache-2.0
//! `ExternalAuth`: nothing reaches a backend that its authorization server has not said yes to.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderMap;
use tokio::net::TcpListener;
use torana_tests::{Backend, Reply, Seen, World, eventually, ports};

use super::log::line;
use super::manifests::{object, route, to};

/// A world whose rule asks the Service `auth`, by `filter` (what stands in `externalAuth` besides `backendRef`).
fn world(filter: &str, auth: u16, app: u16) -> World {
    let auth_ref = "backendRef: {name: auth, port: 80}";
    let filters = format!("filters: [{{type: ExternalAuth, externalAuth: {{{auth_ref}, {filter}}}}}]");
    let rule = format!("rules: [{{{filters}, timeouts: {{request: 8s}}, {}}}]", to("app"));
    let services = World::service("auth", auth) + &World::service("app", app);
    World::start(&[World::gateway(), &services, &route("r", &rule)].concat())
}

fn ask(world: &World, method: &str, path: &str, fields: &str, body: &str) -> Reply {
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    world.raw(format!("{method} {path} HTTP/1.1\r\nHost: a\r\n{fields}{length}\r\n{body}").as_bytes()).unwrap()
}

/// Lets those with `Authorization: good` through, and breaks in other ways that the path asks for.
fn server() -> Backend {
    Backend::scripted(|seen| {
        let good = seen.header("authorization") == Some("good");
        match seen.target.as_str() {
            "/check/broken" => b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n".to_vec(),
            "/check/other" => b"HTTP/1.1 204 No\r\n\r\n".to_vec(),
            "/check/garbage" => b"!garbage\r\n\r\n".to_vec(),
            "/check/silent" => {
                std::thread::sleep(Duration::from_secs(20));
                b"!".to_vec()
            }
            _ if good => b"HTTP/1.1 200 OK\r\nX-User: me\r\nX-Other: 1\r\nContent-Length: 2\r\n\r\nok".to_vec(),
            _ => b"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic\r\nContent-Length: 4\r\n\r\nwho?".to_vec(),
        }
    })
}

const HTTP: &str = "protocol: HTTP, http: {path: /check, allowedHeaders: [X-Tenant], allowedResponseHeaders: [X-User]}";

#[test]
fn a_yes_goes_on_with_what_the_server_says_and_a_no_is_the_answer() {
    let (auth, app) = (server(), Backend::named("app"));
    let world = world(HTTP, auth.port, app.port);
    let fields = "Authorization: good\r\nX-Tenant: t\r\nCookie: c\r\nX-User: forged\r\n";
    let reply = ask(&world, "POST", "/x?y=1", fields, "body");
    assert_eq!((reply.status, reply.text().as_str()), (200, "app"));
    let asked: &Seen = &auth.take()[0];
    assert_eq!(
        (asked.method.as_str(), asked.target.as_str(), asked.header("host")),
        ("POST", "/check/x?y=1", Some("a"))
    );
    assert_eq!((asked.header("content-length"), asked.header("x-tenant")), (Some("0"), Some("t")));
    assert!(
        asked.header("cookie").is_none() && asked.header("x-user").is_none() && asked.faults.is_empty(),
        "{asked:?}"
    );
    let seen: &Seen = &app.take()[0];
    assert_eq!((seen.header("x-user"), seen.header("x-other"), seen.body.as_slice()), (Some("me"), None, &b"body"[..]));
    let reply = ask(&world, "GET", "/secret", "", "");
    assert_eq!((reply.status, reply.text().as_str(), reply.header("www-authenticate")), (401, "who?", Some("Basic")));
    assert!(app.seen().is_empty());
    assert_eq!(line(&world, "/secret")["reason"], "auth_denied");
}

#[test]
fn whatever_is_no_clear_answer_is_a_no_and_soon() {
    let (auth, app) = (server(), Backend::named("app"));
    let world = world(HTTP, auth.port, app.port);
    for path in ["/broken", "/other", "/garbage", "/silent"] {
        let start = Instant::now();
        let mut connection = torana_tests::Connection::open(world.http).unwrap();
        connection.patience(Duration::from_secs(15)).unwrap();
        connection.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: good\r\n\r\n").as_bytes()).unwrap();
        assert_eq!(connection.reply("GET").unwrap().status, 403, "{path}");
        assert!(start.elapsed() < Duration::from_secs(8), "{path}");
        // It has answered, if not with a yes.
        let reason = if path == "/other" { "auth_denied" } else { "auth_failed" };
        assert_eq!(line(&world, path)["reason"], reason, "{path}");
    }
    assert!(app.seen().is_empty());
}

#[test]
fn a_server_that_is_not_there_lets_nobody_through() {
    let app = Backend::named("app");
    let world = world(HTTP, ports::free(), app.port);
    assert_eq!(ask(&world, "GET", "/", "Authorization: good\r\n", "").status, 403);
    let grant = "filters: [{type: ExternalAuth, externalAuth: {protocol: HTTP, http: {}, backendRef: {name: auth, \
                 namespace: other, port: 80}}}]";
    let elsewhere = object("v1", "Service", "other/auth", "ports: [{port: 80}]");
    world.apply(
        "other.yaml",
        &(elsewhere + &route("s", &format!("hostnames: [b], rules: [{{{grant}, {}}}]", to("app")))),
    );
    assert!(eventually(|| world.status("b", "/") == 500));
    assert!(app.seen().is_empty());
}

#[test]
fn a_body_is_shown_whole_and_sent_on_and_a_larger_one_is_refused() {
    let (auth, app) = (server(), Backend::named("app"));
    let world = world(&format!("{HTTP}, forwardBody: {{maxSize: 10}}"), auth.port, app.port);
    let good = "Authorization: good\r\n";
    assert_eq!(ask(&world, "POST", "/fits", good, "0123456789").status, 200);
    assert_eq!(
        (auth.take()[0].body.as_slice(), app.take()[0].body.as_slice()),
        (&b"0123456789"[..], &b"0123456789"[..])
    );
    assert_eq!(ask(&world, "POST", "/not", good, "0123456789a").status, 413);
    let chunked =
        format!("POST /c HTTP/1.1\r\nHost: a\r\n{good}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    assert_eq!(world.raw(chunked.as_bytes()).unwrap().status, 200);
    assert_eq!((auth.take()[0].body.as_slice(), app.take()[0].body.as_slice()), (&b"abc"[..], &b"abc"[..]));
    let endless = chunked.replace("0\r\n\r\n", "9\r\n123456789\r\n0\r\n\r\n");
    assert_eq!(world.raw(endless.as_bytes()).unwrap().status, 413);
    assert!(auth.seen().is_empty() && app.seen().is_empty());
}

/// A field of a protobuf message that has a length.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, u8::try_from(content.len()).unwrap()], content].concat()
}

/// An Envoy authorization server: yes to `good`, with a header; no to `bad`, with 429; an error to everybody else.
async fn envoy() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    assert_eq!(request.uri().path(), "/envoy.service.auth.v3.Authorization/Check");
                    tokio::spawn(async move {
                        let mut body = request.into_body();
                        let mut asked = Vec::new();
                        while let Some(data) = body.data().await {
                            let data = data.unwrap();
                            body.flow_control().release_capacity(data.len()).unwrap();
                            asked.extend_from_slice(&data);
                        }
                        let has = |text: &str| asked.windows(text.len()).any(|part| part == text.as_bytes());
                        let header = field(2, &field(1, &[field(1, b"x-user"), field(2, b"me")].concat()));
                        let message = if has("good") && has("/calls") {
                            Some([field(1, b""), field(3, &header)].concat())
                        } else if has("worse") {
                            // 429 and a body.
                            let denied = [field(1, &[8, 0xad, 3]), field(3, b"later")].concat();
                            Some([field(1, &[8, 7]), field(2, &denied)].concat())
                        } else {
                            None
                        };
                        let head = http::Response::builder().header("content-type", "application/grpc");
                        let mut send = respond.send_response(head.body(()).unwrap(), false).unwrap();
                        if let Some(message) = &message {
                            let frame = [&[0, 0, 0, 0, u8::try_from(message.len()).unwrap()], &message[..]].concat();
                            send.send_data(Bytes::from(frame), false).unwrap();
                        }
                        let mut trailers = HeaderMap::new();
                        let status = if message.is_some() { "0" } else { "14" };
                        trailers.insert("grpc-status", status.parse().unwrap());
                        send.send_trailers(trailers).unwrap();
                    });
                }
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoys_servers_are_asked_over_grpc() {
    let app = Backend::named("app");
    let port = envoy().await;
    let (seen, rows) = tokio::task::spawn_blocking(move || {
        let world = world("protocol: GRPC, grpc: {}", port, app.port);
        let rows = ["good", "worse", "else"].map(|who| {
            let reply = ask(&world, "GET", "/calls", &format!("X-Who: {who}\r\n"), "");
            (reply.status, reply.text())
        });
        (app.seen(), rows)
    })
    .await
    .unwrap();
    let expected = [(200, "app"), (429, "later"), (403, "403 auth_failed\n")];
    assert_eq!(rows, expected.map(|(status, text)| (status, text.to_owned())));
    assert_eq!((seen.len(), seen[0].header("x-user")), (1, Some("me")));
}
