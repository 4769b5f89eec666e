// SPDX-License-Identifier: Apache-2.0
//! What the parts of an outer connection know of each other, and what is counted. It decides nothing.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use crate::fault::Fault;
use crate::tls::backends::failure;

/// One outer connection. All of its parts live on one worker.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Streams that are open, or asked for.
    streams: AtomicUsize,
    /// The peer's first SETTINGS were read.
    settled: AtomicBool,
    /// No new stream goes here.
    leaving: AtomicBool,
    /// What TLS had to say when it broke.
    tls: OnceLock<&'static str>,
}

impl State {
    pub(super) fn streams(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }

    pub(super) fn enter(&self) {
        self.streams.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn exit(&self) {
        self.streams.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn settle(&self) {
        self.settled.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Relaxed)
    }

    /// The peer says that it goes away (GOAWAY), or is gone.
    pub(super) fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    /// Takes note of what broke the connection.
    pub(super) fn broke(&self, error: &io::Error) {
        if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref()) {
            // The first word counts.
            self.tls.set(failure(error)).ok();
        }
    }

    /// What a connection that broke before it was of use comes to. Under TLS 1.3 a peer that does not like our certificate
    /// says so only after the handshake.
    pub(super) fn fault(&self) -> Fault {
        self.tls.get().map_or(Fault::Connect, |why| Fault::UpstreamTls(why))
    }
}

/// What a pool has opened, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Outer connections, since the beginning.
    pub opened: u64,
    /// Outer connections now, idle ones too.
    pub open: u64,
    /// Tunnels now.
    pub tunnels: u64,
}

/// What [`Counts`] are read from.
#[derive(Debug, Default)]
pub(super) struct Counters {
    opened: AtomicU64,
    open: AtomicU64,
    tunnels: AtomicU64,
}

impl Counters {
    pub(super) fn read(&self) -> Counts {
        Counts {
            opened: self.opened.load(Ordering::Relaxed),
            open: self.open.load(Ordering::Relaxed),
            tunnels: self.tunnels.load(Ordering::Relaxed),
        }
    }
}

/// Counts an outer connection until it is dropped.
pub(super) struct OpenOuter(Arc<Counters>);

impl OpenOuter {
    pub(super) fn new(counters: &Arc<Counters>) -> Self {
        counters.opened.fetch_add(1, Ordering::Relaxed);
        counters.open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(counters))
    }
}

impl Drop for OpenOuter {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts a tunnel until it is dropped.
pub(super) struct OpenTunnel(Arc<Counters>);

impl OpenTunnel {
    pub(super) fn new(counters: &Arc<Counters>) -> Self {
        counters.tunnels.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(counters))
    }
}

impl Drop for OpenTunnel {
    fn drop(&mut self) {
        self.0.tunnels.fetch_sub(1, Ordering::Relaxed);
    }
}
