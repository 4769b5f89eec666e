// SPDX-License-Identifier: Apache-2.0
//! Listeners: who opens which port when, which of them takes a request, who may attach to them.

use std::net::TcpListener;

use rcgen::PKCS_ECDSA_P256_SHA256;
use torana_tests::{Backend, Connection, Credential, KeyForm, World, client, eventually, ports};

use super::manifests::{gateway, grpc_route, namespace, object, route, to};

/// Status of `GET /` for `host` on a new connection to a port; 0 if there is no answer.
fn status(port: u16, host: &str) -> u16 {
    Connection::open(port).and_then(|mut connection| connection.get(host, "/")).map_or(0, |reply| reply.status)
}

/// The text that answers; empty if it is no 200.
fn text(port: u16, host: &str) -> String {
    let reply = Connection::open(port).and_then(|mut connection| connection.get(host, "/"));
    reply.ok().filter(|reply| reply.status == 200).map_or(String::new(), |reply| reply.text())
}

fn http(name: &str, port: u16, more: &str) -> String {
    format!("{{name: {name}, port: {port}, protocol: HTTP{more}}}")
}

#[test]
fn listeners_open_and_close_while_others_keep_their_connections() {
    let backend = Backend::named("ok");
    let service = World::service("b", backend.port);
    let world = World::start(&[World::gateway(), &service, &World::catch_all("all", "b")].concat());
    let mut kept = Connection::open(world.http).unwrap();
    assert_eq!(kept.get("a", "/").unwrap().status, 200);
    let port = ports::free();
    for round in 0..5 {
        assert_eq!(status(port, "a"), 0, "round {round}: closed");
        let parents = "parentRefs: [{name: more}], rules: [{backendRefs: [{name: b, port: 80}]}]";
        world.apply("more.yaml", &(gateway("more", &[&http("x", port, "")]) + &route("more", parents)));
        assert!(eventually(|| status(port, "a") == 200), "round {round}");
        let mut orphan = Connection::open(port).unwrap();
        assert_eq!(orphan.get("a", "/").unwrap().status, 200);
        world.delete("more.yaml");
        assert!(eventually(|| Connection::open(port).is_err()), "round {round}");
        // Whoever is still connected to it gets an answer, and not one that a route which is gone would give.
        let last = orphan.get("a", "/");
        assert!(last.as_ref().is_ok_and(|reply| reply.status == 404) || last.is_err(), "{last:?}");
        assert_eq!(kept.get("a", "/").unwrap().status, 200);
    }
}

#[test]
fn of_two_gateways_on_one_port_the_older_serves() {
    let (old, young) = (Backend::named("old"), Backend::named("young"));
    let world = World::start(&[World::service("old", old.port), World::service("young", young.port)].concat());
    let port = ports::free();
    let born = |name: &str, day: u8| {
        let spec = format!("parentRefs: [{{name: {name}}}], rules: [{{{}}}]", to(name));
        let born = format!("{{name: {name}, namespace: default, creationTimestamp: \"2026-01-0{day}T00:00:00Z\"}}");
        let gateway = gateway(name, &[&http("x", port, "")]);
        gateway.replace(&format!("{{name: {name}, namespace: default}}"), &born) + &route(name, &spec)
    };
    world.apply("a-young.yaml", &born("young", 2));
    assert!(eventually(|| text(port, "a") == "young"));
    world.apply("b-old.yaml", &born("old", 1));
    assert!(eventually(|| text(port, "a") == "old"), "{}", world.log());
    let says =
        format!("Gateway default/young: spec.listeners[0].port: port {port} belongs to the older Gateway default/old");
    assert!(eventually(|| world.log().contains(&says)), "{}", world.log());
    world.delete("b-old.yaml");
    assert!(eventually(|| text(port, "a") == "young"));
}

#[test]
fn a_port_that_another_process_holds_is_named_and_taken_when_it_is_free() {
    let backend = Backend::named("ok");
    let world = World::start(&[World::gateway(), &World::service("b", backend.port)].concat());
    let port = ports::free();
    let holder = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let parents = "parentRefs: [{name: held}, {name: edge}], rules: [{backendRefs: [{name: b, port: 80}]}]";
    world.apply("held.yaml", &(gateway("held", &[&http("x", port, "")]) + &route("held", parents)));
    let says = || world.log().lines().any(|line| line.contains("Gateway default/held: ") && line.contains("in use"));
    assert!(eventually(says), "{}", world.log());
    assert_eq!(status(world.http, "a"), 200, "the other listener of the route does not mind");
    drop(holder);
    assert!(eventually(|| status(port, "a") == 200), "{}", world.log());
    assert!(eventually(|| world.log().contains("resolved: Gateway default/held: ")), "{}", world.log());
}

#[test]
fn no_listener_takes_the_ports_of_the_gateways_own_servers() {
    let world = World::start("");
    for (name, port) in [("on-admin", world.admin), ("on-health", world.health)] {
        world.apply("x.yaml", &gateway(name, &[&http("x", port, "")]));
        let says = format!("Gateway default/{name}: spec.listeners[0].port: ");
        assert!(eventually(|| world.log().contains(&says)), "{}", world.log());
    }
    assert_eq!(world.health("/readyz").unwrap().status, 200);
    assert_eq!(world.admin("/debug/config").unwrap().status, 200);
}

#[test]
fn listeners_of_one_port_are_isolated() {
    let (own, other) = (Backend::named("own"), Backend::named("other"));
    let services = World::service("own", own.port) + &World::service("other", other.port);
    let listeners = [
        ("any", ""),
        ("wild", ", hostname: \"*.example.com\""),
        ("deep", ", hostname: \"*.foo.example.com\""),
        ("exact", ", hostname: abc.foo.example.com"),
    ];
    let port = ports::free();
    let listeners = listeners.map(|(name, host)| http(name, port, host));
    // As in the conformance suite: each listener has a route of its own path.
    let routes: String = ["any", "wild", "deep", "exact"]
        .map(|name| {
            let rule = format!("{{matches: [{{path: {{value: /{name}}}}}], {}}}", to("own"));
            route(name, &format!("parentRefs: [{{name: iso, sectionName: {name}}}], rules: [{rule}]"))
        })
        .concat();
    let listeners: Vec<&str> = listeners.iter().map(String::as_str).collect();
    let world = World::start(&[gateway("iso", &listeners), services, routes].concat());
    for (host, mine) in [
        ("bar.com", "any"),
        ("example.com", "any"),
        ("bar.example.com", "wild"),
        ("foo.example.com", "wild"),
        ("bar.foo.example.com", "deep"),
        ("x.abc.foo.example.com", "deep"),
        ("abc.foo.example.com", "exact"),
    ] {
        for path in ["any", "wild", "deep", "exact"] {
            let reply = Connection::open(port).unwrap().get(host, &format!("/{path}")).unwrap();
            assert_eq!(reply.status, if path == mine { 200 } else { 404 }, "{host}/{path}");
        }
    }
    assert_eq!((own.seen().len(), other.seen().len()), (7, 0), "{}", world.pid());
}

#[test]
fn a_request_for_another_listener_than_that_of_the_handshake_is_misdirected() {
    let backend = Backend::named("ok");
    let names = ["a", "wild", "rest"];
    let credentials = names.map(|_| Credential::new(&PKCS_ECDSA_P256_SHA256, &["x"]));
    let secrets: String = names.iter().zip(&credentials).map(|(name, it)| it.secret(name, KeyForm::Pkcs8)).collect();
    let listener = |name: &str, host: &str| {
        format!(
            "{{name: {name}, port: ${{HTTPS}}, protocol: HTTPS, {host}tls: {{certificateRefs: [{{name: {name}}}]}}}}"
        )
    };
    let listeners = [
        listener("a", "hostname: a.example.com, "),
        listener("wild", "hostname: \"*.example.com\", "),
        listener("rest", ""),
    ];
    let listeners: Vec<&str> = listeners.iter().map(String::as_str).collect();
    let hosts = format!("hostnames: [a.example.com, b.example.com, c.example.org], rules: [{{{}}}]", to("b"));
    let service = World::service("b", backend.port);
    let world = World::start(&[gateway("edge", &listeners), secrets, service, route("r", &hosts)].concat());
    let config = client(&[], rustls::DEFAULT_VERSIONS);
    for (sni, host, expected) in [
        ("a.example.com", "a.example.com", 200),
        ("a.example.com", "A.example.com:443", 200),
        ("a.example.com", "b.example.com", 421),
        ("a.example.com", "c.example.org", 421),
        ("b.example.com", "b.example.com", 200),
        ("b.example.com", "x.example.com", 404),
        ("x.example.com", "b.example.com", 200),
        ("b.example.com", "a.example.com", 421),
        ("c.example.org", "c.example.org", 200),
        ("c.example.org", "d.example.org", 404),
        ("c.example.org", "b.example.com", 421),
    ] {
        let mut connection = Connection::tls(world.https, sni, &config).unwrap();
        assert_eq!(connection.get(host, "/").unwrap().status, expected, "{host} over a connection for {sni}");
        // The connection is good for what it was made for.
        assert!(connection.get(sni, "/").unwrap().status != 421, "{sni}");
    }
}

#[test]
fn a_listener_set_adds_listeners_where_the_gateway_allows_it() {
    let backend = Backend::named("ok");
    let world = World::start("");
    let (own, added, refused) = (ports::free(), ports::free(), ports::free());
    let set = |name: &str, port: u16| {
        let parent = "parentRef: {name: edge, namespace: default}";
        let listener = http("x", port, ", allowedRoutes: {namespaces: {from: All}}");
        object("gateway.networking.k8s.io/v1", "ListenerSet", name, &format!("{parent}, listeners: [{listener}]"))
    };
    let edge = |allowed: &str| {
        let listeners = "listeners: [";
        gateway("edge", &[&http("x", own, "")])
            .replace(listeners, &format!("allowedListeners: {{namespaces: {allowed}}}, {listeners}"))
    };
    let from = "{from: Selector, selector: {matchLabels: {team: yes-please}}}";
    let attached = "parentRefs: [{kind: ListenerSet, name: more, namespace: team}, {kind: ListenerSet, name: more, namespace: rest}]";
    world.apply("backends.yaml", &World::service("b", backend.port));
    world.apply(
        "sets.yaml",
        &[
            namespace("team", "team: yes-please"),
            namespace("rest", "team: none"),
            set("team/more", added),
            set("rest/more", refused),
        ]
        .concat(),
    );
    world.apply("routes.yaml", &route("r", &format!("{attached}, rules: [{{{}}}]", to("b"))));
    world.apply("edge.yaml", &edge(from));
    assert!(eventually(|| status(added, "a") == 200), "{}", world.log());
    assert_eq!(status(own, "a"), 404, "the route is attached to the set, not to the Gateway");
    assert_eq!(status(refused, "a"), 0);
    assert!(eventually(|| world.log().contains("ListenerSet rest/more: ")), "{}", world.log());
    // The other team may, and this one may not any more.
    world.apply("edge.yaml", &edge(&from.replace("yes-please", "none")));
    assert!(eventually(|| status(refused, "a") == 200 && status(added, "a") == 0), "{}", world.log());
    world.apply("edge.yaml", &edge("{from: None}"));
    assert!(eventually(|| status(refused, "a") == 0));
    assert_eq!(status(own, "a"), 404, "the Gateway's own listener stays");
}

#[test]
fn routes_attach_by_namespace_and_by_kind() {
    let backend = Backend::named("ok");
    let (same, all, chosen, grpc_only) = (ports::free(), ports::free(), ports::free(), ports::free());
    let selector = ", allowedRoutes: {namespaces: {from: Selector, selector: {matchExpressions: [{key: team, operator: In, values: [a, b]}]}}}";
    let listeners = [
        http("same", same, ""),
        http("all", all, ", allowedRoutes: {namespaces: {from: All}}"),
        http("chosen", chosen, selector),
        http("grpc", grpc_only, ", allowedRoutes: {namespaces: {from: All}, kinds: [{kind: GRPCRoute}]}"),
    ];
    let listeners: Vec<&str> = listeners.iter().map(String::as_str).collect();
    let attached = |at: &str, host: &str| {
        let spec =
            format!("parentRefs: [{{name: edge, namespace: default}}], hostnames: [{host}], rules: [{{{}}}]", to("b"));
        (
            route(&format!("{at}/r"), &spec),
            grpc_route(
                &format!("{at}/g"),
                &spec.replace(host, &format!("grpc.{host}")).replace("name: b,", "name: g,"),
            ),
        )
    };
    let service =
        |at: &str| World::service("b", backend.port).replace("namespace: default", &format!("namespace: {at}"));
    let mut manifests = gateway("edge", &listeners);
    for at in ["default", "team-a", "team-c"] {
        let (http, grpc) = attached(at, &format!("{at}.example.com"));
        manifests += &[http, grpc, service(at)].concat();
    }
    let world = World::start(&(manifests + &namespace("team-a", "team: a") + &namespace("team-c", "team: c")));
    let rows = [
        ("default.example.com", [200, 200, 404, 404]),
        ("team-a.example.com", [404, 200, 200, 404]),
        ("team-c.example.com", [404, 200, 404, 404]),
    ];
    for (host, expected) in rows {
        let got = [same, all, chosen, grpc_only].map(|port| status(port, host));
        assert_eq!(got, expected, "{host} at same, all, chosen, grpc\n{}", world.log());
    }
    // A label that changes counts at once.
    let text = std::fs::read_to_string(world.folder().join("world.yaml")).unwrap();
    world.apply("world.yaml", &text.replace("labels: {team: c}", "labels: {team: b}"));
    assert!(eventually(|| status(chosen, "team-c.example.com") == 200), "{}", world.log());
    world.apply("world.yaml", &text.replace("labels: {team: a}", "labels: {}"));
    assert!(eventually(|| status(chosen, "team-a.example.com") == 404), "{}", world.log());
}
