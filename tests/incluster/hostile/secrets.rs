// SPDX-License-Identifier: Apache-2.0
//! E02: a certificate that is missing, or lies in another namespace. A grant that comes or goes counts within a second.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::PKCS_ECDSA_P256_SHA256;
use rustls::{ClientConfig, DEFAULT_VERSIONS};
use torana_tests::{Connection, Credential, KeyForm, client};

use super::super::apply;
use super::{Neighbour, Other, kubectl, must_say, until};

const FIRST: &str = "/status/listeners/1/conditions";
const SECOND: &str = "/status/listeners/2/conditions";

fn opens(address: SocketAddr, name: &str, config: &Arc<ClientConfig>) -> bool {
    Connection::tls_to(address, name, config).is_ok()
}

#[test]
fn a_missing_secret_closes_its_listener_only_and_a_grant_counts_at_once() {
    let Some(lab) = super::super::lab() else { return };
    let other = Other::of(&lab);
    let tls = |reference: &str| format!("tls: {{certificateRefs: [{{{reference}}}]}}");
    let listeners = format!(
        ", {{name: missing, port: 443, protocol: HTTPS, hostname: missing.example, {}}}, {{name: foreign, port: 443, \
         protocol: HTTPS, hostname: foreign.example, {}}}",
        tls("name: nobody"),
        tls(&format!("name: web, namespace: {}", other.0))
    );
    let secret = Credential::new(&PKCS_ECDSA_P256_SHA256, &["foreign.example"]).secret("web", KeyForm::Pkcs8);
    let neighbour = Neighbour::settle(&lab, 1, &listeners, "");
    apply(&other.0, &secret.replace(", namespace: default", ""));
    let address: SocketAddr = format!("{}:443", neighbour.address).parse().unwrap();
    let config = client(&[], DEFAULT_VERSIONS);
    let edge = ("gateway", "edge");
    let told = ["spec.listeners[1].tls.certificateRefs[0]", "there is no Secret", "create it"];
    must_say(&lab, edge, FIRST, ("ResolvedRefs", "False", "InvalidCertificateRef"), &told);
    let told =
        ["spec.listeners[2].tls.certificateRefs[0]", "may not refer to Secret", "add a ReferenceGrant in namespace"];
    must_say(&lab, edge, SECOND, ("ResolvedRefs", "False", "RefNotPermitted"), &told);
    assert!(!opens(address, "foreign.example", &config) && !opens(address, "missing.example", &config));
    let grant = format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: ReferenceGrant\nmetadata: {{name: grant}}\nspec: {{from: \
         [{{group: gateway.networking.k8s.io, kind: Gateway, namespace: {}}}], to: [{{group: \"\", kind: Secret}}]}}\n",
        lab.namespace
    );
    let (mut live, mut stopped) = (Duration::MAX, Duration::MAX);
    for _ in 0..3 {
        apply(&other.0, &grant);
        live = live.min(timed("it opens", || opens(address, "foreign.example", &config)));
        kubectl(&["-n", &other.0, "delete", "referencegrant", "grant"]);
        stopped = stopped.min(timed("it closes", || !opens(address, "foreign.example", &config)));
    }
    println!("a grant is live after {live:?}, and gone after {stopped:?}");
    assert!(live < Duration::from_secs(1) && stopped < Duration::from_secs(1), "{live:?} {stopped:?}");
    must_say(&lab, edge, SECOND, ("ResolvedRefs", "False", "RefNotPermitted"), &told);
    neighbour.must_be_unharmed();
}

/// How long it took after what was just done.
fn timed(what: &str, is_so: impl FnMut() -> bool) -> Duration {
    let begin = Instant::now();
    until(what, is_so);
    begin.elapsed()
}
