// SPDX-License-Identifier: Apache-2.0
//! The kinds of objects that are provisioned, and how one of them is named. Holds no client.

use kube::api::{ApiResource, GroupVersionKind};
use serde_json::Value;

/// Group, version, kind, and the plural that addresses are made of.
const KINDS: [(&str, &str, &str, &str); 7] = [
    ("", "v1", "ServiceAccount", "serviceaccounts"),
    ("", "v1", "ConfigMap", "configmaps"),
    ("", "v1", "Service", "services"),
    ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"),
    ("apps", "v1", "Deployment", "deployments"),
    ("apps", "v1", "DaemonSet", "daemonsets"),
    ("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers"),
];

/// The kinds, as the API server has them.
pub(super) fn all() -> impl Iterator<Item = ApiResource> {
    KINDS.into_iter().map(|(group, version, kind, plural)| {
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
    })
}

/// Which object: kind, namespace, name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) kind: String,
    pub(super) namespace: String,
    pub(super) name: String,
}

impl Place {
    /// The place of an object. Parts that are missing are `""`.
    pub(super) fn of(object: &Value) -> Self {
        let text = |part: &Value| part.as_str().unwrap_or_default().to_owned();
        let metadata = &object["metadata"];
        Self { kind: text(&object["kind"]), namespace: text(&metadata["namespace"]), name: text(&metadata["name"]) }
    }

    /// How the API server has its kind.
    pub(super) fn resource(&self) -> Option<ApiResource> {
        all().find(|resource| resource.kind == self.kind)
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}
