// SPDX-License-Identifier: Apache-2.0
//! Snapshot → Table. Total: whatever the snapshot says, there is a table for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use torana_ir::{Listener, ListenerKey, Rule, Snapshot, StreamRule};

use super::authorizers;
use super::bind::BindTable;
use super::identities::Identities;
use super::listener::{ListenerTable, Policies};
use super::{Backends, Bind, Challenges, Table};
use crate::tls::Material;

type Rules<'s> = Vec<&'s Arc<Rule>>;

type StreamRules<'s> = Vec<&'s Arc<StreamRule>>;

type ByListener<'s, V> = HashMap<&'s ListenerKey, V, RandomState>;

type Members = Vec<Arc<ListenerTable>>;

impl Table {
    /// The table for `snapshot`. Every part that is the same as in `previous` is that part itself.
    ///
    /// Endpoints of kept backends are renewed at once where there are new ones; where none are left, `previous` may
    /// still need the old ones, so the caller runs [`Table::apply_endpoints`] after the swap.
    pub fn compile(snapshot: &Snapshot, previous: &Self) -> Self {
        let (backends, changed) = Backends::compile(snapshot, &previous.backends);
        backends.renew(snapshot, false);
        let mut rules: ByListener<'_, Rules<'_>> = HashMap::default();
        for rule in snapshot.rules.values() {
            for attachment in &rule.attachments {
                rules.entry(&attachment.listener).or_default().push(rule);
            }
        }
        let identities = Identities::compile(snapshot, &previous.identities);
        let mut streams: ByListener<'_, StreamRules<'_>> = HashMap::default();
        for rule in snapshot.streams.values() {
            for attachment in &rule.attachments {
                streams.entry(&attachment.listener).or_default().push(rule);
            }
        }
        let keys = Arc::clone(&previous.keys);
        let authorizers = authorizers::compile(snapshot, (&backends, &changed), &previous.authorizers);
        let policies =
            Policies { access: &snapshot.policies, tokens: &snapshot.tokens, keys: &keys, authorizers: &authorizers };
        let listeners: BTreeMap<ListenerKey, Arc<ListenerTable>> = snapshot
            .listeners
            .iter()
            .map(|(key, spec)| {
                let rules = rules.get(key).map(Vec::as_slice).unwrap_or_default();
                let streams = streams.get(key).map(Vec::as_slice).unwrap_or_default();
                let (identity, before) = (identities.of(spec), previous.listeners.get(key));
                let rules = (rules, streams);
                (
                    key.clone(),
                    ListenerTable::compile((spec, identity), rules, (&backends, &changed), (&policies, before)),
                )
            })
            .collect();
        let binds = binds(&listeners, snapshot, &previous.binds);
        let challenges = Challenges::compile(&snapshot.acme_hosts, &previous.challenges);
        Self {
            backends,
            identities,
            listeners,
            binds,
            challenges,
            keys,
            authorizers,
            providers: snapshot.providers.clone(),
        }
    }

    /// Endpoints as `snapshot` has them, in the backends that are already in use. Routes are not touched.
    pub fn apply_endpoints(&self, snapshot: &Snapshot) {
        self.backends.renew(snapshot, true);
    }
}

/// A listener without addresses also takes part in the sockets of single addresses of its port: the kernel hands those
/// connections to the more specific socket.
fn binds(
    listeners: &BTreeMap<ListenerKey, Arc<ListenerTable>>,
    snapshot: &Snapshot,
    previous: &BTreeMap<Bind, Arc<BindTable>>,
) -> BTreeMap<Bind, Arc<BindTable>> {
    let mut members: BTreeMap<Bind, Members> = BTreeMap::new();
    for listener in listeners.values() {
        for bind in sockets(&listener.plan.spec) {
            members.entry(bind).or_default().push(Arc::clone(listener));
        }
    }
    let everywhere: Vec<(Bind, Members)> =
        members.iter().filter(|(bind, _)| bind.address.is_none()).map(|(bind, all)| (*bind, all.clone())).collect();
    for (wide, all) in everywhere {
        let overlaps =
            |bind: &Bind| (bind.port, bind.transport) == (wide.port, wide.transport) && bind.address.is_some();
        for (_, narrow) in members.iter_mut().filter(|(bind, _)| overlaps(bind)) {
            narrow.extend(all.iter().cloned());
        }
    }
    let material = Material { certificates: &snapshot.certificates, bundles: &snapshot.bundles };
    let tables =
        members.into_iter().map(|(bind, members)| (bind, BindTable::compile(members, material, previous.get(&bind))));
    tables.collect()
}

fn sockets(listener: &Listener) -> Vec<Bind> {
    let (port, transport) = (listener.port, listener.protocol.transport());
    match listener.addresses.as_slice() {
        [] => vec![Bind { address: None, port, transport }],
        some => some.iter().map(|address| Bind { address: Some(*address), port, transport }).collect(),
    }
}
