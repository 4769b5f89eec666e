// SPDX-License-Identifier: Apache-2.0
//! What the API server holds: the status of each object, and the version it is of. Only that, as compact text: five
//! thousand routes are a few megabytes. Objects that nobody observed here (others', mostly) cost nothing.
//!
//! Two ways in. [`Stored::observe`] is the watch: it may lag behind our own writes, so an older version than the one
//! held is passed over. [`Stored::learn`] is an answer of the API server itself: it always counts.

use std::collections::BTreeMap;

use serde_json::Value;
use torana_crds::{Kind, ObjectRef};

use crate::api::is_older;

/// What the API server holds of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// What a write must be based on.
    pub resource_version: String,
    /// Of the spec.
    pub generation: i64,
    /// For Events.
    pub uid: String,
    /// The status as JSON, `""` if there is none.
    status: Box<str>,
    /// Which list it was in; see [`Stored::relisted`].
    list: u32,
}

/// What the API server holds of all objects.
#[derive(Debug, Clone, Default)]
pub struct Stored {
    objects: BTreeMap<ObjectRef, Held>,
    /// API version that a kind is read in, if it is not the usual one.
    versions: BTreeMap<Kind, String>,
    lists: BTreeMap<Kind, u32>,
}

/// The kinds whose status Torana writes.
pub const KINDS: [Kind; 20] = [
    Kind::GatewayClass,
    Kind::Gateway,
    Kind::ListenerSet,
    Kind::HttpRoute,
    Kind::GrpcRoute,
    Kind::TlsRoute,
    Kind::TcpRoute,
    Kind::UdpRoute,
    Kind::BackendTlsPolicy,
    Kind::TrafficPolicy,
    Kind::AcmeIssuer,
    Kind::ClusterAcmeIssuer,
    Kind::IstioGateway,
    Kind::VirtualService,
    Kind::AuthorizationPolicy,
    Kind::RequestAuthentication,
    Kind::Telemetry,
    Kind::EnvoyFilter,
    Kind::WasmPlugin,
    Kind::ProxyConfig,
];

impl Held {
    /// The status; an empty object if there is none.
    pub fn status(&self) -> Value {
        serde_json::from_str(&self.status).unwrap_or_else(|_| Value::Object(serde_json::Map::new()))
    }
}

impl Stored {
    /// Takes an object as the watch yields it, whole and unchanged. Returns which object it is if anything that matters
    /// here (generation, status) is new; `None` for kinds without a status of ours and for what cannot be named.
    pub fn observe(&mut self, raw: &Value) -> Option<ObjectRef> {
        self.take(raw)
    }

    /// Takes an object as the API server answered with it, unless the watch has told of a later version already.
    pub fn learn(&mut self, raw: &Value) -> Option<ObjectRef> {
        self.take(raw)
    }

    /// A kind is listed anew: whatever comes next counts, even if its version is older. (So it is after the API server's
    /// database went back to a backup.)
    pub fn relisted(&mut self, kind: Kind) {
        let list = self.lists.entry(kind).or_default();
        *list = list.wrapping_add(1);
    }

    /// Forgets an object that is gone.
    pub fn remove(&mut self, object: &ObjectRef) {
        self.objects.remove(object);
    }

    /// What is held of one object.
    pub fn held(&self, object: &ObjectRef) -> Option<&Held> {
        self.objects.get(object)
    }

    /// Everything that is held.
    pub fn objects(&self) -> impl Iterator<Item = &ObjectRef> {
        self.objects.keys()
    }

    /// How many objects are held.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// The API version that objects of a kind are written in: the one they are read in.
    pub fn version(&self, kind: Kind) -> &str {
        self.versions.get(&kind).map_or_else(|| kind.versions()[0], String::as_str)
    }

    fn take(&mut self, raw: &Value) -> Option<ObjectRef> {
        let (kind, object) = named(raw)?;
        let version = raw["apiVersion"].as_str()?.rsplit('/').next().unwrap_or_default();
        if version == kind.versions()[0] {
            self.versions.remove(&kind);
        } else if self.versions.get(&kind).is_none_or(|known| known != version) {
            self.versions.insert(kind, version.to_owned());
        }
        let list = self.lists.get(&kind).copied().unwrap_or_default();
        let held = held(raw, list);
        let before = self.objects.get(&object);
        let lags = before.is_some_and(|before| {
            before.list == list && before.uid == held.uid && is_older(&held.resource_version, &before.resource_version)
        });
        if lags {
            return None;
        }
        let is_news = before.is_none_or(|before| {
            (&before.status, before.generation, &before.uid) != (&held.status, held.generation, &held.uid)
        });
        self.objects.insert(object.clone(), held);
        is_news.then_some(object)
    }
}

fn named(raw: &Value) -> Option<(Kind, ObjectRef)> {
    let (group, _) = raw["apiVersion"].as_str()?.split_once('/')?;
    let kind = Kind::parse(group, raw["kind"].as_str()?).filter(|kind| KINDS.contains(kind))?;
    let metadata = &raw["metadata"];
    let namespace = metadata["namespace"].as_str().unwrap_or_default();
    Some((kind, ObjectRef::new(kind, namespace, metadata["name"].as_str()?)))
}

fn held(raw: &Value, list: u32) -> Held {
    let metadata = &raw["metadata"];
    let text = |field: &str| metadata[field].as_str().unwrap_or_default().to_owned();
    let status = raw.get("status").filter(|status| !status.is_null());
    Held {
        resource_version: text("resourceVersion"),
        generation: metadata["generation"].as_i64().unwrap_or_default(),
        uid: text("uid"),
        status: status.map(Value::to_string).unwrap_or_default().into_boxed_str(),
        list,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn route(version: &str, generation: i64, status: &Value) -> Value {
        json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": {"namespace": "default", "name": "web", "uid": "u", "resourceVersion": version,
                "generation": generation, "managedFields": [{"manager": "kubectl"}]},
            "spec": {"rules": []}, "status": status})
    }

    fn web() -> ObjectRef {
        ObjectRef::new(Kind::HttpRoute, "default", "web")
    }

    #[test]
    fn only_a_new_generation_or_status_is_news() {
        let mut stored = Stored::default();
        let (empty, full) = (json!({"parents": []}), json!({"parents": [{"controllerName": "x"}]}));
        assert_eq!(stored.observe(&route("1", 1, &Value::Null)), Some(web()));
        assert_eq!(stored.held(&web()).unwrap().status(), json!({}));
        assert_eq!(stored.observe(&route("2", 1, &empty)), Some(web()));
        assert_eq!(stored.observe(&route("3", 1, &empty)), None, "labels are not looked at");
        assert_eq!(stored.held(&web()).unwrap().resource_version, "3", "but the version is");
        assert_eq!(stored.observe(&route("4", 2, &empty)), Some(web()));
        assert_eq!(stored.observe(&route("5", 2, &full)), Some(web()));
        assert_eq!(stored.held(&web()).unwrap().status(), full);
    }

    #[test]
    fn a_watch_that_lags_behind_an_answer_is_passed_over_until_the_next_list() {
        let mut stored = Stored::default();
        let (old, new) = (json!({"parents": []}), json!({"parents": [1]}));
        stored.observe(&route("7", 1, &old));
        stored.learn(&route("9", 1, &new));
        assert_eq!(stored.observe(&route("8", 1, &old)), None);
        assert_eq!(stored.held(&web()).unwrap().status(), new);
        stored.relisted(Kind::HttpRoute);
        assert_eq!(stored.observe(&route("8", 1, &old)), Some(web()), "the database went back");
        stored.learn(&route("3", 1, &new));
        assert_eq!(stored.held(&web()).unwrap().resource_version, "8", "an answer that the watch was faster than");
    }

    #[test]
    fn an_object_that_was_made_anew_is_another_one() {
        let mut stored = Stored::default();
        stored.learn(&route("900", 4, &json!({"parents": [1]})));
        let mut anew = route("90", 1, &Value::Null);
        anew["metadata"]["uid"] = "v".into();
        assert_eq!(stored.observe(&anew), Some(web()));
        stored.remove(&web());
        assert!(stored.is_empty());
    }

    #[test]
    fn kinds_without_a_status_of_ours_are_not_held() {
        let mut stored = Stored::default();
        for (version, kind) in
            [("v1", "Service"), ("gateway.networking.k8s.io/v1", "ReferenceGrant"), ("x.io/v1", "HTTPRoute")]
        {
            let raw = json!({"apiVersion": version, "kind": kind, "metadata": {"name": "a", "namespace": "b"}});
            assert_eq!(stored.observe(&raw), None, "{kind}");
        }
        assert_eq!(stored.observe(&json!({})), None);
        assert!(stored.is_empty());
    }

    #[test]
    fn an_object_is_written_in_the_version_that_it_is_read_in() {
        let mut stored = Stored::default();
        assert_eq!(stored.version(Kind::HttpRoute), "v1");
        let mut raw = route("1", 1, &Value::Null);
        raw["apiVersion"] = "gateway.networking.k8s.io/v1beta1".into();
        stored.observe(&raw);
        assert_eq!(stored.version(Kind::HttpRoute), "v1beta1");
        stored.observe(&route("2", 1, &Value::Null));
        assert_eq!(stored.version(Kind::HttpRoute), "v1");
    }
}
