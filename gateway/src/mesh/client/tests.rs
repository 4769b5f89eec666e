// SPDX-License-Identifier: Apache-2.0

use std::time::{Duration, SystemTime};

use rustls::server::Acceptor;
use rustls::{ClientConnection, HandshakeKind, ServerConfig};
use torana_ir::DnsName;

use super::super::credential::Credential;
use super::super::samples::{API, Leaf, Root, Shaken, Validity, WEB, day, name, shake};
use super::*;
use crate::tls::backends::failure;

const CLASSES: [AlpnClass; 4] = [AlpnClass::Http1, AlpnClass::Http2, AlpnClass::Tcp, AlpnClass::Hbone];

fn uri(uri: &str) -> Arc<[PeerName]> {
    [PeerName::Uri(uri.to_owned())].into()
}

fn domain(domain: &str) -> PeerName {
    PeerName::TrustDomain(domain.to_owned())
}

/// What is offered in a ClientHello, and the SNI.
fn hello(config: &Arc<ClientConfig>, called: &'static str) -> (Vec<Vec<u8>>, Option<String>) {
    let mut client = ClientConnection::new(Arc::clone(config), name(called)).unwrap();
    let mut wire = Vec::new();
    client.write_tls(&mut wire).unwrap();
    let mut acceptor = Acceptor::default();
    acceptor.read_tls(&mut wire.as_slice()).unwrap();
    let accepted = acceptor.accept().map_err(|(error, _)| error).unwrap().unwrap();
    let hello = accepted.client_hello();
    let offered = hello.alpn().into_iter().flatten().map(<[u8]>::to_vec).collect();
    (offered, hello.server_name().map(str::to_owned))
}

#[test]
fn a_class_offers_the_list_that_sidecars_choose_by() {
    let credential = Root::new("root").credential(API);
    let sni = "outbound_.80_._.web.default.svc.cluster.local";
    for (class, expected) in [
        (AlpnClass::Http1, vec!["istio-http/1.1", "istio", "http/1.1"]),
        (AlpnClass::Http2, vec!["istio-h2", "istio", "h2"]),
        (AlpnClass::Tcp, vec!["istio"]),
    ] {
        let (offered, sent) = hello(&credential.client(&uri(WEB), class), sni);
        assert_eq!(offered, expected.iter().map(|it| it.as_bytes().to_vec()).collect::<Vec<_>>());
        assert_eq!(sent.as_deref(), Some(sni));
    }
}

#[test]
fn a_tunnel_is_called_by_no_name_and_speaks_tls_1_3_only() {
    let root = Root::new("root");
    let credential = root.credential(API);
    let tunnel = credential.client(&uri(WEB), AlpnClass::Hbone);
    for called in ["web.default.svc", "10.0.0.1"] {
        assert_eq!(hello(&tunnel, called), (vec![b"h2".to_vec()], None));
    }
    let leaf = root.issue(&[WEB], day());
    assert_eq!(shake(&tunnel, &root.sidecar(&leaf, &[b"h2"])).unwrap().alpn.as_deref(), Some(&b"h2"[..]));
    let old = tls12(&leaf);
    assert!(shake(&tunnel, &old).is_err());
    assert!(shake(&credential.client(&uri(WEB), AlpnClass::Http2), &old).is_ok());
}

/// A sidecar that knows nothing newer.
fn tls12(leaf: &Leaf) -> Arc<ServerConfig> {
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider()));
    let builder = builder.with_protocol_versions(&[&TLS12]).unwrap().with_no_client_auth();
    let (chain, key) = leaf.der();
    Arc::new(builder.with_single_cert(chain, key).unwrap())
}

#[test]
fn a_sidecar_that_agrees_on_no_protocol_is_no_failure() {
    let root = Root::new("root");
    let sidecar = root.sidecar(&root.issue(&[WEB], day()), &[]);
    let credential = root.credential(API);
    for class in CLASSES {
        assert_eq!(shake(&credential.client(&uri(WEB), class), &sidecar).unwrap().alpn, None, "{class:?}");
    }
}

#[test]
fn a_sidecar_is_shown_our_certificate() {
    let root = Root::new("root");
    let credential = root.credential(API);
    let sidecar = root.sidecar(&root.issue(&[WEB], day()), &[b"istio"]);
    for class in [AlpnClass::Http1, AlpnClass::Http2, AlpnClass::Tcp] {
        let Shaken { client, alpn, .. } = shake(&credential.client(&uri(WEB), class), &sidecar).unwrap();
        assert_eq!(client, credential.key.cert);
        assert_eq!(alpn.as_deref(), Some(&b"istio"[..]));
    }
}

#[test]
fn a_peer_must_bear_one_of_the_identities_that_are_expected_of_it() {
    let root = Root::new("root");
    let credential = root.credential(API);
    let elsewhere = "spiffe://elsewhere/ns/default/sa/web";
    let alias = [PeerName::Uri(WEB.to_owned()), PeerName::Uri("spiffe://old.local/ns/default/sa/web".to_owned())];
    let dns = PeerName::Dns(DnsName::new("web.default.svc").unwrap());
    let rows: [(&str, &[PeerName], bool); 10] = [
        (WEB, &uri(WEB), true),
        (API, &uri(WEB), false),
        (elsewhere, &uri(WEB), false),
        ("spiffe://old.local/ns/default/sa/web", &uri(WEB), false),
        ("spiffe://old.local/ns/default/sa/web", &alias, true),
        (WEB, &[domain("cluster.local")], true),
        (elsewhere, &[domain("cluster.local")], false),
        (elsewhere, &[domain("cluster.local"), domain("elsewhere")], true),
        (WEB, &[dns], false),
        (WEB, &[], false),
    ];
    for (is, expected, good) in rows {
        let sidecar = root.sidecar(&root.issue(&[is], day()), &[]);
        for class in CLASSES {
            let shaken = shake(&credential.client(&expected.into(), class), &sidecar);
            assert_eq!(shaken.is_ok(), good, "{is} for {expected:?}: {shaken:?}");
            if let Err(error) = shaken {
                assert_eq!(failure(&error), "name_mismatch");
            }
        }
    }
}

#[test]
fn the_name_that_a_peer_is_called_by_proves_nothing() {
    let root = Root::new("root");
    let sidecar = root.sidecar(&root.issue(&["web.default.svc"], day()), &[]);
    let config = root.credential(API).client(&uri(WEB), AlpnClass::Http1);
    assert_eq!(failure(&shake(&config, &sidecar).unwrap_err()), "name_mismatch");
}

#[test]
fn a_peer_s_certificate_must_be_valid_and_come_from_the_mesh() {
    let (root, other, stranger) = (Root::new("root"), Root::new("other"), Root::new("stranger"));
    let svid = root.issue(&[API], day()).svid(&root);
    let both = svid.with_roots(root.roots().union(&other.roots()));
    let credential = Credential::new(both, SystemTime::now()).unwrap();
    let now = SystemTime::now();
    let hour = Duration::from_hours(1);
    let (past, future): (Validity, Validity) = ((now - hour * 2, now - hour), (now + hour, now + hour * 2));
    for (of, validity, expected) in [
        (&root, day(), None),
        (&other, day(), None),
        (&root, past, Some("expired")),
        (&root, future, Some("not_valid_yet")),
        (&stranger, day(), Some("unknown_issuer")),
    ] {
        // Our own certificate is of the first root, whoever the sidecar's is of.
        let sidecar = root.sidecar(&of.issue(&[WEB], validity), &[]);
        for class in CLASSES {
            let error = shake(&credential.client(&uri(WEB), class), &sidecar).err();
            assert_eq!(error.as_ref().map(failure), expected, "{error:?}");
        }
    }
}

#[test]
fn there_is_one_configuration_for_whom_is_expected_and_what_is_spoken() {
    let root = Root::new("root");
    let svid = root.issue(&[API], day()).svid(&root);
    let credential = Credential::new(svid.clone(), SystemTime::now()).unwrap();
    let one = credential.client(&uri(WEB), AlpnClass::Http1);
    assert!(Arc::ptr_eq(&one, &credential.client(&uri(WEB), AlpnClass::Http1)), "names count, not where they are");
    assert!(!Arc::ptr_eq(&one, &credential.client(&uri(WEB), AlpnClass::Http2)));
    assert!(!Arc::ptr_eq(&one, &credential.client(&uri(API), AlpnClass::Http1)));
    let next = Credential::new(svid, SystemTime::now()).unwrap();
    assert!(!Arc::ptr_eq(&one, &next.client(&uri(WEB), AlpnClass::Http1)), "another generation");
}

#[test]
fn of_more_configurations_than_are_kept_the_one_unused_for_longest_goes() {
    let credential = Root::new("root").credential(API);
    let peer = |at: usize| uri(&format!("spiffe://cluster.local/ns/default/sa/w{at}"));
    let get = |at: usize| credential.client(&peer(at), AlpnClass::Tcp);
    let (first, second) = (get(0), get(1));
    for at in 2..MOST {
        get(at);
    }
    assert!(Arc::ptr_eq(&first, &get(0)));
    get(MOST);
    assert!(Arc::ptr_eq(&first, &get(0)), "it was used last but one");
    assert!(!Arc::ptr_eq(&second, &get(1)), "it was used first");
    for at in 0..MOST * 2 {
        get(at);
    }
}

#[test]
fn sessions_are_resumed_in_one_configuration_and_never_across_generations() {
    let root = Root::new("root");
    let svid = root.issue(&[API], day()).svid(&root);
    let credential = Credential::new(svid.clone(), SystemTime::now()).unwrap();
    let leaf = root.issue(&[WEB], day());
    let sidecar = root.sidecar(&leaf, &[]);
    let kind = |credential: &Credential, peers: &Arc<[PeerName]>, class| {
        shake(&credential.client(peers, class), &sidecar).unwrap().kind
    };
    let any: Arc<[PeerName]> = [domain("cluster.local")].into();
    for class in CLASSES {
        assert_eq!(kind(&credential, &uri(WEB), class), HandshakeKind::Full);
        assert_eq!(kind(&credential, &uri(WEB), class), HandshakeKind::Resumed);
        assert_eq!(kind(&credential, &any, class), HandshakeKind::Full, "whom we expect is another");
    }
    assert!(shake(&credential.client(&uri(API), AlpnClass::Http1), &sidecar).is_err());
    let next = Credential::new(svid, SystemTime::now()).unwrap();
    for class in CLASSES {
        assert_eq!(kind(&next, &uri(WEB), class), HandshakeKind::Full);
    }
}
