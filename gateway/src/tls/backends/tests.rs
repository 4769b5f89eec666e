// SPDX-License-Identifier: Apache-2.0

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConnection, HandshakeKind, RootCertStore, ServerConfig, ServerConnection};
use rustls_pki_types::PrivateKeyDer;
use torana_ir::{CertificateKey, DnsName, Trust, TrustBundle, TrustBundleKey, TrustSource};

use super::super::Certificates;
use super::super::authorities::Bundles;
use super::*;
use crate::samples::handshake;

/// An authority whose subject is the same as every other's.
struct Authority(Issuer<'static, KeyPair>, rcgen::Certificate);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "gatewayapi");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self(Issuer::new(params, key), certificate)
    }

    fn bundles(&self) -> Bundles {
        let bundle = TrustBundle::from_pem(bundle_key(), self.1.pem().as_bytes()).unwrap();
        Bundles::from([(bundle_key(), Arc::new(bundle))])
    }

    fn issue(&self, names: &[&str], end: i32) -> (CertificateDer<'static>, KeyPair) {
        let mut params = CertificateParams::default();
        let san = |name: &&str| {
            if name.contains("://") {
                SanType::URI((*name).try_into().unwrap())
            } else {
                SanType::DnsName((*name).try_into().unwrap())
            }
        };
        params.subject_alt_names = names.iter().map(san).collect();
        params.not_after = rcgen::date_time_ymd(end, 1, 1);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap().der().clone(), key)
    }

    /// A backend with a certificate for `names`. With `clients` it demands one of theirs.
    fn backend(&self, names: &[&str], end: i32, clients: Option<&Self>) -> Arc<ServerConfig> {
        let (leaf, key) = self.issue(names, end);
        let builder = ServerConfig::builder_with_provider(Arc::clone(provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let mut roots = RootCertStore::empty();
                roots.add(clients.1.der().clone()).unwrap();
                let provider = Arc::clone(provider());
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
                builder.with_client_cert_verifier(verifier)
            }
        };
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let mut config = builder.with_single_cert(vec![leaf], key).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Arc::new(config)
    }
}

fn bundle_key() -> TrustBundleKey {
    TrustBundleKey { source: TrustSource::ConfigMap, namespace: "n".into(), name: "ca".into() }
}

fn host(name: &str) -> DnsName {
    DnsName::new(name).unwrap()
}

fn origination(names: Vec<PeerName>) -> Origination {
    Origination { names, ..Origination::new(host("sni.example.com"), Trust::Bundles(vec![bundle_key()])) }
}

/// TLS that knows these authorities and no certificate.
fn originator(origination: &Origination, bundles: &Bundles) -> Originator {
    Originator::new(origination, Material { certificates: &Certificates::new(), bundles })
}

type Shaken = (HandshakeKind, Option<Vec<u8>>, Option<String>);

/// A handshake in memory: its kind, the protocol agreed on and the name the backend was called.
fn shake(
    tls: &Originator,
    identity: Option<&Arc<Identity>>,
    alpn: Alpn,
    backend: &Arc<ServerConfig>,
) -> Result<Shaken, Error> {
    call(tls, tls.server_name(), identity, alpn, backend)
}

/// The same with a backend that is called by a name.
fn call(
    tls: &Originator,
    name: ServerName<'static>,
    identity: Option<&Arc<Identity>>,
    alpn: Alpn,
    backend: &Arc<ServerConfig>,
) -> Result<Shaken, Error> {
    let mut client = ClientConnection::new(tls.config(tls.identity(identity), alpn), name).unwrap();
    let mut server = ServerConnection::new(Arc::clone(backend)).unwrap();
    handshake(&mut client, &mut server)?;
    let alpn = client.alpn_protocol().map(<[u8]>::to_vec);
    Ok((client.handshake_kind().unwrap(), alpn, server.server_name().map(str::to_owned)))
}

#[test]
fn a_certificate_must_bear_one_of_the_names() {
    let authority = Authority::new();
    let uri = "spiffe://abc.example.com/test-identity";
    let backend = authority.backend(&["abc.example.com", "*.wild.example.com", uri], 4000, None);
    let dns = |name| vec![PeerName::Dns(host(name))];
    let rows = [
        (dns("abc.example.com"), true),
        (dns("x.wild.example.com"), true),
        (dns("x.x.wild.example.com"), false),
        (dns("sni.example.com"), false),
        (vec![PeerName::Uri(uri.to_owned())], true),
        (vec![PeerName::Uri(format!("{uri}/"))], false),
        (vec![PeerName::Uri("spiffe://abc.example.com".to_owned())], false),
        (vec![PeerName::TrustDomain("abc.example.com".to_owned())], true),
        (vec![PeerName::TrustDomain("example.com".to_owned())], false),
        (vec![PeerName::TrustDomain("abc.example.co".to_owned())], false),
        (vec![PeerName::TrustDomain("abc.example.com/test-identity".to_owned())], false),
        (vec![PeerName::TrustDomain(String::new())], false),
        (vec![PeerName::Wildcard(host("wild.example.com"))], true),
        (vec![PeerName::Wildcard(host("example.com"))], false),
        (vec![PeerName::Dns(host("no.example.com")), PeerName::Uri(uri.to_owned())], true),
        (vec![], false),
    ];
    for (names, expected) in rows {
        let tls = originator(&origination(names.clone()), &authority.bundles());
        let result = shake(&tls, None, Alpn::Http1, &backend);
        assert_eq!(result.is_ok(), expected, "{names:?}: {result:?}");
        match result {
            Ok((_, _, sni)) => assert_eq!(sni.as_deref(), Some("sni.example.com")),
            Err(error) => assert_eq!(failure(&error), "name_mismatch"),
        }
    }
}

#[test]
fn a_certificate_must_come_from_one_of_the_authorities_and_be_in_force() {
    let (ours, other) = (Authority::new(), Authority::new());
    let asked = origination(vec![PeerName::Dns(host("a.com"))]);
    let rows = [
        (originator(&asked, &ours.bundles()), ours.backend(&["a.com"], 4000, None), None),
        (originator(&asked, &other.bundles()), ours.backend(&["a.com"], 4000, None), Some("bad_signature")),
        (originator(&asked, &Bundles::new()), ours.backend(&["a.com"], 4000, None), Some("unknown_issuer")),
        (originator(&asked, &ours.bundles()), ours.backend(&["a.com"], 2000, None), Some("expired")),
    ];
    for (tls, backend, expected) in rows {
        let error = shake(&tls, None, Alpn::Http1, &backend).err();
        assert_eq!(error.as_ref().map(failure), expected, "{error:?}");
    }
    let system = originator(&Origination { trust: Trust::System, ..asked }, &ours.bundles());
    assert!(shake(&system, None, Alpn::Http1, &ours.backend(&["a.com"], 4000, None)).is_err());
}

#[test]
fn the_protocol_is_fixed_before_the_handshake() {
    let authority = Authority::new();
    let backend = authority.backend(&["a.com"], 4000, None);
    let tls = originator(&origination(vec![PeerName::Dns(host("a.com"))]), &authority.bundles());
    let agreed = |alpn| shake(&tls, None, alpn, &backend).unwrap().1;
    assert_eq!(agreed(Alpn::Http1).as_deref(), Some(&b"http/1.1"[..]));
    assert_eq!(agreed(Alpn::Http2).as_deref(), Some(&b"h2"[..]));
    assert_eq!(agreed(Alpn::None), None);
}

fn secret() -> CertificateKey {
    CertificateKey { namespace: "n".into(), name: "id".into() }
}

fn certificate(authority: &Authority) -> Arc<Certificate> {
    let (leaf, key) = authority.issue(&[], 4000);
    let pem = {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(&leaf);
        format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
    };
    Arc::new(Certificate::from_pem(secret(), pem.as_bytes(), key.serialize_pem().as_bytes()).unwrap())
}

fn identity(authority: &Authority) -> Arc<Identity> {
    Identity::new(&certificate(authority)).unwrap()
}

#[test]
fn the_identity_is_shown_and_sessions_stay_with_it() {
    let authority = Authority::new();
    let backend = authority.backend(&["a.com"], 4000, Some(&authority));
    let tls = originator(&origination(vec![PeerName::Dns(host("a.com"))]), &authority.bundles());
    let (one, two) = (identity(&authority), identity(&authority));
    let kind = |identity| shake(&tls, identity, Alpn::Http1, &backend).map(|shaken| shaken.0);
    assert!(kind(None).is_err(), "nobody is shown");
    assert_eq!(kind(Some(&one)), Ok(HandshakeKind::Full));
    assert_eq!(kind(Some(&one)), Ok(HandshakeKind::Resumed));
    assert_eq!(kind(Some(&two)), Ok(HandshakeKind::Full), "another identity never meets the session");
    assert!(kind(None).is_err());
}

#[test]
fn forms_of_identities_that_are_gone_are_forgotten() {
    let authority = Authority::new();
    let tls = originator(&origination(vec![]), &authority.bundles());
    for _ in 0..10 {
        let _ = tls.config(Some(&identity(&authority)), Alpn::Http1);
    }
    let stays = identity(&authority);
    let one = tls.config(Some(&stays), Alpn::Http1);
    assert!(Arc::ptr_eq(&one, &tls.config(Some(&stays), Alpn::Http1)));
    assert_eq!(tls.made.lock().unwrap().len(), 1);
}

#[test]
fn a_backend_s_own_identity_goes_before_the_listener_s() {
    let (ours, other) = (Authority::new(), Authority::new());
    let backend = ours.backend(&["a.com"], 4000, Some(&ours));
    let asked = Origination { identity: Some(secret()), ..origination(vec![PeerName::Dns(host("a.com"))]) };
    let listener = identity(&other);
    let certificates = Certificates::from([(secret(), certificate(&ours))]);
    let bundles = ours.bundles();
    let material = Material { certificates: &certificates, bundles: &bundles };
    let tls = Originator::new(&asked, material);
    assert!(shake(&tls, Some(&listener), Alpn::Http1, &backend).is_ok());
    assert!(tls.is_of(&asked, material));
    let renewed = Certificates::from([(secret(), certificate(&ours))]);
    assert!(!tls.is_of(&asked, Material { certificates: &renewed, bundles: &bundles }), "it was renewed");
    let gone = Material { certificates: &Certificates::new(), bundles: &bundles };
    assert!(!tls.is_of(&asked, gone));
    assert!(shake(&Originator::new(&asked, gone), Some(&listener), Alpn::Http1, &backend).is_err());
}

#[test]
fn the_host_of_a_request_is_what_the_backend_is_called_and_what_its_certificate_must_say() {
    let authority = Authority::new();
    let backend = authority.backend(&["a.com"], 4000, None);
    let tls =
        originator(&Origination { follows_host: true, ..origination(vec![PeerName::Sent]) }, &authority.bundles());
    let to = |name: &str| call(&tls, tls.sni(name).unwrap().name.clone(), None, Alpn::Http1, &backend);
    assert_eq!(to("a.com").unwrap().2.as_deref(), Some("a.com"));
    assert_eq!(failure(&to("b.com").unwrap_err()), "name_mismatch");
    assert!(tls.sni("10.0.0.1").is_none(), "an address is no name");
    let fixed = originator(&origination(vec![PeerName::Sent]), &authority.bundles());
    assert!(fixed.sni("a.com").is_none());
    assert_eq!(failure(&shake(&fixed, None, Alpn::Http1, &backend).unwrap_err()), "name_mismatch");
}

#[test]
fn who_is_not_to_be_checked_is_believed() {
    let (ours, other) = (Authority::new(), Authority::new());
    let tls = originator(&Origination { trust: Trust::Unchecked, ..origination(vec![]) }, &ours.bundles());
    assert!(shake(&tls, None, Alpn::Http1, &other.backend(&["b.com"], 2000, None)).is_ok());
}
