// SPDX-License-Identifier: Apache-2.0

use rcgen::KeyPair;

use super::super::samples::{API, Leaf as Issued, Root, WEB, day};
use super::*;

fn at(root: &Root, names: &[&str], now: SystemTime) -> Result<Arc<Credential>, CredentialError> {
    Credential::new(root.issue(names, day()).svid(root), now)
}

#[test]
fn a_credential_says_who_we_are_and_for_how_long() {
    let root = Root::new("root");
    let credential = at(&root, &[WEB], SystemTime::now()).unwrap();
    assert_eq!((&*credential.spiffe_id, &*credential.trust_domain), (WEB, "cluster.local"));
    assert_eq!(credential.roots.len(), 1);
    let life = credential.not_after.duration_since(credential.not_before).unwrap();
    assert_eq!(life, Duration::from_hours(24) + Duration::from_mins(1));
    assert!(credential.id > 0 && credential.serial.contains(':'), "{credential:?}");
}

#[test]
fn a_certificate_must_have_one_uri_and_that_must_name_a_workload() {
    let root = Root::new("root");
    let now = SystemTime::now();
    let none = || at(&root, &["web.default.svc"], now).unwrap_err();
    assert_eq!(none(), CredentialError::Uris(0));
    assert_eq!(at(&root, &[], now).unwrap_err(), CredentialError::Uris(0));
    assert_eq!(at(&root, &[WEB, API], now).unwrap_err(), CredentialError::Uris(2));
    assert!(matches!(at(&root, &["spiffe://td/workload"], now), Err(CredentialError::Id(_))));
    assert!(at(&root, &["web.default.svc", WEB], now).is_ok(), "other names do no harm");
}

#[test]
fn a_certificate_must_be_valid_now() {
    let root = Root::new("root");
    let now = SystemTime::now();
    let moment = |seconds: u64| at(&root, &[WEB], now + Duration::from_secs(seconds));
    assert!(moment(86_390).is_ok());
    assert!(matches!(moment(86_400), Err(CredentialError::Expired(_))));
    assert!(matches!(at(&root, &[WEB], now - Duration::from_secs(70)), Err(CredentialError::NotYetValid(_))));
}

#[test]
fn without_an_authority_there_is_no_identity() {
    let root = Root::new("root");
    let svid = root.issue(&[WEB], day()).svid(&root).with_roots(Roots::default());
    assert_eq!(Credential::new(svid, SystemTime::now()).unwrap_err(), CredentialError::NoRoots);
}

#[test]
fn a_key_must_fit_and_is_never_printed() {
    let root = Root::new("root");
    let Issued { chain, key } = root.issue(&[WEB], day());
    let other = KeyPair::generate().unwrap().serialize_pem();
    let wrong = Svid::new(chain.as_bytes(), other.as_bytes(), root.roots()).unwrap_err();
    assert_eq!(wrong, CredentialError::Certificate(torana_ir::CertificateError::KeyMismatch));
    let svid = Svid::new(chain.as_bytes(), key.as_bytes(), root.roots()).unwrap();
    let printed = format!("{svid:?} {:?} {wrong} {wrong:?}", Credential::new(svid.clone(), SystemTime::now()));
    for secret in [key, other].iter().flat_map(|key| key.lines().filter(|line| !line.starts_with('-'))) {
        assert!(!printed.contains(secret), "{printed}");
    }
}

#[test]
fn another_certificate_and_other_authorities_are_another_generation() {
    let (root, other) = (Root::new("root"), Root::new("other"));
    let svid = root.issue(&[WEB], day()).svid(&root);
    let credential = Credential::new(svid.clone(), SystemTime::now()).unwrap();
    assert!(credential.is_of(&svid));
    let wider = svid.with_roots(root.roots().union(&other.roots()));
    assert!(!credential.is_of(&wider));
    assert!(!credential.is_of(&root.issue(&[WEB], day()).svid(&root)));
    let next = Credential::new(wider, SystemTime::now()).unwrap();
    assert!(next.id > credential.id);
    assert_eq!((next.roots.len(), &next.serial), (2, &credential.serial));
}
