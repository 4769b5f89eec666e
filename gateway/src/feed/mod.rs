// SPDX-License-Identifier: Apache-2.0
//! Where the data plane's program comes in: deltas one way, acks the other, and names that clients ask for and that there
//! is no certificate of.
//!
//! One delta is one generation: compiled off the hot path, put in force by one swap, acked when every worker has its
//! sockets open. Whatever goes wrong, the last good table stays.
//!
//! In one process the two ends of [`channel`] are all there is; [`remote`] is the publisher whose deltas come from a
//! controller elsewhere.

mod program;

pub mod remote;

use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::{mpsc, watch};
use torana_ir::{Delta, Demand, ResourceKey, Snapshot};

pub(crate) use program::{Program, Programming};

use crate::demands::Demands;

/// Deltas that may wait.
const QUEUE: usize = 16;

/// A generation is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// Which one; all before it are in force or superseded.
    pub generation: u64,
    /// What is not in force, and why: listeners whose port is not available.
    pub rejected: Vec<(ResourceKey, String)>,
}

/// What the data plane says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// A generation is in force.
    Ack(Ack),
    /// A client asks for a certificate.
    Demand(Demand),
}

/// The data plane has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the data plane has ended")]
pub struct Ended;

/// One generation on its way.
#[derive(Debug)]
struct Generation {
    number: u64,
    delta: Delta,
    /// What came with it and cannot be read.
    unreadable: Vec<ResourceKey>,
}

/// The end that programs.
#[derive(Debug)]
pub struct Publisher {
    deltas: mpsc::Sender<Generation>,
    acks: watch::Receiver<Option<Ack>>,
    demands: mpsc::Receiver<Demand>,
    snapshot: Arc<RwLock<Snapshot>>,
    stale: watch::Sender<bool>,
}

/// The end that is programmed.
#[derive(Debug)]
pub struct Feed {
    deltas: mpsc::Receiver<Generation>,
    acks: watch::Sender<Option<Ack>>,
    /// Where workers tell what clients ask for.
    pub(crate) demands: Arc<Demands>,
    /// All deltas that were taken, applied.
    snapshot: Arc<RwLock<Snapshot>>,
    /// Whether whoever published it could not say that it is still so.
    stale: watch::Receiver<bool>,
}

/// Two ends of one feed in one process.
pub fn channel() -> (Publisher, Feed) {
    let (delta_sender, deltas) = mpsc::channel(QUEUE);
    let (ack_sender, acks) = watch::channel(None);
    let snapshot = Arc::<RwLock<Snapshot>>::default();
    let (stale_sender, stale) = watch::channel(false);
    let (demand_sender, demands) = Demands::channel();
    let own = Arc::clone(&snapshot);
    let publisher = Publisher { deltas: delta_sender, acks, demands, snapshot: own, stale: stale_sender };
    (publisher, Feed { deltas, acks: ack_sender, demands: demand_sender, snapshot, stale })
}

impl Publisher {
    /// Sends one generation. Waits while many are on their way.
    pub async fn publish(&self, generation: u64, delta: Delta) -> Result<(), Ended> {
        self.publish_but(generation, delta, Vec::new()).await
    }

    /// As [`Publisher::publish`], of a generation of which some resources cannot be read; they are counted.
    async fn publish_but(&self, number: u64, delta: Delta, unreadable: Vec<ResourceKey>) -> Result<(), Ended> {
        self.deltas.send(Generation { number, delta, unreadable }).await.map_err(|_| Ended)
    }

    /// Whether what is in force may be out of date: nobody is there who would say so.
    fn stale(&self, is_stale: bool) {
        self.stale.send_if_modified(|stale| std::mem::replace(stale, is_stale) != is_stale);
    }

    /// What is programmed. A copy shares the objects.
    fn snapshot(&self) -> Snapshot {
        read(&self.snapshot).clone()
    }

    /// The newest ack that was not returned yet. A generation may be acked again: when a port becomes available, or
    /// when a later one supersedes it before anybody asked, not at all.
    pub async fn ack(&mut self) -> Result<Ack, Ended> {
        next(&mut self.acks).await
    }

    /// The newest ack as [`Publisher::ack`] returns it, or the next thing that a client asks for.
    pub async fn word(&mut self) -> Result<Word, Ended> {
        tokio::select! {
            ack = next(&mut self.acks) => ack.map(Word::Ack),
            Some(demand) = self.demands.recv() => Ok(Word::Demand(demand)),
        }
    }
}

async fn next(acks: &mut watch::Receiver<Option<Ack>>) -> Result<Ack, Ended> {
    loop {
        acks.changed().await.map_err(|_| Ended)?;
        if let Some(ack) = acks.borrow_and_update().clone() {
            return Ok(ack);
        }
    }
}

/// A snapshot is replaced object by object, so a panic elsewhere left it whole.
fn read(snapshot: &RwLock<Snapshot>) -> std::sync::RwLockReadGuard<'_, Snapshot> {
    snapshot.read().unwrap_or_else(PoisonError::into_inner)
}

fn write(snapshot: &RwLock<Snapshot>) -> std::sync::RwLockWriteGuard<'_, Snapshot> {
    snapshot.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
