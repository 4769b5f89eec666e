// SPDX-License-Identifier: Apache-2.0
//! What a translation has to say to authors: of it the report is brought up to date, entry by entry. Never decides what
//! is true.

use std::collections::BTreeSet;
use std::sync::Arc;

use torana_crds::istio::{DestinationRule, PeerAuthentication, ServiceEntry, WorkloadEntry};
use torana_crds::{Kind, ObjectRef};

use super::Work;
use crate::hosts;
use crate::report::{Entry, Remark, Report};
use crate::translate::service_entries::{name_of, workload_entry};
use crate::translate::{destination_rules, issuers, mesh_config, peer_authentications, service_entries, traffic};

impl Work<'_> {
    /// Says what there is to say of VirtualServices, now that all hosts are known.
    pub(super) fn tell(&mut self, virtual_services: &BTreeSet<ObjectRef>) {
        for reference in virtual_services {
            let Some(entry) = self.memo.routes.get(reference).and_then(|memo| memo.entry.as_deref()) else { continue };
            let mut entry = entry.clone();
            entry.remarks.extend(self.memo.hosts.remarks(reference));
            self.is_news |= put(self.report, reference, entry);
        }
    }

    /// Fills in the numbers of attached routes.
    pub(super) fn count(&mut self) {
        for (object, draft) in &self.memo.frame.drafts {
            let mut entry = draft.entry.clone();
            for (listener, key) in entry.listeners.iter_mut().zip(&draft.keys) {
                listener.attached_routes = self.memo.attached.get(key).copied().unwrap_or_default();
            }
            self.is_news |= put(self.report, object, entry);
        }
    }

    /// Takes back what was said of objects that are not for others any more, before anything else is said of them.
    pub(super) fn returned(&mut self) {
        for object in self.dirty.objects.iter().filter(|object| self.cluster.aside(object).is_none()) {
            if self.memo.elsewhere.remove(object) {
                self.is_news |= remove(self.report, object);
            }
        }
    }

    /// Says of objects that they are for others, when everything else that was said of them is taken back.
    pub(super) fn elsewhere(&mut self) {
        for object in &self.dirty.objects {
            if let Some(entry) = mesh_config::elsewhere(self.cluster, object) {
                self.is_news |= put(self.report, object, entry);
                self.memo.elsewhere.insert(object.clone());
            }
        }
    }

    /// Tells the authors of DestinationRules, of ServiceEntries, of WorkloadEntries, of issuers and of the mesh's settings
    /// what is wrong with them: of those that changed, and of these `rules`.
    pub(super) fn described(&mut self, rules: &BTreeSet<ObjectRef>) {
        for object in self.dirty.objects.union(rules) {
            let (namespace, name) = (&object.namespace, &object.name);
            let entry = match object.known_kind() {
                Some(Kind::DestinationRule) => {
                    let rule = self.cluster.find::<DestinationRule>(namespace, name);
                    let namespaces = self.memo.frame.namespaces(self.cluster);
                    let originations = &mut self.memo.originations;
                    if rule.is_none() {
                        originations.settle(object, BTreeSet::new());
                    }
                    rule.map(|rule| {
                        let mut remarks = originations.remarks(self.cluster, (object, rule), &namespaces);
                        remarks.extend(traffic::unsupported(rule));
                        destination_rules::entry(rule, remarks)
                    })
                }
                Some(Kind::ServiceEntry) => {
                    let entry = self.cluster.find::<ServiceEntry>(namespace, name);
                    entry.map(|entry| self.of_entry(object, entry))
                }
                Some(Kind::WorkloadEntry) => {
                    let entry = self.cluster.find::<WorkloadEntry>(namespace, name);
                    entry.map(|entry| workload_entry(entry, self.cluster.settings().is_cluster()))
                }
                Some(Kind::PeerAuthentication) => {
                    self.cluster.find::<PeerAuthentication>(namespace, name).map(peer_authentications::entry)
                }
                Some(Kind::AcmeIssuer | Kind::ClusterAcmeIssuer) => issuers::entry(self.cluster, object),
                Some(Kind::ConfigMap) => mesh_config::entry(self.cluster, object),
                _ => continue,
            };
            self.is_news |= match entry {
                Some(entry) => put(self.report, object, entry),
                None => remove(self.report, object),
            };
        }
    }

    /// What there is to say of a ServiceEntry: by itself, and of what becomes of its hosts that are used.
    fn of_entry(&self, object: &ObjectRef, entry: &ServiceEntry) -> Entry {
        let mut all = service_entries::entry(entry, self.cluster.settings().is_cluster());
        for host in &entry.spec.hosts {
            let name = name_of(&hosts::whole(host, &object.namespace));
            let service = ObjectRef::new(Kind::ServiceEntry, &object.namespace, &name);
            let told = self.memo.services.get(&service).and_then(|memo| memo.of_entries.get(object));
            let new: Vec<_> = told.into_iter().flatten().filter(|remark| !all.remarks.contains(remark)).collect();
            all.remarks.extend(new.into_iter().cloned());
        }
        all
    }

    /// Tells the authors of policies that changed, or whose Services did.
    pub(super) fn policies(&mut self, services: &BTreeSet<ObjectRef>) {
        let policies = &self.memo.policies;
        let is_policy = |it: &&ObjectRef| matches!(it.known_kind(), Some(Kind::BackendTlsPolicy | Kind::TrafficPolicy));
        let dirty = self.dirty.objects.iter().filter(is_policy);
        let touched: BTreeSet<_> = services.iter().flat_map(|service| policies.of(service)).chain(dirty).collect();
        for policy in touched {
            self.is_news |= match policies.entry(self.cluster, policy, &self.memo.reach) {
                Some(entry) => put(self.report, policy, entry),
                None => remove(self.report, policy),
            };
        }
    }

    pub(super) fn unreadable(&mut self) {
        if self.cluster.unreadable().is_empty() && self.report.unreadable.is_empty() {
            return;
        }
        let remark = |(object, why): (&ObjectRef, &torana_crds::Unreadable)| {
            let follows = if self.cluster.contains(object) { "its last good form is used" } else { "it is not used" };
            let message = format!("{}, so {follows}", why.why);
            (object.clone(), Remark::error("Unreadable", &why.path, message, "correct the field"))
        };
        let unreadable = self.cluster.unreadable().iter().map(remark).collect();
        self.is_news |= self.report.unreadable != unreadable;
        self.report.unreadable = unreadable;
    }
}

/// Keeps the entry that is there if it says the same; returns whether it does not.
pub(super) fn put(report: &mut Report, object: &ObjectRef, entry: Entry) -> bool {
    if entry.is_empty() {
        return remove(report, object);
    }
    let is_news = report.objects.get(object).is_none_or(|old| **old != entry);
    if is_news {
        report.objects.insert(object.clone(), Arc::new(entry));
    }
    is_news
}

/// Returns whether there was an entry.
pub(super) fn remove(report: &mut Report, object: &ObjectRef) -> bool {
    report.objects.remove(object).is_some()
}
