// SPDX-License-Identifier: Apache-2.0
use super::*;

/// Made with openssl; each asks to be somebody else.
macro_rules! request {
    ($name:literal) => {
        ($name, include_str!(concat!("../../../testdata/requests/", $name, ".pem")))
    };
}

fn key_of(pem: &str) -> Vec<u8> {
    let der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes()).unwrap();
    let (_, request) = X509CertificationRequest::from_der(&der).unwrap();
    request.certification_request_info.subject_pki.raw.to_vec()
}

#[test]
fn keys_that_everybody_can_check_are_taken_as_they_are() {
    for (name, pem) in [request!("p256"), request!("p384"), request!("rsa-2048")] {
        let key = ProvenKey::read(pem).unwrap_or_else(|why| panic!("{name}: {why}"));
        assert_eq!(key.subject_public_key_info(), key_of(pem), "{name}");
    }
}

#[test]
fn weak_and_odd_keys_are_refused() {
    for ((name, pem), why) in [
        (request!("rsa-1024"), "1024 bits"),
        (request!("rsa-2048-sha1"), "SHA-1"),
        (request!("rsa-pss"), "neither of"),
        (request!("p256-sha1"), "SHA-1"),
        (request!("p256-compressed"), "neither of"),
        (request!("p521"), "neither of"),
        (request!("secp256k1"), "neither of"),
        (request!("ed25519"), "neither of"),
    ] {
        let refused = ProvenKey::read(pem).expect_err(name).to_string();
        assert!(refused.contains(why), "{name}: {refused}");
    }
}

#[test]
fn what_is_no_request_is_refused() {
    let (_, good) = request!("p256");
    let der = CertificateSigningRequestDer::from_pem_slice(good.as_bytes()).unwrap();
    for (text, why) in [
        (String::new(), "PEM"),
        ("garbage".to_owned(), "PEM"),
        (good.replace("CERTIFICATE REQUEST", "CERTIFICATE"), "PEM"),
        ("-".repeat(LONGEST + 1), "limit"),
    ] {
        let refused = ProvenKey::read(&text).expect_err(why).to_string();
        assert!(refused.contains(why), "{refused}");
    }
    let longer = [&*der, b"\x30\x00"].concat();
    for (der, why) in [(&b""[..], "#10"), (b"garbage", "#10"), (&der[..der.len() - 1], "#10"), (&longer, "behind it")] {
        let refused = ProvenKey::proven(&der.into()).expect_err(why).to_string();
        assert!(refused.contains(why), "{refused}");
    }
}

#[test]
fn the_key_of_somebody_else_is_refused() {
    let own = rcgen::KeyPair::generate().unwrap();
    let made = rcgen::CertificateParams::default().serialize_request(&own).unwrap();
    assert!(ProvenKey::read(&made.pem().unwrap()).is_ok());
    // The same request with another key in it, of which only the public half is known.
    let (mut der, theirs) = (made.der().to_vec(), rcgen::KeyPair::generate().unwrap());
    let bits = rcgen::PublicKeyData::der_bytes(&own);
    let at = der.windows(bits.len()).position(|window| window == bits).unwrap();
    der[at..at + bits.len()].copy_from_slice(rcgen::PublicKeyData::der_bytes(&theirs));
    let refused = ProvenKey::proven(&der.into()).unwrap_err().to_string();
    assert!(refused.contains("not signed with its own key"), "{refused}");
}

#[test]
fn no_byte_of_what_is_signed_can_be_changed() {
    let (_, good) = request!("p256");
    let der = CertificateSigningRequestDer::from_pem_slice(good.as_bytes()).unwrap().to_vec();
    let (_, request) = X509CertificationRequest::from_der(&der).unwrap();
    let signed = request.certification_request_info.raw;
    let begin = der.windows(signed.len()).position(|window| window == signed).unwrap();
    for at in begin..begin + signed.len() {
        let mut changed = der.clone();
        changed[at] ^= 1;
        assert!(ProvenKey::proven(&changed.into()).is_err(), "byte {at}");
    }
}
