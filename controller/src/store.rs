// SPDX-License-Identifier: Apache-2.0
//! Everything that is known of the objects, by kind and name. Changes come in as [`Event`]s; what they touched goes out
//! as [`Dirty`]. An object that became unreadable keeps its last good form, and so does a certificate that was renewed
//! with what cannot be used.
//!
//! Never asks anybody for an object, never decides what one means.

mod scope;

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::Serialize;
use torana_crds::core::{ConfigMap, EndpointSlice, Pod};
use torana_crds::parameters::IngressPort;
use torana_crds::{Kind, Object, ObjectRef, Spoken, StringMap, Unreadable};
use torana_ir::{GatewayId, SessionKey};

use crate::certificate::certificate;
use crate::hosts;
use crate::mesh::{self, Mesh};

pub use scope::Elsewhere;

/// One change of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It is there, new or changed.
    Applied(Arc<Object>),
    /// It is gone.
    Removed(ObjectRef),
    /// It is there and cannot be read: its last good form, if there is one, stays in force.
    Unreadable(ObjectRef, Unreadable),
}

/// The proxies of one Deployment, or one standalone process.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct FleetId(pub String);

impl FleetId {
    /// The one process that serves every Gateway where there is no cluster.
    pub fn standalone() -> Self {
        Self("standalone".to_owned())
    }
}

impl fmt::Display for FleetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How Gateways are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fleets {
    /// By one process, all of them, without a cluster: they share its ports, bind their `spec.addresses`, and the
    /// GatewayClass `torana` exists without being written.
    One,
    /// In a cluster, each by proxies of its own.
    Each,
}

/// Proxies that serve Istio's Gateways without any Gateway of Gateway API (`ingress`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingress {
    /// Their Service; their namespace is where they take credentials from.
    pub id: GatewayId,
    /// Labels of their pods, by which Gateways of Istio select them.
    pub labels: StringMap,
    /// Ports of their Service; `None`: clients reach them wherever they listen.
    pub ports: Option<Vec<IngressPort>>,
}

impl Ingress {
    /// As those who come from Istio expect it: `istio-system/istio-ingressgateway`, labelled `istio: ingressgateway`.
    pub fn of_istio() -> Self {
        let (namespace, name) = (mesh::NAMESPACE.to_owned(), "istio-ingressgateway".to_owned());
        let labels = [("app", "istio-ingressgateway"), ("istio", "ingressgateway")];
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Self { id: GatewayId { namespace, name }, labels, ports: None }
    }
}

/// What translation must know of ACME besides the objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acme {
    /// Namespace of the Secrets that Torana keeps for itself.
    pub home: String,
    /// Where authorities write to that need no object.
    pub email: Option<String>,
    /// Who signs for Gateways that do not say so themselves.
    pub issuer: Option<String>,
    /// Whether anything can be kept: without that nothing is ordered.
    pub has_storage: bool,
}

impl Default for Acme {
    fn default() -> Self {
        Self { home: "torana-system".to_owned(), email: None, issuer: None, has_storage: true }
    }
}

/// What translation must know besides the objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How Gateways are served.
    pub fleets: Fleets,
    /// Sockets of the proxies' own servers, each with a name for people (`the admin server`): no listener gets them.
    pub reserved: Vec<(SocketAddr, &'static str)>,
    /// What sessions of clients are sealed with: the same for all proxies of the fleet, and after a restart.
    pub session_key: SessionKey,
    /// Proxies for Gateways of Istio, if there are such.
    pub ingress: Option<Ingress>,
    /// Of Istio's objects those count that are for this revision, or for all (`istio.io/rev`).
    pub revision: String,
    /// What is to be known of ACME.
    pub acme: Acme,
    /// Now, in seconds since 1970: only decides whether to warn of an expired certificate.
    pub now: i64,
}

impl Settings {
    /// One standalone process without servers of its own. Its session key is known to everybody: whoever serves clients
    /// sets another.
    pub fn standalone(now: i64) -> Self {
        let session_key = SessionKey::new([0; 32]);
        let ingress = Some(Ingress::of_istio());
        let revision = mesh::REVISION.to_owned();
        let acme = Acme::default();
        Self { fleets: Fleets::One, reserved: Vec::new(), session_key, ingress, revision, acme, now }
    }

    /// A cluster, in which the proxies of every Gateway have servers at `reserved`.
    pub fn cluster(reserved: Vec<(SocketAddr, &'static str)>, session_key: SessionKey, now: i64) -> Self {
        let revision = mesh::REVISION.to_owned();
        let acme = Acme::default();
        Self { fleets: Fleets::Each, reserved, session_key, ingress: None, revision, acme, now }
    }

    /// Whether each Gateway has proxies of its own.
    pub fn is_cluster(&self) -> bool {
        self.fleets == Fleets::Each
    }
}

/// What changed since the last translation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dirty {
    /// Objects that came, changed, went, or became (un)readable.
    pub objects: BTreeSet<ObjectRef>,
    /// Services whose EndpointSlices did.
    pub endpoints: BTreeSet<ObjectRef>,
    /// Whole names and patterns of hosts whose ServiceEntries or DestinationRules did.
    pub hosts: BTreeSet<String>,
    /// What holds for all of Istio's objects did.
    pub mesh: bool,
}

impl Dirty {
    /// Nothing changed.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.endpoints.is_empty() && self.hosts.is_empty() && !self.mesh
    }

    /// Adds what `other` touched.
    pub fn merge(&mut self, other: Self) {
        self.objects.extend(other.objects);
        self.endpoints.extend(other.endpoints);
        self.hosts.extend(other.hosts);
        self.mesh |= other.mesh;
    }
}

type Named = BTreeMap<String, BTreeMap<String, Arc<Object>>>;

/// All objects, by kind, namespace and name.
#[derive(Debug, Clone)]
pub struct Cluster {
    settings: Settings,
    kinds: BTreeMap<Kind, Named>,
    slices: BTreeMap<ObjectRef, BTreeSet<String>>,
    /// ServiceEntries and DestinationRules by the hosts that they are of.
    hosts: BTreeMap<String, BTreeSet<ObjectRef>>,
    unreadable: BTreeMap<ObjectRef, Unreadable>,
    /// The last good form of Secrets whose certificate cannot be used as they are now.
    good: BTreeMap<ObjectRef, Arc<Object>>,
    /// What holds for all of Istio's objects.
    mesh: Mesh,
    /// Objects of Istio that are for others.
    aside: BTreeMap<ObjectRef, Arc<Object>>,
}

impl Cluster {
    /// Without any object.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            kinds: BTreeMap::new(),
            slices: BTreeMap::new(),
            hosts: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            good: BTreeMap::new(),
            mesh: Mesh::default(),
            aside: BTreeMap::new(),
        }
    }

    /// What translation must know besides the objects.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What holds for all of Istio's objects.
    pub fn mesh(&self) -> &Mesh {
        &self.mesh
    }

    /// Sets the time that certificates are judged by. It takes effect at the next translation that looks at them.
    pub fn tick(&mut self, now: i64) {
        self.settings.now = now;
    }

    /// Applies one change and tells what it touched: nothing, if the object is as it was.
    pub fn apply(&mut self, event: Event) -> Dirty {
        let mut dirty = Dirty::default();
        let knew_pods = self.knows_of::<Pod>();
        match event {
            Event::Applied(object) => self.applied(&object, &mut dirty),
            Event::Removed(reference) => {
                let was_unreadable = self.unreadable.remove(&reference).is_some();
                self.good.remove(&reference);
                let beside = self.aside.remove(&reference);
                let old = self.remove(&reference);
                self.slice_changed(old.as_deref(), None, &mut dirty);
                self.hosts_changed(&reference, (old.as_deref(), None), &mut dirty);
                self.mesh_changed(&reference, None, &mut dirty);
                if old.is_some() || beside.is_some() || was_unreadable {
                    dirty.objects.insert(reference);
                }
            }
            Event::Unreadable(reference, why) => {
                if self.unreadable.get(&reference) != Some(&why) {
                    self.unreadable.insert(reference.clone(), why);
                    dirty.objects.insert(reference);
                }
            }
        }
        // Whether pods are watched at all concerns every endpoint that is one.
        dirty.mesh |= knew_pods != self.knows_of::<Pod>();
        dirty
    }

    fn applied(&mut self, object: &Arc<Object>, dirty: &mut Dirty) {
        let reference = object.reference();
        let healed = self.unreadable.remove(&reference).is_some();
        let is_same = |old: &Arc<Object>| Arc::ptr_eq(old, object) || old == object;
        let beside = self.aside.remove(&reference);
        let same = if self.elsewhere(object).is_some() {
            let old = self.remove(&reference);
            self.hosts_changed(&reference, (old.as_deref(), None), dirty);
            self.aside.insert(reference.clone(), Arc::clone(object));
            beside.as_ref().is_some_and(is_same)
        } else {
            let old = self.insert(&reference, Arc::clone(object));
            let same = old.as_ref().is_some_and(is_same);
            if !same {
                self.renewed(&reference, old.as_ref(), object);
                self.slice_changed(old.as_deref(), Some(&**object), dirty);
                self.hosts_changed(&reference, (old.as_deref(), Some(&**object)), dirty);
                self.mesh_changed(&reference, Some(&**object), dirty);
            }
            same
        };
        if !same || healed {
            dirty.objects.insert(reference);
        }
    }

    /// Applies several changes.
    pub fn apply_all(&mut self, events: impl IntoIterator<Item = Event>) -> Dirty {
        let mut dirty = Dirty::default();
        for event in events {
            dirty.merge(self.apply(event));
        }
        dirty
    }

    /// One object by its name.
    pub fn find<T: Spoken>(&self, namespace: &str, name: &str) -> Option<&T> {
        self.object(T::KIND, namespace, name).and_then(|object| T::of(object))
    }

    /// One object by its name, as it is shared. Two calls give the same `Arc` if and only if it did not change between.
    pub fn object(&self, kind: Kind, namespace: &str, name: &str) -> Option<&Arc<Object>> {
        self.kinds.get(&kind)?.get(namespace)?.get(name)
    }

    /// Whether the object is there, of whatever kind.
    pub fn contains(&self, reference: &ObjectRef) -> bool {
        reference.known_kind().is_some_and(|kind| self.object(kind, &reference.namespace, &reference.name).is_some())
    }

    /// All objects of a kind, ordered by namespace and name.
    pub fn all<T: Spoken>(&self) -> impl Iterator<Item = &T> {
        let named = self.kinds.get(&T::KIND);
        named.into_iter().flat_map(|named| named.values().flat_map(BTreeMap::values)).filter_map(|object| T::of(object))
    }

    /// Whether there is any object of a kind.
    pub fn knows_of<T: Spoken>(&self) -> bool {
        self.kinds.get(&T::KIND).is_some_and(|named| !named.is_empty())
    }

    /// All objects of a kind in one namespace, ordered by name.
    pub fn within<T: Spoken>(&self, namespace: &str) -> impl Iterator<Item = &T> {
        let names = self.kinds.get(&T::KIND).and_then(|named| named.get(namespace));
        names.into_iter().flat_map(BTreeMap::values).filter_map(|object| T::of(object))
    }

    /// The EndpointSlices of a Service, ordered by name.
    pub fn slices(&self, service: &ObjectRef) -> impl Iterator<Item = &EndpointSlice> {
        let names = self.slices.get(service).into_iter().flatten();
        names.filter_map(|name| self.find(&service.namespace, name))
    }

    /// Objects of a kind (ServiceEntry or DestinationRule) that are of this very host: a whole name or a pattern.
    pub fn of_host<'c, T: Spoken + 'c>(&'c self, host: &str) -> impl Iterator<Item = &'c T> + use<'c, T> {
        let objects = self.hosts.get(host).into_iter().flatten();
        let of_kind = objects.filter(|object| object.known_kind() == Some(T::KIND));
        of_kind.filter_map(|object| self.find(&object.namespace, &object.name))
    }

    /// Patterns of hosts that some object of `T`'s kind is of, the longest first.
    pub fn patterns<'c, T: Spoken + 'c>(&'c self) -> Vec<&'c str> {
        let is_of = |objects: &BTreeSet<ObjectRef>| objects.iter().any(|it| it.known_kind() == Some(T::KIND));
        // `*` sorts before every letter and digit.
        let wild = self.hosts.range("*".to_owned().."+".to_owned()).filter(|(_, objects)| is_of(objects));
        let mut patterns: Vec<_> = wild.map(|(host, _)| host.as_str()).collect();
        patterns.sort_by(|one, two| two.len().cmp(&one.len()).then(one.cmp(two)));
        patterns
    }

    /// The last form of a Secret that held a usable certificate, if it holds none now. A Secret that is deleted takes it
    /// along, and so does the end of this process: what was good before is not looked for elsewhere.
    pub fn last_good(&self, secret: &ObjectRef) -> Option<&Arc<Object>> {
        self.good.get(secret)
    }

    /// Objects that are there and cannot be read, and why.
    pub fn unreadable(&self) -> &BTreeMap<ObjectRef, Unreadable> {
        &self.unreadable
    }

    /// As if every object had just come.
    pub fn everything(&self) -> Dirty {
        let named = self.kinds.values().flat_map(BTreeMap::values).flat_map(BTreeMap::values);
        let objects = named.map(|object| object.reference()).chain(self.unreadable.keys().cloned());
        let objects = objects.chain(self.aside.keys().cloned()).collect();
        let hosts = self.hosts.keys().cloned().collect();
        Dirty { objects, endpoints: self.slices.keys().cloned().collect(), hosts, mesh: true }
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.kinds.values().flat_map(BTreeMap::values).map(BTreeMap::len).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn insert(&mut self, reference: &ObjectRef, object: Arc<Object>) -> Option<Arc<Object>> {
        let named = self.kinds.entry(object.kind()).or_default();
        named.entry(reference.namespace.clone()).or_default().insert(reference.name.clone(), object)
    }

    fn remove(&mut self, reference: &ObjectRef) -> Option<Arc<Object>> {
        let named = self.kinds.get_mut(&reference.known_kind()?)?;
        let names = named.get_mut(&reference.namespace)?;
        let old = names.remove(&reference.name);
        if names.is_empty() {
            named.remove(&reference.namespace);
        }
        old
    }

    /// Only what replaces another object is looked at: what is there from the beginning has nothing to fall back to.
    fn renewed(&mut self, reference: &ObjectRef, old: Option<&Arc<Object>>, new: &Object) {
        let (Kind::Secret, Some(old)) = (new.kind(), old) else { return };
        if certificate(new).is_ok() {
            self.good.remove(reference);
        } else if certificate(old).is_ok() {
            self.good.insert(reference.clone(), Arc::clone(old));
        }
    }

    fn hosts_changed(&mut self, reference: &ObjectRef, change: (Option<&Object>, Option<&Object>), dirty: &mut Dirty) {
        for host in change.0.map(hosts_of).unwrap_or_default() {
            unlink(&mut self.hosts, &host, reference);
            dirty.hosts.insert(host);
        }
        for host in change.1.map(hosts_of).unwrap_or_default() {
            self.hosts.entry(host.clone()).or_default().insert(reference.clone());
            dirty.hosts.insert(host);
        }
    }

    /// What the mesh says may concern every object, and a namespace those in it.
    fn mesh_changed(&mut self, reference: &ObjectRef, now: Option<&Object>, dirty: &mut Dirty) {
        let kind = reference.known_kind();
        let is_map = kind == Some(Kind::ConfigMap);
        if is_map && self.mesh.take(reference, &self.settings.revision, now.and_then(ConfigMap::of)) {
            self.sort(None, dirty);
            dirty.mesh = true;
        }
        if kind == Some(Kind::Namespace) && !self.mesh.config().discovery_selectors.is_empty() {
            self.sort(Some(&reference.name), dirty);
        }
    }

    fn slice_changed(&mut self, old: Option<&Object>, new: Option<&Object>, dirty: &mut Dirty) {
        if let Some((service, name)) = old.and_then(service_of) {
            unlink(&mut self.slices, &service, name);
            dirty.endpoints.insert(service);
        }
        if let Some((service, name)) = new.and_then(service_of) {
            self.slices.entry(service.clone()).or_default().insert(name.to_owned());
            dirty.endpoints.insert(service);
        }
    }
}

/// Takes one of the values of `key` out of an index; a key without values goes.
pub(crate) fn unlink<K: Ord, V: Ord + Borrow<Q>, Q: Ord + ?Sized>(
    index: &mut BTreeMap<K, BTreeSet<V>>,
    key: &K,
    value: &Q,
) {
    if let Some(values) = index.get_mut(key) {
        values.remove(value);
        if values.is_empty() {
            index.remove(key);
        }
    }
}

/// Hosts that an object of Istio describes.
fn hosts_of(object: &Object) -> Vec<String> {
    match object {
        Object::ServiceEntry(entry) => {
            entry.spec.hosts.iter().map(|host| hosts::whole(host, &entry.meta.namespace)).collect()
        }
        Object::DestinationRule(rule) => vec![hosts::whole(&rule.spec.host, &rule.meta.namespace)],
        _ => Vec::new(),
    }
}

/// The Service of an EndpointSlice, and the slice's name.
fn service_of(object: &Object) -> Option<(ObjectRef, &str)> {
    let slice = EndpointSlice::of(object)?;
    Some((ObjectRef::new(Kind::Service, &slice.meta.namespace, slice.service()?), &slice.meta.name))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use torana_crds::core::Service;

    use super::*;

    fn object(value: Value) -> Arc<Object> {
        Arc::new(torana_crds::decode(value, "default").content.object().unwrap())
    }

    fn slice(name: &str, service: &str) -> Arc<Object> {
        let labels = json!({"kubernetes.io/service-name": service});
        let metadata = json!({"name": name, "labels": labels});
        object(json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata,
            "addressType": "IPv4"}))
    }

    fn service(name: &str, port: u16) -> Arc<Object> {
        object(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"ports": [{"port": port}]}}))
    }

    fn cluster() -> Cluster {
        Cluster::new(Settings::standalone(0))
    }

    #[test]
    fn an_object_that_is_as_it_was_is_not_dirty() {
        let mut cluster = cluster();
        assert!(!cluster.apply(Event::Applied(service("a", 80))).is_empty());
        assert!(cluster.apply(Event::Applied(service("a", 80))).is_empty());
        assert!(!cluster.apply(Event::Applied(service("a", 81))).is_empty());
        assert_eq!(cluster.find::<Service>("default", "a").unwrap().spec.ports[0].port, 81);
    }

    #[test]
    fn a_slice_that_moves_touches_the_service_that_it_leaves_and_the_one_that_it_joins() {
        let mut cluster = cluster();
        let (a, b) = (ObjectRef::new(Kind::Service, "default", "a"), ObjectRef::new(Kind::Service, "default", "b"));
        cluster.apply(Event::Applied(slice("x", "a")));
        assert_eq!(cluster.slices(&a).count(), 1);
        let dirty = cluster.apply(Event::Applied(slice("x", "b")));
        assert_eq!(dirty.endpoints, BTreeSet::from([a.clone(), b.clone()]));
        assert_eq!((cluster.slices(&a).count(), cluster.slices(&b).count()), (0, 1));
        cluster.apply(Event::Removed(ObjectRef::new(Kind::EndpointSlice, "default", "x")));
        assert_eq!(cluster.slices(&b).count(), 0);
    }

    #[test]
    fn an_unreadable_object_keeps_its_last_good_form() {
        let mut cluster = cluster();
        let name = ObjectRef::new(Kind::Service, "default", "a");
        cluster.apply(Event::Applied(service("a", 80)));
        let why = Unreadable { path: "spec.ports".into(), why: "wrong type".into() };
        assert!(!cluster.apply(Event::Unreadable(name.clone(), why.clone())).is_empty());
        assert!(cluster.apply(Event::Unreadable(name.clone(), why.clone())).is_empty());
        assert_eq!((cluster.unreadable().get(&name), cluster.contains(&name)), (Some(&why), true));
        assert!(!cluster.apply(Event::Applied(service("a", 80))).is_empty());
        assert!(cluster.unreadable().is_empty());
        cluster.apply(Event::Unreadable(name.clone(), why));
        assert!(!cluster.apply(Event::Removed(name.clone())).is_empty());
        assert!(!cluster.contains(&name) && cluster.unreadable().is_empty() && cluster.is_empty());
    }
}
