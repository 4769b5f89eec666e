// SPDX-License-Identifier: Apache-2.0
//! Where the data plane's program comes in: deltas one way, acks the other.
//!
//! One delta is one generation: compiled off the hot path, put in force by one swap, acked when every worker has its
//! sockets open. Whatever goes wrong, the last good table stays.

mod program;

use tokio::sync::{mpsc, watch};
use torana_ir::{Delta, ResourceKey};

pub(crate) use program::{Program, Programming};

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

/// The data plane has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the data plane has ended")]
pub struct Ended;

/// The end that programs.
#[derive(Debug)]
pub struct Publisher {
    deltas: mpsc::Sender<(u64, Delta)>,
    acks: watch::Receiver<Option<Ack>>,
}

/// The end that is programmed.
#[derive(Debug)]
pub struct Feed {
    deltas: mpsc::Receiver<(u64, Delta)>,
    acks: watch::Sender<Option<Ack>>,
}

/// Two ends of one feed in one process.
pub fn channel() -> (Publisher, Feed) {
    let (delta_sender, deltas) = mpsc::channel(QUEUE);
    let (ack_sender, acks) = watch::channel(None);
    (Publisher { deltas: delta_sender, acks }, Feed { deltas, acks: ack_sender })
}

impl Publisher {
    /// Sends one generation. Waits while many are on their way.
    pub async fn publish(&self, generation: u64, delta: Delta) -> Result<(), Ended> {
        self.deltas.send((generation, delta)).await.map_err(|_| Ended)
    }

    /// The newest ack that was not returned yet. A generation may be acked again: when a port becomes available, or
    /// when a later one supersedes it before anybody asked, not at all.
    pub async fn ack(&mut self) -> Result<Ack, Ended> {
        loop {
            self.acks.changed().await.map_err(|_| Ended)?;
            if let Some(ack) = self.acks.borrow_and_update().clone() {
                return Ok(ack);
            }
        }
    }
}

#[cfg(test)]
mod tests;
