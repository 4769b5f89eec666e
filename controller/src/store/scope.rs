// SPDX-License-Identifier: Apache-2.0
//! Which of Istio's objects are for others: those that are labelled for another revision, and those of namespaces that the
//! mesh does not look into (`discoverySelectors`). They are kept aside, so that nobody sees them but who asks for them.
//!
//! Never looks at what such an object says.

use std::sync::Arc;

use torana_crds::core::Namespace;
use torana_crds::{ISTIO_GROUPS, Kind, Object, ObjectRef, StringMap};

use super::{Cluster, Dirty};

/// The revision of Istio that an object is for; without this label, every one.
const REVISION: &str = "istio.io/rev";

/// Why an object is for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Elsewhere<'o> {
    /// It is labelled for this revision.
    Revision(&'o str),
    /// The mesh does not look into its namespace.
    Namespace,
}

/// Whether Istio's label and selectors hold for objects of the kind.
fn is_istios(kind: Kind) -> bool {
    ISTIO_GROUPS.contains(&kind.group())
}

impl Cluster {
    /// Why an object is for others, if it is.
    pub fn elsewhere<'o>(&self, object: &'o Object) -> Option<Elsewhere<'o>> {
        if !is_istios(object.kind()) {
            return None;
        }
        let meta = object.meta();
        match meta.labels.get(REVISION) {
            Some(revision) if *revision != self.settings.revision => Some(Elsewhere::Revision(revision)),
            _ if !self.looks_into(&meta.namespace) => Some(Elsewhere::Namespace),
            _ => None,
        }
    }

    /// Whether the mesh looks into a namespace: `discoverySelectors`, of which one is enough.
    pub fn looks_into(&self, namespace: &str) -> bool {
        let selectors = &self.mesh.config().discovery_selectors;
        if selectors.is_empty() {
            return true;
        }
        // Without a cluster a namespace exists by being named; the API server would give it this label.
        let named = || StringMap::from([("kubernetes.io/metadata.name".to_owned(), namespace.to_owned())]);
        let labels = self.find::<Namespace>("", namespace).map_or_else(named, |it| it.meta.labels.clone());
        selectors.iter().any(|selector| selector.matches(&labels))
    }

    /// An object that is for others, by its name.
    pub fn aside(&self, reference: &ObjectRef) -> Option<&Arc<Object>> {
        self.aside.get(reference)
    }

    /// Names of objects of a kind that are for others.
    pub fn all_aside(&self, kind: Kind) -> impl Iterator<Item = &ObjectRef> {
        self.aside.keys().filter(move |reference| reference.known_kind() == Some(kind))
    }

    /// Puts every object of Istio, or those of a namespace, where it belongs now.
    pub(super) fn sort(&mut self, namespace: Option<&str>, dirty: &mut Dirty) {
        let is_here = |object: &Object| namespace.is_none_or(|here| object.meta().namespace == here);
        let kinds = self.kinds.iter().filter(|(kind, _)| is_istios(**kind)).map(|(_, named)| named);
        let seen = kinds.flat_map(|named| named.values().flat_map(|names| names.values()));
        let leaving = seen.filter(|object| is_here(object) && self.elsewhere(object).is_some());
        let leaving: Vec<_> = leaving.map(|object| object.reference()).collect();
        let coming = self.aside.values().filter(|object| is_here(object) && self.elsewhere(object).is_none());
        let coming: Vec<_> = coming.map(|object| object.reference()).collect();
        for reference in leaving {
            if let Some(object) = self.remove(&reference) {
                self.hosts_changed(&reference, (Some(&*object), None), dirty);
                self.aside.insert(reference.clone(), object);
            }
            dirty.objects.insert(reference);
        }
        for reference in coming {
            if let Some(object) = self.aside.remove(&reference) {
                self.hosts_changed(&reference, (None, Some(&*object)), dirty);
                self.insert(&reference, object);
            }
            dirty.objects.insert(reference);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use torana_crds::istio::{DestinationRule, VirtualService};

    use super::*;
    use crate::store::{Event, Settings};

    fn apply(cluster: &mut Cluster, value: Value) -> Dirty {
        cluster.apply(Event::Applied(Arc::new(torana_crds::decode(value, "").content.object().unwrap())))
    }

    fn service(name: &str, revision: Option<&str>) -> Value {
        let labels = revision.map(|revision| json!({REVISION: revision})).unwrap_or_default();
        json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
            "metadata": {"namespace": "a", "name": name, "labels": labels}, "spec": {"hosts": ["a.example"]}})
    }

    fn seen(cluster: &Cluster) -> Vec<&str> {
        cluster.all::<VirtualService>().map(|it| it.meta.name.as_str()).collect()
    }

    #[test]
    fn objects_of_another_revision_are_not_seen() {
        for (revision, expected) in [("default", ["anybody", "default"]), ("canary", ["anybody", "canary"])] {
            let mut cluster = Cluster::new(Settings { revision: revision.to_owned(), ..Settings::standalone(0) });
            for (name, label) in [("anybody", None), ("canary", Some("canary")), ("default", Some("default"))] {
                assert!(!apply(&mut cluster, service(name, label)).is_empty());
                assert!(apply(&mut cluster, service(name, label)).is_empty(), "the same again");
            }
            assert_eq!((seen(&cluster), cluster.len()), (expected.to_vec(), 2));
            let other =
                ObjectRef::new(Kind::VirtualService, "a", if revision == "canary" { "default" } else { "canary" });
            assert!(cluster.aside(&other).is_some() && !cluster.contains(&other));
            // It changes sides, and back, and goes.
            let moved = apply(&mut cluster, service(&other.name, None));
            assert!(moved.objects.contains(&other) && cluster.contains(&other) && cluster.aside(&other).is_none());
            apply(&mut cluster, service(&other.name, Some("third")));
            assert!(!cluster.contains(&other) && cluster.aside(&other).is_some());
            assert!(cluster.apply(Event::Removed(other.clone())).objects.contains(&other));
            assert!(cluster.aside(&other).is_none());
        }
    }

    #[test]
    fn objects_of_namespaces_that_are_not_selected_are_not_seen() {
        let mut cluster = Cluster::new(Settings::standalone(0));
        let namespace = |team: &str| {
            json!({"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": "a", "labels": {"team": team}}})
        };
        let mesh = |text: &str| {
            json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"namespace": "istio-system", "name": "istio"}, "data": {"mesh": text}})
        };
        apply(&mut cluster, namespace("red"));
        apply(&mut cluster, service("v", None));
        let rule = json!({"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule",
            "metadata": {"namespace": "a", "name": "d"}, "spec": {"host": "a.example"}});
        apply(&mut cluster, rule);
        let rules = |cluster: &Cluster| cluster.of_host::<DestinationRule>("a.example").count();
        assert_eq!((seen(&cluster).len(), rules(&cluster)), (1, 1));
        let dirty = apply(&mut cluster, mesh("discoverySelectors: [{matchLabels: {team: blue}}]"));
        assert!(dirty.hosts.contains("a.example"));
        assert_eq!((seen(&cluster).len(), rules(&cluster), cluster.looks_into("a")), (0, 0, false));
        let dirty = apply(&mut cluster, namespace("blue"));
        assert!(dirty.hosts.contains("a.example"));
        assert_eq!((seen(&cluster).len(), rules(&cluster), cluster.looks_into("a")), (1, 1, true));
        cluster.apply(Event::Removed(ObjectRef::new(Kind::Namespace, "", "a")));
        assert!(seen(&cluster).is_empty(), "nothing is known of its labels");
        let by_name =
            "discoverySelectors: [{matchLabels: {kubernetes.io/metadata.name: a}}, {matchLabels: {team: blue}}]";
        apply(&mut cluster, mesh(by_name));
        assert_eq!(seen(&cluster).len(), 1);
    }
}
