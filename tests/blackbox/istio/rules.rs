// SPDX-License-Identifier: Apache-2.0
//! Which rule a request meets, where it leads, and what neither rules nor policies let through.

use std::thread;
use std::time::{Duration, Instant};

use torana_tests::{Backend, World, eventually};

use super::super::log::line;
use super::super::manifests::{object, service_at};
use super::{API, gateway, gateway_of, to, virtual_service, world};

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
fn a_cap_of_connections_is_none_of_those_that_were_opened_before_it() {
    let backend = Backend::named("b");
    let world = world(&format!("{{{}}}", to("b")), &World::service("b", backend.port));
    assert_eq!(world.status("a", "/"), 200);
    world.apply(
        "cap.yaml",
        &object(API, "DestinationRule", "b", "host: b, trafficPolicy: {connectionPool: {tcp: {maxConnections: 1}}}"),
    );
    let end = Instant::now() + Duration::from_secs(2);
    while Instant::now() < end {
        assert_eq!(world.status("a", "/"), 200);
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(backend.connections(), 2, "one of each configuration");
}

#[test]
fn a_gateway_of_the_mesh_knows_a_service_by_the_names_that_it_has_there() {
    let backend = Backend::named("b");
    let gateway = World::gateway().replace(
        "namespace: default}\n",
        "namespace: default, annotations: {torana.dev/mesh-virtual-services: 'true'}}\n",
    );
    let own = object(API, "VirtualService", "b", &format!("hosts: [b], http: [{{{}}}]", to("b")));
    let other = object(API, "VirtualService", "other/b", "hosts: [b], http: [{directResponse: {status: 418}}]");
    let world = World::start(&[gateway, World::service("b", backend.port), other, own].concat());
    for (host, status) in [
        ("b", 200),
        ("b:9080", 200),
        ("b.default", 200),
        ("b.default.svc", 200),
        ("b.default.svc.cluster.local", 200),
        ("b.other", 418),
        ("b.other.svc", 418),
        ("b.default.svc.cluster", 404),
        ("b.example", 404),
    ] {
        assert_eq!(world.status(host, "/"), status, "{host}");
    }
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
fn a_policy_is_for_whom_it_selects_and_one_whose_provider_is_unknown_lets_nobody_through() {
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
    let custom = "action: CUSTOM, provider: {name: somebody}, rules: [{}]";
    world.apply("policy.yaml", &policy("istio-system", custom));
    assert!(eventually(|| world.status("a", "/y") == 403));
    assert_eq!(world.status("a", "/then"), 403);
    assert_eq!(line(&world, "/then")["reason"], "policy_denied");
    assert!(world.log().contains("spec.provider.name: there is no extension provider \"somebody\" in MeshConfig"));
    world.delete("policy.yaml");
    assert!(eventually(|| world.status("a", "/z") == 200));
}
