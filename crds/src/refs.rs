// SPDX-License-Identifier: Apache-2.0
//! References from one object to another: one type for each meaning, whatever kind they stand in. Never resolves them.

use serde::{Deserialize, Serialize};

use crate::kind::{GATEWAY_GROUP, ObjectRef};

pub(crate) fn gateway_group() -> String {
    GATEWAY_GROUP.to_owned()
}

fn gateway_kind() -> String {
    "Gateway".to_owned()
}

fn secret_kind() -> String {
    "Secret".to_owned()
}

/// `ParentReference` of every route, and `ParentGatewayReference` of a ListenerSet (no section, no port).
/// Serialises as status echoes it: group and kind always, the rest as declared.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentRef {
    /// Default `gateway.networking.k8s.io`; `""` is core.
    #[serde(default = "gateway_group")]
    pub group: String,
    /// Default `Gateway`.
    #[serde(default = "gateway_kind")]
    pub kind: String,
    /// `None`: that of the referrer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name of the parent.
    pub name: String,
    /// Name of one listener; `None`: all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub section_name: Option<String>,
    /// Port of the listeners; `None`: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

impl ParentRef {
    /// The object meant, seen from namespace `local`.
    pub fn target(&self, local: &str) -> ObjectRef {
        target(&self.group, &self.kind, self.namespace.as_deref(), &self.name, local)
    }
}

/// `SecretObjectReference`: certificates.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SecretRef {
    /// Default `""`, core.
    #[serde(default)]
    pub group: String,
    /// Default `Secret`.
    #[serde(default = "secret_kind")]
    pub kind: String,
    /// `None`: that of the referrer.
    pub namespace: Option<String>,
    /// Name of the Secret.
    pub name: String,
}

impl SecretRef {
    /// The object meant, seen from namespace `local`.
    pub fn target(&self, local: &str) -> ObjectRef {
        target(&self.group, &self.kind, self.namespace.as_deref(), &self.name, local)
    }
}

/// `ObjectReference` and `ParametersReference`: any kind, perhaps in another namespace.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct NamespacedRef {
    /// API group; `""` is core.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// `None`: that of the referrer.
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
}

impl NamespacedRef {
    /// The object meant, seen from namespace `local`.
    pub fn target(&self, local: &str) -> ObjectRef {
        target(&self.group, &self.kind, self.namespace.as_deref(), &self.name, local)
    }
}

/// `LocalObjectReference`, `LocalParametersReference`: any kind, in the referrer's namespace.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LocalRef {
    /// API group; `""` is core.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
}

impl LocalRef {
    /// The object meant, seen from namespace `local`.
    pub fn target(&self, local: &str) -> ObjectRef {
        target(&self.group, &self.kind, None, &self.name, local)
    }
}

pub(crate) fn target(group: &str, kind: &str, namespace: Option<&str>, name: &str, local: &str) -> ObjectRef {
    ObjectRef::of_any_kind(group, kind, namespace.unwrap_or(local), name)
}
