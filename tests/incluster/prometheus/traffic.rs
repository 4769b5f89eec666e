// SPDX-License-Identifier: Apache-2.0
//! Everything that clients do to a Gateway, again and again.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustls::ClientConfig;
use serde_json::json;
use torana_tests::{Authority, Connection};

use super::super::{Lab, backend, until};

const HOST: &str = "web.example";
const PAUSE: Duration = Duration::from_millis(200);

/// One thing that clients do.
pub(super) struct Habit {
    pub(super) what: &'static str,
    /// The series that tells of it, which must have a number above zero.
    pub(super) told_by: &'static str,
    /// Whether the Gateway does what it should.
    act: fn(&Clients) -> io::Result<bool>,
}

/// Clients of one Gateway, with what they need.
#[derive(Clone)]
pub(super) struct Clients {
    pub(super) address: String,
    plain: Arc<ClientConfig>,
    known: Arc<ClientConfig>,
    namespace: String,
}

/// Clients that go on until they are stopped.
pub(super) struct Traffic {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Vec<String>>,
}

pub(super) const HABITS: [Habit; 15] = [
    Habit { what: "HTTP/1", told_by: "torana_requests_total{protocol='HTTP/1.1',code='200'}", act: |it| it.many() },
    Habit {
        what: "HTTP/2 and TLS",
        told_by: "torana_requests_total{protocol='HTTP/2',listener='https'}",
        act: |it| {
            Clients::curl(&[
                "--http2",
                "--insecure",
                "--connect-to",
                &format!("::{}:443", it.address),
                "https://web.example/",
            ])
        },
    },
    Habit { what: "gRPC", told_by: "torana_requests_total{route_kind='GRPCRoute',code='200'}", act: |it| it.grpc() },
    Habit { what: "WebSocket", told_by: "torana_requests_total{code='101'}", act: |it| Ok(it.websocket()?.1) },
    Habit {
        what: "no such host",
        told_by: "torana_requests_total{code='404',route_name=''}",
        act: |it| it.gets("unknown.example", "/", 404),
    },
    Habit {
        what: "no such Service",
        told_by: "torana_requests_total{code='500',route_name='nowhere'}",
        act: |it| it.gets("nowhere.example", "/", 500),
    },
    Habit {
        what: "a deadline",
        told_by: "torana_requests_total{code='504'}",
        act: |it| it.gets(HOST, "/delay/5s", 504),
    },
    Habit {
        what: "another try",
        told_by: "torana_upstream_retries_total",
        act: |it| it.gets(HOST, "/status/503", 503),
    },
    Habit { what: "two Hosts", told_by: "torana_requests_rejected_total", act: |it| it.hostile() },
    Habit { what: "a field with an underscore", told_by: "torana_fields_dropped_total", act: |it| it.underscore() },
    Habit {
        what: "no TLS where it should be",
        told_by: "torana_tls_errors_total{listener='https'} or torana_tls_errors_total{listener=''}",
        act: |it| it.no_tls(),
    },
    Habit {
        what: "a client's certificate",
        told_by: "torana_requests_total{listener='mutual',code='200'}",
        act: |it| it.mutual(),
    },
    Habit {
        what: "TLS passed on",
        told_by: "torana_streams_total{protocol='tls'}",
        act: |it| it.https(8443, &it.plain),
    },
    Habit {
        what: "TCP passed on",
        told_by: "torana_streams_total{protocol='tcp'}",
        act: |it| it.port(9000)?.get(HOST, "/").map(|reply| reply.status == 200),
    },
    Habit { what: "UDP", told_by: "torana_connections{protocol='udp'}", act: |it| it.datagram() },
];

impl Clients {
    /// Sets both Gateways up, and waits until every habit is served.
    pub(super) fn of(lab: &Lab) -> Self {
        let authority = Authority::new();
        let here = |manifest: String| manifest.replace(", namespace: default", "");
        let node = lab.kubectl(&[
            "get",
            "nodes",
            "-o",
            "jsonpath={.items[0].status.addresses[?(@.type==\"InternalIP\")].address}",
        ]);
        let edge = include_str!("edge.yaml").replace("${UDP}", &answers(&node).to_string()).replace("${NODE}", &node);
        let edge = edge + &here(authority.secret("web", &[HOST])) + &here(authority.bundle("clients"));
        lab.apply(&(backend(1) + &edge));
        lab.kubectl(&["rollout", "status", "deployment/echo", "--timeout=60s"]);
        let somebody = authority.issue("somebody", &["somebody.example"]);
        let known = authority.client_with(&["http/1.1"], Some(&somebody));
        let (address, namespace) = (lab.address("edge"), lab.namespace.clone());
        let it = Self { address, plain: authority.client(&["http/1.1"]), known, namespace };
        for habit in &HABITS {
            until(habit.what, || (habit.act)(&it).is_ok_and(|good| good));
        }
        it
    }

    /// All habits, and one edit of a route, turn after turn.
    pub(super) fn go_on(&self) -> Traffic {
        let (clients, over) = (self.clone(), Arc::new(AtomicBool::new(false)));
        let seen = Arc::clone(&over);
        let thread = thread::spawn(move || {
            let mut failures = Vec::new();
            for turn in 0.. {
                if seen.load(Ordering::Relaxed) {
                    break;
                }
                for habit in &HABITS {
                    match (habit.act)(&clients) {
                        Ok(true) => {}
                        other => failures.push(format!("turn {turn}: {}: {other:?}", habit.what)),
                    }
                }
                clients.edit(turn);
                thread::sleep(PAUSE);
            }
            failures
        });
        Traffic { over, thread }
    }

    fn edit(&self, turn: u32) {
        let hostname = format!("edited-{turn}.example");
        let patch = json!({"spec": {"hostnames": [hostname]}}).to_string();
        // Where the API server is slow there are fewer edits.
        let arguments = ["-n", &self.namespace, "patch", "httproute", "edited", "--type=merge", "-p", &patch];
        drop(Command::new("kubectl").args(arguments).output().unwrap());
    }

    fn socket(&self, port: u16) -> SocketAddr {
        format!("{}:{port}", self.address).parse().unwrap()
    }

    fn port(&self, port: u16) -> io::Result<Connection> {
        Connection::to(self.socket(port))
    }

    fn gets(&self, host: &str, path: &str, status: u16) -> io::Result<bool> {
        self.port(80)?.get(host, path).map(|reply| reply.status == status)
    }

    /// Enough that the others' errors are few.
    fn many(&self) -> io::Result<bool> {
        let mut connection = self.port(80)?;
        for _ in 0..200 {
            if connection.get(HOST, "/")?.status != 200 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether HTTP/2 was spoken and the answer is 200.
    fn curl(arguments: &[&str]) -> io::Result<bool> {
        let quiet =
            ["--silent", "--output", "/dev/null", "--max-time", "5", "--write-out", "%{http_version} %{http_code}"];
        let output = Command::new("curl").args(quiet).args(arguments).output()?;
        Ok(output.stdout == b"2 200")
    }

    /// One message, empty.
    fn grpc(&self) -> io::Result<bool> {
        let mut message = tempfile::NamedTempFile::new()?;
        io::Write::write_all(&mut message, &[0; 5])?;
        let (data, to) = (format!("@{}", message.path().display()), format!("::{}:80", self.address));
        let fields = ["--header", "content-type: application/grpc", "--header", "te: trailers"];
        let target = ["--connect-to", &to, "http://rpc.example/a.B/C"];
        Self::curl(&[&["--http2-prior-knowledge", "--data-binary", &data], &fields[..], &target[..]].concat())
    }

    /// A WebSocket that is open for as long as what is returned lives.
    pub(super) fn websocket(&self) -> io::Result<(Connection, bool)> {
        let mut connection = self.port(80)?;
        let fields = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                      Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        connection.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n{fields}\r\n").as_bytes())?;
        let status = connection.reply("GET")?.status;
        Ok((connection, status == 101))
    }

    fn raw(&self, bytes: &str, status: u16) -> io::Result<bool> {
        let mut connection = self.port(80)?;
        connection.send(bytes.as_bytes())?;
        connection.reply("GET").map(|reply| reply.status == status)
    }

    fn hostile(&self) -> io::Result<bool> {
        self.raw("GET / HTTP/1.1\r\nHost: web.example\r\nHost: other.example\r\n\r\n", 400)
    }

    fn underscore(&self) -> io::Result<bool> {
        self.raw("GET / HTTP/1.1\r\nHost: web.example\r\nx_y: z\r\n\r\n", 200)
    }

    fn no_tls(&self) -> io::Result<bool> {
        let mut connection = self.port(443)?;
        connection.send(b"GET / HTTP/1.1\r\nHost: web.example\r\n\r\n")?;
        Ok(connection.reply("GET").map_or(0, |reply| reply.status) != 200)
    }

    fn https(&self, port: u16, config: &Arc<ClientConfig>) -> io::Result<bool> {
        Connection::tls_to(self.socket(port), HOST, config)?.get(HOST, "/").map(|reply| reply.status == 200)
    }

    /// Nobody else gets an answer.
    fn mutual(&self) -> io::Result<bool> {
        Ok(self.https(444, &self.known)? && !self.https(444, &self.plain).is_ok_and(|served| served))
    }

    fn datagram(&self) -> io::Result<bool> {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.set_read_timeout(Some(Duration::from_secs(2)))?;
        socket.connect(self.socket(9053))?;
        socket.send(b"hello")?;
        let mut answer = [0; 16];
        let read = socket.recv(&mut answer)?;
        Ok(answer.starts_with(b"hello") && read == 5)
    }
}

/// The port of a socket that sends every datagram back, for as long as the process lives.
fn answers(node: &str) -> u16 {
    let socket = UdpSocket::bind((node, 0)).unwrap();
    let port = socket.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut bytes = [0; 1500];
        while let Ok((read, from)) = socket.recv_from(&mut bytes) {
            drop(socket.send_to(&bytes[..read], from));
        }
    });
    port
}

impl Traffic {
    /// Ends it. Nothing may have failed.
    pub(super) fn stop(self) {
        self.over.store(true, Ordering::Relaxed);
        let failures = self.thread.join().unwrap();
        assert!(failures.is_empty(), "{} failed: {:?}", failures.len(), &failures[..failures.len().min(5)]);
    }
}
