// SPDX-License-Identifier: Apache-2.0
//! The wait for a place where a backend has as many connections as it may have. Who waits longest is served first; it
//! keeps no connection itself.

use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;
use tokio::time::Instant;

use super::{Key, Target};
use crate::connections::{Slot, Waiting};
use crate::fault::{Fault, Overflow};

/// What a request gets whose wait was too long, or for nothing.
pub(super) const FULL: Fault = Fault::Overload(Overflow::Connections);

/// What is waited for with this key in this pool, as a number.
pub(super) fn lane<P>(numbers: &RandomState, pool: &P, key: Key) -> u64 {
    numbers.hash_one((key, std::ptr::from_ref(pool).addr()))
}

/// Begins to wait; with the time when that ends. `lane` as in [`Connections::wait`](crate::connections::Connections::wait).
pub(super) fn line_up(target: &Target<'_>, lane: u64) -> Result<(Waiting, Instant), Fault> {
    if target.backend.config.max_connections == 0 {
        return Err(FULL);
    }
    let own = Instant::now() + target.patience;
    let until = target.deadline.map_or(own, |deadline| deadline.min(own));
    Ok((target.backend.connections().wait(lane), until))
}

/// A place at once, or in one's turn.
pub(super) async fn place(target: &Target<'_>) -> Result<Slot, Fault> {
    let connections = target.backend.connections();
    match connections.take() {
        Some(slot) => Ok(slot),
        // Boxed: few wait, and all would carry the room for it.
        None => Box::pin(wait(target)).await,
    }
}

async fn wait(target: &Target<'_>) -> Result<Slot, Fault> {
    let (place, until) = line_up(target, 0)?;
    tokio::time::timeout_at(until, place).await.map_err(|_| FULL)
}
