// SPDX-License-Identifier: Apache-2.0
//! What all objects of a Gateway or an ingress have in common: namespace, labels, annotations, and their owner, so that
//! they go with it. Never knows what else is in an object.

use serde_json::{Map, Value, json};
use torana_crds::StringMap;

use crate::provision::desired::names;
use crate::provision::desired::subject::Subject;
use crate::translate::infrastructure::Metadata;

/// `gateway.networking.k8s.io/gateway-name` (GEP-1762): whose object it is, and part of every selector.
pub const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";
/// `app.kubernetes.io/managed-by` of everything that Torana provisions.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "torana");
/// `app.kubernetes.io/name` of the same, and of pods of proxies.
pub const APP_NAME: (&str, &str) = ("app.kubernetes.io/name", "torana-gateway");

/// The objects of one subject.
pub(super) struct Owned<'a> {
    subject: Subject<'a>,
    /// Of nearly all of them.
    pub(super) name: String,
    labels: StringMap,
    annotations: StringMap,
    version: &'a str,
}

impl<'a> Owned<'a> {
    pub(super) fn new(subject: Subject<'a>, version: &'a str) -> Self {
        let name = subject.name();
        let Metadata { mut labels, annotations, .. } = subject.metadata();
        let own = [("app.kubernetes.io/instance", name.as_str()), ("app.kubernetes.io/part-of", "torana"), MANAGED_BY];
        labels.extend(own.map(|(key, value)| (key.to_owned(), value.to_owned())));
        labels.extend(subject.class().map(|(key, value)| (key.to_owned(), value)));
        labels.extend(subject.selector());
        Self { subject, name, labels, annotations, version }
    }

    /// The service account of the proxies: namespace and name.
    pub(super) fn account(&self) -> (&str, &str) {
        (&self.subject.meta().namespace, &self.name)
    }

    /// Labels that only the pods of this one have.
    pub(super) fn selector(&self) -> StringMap {
        self.subject.selector()
    }

    /// Name of the ConfigMap with the authorities of the feed.
    pub(super) fn ca_name(&self) -> String {
        format!("{}-feed-ca", self.name)
    }

    /// An object with one part besides its metadata.
    pub(super) fn object(&self, api_version: &str, kind: &str, name: &str, (field, part): (&str, Value)) -> Value {
        let mut labels = self.labels.clone();
        labels.insert("app.kubernetes.io/version".to_owned(), names::label(self.version));
        let (meta, (owner_version, owner_kind)) = (self.subject.meta(), self.subject.kind());
        let owner = json!({"apiVersion": owner_version, "kind": owner_kind, "name": meta.name, "uid": meta.uid,
            "controller": true});
        let mut metadata =
            json!({"name": name, "namespace": meta.namespace, "labels": labels, "ownerReferences": [owner]});
        if !self.annotations.is_empty() {
            metadata["annotations"] = json!(self.annotations);
        }
        json!({"apiVersion": api_version, "kind": kind, "metadata": metadata, field: part})
    }

    /// Adds annotations that users do not ask for.
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
