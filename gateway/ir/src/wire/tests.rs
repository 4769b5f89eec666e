// SPDX-License-Identifier: Apache-2.0

use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::snapshot::tests::{resources, snapshot};
use crate::{Backend, BackendKey, Certificate, CertificateKey, Resource, Snapshot};

fn arrived(upsert: &Upsert) -> Upsert {
    Upsert::decode(upsert.encode_to_vec().as_slice()).unwrap()
}

fn backend() -> Resource {
    let key = BackendKey::tcp("a/\"b", "ä", 80);
    Resource::Backend(Backend::new(key).into())
}

fn upsert(key: &str, body: &str) -> Upsert {
    Upsert { key: key.to_owned(), hash: Bytes::new(), body: Bytes::copy_from_slice(body.as_bytes()) }
}

/// A word as the controller reads it.
fn upward(word: Word) -> Upward {
    Upward::decode(Upward { word: Some(word) }.encode_to_vec().as_slice()).unwrap()
}

proptest! {
    #[test]
    fn a_snapshot_that_travelled_is_the_same(sent in snapshot()) {
        let mut got = Snapshot::default();
        for resource in resources(&sent) {
            let encoded = encode(&resource);
            let decoded = decode(&arrived(&encoded)).unwrap();
            prop_assert_eq!(encode(&decoded).hash, encoded.hash, "a proxy finds the same hash");
            got.apply(crate::Delta { upserts: vec![decoded], removals: vec![] });
        }
        prop_assert_eq!(got, sent);
    }

    #[test]
    fn hostile_bytes_are_refused_and_no_more(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        // Whether they are refused is not the question.
        let _ = (Delta::decode(bytes.as_slice()).is_ok(), Upward::decode(bytes.as_slice()).is_ok());
        let _ = key(&String::from_utf8_lossy(&bytes)).is_ok();
        let bad = Upsert { body: bytes.into(), ..encode(&backend()) };
        prop_assert!(decode(&bad).is_err());
    }

    #[test]
    fn damaged_bodies_never_panic(sent in snapshot(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        for resource in resources(&sent) {
            let good = encode(&resource);
            let mut body = good.body.to_vec();
            let at = at.index(body.len());
            body[at] = byte;
            if let Ok(other) = decode(&Upsert { body: body.into(), ..good.clone() }) {
                prop_assert_eq!(other.key(), resource.key());
            }
            let short = Upsert { body: good.body.slice(..at), ..good };
            prop_assert!(decode(&short).is_err());
        }
    }
}

#[test]
fn names_cannot_be_confused_in_a_key() {
    let resource = backend();
    assert_eq!(key(&key_text(&resource.key())), Ok(resource.key()));
}

#[test]
fn unknown_fields_are_ignored_and_unknown_kinds_are_not_readable() {
    let good = encode(&backend());
    let text = String::from_utf8(good.body.to_vec()).unwrap();
    let later = text.replacen('{', "{\"invented\":{\"later\":[1]},", 1);
    assert_eq!(decode(&upsert(&good.key, &later)), Ok(backend()));
    let unknown = decode(&upsert("{\"Invention\":{\"name\":\"a\"}}", "{}")).unwrap_err();
    assert!(unknown.to_string().contains("unknown variant `Invention`"), "{unknown}");
}

#[test]
fn a_body_under_a_wrong_key_is_refused() {
    let other = BackendKey::tcp("n", "other", 80);
    let key = key_text(&crate::ResourceKey::Backend(other));
    assert!(decode(&Upsert { key, ..encode(&backend()) }).is_err());
}

#[test]
fn bodies_come_only_through_the_checked_constructors() {
    use crate::{Filter, HostPattern, Mirror, PathRewrite, Redirect};
    fn refused<T: serde::de::DeserializeOwned>(text: &str) {
        assert!(serde_json::from_str::<T>(text).is_err(), "{text}");
    }
    refused::<HostPattern>(r#"{"Exact":"a b"}"#);
    refused::<PathRewrite>(r#"{"Full":"/a\r\nb"}"#);
    refused::<crate::HeaderName>(r#""a:b""#);
    refused::<crate::Regex>(r#""(""#);
    let redirect = |scheme: &str, status: u16| {
        format!(r#"{{"scheme":{scheme},"hostname":null,"path":null,"port":null,"status":{status}}}"#)
    };
    assert!(serde_json::from_str::<Redirect>(&redirect("null", 301)).is_ok());
    refused::<Redirect>(&redirect("null", 200));
    refused::<Redirect>(&redirect(r#""javascript""#, 301));
    let target = r#"{"Invalid":{"reason":"BackendNotFound","message":""}}"#;
    let mirror = |divisor: u32| format!(r#"{{"target":{target},"numerator":1,"denominator":{divisor}}}"#);
    assert!(serde_json::from_str::<Mirror>(&mirror(1)).is_ok());
    refused::<Mirror>(&mirror(0));
    let host = |token: &str| {
        let key = r#"{"gateway":{"namespace":"n","name":"g"},"host":"a.example"}"#;
        format!(r#"{{"key":{key},"answers":{{"{token}":"{token}.x"}},"tls_alpn":null,"reserves_path":true}}"#)
    };
    assert!(serde_json::from_str::<crate::AcmeHost>(&host("t")).is_ok());
    refused::<crate::AcmeHost>(&host("a/b"));
    refused::<Filter>(&format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000)));
}

#[test]
fn a_private_key_travels_and_is_never_printed() {
    let made = rcgen::generate_simple_self_signed(vec!["a.example".to_owned()]).unwrap();
    let pem = made.signing_key.serialize_pem();
    let key = CertificateKey { namespace: "n".to_owned(), name: "c".to_owned() };
    let certificate = Certificate::from_pem(key, made.cert.pem().as_bytes(), pem.as_bytes()).unwrap();
    let sent = encode(&Resource::Certificate(certificate.into()));
    let Ok(Resource::Certificate(got)) = decode(&arrived(&sent)) else { panic!("a certificate") };
    assert_eq!(got.private().expose(), pem);
    let delta = Delta { upserts: vec![sent.clone()], ..Delta::default() };
    let secret = pem.lines().nth(1).unwrap();
    let damaged = decode(&Upsert { body: sent.body.slice(..sent.body.len() - 1), ..sent.clone() }).unwrap_err();
    let bytes = format!("{:?}", secret.as_bytes());
    for printed in [format!("{sent:?}"), format!("{delta:?}"), format!("{damaged:?} {damaged}")] {
        assert!(!printed.contains(secret) && !printed.contains(bytes.trim_matches(['[', ']'])), "{printed}");
    }
}

#[test]
fn words_arrive() {
    let known = vec![Known { key: "k".to_owned(), hash: Bytes::from_static(&[7; 16]) }];
    let hello = Hello { name: "p".to_owned(), version: "1".to_owned(), known, complete: true };
    assert_eq!(upward(Word::Hello(hello.clone())).word, Some(Word::Hello(hello)));
    let ack = Ack { generation: 7, rejected: vec![Rejected { key: "k".to_owned(), reason: "r".to_owned() }] };
    assert_eq!(upward(Word::Ack(ack.clone())).word, Some(Word::Ack(ack)));
    let gateway = crate::GatewayId { namespace: "n".to_owned(), name: "g".to_owned() };
    let listener = crate::ListenerKey { gateway, set: None, name: "https".to_owned() };
    let wanted = crate::Demand::new(listener, "shop.example").unwrap();
    let Some(Word::Demand(got)) = upward(Word::Demand(demand(&wanted))).word else { panic!("a demand") };
    assert_eq!(demanded(&got), Some(wanted));
    for (listener, host) in [(key_text(&backend().key()), "shop.example"), (got.listener, "192.0.2.1")] {
        assert_eq!(demanded(&super::Demand { listener, host: host.to_owned() }), None, "{host}");
    }
}
