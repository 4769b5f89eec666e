// SPDX-License-Identifier: Apache-2.0
//! Torana in a mesh: istiod signs, and Istio's echo server is behind proxies that let in only the mesh. Unless
//! `TORANA_MESH` is set they say that they were skipped: `./dev mesh` sets all that up.

mod ambient;

mod answer;

mod asking;

mod capture;

mod closed;

mod outage;

mod rotation;

mod sidecar;

mod torana;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::{Lab, ask, until};
use crate::house::source::root;

/// A namespace that istiod has given its root to.
fn lab() -> Option<Lab> {
    if std::env::var_os("TORANA_MESH").is_none() {
        println!("skipped: TORANA_MESH is not set");
        return None;
    }
    let lab = super::lab()?;
    until("the root of the mesh is in the namespace", || lab.find("configmap", "istio-ca-root-cert").is_some());
    Some(lab)
}

/// One of the programs that `tests/mesh/build.sh` builds.
fn program(name: &str) -> PathBuf {
    PathBuf::from(std::env::var_os("TORANA_MESH").unwrap()).join(name)
}

/// What a script of `tests/mesh` says. It must succeed.
fn script(name: &str, arguments: &[&str]) -> String {
    let output = Command::new(root().join("tests/mesh").join(name)).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} {arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// One pod of a workload: my-app, ambient-app or plain-app.
struct Workload {
    pod: String,
    address: String,
}

impl Workload {
    /// It is ready when this returns.
    fn start(lab: &Lab, name: &str) -> Self {
        Self::start_as(lab, name, &script("mesh.sh", &["manifest", name]))
    }

    /// As its manifest says here.
    fn start_as(lab: &Lab, name: &str, manifest: &str) -> Self {
        lab.apply(manifest);
        lab.kubectl(&["rollout", "status", &format!("deployment/{name}"), "--timeout=120s"]);
        let pods: Value =
            serde_json::from_str(&lab.kubectl(&["get", "pods", "-l", &format!("app={name}"), "-o", "json"])).unwrap();
        let pod = &pods["items"][0];
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Self { pod: text(&pod["metadata"]["name"]), address: text(&pod["status"]["podIP"]) }
    }

    /// How often what stands before the application saw each value: of `connections` (ports), `peers`, `serials`,
    /// `alpn` (what clients offered), `sni`, `authorities`, `plaintext` (ports) and more.
    fn seen(&self, what: &str) -> BTreeMap<String, u64> {
        let reply = torana_tests::Connection::to(format!("{}:15020", self.address).parse().unwrap())
            .and_then(|mut connection| connection.get("status", "/"))
            .unwrap();
        let all: BTreeMap<String, BTreeMap<String, u64>> = serde_json::from_slice(&reply.body).unwrap();
        all.get(what).cloned().unwrap_or_default()
    }

    /// How many connections there were to `port`.
    fn connections(&self, port: u16) -> u64 {
        self.seen("connections").get(&port.to_string()).copied().unwrap_or_default()
    }
}

/// Who the proxies of a Gateway are in the mesh.
fn identity(lab: &Lab, gateway: &str) -> String {
    let account = lab.of_proxies(gateway, "spec.serviceAccountName");
    format!("spiffe://cluster.local/ns/{}/sa/{}", lab.namespace, account[0])
}

/// A route of the Gateway `edge` for `host` to that port of a Service.
fn route(kind: &str, host: &str, service: &str, port: u16) -> String {
    format!(
        "
apiVersion: gateway.networking.k8s.io/v1
kind: {kind}
metadata: {{name: {service}-{port}}}
spec:
  parentRefs: [{{name: edge}}]
  hostnames: [{host}]
  rules: [{{backendRefs: [{{name: {service}, port: {port}}}]}}]
---
"
    )
}

/// What the Gateway at `address` answers for `host`: only the status.
fn status(address: &str, host: &str) -> Option<u16> {
    ask(address, host, "/").ok().map(|reply| reply.status)
}
