// SPDX-License-Identifier: Apache-2.0
//! Gateways and VirtualServices of Istio, from manifests to bytes: what teams bring along keeps doing what it did.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use torana_tests::{Backend, World, eventually, ports};

use super::log::line;
use super::manifests::{object, service_at};

/// Istio's API, in the version that most manifests are written in.
const API: &str = "networking.istio.io/v1beta1";

/// A Gateway `edge` of the ingress with one HTTP server on `${HTTP}`, for every host.
fn gateway() -> String {
    gateway_of("edge", "{port: {number: ${HTTP}, name: http, protocol: HTTP}, hosts: ['*']}")
}

fn gateway_of(name: &str, servers: &str) -> String {
    object(API, "Gateway", name, &format!("selector: {{istio: ingressgateway}}, servers: [{servers}]"))
}

/// A VirtualService for every host of `edge`, with these rules.
fn rules(http: &str) -> String {
    virtual_service("r", "'*'", http)
}

fn virtual_service(name: &str, hosts: &str, http: &str) -> String {
    object(API, "VirtualService", name, &format!("hosts: [{hosts}], gateways: [edge], http: [{http}]"))
}

/// A route to one Service.
fn to(service: &str) -> String {
    format!("route: [{{destination: {{host: {service}}}}}]")
}

fn world(http: &str, services: &str) -> World {
    World::start(&[gateway(), services.to_owned(), rules(http)].concat())
}

#[test]
fn rules_are_asked_in_their_author_s_order_by_raw_prefix() {
    let [one, two, three] = ["one", "two", "three"].map(Backend::named);
    let services =
        World::service("one", one.port) + &World::service("two", two.port) + &World::service("three", three.port);
    let http = [
        format!("{{match: [{{uri: {{prefix: /foo}}, headers: {{x: {{exact: a}}}}}}], {}}}", to("one")),
        format!(
            "{{match: [{{uri: {{prefix: /foo}}}}, {{uri: {{exact: /Exact}}, ignoreUriCase: true}}], {}}}",
            to("two")
        ),
        format!("{{match: [{{uri: {{prefix: /foo/longer}}}}], {}}}", to("three")),
        format!("{{match: [{{queryParams: {{q: {{}}}}}}], {}}}", to("three")),
    ];
    let world = world(&http.join(", "), &services);
    for (target, expected) in [
        ("/foo", Some("two")),
        ("/foobar", Some("two")),
        ("/foo/longer", Some("two")),
        ("/eXACT", Some("two")),
        ("/exact/", None),
        ("/any?q", Some("three")),
        ("/any?p=q", None),
    ] {
        let reply = world.get("any.example", target).unwrap();
        assert_eq!((reply.status, expected), (if expected.is_some() { 200 } else { 404 }, expected), "{target}");
        if let Some(name) = expected {
            assert!(reply.text().contains(name), "{target}: {}", reply.text());
        }
    }
    let with_header = world.raw(b"GET /foo HTTP/1.1\r\nHost: a\r\nX: a\r\n\r\n").unwrap();
    assert!(with_header.text().contains("one"));
}

#[test]
fn what_leads_nowhere_is_503_and_who_comes_back_is_served() {
    let backend = Backend::named("late");
    let http = "{match: [{uri: {prefix: /late}}], route: [{destination: {host: late}}]}, \
                {route: [{destination: {host: nobody.example}}]}";
    let world = world(http, "");
    assert_eq!((world.status("a", "/"), world.status("a", "/late")), (503, 503));
    assert_eq!(world.get("a", "/late").unwrap().text(), "503 no_destination\n");
    world.apply("late.yaml", &World::service("late", backend.port));
    assert!(eventually(|| world.status("a", "/late") == 200));
    assert_eq!(world.status("a", "/"), 503);
    assert_eq!(line(&world, "/")["reason"], "no_destination");
}

#[test]
fn of_several_virtual_services_of_a_host_all_are_asked_and_of_other_hosts_none() {
    let [one, two] = ["one", "two"].map(Backend::named);
    let services = World::service("one", one.port) + &World::service("two", two.port);
    let first = virtual_service("a", "x.example", &format!("{{match: [{{uri: {{prefix: /a}}}}], {}}}", to("one")));
    let rest = virtual_service("b", "x.example", &format!("{{{}}}", to("two")));
    let wide = virtual_service("wide", "'*.example'", &format!("{{match: [{{uri: {{prefix: /w}}}}], {}}}", to("one")));
    let world = World::start(&[gateway(), services, first, rest, wide].concat());
    for (host, target, status) in [
        ("x.example", "/a", 200),
        ("x.example", "/z", 200),
        ("y.example", "/w", 200),
        ("y.example", "/a", 404),
        ("x", "/", 404),
    ] {
        assert_eq!(world.status(host, target), status, "{host}{target}");
    }
    assert!(world.get("x.example", "/a").unwrap().text().contains("one"));
    assert!(world.get("x.example", "/w").unwrap().text().contains("two"), "one virtual host is asked, not two");
}

#[test]
fn paths_and_hosts_are_rewritten_as_istio_does() {
    let backend = Backend::named("b");
    let rule = |prefix: &str, rewrite: &str| {
        format!("{{match: [{{uri: {{prefix: {prefix}}}}}], rewrite: {{{rewrite}}}, {}}}", to("b"))
    };
    let http = [
        rule("/foo", "uri: /"),
        rule("/bar/", "uri: /, authority: in.example:81"),
        rule("/re/", "uriRegexRewrite: {match: '/re/([^/]+)/(.*)', rewrite: '/\\2/\\1'}"),
        format!("{{rewrite: {{uri: /v1}}, {}}}", to("b")),
    ];
    let world = world(&http.join(", "), &World::service("b", backend.port));
    for (target, seen, host) in [
        ("/foo/x?q=1", "//x?q=1", "a.example"),
        ("/bar/x", "/x", "in.example:81"),
        ("/re/one/two/three", "/two/three/one", "a.example"),
        ("/abc", "/v1abc", "a.example"),
    ] {
        assert_eq!(world.status("a.example", target), 200, "{target}");
        let request = backend.take().pop().unwrap();
        assert_eq!((&*request.target, request.header("host")), (seen, Some(host)), "{target}");
    }
}

#[test]
fn the_gateway_itself_redirects_and_answers() {
    let http = "{match: [{uri: {prefix: /old}}], redirect: {prefixRewrite: /new, authority: b.example, redirectCode: 308}}, \
                {match: [{uri: {exact: /up}}], redirect: {scheme: https}}, \
                {directResponse: {status: 418, body: {string: tea}}, headers: {response: {set: {x-pot: short}}}}";
    let world = world(http, "");
    let location = |target: &str| {
        let reply = world.get("a.example:80", target).unwrap();
        (reply.status, reply.header("location").unwrap_or_default().to_owned())
    };
    assert_eq!(location("/old/x?y"), (308, "http://b.example/new/x?y".to_owned()));
    assert_eq!(location("/up"), (301, "https://a.example/up".to_owned()));
    let tea = world.get("a", "/").unwrap();
    assert_eq!((tea.status, tea.text().as_str(), tea.header("x-pot")), (418, "tea", Some("short")));
}

#[test]
fn faults_are_injected_into_their_share_and_a_delay_ends_with_the_request() {
    let backend = Backend::named("b");
    let rule = |prefix: &str, more: &str| format!("{{match: [{{uri: {{prefix: {prefix}}}}}], {more}, {}}}", to("b"));
    let all = "percentage: {value: 100}";
    let http = [
        rule("/abort", &format!("fault: {{abort: {{httpStatus: 555, {all}}}}}")),
        rule("/grpc", &format!("fault: {{abort: {{grpcStatus: UNAVAILABLE, {all}}}}}")),
        rule("/delay", &format!("fault: {{delay: {{fixedDelay: 300ms, {all}}}}}")),
        rule("/late", &format!("timeout: 100ms, fault: {{delay: {{fixedDelay: 5s, {all}}}}}")),
        rule("/half", "fault: {abort: {httpStatus: 500, percentage: {value: 50}}}"),
        rule("/none", "fault: {abort: {httpStatus: 500}}"),
    ];
    let world = world(&http.join(", "), &World::service("b", backend.port));
    assert_eq!(world.status("a", "/abort"), 555);
    let grpc = world.get("a", "/grpc").unwrap();
    assert_eq!((grpc.status, grpc.header("grpc-status")), (200, Some("14")));
    let start = Instant::now();
    assert_eq!(world.status("a", "/delay"), 200);
    assert!(start.elapsed() >= Duration::from_millis(300));
    let start = Instant::now();
    assert_eq!(world.status("a", "/late"), 504);
    assert!(start.elapsed() < Duration::from_secs(3));
    let failed = (0..400).filter(|_| world.status("a", "/half") == 500).count();
    assert!((120..280).contains(&failed), "{failed} of 400");
    assert!((0..50).all(|_| world.status("a", "/none") == 200));
    // Those that were answered or ended early never came.
    let seen = backend.take();
    assert!(seen.iter().all(|it| !it.target.starts_with("/abort") && !it.target.starts_with("/late")));
}

#[test]
fn a_mirror_s_host_is_told_from_the_original_s() {
    let [backend, shadow] = ["b", "shadow"].map(Backend::named);
    let services = World::service("b", backend.port) + &World::service("shadow", shadow.port);
    let http = format!("{{mirror: {{host: shadow}}, {}}}", to("b"));
    let world = world(&http, &services);
    assert_eq!(world.status("a.example:8080", "/x"), 200);
    assert!(eventually(|| !shadow.seen().is_empty()));
    let (original, copy) = (backend.take().pop().unwrap(), shadow.take().pop().unwrap());
    assert_eq!((original.header("host"), &*copy.target), (Some("a.example:8080"), "/x"));
    assert_eq!(copy.header("host"), Some("a.example-shadow:8080"));
}

#[test]
fn header_operations_are_done_in_istio_s_order() {
    let backend = Backend::named("b");
    let http = "{match: [{uri: {prefix: /one}}], headers: {request: {set: {x-a: rule, x-b: rule}, remove: [x-c]}}, \
                 route: [{destination: {host: b}, headers: {request: {set: {x-a: own}}}}]}, \
                {headers: {request: {set: {x-a: rule}}}, route: [\
                 {destination: {host: b}, weight: 1, headers: {request: {set: {x-a: own}, add: {x-d: d}}}}, \
                 {destination: {host: b}, weight: 1, headers: {request: {set: {x-a: own}, add: {x-d: d}}}}]}";
    let world = world(http, &World::service("b", backend.port));
    for (target, a, c) in [("/one", "own", None), ("/two", "rule", Some("client"))] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nX-A: client\r\nX-C: client\r\n\r\n");
        assert_eq!(world.raw(request.as_bytes()).unwrap().status, 200);
        let seen = backend.take().pop().unwrap();
        assert_eq!((seen.header("x-a"), seen.header("x-c")), (Some(a), c), "{target}");
    }
}

#[test]
fn tries_are_those_that_the_author_asked_for() {
    let dead = ports::free();
    let flaky = Backend::scripted({
        let count = std::sync::Mutex::new(BTreeMap::<String, u32>::new());
        move |request| {
            let mut count = count.lock().unwrap();
            let times = count.entry(request.target.clone()).or_default();
            *times += 1;
            match (&*request.target, *times) {
                ("/reset", 1) => b"!".to_vec(),
                ("/503" | "/default", 1) => b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n".to_vec(),
                _ => b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec(),
            }
        }
    });
    let rule = |path: &str, more: &str, service: &str| {
        format!("{{match: [{{uri: {{prefix: {path}}}}}], {more}{}}}", to(service))
    };
    let http = [
        rule("/reset", "retries: {attempts: 2, retryOn: reset}, ", "flaky"),
        rule("/503", "retries: {attempts: 2, retryOn: '503'}, ", "flaky"),
        rule("/default", "", "flaky"),
        rule("/once", "retries: {attempts: 0}, ", "dead"),
        rule("/thrice", "", "dead"),
    ];
    let services = service_at("flaky", &[flaky.port]) + &service_at("dead", &[dead]);
    let world = world(&http.join(", "), &services);
    let post = |target: &str| {
        let request = format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
        world.raw(request.as_bytes()).unwrap().status
    };
    // Also what is not idempotent, for whoever asks for it by name; by default never what an endpoint has answered.
    assert_eq!((post("/reset"), post("/503"), post("/default")), (200, 200, 503));
    assert_eq!((post("/once"), post("/thrice")), (503, 503));
    assert_eq!((&line(&world, "/once")["attempts"], &line(&world, "/thrice")["attempts"]), (&1.into(), &3.into()));
}

#[test]
fn weights_and_subsets_share_requests_and_rules_of_gateway_api_go_first() {
    let [one, two, first] = ["one", "two", "first"].map(Backend::named);
    let services = service_at("b", &[one.port, two.port]) + &World::service("first", first.port);
    let entry = |name: &str, backend: &Backend, version: &str| {
        format!(
            "{{address: 127.0.0.1, ports: {{http: {}}}, labels: {{version: {version}, name: {name}}}}}",
            backend.port
        )
    };
    let entries = object(
        API,
        "ServiceEntry",
        "ext",
        &format!(
            "hosts: [ext.example], ports: [{{number: 80, name: http, protocol: HTTP}}], resolution: STATIC, \
             endpoints: [{}, {}]",
            entry("one", &one, "v1"),
            entry("two", &two, "v2")
        ),
    );
    let rule = object(
        API,
        "DestinationRule",
        "ext",
        "host: ext.example, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]",
    );
    let http = "{route: [{destination: {host: ext.example, subset: v1}, weight: 75}, \
                {destination: {host: ext.example, subset: v2}, weight: 25}]}";
    let gateway = World::gateway().to_owned();
    let bound = object(API, "VirtualService", "r", &format!("hosts: ['*'], gateways: [edge], http: [{http}]"));
    let route = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: first, namespace: default}\n\
                 spec: {parentRefs: [{name: edge}], rules: [{matches: [{path: {value: /first}}], \
                 backendRefs: [{name: first, port: 80}]}]}\n---\n";
    let world = World::start(&[gateway, services, entries, rule, bound, route.to_owned()].concat());
    for _ in 0..400 {
        assert_eq!(world.status("a", "/"), 200);
    }
    assert_eq!((one.take().len(), two.take().len()), (300, 100));
    assert!(world.get("a", "/first/x").unwrap().text().contains("first"));
    assert_eq!((one.seen().len(), two.seen().len()), (0, 0));
}

#[test]
fn a_virtual_service_that_names_no_gateway_is_served_by_a_gateway_that_says_so() {
    let backend = Backend::named("b");
    let plain = World::gateway().to_owned();
    let annotated = plain.replace(
        "namespace: default}\n",
        "namespace: default, annotations: {torana.dev/mesh-virtual-services: 'true'}}\n",
    );
    let seed = object(
        "networking.istio.io/v1alpha3",
        "VirtualService",
        "my-app",
        "hosts: ['*'], http: [{route: [{destination: {host: b}}]}]",
    );
    let world = World::start(&[plain, World::service("b", backend.port), seed].concat());
    assert_eq!(world.status("a", "/"), 404);
    world.apply("world.yaml", "");
    let seed = object(
        "networking.istio.io/v1alpha3",
        "VirtualService",
        "my-app",
        "hosts: ['*'], http: [{route: [{destination: {host: b}}]}]",
    );
    let manifests =
        [annotated.replace("${HTTP}", &world.http.to_string()), World::service("b", backend.port), seed].concat();
    world.apply("world.yaml", &manifests);
    assert!(eventually(|| world.status("a", "/") == 200), "{}", world.log());
}

#[test]
fn a_server_that_redirects_sends_every_host_to_https() {
    let backend = Backend::named("b");
    let servers =
        "{port: {number: ${HTTP}, name: http, protocol: HTTP}, hosts: ['*.example'], tls: {httpsRedirect: true}}";
    let rules = virtual_service("r", "a.example", &format!("{{{}}}", to("b")));
    let world = World::start(&[gateway_of("edge", servers), World::service("b", backend.port), rules].concat());
    for (host, status) in [("a.example", 301), ("b.example", 301), ("c.test", 404)] {
        let reply = world.get(host, "/x?y").unwrap();
        assert_eq!(reply.status, status, "{host}");
        if status == 301 {
            assert_eq!(reply.header("location"), Some(&*format!("https://{host}/x?y")));
        }
    }
    assert!(backend.seen().is_empty());
}

#[test]
fn a_fault_in_one_object_harms_no_other() {
    let backend = Backend::named("b");
    let good = virtual_service("good", "good.example", &format!("{{{}}}", to("b")));
    let refused = virtual_service("refused", "refused.example", &format!("{{timeout: 0s, {}}}", to("b")));
    let unreadable = virtual_service("unreadable", "unreadable.example", "{redirect: {derivePort: SOMEWHERE}}");
    let broken = virtual_service(
        "broken",
        "broken.example",
        &format!("{{match: [{{uri: {{regex: '('}}}}], {to}}}, {{{to}}}", to = to("b")),
    );
    let services = World::service("b", backend.port);
    let world = World::start(&[gateway(), services, good, refused, unreadable, broken].concat());
    for (host, status) in
        [("good.example", 200), ("refused.example", 404), ("unreadable.example", 404), ("broken.example", 404)]
    {
        assert_eq!(world.status(host, "/"), status, "{host}");
    }
    thread::sleep(Duration::from_millis(100));
    let log = world.log();
    for part in ["VirtualService default/refused: spec.http[0].timeout", "VirtualService default/unreadable"] {
        assert!(log.contains(part), "{part}:\n{log}");
    }
}

#[test]
fn a_policy_that_is_not_evaluated_lets_nobody_through_whom_it_is_for() {
    let backend = Backend::named("b");
    let rules = virtual_service("r", "'*'", &format!("{{{}}}", to("b")));
    let world = World::start(&[gateway(), World::service("b", backend.port), rules].concat());
    let policy = |namespace: &str, spec: &str| {
        object("security.istio.io/v1", "AuthorizationPolicy", &format!("{namespace}/deny"), spec)
    };
    for (namespace, spec, status) in [
        ("istio-system", "", 403),
        ("istio-system", "selector: {matchLabels: {istio: ingressgateway}}, rules: [{}]", 403),
        ("istio-system", "selector: {matchLabels: {app: other}}", 200),
        ("default", "", 200),
        ("istio-system", "action: AUDIT, rules: [{}]", 200),
    ] {
        world.apply("policy.yaml", &policy(namespace, spec));
        assert!(eventually(|| world.status("a", "/x") == status), "{namespace} {spec}");
    }
    let jwt = object("security.istio.io/v1", "RequestAuthentication", "istio-system/jwt", "jwtRules: [{issuer: a}]");
    world.apply("policy.yaml", &jwt);
    assert!(eventually(|| world.status("a", "/y") == 403));
    assert_eq!(world.status("a", "/then"), 403);
    assert_eq!(line(&world, "/then")["reason"], "policy_not_evaluated");
    assert!(world.log().contains("RequestAuthentication istio-system/jwt: spec: it is not evaluated yet"));
    world.delete("policy.yaml");
    assert!(eventually(|| world.status("a", "/z") == 200));
}
