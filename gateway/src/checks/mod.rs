// SPDX-License-Identifier: Apache-2.0
//! Active health: endpoints are asked, again and again, whether they may be chosen.
//!
//! ```text
//! table ─▶ groups, one a checked backend ─▶ a checker an endpoint ─▶ probe ─▶ row ─▶ the endpoint's health
//! ```
//!
//! All of it runs beside the workers, which only see who may be chosen. A checker goes on over tables, as long as the
//! check and the endpoint stay; the health that it has found is the endpoint's own. Where nothing is checked, nothing
//! runs but a look at the table once a second.
//!
//! Never takes a connection from the pools of requests, nor a place under their caps.

mod row;

mod grpc;

mod failure;

mod http1;

mod http2;

mod probe;

mod group;

use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use tokio::sync::Semaphore;
use tokio::time::{Instant, MissedTickBehavior};
use torana_ir::BackendKey;

use crate::balance::BackendState;
use crate::feed::Program;
use crate::observe::Metrics;
use crate::table::Table;
use crate::upstream::{Standing, Wires};
use group::{Group, Surroundings};

/// Checks of all backends at once; others wait.
const MOST: usize = 512;
/// How often endpoints are looked for that did not come with a table: those of names.
const LOOK: Duration = Duration::from_secs(1);

/// Checks for the life of the process.
pub(crate) async fn run(program: Program, standing: Standing, metrics: Arc<Metrics>) {
    let mut generation = program.generation.clone();
    let wires = Arc::new(Wires::new(standing, Arc::clone(&metrics)));
    let mut checks = Checks { groups: HashMap::default(), metrics, wires, room: Arc::new(Semaphore::new(MOST)) };
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Without a publisher what is in force stays in force.
    let mut is_fed = true;
    loop {
        checks.follow(&program.table.load_full());
        checks.wires.sweep(Instant::now());
        tokio::select! {
            changed = generation.changed(), if is_fed => is_fed = changed.is_ok(),
            _ = look.tick() => {}
        }
    }
}

/// Every backend that is checked.
struct Checks {
    groups: HashMap<BackendKey, Group, RandomState>,
    metrics: Arc<Metrics>,
    wires: Arc<Wires>,
    room: Arc<Semaphore>,
}

impl Checks {
    /// Begins, goes on and ends as the table has it.
    fn follow(&mut self, table: &Table) {
        // To where nothing may be sent, no check goes either.
        let is_checked = |backend: &&Arc<BackendState>| backend.config.check.is_some() && backend.refusal().is_none();
        let checked: HashMap<&BackendKey, &Arc<BackendState>, RandomState> =
            table.backends().filter(is_checked).map(|backend| (backend.key(), backend)).collect();
        if checked.is_empty() && self.groups.is_empty() {
            return;
        }
        self.groups.retain(|key, group| {
            let check = checked.get(key).and_then(|backend| backend.config.check.as_ref());
            if check.is_none() {
                group.forget();
            }
            // What another check has found stands until the new one knows better.
            check == Some(group.check())
        });
        let shown =
            if checked.values().any(|backend| backend.tls().is_some()) { table.shown() } else { <_>::default() };
        for (key, backend) in checked {
            let Some(check) = &backend.config.check else { continue };
            let group = self.groups.entry(key.clone()).or_insert_with(|| {
                let (metrics, wires) = (Arc::clone(&self.metrics), Arc::clone(&self.wires));
                Group::new(check, backend, Surroundings { metrics, wires, room: Arc::clone(&self.room) })
            });
            group.follow(backend, shown.get(key).copied());
        }
        self.metrics.unhealthy(self.groups.iter().map(|(key, group)| (key, group.unhealthy())));
    }
}
