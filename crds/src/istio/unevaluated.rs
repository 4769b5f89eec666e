// SPDX-License-Identifier: Apache-2.0
//! Kinds of Istio that are about Envoy itself: EnvoyFilter, WasmPlugin, ProxyConfig. Of them is only read whom they are for, so
//! that whoever wrote one is told that it does nothing here. Never reads what they say.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::istio::destination_rule::WorkloadSelector;
use crate::istio::security::{PolicyTarget, Scope};
use crate::meta::{ObjectMeta, StringMap};

/// Whom an object is for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Whom {
    selector: Option<WorkloadSelector>,
    targets: Vec<PolicyTarget>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Raw {
    /// Of an EnvoyFilter.
    workload_selector: Option<Labels>,
    selector: Option<WorkloadSelector>,
    target_ref: Option<PolicyTarget>,
    target_refs: Vec<PolicyTarget>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Labels {
    labels: StringMap,
}

/// What cannot be read is for everybody whom it may be for: somebody shall be told of it.
impl<'de> Deserialize<'de> for Whom {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw: Raw = serde_json::from_value(Value::deserialize(deserializer)?).unwrap_or_default();
        let of_labels = |labels: Labels| WorkloadSelector { match_labels: labels.labels };
        Ok(Self {
            selector: raw.selector.or_else(|| raw.workload_selector.map(of_labels)),
            targets: raw.target_ref.into_iter().chain(raw.target_refs).collect(),
        })
    }
}

macro_rules! unevaluated {
    ($($(#[$own:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$own])*
        #[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
        pub struct $name {
            /// Metadata.
            #[serde(rename = "metadata")]
            pub meta: ObjectMeta,
            /// Whom it is for.
            #[serde(default)]
            pub spec: Whom,
        }

        impl $name {
            /// Whom it is for.
            pub fn scope(&self) -> Scope<'_> {
                Scope::new(self.spec.selector.as_ref(), None, &self.spec.targets)
            }
        }
    )+};
}
unevaluated!(
    /// `networking.istio.io` EnvoyFilter: patches of Envoy's configuration.
    EnvoyFilter,
    /// `extensions.istio.io` WasmPlugin: programs for Envoy.
    WasmPlugin,
    /// `networking.istio.io` ProxyConfig: how Envoy is started.
    ProxyConfig,
);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whom_it_is_for_is_read_and_nothing_else() {
        let read = |spec: Value| serde_json::from_value::<Whom>(spec).unwrap();
        let labels = |whom: Whom| whom.selector.map(|it| it.match_labels.into_iter().collect::<Vec<_>>());
        let expected = Some(vec![("a".to_owned(), "b".to_owned())]);
        assert_eq!(labels(read(json!({"workloadSelector": {"labels": {"a": "b"}}, "configPatches": [1]}))), expected);
        assert_eq!(labels(read(json!({"selector": {"matchLabels": {"a": "b"}}, "url": "oci://x"}))), expected);
        assert_eq!(read(json!({"targetRef": {"kind": "Gateway"}, "targetRefs": [{}]})).targets.len(), 2);
        assert_eq!(read(json!({"selector": 7})), Whom::default());
    }
}
