// SPDX-License-Identifier: Apache-2.0
//! Istio's own objects in a real cluster: whoever has them keeps them, and moves only the entrypoint.

mod bookinfo;

mod churn;

mod ingress;

mod policies;

mod seed;

mod subsets;

use std::collections::{BTreeMap, BTreeSet};

use torana_tests::Connection;

use super::{Lab, ask, kubectl, until};

/// Istio's definitions, as its users have them. Whoever is there already stays.
fn definitions() {
    let file = std::env::var("TORANA_ISTIO_CRDS").expect("TORANA_ISTIO_CRDS says where they are: ./dev incluster");
    kubectl(&["apply", "--server-side", "-f", &file]);
    for name in ["gateways", "virtualservices", "destinationrules"] {
        kubectl(&["wait", "--for=condition=Established", &format!("crd/{name}.networking.istio.io"), "--timeout=60s"]);
    }
}

/// A lab in a cluster with Istio's definitions.
fn lab() -> Option<Lab> {
    let lab = super::lab()?;
    definitions();
    Some(lab)
}

/// A Gateway that takes the rules of the mesh.
pub(super) fn edge() -> String {
    super::gateway("edge", 1).replace(
        "metadata: {name: edge}\nspec:\n  gatewayClassName",
        "metadata: {name: edge, annotations: {torana.dev/mesh-virtual-services: \"true\"}}\nspec:\n  gatewayClassName",
    )
}

/// One echo server behind `app` that says `name`, with that `version`.
fn version(app: &str, name: &str, port: u16) -> String {
    format!(
        "
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: 1
  selector: {{matchLabels: {{deployment: {name}}}}}
  template:
    metadata: {{labels: {{app: {app}, deployment: {name}, version: {name}}}}}
    spec:
      automountServiceAccountToken: false
      containers:
        - name: echo
          image: torana:{torana}
          command: [/bin/torana]
          args: [echo, --port={port}, --name={name}]
          readinessProbe: {{tcpSocket: {{port: {port}}}, periodSeconds: 1}}
          resources: {{requests: {{cpu: 5m, memory: 16Mi}}}}
---
",
        torana = env!("CARGO_PKG_VERSION")
    )
}

/// Who answered `count` requests over one connection, how often.
fn counts(address: &str, host: &str, count: usize) -> BTreeMap<String, usize> {
    let mut connection = Connection::to(format!("{address}:80").parse().unwrap()).unwrap();
    let mut counts = BTreeMap::new();
    for _ in 0..count {
        let reply = connection.get(host, "/").unwrap();
        assert_eq!(reply.status, 200, "{reply:?}");
        *counts.entry(reply.header("x-echo-name").unwrap().to_owned()).or_default() += 1;
    }
    counts
}

/// Waits until every one of these names answers.
fn until_all_answer(address: &str, host: &str, names: &[&str]) {
    let mut seen = BTreeSet::new();
    until(&format!("{names:?} answer"), || {
        if let Ok(reply) = ask(address, host, "/")
            && reply.status == 200
            && let Some(name) = reply.header("x-echo-name")
        {
            seen.insert(name.to_owned());
        }
        names.iter().all(|name| seen.contains(*name))
    });
}
