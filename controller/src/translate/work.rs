// SPDX-License-Identifier: Apache-2.0
//! The incremental part: from what changed to what must be translated anew. Everything that it calls is a pure function
//! of the objects; here is only decided which of those functions to call again, and what of the last result stays.
//!
//! A route is translated again if it changed, or an object that it was judged by, or a parent that it names; a Service
//! if it changed, its EndpointSlices, a policy that targets it, or who uses it; a policy if it changed, what it refers to,
//! or a Service that it targets; the frame if one of its kinds changed. What holds for the whole mesh concerns the frame,
//! every VirtualService and every Service that is used.

mod said;

mod beside;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use torana_crds::core::{EndpointSlice, Service, SliceEndpoint};
use torana_crds::istio::DestinationRule;
use torana_crds::{Kind, ObjectRef};
use torana_ir::{
    BackendKey, Certificate, CertificateKey, Delta, GatewayId, ListenerKey, Resource, ResourceKey, SharedMap, Snapshot,
    TrustBundle, TrustBundleKey,
};

use crate::hosts;
use crate::report::{Entry, Remark, Report};
use crate::store::{Cluster, Dirty, unlink};
use crate::translate::destination_rules::{is_host, of_host};
use crate::translate::fleets::{Apart, take};
use crate::translate::frame::{Frame, Parent};
use crate::translate::istio;
use crate::translate::ledger::every;
use crate::translate::originations::{Originations, is_about_tls};
use crate::translate::policies::Policies;
use crate::translate::proxies::Proxies;
use crate::translate::routes::{self, RouteOutput};
use crate::translate::service_entries::{host_named, host_of};
use crate::translate::services::{UsedPorts, Users, has_rule};
use crate::translate::shared_hosts::SharedHosts;
use crate::translate::targets::Reach;
use crate::translate::views::{Viewed, viewed};
use said::{put, remove};

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
    policies: Policies,
    /// Gateways by the Services that their routes reach.
    reach: Reach,
    /// What is read for DestinationRules.
    originations: Originations,
    /// What services are to some fleets only.
    apart: Apart,
    /// Hosts of routes and VirtualServices.
    hosts: SharedHosts,
    /// How many Services need a certificate or authorities.
    needed: BTreeMap<ResourceKey, u32>,
    /// Services by the objects, there or not, that say how they are reached: their namespaces, and waypoints.
    behind: BTreeMap<ObjectRef, BTreeSet<ObjectRef>>,
    /// Objects of which is said that they are for others.
    elsewhere: BTreeSet<ObjectRef>,
}

impl Memo {
    /// What routes may name as their parent and is ours.
    pub(super) fn parents(&self) -> impl Iterator<Item = &ObjectRef> {
        let parents = self.frame.parents.iter();
        parents.filter(|(_, parent)| matches!(parent, Parent::Ours(_))).map(|(object, _)| object)
    }

    /// Everything that is not about routes.
    pub(super) fn frame(&self) -> &Frame {
        &self.frame
    }

    /// What services are to some fleets in place of what they are to the others.
    pub(super) fn apart(&self) -> &Apart {
        &self.apart
    }

    /// Proxies whose routes lead to a service, each fleet once.
    fn fleets(&self, service: &ObjectRef) -> Vec<Arc<Proxies>> {
        let gateways = self.reach.get(service).into_iter().flat_map(BTreeMap::keys);
        gateways.filter_map(|gateway| self.frame.proxies.get(gateway)).map(Arc::clone).collect()
    }

    /// A certificate that a backend is shown.
    fn certificate<'m>(&'m self, need: &'m ResourceKey) -> Option<(&'m CertificateKey, &'m Arc<Certificate>)> {
        let ResourceKey::Certificate(key) = need else { return None };
        let served = self.frame.certificates.get(key);
        Some((key, served.or_else(|| self.originations.certificate(key))?))
    }

    /// Authorities of a backend.
    fn bundle<'m>(&'m self, need: &'m ResourceKey) -> Option<(&'m TrustBundleKey, &'m Arc<TrustBundle>)> {
        let ResourceKey::TrustBundle(key) = need else { return None };
        Some((key, self.policies.bundle(key).or_else(|| self.originations.bundle(key))?))
    }
}

#[derive(Debug, Clone, Default)]
struct RouteMemo {
    /// Of requests or of streams.
    rules: Vec<ResourceKey>,
    attached: BTreeSet<ListenerKey>,
    backends: BTreeSet<BackendKey>,
    needs: BTreeSet<ObjectRef>,
    /// What there is to say of a VirtualService, but for the hosts that it shares.
    entry: Option<Arc<Entry>>,
}

#[derive(Debug, Clone, Default)]
struct ServiceMemo {
    backends: BTreeSet<BackendKey>,
    /// Certificates and authorities.
    needs: BTreeSet<ResourceKey>,
    entries: BTreeSet<ObjectRef>,
    /// What there is to say to ServiceEntries beside what there is to say of each by itself.
    of_entries: BTreeMap<ObjectRef, Vec<Remark>>,
    /// Pods of its namespace were looked at.
    reads_pods: bool,
    /// Objects, there or not, that say how it is reached.
    ways: BTreeSet<ObjectRef>,
}

/// One translation under way.
pub(super) struct Work<'w> {
    cluster: &'w Cluster,
    dirty: &'w Dirty,
    /// As it was; changes are gathered in `delta`.
    snapshot: &'w Snapshot,
    report: &'w mut Report,
    memo: &'w mut Memo,
    delta: Delta,
    /// Whether the report says something else than it did.
    is_news: bool,
    /// Whether some backend needs other certificates or authorities than it did.
    is_shown_anew: bool,
    /// ServiceEntries of which services say something else than they did.
    entries_told: BTreeSet<ObjectRef>,
}

impl<'w> Work<'w> {
    /// What is to be done about `dirty` objects; `snapshot`, `report` and `memo` are of the last time.
    pub(super) fn new(
        (cluster, dirty): (&'w Cluster, &'w Dirty),
        snapshot: &'w Snapshot,
        report: &'w mut Report,
        memo: &'w mut Memo,
    ) -> Self {
        let (is_news, is_shown_anew) = (false, false);
        let (delta, entries_told) = (Delta::default(), BTreeSet::new());
        Self { cluster, dirty, snapshot, report, memo, delta, is_news, is_shown_anew, entries_told }
    }

    /// Does all of it and returns what changes in the snapshot, and whether anything does in the report.
    pub(super) fn run(mut self) -> (Delta, bool) {
        self.returned();
        let is_new_frame = self.memo.frame.is_outdated(self.cluster, self.dirty);
        let (mut causes, moved) = if is_new_frame { self.frame() } else { <_>::default() };
        causes.extend(self.dirty.objects.iter().cloned());
        let routes = self.affected(&causes);
        let counted = self.memo.attached.clone();
        let mut services = self.memo.policies.update(self.cluster, self.dirty);
        let mut told = BTreeSet::new();
        for route in routes {
            self.route(&route, &mut services, &mut told);
        }
        self.tell(&told);
        if is_new_frame {
            self.providers(&mut services);
        }
        if self.dirty.mesh {
            services.extend(self.memo.uses.keys().cloned());
        }
        if is_new_frame || counted != self.memo.attached {
            self.count();
        }
        services.extend(self.dirty.endpoints.iter().cloned());
        services.extend(self.dirty.endpoints.iter().chain(&self.dirty.objects).flat_map(|it| self.behind(it)).cloned());
        services.extend(self.dirty.objects.iter().filter(|it| it.known_kind() == Some(Kind::Service)).cloned());
        services.extend(self.of_hosts());
        let (mut rules, credited) = self.credited(&moved);
        services.extend(credited);
        // A slice may move from one Service to another: what one has no more to say of it, the other may say now.
        let mut said = BTreeMap::new();
        for service in &services {
            self.service(service, &mut said);
        }
        for (object, _) in said.iter().filter(|(_, still)| !**still) {
            self.is_news |= remove(self.report, object);
        }
        self.policies(&services);
        rules.append(&mut self.entries_told);
        self.described(&rules);
        if is_new_frame || self.is_shown_anew {
            self.certificates();
        }
        self.elsewhere();
        self.bundles();
        self.unreadable();
        (self.delta, self.is_news)
    }

    /// Makes a new frame; returns the parents that look different now, and the Gateways whose proxies do.
    fn frame(&mut self) -> (BTreeSet<ObjectRef>, BTreeSet<GatewayId>) {
        let frame = Frame::new(self.cluster, &self.memo.frame);
        let snapshot = self.snapshot;
        let to = &mut self.delta;
        change(to, &snapshot.listeners, &frame.listeners, (Resource::Listener, ResourceKey::Listener));
        change(to, &snapshot.acme_hosts, &frame.acme_hosts, (Resource::AcmeHost, ResourceKey::AcmeHost));
        change(to, &snapshot.policies, &frame.policies, (Resource::Policy, ResourceKey::Policy));
        change(to, &snapshot.tokens, &frame.tokens, (Resource::Tokens, ResourceKey::Tokens));
        change(to, &snapshot.providers, &frame.providers, (Resource::Provider, ResourceKey::Provider));
        let before = std::mem::replace(&mut self.memo.frame, frame);
        let frame = &self.memo.frame;
        for gone in before.drafts.keys().filter(|object| !frame.drafts.contains_key(object)) {
            self.is_news |= remove(self.report, gone);
        }
        let new = frame.parents.iter().filter(|(object, parent)| before.parents.get(object) != Some(*parent));
        let gone = before.parents.keys().filter(|object| !frame.parents.contains_key(object));
        let parents = new.map(|(object, _)| object).chain(gone).cloned().collect();
        let moved = frame.proxies.iter().filter(|(gateway, proxies)| before.proxies.get(gateway) != Some(*proxies));
        let gone = before.proxies.keys().filter(|gateway| !frame.proxies.contains_key(gateway));
        (parents, moved.map(|(gateway, _)| gateway).chain(gone).cloned().collect())
    }

    /// Routes that must be translated because of `causes`.
    fn affected(&self, causes: &BTreeSet<ObjectRef>) -> BTreeSet<ObjectRef> {
        let mut affected = BTreeSet::new();
        for cause in causes {
            let kind = cause.known_kind();
            if kind.is_some_and(is_route) {
                affected.insert(cause.clone());
            }
            let mut because =
                |object: &ObjectRef| affected.extend(self.memo.needs.get(object).into_iter().flatten().cloned());
            because(cause);
            if let Some(kind @ (Kind::ReferenceGrant | Kind::BackendTlsPolicy)) = kind {
                because(&every(kind, &cause.namespace));
            }
        }
        // Who asked for a host, by its name or by a pattern.
        for host in &self.dirty.hosts {
            let asked = self.memo.needs.range(of_host("")..).take_while(|(need, _)| is_host(need));
            let because = asked.filter(|(need, _)| hosts::takes_in(host, &need.name)).flat_map(|(_, routes)| routes);
            affected.extend(because.cloned());
        }
        if self.dirty.mesh {
            let is_istios = |route: &&ObjectRef| route.known_kind() == Some(Kind::VirtualService);
            affected.extend(self.memo.routes.keys().filter(is_istios).cloned());
        }
        affected
    }

    /// Translates a route; its VirtualServices, and those that share a host with it, are added to `told`.
    fn route(&mut self, reference: &ObjectRef, services: &mut BTreeSet<ObjectRef>, told: &mut BTreeSet<ObjectRef>) {
        let kind = reference.known_kind();
        let object = kind.and_then(|kind| self.cluster.object(kind, &reference.namespace, &reference.name));
        let parents = &self.memo.frame.parents;
        let output = object.and_then(|object| {
            let of_istio = || istio::route(self.cluster, parents, object);
            routes::route(self.cluster, parents, object).or_else(of_istio)
        });
        let rules = output.as_ref().map(|output| output.rules.as_slice()).unwrap_or_default();
        told.extend(self.memo.hosts.put(reference, rules));
        if let Some(old) = self.memo.routes.remove(reference) {
            self.forget(reference, &old, services);
            let stays = output.as_ref().map(rules_of).unwrap_or_default();
            self.delta.removals.extend(old.rules.iter().filter(|key| !stays.contains(key)).cloned());
        }
        let Some(output) = output else {
            if reference.known_kind() != Some(Kind::IstioGateway) {
                self.is_news |= remove(self.report, reference);
            }
            return;
        };
        self.remember(reference, output, services);
    }

    fn forget(&mut self, reference: &ObjectRef, old: &RouteMemo, services: &mut BTreeSet<ObjectRef>) {
        for need in &old.needs {
            unlink(&mut self.memo.needs, need, reference);
        }
        for listener in old.attached.iter().filter(|_| is_counted(reference)) {
            take(&mut self.memo.attached, listener);
        }
        for (service, gateway) in reached(&old.backends, &old.attached) {
            if let Some(gateways) = self.memo.reach.get_mut(&service) {
                take(gateways, &gateway);
                if gateways.is_empty() {
                    self.memo.reach.remove(&service);
                }
            }
        }
        for backend in &old.backends {
            let service = service_of(backend);
            if let Some(ports) = self.memo.uses.get_mut(&service) {
                let port = (backend.port, backend.transport, backend.subset.clone());
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
        for listener in attached.iter().filter(|_| is_counted(reference)) {
            *self.memo.attached.entry(listener.clone()).or_default() += 1;
        }
        for (service, gateway) in reached(&backends, &attached) {
            *self.memo.reach.entry(service).or_default().entry(gateway).or_default() += 1;
        }
        for backend in &backends {
            let service = service_of(backend);
            let ports = self.memo.uses.entry(service.clone()).or_default();
            *ports
                .entry((backend.port, backend.transport, backend.subset.clone()))
                .or_default()
                .of(reference.known_kind()) += 1;
            services.insert(service);
        }
        let mut waits = None;
        match reference.known_kind() {
            // What there is to say of a Gateway the frame says, and of a provider whoever names it.
            Some(Kind::IstioGateway | Kind::ConfigMap) => {}
            Some(Kind::VirtualService) => waits = Some(Arc::new(entry)),
            _ => self.is_news |= put(self.report, reference, entry),
        }
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
        self.memo.routes.insert(reference.clone(), RouteMemo { rules: keys, attached, backends, needs, entry: waits });
    }

    /// Translates a Service; `said` takes the objects that it had something to say of, and whether there still is.
    fn service(&mut self, reference: &ObjectRef, said: &mut BTreeMap<ObjectRef, bool>) {
        let old = self.memo.services.remove(reference).unwrap_or_default();
        let fleets = self.memo.fleets(reference);
        let read = (&self.memo.policies, &mut self.memo.originations);
        let viewed = match self.memo.uses.get(reference) {
            Some(used) => viewed(self.cluster, (reference, used), &fleets, read),
            None => Viewed::default(),
        };
        let (needs, reads_pods) = (viewed.needs(), viewed.reads_pods());
        let Viewed { mut output, mut apart } = viewed;
        let of_entries = output.take_of_entries();
        if of_entries != old.of_entries {
            self.entries_told.extend(of_entries.keys().chain(old.of_entries.keys()).cloned());
        }
        let snapshot = self.snapshot;
        for key in old.backends.iter().filter(|key| !output.backends.contains_key(key)) {
            let gone = [ResourceKey::Backend(key.clone()), ResourceKey::Endpoints(key.clone())];
            self.memo.apart.retain(|key, _| !gone.contains(key));
            self.delta.removals.extend(gone);
        }
        self.memo.originations.settle(reference, output.asked);
        for object in old.entries {
            said.entry(object).or_insert(false);
        }
        let memo = ServiceMemo {
            backends: output.backends.keys().cloned().collect(),
            needs,
            entries: output.entries.keys().cloned().collect(),
            of_entries,
            reads_pods,
            ways: output.ways,
        };
        for way in old.ways.difference(&memo.ways) {
            unlink(&mut self.memo.behind, way, reference);
        }
        for way in memo.ways.difference(&old.ways) {
            self.memo.behind.entry(way.clone()).or_default().insert(reference.clone());
        }
        self.is_shown_anew |= memo.needs != old.needs;
        for need in &memo.needs {
            *self.memo.needed.entry(need.clone()).or_default() += 1;
        }
        for need in &old.needs {
            take(&mut self.memo.needed, need);
        }
        for (key, (backend, endpoints)) in output.backends {
            let is_new = snapshot.backends.get(&key).is_none_or(|old| **old != backend);
            self.offer(Resource::Backend(Arc::new(backend)), is_new, &mut apart);
            let is_new = snapshot.endpoints.get(&key).is_none_or(|old| **old != endpoints);
            self.offer(Resource::Endpoints(Arc::new(endpoints)), is_new, &mut apart);
        }
        for (object, entry) in output.entries {
            self.is_news |= put(self.report, &object, entry);
            said.insert(object, true);
        }
        if !memo.backends.is_empty() {
            self.memo.services.insert(reference.clone(), memo);
        }
    }

    /// Puts a resource of a service into the program, with the forms of it that some fleets have.
    fn offer(&mut self, resource: Resource, is_new: bool, apart: &mut Apart) {
        let key = resource.key();
        let forms = apart.remove(&key);
        let differs = self.memo.apart.get(&key) != forms.as_ref();
        if let Some(forms) = forms {
            self.memo.apart.insert(key, forms);
        } else {
            self.memo.apart.remove(&key);
        }
        if is_new || differs {
            self.delta.upserts.push(resource);
        }
    }

    /// What is judged by objects that changed, and by proxies that did, on account of DestinationRules: some of these,
    /// and services.
    fn credited(&self, moved: &BTreeSet<GatewayId>) -> (BTreeSet<ObjectRef>, BTreeSet<ObjectRef>) {
        let originations = &self.memo.originations;
        let mut judged: BTreeSet<_> = self.dirty.objects.iter().flat_map(|it| originations.of(it)).cloned().collect();
        if !moved.is_empty() {
            let rules = self.cluster.all::<DestinationRule>().filter(|rule| is_about_tls(rule)).map(|rule| &rule.meta);
            judged.extend(rules.map(|meta| ObjectRef::new(Kind::DestinationRule, &meta.namespace, &meta.name)));
            let reached = self.memo.reach.iter().filter(|(_, by)| by.keys().any(|gateway| moved.contains(gateway)));
            let asks = |it: &ObjectRef| self.memo.services.get(it).is_some_and(|memo| memo.reads_pods);
            let reached = reached.map(|(service, _)| service);
            let reached = reached.filter(|service| has_rule(self.cluster, service) || asks(service));
            judged.extend(reached.cloned());
        }
        judged.into_iter().partition(|object| object.known_kind() == Some(Kind::DestinationRule))
    }

    /// Services that are used and of which hosts of ServiceEntries or DestinationRules say something else now, or whose
    /// workloads changed.
    fn of_hosts(&self) -> BTreeSet<ObjectRef> {
        let mut services = BTreeSet::new();
        for host in &self.dirty.hosts {
            if host.starts_with('*') {
                let meant =
                    |service: &&ObjectRef| hosts::takes_in(host, &host_named(&service.namespace, &service.name));
                services.extend(self.memo.uses.keys().filter(meant).cloned());
                continue;
            }
            services.extend(hosts::service(host));
            let entries = self.memo.uses.keys().filter(|it| host_of(&it.name) == Some(host));
            services.extend(entries.cloned());
        }
        services.extend(self.of_pods());
        services.extend(self.of_peer_authentications());
        let is_workload = |it: &&ObjectRef| it.known_kind() == Some(Kind::WorkloadEntry);
        for workload in self.dirty.objects.iter().filter(is_workload) {
            let here = |it: &&ObjectRef| it.namespace == workload.namespace && selects(self.cluster, it);
            services.extend(self.memo.uses.keys().filter(here).cloned());
        }
        services
    }

    /// Services that looked at pods that came, changed or went: those whose slices name one, and those of ServiceEntries
    /// that select workloads where one is.
    fn of_pods(&self) -> BTreeSet<ObjectRef> {
        let mut pods: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for pod in self.dirty.objects.iter().filter(|it| it.known_kind() == Some(Kind::Pod)) {
            pods.entry(&pod.namespace).or_default().insert(&pod.name);
        }
        let mut services = BTreeSet::new();
        for (namespace, names) in pods {
            let is_one = |endpoint: &SliceEndpoint| {
                endpoint.target_ref.as_ref().is_some_and(|it| it.kind == "Pod" && names.contains(it.name.as_str()))
            };
            let slices = self.cluster.within::<EndpointSlice>(namespace);
            let naming = slices.filter(|slice| slice.endpoints.iter().any(is_one));
            let of_slices = naming.filter_map(|slice| Some(ObjectRef::new(Kind::Service, namespace, slice.service()?)));
            let reads = |service: &ObjectRef| self.memo.services.get(service).is_some_and(|memo| memo.reads_pods);
            for service in of_slices {
                services.extend(self.behind(&service).cloned());
                services.extend(Some(service).filter(reads));
            }
            let here = self.memo.services.iter().filter(|(it, memo)| it.namespace == namespace && memo.reads_pods);
            services.extend(here.map(|(it, _)| it).filter(|it| host_of(&it.name).is_some()).cloned());
        }
        services
    }

    /// Services of which an object says, or could say, how they are reached.
    fn behind(&self, object: &ObjectRef) -> impl Iterator<Item = &ObjectRef> {
        self.memo.behind.get(object).into_iter().flatten()
    }

    /// Services whose workloads take something else now.
    fn of_peer_authentications(&self) -> BTreeSet<ObjectRef> {
        let root = self.cluster.mesh().root_namespace();
        let dirty = self.dirty.objects.iter().filter(|it| it.known_kind() == Some(Kind::PeerAuthentication));
        let namespaces: BTreeSet<&str> = dirty.map(|it| it.namespace.as_str()).collect();
        let is_theirs = |it: &&ObjectRef| namespaces.contains(root) || namespaces.contains(it.namespace.as_str());
        if namespaces.is_empty() { BTreeSet::new() } else { self.memo.uses.keys().filter(is_theirs).cloned().collect() }
    }
}

/// How resources of one kind, and their keys, are named in a delta.
type Named<K, V> = (fn(Arc<V>) -> Resource, fn(K) -> ResourceKey);

/// What turns `old` resources of the frame into `new` ones.
fn change<K: Ord + Clone, V: Eq + Clone>(
    delta: &mut Delta,
    old: &SharedMap<K, Arc<V>>,
    new: &BTreeMap<K, V>,
    (resource, key_of): Named<K, V>,
) {
    let changed = new.iter().filter(|(key, value)| old.get(key).is_none_or(|old| **old != **value));
    delta.upserts.extend(changed.map(|(_, value)| resource(Arc::new(value.clone()))));
    let gone = old.keys().filter(|key| !new.contains_key(key));
    delta.removals.extend(gone.cloned().map(key_of));
}

fn rules_of(output: &RouteOutput) -> Vec<ResourceKey> {
    let requests = output.rules.iter().map(|rule| ResourceKey::Rule(rule.key.clone()));
    requests.chain(output.streams.iter().map(|rule| ResourceKey::Stream(rule.key.clone()))).collect()
}

/// Every Service of `backends` with every Gateway of `listeners`, each pair once.
fn reached(backends: &BTreeSet<BackendKey>, listeners: &BTreeSet<ListenerKey>) -> BTreeSet<(ObjectRef, GatewayId)> {
    let gateways: BTreeSet<_> = listeners.iter().map(|listener| &listener.gateway).collect();
    let pair = |backend| gateways.iter().map(move |gateway| (service_of(backend), (*gateway).clone()));
    backends.iter().flat_map(pair).collect()
}

/// The Service of a backend, or what stands for its host of ServiceEntries.
fn service_of(backend: &BackendKey) -> ObjectRef {
    let kind = if host_of(&backend.name).is_some() { Kind::ServiceEntry } else { Kind::Service };
    ObjectRef::new(kind, &backend.namespace, &backend.name)
}

/// Whether WorkloadEntries may be endpoints of a Service, or of what stands for a host of ServiceEntries.
fn selects(cluster: &Cluster, service: &ObjectRef) -> bool {
    let of_kubernetes = || cluster.find::<Service>(&service.namespace, &service.name);
    host_of(&service.name).is_some() || of_kubernetes().is_some_and(|it| !it.spec.selector.is_empty())
}

/// Whether `attachedRoutes` of a listener counts it: routes of Gateway API.
fn is_counted(route: &ObjectRef) -> bool {
    route.known_kind().is_some_and(|kind| routes::KINDS.contains(&kind))
}

/// Whether objects of the kind have rules.
fn is_route(kind: Kind) -> bool {
    routes::KINDS.contains(&kind) || matches!(kind, Kind::VirtualService | Kind::IstioGateway)
}
