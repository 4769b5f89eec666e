// SPDX-License-Identifier: Apache-2.0
//! What one namespace says about others or about its backends: ReferenceGrant and BackendTLSPolicy.

use serde::Deserialize;

use crate::kind::ObjectRef;
use crate::meta::{ObjectMeta, StringMap};
use crate::refs::LocalRef;

/// `gateway.networking.k8s.io` ReferenceGrant: stands in the namespace of the objects referred to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ReferenceGrant {
    /// Metadata.
    #[serde(rename = "metadata")]
    pub meta: ObjectMeta,
    /// Spec.
    pub spec: ReferenceGrantSpec,
}

/// `ReferenceGrantSpec`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ReferenceGrantSpec {
    /// Who may refer.
    pub from: Vec<GrantFrom>,
    /// To what.
    pub to: Vec<GrantTo>,
}

/// `ReferenceGrantFrom`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct GrantFrom {
    /// Group of the referrer.
    pub group: String,
    /// Kind of the referrer.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
}

/// `ReferenceGrantTo`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct GrantTo {
    /// Group of the target; `""` is core.
    pub group: String,
    /// Kind of the target.
    pub kind: String,
    /// `None`: every object of the kind.
    pub name: Option<String>,
}

impl ReferenceGrant {
    /// Whether this grant lets `from` refer to `to`: group, kind and namespace of the referrer; namespace (the grant's
    /// own), group, kind and name (if given) of the target.
    pub fn permits(&self, from: &ObjectRef, to: &ObjectRef) -> bool {
        self.meta.namespace == to.namespace
            && self
                .spec
                .from
                .iter()
                .any(|it| it.group == from.group && it.kind == from.kind && it.namespace == from.namespace)
            && self.spec.to.iter().any(|it| {
                // An empty name is written by some tools and means none (`ReferenceGrantTo.name`: "when unspecified").
                let named = it.name.as_deref().filter(|name| !name.is_empty());
                it.group == to.group && it.kind == to.kind && named.is_none_or(|name| name == to.name)
            })
    }
}

/// `gateway.networking.k8s.io/v1` BackendTLSPolicy.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct BackendTlsPolicy {
    /// Metadata.
    #[serde(rename = "metadata")]
    pub meta: ObjectMeta,
    /// Spec.
    pub spec: BackendTlsPolicySpec,
}

/// `BackendTLSPolicySpec`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendTlsPolicySpec {
    /// The backends, in the policy's namespace.
    pub target_refs: Vec<PolicyTargetRef>,
    /// How the backend is verified.
    pub validation: BackendTlsValidation,
    /// Implementation-specific options.
    #[serde(default)]
    pub options: StringMap,
}

/// `LocalPolicyTargetReferenceWithSectionName`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyTargetRef {
    /// API group; `""` is core.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
    /// Name of one port of a Service; `None`: all ports.
    pub section_name: Option<String>,
}

impl PolicyTargetRef {
    /// The object meant, seen from the policy's namespace.
    pub fn target(&self, local: &str) -> ObjectRef {
        ObjectRef::of_any_kind(&self.group, &self.kind, local, &self.name)
    }

    /// The port that is meant, if it is not the whole Service.
    pub fn section(&self) -> Option<&str> {
        self.section_name.as_deref().filter(|name| !name.is_empty())
    }
}

/// `BackendTLSPolicyValidation`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendTlsValidation {
    /// ConfigMaps with `ca.crt`; exclusive with `well_known_ca_certificates`.
    #[serde(default)]
    pub ca_certificate_refs: Vec<LocalRef>,
    /// A named set of authorities.
    #[serde(rename = "wellKnownCACertificates")]
    pub well_known_ca_certificates: Option<WellKnownCas>,
    /// Sent as SNI; matched against the certificate unless `subject_alt_names` are given.
    pub hostname: String,
    /// Names of which the certificate must have one.
    #[serde(default)]
    pub subject_alt_names: Vec<SubjectAltName>,
}

/// `WellKnownCACertificatesType`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub enum WellKnownCas {
    /// Those of the system.
    System,
    /// Implementation-specific or newer.
    #[serde(untagged)]
    Other(String),
}

/// `SubjectAltName`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "RawSubjectAltName")]
pub enum SubjectAltName {
    /// A DNS name, perhaps `*.suffix`.
    Hostname(String),
    /// A URI, such as a SPIFFE id.
    Uri(String),
    /// Another type, or a type without its value: what is wrong, as one sentence.
    Malformed(String),
}

#[derive(Deserialize)]
struct RawSubjectAltName {
    #[serde(rename = "type")]
    name_type: String,
    #[serde(default)]
    hostname: String,
    #[serde(default)]
    uri: String,
}

impl From<RawSubjectAltName> for SubjectAltName {
    fn from(raw: RawSubjectAltName) -> Self {
        match (raw.name_type.as_str(), raw.hostname.is_empty(), raw.uri.is_empty()) {
            ("Hostname", false, true) => Self::Hostname(raw.hostname),
            ("URI", true, false) => Self::Uri(raw.uri),
            ("Hostname", ..) => Self::Malformed("type Hostname needs exactly hostname".into()),
            ("URI", ..) => Self::Malformed("type URI needs exactly uri".into()),
            (other, ..) => Self::Malformed(format!("subject alternative name type {other:?} is not known")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Kind;

    #[test]
    fn a_grant_matches_group_kind_and_namespace_on_both_sides() {
        let grant: ReferenceGrant = serde_json::from_value(serde_json::json!({
            "metadata": {"namespace": "backend", "name": "g"},
            "spec": {
                "from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "web"}],
                "to": [{"group": "", "kind": "Service", "name": "app"}, {"group": "", "kind": "Secret"}],
            },
        }))
        .unwrap();
        let route = ObjectRef::new(Kind::HttpRoute, "web", "r");
        assert!(grant.permits(&route, &ObjectRef::new(Kind::Service, "backend", "app")));
        assert!(grant.permits(&route, &ObjectRef::new(Kind::Secret, "backend", "any")));
        for (from, to) in [
            (route.clone(), ObjectRef::new(Kind::Service, "backend", "other")),
            (route.clone(), ObjectRef::new(Kind::Service, "elsewhere", "app")),
            (route, ObjectRef::new(Kind::ConfigMap, "backend", "app")),
            (ObjectRef::new(Kind::HttpRoute, "other", "r"), ObjectRef::new(Kind::Service, "backend", "app")),
            (ObjectRef::new(Kind::Gateway, "web", "r"), ObjectRef::new(Kind::Service, "backend", "app")),
        ] {
            assert!(!grant.permits(&from, &to), "{from} -> {to}");
        }
    }
}
