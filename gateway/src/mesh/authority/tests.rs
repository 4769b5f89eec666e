// SPDX-License-Identifier: Apache-2.0

use std::time::SystemTime;

use super::super::credential::Credential;
use super::super::samples::ca::{Ca, Fault};
use super::super::samples::{API, Root, WEB, day};
use super::super::spiffe::SpiffeId;
use super::*;

/// For those that never answer.
const SOON: Duration = Duration::from_millis(300);

async fn why(config: AuthorityConfig) -> String {
    Authority::new(config).issue().await.unwrap_err().to_string()
}

#[tokio::test]
async fn an_authority_signs_a_new_key_each_time() {
    let ca = Ca::start().await;
    let authority = Authority::new(ca.config());
    let (one, two) = (authority.issue().await.unwrap(), authority.issue().await.unwrap());
    assert_eq!(one.bundle, ca.conduct().root.roots());
    assert_eq!(one.svid.roots(), &one.bundle);
    let [one, two] = [one, two].map(|issued| Credential::new(issued.svid, SystemTime::now()).unwrap());
    assert_eq!((&*one.spiffe_id, &*two.spiffe_id), (WEB, WEB));
    assert_ne!(one.key.cert, two.key.cert);
    let key = |credential: &Credential| credential.key.key.public_key().unwrap().to_vec();
    assert_ne!(key(&one), key(&two));
    assert_eq!(ca.conduct().asked, [(vec![], 86_400), (vec![], 86_400)]);
}

#[tokio::test]
async fn the_name_of_the_authority_is_that_of_its_address_unless_it_is_said_otherwise() {
    let ca = Ca::start().await;
    let named = |name: &str| AuthorityConfig { server_name: Some(name.to_owned()), ..ca.config() };
    assert!(Authority::new(named("istiod.istio-system.svc")).issue().await.is_ok());
    assert!(why(named("istiod.elsewhere.svc")).await.starts_with("TLS handshake: "));
    assert!(ca.conduct().asked.len() == 1, "whom we do not know is not shown the token");
}

#[tokio::test]
async fn an_authority_that_no_root_of_the_file_vouches_for_is_not_asked() {
    let ca = Ca::start().await;
    ca.write_roots(&Root::new("other").pem());
    assert!(why(ca.config()).await.starts_with("TLS handshake: "));
    assert!(ca.conduct().asked.is_empty());
    ca.write_roots(&ca.conduct().root.pem());
    assert!(Authority::new(ca.config()).issue().await.is_ok());
    ca.write_roots("damaged");
    assert!(why(ca.config()).await.ends_with("root-cert.pem: it holds no PEM certificate"));
}

#[tokio::test]
async fn token_and_cluster_are_told_and_the_token_is_read_each_time() {
    let ca = Ca::start().await;
    let authority = Authority::new(ca.config());
    assert!(authority.issue().await.is_ok());
    "second".clone_into(&mut ca.conduct().token);
    let refused = "the authority says: request authenticate failure (Unauthenticated)";
    assert_eq!(why(ca.config()).await, refused);
    ca.write_token("second");
    assert!(authority.issue().await.is_ok());
    assert_eq!(why(AuthorityConfig { cluster_id: "east".to_owned(), ..ca.config() }).await, refused);
    ca.write_token("");
    assert_eq!(why(ca.config()).await, "the token: it is empty");
}

#[tokio::test]
async fn an_answer_that_is_no_identity_is_refused() {
    let ca = Ca::start().await;
    for (fault, expected) in [
        (Fault::Unavailable, "the authority says: the CA isnot ready (Unavailable)"),
        (Fault::OnlyTheLeaf, "the authority's answer has 1 parts: there must be a certificate and a root"),
        (Fault::AnotherKey, "the authority's answer: tls.key does not fit the first certificate of tls.crt"),
        (Fault::NoPem, "the authority's answer: tls.crt holds no PEM certificate"),
    ] {
        ca.conduct().fault = Some(fault);
        assert_eq!(why(ca.config()).await, expected);
    }
    ca.conduct().fault = Some(Fault::TooMuch);
    assert!(why(ca.config()).await.contains("(OutOfRange)"), "{}", why(ca.config()).await);
    ca.conduct().fault = None;
    "spiffe://cluster.local/web".clone_into(&mut ca.conduct().identity);
    assert!(why(ca.config()).await.contains("is not spiffe://DOMAIN/ns/NAMESPACE/sa/ACCOUNT"));
}

#[tokio::test]
async fn an_authority_that_says_nothing_is_left() {
    let ca = Ca::start().await;
    ca.conduct().fault = Some(Fault::Silence);
    let authority = Authority { deadline: SOON, ..Authority::new(ca.config()) };
    assert_eq!(authority.issue().await.unwrap_err().to_string(), "no answer within 300ms");
    let nowhere = Authority::new(AuthorityConfig { endpoint: "127.0.0.1:1".to_owned(), ..ca.config() });
    assert!(nowhere.issue().await.unwrap_err().to_string().starts_with("127.0.0.1:1: "));
}

#[tokio::test]
async fn whom_we_take_ourselves_for_is_told_and_another_s_certificate_refused() {
    let ca = Ca::start().await;
    let config = |uri: &str| AuthorityConfig { identity: Some(SpiffeId::parse(uri).unwrap()), ..ca.config() };
    assert!(Authority::new(config(WEB)).issue().await.is_ok());
    assert_eq!(ca.conduct().asked, [(vec![WEB.to_owned()], 86_400)]);
    assert_eq!(why(config(API)).await, format!("the authority's certificate is for {WEB}, and not for {API}"));
    let renamed = config("spiffe://new.local/ns/default/sa/web");
    assert!(Authority::new(renamed).issue().await.is_ok(), "a trust domain may be renamed");
}

#[tokio::test]
async fn roots_are_what_ends_the_answer() {
    let ca = Ca::start().await;
    let (second, third) = (Root::new("second"), Root::new("third"));
    ca.conduct().more_roots = vec![format!("{}{}", second.pem(), third.pem())];
    let issued = Authority::new(ca.config()).issue().await.unwrap();
    assert_eq!(issued.svid.roots().len(), 3);
    let credential = Credential::new(issued.svid, SystemTime::now()).unwrap();
    assert_eq!(credential.key.cert.len(), 1, "a root is not shown");
    // What another has signed is an intermediate, and shown.
    let between = second.sign(&["between.example"], day(), &rcgen::KeyPair::generate().unwrap());
    ca.conduct().more_roots = vec![between, third.pem()];
    let issued = Authority::new(ca.config()).issue().await.unwrap();
    assert_eq!(issued.svid.roots().len(), 2);
    let credential = Credential::new(issued.svid, SystemTime::now()).unwrap();
    assert_eq!(credential.key.cert.len(), 2);
}
