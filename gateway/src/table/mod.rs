// SPDX-License-Identifier: Apache-2.0
//! All that the data plane knows at one moment: what listens where, which rule takes which request or stream, which
//! backends there are.
//!
//! [`Table::compile`] turns a Snapshot into a Table and shares every part that did not change with the Table before it.
//! A request loads the Table once, resolves one [`Plan`] and holds no Table afterwards. Nothing here waits or connects.

mod authorizers;

mod backends;

mod identities;

mod listener;

mod plan;

mod stream;

mod challenges;

mod bind;

mod compile;

mod explain;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use serde::Serialize;
use torana_ir::{BackendKey, Collector, ListenerKey, Provider, ProviderKey, Purpose, SharedMap, Transport};

use crate::balance::{BackendState, Site};
use crate::fault::Fault;
use crate::guard::{Authorizers, Guard};
use crate::head::Head;
use crate::tls::backends::Identity;
use crate::token::Registry;

pub use bind::{BindTable, Handshake, Heed, Opening, Routed, Terms};
pub use challenges::Challenges;
pub use explain::{Admission, Asker, Explanation, ListenerFate, ListenerVerdict, imagine};
pub use listener::ListenerPlan;
pub use plan::{Choice, Notes, Plan, Verdict, WeightedPlan};
pub use stream::{Onward, StreamPlan, StreamRouted};

use backends::Backends;
use identities::Identities;
use listener::ListenerTable;

/// A socket to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Bind {
    /// `None`: every address, IPv4 and IPv6.
    pub address: Option<IpAddr>,
    /// Its port.
    pub port: u16,
    /// What it carries: a TCP and a UDP socket of one number are two.
    pub transport: Transport,
}

/// One generation of the data plane's knowledge.
#[derive(Debug, Default)]
pub struct Table {
    backends: Backends,
    identities: Identities,
    listeners: BTreeMap<ListenerKey, Arc<ListenerTable>>,
    binds: BTreeMap<Bind, Arc<BindTable>>,
    challenges: Arc<Challenges>,
    keys: Arc<Registry>,
    authorizers: Arc<Authorizers>,
    providers: SharedMap<ProviderKey, Arc<Provider>>,
}

impl Table {
    /// A table that listens nowhere, of a proxy that stands anywhere.
    pub fn empty() -> Self {
        Self::default()
    }

    /// A table that listens nowhere. It and those that come after it are of a proxy that stands there.
    pub fn of(site: Site) -> Self {
        Self { backends: Backends::none(site), ..Self::default() }
    }

    /// Every socket that should be listening.
    pub fn binds(&self) -> Vec<Bind> {
        self.binds.keys().copied().collect()
    }

    /// What is served on one socket.
    pub fn bind(&self, bind: &Bind) -> Option<&Arc<BindTable>> {
        self.binds.get(bind)
    }

    /// Keys of issuers of tokens, which somebody has to fetch.
    pub fn keys(&self) -> &Arc<Registry> {
        &self.keys
    }

    /// What authorities of ACME are told.
    pub fn challenges(&self) -> &Challenges {
        &self.challenges
    }

    /// Where a request goes that came in by a socket; see [`BindTable::route`]. A question of ACME goes nowhere, whatever
    /// listeners and rules say of its host and path.
    pub fn route(&self, bind: &Bind, head: &mut Head, sni_listener: Option<&ListenerKey>) -> Routed {
        let bind = self.bind(bind);
        if let Some(asked) = self.asked(bind, head) {
            return asked;
        }
        let routed = match bind {
            Some(bind) => bind.route(head, sni_listener),
            None => Routed::fault(Fault::NoListener, None, head),
        };
        if routed.is_decided() { self.asked(bind, head).unwrap_or(routed) } else { routed }
    }

    /// A request that is a question of ACME. Asked again once the path has the form that its listener wants: no form of it
    /// reaches a backend.
    fn asked(&self, bind: Option<&Arc<BindTable>>, head: &Head) -> Option<Routed> {
        let told = self.challenges.told(head)?;
        let listener = bind.and_then(|bind| bind.listener(head.host())).map(Arc::clone);
        Some(match told {
            Ok(authorization) => Routed::Challenge { authorization, listener },
            // Whatever the client says that it speaks: authorities do not speak gRPC.
            Err(fault) => Routed::Fault { fault, listener, grpc: false, guard: Guard::default() },
        })
    }

    /// The state of one backend.
    pub fn backend(&self, key: &BackendKey) -> Option<&Arc<BackendState>> {
        self.backends.find(key)
    }

    /// Every backend, in the order of their keys.
    pub fn backends(&self) -> impl Iterator<Item = &Arc<BackendState>> {
        self.backends.iter()
    }

    /// What listeners have to show the backends of their requests, by backend; of several the first.
    pub fn shown(&self) -> HashMap<&BackendKey, &Arc<Identity>, RandomState> {
        let mut shown = HashMap::default();
        for plan in self.plans() {
            let Some(identity) = &plan.listener.identity else { continue };
            for backend in plan.backends() {
                shown.entry(backend).or_insert(identity);
            }
        }
        for listener in self.listeners.values() {
            let asked = listener.guard.authorizers.iter().flat_map(|all| all.values());
            for backend in asked.filter_map(|it| it.backend.as_ref()) {
                shown.extend(listener.plan.identity.as_ref().map(|identity| (backend.key(), identity)));
            }
        }
        for listener in self.listeners.values() {
            let told = listener.plan.tracer.as_ref().and_then(|tracer| self.collector(&tracer.collector));
            if let (Some((_, Some(backend))), Some(identity)) = (told, &listener.plan.identity) {
                shown.entry(backend.key()).or_insert(identity);
            }
        }
        shown
    }

    /// Who is told of spans by this name, and at which backend, if there is one.
    pub(crate) fn collector(&self, key: &ProviderKey) -> Option<(&Collector, Option<&Arc<BackendState>>)> {
        let provider = self.providers.get(key)?;
        let Purpose::Collector(collector) = &provider.purpose else { return None };
        Some((collector, provider.backend().and_then(|backend| self.backend(backend))))
    }

    /// Every plan with its listener, for tables and exporters.
    pub fn plans(&self) -> impl Iterator<Item = &Arc<Plan>> {
        self.listeners.values().flat_map(|listener| listener.plans())
    }
}

#[cfg(test)]
mod tests;
