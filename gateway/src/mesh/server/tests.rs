// SPDX-License-Identifier: Apache-2.0

use std::time::SystemTime;

use rustls::{ClientConfig, HandshakeKind};

use super::super::client::AlpnClass;
use super::super::credential::Credential;
use super::super::samples::{API, Root, WEB, day, shake};
use super::*;

const OLD: &str = "spiffe://old.local/ns/default/sa/web";

fn peers() -> Arc<[PeerName]> {
    [PeerName::Uri(API.to_owned())].into()
}

fn aliases(aliases: &[&str]) -> Vec<String> {
    aliases.iter().map(|alias| (*alias).to_owned()).collect()
}

#[test]
fn a_client_must_be_of_our_trust_domain_or_of_an_alias() {
    let root = Root::new("root");
    let ours = root.credential(API);
    for (client, known, good) in [
        (WEB, &[][..], true),
        (OLD, &[], false),
        (OLD, &["old.local"], true),
        (OLD, &["other.local", "old.local"], true),
        (WEB, &["old.local"], true),
        ("spiffe://cluster.local.evil/ns/default/sa/web", &["old.local"], false),
    ] {
        let config = root.credential(client).client(&peers(), AlpnClass::Http2);
        let shaken = shake(&config, &ours.server(&aliases(known)));
        assert_eq!(shaken.is_ok(), good, "{client} with {known:?}: {shaken:?}");
    }
}

#[test]
fn a_client_without_a_certificate_of_the_mesh_is_refused() {
    let (root, other) = (Root::new("root"), Root::new("other"));
    let server = root.credential(API).server(&[]);
    let svid = other.issue(&[WEB], day()).svid(&other).with_roots(root.roots());
    let stranger = Credential::new(svid, SystemTime::now()).unwrap();
    assert!(shake(&stranger.client(&peers(), AlpnClass::Http1), &server).is_err());
    let mut nobody = ClientConfig::clone(&root.credential(WEB).client(&peers(), AlpnClass::Http1));
    assert!(shake(&Arc::new(nobody.clone()), &server).is_ok());
    nobody.client_auth_cert_resolver = Arc::new(NoCertificate);
    nobody.resumption = rustls::client::Resumption::disabled();
    assert!(shake(&Arc::new(nobody), &server).is_err());
}

#[derive(Debug)]
struct NoCertificate;

impl rustls::client::ResolvesClientCert for NoCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<rustls::sign::CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

#[test]
fn what_everybody_knows_is_agreed_on_before_istio_s_own() {
    let root = Root::new("root");
    let (server, client) = (root.credential(API).server(&[]), root.credential(WEB));
    for (class, expected) in
        [(AlpnClass::Http1, &b"http/1.1"[..]), (AlpnClass::Http2, b"h2"), (AlpnClass::Tcp, b"istio")]
    {
        assert_eq!(shake(&client.client(&peers(), class), &server).unwrap().alpn.as_deref(), Some(expected));
    }
    let mut exchange = ClientConfig::clone(&client.client(&peers(), AlpnClass::Tcp));
    exchange.alpn_protocols.insert(0, b"istio-peer-exchange".to_vec());
    assert_eq!(shake(&Arc::new(exchange), &server).unwrap().alpn.as_deref(), Some(&b"istio"[..]));
}

#[test]
fn a_server_is_made_once_for_its_aliases_and_few_are_kept() {
    let ours = Root::new("root").credential(API);
    let one = ours.server(&aliases(&["a"]));
    assert!(Arc::ptr_eq(&one, &ours.server(&aliases(&["a"]))));
    assert!(!Arc::ptr_eq(&one, &ours.server(&[])));
    for at in 0..MOST * 2 {
        ours.server(&[at.to_string()]);
    }
    assert!(!Arc::ptr_eq(&one, &ours.server(&aliases(&["a"]))));
}

#[test]
fn clients_sessions_end_with_the_generation() {
    let root = Root::new("root");
    let config = root.credential(WEB).client(&peers(), AlpnClass::Http2);
    let (ours, next) = (root.credential(API), root.credential(API));
    let kind = |ours: &Credential| shake(&config, &ours.server(&[])).unwrap().kind;
    assert_eq!(kind(&ours), HandshakeKind::Full);
    assert_eq!(kind(&ours), HandshakeKind::Resumed);
    assert_eq!(kind(&next), HandshakeKind::Full);
}
