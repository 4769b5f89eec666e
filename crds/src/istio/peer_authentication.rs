// SPDX-License-Identifier: Apache-2.0
//! PeerAuthentication of `security.istio.io`: whether a workload takes cleartext, mutual TLS, or both. Never says whom it
//! is for but by what is written; which of several holds is translation's to decide.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::istio::destination_rule::WorkloadSelector;
use crate::istio::scalars::words;
use crate::meta::{ObjectMeta, StringMap};
use crate::violation::{Severity, Violation};

/// `security.istio.io` PeerAuthentication.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PeerAuthentication {
    /// Metadata.
    #[serde(rename = "metadata")]
    pub meta: ObjectMeta,
    /// What it asks for.
    #[serde(default)]
    pub spec: PeerAuthenticationSpec,
}

/// `PeerAuthentication`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PeerAuthenticationSpec {
    /// Workloads with these labels; without one all of the namespace, in the root namespace all of the mesh.
    pub selector: Option<WorkloadSelector>,
    /// Of all ports.
    pub mtls: MutualTls,
    /// Of ports of the workload, not of its Service; with a selector only.
    pub port_level_mtls: BTreeMap<String, MutualTls>,
}

/// `MutualTLS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct MutualTls {
    /// What is taken.
    pub mode: MtlsMode,
}

words! {
    /// `MutualTLS.Mode`.
    #[derive(Default)]
    MtlsMode {
        /// What the next wider one says; at last `PERMISSIVE`.
        #[default]
        Unset = "UNSET",
        /// Cleartext only.
        Disable = "DISABLE",
        /// Both.
        Permissive = "PERMISSIVE",
        /// Mutual TLS only.
        Strict = "STRICT",
    }
}

impl PeerAuthentication {
    /// Labels of the workloads that it selects; `None`: it selects none, and is for all.
    pub fn selects(&self) -> Option<&StringMap> {
        let labels = self.spec.selector.as_ref().map(|selector| &selector.match_labels);
        labels.filter(|labels| !labels.is_empty())
    }

    /// What is said of ports, by their numbers.
    pub fn ports(&self) -> impl Iterator<Item = (u16, MtlsMode)> {
        let ports = self.spec.port_level_mtls.iter();
        ports.filter_map(|(port, mtls)| Some((port.parse().ok().filter(|port| *port > 0)?, mtls.mode)))
    }

    /// What Istio's webhook would refuse, or what has no effect.
    pub fn problems(&self) -> Vec<Violation> {
        let of_ports = self.spec.port_level_mtls.keys();
        let bad = of_ports.filter(|port| !port.parse::<u16>().is_ok_and(|port| port > 0)).map(|port| Violation {
            path: format!("spec.portLevelMtls[{port:?}]"),
            why: "is no number of a port".to_owned(),
            remedy: "write a number from 1 to 65535".to_owned(),
            severity: Severity::Error,
        });
        let without = (self.selects().is_none() && !self.spec.port_level_mtls.is_empty()).then(|| Violation {
            path: "spec.portLevelMtls".to_owned(),
            why: "has no effect without a selector".to_owned(),
            remedy: "select the workloads whose ports these are".to_owned(),
            severity: Severity::Error,
        });
        bad.chain(without).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{Spoken as _, decode};

    fn policy(version: &str, spec: &Value) -> Result<PeerAuthentication, String> {
        let object = json!({"apiVersion": format!("security.istio.io/{version}"), "kind": "PeerAuthentication",
            "metadata": {"namespace": "a", "name": "p"}, "spec": spec});
        let decoded = decode(object, "");
        assert!(decoded.unknown_paths.is_empty(), "{:?}", decoded.unknown_paths);
        match decoded.content {
            crate::Content::Object(object) => Ok(PeerAuthentication::of(&object).unwrap().clone()),
            crate::Content::Unreadable(why) => Err(why.path),
            crate::Content::Foreign => panic!("it is spoken"),
        }
    }

    #[test]
    fn both_versions_are_read_and_ports_are_numbers() {
        for version in ["v1", "v1beta1"] {
            let read = policy(
                version,
                &json!({"selector": {"matchLabels": {"app": "a"}}, "mtls": {"mode": "STRICT"},
                    "portLevelMtls": {"8080": {"mode": "DISABLE"}, "9090": {}}}),
            );
            let read = read.unwrap();
            assert_eq!((read.spec.mtls.mode, read.selects().unwrap()["app"].as_str()), (MtlsMode::Strict, "a"));
            assert_eq!(read.ports().collect::<Vec<_>>(), [(8080, MtlsMode::Disable), (9090, MtlsMode::Unset)]);
            assert!(read.problems().is_empty());
        }
        assert_eq!(policy("v1", &json!({})).unwrap().spec, PeerAuthenticationSpec::default());
        assert_eq!(policy("v1", &json!({"mtls": {"mode": "strict"}})), Err("spec.mtls.mode".to_owned()));
    }

    #[test]
    fn what_has_no_effect_is_told() {
        let paths =
            |spec: Value| policy("v1", &spec).unwrap().problems().into_iter().map(|it| it.path).collect::<Vec<_>>();
        assert_eq!(paths(json!({"portLevelMtls": {"80": {}}})), ["spec.portLevelMtls"]);
        assert_eq!(
            paths(
                json!({"selector": {"matchLabels": {"a": "b"}}, "portLevelMtls": {"http": {}, "70000": {}, "0": {}}})
            ),
            ["\"0\"", "\"70000\"", "\"http\""].map(|port| format!("spec.portLevelMtls[{port}]"))
        );
        assert_eq!(
            paths(json!({"selector": {"matchLabels": {}}, "portLevelMtls": {"80": {}}})),
            ["spec.portLevelMtls"]
        );
    }
}
