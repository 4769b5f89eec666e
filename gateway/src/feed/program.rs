// SPDX-License-Identifier: Apache-2.0
//! Puts deltas in force: snapshot, table, sockets, ack.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;
use torana_ir::{Delta, Listener, Resource, ResourceKey, Snapshot};

use super::{Ack, Feed, Generation, read, write};
use crate::listen::Workers;
use crate::observe::{Metrics, Readiness};
use crate::table::{Bind, Table};

/// A socket that could not be opened is tried again after this, doubled up to the second.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// The blocker that the first ack clears.
pub(crate) const NO_TABLE: &str = "table";

/// What is in force, for whoever looks at it.
#[derive(Clone)]
pub(crate) struct Program {
    /// What was sent, applied.
    pub(crate) snapshot: Arc<RwLock<Snapshot>>,
    /// What was made of it.
    pub(crate) table: Arc<ArcSwap<Table>>,
    /// The generation that was acked last; 0 before the first.
    pub(crate) generation: watch::Receiver<u64>,
}

/// The one task that changes what is in force.
pub(crate) struct Programming {
    program: Program,
    workers: Arc<Mutex<Workers>>,
    metrics: Arc<Metrics>,
    readiness: Readiness,
    acked: watch::Sender<u64>,
    feed: Feed,
    failed: Vec<(Bind, io::Error)>,
    retry: Duration,
    /// What was sent since the last table, for the metrics.
    changed: BTreeSet<ResourceKey>,
}

impl Programming {
    /// Nothing is in force yet. The workers must have been given the same table.
    pub(crate) fn new(
        table: Arc<ArcSwap<Table>>,
        workers: Arc<Mutex<Workers>>,
        metrics: Arc<Metrics>,
        readiness: Readiness,
        feed: Feed,
    ) -> Self {
        readiness.block(NO_TABLE);
        let (acked, generation) = watch::channel(0);
        let program = Program { snapshot: Arc::clone(&feed.snapshot), table, generation };
        let (failed, changed) = (Vec::new(), BTreeSet::new());
        Self { program, workers, metrics, readiness, acked, feed, failed, retry: FIRST_RETRY, changed }
    }

    /// What is in force.
    pub(crate) fn program(&self) -> Program {
        self.program.clone()
    }

    /// Runs until the publisher is gone; what is in force then stays in force.
    pub(crate) async fn run(mut self) {
        let mut generation = 0;
        loop {
            let retry = tokio::time::sleep(self.retry);
            tokio::select! {
                Ok(()) = self.feed.stale.changed() => {
                    let is_stale = *self.feed.stale.borrow_and_update();
                    self.metrics.stale(is_stale);
                }
                delta = self.feed.deltas.recv() => {
                    let Some(Generation { number, delta, unreadable }) = delta else { break };
                    generation = number;
                    for key in &unreadable {
                        self.metrics.config_rejected(key);
                    }
                    let rejected = self.apply(generation, delta).await;
                    self.ack(generation, rejected);
                }
                () = retry, if !self.failed.is_empty() => {
                    let before = self.failed_binds();
                    self.listen().await;
                    if self.failed_binds() == before {
                        self.retry = (self.retry * 2).min(LONGEST_RETRY);
                    } else {
                        let rejected = self.unavailable();
                        self.ack(generation, rejected);
                    }
                }
            }
        }
        // Listeners whose port is taken are still to be opened.
        while !self.failed.is_empty() {
            tokio::time::sleep(self.retry).await;
            self.retry = (self.retry * 2).min(LONGEST_RETRY);
            self.listen().await;
        }
    }

    fn ack(&mut self, generation: u64, rejected: Vec<(ResourceKey, String)>) {
        for (key, why) in &rejected {
            // Whoever published it hears of it by the ack, and tells people.
            tracing::debug!(?key, %why, "not in force");
            self.metrics.config_rejected(key);
        }
        self.readiness.clear(NO_TABLE);
        self.acked.send_replace(generation);
        self.feed.acks.send_replace(Some(Ack { generation, rejected }));
    }

    /// Puts one delta in force and returns what is not.
    async fn apply(&mut self, generation: u64, delta: Delta) -> Vec<(ResourceKey, String)> {
        let started = Instant::now();
        let keys = keys(&delta);
        self.changed.extend(keys.iter().cloned());
        write(&self.program.snapshot).apply(delta);
        let (snapshot, previous) = (Arc::clone(&self.program.snapshot), self.program.table.load_full());
        let compiled = tokio::task::spawn_blocking(move || Table::compile(&read(&snapshot), &previous)).await;
        match compiled {
            Ok(table) => {
                self.program.table.store(Arc::new(table));
                self.program.table.load().apply_endpoints(&read(&self.program.snapshot));
                self.feed.demands.renewed();
            }
            Err(error) => {
                // The whole delta: what is wrong with it is not known. The last good table stays, and the next delta
                // compiles everything that was sent.
                tracing::error!(generation, %error, "a generation could not be compiled");
                return keys.into_iter().map(|key| (key, format!("not compiled: {error}"))).collect();
            }
        }
        self.retry = FIRST_RETRY;
        self.listen().await;
        let took = started.elapsed();
        let changed = std::mem::take(&mut self.changed);
        self.metrics.programmed(generation, &read(&self.program.snapshot), &changed, took);
        tracing::debug!(generation, ?took, "in force");
        self.unavailable()
    }

    async fn listen(&mut self) {
        let binds = self.program.table.load().binds();
        self.failed = self.workers.lock().await.listen(&binds).await;
    }

    fn failed_binds(&self) -> BTreeSet<Bind> {
        self.failed.iter().map(|(bind, _)| *bind).collect()
    }

    /// The listeners of the sockets that are not open.
    fn unavailable(&self) -> Vec<(ResourceKey, String)> {
        let snapshot = read(&self.program.snapshot);
        let mut rejected = Vec::new();
        for (bind, error) in &self.failed {
            let address = bind.address.map_or_else(|| "every address".to_owned(), |address| address.to_string());
            let udp = if bind.transport.is_tcp() { "" } else { " (UDP)" };
            let why = format!("PortUnavailable: port {}{udp} on {address}: {error}", bind.port);
            let listeners = snapshot.listeners.values().filter(|listener| listens(listener, *bind));
            rejected.extend(listeners.map(|listener| (ResourceKey::Listener(listener.key.clone()), why.clone())));
        }
        rejected
    }
}

fn listens(listener: &Listener, bind: Bind) -> bool {
    listener.port == bind.port
        && listener.protocol.transport() == bind.transport
        && match bind.address {
            None => listener.addresses.is_empty(),
            Some(address) => listener.addresses.contains(&address),
        }
}

fn keys(delta: &Delta) -> Vec<ResourceKey> {
    delta.upserts.iter().map(Resource::key).chain(delta.removals.iter().cloned()).collect()
}
