// SPDX-License-Identifier: Apache-2.0
//! Torana that traces everything, a client before it and a backend behind it that trace too.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};

use torana_tests::{Connection, World};

use super::jaeger::{Jaeger, tell};

/// `SpanKind` of OTLP.
const SERVER: u8 = 2;
const CLIENT: u8 = 3;

/// How a Jaeger is told.
#[derive(Clone, Copy)]
pub(crate) enum By {
    Grpc,
    Http,
}

/// Torana with a route of everything to a backend, and a mesh that has all of it traced.
pub(crate) struct Plane {
    world: World,
    jaeger: u16,
}

impl Plane {
    /// One that tells a Jaeger, in this way.
    pub(crate) fn start(jaeger: &Jaeger, by: By) -> Self {
        let (port, spoken) = match by {
            By::Grpc => (jaeger.grpc, "grpc: {timeout: 5s}"),
            By::Http => (jaeger.http, "http: {path: /v1/traces, timeout: 5s}"),
        };
        let services = World::service("carts", backend(jaeger.http)) + &World::service("jaeger", port);
        let manifests = [World::gateway(), &services, &World::catch_all("cart", "carts"), &telemetry(spoken)].concat();
        Self { world: World::start(&manifests), jaeger: jaeger.http }
    }

    /// A client's request, with a span of the client's own; the trace that it begins.
    pub(crate) fn visit(&self, path: &str) -> String {
        let (trace, span) = (format!("{:032x}", fastrand::u128(1..)), format!("{:016x}", fastrand::u64(1..)));
        tell(self.jaeger, "client", (&trace, &span, ""), CLIENT);
        let mut connection = Connection::open(self.world.http).unwrap();
        let fields = format!("Host: shop.example\r\ntraceparent: 00-{trace}-{span}-01\r\n");
        connection.send(format!("GET {path} HTTP/1.1\r\n{fields}\r\n").as_bytes()).unwrap();
        assert_eq!(connection.reply("GET").unwrap().status, 200);
        trace
    }

    /// How many spans have come to this.
    pub(crate) fn count(&self, result: &str) -> f64 {
        self.world.metric(&format!("torana_spans_total{{result=\"{result}\"}}")).unwrap_or_default()
    }
}

/// The mesh's provider, and what has every request traced.
fn telemetry(spoken: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system}}\ndata:\n  mesh: |\n    \
         extensionProviders:\n    - {{name: jaeger, opentelemetry: {{service: jaeger.default.svc.cluster.local, port: 80, \
         {spoken}}}}}\n---\napiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {{name: all, namespace: \
         istio-system}}\nspec:\n  tracing: [{{providers: [{{name: jaeger}}], randomSamplingPercentage: 100}}]\n---\n"
    )
}

/// A backend that tells of a span of its own, which follows from what it is told.
fn backend(jaeger: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            answer(stream, jaeger);
        }
    });
    port
}

fn answer(mut stream: TcpStream, jaeger: u16) {
    let lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let head: Vec<String> = lines.take_while(|line| !line.is_empty()).map(|line| line.to_ascii_lowercase()).collect();
    let parent = head.iter().find_map(|line| line.strip_prefix("traceparent: "));
    if let Some(["00", trace, span, "01"]) = parent.map(|it| it.split('-').collect::<Vec<_>>()).as_deref() {
        tell(jaeger, "backend", (trace, &format!("{:016x}", fastrand::u64(1..)), span), SERVER);
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok").unwrap();
}
