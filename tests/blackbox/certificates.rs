// SPDX-License-Identifier: Apache-2.0
//! TLS at the edge: which certificate a client gets, in which form its key may be, which versions are spoken.

use std::sync::Arc;

use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, DEFAULT_VERSIONS, ProtocolVersion, SignatureScheme};
use torana_tests::{Backend, Connection, Credential, KeyForm, World, client, eventually};

use super::manifests::gateway;

const RSA_ONLY: [SignatureScheme; 3] =
    [SignatureScheme::RSA_PSS_SHA256, SignatureScheme::RSA_PKCS1_SHA256, SignatureScheme::RSA_PSS_SHA384];
const ECDSA_ONLY: [SignatureScheme; 2] =
    [SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::ECDSA_NISTP384_SHA384];

/// An HTTPS listener for `hostname` (empty: every one) with these Secrets.
fn listener(name: &str, hostname: &str, secrets: &[&str]) -> String {
    let host = if hostname.is_empty() { String::new() } else { format!("hostname: \"{hostname}\", ") };
    let refs: Vec<String> = secrets.iter().map(|secret| format!("{{name: {secret}}}")).collect();
    format!(
        "{{name: {name}, port: ${{HTTPS}}, protocol: HTTPS, {host}tls: {{certificateRefs: [{}]}}}}",
        refs.join(", ")
    )
}

fn world(listeners: &[String], secrets: &str) -> World {
    let listeners: Vec<&str> = listeners.iter().map(String::as_str).collect();
    let backend = Backend::named("ok");
    let service = World::service("b", backend.port);
    World::start(&[&gateway("edge", &listeners), secrets, &service, &World::catch_all("all", "b")].concat())
}

/// Which of `credentials` a client gets that asks for `name`; the request on top of it must be served.
fn served<'c>(
    world: &World,
    name: &str,
    config: &Arc<ClientConfig>,
    credentials: &[(&'c str, &Credential)],
) -> &'c str {
    let mut connection = match Connection::tls(world.https, name, config) {
        Ok(connection) => connection,
        Err(error) => panic!("{name}: {error}\n{}", world.log()),
    };
    let leaf = connection.session().unwrap().peer_certificates().unwrap()[0].clone();
    let reply = connection.get(name, "/").unwrap();
    assert_eq!((reply.status, reply.text().as_str()), (200, "ok"), "{name}");
    credentials.iter().find(|(_, credential)| credential.der() == leaf).expect("one of ours").0
}

#[test]
fn of_several_certificates_a_client_gets_one_that_it_understands() {
    let (rsa, ecdsa) = (
        Credential::new(&PKCS_RSA_SHA256, &["a.example.com"]),
        Credential::new(&PKCS_ECDSA_P256_SHA256, &["a.example.com"]),
    );
    let all = [("rsa", &rsa), ("ecdsa", &ecdsa)];
    for order in [["rsa", "ecdsa"], ["ecdsa", "rsa"]] {
        let secrets = rsa.secret("rsa", KeyForm::Pkcs8) + &ecdsa.secret("ecdsa", KeyForm::Pkcs8);
        let world = world(&[listener("https", "", &order)], &secrets);
        for versions in [&[&TLS12][..], &[&TLS13], DEFAULT_VERSIONS] {
            assert_eq!(served(&world, "a.example.com", &client(&RSA_ONLY, versions), &all), "rsa", "{order:?}");
            assert_eq!(served(&world, "a.example.com", &client(&ECDSA_ONLY, versions), &all), "ecdsa", "{order:?}");
            served(&world, "a.example.com", &client(&[], versions), &all);
        }
    }
}

#[test]
fn keys_may_be_written_in_every_form() {
    let rows = [
        ("rsa-8", &PKCS_RSA_SHA256, KeyForm::Pkcs8, "PRIVATE KEY"),
        ("rsa-1", &PKCS_RSA_SHA256, KeyForm::Pkcs1, "RSA PRIVATE KEY"),
        ("p256-8", &PKCS_ECDSA_P256_SHA256, KeyForm::Pkcs8, "PRIVATE KEY"),
        ("p256-1", &PKCS_ECDSA_P256_SHA256, KeyForm::Sec1, "EC PRIVATE KEY"),
        ("p384-8", &PKCS_ECDSA_P384_SHA384, KeyForm::Pkcs8, "PRIVATE KEY"),
        ("p384-1", &PKCS_ECDSA_P384_SHA384, KeyForm::Sec1, "EC PRIVATE KEY"),
        ("ed25519", &PKCS_ED25519, KeyForm::Pkcs8, "PRIVATE KEY"),
    ];
    let host = |name: &str| format!("{name}.example.com");
    let credentials: Vec<_> =
        rows.iter().map(|(name, algorithm, ..)| (*name, Credential::new(algorithm, &[&host(name)]))).collect();
    let mut secrets = String::new();
    for ((name, credential), (_, _, form, label)) in credentials.iter().zip(&rows) {
        assert!(credential.key(*form).starts_with(&format!("-----BEGIN {label}-----")), "{name}");
        secrets += &credential.secret(name, *form);
    }
    let listeners: Vec<String> = rows.iter().map(|(name, ..)| listener(name, &host(name), &[name])).collect();
    let world = world(&listeners, &secrets);
    let all: Vec<(&str, &Credential)> = credentials.iter().map(|(name, credential)| (*name, credential)).collect();
    for (name, ..) in rows {
        for versions in [&[&TLS12][..], &[&TLS13]] {
            assert_eq!(served(&world, &host(name), &client(&[], versions), &all), name);
        }
    }
}

#[test]
fn the_most_specific_listener_answers_a_server_name() {
    let names = ["exact", "wild", "deep", "rest"];
    let credentials: Vec<Credential> = names.iter().map(|_| Credential::new(&PKCS_ECDSA_P256_SHA256, &["x"])).collect();
    let secrets: String = names.iter().zip(&credentials).map(|(name, it)| it.secret(name, KeyForm::Pkcs8)).collect();
    let listeners = [
        listener("rest", "", &["rest"]),
        listener("wild", "*.example.com", &["wild"]),
        listener("deep", "*.b.example.com", &["deep"]),
        listener("exact", "a.example.com", &["exact"]),
    ];
    let world = world(&listeners, &secrets);
    let all: Vec<(&str, &Credential)> = names.into_iter().zip(&credentials).collect();
    let config = client(&[], DEFAULT_VERSIONS);
    let rows = [
        ("a.example.com", "exact"),
        ("A.Example.COM", "exact"),
        ("x.a.example.com", "wild"),
        ("b.example.com", "wild"),
        ("x.b.example.com", "deep"),
        ("example.com", "rest"),
        ("example.org", "rest"),
        ("127.0.0.1", "rest"),
    ];
    for (name, expected) in rows {
        assert_eq!(served(&world, name, &config, &all), expected, "{name}");
    }
}

#[test]
fn both_versions_are_spoken_and_nothing_older_and_a_stranger_ends_in_the_handshake() {
    let credential = Credential::new(&PKCS_ECDSA_P256_SHA256, &["a.example.com"]);
    let world = world(&[listener("https", "a.example.com", &["c"])], &credential.secret("c", KeyForm::Pkcs8));
    for (versions, expected) in [
        (&[&TLS12][..], ProtocolVersion::TLSv1_2),
        (&[&TLS13], ProtocolVersion::TLSv1_3),
        (DEFAULT_VERSIONS, ProtocolVersion::TLSv1_3),
    ] {
        let connection = Connection::tls(world.https, "a.example.com", &client(&[], versions)).unwrap();
        assert_eq!(connection.session().unwrap().protocol_version(), Some(expected));
    }
    assert!(Connection::tls(world.https, "b.example.com", &client(&[], DEFAULT_VERSIONS)).is_err(), "no listener");
    // A ClientHello of TLS 1.1 (RFC 4346): version 3.2, one cipher suite, no extensions.
    let mut hello = vec![0x16, 3, 1, 0, 45, 1, 0, 0, 41, 3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0, 0x2f, 1, 0]);
    let mut old = Connection::open(world.https).unwrap();
    old.send(&hello).unwrap();
    let answer = old.rest().unwrap();
    assert!(answer.first() == Some(&0x15) && answer.len() <= 7, "an alert, then the end: {answer:?}");
}

#[test]
fn a_renewed_certificate_is_served_and_open_connections_stay() {
    let [first, second] = [(); 2].map(|()| Credential::new(&PKCS_ECDSA_P256_SHA256, &["a.example.com"]));
    let world = world(&[listener("https", "", &["c"])], "");
    let config = client(&[], DEFAULT_VERSIONS);
    assert!(Connection::tls(world.https, "a.example.com", &config).is_err(), "no certificate, no listener");
    world.apply("secret.yaml", &first.secret("c", KeyForm::Pkcs8));
    assert!(eventually(|| Connection::tls(world.https, "a.example.com", &config).is_ok()));
    let mut kept = Connection::tls(world.https, "a.example.com", &config).unwrap();
    assert_eq!(kept.get("a.example.com", "/").unwrap().status, 200);
    world.apply("secret.yaml", &second.secret("c", KeyForm::Pkcs8));
    let all = [("first", &first), ("second", &second)];
    assert!(eventually(|| served(&world, "a.example.com", &config, &all) == "second"));
    assert_eq!(kept.get("a.example.com", "/").unwrap().status, 200);
    // A key that does not fit is said, and what was served before is served on.
    let broken = second.secret("c", KeyForm::Pkcs8).replace(&format!("{:?}", second.pem), &format!("{:?}", first.pem));
    world.apply("secret.yaml", &broken);
    assert!(eventually(|| world.log().contains("Secret default/c is not usable")), "{}", world.log());
    assert!(world.log().contains("what it held before is served"), "{}", world.log());
    assert_eq!(served(&world, "a.example.com", &config, &all), "second");
    world.apply("secret.yaml", &second.secret("c", KeyForm::Pkcs8).replace("BEGIN", "GARBAGE"));
    assert!(eventually(|| world.log().contains("holds no PEM")), "{}", world.log());
    assert_eq!(served(&world, "a.example.com", &config, &all), "second");
    world.apply("secret.yaml", &first.secret("c", KeyForm::Pkcs8));
    assert!(eventually(|| served(&world, "a.example.com", &config, &all) == "first"));
    world.delete("secret.yaml");
    assert!(eventually(|| Connection::tls(world.https, "a.example.com", &config).is_err()), "deleted is not renewed");
}
