// SPDX-License-Identifier: Apache-2.0
//! The whole data plane between a client, backends and collectors over real sockets.

mod collector;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use torana_ir::{
    AccessAction, AccessPolicy, AccessRule, Action, Attachment, AuthProtocol, Backend, BackendKey, Collector,
    CollectorProtocol, Endpoint, Endpoints, ExternalAuth, HostPattern, Listener, OnError, PathMatch, PolicyKey,
    Provider, Purpose, Retry, RouteId, RouteKind, RouteMatch, Rule, RuleKey, Share, Snapshot, Tag, TagValue, Target,
    Timeouts, Tracing, WeightedBackend,
};

use super::messages::{Span, Value};
use super::*;
use crate::app::{App, Config, LogFormat};
use crate::feed;
use crate::samples::{LOCAL, free_port, listener_key};
use collector::Manner;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// What a test's data plane is made of.
struct Plan {
    tracing: Option<Tracing>,
    protocol: CollectorProtocol,
    collector: SocketAddr,
    backends: Vec<SocketAddr>,
    authorizer: Option<SocketAddr>,
    sampling: Option<Share>,
}

impl Plan {
    /// Everything is traced, and told by OTLP/gRPC.
    fn new(collector: SocketAddr, backend: SocketAddr) -> Self {
        let tag = Tag { name: "stage".into(), value: TagValue::Literal("test".into()) };
        let tracing =
            Tracing { collector: provider("otel"), sampling: Share::ALL, tags: vec![tag], disable_reporting: false };
        Self {
            tracing: Some(tracing),
            protocol: CollectorProtocol::Grpc,
            collector,
            backends: vec![backend],
            authorizer: None,
            sampling: None,
        }
    }

    fn snapshot(&self, port: u16) -> Snapshot {
        let mut snapshot = Snapshot::default();
        let mut backend = |name: &str, places: &[SocketAddr]| {
            let key = BackendKey::tcp("n", name, 80);
            let endpoints = places.iter().map(|place| Endpoint::new(*place, true)).collect();
            let endpoints = Endpoints::Static { backend: key.clone(), endpoints };
            snapshot.backends.insert(key.clone(), Arc::new(Backend::new(key.clone())));
            snapshot.endpoints.insert(key.clone(), Arc::new(endpoints));
            key
        };
        let web = backend("web", &self.backends);
        let collector = Collector {
            target: Target::Backend(backend("otel", &[self.collector])),
            protocol: self.protocol.clone(),
            authority: "otel.n.svc:4317".into(),
            headers: vec![],
            timeout: Duration::from_millis(500),
        };
        let authorizer = self.authorizer.map(|place| ExternalAuth {
            target: Target::Backend(backend("auth", &[place])),
            protocol: AuthProtocol::Http {
                prefix: torana_ir::PathRewrite::Prefix(String::new()),
                headers: vec![],
                added: vec![],
                copied: None,
                shown: vec![],
                refused: None,
            },
            body: 0,
            takes_part: false,
            as_bytes: false,
            timeout: Duration::from_secs(5),
            on_error: OnError::Refuse(403),
            routes_anew: false,
        });
        let mut provide = |name: &str, purpose| {
            snapshot.providers.insert(provider(name), Arc::new(Provider { key: provider(name), purpose }));
        };
        provide("otel", Purpose::Collector(collector));
        let mut policies = vec![];
        if let Some(authorizer) = authorizer {
            provide("auth", Purpose::Authorizer(authorizer));
            let key = PolicyKey { namespace: "n".into(), name: "ask".into() };
            let rules = vec![AccessRule { place: 0, from: vec![], to: vec![], when: vec![] }];
            let action = AccessAction::Ask(provider("auth"));
            let policy = AccessPolicy { key: key.clone(), action, dry_run: false, rules };
            snapshot.policies.insert(key.clone(), Arc::new(policy));
            policies.push(key);
        }
        let listener = Listener {
            addresses: vec![LOCAL],
            tracing: self.tracing.clone(),
            policies,
            ..Listener::new(listener_key("web"), port)
        };
        snapshot.listeners.insert(listener.key.clone(), Arc::new(listener));
        let rule = self.rule(web);
        snapshot.rules.insert(rule.key.clone(), Arc::new(rule));
        snapshot
    }

    fn rule(&self, backend: BackendKey) -> Rule {
        let route = RouteId { kind: RouteKind::HttpRoute, namespace: "n".into(), name: "r".into() };
        let mut retry = Retry::new(3);
        retry.codes.insert(503);
        retry.backoff = Some(Duration::from_millis(1));
        retry.anywhere = true;
        Rule {
            key: RuleKey { route, index: 0 },
            name: None,
            created: 0,
            attachments: vec![Attachment { listener: listener_key("web"), hostnames: vec![HostPattern::Any] }],
            matches: vec![RouteMatch::of(PathMatch::Prefix("/shop".into()))],
            filters: vec![],
            action: Action::Forward(vec![WeightedBackend {
                target: Target::Backend(backend),
                weight: 1,
                filters: vec![],
            }]),
            timeouts: Timeouts::default(),
            retry: Some(retry),
            session: None,
            order: torana_ir::Order::Specific,
            sampling: self.sampling,
        }
    }

    /// A data plane that serves this.
    async fn start(&self) -> World {
        let port = free_port();
        let (mut publisher, feed) = feed::channel();
        let config = Config { workers: 1, access_log: LogFormat::Off, ..Config::default() };
        let app = App::start(config, feed).unwrap();
        publisher.publish(1, Snapshot::default().diff(&self.snapshot(port))).await.unwrap();
        publisher.ack().await.unwrap();
        World { app, port, _publisher: publisher }
    }
}

struct World {
    app: App,
    port: u16,
    _publisher: feed::Publisher,
}

impl World {
    /// The status of an answer to a request with these fields.
    async fn get(&self, path: &str, fields: &str) -> u16 {
        let mut stream = TcpStream::connect((LOCAL, self.port)).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: shop.example\r\n{fields}connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let reading = stream.read_to_string(&mut answer);
        tokio::time::timeout(Duration::from_secs(10), reading).await.unwrap().unwrap();
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    }

    fn count(&self, result: &str) -> u64 {
        let name = format!("torana_spans_total{{result=\"{result}\"}} ");
        let page = self.app.metrics();
        page.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
    }

    /// Waits until that many spans have come to this.
    async fn counted(&self, result: &str, most: u64) {
        for _ in 0..200 {
            if self.count(result) >= most {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{result}: {} of {most}", self.count(result));
    }
}

fn provider(name: &str) -> ProviderKey {
    ProviderKey(name.into())
}

/// The heads that a server has seen.
type Heads = Arc<Mutex<Vec<String>>>;

/// A server that answers with these statuses, the last of them for ever.
async fn server(statuses: &'static [u16]) -> (SocketAddr, Heads) {
    let listener = TcpListener::bind((LOCAL, 0)).await.unwrap();
    let (address, heads) = (listener.local_addr().unwrap(), Heads::default());
    let seen = Arc::clone(&heads);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let seen = Arc::clone(&seen);
            tokio::spawn(async move {
                let mut bytes = [0; 4096];
                while let Ok(read @ 1..) = stream.read(&mut bytes).await {
                    let number = {
                        let mut seen = seen.lock().unwrap();
                        seen.push(String::from_utf8_lossy(&bytes[..read]).into_owned());
                        seen.len()
                    };
                    let status = statuses.get(number - 1).or(statuses.last()).unwrap();
                    let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\nok");
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (address, heads)
}

/// The parts of the `traceparent` that a server was told last, or in that place.
fn told(heads: &Heads, at: usize) -> [String; 4] {
    let heads = heads.lock().unwrap();
    let line =
        heads[at].lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("traceparent: ").map(str::to_owned));
    let parts: Vec<_> = line.unwrap_or_default().split('-').map(str::to_owned).collect();
    parts.try_into().unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn says<'s>(span: &'s Span, name: &str) -> Option<&'s Value> {
    span.attributes.iter().find(|it| it.key == name)?.value.as_ref()?.value.as_ref()
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

async fn one_trace_goes_through(protocol: CollectorProtocol) {
    let (collector, told_by) = collector::start(&[Manner::Takes]).await;
    let (backend, heads) = server(&[200]).await;
    let world = Plan { protocol, ..Plan::new(collector, backend) }.start().await;
    let fields = format!("traceparent: 00-{TRACE}-{PARENT}-01\r\ntracestate: a=1\r\n");
    assert_eq!(world.get("/shop/cart?token=secret", &fields).await, 200);
    world.counted("exported", 2).await;
    let (requests, spans) = (told_by.requests(), told_by.spans());
    let served = spans.iter().find(|span| span.kind == 2).expect("a span of the request");
    let tried = spans.iter().find(|span| span.kind == 3).expect("a span of the try");
    assert_eq!((spans.len(), hex(&served.trace_id), hex(&served.parent_span_id)), (2, TRACE.into(), PARENT.into()));
    assert_eq!((&tried.trace_id, &tried.parent_span_id), (&served.trace_id, &served.span_id));
    assert_eq!(told(&heads, 0), ["00".to_owned(), TRACE.to_owned(), hex(&tried.span_id), "01".to_owned()]);
    assert!(heads.lock().unwrap()[0].contains("tracestate: a=1"), "{heads:?}");
    assert_eq!((served.name.as_str(), tried.name.as_str(), served.trace_state.as_str()), ("GET n/r", "GET", "a=1"));
    assert!(served.start_time_unix_nano <= tried.start_time_unix_nano);
    assert!(tried.end_time_unix_nano <= served.end_time_unix_nano);
    assert!(served.status.is_none() && tried.status.is_none());
    for span in &spans {
        assert_eq!(says(span, "stage"), Some(&text("test")));
        assert_eq!(says(span, "torana.backend"), Some(&text("n/web:80")));
        assert_eq!(says(span, "http.response.status_code"), Some(&Value::Number(200)));
    }
    assert!(says(served, "guid:x-request-id").is_some());
    let resource = requests[0].resource_spans[0].resource.as_ref().unwrap();
    assert!(resource.attributes.iter().any(|it| it.key == "service.name"), "{resource:?}");
}

#[tokio::test]
async fn one_trace_goes_through_and_is_told_by_grpc() {
    one_trace_goes_through(CollectorProtocol::Grpc).await;
}

#[tokio::test]
async fn one_trace_goes_through_and_is_told_by_http() {
    one_trace_goes_through(CollectorProtocol::Http { path: "/v1/traces".into() }).await;
}

#[tokio::test]
async fn every_try_is_a_span_and_the_backend_sees_which() {
    let (collector, told_by) = collector::start(&[Manner::Takes]).await;
    let (backend, heads) = server(&[503, 503, 200]).await;
    let world = Plan::new(collector, backend).start().await;
    assert_eq!(world.get("/shop", "").await, 200);
    world.counted("exported", 4).await;
    let mut tries: Vec<_> = told_by.spans().into_iter().filter(|span| span.kind == 3).collect();
    tries.sort_by_key(|span| span.start_time_unix_nano);
    let statuses: Vec<_> = tries.iter().map(|span| says(span, "http.response.status_code").cloned()).collect();
    assert_eq!(statuses, [503, 503, 200].map(|status| Some(Value::Number(status))));
    let failed: Vec<_> = tries.iter().map(|span| span.status.as_ref().map(|status| status.code)).collect();
    assert_eq!(failed, [Some(2), Some(2), None]);
    assert_eq!(says(&tries[2], "http.request.resend_count"), Some(&Value::Number(2)));
    for (at, span) in tries.iter().enumerate() {
        assert_eq!(told(&heads, at)[2], hex(&span.span_id), "{at}");
        assert_eq!(told(&heads, at)[1], hex(&span.trace_id), "{at}");
    }
}

#[tokio::test]
async fn a_question_about_a_request_is_a_span_and_whoever_is_asked_sees_it() {
    let (collector, told_by) = collector::start(&[Manner::Takes]).await;
    let ((backend, heads), (authorizer, questions)) = (server(&[200]).await, server(&[200, 403, 200]).await);
    let world = Plan { authorizer: Some(authorizer), ..Plan::new(collector, backend) }.start().await;
    assert_eq!(world.get("/shop", "").await, 200);
    world.counted("exported", 3).await;
    let spans = told_by.spans();
    let question = spans.iter().find(|span| span.name == "ext_authz").expect("a span of the question");
    let served = spans.iter().find(|span| span.kind == 2).unwrap();
    assert_eq!((&question.parent_span_id, question.kind), (&served.span_id, 3));
    assert_eq!(told(&questions, 0)[1..3], [hex(&served.trace_id), hex(&question.span_id)]);
    assert_ne!(told(&heads, 0)[2], hex(&question.span_id), "the backend follows from the try");
    assert_eq!(says(question, "torana.backend"), Some(&text("n/auth:80")));
    assert_eq!(world.get("/shop", "").await, 403);
    world.counted("exported", 5).await;
    assert_eq!(heads.lock().unwrap().len(), 1, "who is refused goes nowhere");
    let untraced = format!("traceparent: 00-{TRACE}-{PARENT}-00\r\n");
    assert_eq!(world.get("/shop", &untraced).await, 200);
    assert_eq!(told(&questions, 2), ["00", TRACE, PARENT, "00"], "whoever is asked begins no trace");
}

#[tokio::test]
async fn what_nobody_follows_goes_through_as_it_came() {
    let (collector, told_by) = collector::start(&[Manner::Takes]).await;
    let (backend, heads) = server(&[200]).await;
    let plan = Plan { sampling: Some(Share::new(0).unwrap()), ..Plan::new(collector, backend) };
    let world = plan.start().await;
    assert_eq!(world.get("/shop", "").await, 200);
    assert_eq!(told(&heads, 0)[3], "00", "a new trace, which nobody follows");
    assert_eq!(world.get("/shop", &format!("traceparent: 00-{TRACE}-{PARENT}-00\r\n")).await, 200);
    assert_eq!(told(&heads, 1), ["00", TRACE, PARENT, "00"]);
    // The rule's share is not that of what no rule takes.
    assert_eq!(world.get("/elsewhere", "").await, 404);
    world.counted("exported", 1).await;
    let spans = told_by.spans();
    assert_eq!((spans.len(), spans[0].name.as_str(), spans[0].status.is_none()), (1, "GET", true));

    let world = Plan { tracing: None, ..plan }.start().await;
    let odd = "traceparent: what-ever\r\nb3: 1\r\n";
    assert_eq!(world.get("/shop", odd).await, 200);
    let heads = heads.lock().unwrap();
    assert!(heads[2].contains("traceparent: what-ever\r\n") && heads[2].contains("b3: 1\r\n"), "{heads:?}");
}

#[tokio::test]
async fn a_collector_that_is_gone_disturbs_nobody_and_shows() {
    let gone = SocketAddr::new(LOCAL, free_port());
    let (backend, _) = server(&[200]).await;
    let world = Plan::new(gone, backend).start().await;
    let started = Instant::now();
    for _ in 0..10 {
        assert_eq!(world.get("/shop", "").await, 200);
    }
    assert!(started.elapsed() < Duration::from_secs(5), "requests wait for nothing");
    world.counted("failed", 20).await;
    assert_eq!(world.count("exported"), 0);
}

#[tokio::test]
async fn what_may_be_repeated_is_and_what_is_refused_is_counted() {
    let manners = &[Manner::Unavailable, Manner::Silent, Manner::Refuses(1), Manner::Invalid];
    for protocol in [CollectorProtocol::Grpc, CollectorProtocol::Http { path: "/v1/traces".into() }] {
        let (collector, told_by) = collector::start(manners).await;
        let (backend, _) = server(&[200]).await;
        let world = Plan { protocol, ..Plan::new(collector, backend) }.start().await;
        assert_eq!(world.get("/shop", "").await, 200);
        world.counted("exported", 1).await;
        assert_eq!((world.count("failed"), told_by.requests().len()), (1, 3), "the third time one of two was taken");
        assert_eq!(world.get("/shop", "").await, 200);
        world.counted("failed", 3).await;
        assert_eq!((world.count("exported"), told_by.requests().len()), (1, 4), "what makes no sense is not repeated");
    }
}

#[tokio::test]
async fn the_last_spans_are_told_before_the_end() {
    let (collector, told_by) = collector::start(&[Manner::Takes]).await;
    let (backend, _) = server(&[200]).await;
    let world = Plan::new(collector, backend).start().await;
    assert_eq!(world.get("/shop", "").await, 200);
    let started = Instant::now();
    world.app.drain().await;
    assert_eq!(told_by.spans().len(), 2);
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[test]
fn a_resource_is_who_the_process_is() {
    let environment = |name: &str| match name {
        "OTEL_SERVICE_NAME" => Some("edge".to_owned()),
        "HOSTNAME" => Some("edge-7f".to_owned()),
        "KUBERNETES_SERVICE_HOST" => Some("10.0.0.1".to_owned()),
        _ => None,
    };
    let of = |resource: &Resource, name: &str| {
        resource.attributes().find(|(it, _)| *it == name).map(|(_, value)| value.to_owned())
    };
    let resource = Resource::of(Some("infra".to_owned()), environment);
    for (name, expected) in [
        ("service.name", "edge"),
        ("service.namespace", "infra"),
        ("host.name", "edge-7f"),
        ("k8s.pod.name", "edge-7f"),
        ("telemetry.sdk.language", "rust"),
    ] {
        assert_eq!(of(&resource, name).as_deref(), Some(expected), "{name}");
    }
    let bare = Resource::of(None, |_| None);
    assert_eq!(of(&bare, "service.name").as_deref(), Some("torana-gateway"));
    assert_eq!(of(&bare, "k8s.pod.name"), None);
}
