// SPDX-License-Identifier: Apache-2.0
//! A mesh without istiod: Torana's own authority signs for its proxies, and for workloads that ask it by Istio's client.

use super::super::load::Load;
use super::answer::Answer;
use super::capture::Capture;
use super::rotation::{HOST, SHORT, edge, front, rotations};
use super::{Workload, ask, identity, lab, script, status, until};

/// Where the chart puts it.
const AUTHORITY: &str = "torana-mesh-ca.torana-system.svc";
/// Nothing is taken without a certificate.
const STRICT: &str = "
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: STRICT}}
---
";

#[test]
fn torana_s_own_authority_signs_for_both_ends_and_no_request_fails_over_rotations() {
    let Some(lab) = lab() else { return };
    let edge = edge(SHORT, "").replace("podPatch:", "mesh: {identity: Torana}, podPatch:");
    assert!(edge.contains("identity: Torana"));
    lab.apply(&(front("my-app") + &edge + STRICT));
    until("the roots are where proxies of that mesh are", || lab.find("configmap", "torana-mesh-ca-root").is_some());
    let flags = format!("/certify, --ca={AUTHORITY}:15012, --ca-name={AUTHORITY}, ");
    let manifest = script("mesh.sh", &["manifest", "my-app"]);
    let manifest = manifest.replace("istio-ca-root-cert", "torana-mesh-ca-root").replace("/certify, ", &flags);
    let app = Workload::start_as(&lab, "my-app", &manifest);
    let capture = Capture::start(&app);
    let address = lab.address("edge");
    until("the app answers", || status(&address, HOST) == Some(200));
    let expected = identity(&lab, "edge");
    assert_eq!(Answer::of(&ask(&address, HOST, "/").unwrap()).peer(), Some(expected.as_str()));
    assert_eq!(app.seen("peers").into_keys().collect::<Vec<_>>(), [expected]);
    let load = Load::start(&address, HOST, 8, 200);
    rotations(&app, SHORT, 5);
    let seen = load.stop();
    assert!(seen.failures.is_empty() && seen.broken == 0 && seen.served > 0, "{seen:?}");
    capture.ends_with_tls_only(&[8080, 8081]);
}
