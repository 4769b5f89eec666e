// SPDX-License-Identifier: Apache-2.0
//! Somebody deletes the definition of a kind: Kubernetes deletes every object of it, and traffic goes on. Made again by
//! hand it stays, whatever its release does.

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{SYSTEM, ask, backend, gateway, helm, kubectl, lab, route, until};
use crate::house::source::root;

const DEFINITION: &str = "httproutes.gateway.networking.k8s.io";

#[test]
fn routes_whose_definition_is_deleted_are_served_until_it_is_back_and_an_upgrade_leaves_it() {
    let Some(lab) = lab() else { return };
    lab.apply(&(backend(1) + &gateway("edge", 1) + &route("web", "edge", "web.example")));
    let address = lab.address("edge");
    let serves = |host: &str| ask(&address, host, "/").is_ok_and(|reply| reply.status == 200);
    until("it serves", || serves("web.example"));
    assert_eq!(uid_and_owner().1, "torana-crds", "it is the release's");
    kubectl(&["delete", "crd", DEFINITION]);
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(5) {
        assert!(serves("web.example"), "withdrawn after {:?}", begin.elapsed());
        sleep(Duration::from_millis(20));
    }
    let definition = root().join("deploy/crds/gateway-api/gateway.networking.k8s.io_httproutes.yaml");
    kubectl(&["apply", "--server-side", "-f", definition.to_str().unwrap()]);
    kubectl(&["wait", "--for=condition=Established", &format!("crd/{DEFINITION}"), "--timeout=60s"]);
    lab.apply(&route("later", "edge", "later.example"));
    until("a later route is in force", || serves("later.example"));
    let (by_hand, owner) = uid_and_owner();
    assert_eq!(owner, "", "it is nobody's");
    let chart = root().join("deploy/charts/torana-crds");
    helm(&["upgrade", "torana-crds", chart.to_str().unwrap(), "--namespace", SYSTEM]);
    assert_eq!(uid_and_owner(), (by_hand, "torana-crds".to_owned()), "the same, and the release's again");
    lab.get("httproute", "later");
    assert!(serves("later.example"));
}

/// Which definition there is, and of which release.
fn uid_and_owner() -> (String, String) {
    let definition: Value = serde_json::from_str(&kubectl(&["get", "crd", DEFINITION, "-o", "json"])).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let metadata = &definition["metadata"];
    (text(&metadata["uid"]), text(&metadata["annotations"]["meta.helm.sh/release-name"]))
}
