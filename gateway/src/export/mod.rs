// SPDX-License-Identifier: Apache-2.0
//! Spans on their way out: to collectors, by OTLP.
//!
//! ```text
//! queue ─▶ exporter ─▶ a desk a collector: batch ─▶ encode ─▶ call, and again ─▶ link ─▶ an endpoint of its backend
//! ```
//!
//! All of it runs beside the workers, and speaks to a collector's backend as requests and checks speak to theirs: in
//! cleartext, in TLS, or as a workload of the mesh. A collector that is slow or gone costs memory up to a bound, then spans,
//! and never a request.
//!
//! Never takes a connection from the pools of requests.

mod messages;

mod resource;

mod encode;

mod failure;

mod call;

mod link;

mod desk;

use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use prometheus::IntCounter;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use torana_ir::ProviderKey;

use crate::feed::Program;
use crate::observe::Metrics;
use crate::trace::{Arrivals, Item};
use crate::upstream::{Standing, Wires};
use desk::{Desk, Surroundings};

pub(crate) use resource::Resource;

/// Spans that are looked at in one go.
const MOST: usize = 512;
/// Where few come the exporter sleeps after a look, so that a busy worker does not wake it for every span.
const PAUSE: Duration = Duration::from_millis(20);
/// Spans that wait for one collector.
const WAITING: usize = 4 * desk::BATCH;
/// How often tunnels are looked at that nobody needs.
const SWEEP: Duration = Duration::from_secs(1);

/// Tells collectors of spans.
pub(crate) struct Exporter {
    program: Program,
    wires: Arc<Wires>,
    metrics: Arc<Metrics>,
    dropped: IntCounter,
    desks: HashMap<ProviderKey, mpsc::Sender<Item>, RandomState>,
    tasks: JoinSet<()>,
}

impl Exporter {
    /// One that knows collectors from `program`; `standing` is what the proxy is in its mesh.
    pub(crate) fn new(program: Program, standing: Standing, metrics: Arc<Metrics>) -> Self {
        let (wires, dropped) = (Arc::new(Wires::new(standing, Arc::clone(&metrics))), metrics.spans("dropped"));
        Self { program, wires, metrics, dropped, desks: HashMap::default(), tasks: JoinSet::new() }
    }

    /// Tells of what arrives, for the life of the process; `resource` is who tells.
    pub(crate) async fn run(mut self, mut arrivals: Arrivals, resource: Resource) {
        let resource = Arc::new(resource);
        let mut sweep = tokio::time::interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut items = Vec::with_capacity(MOST);
        loop {
            tokio::select! {
                count = arrivals.recv_many(&mut items, MOST) => {
                    if count == 0 {
                        return;
                    }
                    for item in items.drain(..) {
                        self.pass(item, &resource);
                    }
                    if count < MOST {
                        tokio::time::sleep(PAUSE).await;
                    }
                }
                _ = sweep.tick() => {
                    self.wires.sweep(Instant::now());
                    while self.tasks.try_join_next().is_some() {}
                    self.desks.retain(|_, desk| !desk.is_closed());
                }
            }
        }
    }

    /// To the desk of its collector, or to all of them.
    fn pass(&mut self, item: Item, resource: &Arc<Resource>) {
        let span = match item {
            Item::Span(span) => span,
            Item::Flush(done) => {
                // A desk that has no room is behind: it cannot be waited for.
                self.desks.values().for_each(|desk| drop(desk.try_send(Item::Flush(done.clone()))));
                return;
            }
        };
        let key = span.tracer.collector.clone();
        let sent = self.desk(&key, resource).try_send(Item::Span(span));
        let sent = match sent {
            // It had nothing to do for long, and went.
            Err(TrySendError::Closed(item)) => {
                self.desks.remove(&key);
                self.desk(&key, resource).try_send(item)
            }
            other => other,
        };
        if sent.is_err() {
            self.dropped.inc();
        }
    }

    fn desk(&mut self, key: &ProviderKey, resource: &Arc<Resource>) -> &mpsc::Sender<Item> {
        self.desks.entry(key.clone()).or_insert_with(|| {
            let (desk, waiting) = mpsc::channel(WAITING);
            let around = Surroundings {
                program: self.program.clone(),
                wires: Arc::clone(&self.wires),
                resource: Arc::clone(resource),
            };
            self.tasks.spawn(Desk::new(key.clone(), around, &self.metrics).run(waiting));
            desk
        })
    }
}

#[cfg(test)]
mod tests;
