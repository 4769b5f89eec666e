// SPDX-License-Identifier: Apache-2.0
//! `spec.infrastructure` of a Gateway, and `spec.ingress` of parameters: which of their labels and annotations go on what
//! is provisioned. Never puts them there.

use torana_crds::StringMap;
use torana_crds::gateway::Gateway;
use torana_crds::parameters::GatewayParameters;

use crate::report::Remark;
use crate::store::Ingress;

/// Keys that tell the objects of a Gateway apart are Torana's: a prefix, or a whole key.
const RESERVED: [&str; 6] = [
    "gateway.networking.k8s.io/",
    "torana.dev/",
    "app.kubernetes.io/",
    "pod-template-hash",
    "pod-template-generation",
    "controller-revision-hash",
];

/// What goes on every provisioned object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    /// Labels.
    pub labels: StringMap,
    /// Annotations.
    pub annotations: StringMap,
    /// What there is to say about those that are left out.
    pub remarks: Vec<Remark>,
}

/// Labels and annotations of a Gateway's infrastructure, without those that are reserved or that Kubernetes refuses
/// (GEP-1867): one of them must not keep the others away.
pub fn metadata(gateway: &Gateway) -> Metadata {
    let mut metadata = Metadata::default();
    let Some(infrastructure) = &gateway.spec.infrastructure else { return metadata };
    metadata.label(&infrastructure.labels, "spec.infrastructure.labels");
    for (key, value) in &infrastructure.annotations {
        match obstacle(key) {
            None => drop(metadata.annotations.insert(key.clone(), value.clone())),
            Some(why) => metadata.leave_out("spec.infrastructure.annotations", key, why),
        }
    }
    metadata
}

/// Labels of an ingress, by which Gateways of Istio select it: as those who come from Istio expect them, or as given.
pub fn of_ingress(parameters: &GatewayParameters) -> Metadata {
    let mut metadata = Metadata::default();
    match parameters.spec.ingress.as_ref().and_then(|ingress| ingress.labels.as_ref()) {
        Some(labels) => metadata.label(labels, "spec.ingress.labels"),
        None => metadata.labels = Ingress::of_istio().labels,
    }
    metadata
}

impl Metadata {
    fn label(&mut self, labels: &StringMap, path: &str) {
        for (key, value) in labels {
            match obstacle(key).or_else(|| (!is_label_value(value)).then_some("its value is no label")) {
                None => drop(self.labels.insert(key.clone(), value.clone())),
                Some(why) => self.leave_out(path, key, why),
            }
        }
    }

    fn leave_out(&mut self, path: &str, key: &str, why: &str) {
        let message = format!("{key:?} is left out: {why}");
        self.remarks.push(Remark::warning("UnsupportedValue", path, message, "use another key or value"));
    }
}

/// Why a key is left out.
fn obstacle(key: &str) -> Option<&'static str> {
    let is_reserved =
        |reserved: &&str| if reserved.ends_with('/') { key.starts_with(*reserved) } else { key == *reserved };
    if !is_key(key) {
        Some("it is no key of Kubernetes")
    } else if RESERVED.iter().any(is_reserved) {
        Some("it is reserved")
    } else {
        None
    }
}

/// `prefix/name`, the prefix a DNS subdomain and optional (Kubernetes, "Labels: syntax and character set").
fn is_key(key: &str) -> bool {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let is_part = |part: &str| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        part.bytes().all(|byte| plain(byte) || byte == b'-')
            && part.bytes().next().is_some_and(plain)
            && part.bytes().next_back().is_some_and(plain)
    };
    !name.is_empty()
        && is_label_value(name)
        && prefix.is_none_or(|prefix| prefix.len() <= 253 && prefix.split('.').all(is_part))
}

fn is_label_value(value: &str) -> bool {
    let edge = |byte: Option<u8>| byte.is_none_or(|byte| byte.is_ascii_alphanumeric());
    value.len() <= 63
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        && edge(value.bytes().next())
        && edge(value.bytes().next_back())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_and_invalid_keys_are_left_out_and_named() {
        let json = serde_json::json!({"metadata": {"name": "edge"}, "spec": {"gatewayClassName": "torana", "listeners": [],
        "infrastructure": {
            "labels": {"team": "a", "example.com/tier": "", "app.kubernetes.io/name": "x", "-a": "b", "v": "-b"},
            "annotations": {"example.com/note": "any text: even this", "torana.dev/hash": "x", "A.b/c": "d", "": "e"},
        }}});
        let found = metadata(&serde_json::from_value(json).unwrap());
        assert_eq!(found.labels.keys().collect::<Vec<_>>(), ["example.com/tier", "team"]);
        assert_eq!(found.annotations.keys().collect::<Vec<_>>(), ["example.com/note"]);
        assert_eq!(found.remarks.len(), 6, "{:#?}", found.remarks);
    }
}
