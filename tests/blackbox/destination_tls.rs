// SPDX-License-Identifier: Apache-2.0
//! `tls` of DestinationRule: endpoints must prove who they are and are shown what the rule says, from Secrets of the
//! namespace of the proxies; never in cleartext.

use torana_tests::{Authority, Backend, Connection, World, eventually, ports};

use super::manifests::{authorities as of_config_map, gateway, object, policy, route, to};
use super::streams::stream_route;

const HTTP1: &[&str] = &["http/1.1"];
const HOST: &str = "abc.example.com";

fn rule(service: &str, tls: &str) -> String {
    let host = format!("{service}.default.svc.cluster.local");
    let spec = format!("host: {host}, trafficPolicy: {{tls: {{{tls}}}}}");
    object("networking.istio.io/v1", "DestinationRule", service, &spec)
}

/// A manifest moved to where the proxies of a standalone gateway take credentials from.
fn of_proxies(manifest: &str) -> String {
    manifest.replace("namespace: default", "namespace: istio-system")
}

/// A Secret of authorities.
fn authorities(authority: &Authority, name: &str) -> String {
    of_proxies(&authority.bundle(name)).replace("kind: ConfigMap", "kind: Secret").replace("\ndata:", "\nstringData:")
}

fn by_path(name: &str) -> String {
    route(name, &format!("rules: [{{matches: [{{path: {{value: /{name}}}}}], {}}}]", to(name)))
}

#[test]
fn a_backend_proves_what_the_rule_asks_for_and_is_shown_what_it_says() {
    let (ours, other, clients) = (Authority::new(), Authority::new(), Authority::new());
    let backend = Backend::tls("ok", ours.server(&[HOST], HTTP1, None));
    let asking = Backend::tls("asks", ours.server(&[HOST], HTTP1, Some(&clients)));
    // Name of the Service, which backend, what the rule says, the status, and what the backend is called.
    let rows = [
        ("host", &backend, "mode: SIMPLE, credentialName: ca".to_owned(), 200, HOST),
        ("sni", &backend, format!("mode: SIMPLE, credentialName: ca, sni: {HOST}"), 200, HOST),
        ("config-map", &backend, "mode: SIMPLE, credentialName: \"configmap://ca\"".to_owned(), 200, HOST),
        ("name", &backend, "mode: SIMPLE, credentialName: ca, sni: no.example.com".to_owned(), 503, ""),
        (
            "san",
            &backend,
            format!("mode: SIMPLE, credentialName: ca, sni: x.example, subjectAltNames: [{HOST}]"),
            200,
            "x.example",
        ),
        ("authority", &backend, "mode: SIMPLE, credentialName: other".to_owned(), 503, ""),
        ("system", &backend, "mode: SIMPLE".to_owned(), 503, ""),
        ("unchecked", &backend, "mode: SIMPLE, insecureSkipVerify: true, sni: x.example".to_owned(), 200, "x.example"),
        ("nowhere", &backend, "mode: SIMPLE, credentialName: nowhere".to_owned(), 500, ""),
        ("mesh", &backend, "mode: ISTIO_MUTUAL".to_owned(), 503, ""),
        ("mutual", &asking, "mode: MUTUAL, credentialName: me".to_owned(), 200, HOST),
        ("bare", &asking, "mode: SIMPLE, credentialName: ca".to_owned(), 502, ""),
    ];
    let me = clients.issue("me", &[]);
    let mut manifests = World::gateway().to_owned()
        + &authorities(&ours, "ca")
        + &of_proxies(&ours.bundle("ca"))
        + &authorities(&other, "other")
        + &of_proxies(&me.secret("me"))
        + &authorities(&ours, "me-cacert");
    for (name, backend, tls, ..) in &rows {
        manifests += &(World::service(name, backend.port) + &rule(name, tls) + &by_path(name));
    }
    let world = World::start(&manifests);
    for (name, backend, _, status, sni) in rows {
        let reply = world.get(HOST, &format!("/{name}")).unwrap();
        let is_expected = if status == 502 { reply.status >= 502 } else { reply.status == status };
        assert!(is_expected, "{name}: {} {}", reply.status, reply.text());
        let seen = backend.take();
        assert_eq!(seen.len(), usize::from(status == 200), "{name}");
        if let [seen] = &seen[..] {
            let tls = seen.tls.as_ref().unwrap();
            assert_eq!(tls.sni.as_deref(), Some(sni), "{name}");
            assert_eq!(tls.certificate, (name == "mutual").then(|| me.leaf()), "{name}");
        }
    }
}

#[test]
fn a_connection_that_was_opened_to_one_host_is_not_lent_to_another() {
    let ours = Authority::new();
    let backend = Backend::tls("ok", ours.server(&["a.example", "b.example"], HTTP1, None));
    let manifests = World::gateway().to_owned()
        + &authorities(&ours, "ca")
        + &World::service("b", backend.port)
        + &World::catch_all("all", "b")
        + &rule("b", "mode: SIMPLE, credentialName: ca");
    let world = World::start(&manifests);
    for host in ["a.example", "b.example", "a.example", "b.example"] {
        assert_eq!(world.status(host, "/"), 200, "{host}");
        let seen = backend.take();
        assert_eq!(seen[0].tls.as_ref().unwrap().sni.as_deref(), Some(host));
    }
    assert_ne!(world.status("c.example", "/"), 200, "the certificate is not for that host");
}

#[test]
fn a_certificate_that_is_renewed_is_shown_at_once_and_one_that_is_gone_closes_the_backend() {
    let (ours, clients) = (Authority::new(), Authority::new());
    let backend = Backend::tls("ok", ours.server(&[HOST], HTTP1, Some(&clients)));
    let manifests = World::gateway().to_owned()
        + &World::service("b", backend.port)
        + &World::catch_all("all", "b")
        + &authorities(&ours, "me-cacert")
        + &rule("b", &format!("mode: MUTUAL, credentialName: me, sni: {HOST}"));
    let world = World::start(&manifests);
    assert_eq!(world.status("a", "/"), 500, "without a certificate nothing is sent");
    let [first, second] = [(); 2].map(|()| clients.issue("me", &[]));
    let shown = || backend.take().last().and_then(|seen| seen.tls.clone()?.certificate);
    world.apply("me.yaml", &of_proxies(&first.secret("me")));
    assert!(eventually(|| world.status("a", "/") == 200), "{}", world.log());
    assert_eq!(shown(), Some(first.leaf()));
    world.apply("me.yaml", &of_proxies(&second.secret("me")));
    assert!(eventually(|| {
        assert_eq!(world.status("a", "/"), 200, "in between");
        shown() == Some(second.leaf())
    }));
    world.delete("me.yaml");
    assert!(eventually(|| world.status("a", "/") == 500));
}

#[test]
fn a_plain_stream_is_put_into_tls_by_a_rule_or_a_policy_and_one_that_brings_its_own_is_not() {
    let ours = Authority::new();
    let backend = Backend::tls("ok", ours.server(&[HOST], HTTP1, None));
    let names = ["rule", "policy", "unproven", "closed", "bare", "through"];
    let at = names.map(|_| ports::free());
    let listener = |(name, port): (&&str, &u16)| match *name {
        "through" => format!("{{name: {name}, port: {port}, protocol: TLS, tls: {{mode: Passthrough}}}}"),
        _ => format!("{{name: {name}, port: {port}, protocol: TCP}}"),
    };
    let listeners: Vec<_> = names.iter().zip(&at).map(listener).collect();
    let listeners: Vec<_> = listeners.iter().map(String::as_str).collect();
    let routes = names.map(|name| {
        let (kind, hosts) = if name == "through" {
            ("TLSRoute", format!("hostnames: [{HOST}], "))
        } else {
            ("TCPRoute", String::new())
        };
        let parent = format!("parentRefs: [{{name: edge, sectionName: {name}}}], {hosts}");
        World::service(name, backend.port) + &stream_route(kind, name, &format!("{parent}rules: [{{{}}}]", to(name)))
    });
    let simple = format!("mode: SIMPLE, credentialName: ca, sni: {HOST}");
    let manifests = [
        gateway("edge", &listeners),
        routes.concat(),
        authorities(&ours, "ca"),
        ours.bundle("ca"),
        rule("rule", &simple),
        rule("through", &simple),
        rule("unproven", "mode: SIMPLE, credentialName: ca, sni: no.example.com"),
        policy("policy", &format!("hostname: {HOST}, {}", of_config_map("ca"))),
        policy("closed", &format!("hostname: {HOST}, {}", of_config_map("nowhere"))),
    ];
    let world = World::start(&manifests.concat());
    for (name, port) in names.iter().zip(at) {
        let client = match *name {
            "through" => Connection::tls(port, HOST, &ours.client(HTTP1)),
            // One that leads nowhere is reset, perhaps before the client knows that it is there.
            _ => Connection::open(port),
        };
        let reply = client.and_then(|mut client| client.get(HOST, "/"));
        let expected = ["rule", "policy", "through"].contains(name);
        assert_eq!(reply.is_ok_and(|reply| reply.status == 200), expected, "{name}: {}", world.log());
        let seen = backend.take();
        assert_eq!(seen.len(), usize::from(expected), "{name}");
        let sni = seen.first().and_then(|seen| seen.tls.as_ref()?.sni.as_deref());
        assert_eq!(sni, expected.then_some(HOST), "{name}");
    }
}
