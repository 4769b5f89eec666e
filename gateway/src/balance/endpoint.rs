// SPDX-License-Identifier: Apache-2.0
//! One address of a backend, and the set of them that is current.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};

/// Ids are never reused, so a pool keyed by one can never serve another address.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// One address. The same one stays in its backend across updates while the address is listed.
#[derive(Debug)]
pub struct Endpoint {
    /// Unique in this process, for ever.
    pub id: u64,
    /// Where it listens.
    pub address: SocketAddr,
    in_flight: AtomicU32,
}

impl Endpoint {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { id: NEXT_ID.fetch_add(1, Ordering::Relaxed), address, in_flight: AtomicU32::new(0) }
    }

    /// Requests that were begun and are not over.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
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

type ByAddress<V> = HashMap<SocketAddr, V, RandomState>;

/// The endpoints of a backend at one moment, ready ones first.
#[derive(Debug, Default)]
pub struct EndpointSet {
    all: Box<[Arc<Endpoint>]>,
    ready: usize,
}

impl EndpointSet {
    /// The set that `addresses` (with readiness) make, keeping endpoints of `self` by address.
    pub(crate) fn updated(&self, addresses: impl Iterator<Item = (SocketAddr, bool)>) -> Self {
        let mut known: ByAddress<&Arc<Endpoint>> =
            self.all.iter().map(|endpoint| (endpoint.address, endpoint)).collect();
        let mut ready = Vec::new();
        let mut serving = Vec::new();
        let mut seen: HashSet<SocketAddr, RandomState> = HashSet::default();
        for (address, is_ready) in addresses {
            if !seen.insert(address) {
                continue;
            }
            let endpoint = known.remove(&address).map_or_else(|| Arc::new(Endpoint::new(address)), Arc::clone);
            if is_ready { ready.push(endpoint) } else { serving.push(endpoint) }
        }
        let count = ready.len();
        ready.append(&mut serving);
        Self { all: ready.into_boxed_slice(), ready: count }
    }

    /// Every endpoint and whether it is ready.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<Endpoint>, bool)> {
        self.all.iter().enumerate().map(|(at, endpoint)| (endpoint, at < self.ready))
    }

    /// Those that may be chosen: the ready ones, or the serving ones if none is ready.
    pub fn usable(&self) -> &[Arc<Endpoint>] {
        if self.ready > 0 { &self.all[..self.ready] } else { &self.all }
    }
}
