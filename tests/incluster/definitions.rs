// SPDX-License-Identifier: Apache-2.0
//! Somebody deletes the definition of a kind: Kubernetes deletes every object of it, and traffic goes on.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::house::source::root;

use super::{ask, backend, gateway, kubectl, lab, route, until};

#[test]
fn routes_whose_definition_is_deleted_are_served_until_it_is_back() {
    let Some(lab) = lab() else { return };
    lab.apply(&(backend(1) + &gateway("edge", 1) + &route("web", "edge", "web.example")));
    let address = lab.address("edge");
    let serves = |host: &str| ask(&address, host, "/").is_ok_and(|reply| reply.status == 200);
    until("it serves", || serves("web.example"));
    kubectl(&["delete", "crd", "httproutes.gateway.networking.k8s.io"]);
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(5) {
        assert!(serves("web.example"), "withdrawn after {:?}", begin.elapsed());
        sleep(Duration::from_millis(20));
    }
    let definition = root().join("deploy/crds/gateway-api/gateway.networking.k8s.io_httproutes.yaml");
    kubectl(&["apply", "--server-side", "-f", definition.to_str().unwrap()]);
    kubectl(&["wait", "--for=condition=Established", "crd/httproutes.gateway.networking.k8s.io", "--timeout=60s"]);
    adopt("httproutes.gateway.networking.k8s.io");
    lab.apply(&route("later", "edge", "later.example"));
    until("a later route is in force", || serves("later.example"));
}

/// Helm's again: an upgrade of the release would take a definition away that it finds in somebody else's hands.
fn adopt(definition: &str) {
    let marks = [
        "meta.helm.sh/release-name=torana-crds",
        "meta.helm.sh/release-namespace=torana-system",
        "helm.sh/resource-policy=keep",
    ];
    kubectl(&[&["annotate", "crd", definition], marks.as_slice()].concat());
    kubectl(&["label", "crd", definition, "app.kubernetes.io/managed-by=Helm"]);
}
