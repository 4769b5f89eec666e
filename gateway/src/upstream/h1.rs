// SPDX-License-Identifier: Apache-2.0
//! Idle HTTP/1.1 connections of one worker, and requests of it that wait for one.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use tokio::sync::oneshot;
use tokio::time::Instant;
use torana_ir::Backend;

use super::queue::{self, FULL};
use super::{Key, Owners, Target};
use crate::connections::{Keeper, Slot};
use crate::fault::Fault;
use crate::io::Io;

/// Idle connections kept for one endpoint.
const MAX_IDLE: usize = 1024;

/// A connection to a backend with its buffers, which stay with it.
pub(crate) struct Carrier {
    /// The stream.
    pub(crate) io: Box<Io>,
    /// Bytes of the response that were read and not used yet; empty between requests.
    pub(crate) input: Vec<u8>,
    /// Buffer for what is written; empty between requests.
    pub(crate) output: Vec<u8>,
    /// It has carried a request before: its peer may have closed it meanwhile.
    pub(crate) reused: bool,
    /// Requests that it has carried.
    served: u32,
    expires: Instant,
    key: Key,
    since: Instant,
    owners: Owners,
    slot: Slot,
}

impl Carrier {
    pub(super) fn new(target: &Target<'_>, io: Box<Io>, slot: Slot) -> Self {
        Self {
            io,
            input: Vec::new(),
            output: Vec::new(),
            reused: false,
            served: 0,
            expires: Instant::now(),
            key: target.key(),
            since: Instant::now(),
            owners: Owners::of(target),
            slot,
        }
    }
}

/// What a request has waited for.
pub(super) enum Came {
    /// A connection that was given back.
    Connection(Box<Carrier>),
    /// A place for a new one.
    Place(Slot),
}

/// Carriers travel boxed, so they are kept boxed: one moves between pool and exchange without being copied.
type Idle = HashMap<Key, Vec<Box<Carrier>>, RandomState>;

/// Who waits for connections of the same key, each with its ticket.
type Lanes = HashMap<Key, VecDeque<(u64, oneshot::Sender<Box<Carrier>>)>, RandomState>;

#[derive(Default)]
pub(super) struct Pool {
    /// Newest last: old ones age out.
    idle: Mutex<Idle>,
    /// Empty but where a backend has as many connections as it may have.
    lanes: Mutex<Lanes>,
    numbers: RandomState,
}

impl Pool {
    /// The newest connection that is still quiet; those that are not are dropped on the way.
    pub(super) fn take(&self, key: Key) -> Option<Box<Carrier>> {
        let mut idle = self.idle();
        let stack = idle.get_mut(&key)?;
        while let Some(mut carrier) = stack.pop() {
            if carrier.io.quiet() {
                return Some(carrier);
            }
        }
        None
    }

    /// Keeps a connection, unless it has carried as many requests as it may, or somebody waits: then it is lent to who
    /// waits for it, or makes place for others.
    pub(super) fn put(&self, config: &Backend, mut carrier: Box<Carrier>) {
        carrier.served = carrier.served.saturating_add(1);
        if config.caps.requests_per_connection.is_some_and(|most| carrier.served >= most.get()) {
            return;
        }
        if config.connections.longest.is_some_and(|longest| carrier.since.elapsed() >= longest) {
            return;
        }
        carrier.reused = true;
        carrier.expires = Instant::now() + config.idle;
        if let Some(end) = config.connections.longest.and_then(|longest| carrier.since.checked_add(longest)) {
            carrier.expires = carrier.expires.min(end);
        }
        carrier.input.clear();
        carrier.output.clear();
        if carrier.slot.is_wanted() {
            return self.hand_on(carrier);
        }
        self.shelve(carrier);
    }

    fn shelve(&self, carrier: Box<Carrier>) {
        let key = carrier.key;
        let mut idle = self.idle();
        let stack = idle.entry(key).or_default();
        if stack.len() >= MAX_IDLE {
            return;
        }
        stack.push(carrier);
        let wanted = stack.last().is_some_and(|carrier| carrier.slot.is_wanted());
        drop(idle);
        // Whoever began to wait meanwhile has not found it.
        if wanted {
            self.give_up(key.backend);
        }
    }

    /// Lends a connection to who has waited longest for one like it; else it closes.
    fn hand_on(&self, mut carrier: Box<Carrier>) {
        let key = carrier.key;
        while carrier.io.quiet() && self.lanes().contains_key(&key) && carrier.slot.connections().pass(self.lane(key)) {
            let next = self.lanes().get_mut(&key).and_then(VecDeque::pop_front);
            let Some((_, waiting)) = next else { return };
            match waiting.send(carrier) {
                Ok(()) => return,
                Err(unwanted) => carrier = unwanted,
            }
        }
    }

    /// Waits for a connection, or for a place for a new one.
    pub(super) async fn wait(&self, target: &Target<'_>) -> Result<Came, Fault> {
        let key = target.key();
        let (mut place, until) = queue::line_up(target, self.lane(key))?;
        let ticket = place.ticket();
        let (sender, connection) = oneshot::channel();
        if !target.fresh {
            self.lanes().entry(key).or_default().push_back((ticket, sender));
        }
        let _stand = Stand { pool: self, key, ticket };
        tokio::select! {
            biased;
            Ok(carrier) = connection => Ok(Came::Connection(carrier)),
            slot = &mut place => Ok(Came::Place(slot)),
            () = tokio::time::sleep_until(until) => Err(FULL),
        }
    }

    pub(super) fn sweep(&self, now: Instant) {
        self.idle().retain(|_, stack| {
            stack.retain_mut(|it| it.expires > now && it.owners.are_there() && it.io.quiet() && !it.slot.is_wanted());
            !stack.is_empty()
        });
    }

    /// What is waited for with this key, as a number.
    fn lane(&self, key: Key) -> u64 {
        queue::lane(&self.numbers, self, key)
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keeper for Pool {
    fn give_up(&self, backend: u64) -> bool {
        let mut idle = self.idle();
        let mut stacks = idle.iter_mut().filter(|(key, stack)| key.backend == backend && !stack.is_empty());
        let oldest = stacks.next().map(|(_, stack)| stack.remove(0));
        drop(idle);
        oldest.is_some()
    }
}

/// A place in a lane; left when dropped.
struct Stand<'p> {
    pool: &'p Pool,
    key: Key,
    ticket: u64,
}

impl Drop for Stand<'_> {
    fn drop(&mut self) {
        let mut lanes = self.pool.lanes();
        let Some(lane) = lanes.get_mut(&self.key) else { return };
        lane.retain(|(ticket, _)| *ticket != self.ticket);
        if lane.is_empty() {
            lanes.remove(&self.key);
        }
    }
}
