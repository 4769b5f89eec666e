// SPDX-License-Identifier: Apache-2.0
//! Idle HTTP/1.1 connections of one worker.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use tokio::time::Instant;
use torana_ir::Backend;

use super::{Key, Slot, Target};
use crate::balance::BackendState;
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
    /// Whose it is; gone when that is configured otherwise, and then nobody is lent it.
    backend: Weak<BackendState>,
    _slot: Slot,
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
            backend: Arc::downgrade(target.backend),
            _slot: slot,
        }
    }
}

/// Newest first: old ones age out. Carriers travel boxed, so they are kept boxed.
#[expect(clippy::vec_box, reason = "a carrier moves between pool and exchange without being copied")]
#[derive(Default)]
pub(super) struct Pool(Mutex<HashMap<Key, Vec<Box<Carrier>>, RandomState>>);

impl Pool {
    /// The newest connection that is still quiet; those that are not are dropped on the way.
    pub(super) fn take(&self, key: Key) -> Option<Box<Carrier>> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let stack = idle.get_mut(&key)?;
        while let Some(mut carrier) = stack.pop() {
            if carrier.io.quiet() {
                return Some(carrier);
            }
        }
        None
    }

    /// Keeps a connection, unless it has carried as many requests as it may.
    pub(super) fn put(&self, config: &Backend, mut carrier: Box<Carrier>) {
        carrier.served = carrier.served.saturating_add(1);
        if config.caps.requests_per_connection.is_some_and(|most| carrier.served >= most.get()) {
            return;
        }
        carrier.reused = true;
        carrier.expires = Instant::now() + config.idle;
        carrier.input.clear();
        carrier.output.clear();
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let stack = idle.entry(carrier.key).or_default();
        if stack.len() < MAX_IDLE {
            stack.push(carrier);
        }
    }

    pub(super) fn sweep(&self, now: Instant) {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|_, stack| {
            stack.retain_mut(|it| it.expires > now && it.backend.strong_count() > 0 && it.io.quiet());
            !stack.is_empty()
        });
    }
}
