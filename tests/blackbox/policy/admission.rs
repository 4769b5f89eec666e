// SPDX-License-Identifier: Apache-2.0
//! Who is let through, who is told why not, and where people find out.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use torana_tests::{Authority, Backend, Connection, World, eventually};

use super::super::behind::manifests;
use super::super::log::line;
use super::super::manifests::object;
use super::{policy, world};

#[test]
fn a_denial_says_so_and_the_log_and_explain_say_which_rule() {
    let backend = Backend::named("app");
    let rules = "rules: [{to: [{operation: {methods: [GET]}}]}, {to: [{operation: {paths: [/open]}}]}]";
    let deny = "action: DENY, rules: [{to: [{operation: {paths: ['/secret*']}}]}]";
    let world = world(&backend, &(policy("allow", rules) + &policy("deny", deny)));
    let reply = world.get("a", "/secret/x").unwrap();
    let told = (reply.status, reply.text(), reply.header("content-type"));
    assert_eq!(told, (403, "RBAC: access denied".to_owned(), Some("text/plain")));
    let denied = line(&world, "/secret/x");
    assert_eq!((&denied["policy"], &denied["reason"]), (&json!("istio-system/deny[0]"), &json!("policy_denied")));
    let post = |path: &str| {
        let request = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        world.raw(request.as_bytes()).unwrap().status
    };
    assert_eq!((post("/open"), post("/other"), world.status("a", "/other2")), (200, 403, 200));
    assert_eq!(line(&world, "/other")["policy"], "none that allows it");
    assert_eq!(world.metric("torana_policy_decisions_total{decision=\"denied\"}"), Some(2.0));
    let explained = |arguments: &[&str]| {
        torana_tests::torana([&["explain", "-f", world.folder().to_str().unwrap()], arguments].concat()).stdout
    };
    let url = format!("http://a:{}/secret", world.http);
    let text = explained(&[&url]);
    for part in
        ["✘ policies  denied by istio-system/deny[0]", "AuthorizationPolicy istio-system/deny: spec.rules[0] denies it"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    let text = explained(&["-X", "POST", &url.replace("secret", "other")]);
    for part in ["spec.rules[0] does not take it: the method", "spec.rules[1] does not take it: the path"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(explained(&[&url.replace("secret", "other")]).contains("✔ policies  allowed by istio-system/allow[0]"));
}

#[test]
fn who_may_not_ask_is_not_told_whether_there_is_a_route() {
    let backend = Backend::named("app");
    let manifests =
        World::gateway().to_owned() + &World::service("app", backend.port) + &World::route("r", "a.example", "app");
    let world = World::start(&(manifests + &policy("p", "rules: [{to: [{operation: {hosts: [a.example]}}]}]")));
    assert_eq!((world.status("a.example", "/"), world.status("nowhere.example", "/")), (200, 403));
}

#[test]
fn a_client_is_whom_trusted_proxies_name_and_a_peer_is_who_connects() {
    let backend = Backend::named("app");
    let world = World::start(&manifests("{trustedHops: 1}", World::gateway(), &backend));
    let status = |forwarded: &str| {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {forwarded}\r\n\r\n");
        world.raw(request.as_bytes()).unwrap().status
    };
    let source = |field: &str| format!("rules: [{{from: [{{source: {{{field}}}}}]}}]");
    for (spec, expected) in [
        (source("remoteIpBlocks: [203.0.113.0/24]"), [200, 403]),
        (source("ipBlocks: [127.0.0.0/8]"), [200, 200]),
        (source("ipBlocks: [203.0.113.0/24]"), [403, 403]),
        (source("notRemoteIpBlocks: [203.0.113.7]"), [403, 200]),
    ] {
        world.apply("policy.yaml", &policy("p", &spec));
        let seen = || [status("6.6.6.6, 203.0.113.7"), status("203.0.113.7, 6.6.6.6")];
        assert!(eventually(|| seen() == expected), "{spec}: {:?}", seen());
    }
    let url = format!("http://a:{}/", world.http);
    let folder = world.folder().to_str().unwrap();
    let text = torana_tests::torana(["explain", "-f", folder, "-H", "X-Forwarded-For: 203.0.113.7", &url]).stdout;
    assert!(
        text.contains("✔ client    203.0.113.7: the address that the outermost of 1 trusted proxies wrote"),
        "{text}"
    );
    assert!(text.contains("does not take it: the client's address"), "{text}");
}

#[test]
fn an_identity_is_what_a_verified_certificate_names() {
    let (authority, backend) = (Authority::new(), Backend::named("app"));
    let web = authority.issue("web", &["spiffe://cluster.local/ns/shop/sa/web"]);
    let other = authority.issue("other", &["spiffe://cluster.local/ns/other/sa/web"]);
    let gateway = World::gateway_tls("served");
    let validated = gateway.replace("---\n", "  tls: {frontend: {default: {validation: {caCertificateRefs: [{group: '', kind: ConfigMap, name: ca}]}}}}\n---\n");
    let manifests = validated
        + &authority.bundle("ca")
        + &authority.secret("served", &["a.example"])
        + &World::service("app", backend.port)
        + &World::catch_all("all", "app");
    let namespaces = "rules: [{from: [{source: {namespaces: [shop]}}]}]";
    let world = World::start(&(manifests + &policy("p", namespaces)));
    let status = |shown| {
        let config = authority.client_with(&["http/1.1"], Some(shown));
        Connection::tls(world.https, "a.example", &config).unwrap().get("a.example", "/").unwrap().status
    };
    assert_eq!((status(&web), status(&other)), (200, 403), "{}", world.log());
    for (spec, expected) in [
        ("rules: [{from: [{source: {principals: [cluster.local/ns/other/sa/web]}}]}]", (403, 200)),
        ("rules: [{from: [{source: {serviceAccounts: [shop/web]}}]}]", (200, 403)),
        ("action: DENY, rules: [{from: [{source: {notPrincipals: ['*/ns/shop/*']}}]}]", (200, 403)),
    ] {
        world.apply("policy.yaml", &policy("p", spec));
        assert!(eventually(|| (status(&web), status(&other)) == expected), "{spec}");
    }
}

#[test]
fn what_is_revoked_is_revoked_within_a_second_and_no_answer_is_wrong() {
    let backend = Backend::named("app");
    let (open, closed) = ("rules: [{}]", "rules: [{to: [{operation: {paths: [/other]}}]}]");
    let world = world(&backend, &policy("p", open));
    let (over, revoked) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        let load = |_| {
            scope.spawn(|| {
                let mut connection = Connection::open(world.http).unwrap();
                let (mut last, mut wrong) = (None, 0);
                while !over.load(Ordering::Relaxed) {
                    let was_revoked = revoked.load(Ordering::SeqCst);
                    match connection.get("a", "/").unwrap().status {
                        200 => last = Some(Instant::now()),
                        403 => wrong += usize::from(!was_revoked && !revoked.load(Ordering::SeqCst)),
                        other => panic!("{other}"),
                    }
                }
                (last, wrong)
            })
        };
        let clients: Vec<_> = (0..4).map(load).collect();
        thread::sleep(Duration::from_millis(500));
        revoked.store(true, Ordering::SeqCst);
        let changed = Instant::now();
        world.apply("policies.yaml", &policy("p", closed));
        thread::sleep(Duration::from_secs(2));
        over.store(true, Ordering::Relaxed);
        for client in clients {
            let (last, wrong) = client.join().unwrap();
            let late = last.unwrap().saturating_duration_since(changed);
            assert!(wrong == 0 && late < Duration::from_secs(1), "{wrong} wrong, the last let through after {late:?}");
        }
    });
}

#[test]
fn what_only_tells_is_told() {
    let backend = Backend::named("app");
    let dry = policy("dry", "action: DENY, rules: [{to: [{operation: {paths: ['/a*']}}]}]")
        .replace("metadata: {", "metadata: {annotations: {istio.io/dry-run: 'true'}, ");
    let audit = policy("audit", "action: AUDIT, rules: [{to: [{operation: {paths: ['/b*']}}]}]");
    let world = world(&backend, &(dry + &audit));
    assert_eq!((world.status("a", "/a"), world.status("a", "/b")), (200, 200));
    assert_eq!(line(&world, "/a")["policy_dry_run"], "denied by istio-system/dry[0]");
    let audited = line(&world, "/b");
    assert_eq!(
        (&audited["policy_audit"], &audited["policy_dry_run"]),
        (&json!("istio-system/audit[0]"), &json!("allowed"))
    );
}

#[test]
fn a_stream_is_let_through_by_what_streams_have() {
    let backend = Backend::named("app");
    let gateway = object(
        "gateway.networking.k8s.io/v1",
        "Gateway",
        "edge",
        "gatewayClassName: torana, listeners: [{name: tcp, port: ${HTTP}, protocol: TCP}]",
    );
    let route = object(
        "gateway.networking.k8s.io/v1",
        "TCPRoute",
        "r",
        "parentRefs: [{name: edge}], rules: [{backendRefs: [{name: app, port: 80}]}]",
    );
    let world = World::start(&(gateway + &route + &World::service("app", backend.port)));
    let passes =
        || Connection::open(world.http).is_ok_and(|mut it| it.get("a", "/").is_ok_and(|reply| reply.status == 200));
    assert!(eventually(passes), "{}", world.log());
    for (spec, expected) in [
        ("rules: [{from: [{source: {ipBlocks: [127.0.0.1]}}]}]", true),
        ("rules: [{from: [{source: {ipBlocks: [10.0.0.0/8]}}]}]", false),
        ("rules: [{to: [{operation: {methods: [GET]}}]}]", false),
        ("action: DENY, rules: [{to: [{operation: {ports: ['1']}}]}]", true),
        ("action: DENY, rules: [{to: [{operation: {methods: [PUT]}}]}]", false),
    ] {
        world.apply("policy.yaml", &policy("p", spec));
        assert!(eventually(|| passes() == expected), "{spec}: {}", world.log());
    }
}

#[test]
fn a_load_balancer_that_connects_for_somebody_is_the_peer_and_that_one_the_client() {
    let backend = Backend::named("app");
    let world = World::start(&manifests("{proxyProtocol: true}", World::gateway(), &backend));
    let status = |client: &str| {
        let mut connection = Connection::open(world.http).ok()?;
        let header = format!("PROXY TCP4 {client} 198.51.100.1 4711 80\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
        connection.send(header.as_bytes()).ok()?;
        connection.reply("GET").ok().map(|reply| reply.status)
    };
    let source = |field: &str| format!("rules: [{{from: [{{source: {{{field}}}}}]}}]");
    for (spec, expected) in [
        (source("remoteIpBlocks: [203.0.113.7]"), [Some(200), Some(403)]),
        (source("ipBlocks: [127.0.0.0/8]"), [Some(200), Some(200)]),
        (source("ipBlocks: [203.0.113.7]"), [Some(403), Some(403)]),
    ] {
        world.apply("policy.yaml", &policy("p", &spec));
        let seen = || [status("203.0.113.7"), status("6.6.6.6")];
        assert!(eventually(|| seen() == expected), "{spec}: {:?}", seen());
    }
}
