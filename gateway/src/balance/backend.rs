// SPDX-License-Identifier: Apache-2.0
//! The run-time state of one backend.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::Instant;

use arc_swap::ArcSwap;
use torana_ir::{Backend, BackendKey, BackendTls, Endpoints, Invalid, LoadBalance};

use super::budget::Leave;
use super::endpoint::{Endpoint, next_id};
use super::health::{Outcome, Reason};
use super::pick::{self, Draw};
use super::set::EndpointSet;
use super::site::Site;
use super::source::{Addresses, Source};
use super::usage::{Place, Usage, Use};
use super::weight::Turns;
use crate::connections::Connections;
use crate::fault::Overflow;
use crate::tls::backends::Originator;
use crate::tls::{Bundles, Certificates, Material};

/// A backend and its endpoints. Kept over table swaps while its configuration is the same.
///
/// What goes over to the same backend configured otherwise is what belongs to its addresses and not to how they are
/// spoken to: endpoints with their health and requests in flight, whose turn it is, and what is in use under caps, but
/// for connections, which it opens anew.
#[derive(Debug)]
pub struct BackendState {
    /// Unique in this process, for ever, among backends and endpoints.
    pub id: u64,
    /// Protocol, balancing, deadlines, caps.
    pub config: Arc<Backend>,
    /// Where this proxy stands.
    site: Arc<Site>,
    endpoints: ArcSwap<EndpointSet>,
    /// Where endpoints come from; held while they are replaced.
    source: Mutex<Source>,
    /// Whose turn it is, where turns are taken.
    turns: Option<Arc<Turns>>,
    /// TLS with its endpoints, if there is TLS.
    tls: Option<Arc<Originator>>,
    usage: Arc<Usage>,
    /// Never those of the same backend configured otherwise, which is lent none of them: idle ones would take its places
    /// until they are closed.
    connections: Arc<Connections>,
}

impl BackendState {
    /// A backend fed by `source`, which trusts nobody yet if it is spoken to in TLS; `site` is where this proxy stands.
    /// `previous` is the same backend configured otherwise.
    pub(crate) fn new(config: Arc<Backend>, site: Arc<Site>, source: Arc<Endpoints>, previous: Option<&Self>) -> Self {
        let turns = || previous.and_then(|previous| previous.turns.clone()).unwrap_or_default();
        let id = next_id();
        let state = Self {
            id,
            connections: Arc::new(Connections::new(id, config.max_connections)),
            tls: originator(&config, Material { certificates: &Certificates::new(), bundles: &Bundles::new() }),
            turns: (config.balance == LoadBalance::RoundRobin).then(turns),
            config,
            site,
            endpoints: ArcSwap::default(),
            source: Mutex::new(Source::new(Arc::new(Endpoints::none(source.backend().clone())))),
            usage: previous.map(|previous| Arc::clone(&previous.usage)).unwrap_or_default(),
        };
        if let Some(previous) = previous {
            // Through the old source, so that what `set_source` keeps of a name is kept here too.
            *state.lock() = previous.lock().clone();
            state.endpoints.store(Arc::new(previous.endpoints.load().under(&state.config, &state.site)));
        }
        state.set_source(source);
        state
    }

    /// The same, with the authorities and the certificate that its configuration names.
    pub(crate) fn with_material(mut self, material: Material<'_>) -> Self {
        self.tls = originator(&self.config, material);
        self
    }

    /// Whether [`BackendState::with_material`] would change nothing.
    pub(crate) fn is_of(&self, material: Material<'_>) -> bool {
        match (&self.config.tls, &self.tls) {
            (BackendTls::Originate(origination), Some(tls)) => tls.is_of(origination, material),
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

    /// Where the endpoints come from, names among them.
    pub fn source(&self) -> Arc<Endpoints> {
        Arc::clone(self.lock().list())
    }

    /// Where endpoints come from now. Unchanged addresses keep their [`Endpoint`]; a name keeps its last good answer.
    pub fn set_source(&self, list: Arc<Endpoints>) {
        let mut source = self.lock();
        let is_same = source.is(&list);
        source.turn(list);
        if !is_same {
            self.replace(&source);
        }
    }

    /// Takes what is `known` of its names. What is empty, or not known, leaves the last good answer.
    pub fn set_answers(&self, known: impl Fn(&str) -> Option<Addresses>) {
        let mut source = self.lock();
        if source.learn(known) {
            self.replace(&source);
        }
    }

    fn replace(&self, source: &Source) {
        let set = self.endpoints.load().updated(source.endpoints(), &self.config, &self.site);
        self.endpoints.store(Arc::new(set));
    }

    // === which endpoint ===

    /// The endpoint for the next try; `None` if there is none. The clock is asked only where something is about to
    /// change with time.
    pub fn pick(&self, draw: &Draw<'_>, clock: impl Fn() -> Instant) -> Option<Arc<Endpoint>> {
        let mut set = self.endpoints.load();
        if set.due().is_passed(&clock) {
            drop(set);
            self.refresh(clock);
            set = self.endpoints.load();
        }
        pick::choose(&set, &self.config.balance, self.turns.as_deref(), draw).cloned()
    }

    /// The endpoint at an address, ready or not, if it is one of this moment's and not left out.
    pub fn at(&self, address: SocketAddr) -> Option<Arc<Endpoint>> {
        let set = self.endpoints.load();
        let mut all = set.iter().map(|(endpoint, _)| endpoint);
        all.find(|endpoint| endpoint.address == address && !set.leaves_out(endpoint)).cloned()
    }

    /// Lets endpoints back whose ejections are over, and others grow warm.
    pub fn refresh(&self, clock: impl Fn() -> Instant) {
        let _source = match self.source.try_lock() {
            Ok(source) => source,
            Err(TryLockError::Poisoned(source)) => source.into_inner(),
            // Somebody is at it, or replaces the endpoints: nobody waits for that.
            Err(TryLockError::WouldBlock) => return,
        };
        let set = self.endpoints.load();
        if set.due().is_passed(&clock) {
            self.endpoints.store(Arc::new(set.at(clock(), &self.config)));
        }
    }

    // === what became of a try ===

    /// Takes note of what became of a try; if its endpoint is ejected for it, says why.
    pub fn report(&self, endpoint: &Endpoint, outcome: Outcome, clock: impl Fn() -> Instant) -> Option<Reason> {
        let policy = self.config.outliers.as_ref()?;
        let reason = endpoint.health.note(outcome, policy)?;
        // A quick look: where as many are ejected as may be, more failures come.
        let set = self.endpoints.load();
        if !set.due().is_passed(&clock) && !set.has_room(policy.most) {
            return None;
        }
        drop(set);
        let (_source, now) = (self.lock(), clock());
        let set = self.endpoints.load().at(now, &self.config);
        let ejected = set.has(endpoint) && set.has_room(policy.most) && endpoint.health.eject(policy, now);
        self.endpoints.store(Arc::new(if ejected { set.at(now, &self.config) } else { set }));
        ejected.then_some(reason)
    }

    /// How many of its endpoints are ejected.
    pub fn ejected(&self) -> usize {
        self.endpoints.load().ejected()
    }

    // === what became of a check ===

    /// Takes note of what the checks of one of its endpoints came to.
    pub fn checked(&self, endpoint: &Endpoint, fails: bool, clock: impl Fn() -> Instant) {
        endpoint.health.checked(fails);
        self.reckon(clock);
    }

    /// Looks anew who may be chosen.
    pub fn reckon(&self, clock: impl Fn() -> Instant) {
        let _source = self.lock();
        let set = self.endpoints.load();
        self.endpoints.store(Arc::new(set.at(clock(), &self.config)));
    }

    // === how much at once ===

    /// Its connections, and who waits for one.
    pub(crate) fn connections(&self) -> &Arc<Connections> {
        &self.connections
    }

    /// A place under one of its caps, until it is dropped. Where there is no cap nothing is counted.
    pub(crate) fn place(&self, of: Use) -> Result<Option<Place>, Overflow> {
        let most = match of {
            Use::Pending => self.config.caps.pending,
            Use::Requests => self.config.caps.requests,
        };
        most.map(|most| self.usage.take(of, most)).transpose()
    }

    /// Leave to try one of its requests again, from now until that request is over; `None` if too many have it.
    pub fn leave(&self) -> Option<Leave> {
        let in_flight = || self.endpoints().iter().map(|(endpoint, _)| endpoint.in_flight()).sum();
        self.usage.retries.leave(self.config.caps.retries, in_flight)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Source> {
        // What the lock guards is replaced as a whole, so a panic elsewhere left it whole.
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn originator(config: &Backend, material: Material<'_>) -> Option<Arc<Originator>> {
    match &config.tls {
        BackendTls::Originate(origination) => Some(Arc::new(Originator::new(origination, material))),
        BackendTls::Plain | BackendTls::Refused(_) => None,
    }
}

#[cfg(test)]
mod tests;
