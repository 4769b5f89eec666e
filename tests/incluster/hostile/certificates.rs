// SPDX-License-Identifier: Apache-2.0
//! E04: Secrets that hold no certificate that can be used. Each closes its own listener and says why; what was good is
//! served on.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;

use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};
use rustls::{ClientConfig, DEFAULT_VERSIONS, SignatureScheme};
use torana_tests::{Connection, Credential, KeyForm, client};

use crate::house::source::root;

use super::{Neighbour, events, metrics, must_say, until};

const BAD: (&str, &str, &str) = ("ResolvedRefs", "False", "InvalidCertificateRef");
const GOOD: (&str, &str, &str) = ("ResolvedRefs", "True", "ResolvedRefs");

/// Why a Secret cannot be used, as its listener says.
const ROWS: [(&str, &str); 4] = [
    ("mismatch", "tls.key does not fit the first certificate of tls.crt"),
    ("garbage", "tls.crt is not valid: there is no line that ends its block (\"NOTHING\")"),
    ("small", "tls.key is not usable"),
    ("misordered", "tls.key does not fit the first certificate of tls.crt"),
];

fn secret(name: &str, chain: &str, key: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\ntype: kubernetes.io/tls\nstringData: {{tls.crt: \
         {chain:?}, tls.key: {key:?}}}\n---\n"
    )
}

fn testdata(name: &str) -> String {
    std::fs::read_to_string(root().join("controller/testdata/certificates").join(name)).unwrap()
}

/// RSA of 512 bits, which our own software does not make.
fn small() -> String {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:512", "-nodes", "-subj", "/CN=small", "-keyout", "key", "-out", "chain"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read = |file: &str| std::fs::read_to_string(folder.path().join(file)).unwrap();
    secret("small", &read("chain"), &read("key"))
}

fn listener(name: &str, secrets: &[&str]) -> String {
    let references: String = secrets.iter().fold(String::new(), |mut text, secret| {
        write!(text, "{{name: {secret}}}, ").unwrap();
        text
    });
    format!(
        ", {{name: {name}, port: 443, protocol: HTTPS, hostname: {name}.example, tls: {{certificateRefs: [{references}]}}}}"
    )
}

fn leaf(address: SocketAddr, name: &str, config: &Arc<ClientConfig>) -> Option<Vec<u8>> {
    let connection = Connection::tls_to(address, &format!("{name}.example"), config).ok()?;
    Some(connection.session()?.peer_certificates()?.first()?.to_vec())
}

#[test]
fn a_secret_that_cannot_be_used_closes_its_listener_only_and_what_was_good_is_kept() {
    let Some(lab) = super::super::lab() else { return };
    let [one, two] = [(); 2].map(|()| Credential::new(&PKCS_ECDSA_P256_SHA256, &["good.example"]));
    let rsa = Credential::new(&PKCS_RSA_SHA256, &["pair.example"]);
    let (first, second) = (one.key(KeyForm::Pkcs8), two.key(KeyForm::Pkcs8));
    let secrets = [
        secret("good", &one.pem, &first),
        secret("mismatch", &one.pem, &second),
        secret("garbage", "-----BEGIN NOTHING-----", &first),
        small(),
        // The issuer first, its subject behind.
        secret("misordered", &format!("{}{}", two.pem, one.pem), &first),
        secret("expired", &testdata("expired.crt"), &testdata("expired.key")),
        rsa.secret("rsa", KeyForm::Pkcs1).replace(", namespace: default", ""),
        secret("ecdsa", &two.pem, &second),
    ]
    .concat();
    let mut listeners: String = ROWS.iter().map(|(name, _)| listener(name, &[name])).collect();
    listeners +=
        &(listener("good", &["good"]) + &listener("expired", &["expired"]) + &listener("pair", &["rsa", "ecdsa"]));
    let neighbour = Neighbour::settle(&lab, 1, &listeners, &secrets);
    let address: SocketAddr = format!("{}:443", neighbour.address).parse().unwrap();
    let config = client(&[], DEFAULT_VERSIONS);
    let of = |index: usize| format!("/status/listeners/{}/conditions", index + 1);
    for (index, (name, why)) in ROWS.iter().enumerate() {
        let field = format!("spec.listeners[{}].tls.certificateRefs[0]", index + 1);
        let told =
            [&*field, &format!("Secret {}/{name} is not usable", lab.namespace), why, "put a certificate chain into"];
        must_say(&lab, ("gateway", "edge"), &of(index), BAD, &told);
        assert_eq!(leaf(address, name, &config), None, "{name}");
    }
    for index in ROWS.len()..ROWS.len() + 3 {
        must_say(&lab, ("gateway", "edge"), &of(index), GOOD, &[]);
    }
    assert_eq!(leaf(address, "good", &config).as_deref(), Some(&*one.der()));
    let pair = |scheme| leaf(address, "pair", &client(&[scheme], DEFAULT_VERSIONS));
    assert_eq!(pair(SignatureScheme::RSA_PSS_SHA256).as_deref(), Some(&*rsa.der()));
    assert_eq!(pair(SignatureScheme::ECDSA_NISTP256_SHA256).as_deref(), Some(&*two.der()));
    expired_is_served_and_told(&lab, address, &config);
    // What was good is served on until something better comes.
    lab.apply(&secret("good", &one.pem, &second));
    must_say(&lab, ("gateway", "edge"), &of(ROWS.len()), BAD, &["does not fit", "what it held before is served"]);
    assert_eq!(leaf(address, "good", &config).as_deref(), Some(&*one.der()));
    lab.apply(&secret("good", &two.pem, &second));
    until("the next good one is served", || leaf(address, "good", &config).as_deref() == Some(&*two.der()));
    must_say(&lab, ("gateway", "edge"), &of(ROWS.len()), GOOD, &[]);
    neighbour.must_be_unharmed();
}

/// Clients refuse it, and decide so themselves; whoever runs the Gateway is told by an Event and a metric.
fn expired_is_served_and_told(lab: &super::Lab, address: SocketAddr, config: &Arc<ClientConfig>) {
    assert!(leaf(address, "expired", config).is_some());
    until("an Event tells of it", || {
        let told = events(lab, "Gateway", "edge");
        told.contains("expired at 2021-01-01") && told.contains("renew it")
    });
    let shown = metrics(&lab.proxy_addresses("edge")[0], 15021);
    let mut lines = shown.lines().filter(|line| line.starts_with("torana_certificate_expiry_timestamp_seconds{"));
    let expired = lines.find(|line| line.contains("listener=\"expired\"")).unwrap_or_else(|| panic!("{shown}"));
    assert!(expired.ends_with(" 1609459200"), "{expired}");
}
