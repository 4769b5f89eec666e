// SPDX-License-Identifier: Apache-2.0
//! Which proxies get what of the whole program: those of a Gateway its own listeners, the rules that are attached to
//! them, and the backends and certificates that these need; nothing else.
//!
//! Counts who needs what, so that an edited rule costs no more with many Gateways. Never looks at an object.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use torana_ir::{
    Attachment, BackendKey, BackendTls, Delta, GatewayId, Resource, ResourceKey, Rule, Snapshot, StreamRule,
};

use crate::store::FleetId;
use crate::translate::routes::{backends_of, backends_of_streams};

/// Forms of resources that some fleets have in place of the common one.
pub(super) type Apart = BTreeMap<ResourceKey, BTreeMap<FleetId, Resource>>;

/// Programs by fleet.
pub(super) type Programs = BTreeMap<FleetId, Arc<Snapshot>>;

/// Who has what, as of the last division.
#[derive(Debug, Clone, Default)]
pub(super) struct Division {
    /// What each resource needs beside it, in its common form.
    needs: BTreeMap<ResourceKey, BTreeSet<ResourceKey>>,
    /// What it needs where a fleet has another form of it.
    needs_apart: BTreeMap<ResourceKey, BTreeMap<FleetId, BTreeSet<ResourceKey>>>,
    /// How often a fleet has reason to have a resource: its own listeners and rules once, others as often as they are
    /// needed by what it has.
    reasons: BTreeMap<ResourceKey, Reasons>,
}

type Reasons = BTreeMap<FleetId, u32>;

/// Resources whose presence or content in a fleet may have changed.
type Touched = BTreeMap<FleetId, BTreeSet<ResourceKey>>;

impl Division {
    /// Divides what turned the whole program into `whole` among the fleets, and applies it to their programs. A resource
    /// whose forms in `apart` changed is in the delta, changed or not.
    pub(super) fn divide(
        &mut self,
        delta: Delta,
        (whole, apart): (&Snapshot, &Apart),
        programs: &mut Programs,
    ) -> BTreeMap<FleetId, Delta> {
        let mut touched = Touched::new();
        for key in delta.upserts.iter().map(Resource::key).chain(delta.removals) {
            self.take(&key, (whole.get(&key).as_ref(), apart.get(&key)), &mut touched);
        }
        let mut deltas = BTreeMap::new();
        for (fleet, keys) in touched {
            let program = programs.entry(fleet.clone()).or_default();
            let delta = self.changes(&fleet, &keys, (whole, apart), program);
            if !delta.is_empty() {
                Arc::make_mut(program).apply(delta.clone());
                deltas.insert(fleet.clone(), delta);
            }
            if **program == Snapshot::default() {
                programs.remove(&fleet);
            }
        }
        deltas
    }

    /// A resource came, changed, or went. What is new is taken before the old is given up, so that nothing is let go
    /// that stays.
    fn take(
        &mut self,
        key: &ResourceKey,
        (resource, apart): (Option<&Resource>, Option<&BTreeMap<FleetId, Resource>>),
        touched: &mut Touched,
    ) {
        let fleets: Vec<_> = self.reasons.get(key).into_iter().flat_map(BTreeMap::keys).cloned().collect();
        let before: Vec<_> = fleets.iter().map(|fleet| self.needs_of(fleet, key)).collect();
        put(&mut self.needs, key, resource.map(needs).unwrap_or_default(), BTreeSet::is_empty);
        let others = apart.into_iter().flatten().map(|(fleet, form)| (fleet.clone(), needs(form)));
        put(&mut self.needs_apart, key, others.collect(), BTreeMap::is_empty);
        for (fleet, old) in fleets.iter().zip(&before) {
            touched.entry(fleet.clone()).or_default().insert(key.clone());
            for need in &self.needs_of(fleet, key) {
                self.acquire(fleet, need, touched);
            }
            for need in old {
                self.release(fleet, need, touched);
            }
        }
        if is_root(key) {
            let owners = resource.map(owners).unwrap_or_default();
            owners.iter().filter(|fleet| !fleets.contains(fleet)).for_each(|fleet| self.acquire(fleet, key, touched));
            fleets.iter().filter(|fleet| !owners.contains(fleet)).for_each(|fleet| self.release(fleet, key, touched));
        }
    }

    /// What a resource cannot do without in the form that a fleet has.
    fn needs_of(&self, fleet: &FleetId, key: &ResourceKey) -> BTreeSet<ResourceKey> {
        let own = self.needs_apart.get(key).and_then(|forms| forms.get(fleet));
        own.or_else(|| self.needs.get(key)).cloned().unwrap_or_default()
    }

    /// One reason more for a fleet to have a resource.
    fn acquire(&mut self, fleet: &FleetId, key: &ResourceKey, touched: &mut Touched) {
        let count = self.reasons.entry(key.clone()).or_default().entry(fleet.clone()).or_default();
        *count += 1;
        if *count == 1 {
            touched.entry(fleet.clone()).or_default().insert(key.clone());
            for need in self.needs_of(fleet, key) {
                self.acquire(fleet, &need, touched);
            }
        }
    }

    /// One reason less.
    fn release(&mut self, fleet: &FleetId, key: &ResourceKey, touched: &mut Touched) {
        let Some(fleets) = self.reasons.get_mut(key) else { return };
        if !take(fleets, fleet) {
            return;
        }
        if fleets.is_empty() {
            self.reasons.remove(key);
        }
        touched.entry(fleet.clone()).or_default().insert(key.clone());
        for need in self.needs_of(fleet, key) {
            self.release(fleet, &need, touched);
        }
    }

    fn changes(
        &self,
        fleet: &FleetId,
        keys: &BTreeSet<ResourceKey>,
        (whole, apart): (&Snapshot, &Apart),
        program: &Snapshot,
    ) -> Delta {
        let mut delta = Delta::default();
        for key in keys {
            let has = self.reasons.get(key).is_some_and(|fleets| fleets.contains_key(fleet));
            let own = || apart.get(key).and_then(|forms| forms.get(fleet)).cloned();
            let common = || whole.get(key).map(|resource| narrowed(resource, fleet));
            let wanted = if has { own().or_else(common) } else { None };
            let present = program.get(key);
            match wanted {
                Some(resource) if present.as_ref() != Some(&resource) => delta.upserts.push(resource),
                None if present.is_some() => delta.removals.push(key.clone()),
                _ => {}
            }
        }
        delta
    }
}

/// Puts a value that says something in the place of what is there.
fn put<V>(map: &mut BTreeMap<ResourceKey, V>, key: &ResourceKey, value: V, is_empty: impl Fn(&V) -> bool) {
    if is_empty(&value) {
        map.remove(key);
    } else {
        map.insert(key.clone(), value);
    }
}

/// The fleet that serves a Gateway where each has its own.
pub fn fleet_of(gateway: &GatewayId) -> FleetId {
    FleetId(gateway.to_string())
}

/// Whether a resource is there for its own sake; others are there because those need them.
fn is_root(key: &ResourceKey) -> bool {
    matches!(key, ResourceKey::Listener(_) | ResourceKey::Rule(_) | ResourceKey::Stream(_) | ResourceKey::AcmeHost(_))
}

/// The fleets that have a listener, a rule or a host for its own sake.
fn owners(resource: &Resource) -> BTreeSet<FleetId> {
    match resource {
        Resource::Listener(listener) => BTreeSet::from([fleet_of(&listener.key.gateway)]),
        Resource::Rule(rule) => attached(&rule.attachments),
        Resource::Stream(rule) => attached(&rule.attachments),
        Resource::AcmeHost(host) => BTreeSet::from([fleet_of(&host.key.gateway)]),
        Resource::Certificate(_)
        | Resource::TrustBundle(_)
        | Resource::Backend(_)
        | Resource::Endpoints(_)
        | Resource::Policy(_)
        | Resource::Tokens(_)
        | Resource::Provider(_) => BTreeSet::new(),
    }
}

fn attached(attachments: &[Attachment]) -> BTreeSet<FleetId> {
    attachments.iter().map(|it| fleet_of(&it.listener.gateway)).collect()
}

/// What a resource cannot do without.
fn needs(resource: &Resource) -> BTreeSet<ResourceKey> {
    match resource {
        Resource::Listener(listener) => {
            let tls = listener.protocol.tls();
            let certificates = tls.into_iter().flat_map(|tls| &tls.certificates).chain(&listener.identity);
            let bundles = tls.and_then(|tls| tls.client.as_ref()).into_iter().flat_map(|client| &client.bundles);
            let certificates = certificates.cloned().map(ResourceKey::Certificate);
            let policies = listener.policies.iter().cloned().map(ResourceKey::Policy);
            let tokens = listener.tokens.iter().cloned().map(ResourceKey::Tokens);
            let told = listener.tracing.iter().map(|it| ResourceKey::Provider(it.collector.clone()));
            let policies = policies.chain(tokens).chain(told);
            certificates.chain(bundles.cloned().map(ResourceKey::TrustBundle)).chain(policies).collect()
        }
        Resource::Rule(rule) => backends(backends_of(rule)),
        Resource::Stream(rule) => backends(backends_of_streams(rule)),
        Resource::Backend(backend) => {
            material(&backend.tls).chain([ResourceKey::Endpoints(backend.key.clone())]).collect()
        }
        Resource::Policy(policy) => policy.provider().cloned().map(ResourceKey::Provider).into_iter().collect(),
        Resource::Provider(provider) => backends(provider.backend()),
        Resource::Certificate(_)
        | Resource::TrustBundle(_)
        | Resource::Endpoints(_)
        | Resource::AcmeHost(_)
        | Resource::Tokens(_) => BTreeSet::new(),
    }
}

/// What TLS with a backend cannot do without.
pub(super) fn material(tls: &BackendTls) -> impl Iterator<Item = ResourceKey> + '_ {
    let bundles = tls.bundles().iter().cloned().map(ResourceKey::TrustBundle);
    bundles.chain(tls.certificate().cloned().map(ResourceKey::Certificate))
}

fn backends<'k>(keys: impl IntoIterator<Item = &'k BackendKey>) -> BTreeSet<ResourceKey> {
    keys.into_iter().cloned().map(ResourceKey::Backend).collect()
}

/// A rule as one fleet sees it: attached to its own listeners only.
fn narrowed(resource: Resource, fleet: &FleetId) -> Resource {
    let is_own = |attachment: &Attachment| fleet_of(&attachment.listener.gateway) == *fleet;
    let own = |attachments: &[Attachment]| attachments.iter().filter(|it| is_own(it)).cloned().collect();
    match &resource {
        Resource::Rule(rule) if !rule.attachments.iter().all(is_own) => {
            Resource::Rule(Arc::new(Rule { attachments: own(&rule.attachments), ..Rule::clone(rule) }))
        }
        Resource::Stream(rule) if !rule.attachments.iter().all(is_own) => {
            Resource::Stream(Arc::new(StreamRule { attachments: own(&rule.attachments), ..StreamRule::clone(rule) }))
        }
        _ => resource,
    }
}

/// Counts one less; forgets what is counted no more, and returns whether that is so.
pub(super) fn take<K: Ord>(counts: &mut BTreeMap<K, u32>, key: &K) -> bool {
    let Some(count) = counts.get_mut(key) else { return false };
    *count = count.saturating_sub(1);
    let is_last = *count == 0;
    if is_last {
        counts.remove(key);
    }
    is_last
}

#[cfg(test)]
mod tests {
    use torana_ir::{AcmeHost, AcmeHostKey};

    use super::*;

    fn host(gateway: &str, reserves_path: bool) -> Resource {
        let gateway = GatewayId { namespace: "n".to_owned(), name: gateway.to_owned() };
        let key = AcmeHostKey { gateway, host: "a.example".to_owned() };
        Resource::AcmeHost(Arc::new(AcmeHost::new(key, BTreeMap::new(), None, reserves_path).unwrap()))
    }

    #[test]
    fn a_host_of_acme_is_known_to_the_proxies_of_its_gateway_and_to_no_others() {
        let (mut division, mut whole, mut programs) = (Division::default(), Snapshot::default(), Programs::new());
        let mut divide = |delta: Delta| {
            whole.apply(delta.clone());
            division.divide(delta, (&whole, &Apart::new()), &mut programs)
        };
        let put = |upserts: Vec<Resource>| Delta { upserts, removals: Vec::new() };
        let fleet = |name: &str| FleetId(format!("n/{name}"));
        let both = put(vec![host("one", true), host("two", true)]);
        let deltas = divide(both);
        assert_eq!(deltas.keys().collect::<Vec<_>>(), [&fleet("one"), &fleet("two")]);
        assert_eq!(deltas[&fleet("one")], put(vec![host("one", true)]));
        let edited = divide(put(vec![host("two", false)]));
        assert_eq!(edited, BTreeMap::from([(fleet("two"), put(vec![host("two", false)]))]));
        let gone = Delta { upserts: Vec::new(), removals: vec![host("one", true).key()] };
        assert_eq!(divide(gone.clone()), BTreeMap::from([(fleet("one"), gone)]));
    }
}
