// SPDX-License-Identifier: Apache-2.0
use rcgen::{KeyPair, PublicKeyData};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::X509Certificate;

use super::*;

/// In the year 2026.
const NOW: i64 = 20_600 * DAY + 12_345;
const IDENTITY: &str = "spiffe://cluster.local/ns/shop/sa/cart";
const HOUR: Duration = Duration::from_hours(1);

/// A request that asks to be everybody, with a new key.
fn request() -> (String, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let names = vec!["torana-mesh-ca.torana.svc".to_owned(), "*.example".to_owned()];
    let mut params = CertificateParams::new(names).unwrap();
    params.subject_alt_names.push(SanType::URI("spiffe://cluster.local/ns/other/sa/admin".try_into().unwrap()));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    (params.serialize_request(&key).unwrap().pem().unwrap(), key)
}

fn signed(authority: &Authority, lifetime: Duration, now: i64) -> Issued {
    authority.sign(&request().0, IDENTITY, lifetime, now).unwrap()
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

fn parsed<R>(pem: &str, look: impl FnOnce(&X509Certificate<'_>) -> R) -> R {
    let der = der(pem);
    let (rest, certificate) = x509_parser::parse_x509_certificate(&der).unwrap();
    assert!(rest.is_empty());
    look(&certificate)
}

/// Whether a peer that trusts `bundle` takes the certificate at `now`, both as a server's and as a client's.
fn is_taken(leaf: &str, bundle: &str, now: i64) -> bool {
    let roots: Vec<_> = CertificateDer::pem_slice_iter(bundle.as_bytes()).collect::<Result<_, _>>().unwrap();
    let anchors: Vec<_> = roots.iter().map(|root| webpki::anchor_from_trusted_cert(root).unwrap()).collect();
    let (leaf, time) = (der(leaf), UnixTime::since_unix_epoch(Duration::from_secs(now.try_into().unwrap())));
    let leaf = EndEntityCert::try_from(&leaf).unwrap();
    let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.all;
    let verdicts = [KeyUsage::server_auth(), KeyUsage::client_auth()]
        .map(|usage| leaf.verify_for_usage(algorithms, &anchors, &[], time, usage, None, None).is_ok());
    assert_eq!(verdicts[0], verdicts[1]);
    verdicts[0]
}

#[test]
fn a_certificate_says_who_it_is_for_and_nothing_of_what_the_request_says() {
    let authority = Authority::new(NOW).unwrap();
    let (csr, key) = request();
    let issued = authority.sign(&csr, IDENTITY, HOUR, NOW).unwrap();
    assert_eq!(issued.chain.len(), 2);
    assert_eq!(issued.chain[1], authority.bundle());
    parsed(&issued.chain[0], |leaf| {
        assert_eq!(leaf.public_key().raw, key.subject_public_key_info());
        assert_eq!(leaf.subject().iter().count(), 0);
        let san = leaf.subject_alternative_name().unwrap().unwrap();
        assert!(san.critical);
        assert_eq!(san.value.general_names, [GeneralName::URI(IDENTITY)]);
        let usage = leaf.key_usage().unwrap().unwrap();
        assert!(usage.critical && usage.value.digital_signature());
        assert_eq!(usage.value.flags.count_ones(), 1);
        let extended = leaf.extended_key_usage().unwrap().unwrap().value;
        assert!(extended.server_auth && extended.client_auth && !extended.any && extended.other.is_empty());
        assert!(!leaf.is_ca());
        let issuer = leaf.issuer().iter_common_name().next().unwrap().as_str().unwrap();
        assert_eq!(issuer, "Torana mesh CA 20600");
        let has_issuer = |it: &ParsedExtension<'_>| matches!(it, ParsedExtension::AuthorityKeyIdentifier(_));
        assert!(leaf.extensions().iter().any(|it| has_issuer(it.parsed_extension())));
        assert_eq!(leaf.validity().not_before.timestamp(), NOW - 60);
        assert_eq!(leaf.validity().not_after.timestamp(), NOW + 3600);
        assert_eq!(issued.not_after, NOW + 3600);
        assert_eq!(leaf.raw_serial_as_string().replace(':', ""), issued.serial);
    });
}

#[test]
fn serial_numbers_are_not_those_of_keys() {
    let authority = Authority::new(NOW).unwrap();
    let (csr, _) = request();
    let serials: std::collections::BTreeSet<_> =
        (0..100).map(|_| authority.sign(&csr, IDENTITY, HOUR, NOW).unwrap().serial).collect();
    assert_eq!(serials.len(), 100);
    assert!(serials.iter().all(|serial| serial.len() == 2 * SERIAL));
}

#[test]
fn a_peer_takes_it_as_a_server_and_as_a_client_while_it_lasts() {
    let authority = Authority::new(NOW).unwrap();
    let leaf = &signed(&authority, HOUR, NOW).chain[0];
    let bundle = authority.bundle();
    assert!(is_taken(leaf, &bundle, NOW) && is_taken(leaf, &bundle, NOW - 59) && is_taken(leaf, &bundle, NOW + 3599));
    assert!(!is_taken(leaf, &bundle, NOW - 61) && !is_taken(leaf, &bundle, NOW + 3601));
    assert!(!is_taken(leaf, &Authority::new(NOW).unwrap().bundle(), NOW), "another root of the same name");
}

#[test]
fn keys_of_every_kind_that_is_taken_are_certified() {
    let authority = Authority::new(NOW).unwrap();
    for csr in [
        include_str!("../../../testdata/requests/p256.pem"),
        include_str!("../../../testdata/requests/p384.pem"),
        include_str!("../../../testdata/requests/rsa-2048.pem"),
    ] {
        let issued = authority.sign(csr, IDENTITY, HOUR, NOW).unwrap();
        assert!(is_taken(&issued.chain[0], &authority.bundle(), NOW));
    }
    let bad = authority.sign(include_str!("../../../testdata/requests/rsa-1024.pem"), IDENTITY, HOUR, NOW);
    assert!(matches!(bad, Err(SignError::Unfit(_))), "{bad:?}");
}

#[test]
fn roots_rotate_without_a_moment_at_which_anybody_is_not_trusted() {
    let terms = MeshRoot::TERMS;
    let before = Authority::new(NOW).unwrap();
    let renewal = NOW + terms.life - terms.renewal + DAY;
    assert!(!before.due(renewal - 2 * DAY) && before.due(renewal));
    let after = before.rotated(renewal).unwrap();
    assert_eq!(after.bundle().matches("BEGIN CERTIFICATE").count(), 2);
    let taken = |leaf: &Issued, by: &Authority, at: i64| is_taken(&leaf.chain[0], &by.bundle(), at);
    // As long as anybody may know the old roots only, the old one signs.
    let last = renewal + terms.overlap - 2 * DAY;
    for now in [renewal, last] {
        let (of_before, of_after) = (signed(&before, LONGEST_LIFETIME, now), signed(&after, LONGEST_LIFETIME, now));
        let end = now + 89 * DAY;
        for at in [now, end] {
            assert!(taken(&of_before, &after, at) && taken(&of_after, &before, at), "{now} {at}");
        }
    }
    // Then the new one does; whoever asked again in time knows it, and trusts the old one still.
    let now = renewal + terms.overlap + DAY;
    let new = signed(&after, LONGEST_LIFETIME, now);
    assert!(taken(&new, &after, now) && !taken(&new, &before, now));
    assert!(taken(&signed(&before, LONGEST_LIFETIME, last), &after, now));
    assert!(i64::try_from(LONGEST_LIFETIME.as_secs()).unwrap() < terms.overlap, "nobody asks later than that");
    // The old one goes when it ends.
    let end = NOW + terms.life;
    let alone = after.rotated(end).unwrap();
    assert_eq!(alone.bundle().matches("BEGIN CERTIFICATE").count(), 1);
    assert!(taken(&signed(&after, HOUR, end - DAY), &alone, end - DAY));
}

#[test]
fn no_certificate_outlives_its_root() {
    let authority = Authority::new(NOW).unwrap();
    let end = NOW.div_euclid(DAY) * DAY + MeshRoot::TERMS.life;
    let issued = signed(&authority, LONGEST_LIFETIME, end - 3600);
    assert_eq!(issued.not_after, end);
    let late = authority.sign(&request().0, IDENTITY, HOUR, end + 1);
    assert!(matches!(late, Err(SignError::Authority(_))), "{late:?}");
}

#[test]
fn openssl_takes_it() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(crate::clock::now()).unwrap();
    let issued = signed(&authority, HOUR, crate::clock::now());
    let (leaf, roots) = (folder.path().join("leaf.pem"), folder.path().join("roots.pem"));
    std::fs::write(&leaf, &issued.chain[0]).unwrap();
    std::fs::write(&roots, &issued.chain[1]).unwrap();
    for purpose in ["sslserver", "sslclient"] {
        let mut command = std::process::Command::new("openssl");
        command.args(["verify", "-x509_strict", "-purpose", purpose, "-CAfile"]).arg(&roots).arg(&leaf);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{purpose}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
