// SPDX-License-Identifier: Apache-2.0
//! TrafficPolicy with health checks: endpoints are asked, and those that fail are sent nothing, by whichever route.

use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderMap;
use torana_tests::{Authority, Backend, Seen, World, eventually, ports};

use super::manifests::{authorities, gateway, grpc_route, object, policy, service_at, to};

/// Fast checks, by what stands in `asks` of `active`.
fn checks(service: &str, asks: &str) -> String {
    checks_with(service, &format!("active: {{interval: 100ms, timeout: 500ms, unhealthyThreshold: 2, {asks}}}"))
}

/// A TrafficPolicy of the same name as its Service, by what stands in its `healthCheck`.
fn checks_with(service: &str, health_check: &str) -> String {
    let targets = format!("targetRefs: [{{group: \"\", kind: Service, name: {service}}}]");
    let spec = format!("{targets}, healthCheck: {{{health_check}}}");
    object("torana.dev/v1alpha1", "TrafficPolicy", service, &spec)
}

/// A backend whose `/healthz` says 500 while it is `ill`, and whose other answers are 200 with its name.
fn patient(name: &str) -> (Backend, Arc<AtomicBool>) {
    let ill = Arc::new(AtomicBool::new(false));
    let (seen, name) = (Arc::clone(&ill), name.to_owned());
    let answer = move |request: &Seen| {
        let is_bad = request.target == "/healthz" && seen.load(Ordering::SeqCst);
        let status = if is_bad { "500 Ill" } else { "200 OK" };
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{name}", name.len()).into_bytes()
    };
    (Backend::scripted(answer), ill)
}

/// Who answers some requests.
fn answering(world: &World) -> Vec<String> {
    let mut names: Vec<_> = (0..12).map(|_| world.get("a", "/").unwrap().text()).collect();
    names.sort();
    names.dedup();
    names
}

/// Requests that are no checks.
fn requests(backend: &Backend) -> Vec<Seen> {
    backend.take().into_iter().filter(|seen| seen.target != "/healthz").collect()
}

const UNHEALTHY: &str = "torana_upstream_unhealthy_endpoints{backend=\"default/b:80\"}";
const PASSED: &str = "torana_health_checks_total{backend=\"default/b:80\",result=\"success\"}";

#[test]
fn an_endpoint_whose_checks_fail_gets_no_request_until_they_pass_again() {
    let ((one, ill), (two, _)) = (patient("one"), patient("two"));
    let manifests = [
        World::gateway(),
        &service_at("b", &[one.port, two.port]),
        &World::catch_all("all", "b"),
        &checks("b", "http: {path: /healthz}"),
    ];
    // What one worker finds out all know.
    let world = World::start_with(&manifests.concat(), &["--workers", "2"]);
    assert!(eventually(|| answering(&world) == ["one", "two"]));
    assert!(eventually(|| world.metric(PASSED).is_some_and(|passed| passed > 4.0)));
    assert_eq!(world.metric(UNHEALTHY), Some(0.0));
    let asked = one.take().into_iter().find(|seen| seen.target == "/healthz").unwrap();
    assert_eq!(
        (asked.header("user-agent"), asked.header("host"), asked.method.as_str()),
        (Some("torana-health-check"), Some("b.default.svc.cluster.local"), "GET")
    );
    assert!(asked.faults.is_empty(), "{asked:?}");
    ill.store(true, Ordering::SeqCst);
    assert!(eventually(|| answering(&world) == ["two"]));
    let _ = one.take();
    for _ in 0..40 {
        assert_eq!(world.status("a", "/"), 200);
    }
    assert!(requests(&one).is_empty(), "it is ill, whatever it would answer");
    assert!(eventually(|| world.metric(UNHEALTHY) == Some(1.0)));
    assert!(world.metric("torana_health_checks_total{backend=\"default/b:80\",result=\"status\"}").unwrap() >= 2.0);
    assert!(world.log().contains("it answers 500"), "{}", world.log());
    ill.store(false, Ordering::SeqCst);
    assert!(eventually(|| answering(&world) == ["one", "two"]));
    assert!(eventually(|| world.metric(UNHEALTHY) == Some(0.0)));
    assert!(world.log().contains("healthy again"), "{}", world.log());
}

#[test]
fn while_nobody_is_healthy_all_are_sent_to_unless_the_policy_says_never() {
    let ((one, ill), (two, also)) = (patient("one"), patient("two"));
    ill.store(true, Ordering::SeqCst);
    also.store(true, Ordering::SeqCst);
    let manifests = [World::gateway(), &service_at("b", &[one.port, two.port]), &World::catch_all("all", "b")];
    let world = World::start(&(manifests.concat() + &checks("b", "http: {path: /healthz}")));
    assert!(eventually(|| world.metric(UNHEALTHY) == Some(2.0)));
    assert_eq!(answering(&world), ["one", "two"], "the panic threshold");
    let never = "panicThreshold: 0, active: {interval: 100ms, http: {path: /healthz}}";
    world.apply("world.yaml", &(manifests.concat() + &checks_with("b", never)));
    assert!(eventually(|| world.status("a", "/") == 503));
    ill.store(false, Ordering::SeqCst);
    assert!(eventually(|| world.status("a", "/") == 200));
    assert_eq!(answering(&world), ["one"]);
    world.apply("world.yaml", &manifests.concat());
    assert!(eventually(|| answering(&world) == ["one", "two"]), "nobody asks any more, so nobody is ill");
}

#[test]
fn another_port_is_asked_and_only_expected_statuses_are_good() {
    let (one, two) = (Backend::named("one"), Backend::named("two"));
    let status = Arc::new(AtomicUsize::new(204));
    let said = Arc::clone(&status);
    let side = Backend::scripted(move |_| {
        format!("HTTP/1.1 {} X\r\nContent-Length: 0\r\n\r\n", said.load(Ordering::SeqCst)).into_bytes()
    });
    let never = |service: &str, statuses: &str| {
        let http = format!("http: {{host: \"me:1\", method: HEAD, expectedStatuses: {statuses}}}");
        let active = format!("active: {{interval: 100ms, unhealthyThreshold: 1, port: {}, {http}}}", side.port);
        checks_with(service, &format!("panicThreshold: 0, {active}"))
    };
    let manifests = [
        World::gateway(),
        &World::service("b", one.port),
        &World::service("c", two.port),
        &World::route("b", "b", "b"),
        &World::route("c", "c", "c"),
        &never("b", "[\"200-299\"]"),
        &never("c", "[500, 503]"),
    ];
    let world = World::start(&manifests.concat());
    assert!(eventually(|| world.status("c", "/") == 503));
    assert_eq!(world.status("b", "/"), 200);
    let asked = side.take().pop().unwrap();
    assert_eq!((asked.method.as_str(), asked.target.as_str(), asked.header("host")), ("HEAD", "/", Some("me:1")));
    status.store(503, Ordering::SeqCst);
    assert!(eventually(|| world.status("c", "/") == 200 && world.status("b", "/") == 503));
}

/// Greets and closes, as long as it listens.
struct Door {
    port: u16,
    open: Arc<AtomicBool>,
}

impl Door {
    fn new(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let open = Arc::new(AtomicBool::new(true));
        let is_open = Arc::clone(&open);
        listener.set_nonblocking(true).unwrap();
        thread::spawn(move || {
            use std::io::Write as _;
            while is_open.load(Ordering::SeqCst) {
                match listener.accept() {
                    Ok((mut stream, _)) => drop(stream.write_all(name.as_bytes())),
                    Err(_) => thread::sleep(Duration::from_millis(2)),
                }
            }
        });
        Self { port, open }
    }
}

#[test]
fn connections_that_are_passed_on_avoid_who_cannot_be_connected_to() {
    let port = ports::free();
    let (one, two) = (Door::new("one"), Door::new("two"));
    let edge = gateway("edge", &[&format!("{{name: db, port: {port}, protocol: TCP}}")]);
    let route = format!("parentRefs: [{{name: edge}}], rules: [{{{}}}]", to("b"));
    let route = object("gateway.networking.k8s.io/v1", "TCPRoute", "r", &route);
    let world = World::start(&[edge, service_at("b", &[one.port, two.port]), route, checks("b", "tcp: {}")].concat());
    let greeting = || {
        let mut text = String::new();
        TcpStream::connect(("127.0.0.1", port)).unwrap().read_to_string(&mut text).unwrap();
        text
    };
    assert!(eventually(|| greeting() == "one") && eventually(|| greeting() == "two"));
    one.open.store(false, Ordering::SeqCst);
    assert!(eventually(|| world.metric(UNHEALTHY) == Some(1.0)), "{}", world.log());
    assert!((0..20).all(|_| greeting() == "two"));
    assert!(world.log().contains("it cannot be connected to"), "{}", world.log());
}

#[test]
fn checks_are_made_in_the_tls_that_requests_have() {
    let (ours, other) = (Authority::new(), Authority::new());
    let server = |authority: &Authority| authority.server(&["b.example"], &["http/1.1"], None);
    let (good, bad) = (Backend::tls("good", server(&ours)), Backend::tls("bad", server(&other)));
    let validation = format!("hostname: b.example, {}", authorities("ca"));
    let manifests = [
        World::gateway(),
        &service_at("b", &[good.port, bad.port]),
        &World::catch_all("all", "b"),
        &ours.bundle("ca"),
        &policy("b", &validation),
        &checks("b", "http: {path: /healthz}"),
    ];
    let world = World::start(&manifests.concat());
    assert!(eventually(|| world.metric(UNHEALTHY) == Some(1.0)), "{}", world.log());
    assert!(world.log().contains("the TLS handshake fails"), "{}", world.log());
    let tls = good.take().pop().unwrap().tls.unwrap();
    assert_eq!((tls.sni.as_deref(), tls.alpn.as_deref()), (Some("b.example"), Some("http/1.1")));
    assert_eq!(answering(&world), ["good"]);
}

#[test]
fn checks_show_the_certificate_that_the_gateway_has_for_its_backends() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let backend = Backend::tls("ok", authority.server(&["b.example"], &["http/1.1"], Some(&clients)));
    let identity = clients.issue("edge", &[]);
    let edge = gateway("edge", &["{name: http, port: ${HTTP}, protocol: HTTP}"]);
    let manifests = [
        edge.replace("spec: {", "spec: {tls: {backend: {clientCertificateRef: {name: id}}}, "),
        identity.secret("id"),
        World::service("b", backend.port),
        World::catch_all("all", "b"),
        authority.bundle("ca"),
        policy("b", &format!("hostname: b.example, {}", authorities("ca"))),
        checks("b", "http: {path: /healthz}"),
    ];
    let world = World::start(&manifests.concat());
    assert!(eventually(|| world.metric(PASSED).is_some_and(|passed| passed > 2.0)), "{}", world.log());
    assert_eq!(backend.take().pop().unwrap().tls.unwrap().certificate, Some(identity.leaf()));
    assert_eq!(world.metric(UNHEALTHY), Some(0.0));
}

/// A server of gRPC: its health is the number that is said, 12 as a status in place of one; all other calls go well.
async fn grpc(serving: Arc<AtomicI32>) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let serving = Arc::clone(&serving);
            tokio::spawn(async move {
                let Ok(mut connection) = h2::server::handshake(stream).await else { return };
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    let health = serving.load(Ordering::SeqCst);
                    let asks = request.uri().path() == "/grpc.health.v1.Health/Check";
                    let response = http::Response::builder().header("content-type", "application/grpc");
                    let mut send = respond.send_response(response.body(()).unwrap(), false).unwrap();
                    let mut trailers = HeaderMap::new();
                    let status = if asks && health == 12 { "12" } else { "0" };
                    trailers.insert("grpc-status", status.parse().unwrap());
                    if asks && health != 12 {
                        let message = [0, 0, 0, 0, 2, 8, u8::try_from(health).unwrap()];
                        send.send_data(Bytes::copy_from_slice(&message), false).unwrap();
                    }
                    send.send_trailers(trailers).unwrap();
                }
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_of_grpc_is_asked_by_its_own_protocol() {
    let (health, steady) = (Arc::new(AtomicI32::new(1)), Arc::new(AtomicI32::new(1)));
    let (one, two) = (grpc(Arc::clone(&health)).await, grpc(steady).await);
    let manifests = [
        World::gateway().to_owned(),
        service_at("b", &[one, two]),
        grpc_route("all", &format!("rules: [{{{}}}]", to("b"))),
        checks("b", "grpc: {service: shop.Cart}"),
        World::service_speaking("kubernetes.io/h2c", "c", two),
        World::route("c", "c", "c"),
        checks("c", "http: {path: /healthz}"),
    ];
    tokio::task::spawn_blocking(move || {
        let world = World::start(&manifests.concat());
        assert!(eventually(|| world.metric(PASSED).is_some_and(|passed| passed > 4.0)), "{}", world.log());
        let by_http2 = "torana_health_checks_total{backend=\"default/c:80\",result=\"success\"}";
        assert!(eventually(|| world.metric(by_http2).is_some_and(|passed| passed > 1.0)), "{}", world.log());
        for (bad, word) in [(2, "NOT_SERVING"), (3, "SERVICE_UNKNOWN"), (12, "grpc-status 12")] {
            assert!(eventually(|| world.metric(UNHEALTHY) == Some(0.0)), "before {word}: {}", world.log());
            health.store(bad, Ordering::SeqCst);
            assert!(eventually(|| world.metric(UNHEALTHY) == Some(1.0)), "{word}: {}", world.log());
            assert!(world.log().contains(word), "{}", world.log());
            health.store(1, Ordering::SeqCst);
        }
    })
    .await
    .unwrap();
}

#[test]
fn who_is_no_endpoint_any_more_is_not_asked_and_who_comes_is() {
    let ((one, _), (two, _), (three, ill)) = (patient("one"), patient("two"), patient("three"));
    ill.store(true, Ordering::SeqCst);
    let rest = [World::gateway(), &World::catch_all("all", "b"), &checks("b", "http: {path: /healthz}")].concat();
    let world = World::start(&(rest.clone() + &service_at("b", &[one.port, two.port])));
    assert!(eventually(|| one.connections() > 3 && two.connections() > 3));
    world.apply("world.yaml", &(rest + &service_at("b", &[two.port, three.port])));
    assert!(eventually(|| three.connections() > 0));
    // What was under way when the endpoint went.
    thread::sleep(Duration::from_millis(300));
    let before = (one.connections(), two.connections());
    assert!(eventually(|| two.connections() > before.1 + 5));
    assert_eq!(one.connections(), before.0, "its checker goes with it");
    assert!(eventually(|| answering(&world) == ["two"]), "the one that came is asked, and fails at once");
    // An edit elsewhere changes nothing about that.
    world.apply("other.yaml", &World::route("other", "other.example", "b"));
    assert!(eventually(|| world.status("other.example", "/") == 200));
    assert_eq!(answering(&world), ["two"]);
    world.apply("world.yaml", World::gateway());
    world.delete("other.yaml");
    assert!(eventually(|| world.status("a", "/") == 404));
    thread::sleep(Duration::from_millis(300));
    let before = two.connections();
    thread::sleep(Duration::from_millis(500));
    assert_eq!(two.connections(), before, "nobody leads there");
}

#[test]
fn whoever_hangs_when_he_is_asked_costs_nobody_anything() {
    let (good, _) = patient("good");
    // Accept by their backlog and say nothing.
    let silent: Vec<_> = (0..40).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let mut all: Vec<u16> = silent.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
    all.push(good.port);
    let manifests = [
        World::gateway(),
        &service_at("b", &all),
        &World::catch_all("all", "b"),
        &checks_with(
            "b",
            "panicThreshold: 0, active: {interval: 100ms, timeout: 300ms, unhealthyThreshold: 1, http: {path: /healthz}}",
        ),
    ];
    let world = World::start(&manifests.concat());
    assert!(eventually(|| world.metric(UNHEALTHY) == Some(40.0)), "{:?}", world.metric(UNHEALTHY));
    assert!(world.metric("torana_health_checks_total{backend=\"default/b:80\",result=\"timeout\"}").unwrap() >= 40.0);
    let start = Instant::now();
    for _ in 0..50 {
        assert_eq!(world.get("a", "/").unwrap().text(), "good");
    }
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn a_policy_that_asks_for_what_cannot_be_is_told_so_and_requests_go_on() {
    let (one, ill) = patient("one");
    ill.store(true, Ordering::SeqCst);
    let manifests = [World::gateway(), &World::service("b", one.port), &World::catch_all("all", "b")].concat();
    let world = World::start(&(manifests + &checks("b", "http: {path: /healthz}, tcp: {}")));
    assert_eq!(world.status("a", "/"), 200);
    assert!(world.log().contains("exactly one of http, tcp and grpc must be given"), "{}", world.log());
    assert_eq!(world.metric(UNHEALTHY), None);
}
