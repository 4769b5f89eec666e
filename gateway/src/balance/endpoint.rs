// SPDX-License-Identifier: Apache-2.0
//! One address of a backend.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use torana_ir::MeshPeer;

use super::health::Health;
use super::peer::Peer;

/// Ids are never reused, so a pool keyed by one can never serve another address.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// An id that no endpoint and no backend has had.
pub(super) fn next_id() -> u64 {
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}

/// One address. The same one stays in its backend while the address is listed as the same workload, whatever becomes of the
/// configuration: what is in flight there, and what is known of it, is the address's own.
#[derive(Debug)]
pub struct Endpoint {
    /// Unique in this process, for ever.
    pub id: u64,
    /// Where it listens.
    pub address: SocketAddr,
    /// What it is as a workload of a mesh, if it is one.
    pub peer: Option<Arc<Peer>>,
    in_flight: AtomicU32,
    pub(super) health: Health,
}

impl Endpoint {
    pub(crate) fn new(address: SocketAddr, peer: Option<&MeshPeer>) -> Self {
        let peer = peer.map(Peer::of);
        Self { id: next_id(), address, peer, in_flight: AtomicU32::new(0), health: Health::default() }
    }

    /// Whether it is this workload, or none if there is none.
    pub(super) fn is(&self, peer: Option<&MeshPeer>) -> bool {
        match (&self.peer, peer) {
            (Some(own), Some(peer)) => own.is(peer),
            (own, peer) => own.is_none() && peer.is_none(),
        }
    }

    /// Requests that were begun and are not over.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Whether it is unhealthy by its checks, whether or not that counts now.
    pub fn fails_checks(&self) -> bool {
        self.health.fails_checks()
    }

    /// Nothing is known from checks any more.
    pub fn forget_checks(&self) {
        self.health.checked(false);
    }

    /// Counts one request until the guard is dropped.
    pub fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight { endpoint: Arc::clone(self) }
    }
}

/// One request in flight to an endpoint.
#[derive(Debug)]
pub struct InFlight {
    endpoint: Arc<Endpoint>,
}

impl InFlight {
    /// Where the request went.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.endpoint.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
