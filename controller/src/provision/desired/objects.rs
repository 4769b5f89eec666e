// SPDX-License-Identifier: Apache-2.0
//! What all objects of a Gateway have in common: namespace, labels, annotations, and the Gateway as their owner, so that
//! they go with it. Never knows what else is in an object.

use serde_json::{Map, Value, json};
use torana_crds::StringMap;
use torana_crds::gateway::Gateway;

use crate::provision::desired::names;
use crate::translate::infrastructure;

/// `gateway.networking.k8s.io/gateway-name` (GEP-1762): whose object it is, and part of every selector.
pub const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";
/// `app.kubernetes.io/managed-by` of everything that Torana provisions.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "torana");
/// `app.kubernetes.io/name` of the same, and of pods of proxies.
pub const APP_NAME: (&str, &str) = ("app.kubernetes.io/name", "torana-gateway");

/// The objects of one Gateway.
pub(super) struct Owned<'a> {
    gateway: &'a Gateway,
    /// Of nearly all of them.
    pub(super) name: String,
    labels: StringMap,
    annotations: StringMap,
    version: &'a str,
}

impl<'a> Owned<'a> {
    pub(super) fn new(gateway: &'a Gateway, version: &'a str) -> Self {
        let name = names::name(gateway);
        // What is reserved or invalid among them is said when the Gateway is judged.
        let infrastructure::Metadata { mut labels, annotations, .. } = infrastructure::metadata(gateway);
        let class = names::label(&gateway.spec.gateway_class_name);
        let own = [
            ("gateway.networking.k8s.io/gateway-class-name", class.as_str()),
            ("app.kubernetes.io/instance", &name),
            ("app.kubernetes.io/part-of", "torana"),
            MANAGED_BY,
        ];
        labels.extend(own.map(|(key, value)| (key.to_owned(), value.to_owned())));
        labels.extend(selector(gateway));
        Self { gateway, name, labels, annotations, version }
    }

    /// Labels that only the pods of this Gateway have.
    pub(super) fn selector(&self) -> StringMap {
        selector(self.gateway)
    }

    /// Name of the ConfigMap with the authorities of the feed.
    pub(super) fn ca_name(&self) -> String {
        format!("{}-feed-ca", self.name)
    }

    /// An object with one part besides its metadata.
    pub(super) fn object(&self, api_version: &str, kind: &str, name: &str, (field, part): (&str, Value)) -> Value {
        let mut labels = self.labels.clone();
        labels.insert("app.kubernetes.io/version".to_owned(), names::label(self.version));
        let meta = &self.gateway.meta;
        let owner = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "name": meta.name,
            "uid": meta.uid, "controller": true});
        let mut metadata =
            json!({"name": name, "namespace": meta.namespace, "labels": labels, "ownerReferences": [owner]});
        if !self.annotations.is_empty() {
            metadata["annotations"] = json!(self.annotations);
        }
        json!({"apiVersion": api_version, "kind": kind, "metadata": metadata, field: part})
    }

    /// Adds annotations that the Gateway's infrastructure does not have.
    pub(super) fn annotate(&self, object: &mut Value, mut more: StringMap) {
        if !more.is_empty() {
            more.extend(self.annotations.clone());
            object["metadata"]["annotations"] = json!(more);
        }
    }

    /// Metadata of pods. No version: a new one must not be a reason to replace them all.
    pub(super) fn pod_metadata(&self) -> Value {
        let mut metadata = json!({"labels": self.labels});
        if !self.annotations.is_empty() {
            metadata["annotations"] = json!(self.annotations);
        }
        metadata
    }

    /// Makes sure that a patched template is still selected.
    pub(super) fn select(&self, template: &mut Map<String, Value>) {
        let metadata = template.entry("metadata").or_insert_with(|| json!({}));
        if !metadata["labels"].is_object() {
            *metadata = self.pod_metadata();
        }
        for (key, value) in self.selector() {
            metadata["labels"][key] = value.into();
        }
    }
}

fn selector(gateway: &Gateway) -> StringMap {
    let of = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    StringMap::from([of(APP_NAME), (GATEWAY_NAME.to_owned(), names::label(&gateway.meta.name))])
}
