// SPDX-License-Identifier: Apache-2.0
//! Pods behind sidecars: mutual TLS, on the pod's own port.

use torana_tests::{Authority, Backend, World, eventually};

use super::super::manifests::{object, route, to};
use super::{Identity, behind_sidecar, id, peer_authentication, workload};

const ALPN: &[&str] = &["istio-http/1.1", "http/1.1"];

fn by_path(name: &str) -> String {
    route(name, &format!("rules: [{{matches: [{{path: {{value: /{name}}}}}], {}}}]", to(name)))
}

fn logged(world: &World, part: &str) -> Option<String> {
    world.log().lines().find(|line| line.contains(part)).map(str::to_owned)
}

#[test]
fn a_workload_is_reached_as_whom_we_are_and_must_be_who_it_is() {
    let (mesh, other) = (Authority::new(), Authority::new());
    let me = mesh.issue("gateway", &[&id("gateway")]);
    let identity = Identity::new(&me, &[&mesh]);
    let strict = |names: &[&str]| Backend::tls("ok", mesh.server(names, ALPN, Some(&mesh)));
    let rows = [
        ("right", strict(&[&id("right")]), 200, ""),
        ("account", strict(&[&id("somebody")]), 503, "name_mismatch"),
        ("domain", strict(&["spiffe://other.local/ns/default/sa/domain"]), 503, "name_mismatch"),
        ("nobody", strict(&["nobody.default.svc"]), 503, "name_mismatch"),
        ("root", Backend::tls("ok", other.server(&[&id("root")], ALPN, Some(&mesh))), 503, "bad_signature"),
        ("ended", Backend::tls("ok", mesh.expired(&[&id("ended")])), 503, "expired"),
        ("cleartext", Backend::named("ok"), 503, "timeout"),
    ];
    let mut manifests = World::gateway().to_owned() + &peer_authentication("STRICT");
    for (name, backend, ..) in &rows {
        manifests += &(behind_sidecar(name, backend.port, name) + &by_path(name));
    }
    let world = identity.world(&manifests);
    assert!(eventually(|| world.status("a", "/right") == 200), "{}", world.log());
    drop(rows[0].1.take());
    for (name, backend, status, error) in &rows {
        let reply = world.get("a", &format!("/{name}")).unwrap();
        assert_eq!(reply.status, *status, "{name}: {}\n{}", reply.text(), world.log());
        let seen = backend.take();
        assert_eq!(seen.len(), usize::from(*status == 200), "{name}");
        if let [seen] = &seen[..] {
            let tls = seen.tls.as_ref().unwrap();
            assert_eq!(tls.sni.as_deref(), Some("outbound_.80_._.right.default.svc.cluster.local"));
            assert_eq!((tls.alpn.as_deref(), &tls.certificate), (Some("istio-http/1.1"), &Some(me.leaf())));
        } else {
            let part = format!("\"upstream_tls_error\":\"{error}\"");
            assert!(eventually(|| logged(&world, &part).is_some()), "{name} {error}:\n{}", world.log());
        }
    }
    assert!(rows[6].1.seen().is_empty(), "not one request in cleartext");
    let line = logged(&world, "\"path\":\"/right\"").unwrap();
    assert!(line.contains(&format!("\"upstream_transport\":\"mtls\",\"upstream_peer\":\"{}\"", id("right"))), "{line}");
}

#[test]
fn whom_further_roots_vouch_for_is_believed_too() {
    let (mesh, other) = (Authority::new(), Authority::new());
    let identity = Identity::new(&mesh.issue("gateway", &[&id("gateway")]), &[&mesh]);
    let elsewhere = Backend::tls("elsewhere", other.server(&[&id("a")], ALPN, Some(&mesh)));
    let manifests = World::gateway().to_owned()
        + &peer_authentication("STRICT")
        + &behind_sidecar("a", elsewhere.port, "a")
        + &World::catch_all("all", "a");
    let more = identity.path().join("more.pem");
    std::fs::write(&more, other.root_pem()).unwrap();
    let world = identity.world_with(&manifests, &["--mesh-roots", more.to_str().unwrap()]);
    assert!(eventually(|| world.status("a", "/") == 200), "{}", world.log());
    std::fs::write(&more, Authority::new().root_pem()).unwrap();
    assert!(eventually(|| world.status("a", "/") == 503), "{}", world.log());
}

#[test]
fn handshakes_are_resumed_under_one_identity_and_never_under_the_next() {
    let mesh = Authority::new();
    let identity = Identity::new(&mesh.issue("gateway", &[&id("gateway")]), &[&mesh]);
    let backend = Backend::tls("ok", mesh.server(&[&id("a")], ALPN, Some(&mesh)));
    let each = object(
        "networking.istio.io/v1",
        "DestinationRule",
        "a",
        "host: a, trafficPolicy: {connectionPool: {http: {maxRequestsPerConnection: 1}}}",
    );
    let manifests = World::gateway().to_owned()
        + &peer_authentication("STRICT")
        + &behind_sidecar("a", backend.port, "a")
        + &World::catch_all("all", "a")
        + &each;
    let world = identity.world(&manifests);
    assert!(eventually(|| world.status("a", "/") == 200), "{}", world.log());
    drop(backend.take());
    let asked = || {
        assert_eq!(world.status("a", "/"), 200);
        backend.take()[0].tls.clone().unwrap()
    };
    // One worker may have handed its session out already, another has none yet.
    assert!(eventually(|| asked().resumed) && (0..20).filter(|_| asked().resumed).count() >= 10);
    let next = mesh.issue("gateway", &[&id("gateway")]);
    identity.put(&next, &[&mesh]);
    let mut first = None;
    let shown = || {
        first = Some(asked()).filter(|tls| tls.certificate == Some(next.leaf()));
        first.is_some()
    };
    assert!(eventually(shown) && first.is_some_and(|tls| !tls.resumed), "a session of the certificate before");
    assert!(eventually(|| asked().resumed));
}

#[test]
fn without_an_identity_what_is_strict_is_503_and_nothing_is_sent_in_cleartext() {
    let backend = Backend::named("plain");
    let manifests =
        World::gateway().to_owned() + &behind_sidecar("a", backend.port, "a") + &World::catch_all("all", "a");
    for (arguments, mode, status) in [
        (&[][..], "PERMISSIVE", 200),
        (&[], "DISABLE", 200),
        (&[], "STRICT", 503),
        (&["--mesh-identity-dir", "/nowhere"], "PERMISSIVE", 503),
        (&["--mesh-identity-dir", "/nowhere"], "DISABLE", 200),
        (&["--mesh-identity-dir", "/nowhere"], "STRICT", 503),
    ] {
        let before = (backend.bytes(), backend.connections());
        let world = World::start_with(&(manifests.clone() + &peer_authentication(mode)), arguments);
        let reply = world.get("a", "/").unwrap();
        assert_eq!(reply.status, status, "{arguments:?} {mode}: {}", reply.text());
        if status == 503 {
            assert_eq!(reply.text(), "503 no_mesh_identity\n");
            assert_eq!((backend.bytes(), backend.connections()), before, "{arguments:?} {mode}");
        }
    }
}

#[test]
fn an_alias_of_the_trust_domain_is_believed_and_an_account_nobody_knows_by_its_domain() {
    let mesh = Authority::new();
    let identity = Identity::new(&mesh.issue("gateway", &["spiffe://new/ns/default/sa/gateway"]), &[&mesh]);
    let strict = |name: &str| Backend::tls("ok", mesh.server(&[name], ALPN, Some(&mesh)));
    let rows = [
        ("alias", strict("spiffe://old/ns/default/sa/alias"), "alias", 200),
        ("stranger", strict("spiffe://cluster.local/ns/default/sa/stranger"), "stranger", 503),
        ("unknown", strict("spiffe://new/ns/x/sa/y"), "\"\"", 200),
        ("lookalike", strict("spiffe://new.evil/ns/x/sa/y"), "\"\"", 503),
    ];
    let mut manifests = World::gateway().to_owned()
        + "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\n\
           data: {mesh: \"{trustDomain: new, trustDomainAliases: [old]}\"}\n---\n";
    for (name, backend, account, _) in &rows {
        manifests += &(behind_sidecar(name, backend.port, account) + &by_path(name));
    }
    let world = identity.world(&manifests);
    assert!(eventually(|| world.status("a", "/alias") == 200), "{}", world.log());
    for (name, _, _, status) in rows {
        assert_eq!(world.status("a", &format!("/{name}")), status, "{name}\n{}", world.log());
    }
}

#[test]
fn what_workloads_take_changes_how_they_are_spoken_to_and_no_request_fails_meanwhile() {
    let mesh = Authority::new();
    let identity = Identity::new(&mesh.issue("gateway", &[&id("gateway")]), &[&mesh]);
    let behind = Backend::tls("mutual", mesh.server(&[&id("a")], ALPN, Some(&mesh)));
    let permissive = permissive(behind.port);
    let manifests = World::gateway().to_owned() + &behind_sidecar("a", permissive, "a") + &World::catch_all("all", "a");
    let world = identity.world(&manifests);
    assert!(eventually(|| world.status("a", "/") == 200 && world.get("a", "/").unwrap().text() == "mutual"));
    for _ in 0..5 {
        for (mode, expected) in [("DISABLE", "plain"), ("STRICT", "mutual")] {
            world.apply("peers.yaml", &peer_authentication(mode));
            assert!(eventually(|| {
                let reply = world.get("a", "/").unwrap();
                assert_eq!(reply.status, 200, "{mode}\n{}", world.log());
                reply.text() == expected
            }));
        }
    }
}

/// A port on which both cleartext and mutual TLS are taken, as a permissive sidecar takes them: the first byte decides.
fn permissive(mutual: u16) -> u16 {
    let plain = Backend::named("plain").port;
    super::super::streams::listening(move |client| {
        let mut first = [0];
        if client.peek(&mut first).unwrap_or(0) == 0 {
            return;
        }
        let port = if first[0] == 22 { mutual } else { plain };
        let Ok(backend) = std::net::TcpStream::connect(("127.0.0.1", port)) else { return };
        let copy = |mut from: std::net::TcpStream, mut to: std::net::TcpStream| {
            std::thread::spawn(move || {
                std::io::copy(&mut from, &mut to).ok();
                to.shutdown(std::net::Shutdown::Write).ok();
            })
        };
        copy(client.try_clone().unwrap(), backend.try_clone().unwrap());
        copy(backend, client);
    })
}

#[test]
fn a_new_certificate_and_new_roots_are_in_force_for_the_next_connection_and_no_request_fails() {
    let (old, new) = (Authority::new(), Authority::new());
    let both = |authority: &Authority| Backend::tls("ok", authority.server(&[&id("a")], ALPN, Some(authority)));
    let first = old.issue("gateway", &[&id("gateway")]);
    let identity = Identity::new(&first, &[&old]);
    let backend = both(&old);
    let manifests =
        World::gateway().to_owned() + &behind_sidecar("a", backend.port, "a") + &World::catch_all("all", "a");
    let world = identity.world(&manifests);
    assert!(eventually(|| world.status("a", "/") == 200), "{}", world.log());
    let shown = || backend.take().last().and_then(|seen| seen.tls.clone()?.certificate);
    assert_eq!(shown(), Some(first.leaf()));
    for _ in 0..3 {
        let next = old.issue("gateway", &[&id("gateway")]);
        identity.put(&next, &[&old, &new]);
        assert!(eventually(|| {
            assert_eq!(world.status("a", "/"), 200, "{}", world.log());
            shown() == Some(next.leaf())
        }));
    }
    let damaged = torana_tests::Issued { chain: "no certificate".into(), key: "no key".into() };
    identity.put(&damaged, &[&new]);
    std::thread::sleep(std::time::Duration::from_secs(7));
    assert_eq!(world.status("a", "/"), 200, "the last good one stays\n{}", world.log());
}

#[test]
fn two_tenants_on_one_address_never_share_a_connection() {
    let mesh = Authority::new();
    let identity = Identity::new(&mesh.issue("gateway", &[&id("gateway")]), &[&mesh]);
    let backend = Backend::tls("ok", mesh.server(&[&id("one")], ALPN, Some(&mesh)));
    // Of the second tenant the pod says that it is somebody else, at the very same socket.
    let manifests = World::gateway().to_owned()
        + &behind_sidecar("one", backend.port, "one")
        + &by_path("one")
        + &behind_sidecar("two", backend.port, "two")
        + &by_path("two")
        + &workload("three", ("127.0.0.1", backend.port), ("", ""), "three")
        + &object(
            "networking.istio.io/v1",
            "DestinationRule",
            "three",
            "host: three, trafficPolicy: {tls: {mode: ISTIO_MUTUAL, sni: three.example, subjectAltNames: [\"spiffe://cluster.local/ns/default/sa/one\"]}}",
        )
        + &by_path("three");
    let world = identity.world(&manifests);
    assert!(eventually(|| world.status("a", "/one") == 200), "{}", world.log());
    drop(backend.take());
    for _ in 0..10 {
        assert_eq!(
            [world.status("a", "/one"), world.status("a", "/two"), world.status("a", "/three")],
            [200, 503, 200]
        );
    }
    let seen = backend.take();
    let of = |sni: &str| {
        let by = seen.iter().filter(|it| it.tls.as_ref().unwrap().sni.as_deref() == Some(sni));
        by.map(|it| it.connection).collect::<std::collections::BTreeSet<_>>()
    };
    let (one, three) = (of("outbound_.80_._.one.default.svc.cluster.local"), of("three.example"));
    assert!(!one.is_empty() && !three.is_empty() && one.is_disjoint(&three), "{one:?} {three:?}");
    assert_eq!(seen.len(), 20, "nothing came for the second");
}

#[test]
fn a_sidecar_chooses_by_the_names_that_it_is_offered_and_may_choose_none() {
    let mesh = Authority::new();
    let identity = Identity::new(&mesh.issue("gateway", &[&id("gateway")]), &[&mesh]);
    // A permissive sidecar takes TLS with such a name only; a strict one may know no name at all.
    let rows = [
        ("http", &["istio-http/1.1"][..], Some("istio-http/1.1")),
        ("any", &["istio"], Some("istio")),
        ("usual", &["http/1.1"], Some("http/1.1")),
        ("none", &[], None),
    ];
    let backends = rows.map(|(name, alpn, _)| Backend::tls("ok", mesh.server(&[&id(name)], alpn, Some(&mesh))));
    let mut manifests = World::gateway().to_owned();
    for ((name, ..), backend) in rows.iter().zip(&backends) {
        manifests += &(behind_sidecar(name, backend.port, name) + &by_path(name));
    }
    let world = identity.world(&manifests);
    for ((name, _, expected), backend) in rows.iter().zip(&backends) {
        assert!(eventually(|| world.status("a", &format!("/{name}")) == 200), "{name}\n{}", world.log());
        let seen = backend.take();
        assert_eq!(seen.last().unwrap().tls.as_ref().unwrap().alpn.as_deref(), *expected, "{name}");
    }
    let foreign = Backend::tls("ok", mesh.server(&[&id("foreign")], &["spdy/3"], Some(&mesh)));
    world.apply("foreign.yaml", &(behind_sidecar("foreign", foreign.port, "foreign") + &by_path("foreign")));
    assert!(eventually(|| world.status("a", "/foreign") == 503), "{}", world.log());
}
