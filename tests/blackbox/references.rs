// SPDX-License-Identifier: Apache-2.0
//! References across namespaces: a grant that comes or goes counts within a second.

use std::time::{Duration, Instant};

use rcgen::PKCS_ECDSA_P256_SHA256;
use torana_tests::{Backend, Connection, Credential, KeyForm, World, client, eventually};

use super::manifests::{gateway, object, route};

fn grant(from: &str, to: &str) -> String {
    let spec = format!("from: [{{group: gateway.networking.k8s.io, {from}}}], to: [{{group: \"\", {to}}}]");
    object("gateway.networking.k8s.io/v1beta1", "ReferenceGrant", "other/grant", &spec)
}

/// Waits for what must come true within a second.
fn within_a_second(what: &str, condition: impl FnMut() -> bool) {
    let start = Instant::now();
    assert!(eventually(condition), "{what}");
    assert!(start.elapsed() < Duration::from_secs(1), "{what} took {:?}", start.elapsed());
}

#[test]
fn a_grant_opens_a_backend_and_its_end_closes_it() {
    let backend = Backend::named("ok");
    let other = World::service("private", backend.port).replace("namespace: default", "namespace: other");
    let rule = "rules: [{backendRefs: [{name: private, namespace: other, port: 80}]}]";
    let world = World::start(&[World::gateway(), &other, &route("r", rule)].concat());
    let status = || world.status("a", "/");
    assert_eq!(status(), 500);
    for round in 0..5 {
        world.apply("grant.yaml", &grant("kind: HTTPRoute, namespace: default", "kind: Service"));
        within_a_second("the grant", || status() == 200);
        world.delete("grant.yaml");
        within_a_second("its end", || status() == 500);
        drop(backend.take());
        assert_eq!((status(), backend.seen().len()), (500, 0), "round {round}: nothing reaches the backend");
    }
    // Grants that miss by a little.
    let rows = [
        ("kind: HTTPRoute, namespace: default", "kind: Service, name: private", 200),
        ("kind: HTTPRoute, namespace: default", "kind: Service, name: public", 500),
        ("kind: HTTPRoute, namespace: other", "kind: Service", 500),
        ("kind: GRPCRoute, namespace: default", "kind: Service", 500),
        ("kind: Gateway, namespace: default", "kind: Service", 500),
        ("kind: HTTPRoute, namespace: default", "kind: Secret", 500),
        ("kind: HTTPRoute, namespace: default", "kind: Service", 200),
    ];
    for (from, to, expected) in rows {
        world.apply("grant.yaml", &grant(from, to));
        within_a_second(&format!("from {from} to {to}"), || status() == expected);
    }
    // In the namespace of the route it says nothing.
    let text = grant("kind: HTTPRoute, namespace: default", "kind: Service");
    world.apply("grant.yaml", &text.replace("namespace: other", "namespace: default"));
    within_a_second("a grant in the wrong namespace", || status() == 500);
}

#[test]
fn a_grant_opens_a_listener_and_its_end_closes_it() {
    let backend = Backend::named("ok");
    let credential = Credential::new(&PKCS_ECDSA_P256_SHA256, &["a.example.com"]);
    let secret = credential.secret("cert", KeyForm::Pkcs8).replace("namespace: default", "namespace: other");
    let listener =
        "{name: https, port: ${HTTPS}, protocol: HTTPS, tls: {certificateRefs: [{name: cert, namespace: other}]}}";
    let service = World::service("b", backend.port);
    let manifests = [gateway("edge", &[listener]), secret, service, World::catch_all("all", "b")];
    let world = World::start(&manifests.concat());
    let config = client(&[], rustls::DEFAULT_VERSIONS);
    let open = || Connection::tls(world.https, "a.example.com", &config);
    assert!(open().is_err());
    world.apply("grant.yaml", &grant("kind: Gateway, namespace: default", "kind: Secret, name: cert"));
    within_a_second("the grant", || open().is_ok());
    let mut kept = open().unwrap();
    world.delete("grant.yaml");
    within_a_second("its end", || open().is_err());
    let last = kept.get("a.example.com", "/");
    assert!(last.as_ref().map_or(true, |reply| reply.status != 200), "the listener is gone: {last:?}");
}
