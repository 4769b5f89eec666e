// SPDX-License-Identifier: Apache-2.0
//! The incremental part: from what changed to what must be translated anew. Everything that it calls is a pure function
//! of the objects; here is only decided which of those functions to call again, and what of the last result stays.
//!
//! A route is translated again if it changed, or an object that it was judged by, or a parent that it names; a Service
//! if it changed, its EndpointSlices, or who uses it; the frame if one of its kinds changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use torana_crds::{Kind, ObjectRef};
use torana_ir::{BackendKey, Delta, ListenerKey, Resource, ResourceKey, Snapshot};

use crate::report::{Entry, Remark, Report};
use crate::store::{Cluster, Dirty};
use crate::translate::frame::Frame;
use crate::translate::ledger::every;
use crate::translate::routes::{self, RouteOutput};
use crate::translate::services::{self, UsedPorts, Users};

/// What a translation remembers for the next one.
#[derive(Debug, Clone, Default)]
pub(super) struct Memo {
    frame: Frame,
    routes: BTreeMap<ObjectRef, RouteMemo>,
    /// Routes by the objects that they were judged by.
    needs: BTreeMap<ObjectRef, BTreeSet<ObjectRef>>,
    /// Attached routes by listener.
    attached: BTreeMap<ListenerKey, u32>,
    /// Users by Service and port.
    uses: BTreeMap<ObjectRef, UsedPorts>,
    services: BTreeMap<ObjectRef, ServiceMemo>,
}

#[derive(Debug, Clone, Default)]
struct RouteMemo {
    /// Of requests or of streams.
    rules: Vec<ResourceKey>,
    attached: BTreeSet<ListenerKey>,
    backends: BTreeSet<BackendKey>,
    needs: BTreeSet<ObjectRef>,
}

#[derive(Debug, Clone, Default)]
struct ServiceMemo {
    backends: BTreeSet<BackendKey>,
    entries: BTreeSet<ObjectRef>,
}

/// One translation under way.
pub(super) struct Work<'w> {
    pub(super) cluster: &'w Cluster,
    pub(super) dirty: &'w Dirty,
    /// As it was; changes are gathered in `delta`.
    pub(super) snapshot: &'w Snapshot,
    pub(super) report: &'w mut Report,
    pub(super) memo: &'w mut Memo,
    pub(super) delta: Delta,
}

impl Work<'_> {
    /// Does all of it and returns what changes in the snapshot.
    pub(super) fn run(mut self) -> Delta {
        let is_frame = |object: &ObjectRef| object.known_kind().is_some_and(Frame::is_made_of);
        let is_new_frame = self.dirty.objects.iter().any(is_frame);
        let mut causes = if is_new_frame { self.frame() } else { BTreeSet::new() };
        causes.extend(self.dirty.objects.iter().cloned());
        let routes = self.affected(&causes);
        let counted = self.memo.attached.clone();
        let mut services: BTreeSet<ObjectRef> = BTreeSet::new();
        for route in routes {
            self.route(&route, &mut services);
        }
        if is_new_frame || counted != self.memo.attached {
            self.count();
        }
        services.extend(self.dirty.endpoints.iter().cloned());
        services.extend(self.dirty.objects.iter().filter(|it| it.known_kind() == Some(Kind::Service)).cloned());
        for service in services {
            self.service(&service);
        }
        self.unreadable();
        self.delta
    }

    /// Makes a new frame; returns the parents that look different now.
    fn frame(&mut self) -> BTreeSet<ObjectRef> {
        let frame = Frame::new(self.cluster, &self.memo.frame);
        let snapshot = self.snapshot;
        for (key, listener) in &frame.listeners {
            if snapshot.listeners.get(key).is_none_or(|old| **old != *listener) {
                self.delta.upserts.push(Resource::Listener(Arc::new(listener.clone())));
            }
        }
        let gone = snapshot.listeners.keys().filter(|key| !frame.listeners.contains_key(key));
        self.delta.removals.extend(gone.cloned().map(ResourceKey::Listener));
        for (key, certificate) in &frame.certificates {
            if snapshot.certificates.get(key).is_none_or(|old| old != certificate) {
                self.delta.upserts.push(Resource::Certificate(Arc::clone(certificate)));
            }
        }
        let gone = snapshot.certificates.keys().filter(|key| !frame.certificates.contains_key(key));
        self.delta.removals.extend(gone.cloned().map(ResourceKey::Certificate));
        let before = std::mem::replace(&mut self.memo.frame, frame);
        let frame = &self.memo.frame;
        for gone in before.drafts.keys().filter(|object| !frame.drafts.contains_key(object)) {
            self.report.objects.remove(gone);
        }
        let new = frame.parents.iter().filter(|(object, parent)| before.parents.get(object) != Some(*parent));
        let gone = before.parents.keys().filter(|object| !frame.parents.contains_key(object));
        new.map(|(object, _)| object).chain(gone).cloned().collect()
    }

    /// Routes that must be translated because of `causes`.
    fn affected(&self, causes: &BTreeSet<ObjectRef>) -> BTreeSet<ObjectRef> {
        let mut affected = BTreeSet::new();
        for cause in causes {
            let kind = cause.known_kind();
            if kind.is_some_and(|kind| routes::KINDS.contains(&kind)) {
                affected.insert(cause.clone());
            }
            let mut because =
                |object: &ObjectRef| affected.extend(self.memo.needs.get(object).into_iter().flatten().cloned());
            because(cause);
            if let Some(kind @ (Kind::ReferenceGrant | Kind::BackendTlsPolicy)) = kind {
                because(&every(kind, &cause.namespace));
            }
        }
        affected
    }

    fn route(&mut self, reference: &ObjectRef, services: &mut BTreeSet<ObjectRef>) {
        let kind = reference.known_kind();
        let object = kind.and_then(|kind| self.cluster.object(kind, &reference.namespace, &reference.name));
        let parents = &self.memo.frame.parents;
        let output = object.and_then(|object| routes::route(self.cluster, parents, object));
        if let Some(old) = self.memo.routes.remove(reference) {
            self.forget(reference, &old, services);
            let stays = output.as_ref().map(rules_of).unwrap_or_default();
            self.delta.removals.extend(old.rules.iter().filter(|key| !stays.contains(key)).cloned());
        }
        let Some(output) = output else {
            self.report.objects.remove(reference);
            return;
        };
        self.remember(reference, output, services);
    }

    fn forget(&mut self, reference: &ObjectRef, old: &RouteMemo, services: &mut BTreeSet<ObjectRef>) {
        for need in &old.needs {
            if let Some(routes) = self.memo.needs.get_mut(need) {
                routes.remove(reference);
                if routes.is_empty() {
                    self.memo.needs.remove(need);
                }
            }
        }
        for listener in &old.attached {
            if let Some(count) = self.memo.attached.get_mut(listener) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.memo.attached.remove(listener);
                }
            }
        }
        for backend in &old.backends {
            let service = service_of(backend);
            if let Some(ports) = self.memo.uses.get_mut(&service) {
                let port = (backend.port, backend.transport);
                if let Some(users) = ports.get_mut(&port) {
                    let count = users.of(reference.known_kind());
                    *count = count.saturating_sub(1);
                    if *users == Users::default() {
                        ports.remove(&port);
                    }
                }
                if ports.is_empty() {
                    self.memo.uses.remove(&service);
                }
            }
            services.insert(service);
        }
    }

    fn remember(&mut self, reference: &ObjectRef, output: RouteOutput, services: &mut BTreeSet<ObjectRef>) {
        let keys = rules_of(&output);
        let RouteOutput { rules, streams, entry, attached, backends, needs } = output;
        for need in &needs {
            self.memo.needs.entry(need.clone()).or_default().insert(reference.clone());
        }
        for listener in &attached {
            *self.memo.attached.entry(listener.clone()).or_default() += 1;
        }
        for backend in &backends {
            let service = service_of(backend);
            let ports = self.memo.uses.entry(service.clone()).or_default();
            *ports.entry((backend.port, backend.transport)).or_default().of(reference.known_kind()) += 1;
            services.insert(service);
        }
        put(self.report, reference, entry);
        for rule in rules {
            if self.snapshot.rules.get(&rule.key).is_none_or(|old| **old != rule) {
                self.delta.upserts.push(Resource::Rule(Arc::new(rule)));
            }
        }
        for rule in streams {
            if self.snapshot.streams.get(&rule.key).is_none_or(|old| **old != rule) {
                self.delta.upserts.push(Resource::Stream(Arc::new(rule)));
            }
        }
        self.memo.routes.insert(reference.clone(), RouteMemo { rules: keys, attached, backends, needs });
    }

    /// Fills in the numbers of attached routes.
    fn count(&mut self) {
        for (object, draft) in &self.memo.frame.drafts {
            let mut entry = draft.entry.clone();
            for (listener, key) in entry.listeners.iter_mut().zip(&draft.keys) {
                listener.attached_routes = self.memo.attached.get(key).copied().unwrap_or_default();
            }
            put(self.report, object, entry);
        }
    }

    fn service(&mut self, reference: &ObjectRef) {
        let old = self.memo.services.remove(reference).unwrap_or_default();
        let output = match self.memo.uses.get(reference) {
            Some(used) => services::service(self.cluster, reference, used),
            None => services::ServiceOutput::default(),
        };
        let snapshot = self.snapshot;
        for key in old.backends.iter().filter(|key| !output.backends.contains_key(key)) {
            self.delta.removals.extend([ResourceKey::Backend(key.clone()), ResourceKey::Endpoints(key.clone())]);
        }
        for object in old.entries.iter().filter(|object| !output.entries.contains_key(object)) {
            self.report.objects.remove(object);
        }
        let memo = ServiceMemo {
            backends: output.backends.keys().cloned().collect(),
            entries: output.entries.keys().cloned().collect(),
        };
        for (key, (backend, endpoints)) in output.backends {
            if snapshot.backends.get(&key).is_none_or(|old| **old != backend) {
                self.delta.upserts.push(Resource::Backend(Arc::new(backend)));
            }
            if snapshot.endpoints.get(&key).is_none_or(|old| **old != endpoints) {
                self.delta.upserts.push(Resource::Endpoints(Arc::new(endpoints)));
            }
        }
        for (object, entry) in output.entries {
            put(self.report, &object, entry);
        }
        if !memo.backends.is_empty() {
            self.memo.services.insert(reference.clone(), memo);
        }
    }

    fn unreadable(&mut self) {
        if self.cluster.unreadable().is_empty() && self.report.unreadable.is_empty() {
            return;
        }
        let remark = |(object, why): (&ObjectRef, &torana_crds::Unreadable)| {
            let follows = if self.cluster.contains(object) { "its last good form is used" } else { "it is not used" };
            let message = format!("{}, so {follows}", why.why);
            (object.clone(), Remark::error("Unreadable", &why.path, message, "correct the field"))
        };
        self.report.unreadable = self.cluster.unreadable().iter().map(remark).collect();
    }
}

/// Keeps the entry that is there if it says the same.
fn put(report: &mut Report, object: &ObjectRef, entry: Entry) {
    if entry.is_empty() {
        report.objects.remove(object);
    } else if report.objects.get(object).is_none_or(|old| **old != entry) {
        report.objects.insert(object.clone(), Arc::new(entry));
    }
}

fn rules_of(output: &RouteOutput) -> Vec<ResourceKey> {
    let requests = output.rules.iter().map(|rule| ResourceKey::Rule(rule.key.clone()));
    requests.chain(output.streams.iter().map(|rule| ResourceKey::Stream(rule.key.clone()))).collect()
}

fn service_of(backend: &BackendKey) -> ObjectRef {
    ObjectRef::new(Kind::Service, &backend.namespace, &backend.name)
}
