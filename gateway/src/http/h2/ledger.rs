// SPDX-License-Identifier: Apache-2.0
//! What a client has done on its HTTP/2 connection, set against what it asked for: frames that ask for nothing, and
//! requests that it took back before they were answered (RFC 9113 §10.5).
//!
//! Shared by the reader of frames, the connection and its streams, which all live on one worker; it reads no clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

use crate::frames::{ALLOWANCE, MOST, explained};

/// Frames that one request may bring with it.
const FOR_REQUEST: i32 = 8;
/// Frames that one piece of a response may bring back (a WINDOW_UPDATE for the stream and one for the connection),
/// however small it is.
const FOR_PIECE: i32 = 2;

/// The account of one connection.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// Frames that may still come without a request.
    owed: AtomicI32,
    /// More came.
    flooded: AtomicBool,
    /// The head of a request has begun and not ended.
    amid_head: AtomicBool,
    /// Streams with a task. Those that the client has reset count until it has ended, so resetting buys no further
    /// work.
    running: AtomicU32,
    /// Requests taken back since somebody last asked.
    taken_back: AtomicU32,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            owed: AtomicI32::new(ALLOWANCE),
            flooded: AtomicBool::new(false),
            amid_head: AtomicBool::new(false),
            running: AtomicU32::new(0),
            taken_back: AtomicU32::new(0),
        }
    }
}

impl Ledger {
    // === frames ===

    /// Frames came that ask for nothing. Gives what is left.
    pub(crate) fn spend(&self, frames: i32) -> i32 {
        self.owed.fetch_sub(frames, Ordering::Relaxed).saturating_sub(frames)
    }

    /// Time has passed: so many frames more, up to the allowance.
    pub(crate) fn refill(&self, frames: i32) -> i32 {
        let left = self.owed.load(Ordering::Relaxed).saturating_add(frames).min(ALLOWANCE);
        self.owed.store(left, Ordering::Relaxed);
        left
    }

    /// A piece of a response of so many bytes is on its way to the client.
    pub(crate) fn answered(&self, bytes: usize) {
        self.earn(FOR_PIECE + explained(bytes));
    }

    fn earn(&self, frames: i32) {
        let owed = self.owed.load(Ordering::Relaxed);
        self.owed.store(owed.saturating_add(frames).min(MOST), Ordering::Relaxed);
    }

    /// More frames came than anything explains.
    pub(crate) fn flood(&self) {
        self.flooded.store(true, Ordering::Relaxed);
    }

    /// Whether [`Ledger::flood`] was called.
    pub(crate) fn flooded(&self) -> bool {
        self.flooded.load(Ordering::Relaxed)
    }

    /// Whether the last byte that was read is one of a head, and not its last.
    pub(crate) fn note_head(&self, amid: bool) {
        self.amid_head.store(amid, Ordering::Relaxed);
    }

    /// What [`Ledger::note_head`] was told.
    pub(crate) fn amid_head(&self) -> bool {
        self.amid_head.load(Ordering::Relaxed)
    }

    // === streams ===

    /// A place for one more stream, if fewer than `limit` run.
    pub(crate) fn enter(self: &Arc<Self>, limit: u32) -> Option<Ticket> {
        if self.running() >= limit {
            return None;
        }
        self.running.fetch_add(1, Ordering::Relaxed);
        self.earn(FOR_REQUEST);
        Some(Ticket(Arc::clone(self)))
    }

    /// How many streams run.
    pub(crate) fn running(&self) -> u32 {
        self.running.load(Ordering::Relaxed)
    }

    /// A request was reset before its answer began.
    pub(crate) fn took_back(&self) {
        self.taken_back.fetch_add(1, Ordering::Relaxed);
    }

    /// How many were, since the last call.
    pub(crate) fn take_taken_back(&self) -> u32 {
        match self.taken_back.load(Ordering::Relaxed) {
            0 => 0,
            _ => self.taken_back.swap(0, Ordering::Relaxed),
        }
    }
}

/// One stream's place.
pub(crate) struct Ticket(Arc<Ledger>);

impl Ticket {
    /// The account of its connection.
    pub(crate) fn ledger(&self) -> &Ledger {
        &self.0
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_owed_has_a_floor_to_begin_with_and_a_ceiling() {
        let ledger = Ledger::default();
        assert_eq!(ledger.spend(ALLOWANCE), 0);
        assert_eq!(ledger.refill(ALLOWANCE + 7), ALLOWANCE);
        for _ in 0..100 {
            ledger.answered(1 << 20);
        }
        assert_eq!(ledger.spend(0), MOST);
        let ticket = Arc::new(ledger).enter(1).unwrap();
        assert_eq!(ticket.ledger().spend(0), MOST);
    }

    #[test]
    fn a_stream_that_was_reset_keeps_its_place_until_its_task_ends() {
        let ledger = Arc::new(Ledger::default());
        let first = ledger.enter(2).unwrap();
        let second = ledger.enter(2).unwrap();
        second.ledger().took_back();
        assert!(ledger.enter(2).is_none());
        drop(first);
        assert_eq!((ledger.running(), ledger.take_taken_back(), ledger.take_taken_back()), (1, 1, 0));
        assert!(ledger.enter(2).is_some());
    }
}
