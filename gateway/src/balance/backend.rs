// SPDX-License-Identifier: Apache-2.0
//! The run-time state of one backend.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use torana_ir::{Backend, BackendKey, BackendTls, Endpoints, Invalid, LoadBalance};

use super::budget::{Budget, Leave};
use super::endpoint::{Endpoint, EndpointSet};
use super::pick;
use crate::tls::Bundles;
use crate::tls::backends::Originator;

/// A backend and its endpoints. Kept over table swaps while its configuration is the same.
#[derive(Debug)]
pub struct BackendState {
    /// Protocol, balancing, deadlines, caps.
    pub config: Arc<Backend>,
    endpoints: ArcSwap<EndpointSet>,
    /// Where endpoints come from; held while they are replaced.
    source: Mutex<Arc<Endpoints>>,
    turn: AtomicUsize,
    /// TLS with its endpoints, if there is TLS.
    tls: Option<Arc<Originator>>,
    /// Connections that are open or opening, for the cap of the configuration.
    pub(crate) connections: AtomicU32,
    /// It goes over to the same backend configured otherwise.
    budget: Arc<Budget>,
}

impl BackendState {
    /// A backend fed by `source`, which trusts nobody yet if it is spoken to in TLS. Of `previous` (the same backend configured otherwise) it takes over resolved addresses.
    pub(crate) fn new(config: Arc<Backend>, source: Arc<Endpoints>, previous: Option<&Self>) -> Self {
        let state = Self {
            tls: originator(&config, &Bundles::new()),
            config,
            endpoints: ArcSwap::default(),
            source: Mutex::new(Arc::new(nothing(source.backend()))),
            turn: AtomicUsize::new(0),
            connections: AtomicU32::new(0),
            budget: previous.map(|previous| Arc::clone(&previous.budget)).unwrap_or_default(),
        };
        if let Some(previous) = previous {
            // Through the old source, so that what `set_source` keeps of a name is kept here too.
            *state.lock() = Arc::clone(&previous.lock());
            let addresses = previous.endpoints.load();
            let fresh = EndpointSet::default().updated(addresses.iter().map(|(it, ready)| (it.address, ready)));
            state.endpoints.store(Arc::new(fresh));
        }
        state.set_source(source);
        state
    }

    /// The same, trusting the authorities among `bundles` that its configuration names.
    pub(crate) fn with_authorities(mut self, bundles: &Bundles) -> Self {
        self.tls = originator(&self.config, bundles);
        self
    }

    /// Whether [`BackendState::with_authorities`] would change nothing.
    pub(crate) fn trusts(&self, bundles: &Bundles) -> bool {
        match (&self.config.tls, &self.tls) {
            (BackendTls::Originate(origination), Some(tls)) => tls.trusts(origination, bundles),
            _ => true,
        }
    }

    /// TLS with its endpoints; `None` in cleartext, and where it is [refused](Self::refusal).
    pub fn tls(&self) -> Option<&Arc<Originator>> {
        self.tls.as_ref()
    }

    /// Why nothing may be sent to it: TLS that cannot be had.
    pub fn refusal(&self) -> Option<&Invalid> {
        match &self.config.tls {
            BackendTls::Refused(invalid) => Some(invalid),
            BackendTls::Plain | BackendTls::Originate(_) => None,
        }
    }

    /// Who it is.
    pub fn key(&self) -> &BackendKey {
        &self.config.key
    }

    /// The endpoints of this moment.
    pub fn endpoints(&self) -> Arc<EndpointSet> {
        self.endpoints.load_full()
    }

    /// Name and port to resolve, if the endpoints come from DNS.
    pub fn dns(&self) -> Option<(String, u16)> {
        match &**self.lock() {
            Endpoints::Dns { host, port, .. } => Some((host.clone(), *port)),
            Endpoints::Static { .. } => None,
        }
    }

    /// Where endpoints come from now. Unchanged addresses keep their [`Endpoint`]; a name keeps its last good answer.
    pub fn set_source(&self, source: Arc<Endpoints>) {
        let mut current = self.lock();
        if Arc::ptr_eq(&current, &source) || **current == *source {
            *current = source;
            return;
        }
        let before = self.endpoints.load();
        let set = match (&**current, &*source) {
            (_, Endpoints::Static { endpoints, .. }) => {
                before.updated(endpoints.iter().map(|it| (it.address, it.ready)))
            }
            (Endpoints::Dns { host: old, .. }, Endpoints::Dns { host: new, port, .. }) if old == new => {
                before.updated(before.iter().map(|(it, ready)| (SocketAddr::new(it.address.ip(), *port), ready)))
            }
            // Another name: what the old one meant is not where users want to go.
            (_, Endpoints::Dns { .. }) => EndpointSet::default(),
        };
        self.endpoints.store(Arc::new(set));
        *current = source;
    }

    /// The answer for `host`. Ignored if the backend no longer asks for that name, or if the answer is empty: the last
    /// good one stays.
    pub fn set_addresses(&self, host: &str, addresses: &[SocketAddr]) {
        let current = self.lock();
        let asked = matches!(&**current, Endpoints::Dns { host: name, .. } if name == host);
        if asked && !addresses.is_empty() {
            let set = self.endpoints.load().updated(addresses.iter().map(|address| (*address, true)));
            self.endpoints.store(Arc::new(set));
        }
    }

    /// The endpoint for the next try. `tried` ones are avoided while others are left; `None` if there is no endpoint.
    pub fn pick(&self, random: u64, tried: &[u64]) -> Option<Arc<Endpoint>> {
        let set = self.endpoints.load();
        let usable = set.usable();
        match self.config.balance {
            LoadBalance::LeastRequest => pick::least_request(usable, tried, random).cloned(),
            LoadBalance::RoundRobin => {
                pick::round_robin(usable, tried, self.turn.fetch_add(1, Ordering::Relaxed)).cloned()
            }
        }
    }

    /// The endpoint at an address, ready or not, if it is one of this moment's.
    pub fn at(&self, address: SocketAddr) -> Option<Arc<Endpoint>> {
        let set = self.endpoints.load();
        set.iter().map(|(endpoint, _)| endpoint).find(|endpoint| endpoint.address == address).cloned()
    }

    /// Leave to try one of its requests again, from now until that request is over; `None` if too many have it.
    pub fn leave(&self) -> Option<Leave> {
        self.budget.leave(|| self.endpoints().iter().map(|(endpoint, _)| endpoint.in_flight()).sum())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Arc<Endpoints>> {
        // What the lock guards is replaced as a whole, so a panic elsewhere left it whole.
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn originator(config: &Backend, bundles: &Bundles) -> Option<Arc<Originator>> {
    match &config.tls {
        BackendTls::Originate(origination) => Some(Arc::new(Originator::new(origination, bundles))),
        BackendTls::Plain | BackendTls::Refused(_) => None,
    }
}

/// No endpoints.
pub(crate) fn nothing(backend: &BackendKey) -> Endpoints {
    Endpoints::Static { backend: backend.clone(), endpoints: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> BackendKey {
        BackendKey::tcp("n", "b", 80)
    }

    fn listed(list: &[(u16, bool)]) -> Arc<Endpoints> {
        let endpoint = |(port, ready): &(u16, bool)| torana_ir::Endpoint { address: address(*port), ready: *ready };
        Arc::new(Endpoints::Static { backend: key(), endpoints: list.iter().map(endpoint).collect() })
    }

    fn named(host: &str, port: u16) -> Arc<Endpoints> {
        Arc::new(Endpoints::Dns { backend: key(), host: host.into(), port })
    }

    fn address(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    fn state(source: Arc<Endpoints>) -> BackendState {
        BackendState::new(Arc::new(Backend::new(key())), source, None)
    }

    fn ports(state: &BackendState) -> Vec<u16> {
        state.endpoints().iter().map(|(endpoint, _)| endpoint.address.port()).collect()
    }

    #[test]
    fn an_address_that_stays_keeps_its_endpoint() {
        let state = state(listed(&[(1, true), (2, true)]));
        let ids: Vec<u64> = state.endpoints().iter().map(|(endpoint, _)| endpoint.id).collect();
        let guard = state.endpoints().usable()[1].begin();
        state.set_source(listed(&[(2, true), (3, true)]));
        let set = state.endpoints();
        assert_eq!((set.usable()[0].id, set.usable()[0].in_flight()), (ids[1], 1));
        assert!(!ids.contains(&set.usable()[1].id));
        drop(guard);
        assert_eq!(set.usable()[0].in_flight(), 0);
        state.set_source(listed(&[(1, true)]));
        assert!(!ids.contains(&state.endpoints().usable()[0].id), "an address that comes back gets a new id");
    }

    #[test]
    fn serving_endpoints_are_used_only_without_ready_ones() {
        let state = state(listed(&[(1, false), (2, true), (3, false)]));
        let all = |state: &BackendState| -> Vec<u16> {
            (0..64).map(|step| state.pick(step << 58 | step << 26, &[]).unwrap().address.port()).collect()
        };
        assert!(all(&state).iter().all(|port| *port == 2));
        state.set_source(listed(&[(1, false), (3, false)]));
        assert!(all(&state).contains(&1) && all(&state).contains(&3));
        state.set_source(listed(&[]));
        assert!(state.pick(0, &[]).is_none());
    }

    #[test]
    fn a_duplicate_address_counts_once() {
        assert_eq!(ports(&state(listed(&[(1, true), (1, false), (2, true)]))), [1, 2]);
    }

    #[test]
    fn a_name_keeps_its_last_good_answer() {
        let state = state(named("a.com", 80));
        assert_eq!((state.dns(), ports(&state)), (Some(("a.com".to_owned(), 80)), vec![]));
        state.set_addresses("a.com", &[address(80)]);
        state.set_addresses("a.com", &[]);
        assert_eq!(ports(&state), [80]);
        state.set_source(named("a.com", 81));
        assert_eq!(ports(&state), [81]);
        state.set_source(named("b.com", 81));
        assert_eq!(ports(&state), [0u16; 0]);
        state.set_addresses("a.com", &[address(81)]);
        assert_eq!(ports(&state), [0u16; 0], "a late answer for the old name");
    }

    #[test]
    fn a_new_configuration_takes_resolved_addresses_over() {
        let old = state(named("a.com", 80));
        old.set_addresses("a.com", &[address(80)]);
        let new = BackendState::new(Arc::new(Backend::new(key())), named("a.com", 80), Some(&old));
        assert_eq!(ports(&new), [80]);
        assert_ne!(new.endpoints().usable()[0].id, old.endpoints().usable()[0].id, "its connections are its own");
    }

    #[test]
    fn round_robin_takes_turns() {
        let config = Backend { balance: LoadBalance::RoundRobin, ..Backend::new(key()) };
        let state = BackendState::new(Arc::new(config), listed(&[(1, true), (2, true)]), None);
        let ports: Vec<u16> = (0..4).map(|_| state.pick(0, &[]).unwrap().address.port()).collect();
        assert_eq!(ports, [1, 2, 1, 2]);
    }
}
