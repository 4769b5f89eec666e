// SPDX-License-Identifier: Apache-2.0
//! A data plane that traces everything, a client before it and a backend behind it that trace too.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use torana_gateway::app::{App, Config, LogFormat};
use torana_gateway::feed::{self, Publisher};
use torana_ir::{
    Action, Attachment, Backend, BackendKey, Collector, CollectorProtocol, Delta, Endpoint, Endpoints, GatewayId,
    HostPattern, Listener, ListenerKey, Order, PathMatch, Provider, ProviderKey, Purpose, Resource, RouteId, RouteKind,
    RouteMatch, Rule, RuleKey, Share, Target, Timeouts, Tracing, WeightedBackend,
};
use torana_tests::{Connection, ports};

use super::jaeger::{Jaeger, tell};

/// `SpanKind` of OTLP.
const SERVER: u8 = 2;
const CLIENT: u8 = 3;

/// A running data plane.
pub(crate) struct Plane {
    app: App,
    port: u16,
    jaeger: u16,
    _publisher: Publisher,
    _runtime: Runtime,
}

impl Plane {
    /// One that tells a Jaeger, in this way.
    pub(crate) fn start(jaeger: &Jaeger, protocol: CollectorProtocol) -> Self {
        // Fails where there is one already, which is as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default().is_ok();
        let (port, backend) = (ports::free(), backend(jaeger.http));
        let collector = match protocol {
            CollectorProtocol::Grpc => jaeger.grpc,
            CollectorProtocol::Http { .. } => jaeger.http,
        };
        let upserts = program(port, (backend, collector), protocol);
        let (mut publisher, feed) = feed::channel();
        let config = Config { workers: 1, access_log: LogFormat::Off, ..Config::default() };
        let app = App::start(config, feed).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            publisher.publish(1, Delta { upserts, removals: vec![] }).await.unwrap();
            assert_eq!(publisher.ack().await.unwrap().rejected, []);
        });
        Self { app, port, jaeger: jaeger.http, _publisher: publisher, _runtime: runtime }
    }

    /// A client's request, with a span of the client's own; the trace that it begins.
    pub(crate) fn visit(&self, path: &str) -> String {
        let (trace, span) = (format!("{:032x}", fastrand::u128(1..)), format!("{:016x}", fastrand::u64(1..)));
        tell(self.jaeger, "client", (&trace, &span, ""), CLIENT);
        let mut connection = Connection::open(self.port).unwrap();
        let fields = format!("Host: shop.example\r\ntraceparent: 00-{trace}-{span}-01\r\n");
        connection.send(format!("GET {path} HTTP/1.1\r\n{fields}\r\n").as_bytes()).unwrap();
        assert_eq!(connection.reply("GET").unwrap().status, 200);
        trace
    }

    /// How many spans have come to this.
    pub(crate) fn count(&self, result: &str) -> u64 {
        let name = format!("torana_spans_total{{result=\"{result}\"}} ");
        self.app.metrics().lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
    }
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

fn program(port: u16, (backend, collector): (u16, u16), protocol: CollectorProtocol) -> Vec<Resource> {
    let gateway = GatewayId { namespace: "infra".to_owned(), name: "edge".to_owned() };
    let listener = ListenerKey { gateway, set: None, name: "web".to_owned() };
    let (carts, jaeger) = (BackendKey::tcp("shop", "carts", 80), BackendKey::tcp("traces", "jaeger", 4317));
    let provider = ProviderKey("jaeger".to_owned());
    let collector_is = Collector {
        target: Target::Backend(jaeger.clone()),
        protocol,
        authority: "jaeger.traces.svc".to_owned(),
        headers: vec![],
        timeout: Duration::from_secs(5),
    };
    let tracing = Tracing { collector: provider.clone(), sampling: Share::ALL, tags: vec![], disable_reporting: false };
    let mut all = vec![
        Resource::Listener(Arc::new(Listener {
            addresses: vec![[127, 0, 0, 1].into()],
            tracing: Some(tracing),
            ..Listener::new(listener.clone(), port)
        })),
        Resource::Provider(Arc::new(Provider { key: provider, purpose: Purpose::Collector(collector_is) })),
        Resource::Rule(Arc::new(rule(listener, carts.clone()))),
    ];
    for (key, port) in [(carts, backend), (jaeger, collector)] {
        let endpoint = Endpoint::new(SocketAddr::from(([127, 0, 0, 1], port)), true);
        all.push(Resource::Endpoints(Arc::new(Endpoints::Static { backend: key.clone(), endpoints: vec![endpoint] })));
        all.push(Resource::Backend(Arc::new(Backend::new(key))));
    }
    all
}

fn rule(listener: ListenerKey, backend: BackendKey) -> Rule {
    let route = RouteId { kind: RouteKind::HttpRoute, namespace: "shop".to_owned(), name: "cart".to_owned() };
    let entry = WeightedBackend { target: Target::Backend(backend), weight: 1, filters: vec![] };
    Rule {
        key: RuleKey { route, index: 0 },
        name: None,
        created: 0,
        attachments: vec![Attachment { listener, hostnames: vec![HostPattern::Any] }],
        matches: vec![RouteMatch::of(PathMatch::Prefix(String::new()))],
        filters: vec![],
        action: Action::Forward(vec![entry]),
        timeouts: Timeouts::default(),
        retry: None,
        session: None,
        order: Order::Specific,
        sampling: None,
    }
}
