// SPDX-License-Identifier: Apache-2.0
//! The checkers of one backend, one an endpoint. They follow its endpoints; what they find goes to whatever state the
//! backend has at that moment.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use torana_ir::HealthCheck;

use super::failure::Failure;
use super::probe::probe;
use super::row::Row;
use crate::balance::{BackendState, Endpoint, EndpointSet};
use crate::observe::Metrics;
use crate::tls::backends::Identity;
use crate::upstream::Wires;

/// Checks of one backend at once, so that one whose endpoints hang holds up no other.
const MOST: usize = 64;
/// The first checks of endpoints are spread over this, or over the interval if that is shorter.
const SPREAD: Duration = Duration::from_secs(1);

/// What checkers need besides their backend.
#[derive(Clone)]
pub(super) struct Surroundings {
    /// Where results are counted.
    pub(super) metrics: Arc<Metrics>,
    /// What connections are opened with.
    pub(super) wires: Arc<Wires>,
    /// Checks of all backends at once.
    pub(super) room: Arc<Semaphore>,
}

/// One backend that is checked. Its checkers end with it.
pub(super) struct Group {
    shared: Arc<Shared>,
    /// The endpoints that were last looked at.
    seen: Arc<EndpointSet>,
    /// By the ids of endpoints.
    checkers: HashMap<u64, AbortHandle, RandomState>,
    tasks: JoinSet<()>,
}

/// What the checkers of a backend share.
struct Shared {
    check: HealthCheck,
    /// As it is now.
    backend: ArcSwap<BackendState>,
    /// What listeners have to show it.
    identity: ArcSwapOption<Identity>,
    /// Its own checks at once.
    room: Semaphore,
    around: Surroundings,
}

impl Group {
    /// A group that checks nothing yet.
    pub(super) fn new(check: &HealthCheck, backend: &Arc<BackendState>, around: Surroundings) -> Self {
        around.metrics.checks_begin(backend.key());
        let shared = Shared {
            check: check.clone(),
            backend: ArcSwap::from(Arc::clone(backend)),
            identity: ArcSwapOption::empty(),
            room: Semaphore::new(MOST),
            around,
        };
        let (seen, checkers) = (Arc::default(), HashMap::default());
        Self { shared: Arc::new(shared), seen, checkers, tasks: JoinSet::new() }
    }

    /// How endpoints are checked.
    pub(super) fn check(&self) -> &HealthCheck {
        &self.shared.check
    }

    /// How many of its endpoints are unhealthy.
    pub(super) fn unhealthy(&self) -> usize {
        self.shared.backend.load().endpoints().failing()
    }

    /// What was found is not true any more: nobody looks.
    pub(super) fn forget(&self) {
        self.seen.worth_a_check().for_each(|endpoint| endpoint.forget_checks());
    }

    /// Checks the endpoints that the backend has now, and no others.
    pub(super) fn follow(&mut self, backend: &Arc<BackendState>, identity: Option<&Arc<Identity>>) {
        self.shared.identity.store(identity.map(Arc::clone));
        if !Arc::ptr_eq(&self.shared.backend.load(), backend) {
            self.shared.backend.store(Arc::clone(backend));
            // What was found while this state was made is not in it.
            backend.reckon(Instant::now);
        }
        let set = backend.endpoints();
        if Arc::ptr_eq(&self.seen, &set) {
            return;
        }
        let mut before = std::mem::take(&mut self.checkers);
        for endpoint in set.worth_a_check() {
            let begin = || self.tasks.spawn(Arc::clone(&self.shared).run(Arc::clone(endpoint)));
            let checker = before.remove(&endpoint.id).unwrap_or_else(begin);
            self.checkers.insert(endpoint.id, checker);
        }
        before.values().for_each(AbortHandle::abort);
        while self.tasks.try_join_next().is_some() {}
        self.seen = set;
    }
}

impl Shared {
    /// Checks one endpoint for as long as it is let.
    async fn run(self: Arc<Self>, endpoint: Arc<Endpoint>) {
        let mut row = Row::of(endpoint.fails_checks());
        tokio::time::sleep(self.check.interval.min(SPREAD).mul_f64(fastrand::f64())).await;
        loop {
            let result = {
                let Ok(_mine) = self.room.acquire().await else { return };
                let Ok(_one_of_all) = self.around.room.acquire().await else { return };
                let (backend, identity) = (self.backend.load_full(), self.identity.load_full());
                // Boxed: a checker that waits is small.
                Box::pin(probe(&self.around.wires, (&backend, &endpoint), &self.check, identity.as_ref())).await
            };
            self.note(&endpoint, &mut row, result);
            tokio::time::sleep(self.check.interval.mul_f64(0.9 + 0.2 * fastrand::f64())).await;
        }
    }

    fn note(&self, endpoint: &Endpoint, row: &mut Row, result: Result<(), Failure>) {
        let backend = self.backend.load_full();
        self.around.metrics.checked(backend.key(), result.map_or_else(Failure::as_str, |()| "success"));
        let Some(fails) = row.take(result.is_ok(), &self.check) else { return };
        backend.checked(endpoint, fails, Instant::now);
        let (key, address) = (backend.key(), endpoint.address);
        if let Err(why) = result {
            tracing::info!(backend = %key, endpoint = %address, %why, "unhealthy: it fails its checks");
        } else {
            tracing::info!(backend = %key, endpoint = %address, "healthy again: it passes its checks");
        }
    }
}
