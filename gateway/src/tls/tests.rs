// SPDX-License-Identifier: Apache-2.0

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, SignatureAlgorithm};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ServerConnection, SignatureScheme};
use rustls_pki_types::ServerName;

use torana_ir::{CipherSuite, ClientValidationMode, Protocol, TlsVersion, TrustBundle, TrustBundleKey, TrustSource};

use super::*;
use crate::samples::{Trusting, handshake, listener_key};

fn secret(name: &str) -> CertificateKey {
    CertificateKey { namespace: "n".into(), name: name.into() }
}

fn certificate(secret_name: &str, host: &str, algorithm: &'static SignatureAlgorithm) -> Arc<Certificate> {
    let key = KeyPair::generate_for(algorithm).unwrap();
    let cert = CertificateParams::new(vec![host.to_owned()]).unwrap().self_signed(&key).unwrap();
    let pem = key.serialize_pem();
    Arc::new(Certificate::from_pem(secret(secret_name), cert.pem().as_bytes(), pem.as_bytes()).unwrap())
}

fn certificates(list: &[&Arc<Certificate>]) -> Certificates {
    list.iter().map(|one| (one.key.clone(), Arc::clone(one))).collect()
}

fn listener(name: &str, hostname: &str, secrets: &[&str]) -> Listener {
    let tls = Tls::new(secrets.iter().map(|name| secret(name)).collect());
    let hostname = HostPattern::parse(hostname).unwrap();
    Listener { protocol: Protocol::Https(tls), hostname, ..Listener::new(listener_key(name), 443) }
}

fn build(listeners: &[Listener], certificates: &Certificates, previous: Option<&ServerTls>) -> ServerTls {
    ServerTls::build(listeners, Material { certificates, bundles: &Bundles::new() }, previous)
}

fn selected(tls: &ServerTls, sni: Option<&str>) -> Option<String> {
    tls.select(sni).map(|(key, _)| key.name.clone())
}

const ECDSA: SignatureScheme = SignatureScheme::ECDSA_NISTP256_SHA256;
const RSA: SignatureScheme = SignatureScheme::RSA_PSS_SHA256;

fn client(schemes: &[SignatureScheme]) -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting(schemes.to_vec())))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

/// A handshake in memory: what the client saw, or what the server refused with.
fn shake(tls: &ServerTls, sni: &'static str, client: &Arc<ClientConfig>) -> Result<Seen, rustls::Error> {
    let (_, config) = tls.select(Some(sni)).expect("a listener");
    let mut server = ServerConnection::new(config).unwrap();
    let mut client = ClientConnection::new(Arc::clone(client), ServerName::try_from(sni).unwrap()).unwrap();
    handshake(&mut client, &mut server)?;
    Ok(Seen {
        leaf: client.peer_certificates().unwrap()[0].to_vec(),
        alpn: client.alpn_protocol().map(<[u8]>::to_vec),
        kind: client.handshake_kind().unwrap(),
    })
}

struct Seen {
    leaf: Vec<u8>,
    alpn: Option<Vec<u8>>,
    kind: HandshakeKind,
}

fn leaf(certificate: &Certificate) -> Vec<u8> {
    certificate.certified().unwrap().cert[0].to_vec()
}

#[test]
fn the_most_specific_listener_has_the_name() {
    let all = [
        listener("any", "", &[]),
        listener("com", "*.com", &[]),
        listener("b", "*.b.com", &[]),
        listener("exact", "a.b.com", &[]),
    ];
    let tls = build(&all, &Certificates::new(), None);
    let rows = [
        (Some("a.b.com"), "exact"),
        (Some("A.B.COM"), "exact"),
        (Some("a.b.com."), "exact"),
        (Some("c.b.com"), "b"),
        (Some("d.c.b.com"), "b"),
        (Some("b.com"), "com"),
        (Some("com"), "any"),
        (Some("a.org"), "any"),
        (None, "any"),
    ];
    for (sni, expected) in rows {
        assert_eq!(selected(&tls, sni).as_deref(), Some(expected), "{sni:?}");
    }
}

#[test]
fn a_name_of_nobody_gets_nobodys_certificate() {
    let tls = build(&[listener("b", "*.b.com", &[])], &Certificates::new(), None);
    for sni in [None, Some("b.com"), Some("a.org"), Some(""), Some("."), Some("..b.com")] {
        let expected = (sni == Some("..b.com")).then_some("b");
        assert_eq!(selected(&tls, sni).as_deref(), expected, "{sni:?}");
    }
}

#[test]
fn of_two_listeners_with_one_hostname_the_first_is_served() {
    let all = [listener("one", "a.com", &[]), listener("two", "a.com", &[]), listener("three", "b.com", &[])];
    let tls = build(&all, &Certificates::new(), None);
    assert_eq!(selected(&tls, Some("a.com")).as_deref(), Some("one"));
    assert_eq!(selected(&tls, Some("b.com")).as_deref(), Some("three"));
}

#[test]
fn the_certificate_suits_the_name_and_then_the_client() {
    let ecdsa = certificate("ecdsa", "a.com", &PKCS_ECDSA_P256_SHA256);
    let rsa = certificate("rsa", "a.com", &PKCS_RSA_SHA256);
    let other = certificate("other", "*.b.com", &PKCS_ECDSA_P256_SHA256);
    let all = [listener("any", "", &["ecdsa", "missing", "rsa", "other"])];
    let tls = build(&all, &certificates(&[&ecdsa, &rsa, &other]), None);
    let served = |sni, schemes: &[SignatureScheme]| shake(&tls, sni, &client(schemes)).unwrap().leaf;
    assert_eq!(served("a.com", &[ECDSA, RSA]), leaf(&ecdsa));
    assert_eq!(served("a.com", &[RSA]), leaf(&rsa));
    assert_eq!(served("x.b.com", &[ECDSA, RSA]), leaf(&other));
    assert_eq!(served("x.b.com", &[RSA]), leaf(&rsa), "the name is lost, the connection is not");
    assert_eq!(served("y.x.b.com", &[ECDSA]), leaf(&ecdsa), "a wildcard is one label, and the first is served");
    assert_eq!(shake(&tls, "a.com", &client(&[ECDSA])).unwrap().alpn.as_deref(), Some(&b"h2"[..]));
}

#[test]
fn a_name_that_is_obtained_on_demand_is_served_no_others_certificate() {
    let (a, wild) =
        (certificate("a", "a.example", &PKCS_ECDSA_P256_SHA256), certificate("w", "*.w.example", &PKCS_RSA_SHA256));
    let on_demand = Tls { on_demand: true, ..Tls::new(vec![secret("a"), secret("w"), secret("absent")]) };
    let https = Listener { protocol: Protocol::Https(on_demand), ..listener("https", "", &[]) };
    let tls = build(&[https, listener("fixed", "fixed.example", &["a"])], &certificates(&[&a, &wild]), None);
    let lacking = |name| tls.lacks(name).map(|key| key.name.as_str());
    assert_eq!([lacking("a.example"), lacking("b.w.example"), lacking("fixed.example")], [None; 3]);
    assert_eq!([lacking("b.example"), lacking("w.example"), lacking("c.b.w.example")], [Some("https"); 3]);
    let both = client(&[ECDSA, RSA]);
    assert_eq!(shake(&tls, "a.example", &both).unwrap().leaf, leaf(&a));
    assert_eq!(shake(&tls, "b.w.example", &both).unwrap().leaf, leaf(&wild));
    assert!(shake(&tls, "b.example", &both).is_err());
    assert!(
        shake(&tls, "a.example", &client(&[RSA])).is_err(),
        "of the name, but of a key that the client cannot check"
    );
}

#[test]
fn without_a_certificate_the_handshake_is_refused() {
    let tls = build(&[listener("any", "", &["missing"])], &Certificates::new(), None);
    assert!(shake(&tls, "a.com", &client(&[ECDSA])).is_err());
}

#[test]
fn an_old_version_is_refused_where_1_3_is_asked_for() {
    let ecdsa = certificate("ecdsa", "a.com", &PKCS_ECDSA_P256_SHA256);
    let with = |edit: fn(&mut Tls)| {
        let mut listener = listener("any", "", &["ecdsa"]);
        let Protocol::Https(tls) = &mut listener.protocol else { unreachable!() };
        edit(tls);
        listener
    };
    let old = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting(vec![ECDSA])))
        .with_no_client_auth();
    let old = Arc::new(old);
    let table = certificates(&[&ecdsa]);
    let takes = |listener: Listener, client| shake(&build(&[listener], &table, None), "a.com", client).is_ok();
    assert!(takes(with(|_| {}), &old));
    assert!(!takes(with(|tls| tls.min_version = TlsVersion::V1_3), &old));
    // A suite of the other kind of key, one of this, and none at all.
    assert!(!takes(with(|tls| tls.suites = Some(vec![CipherSuite::RsaAes128])), &old));
    assert!(takes(with(|tls| tls.suites = Some(vec![CipherSuite::RsaAes128, CipherSuite::EcdsaAes128])), &old));
    assert!(!takes(with(|tls| tls.suites = Some(Vec::new())), &old));
    // Whoever speaks both falls back, and where nothing is left is told so.
    let both = client(&[ECDSA]);
    assert!(takes(with(|tls| tls.max_version = Some(TlsVersion::V1_2)), &both));
    let nothing = with(|tls| (tls.min_version, tls.max_version) = (TlsVersion::V1_3, Some(TlsVersion::V1_2)));
    assert!(!takes(nothing, &both));
}

#[test]
fn sessions_are_resumed_across_generations_and_never_across_listeners() {
    let one = certificate("one", "*.com", &PKCS_ECDSA_P256_SHA256);
    let all = [listener("a", "a.com", &["one"]), listener("b", "b.com", &["one"])];
    let table = certificates(&[&one]);
    let first = build(&all, &table, None);
    let client = client(&[ECDSA]);
    assert_eq!(shake(&first, "a.com", &client).unwrap().kind, HandshakeKind::Full);
    let second = build(&all, &table, Some(&first));
    assert!(Arc::ptr_eq(&first.select(Some("a.com")).unwrap().1, &second.select(Some("a.com")).unwrap().1));
    assert_eq!(shake(&second, "a.com", &client).unwrap().kind, HandshakeKind::Resumed);
    // rustls keeps tickets by name; a client that presents a ticket of `a` to `b` gets a full handshake.
    let (ticket_key_a, ticket_key_b) =
        (&second.select(Some("a.com")).unwrap().1, &second.select(Some("b.com")).unwrap().1);
    let ticket = ticket_key_a.ticketer.encrypt(b"session").unwrap();
    assert_eq!(ticket_key_a.ticketer.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
    assert_eq!(ticket_key_b.ticketer.decrypt(&ticket), None);
}

#[test]
fn a_new_certificate_makes_a_new_configuration_for_its_listener_only() {
    let (one, two) =
        (certificate("one", "a.com", &PKCS_ECDSA_P256_SHA256), certificate("two", "b.com", &PKCS_ECDSA_P256_SHA256));
    let all = [listener("a", "a.com", &["one"]), listener("b", "b.com", &["two"])];
    let first = build(&all, &certificates(&[&one, &two]), None);
    let renewed = certificate("one", "a.com", &PKCS_ECDSA_P256_SHA256);
    let second = build(&all, &certificates(&[&renewed, &two]), Some(&first));
    let config = |tls: &ServerTls, name| tls.select(Some(name)).unwrap().1;
    assert!(!Arc::ptr_eq(&config(&first, "a.com"), &config(&second, "a.com")));
    assert!(Arc::ptr_eq(&config(&first, "b.com"), &config(&second, "b.com")));
    assert_eq!(shake(&second, "a.com", &client(&[ECDSA])).unwrap().leaf, leaf(&renewed));
}

/// An authority whose subject is the same as every other's, as in the conformance suite.
struct Authority(rcgen::Issuer<'static, KeyPair>, String);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, "gatewayapi");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.serial_number = Some(2024.into());
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self(rcgen::Issuer::new(params, key), pem)
    }

    fn bundle(&self) -> Bundles {
        let key = bundle_key();
        Bundles::from([(key.clone(), Arc::new(TrustBundle::from_pem(key, self.1.as_bytes()).unwrap()))])
    }

    /// How a client shakes hands that has a certificate of this authority.
    fn client(&self) -> Arc<ClientConfig> {
        let mut params = CertificateParams::default();
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &self.0).unwrap().der().clone();
        let key = rustls_pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::clone(provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap().dangerous();
        let builder = builder.with_custom_certificate_verifier(Arc::new(Trusting(vec![ECDSA])));
        Arc::new(builder.with_client_auth_cert(vec![leaf], key).unwrap())
    }
}

fn bundle_key() -> TrustBundleKey {
    TrustBundleKey { source: TrustSource::ConfigMap, namespace: "n".into(), name: "ca".into() }
}

fn asking(mode: ClientValidationMode) -> Listener {
    let mut listener = listener("any", "", &["one"]);
    let Protocol::Https(tls) = &mut listener.protocol else { unreachable!() };
    tls.client = Some(ClientValidation { mode, bundles: vec![bundle_key()], forwarded: false });
    listener
}

#[test]
fn clients_are_told_apart_by_who_signed_their_certificates_not_by_names() {
    let one = certificates(&[&certificate("one", "a.com", &PKCS_ECDSA_P256_SHA256)]);
    let (ours, theirs, nobodys) = (Authority::new(), Authority::new(), Bundles::new());
    let bundles = ours.bundle();
    let rows = [
        (ClientValidationMode::AllowValidOnly, &bundles, [true, false, false]),
        (ClientValidationMode::AllowInsecureFallback, &bundles, [true, true, true]),
        (ClientValidationMode::AllowValidOnly, &nobodys, [false, false, false]),
        (ClientValidationMode::AllowInsecureFallback, &nobodys, [true, true, true]),
        (ClientValidationMode::AllowValidOrNone, &bundles, [true, false, true]),
        (ClientValidationMode::AllowValidOrNone, &nobodys, [false, false, false]),
    ];
    for (mode, bundles, expected) in rows {
        let tls = ServerTls::build(&[asking(mode)], Material { certificates: &one, bundles }, None);
        let let_in = [ours.client(), theirs.client(), client(&[ECDSA])].map(|one| shake(&tls, "a.com", &one).is_ok());
        assert_eq!(let_in, expected, "{mode:?}");
    }
}

#[test]
fn a_session_is_not_resumed_past_a_change_of_authorities() {
    let one = certificates(&[&certificate("one", "a.com", &PKCS_ECDSA_P256_SHA256)]);
    let (old, new) = (Authority::new(), Authority::new());
    let client = old.client();
    let listeners = [asking(ClientValidationMode::AllowValidOnly)];
    let (before, after) = (old.bundle(), new.bundle());
    let material = |bundles| Material { certificates: &one, bundles };
    let first = ServerTls::build(&listeners, material(&before), None);
    assert_eq!(shake(&first, "a.com", &client).unwrap().kind, HandshakeKind::Full);
    let same = ServerTls::build(&listeners, material(&before), Some(&first));
    assert_eq!(shake(&same, "a.com", &client).unwrap().kind, HandshakeKind::Resumed);
    let other = ServerTls::build(&listeners, material(&after), Some(&same));
    assert!(shake(&other, "a.com", &client).is_err(), "the ticket would have let it in");
    assert_eq!(shake(&other, "a.com", &new.client()).unwrap().kind, HandshakeKind::Full);
}

// === what the proxy makes for itself ===

fn pending(name: &str, hostname: &str, secrets: &[&str]) -> Listener {
    let mut listener = listener(name, hostname, secrets);
    let Protocol::Https(tls) = &mut listener.protocol else { unreachable!() };
    tls.placeholder = true;
    listener
}

/// Common name and DNS names.
fn says(leaf: &[u8]) -> (String, Vec<String>) {
    let (_, parsed) = x509_parser::parse_x509_certificate(leaf).unwrap();
    let name = parsed.subject().iter_common_name().next().unwrap().as_str().unwrap().to_owned();
    let san = parsed.subject_alternative_name().unwrap();
    let names = san.iter().flat_map(|san| &san.value.general_names).map(|name| match name {
        x509_parser::extensions::GeneralName::DNSName(name) => (*name).to_owned(),
        other => panic!("{other:?}"),
    });
    (name, names.collect())
}

#[test]
fn a_placeholder_is_shown_until_the_certificate_is_there() {
    let all = [pending("a", "a.com", &["one"])];
    let client = client(&[ECDSA]);
    let first = build(&all, &Certificates::new(), None);
    let shown = shake(&first, "a.com", &client).unwrap();
    assert_eq!(says(&shown.leaf), ("pending ACME".to_owned(), vec!["a.com".to_owned()]));
    assert_eq!(shown.alpn.as_deref(), Some(&b"h2"[..]));
    let one = certificate("one", "a.com", &PKCS_ECDSA_P256_SHA256);
    let second = build(&all, &certificates(&[&one]), Some(&first));
    let real = shake(&second, "a.com", &client).unwrap();
    assert_eq!((real.leaf, real.kind), (leaf(&one), HandshakeKind::Full), "no session of before is resumed");
    let third = build(&all, &Certificates::new(), Some(&second));
    assert_eq!(says(&shake(&third, "a.com", &client).unwrap().leaf).0, "pending ACME");
}

#[test]
fn a_placeholder_has_the_name_of_its_listener() {
    let all = [pending("any", "", &[]), pending("wild", "*.b.com", &["lost"])];
    let tls = build(&all, &Certificates::new(), None);
    let names = |sni| says(&shake(&tls, sni, &client(&[ECDSA])).unwrap().leaf).1;
    assert_eq!(names("a.com"), Vec::<String>::new());
    assert_eq!(names("x.b.com"), ["*.b.com"]);
}

#[test]
fn a_placeholder_outlives_other_changes_and_is_made_anew_for_another_name() {
    let none = Certificates::new();
    let first = build(&[pending("a", "a.com", &[]), pending("b", "b.com", &[])], &none, None);
    let second = build(&[pending("a", "a.com", &[]), pending("b", "*.b.com", &[])], &none, Some(&first));
    let config = |tls: &ServerTls, name| tls.select(Some(name)).unwrap().1;
    assert!(Arc::ptr_eq(&config(&first, "a.com"), &config(&second, "a.com")));
    let shown = shake(&second, "x.b.com", &client(&[ECDSA])).unwrap().leaf;
    assert_eq!(says(&shown).1, ["*.b.com"]);
}

#[test]
fn a_placeholder_lets_nobody_in_whom_nobody_can_vouch_for() {
    let mut listener = asking(ClientValidationMode::AllowValidOnly);
    let Protocol::Https(tls) = &mut listener.protocol else { unreachable!() };
    tls.placeholder = true;
    let (ours, none) = (Authority::new(), Certificates::new());
    let takes = |bundles: &Bundles| {
        let tls = ServerTls::build([&listener], Material { certificates: &none, bundles }, None);
        [ours.client(), client(&[ECDSA])].map(|one| shake(&tls, "a.com", &one).is_ok())
    };
    assert_eq!(takes(&ours.bundle()), [true, false]);
    assert_eq!(takes(&Bundles::new()), [false, false]);
}

#[test]
fn a_proof_is_what_rfc_8737_asks_for() {
    let mut server = ServerConnection::new(challenge("a.com", "token.thumb").unwrap()).unwrap();
    let mut asking = ClientConfig::clone(&client(&[ECDSA]));
    asking.alpn_protocols = vec![ACME_TLS.to_vec()];
    let mut client = ClientConnection::new(Arc::new(asking), ServerName::try_from("a.com").unwrap()).unwrap();
    handshake(&mut client, &mut server).unwrap();
    assert_eq!(client.alpn_protocol(), Some(ACME_TLS));
    let leaf = client.peer_certificates().unwrap()[0].to_vec();
    assert_eq!(says(&leaf).1, ["a.com"]);
    let (_, parsed) = x509_parser::parse_x509_certificate(&leaf).unwrap();
    assert_eq!(parsed.subject(), parsed.issuer());
    let proof = parsed.extensions().iter().find(|one| one.oid.to_id_string() == "1.3.6.1.5.5.7.1.31").unwrap();
    assert!(proof.critical);
    // OCTET STRING of 32 bytes.
    let expected = [&[0x04, 0x20][..], &torana_ir::sha256(b"token.thumb")].concat();
    assert_eq!(proof.value, expected);
}
