// SPDX-License-Identifier: Apache-2.0
//! What a rule does with a request besides sending it somewhere: rewrites, redirects, faults, mirrors, headers, tries.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use torana_tests::{Backend, World, eventually, ports};

use super::super::log::line;
use super::super::manifests::service_at;
use super::{to, world};

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
fn faults_are_injected_into_their_share_and_a_delay_is_none_of_the_timeout() {
    let backend = Backend::named("b");
    let rule = |prefix: &str, more: &str| format!("{{match: [{{uri: {{prefix: {prefix}}}}}], {more}, {}}}", to("b"));
    let all = "percentage: {value: 100}";
    let http = [
        rule("/abort", &format!("fault: {{abort: {{httpStatus: 555, {all}}}}}")),
        rule("/grpc", &format!("fault: {{abort: {{grpcStatus: UNAVAILABLE, {all}}}}}")),
        rule("/delay", &format!("fault: {{delay: {{fixedDelay: 300ms, {all}}}}}")),
        rule("/late", &format!("timeout: 300ms, fault: {{delay: {{fixedDelay: 500ms, {all}}}}}")),
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
    assert_eq!(world.status("a", "/late"), 200);
    assert!(start.elapsed() >= Duration::from_millis(500));
    let failed = (0..400).filter(|_| world.status("a", "/half") == 500).count();
    assert!((120..280).contains(&failed), "{failed} of 400");
    assert!((0..50).all(|_| world.status("a", "/none") == 200));
    // Those that were answered never came.
    let seen = backend.take();
    assert!(seen.iter().all(|it| !it.target.starts_with("/abort")));
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
