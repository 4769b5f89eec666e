// SPDX-License-Identifier: Apache-2.0
//! What is taken of an object as the API server gives it: enough for the door, and what status is written against. The
//! rest (managed fields, other people's data) is dropped before anything is kept.

use kube::api::ApiResource;
use serde_json::{Map, Value, json};
use torana_crds::core::{PodSpec, REDIRECTION, WorkloadStatus};
use torana_crds::{Content, Kind};

use super::Sighting;
use super::object::Raw;
use crate::mesh::{KEY, is_of_some_mesh};
use crate::store::Event;

/// What is read of a ConfigMap, but for those of a mesh.
const CA: &str = "ca.crt";

/// The object through the door.
pub(super) fn sighting(kind: Kind, resource: &ApiResource, object: Raw) -> Sighting {
    let reference = super::reference(kind, &object);
    let status = has_status(kind).then(|| object.status());
    // Of pods, which are many and large, only labels are read, who they are, and whether and where they can be connected to.
    let (is_pod, mut object) = (kind == Kind::Pod, object);
    if let (true, Some(annotations)) = (is_pod, &mut object.metadata.annotations) {
        annotations.retain(|name, _| name == REDIRECTION);
    }
    let mut body = if is_pod { Ok(Map::new()) } else { object.values() };
    if let (Kind::Pod | Kind::WorkloadEntry, Ok(fields)) = (kind, &mut body) {
        let standing = object.part::<WorkloadStatus>("status").ok().flatten();
        put(fields, "status", standing.map(|standing| json!(standing)));
    }
    if let (true, Ok(fields)) = (is_pod, &mut body) {
        let spec = object.part::<PodSpec>("spec").ok().flatten();
        put(fields, "spec", spec.map(|spec| json!(spec)));
    }
    let metadata = object.metadata;
    let mut identity = Map::new();
    put(&mut identity, "name", metadata.name.map(Value::String));
    put(&mut identity, "namespace", metadata.namespace.map(Value::String));
    put(&mut identity, "uid", metadata.uid.map(Value::String));
    put(&mut identity, "generation", metadata.generation.map(Value::from));
    let stored = status.map(|status| {
        let mut metadata_of = identity.clone();
        put(&mut metadata_of, "resourceVersion", metadata.resource_version.map(Value::String));
        Box::new(json!({
            "apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata_of, "status": status,
        }))
    });
    let time = |it: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time| serde_json::to_value(it).ok();
    put(&mut identity, "creationTimestamp", metadata.creation_timestamp.and_then(time));
    put(&mut identity, "deletionTimestamp", metadata.deletion_timestamp.and_then(time));
    put(&mut identity, "labels", metadata.labels.map(|labels| json!(labels)));
    put(&mut identity, "annotations", metadata.annotations.map(annotations));
    let (content, unknown) = match body {
        Ok(body) => decoded(kind, resource, identity, body),
        Err(why) => (Content::Unreadable(why), Vec::new()),
    };
    let event = match content {
        Content::Object(object) => Event::Applied((*object).into()),
        Content::Unreadable(why) => Event::Unreadable(reference, why),
        Content::Foreign => Event::Removed(reference),
    };
    Sighting::Object { event, stored, unknown }
}

fn decoded(
    kind: Kind,
    resource: &ApiResource,
    metadata: Map<String, Value>,
    mut value: Map<String, Value>,
) -> (Content, Vec<String>) {
    if kind == Kind::ConfigMap {
        let text = |field: &str| metadata.get(field).and_then(Value::as_str).unwrap_or_default();
        only_read(&mut value, is_of_some_mesh(text("namespace"), text("name")));
    }
    value.insert("metadata".to_owned(), Value::Object(metadata));
    value.insert("apiVersion".to_owned(), Value::String(resource.api_version.clone()));
    value.insert("kind".to_owned(), Value::String(resource.kind.clone()));
    let decoded = torana_crds::decode(Value::Object(value), "");
    let ignored = decoded.ignored.into_iter().map(|ignored| ignored.path);
    (decoded.content, decoded.unknown_paths.into_iter().chain(ignored).collect())
}

fn put(fields: &mut Map<String, Value>, key: &str, part: Option<Value>) {
    if let Some(part) = part {
        fields.insert(key.to_owned(), part);
    }
}

/// Kinds whose status is written here.
fn has_status(kind: Kind) -> bool {
    kind.group() == torana_crds::GATEWAY_GROUP && kind != Kind::ReferenceGrant
}

/// kubectl's copy of the whole object is nobody's configuration.
fn annotations(mut annotations: std::collections::BTreeMap<String, String>) -> Value {
    annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    json!(annotations)
}

/// Leaves of a ConfigMap what anybody reads.
fn only_read(config_map: &mut Map<String, Value>, is_of_mesh: bool) {
    for field in ["data", "binaryData"] {
        if let Some(Value::Object(entries)) = config_map.get_mut(field) {
            entries.retain(|key, _| key == CA || (is_of_mesh && key == KEY));
        }
    }
}

#[cfg(test)]
mod tests {
    use torana_crds::core::PodStatus;

    use super::*;

    fn seen(kind: Kind, value: Value) -> (Event, Option<Value>) {
        let object: Raw = serde_json::from_value(value).unwrap();
        let name = kube::api::GroupVersionKind::gvk(kind.group(), "v1", kind.as_str());
        match sighting(kind, &ApiResource::from_gvk(&name), object) {
            Sighting::Object { event, stored, .. } => (event, stored.map(|stored| *stored)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_write_of_status_is_no_change_of_the_object() {
        let route = |version: &str, status: Value| {
            json!({"metadata": {"name": "r", "namespace": "a", "generation": 2, "resourceVersion": version,
                "managedFields": [{"manager": "x"}]}, "spec": {"rules": []}, "status": status})
        };
        let (before, stored) = seen(Kind::HttpRoute, route("1", json!({"parents": []})));
        let (after, _) = seen(Kind::HttpRoute, route("2", json!({"parents": [{"controllerName": "x"}]})));
        assert_eq!(before, after);
        let stored = stored.unwrap();
        assert_eq!(stored["metadata"], json!({"name": "r", "namespace": "a", "generation": 2, "resourceVersion": "1"}));
        assert_eq!((&stored["kind"], &stored["status"]), (&json!("HTTPRoute"), &json!({"parents": []})));
    }

    #[test]
    fn of_a_pod_counts_what_says_where_it_is_and_whether_it_is_ready() {
        let pod = |ip: &str, ready: &str, more: Value| {
            let conditions = json!([{"type": "Ready", "status": ready, "lastProbeTime": more}, {"type": "Other"}]);
            let status = json!({"podIP": ip, "conditions": conditions, "containerStatuses": more});
            let annotations = json!({"noise": more.to_string(), "ambient.istio.io/redirection": "enabled"});
            let metadata = json!({"name": "p", "namespace": "a", "annotations": annotations});
            let spec = json!({"serviceAccountName": "s", "nodeName": more});
            seen(Kind::Pod, json!({"metadata": metadata, "spec": spec, "status": status})).0
        };
        let usual = pod("10.0.0.1", "True", json!(1));
        assert_eq!(pod("10.0.0.1", "True", json!([2])), usual);
        assert_ne!(pod("10.0.0.2", "True", json!(1)), usual);
        assert_ne!(pod("10.0.0.1", "False", json!(1)), usual);
        let Event::Applied(object) = usual else { panic!("{usual:?}") };
        let torana_crds::Object::Pod(pod) = &*object else { panic!("{object:?}") };
        assert_eq!((pod.spec.service_account_name.as_str(), pod.is_redirected()), ("s", true));
        assert_eq!(pod.status, PodStatus { address: Some([10, 0, 0, 1].into()), is_ready: true });
        for odd in [json!(null), json!(5), json!({"conditions": 5, "serviceAccountName": 5}), json!({"podIP": {}})] {
            let metadata = json!({"name": "p", "namespace": "a"});
            let (event, _) = seen(Kind::Pod, json!({"metadata": metadata, "spec": odd, "status": odd}));
            assert!(matches!(event, Event::Applied(_)), "{event:?}");
        }
    }

    #[test]
    fn of_a_config_map_only_the_ca_is_kept_and_of_a_meshs_what_it_says() {
        let with = |(namespace, name): (&str, &str), key: &str, value: &str| {
            let data = json!({"ca.crt": "x", key: value});
            seen(Kind::ConfigMap, json!({"metadata": {"name": name, "namespace": namespace}, "data": data})).0
        };
        for (map, key, is_kept) in [
            (("a", "c"), "other", false),
            (("a", "istio"), "mesh", false),
            (("istio-system", "istio"), "meshNetworks", false),
            (("istio-system", "istio"), "mesh", true),
            (("istio-system", "istio-canary"), "mesh", true),
        ] {
            assert_eq!(with(map, key, "1") != with(map, key, "2"), is_kept, "{map:?} {key}");
        }
    }

    #[test]
    fn what_cannot_be_read_says_which_object_it_is() {
        let metadata = json!({"name": "r", "namespace": "a"});
        let (event, _) = seen(Kind::HttpRoute, json!({"metadata": metadata, "spec": {"rules": 5}}));
        let Event::Unreadable(reference, why) = event else { panic!("{event:?}") };
        assert_eq!((reference.to_string(), &*why.path), ("HTTPRoute a/r".to_owned(), "spec.rules"));
    }
}
