// SPDX-License-Identifier: Apache-2.0
//! How many connections there may be, in all and from one client.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;
use hashbrown::HashMap;

/// Locks that clients are spread over.
const SHARDS: usize = 16;

/// Caps on clients' connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// In all. Below half of the file descriptors, since most requests need one more for their backend.
    pub connections: usize,
    /// From one IPv4 address or one IPv6 /64.
    pub connections_per_ip: usize,
}

impl Caps {
    /// For a process that may open this many files: just below half of them, and half of that for one client (it may be
    /// a load balancer or a NAT).
    pub fn for_open_files(files: usize) -> Self {
        let connections = (files / 2).saturating_sub(64).max(64);
        Self { connections, connections_per_ip: (connections / 2).max(32) }
    }
}

type Counts = HashMap<IpAddr, usize, RandomState>;
type Shard = Mutex<Counts>;

/// The connections that there are.
pub(crate) struct Admission {
    caps: Caps,
    connections: AtomicUsize,
    clients: [Shard; SHARDS],
    hasher: RandomState,
}

/// The right to one connection; given back when dropped.
pub(crate) struct Place {
    admission: Arc<Admission>,
    client: IpAddr,
}

impl Admission {
    pub(crate) fn new(caps: Caps) -> Arc<Self> {
        let clients = std::array::from_fn(|_| Mutex::default());
        Arc::new(Self { caps, connections: AtomicUsize::new(0), clients, hasher: RandomState::default() })
    }

    /// Connections that are open now.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// A place for a connection from `ip`, or the word of `torana_connections_refused_total{reason}`.
    pub(super) fn admit(self: &Arc<Self>, ip: IpAddr) -> Result<Place, &'static str> {
        if self.connections.fetch_add(1, Ordering::Relaxed) >= self.caps.connections {
            self.connections.fetch_sub(1, Ordering::Relaxed);
            return Err("global_cap");
        }
        let client = client_of(ip);
        let admitted = {
            let mut shard = self.shard(client);
            let count = shard.entry(client).or_insert(0);
            let admitted = *count < self.caps.connections_per_ip;
            *count += usize::from(admitted);
            admitted
        };
        if admitted {
            return Ok(Place { admission: Arc::clone(self), client });
        }
        self.connections.fetch_sub(1, Ordering::Relaxed);
        Err("ip_cap")
    }

    fn leave(&self, client: IpAddr) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
        let mut shard = self.shard(client);
        if let Some(count) = shard.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                shard.remove(&client);
            }
        }
    }

    fn shard(&self, client: IpAddr) -> MutexGuard<'_, Counts> {
        use std::hash::BuildHasher as _;
        let shard = &self.clients[self.hasher.hash_one(client) as usize % SHARDS];
        // Counts are right after every statement, so a panic elsewhere left them right.
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.admission.leave(self.client);
    }
}

/// Who owns one IPv6 address owns its /64.
fn client_of(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_client_cannot_take_all_places() {
        let admission = Admission::new(Caps { connections: 3, connections_per_ip: 2 });
        let first = admission.admit(ip("10.0.0.1")).ok().unwrap();
        let _second = admission.admit(ip("10.0.0.1")).ok().unwrap();
        assert_eq!(admission.admit(ip("10.0.0.1")).err(), Some("ip_cap"));
        let _third = admission.admit(ip("10.0.0.2")).ok().unwrap();
        assert_eq!(admission.admit(ip("10.0.0.3")).err(), Some("global_cap"));
        drop(first);
        assert_eq!(admission.connections(), 2);
        let _again = admission.admit(ip("10.0.0.1")).ok().unwrap();
    }

    #[test]
    fn a_v6_client_is_its_64_bit_prefix() {
        let admission = Admission::new(Caps { connections: 9, connections_per_ip: 1 });
        let place = admission.admit(ip("2001:db8::1")).ok().unwrap();
        assert_eq!(admission.admit(ip("2001:db8::2")).err(), Some("ip_cap"));
        assert!(admission.admit(ip("2001:db8:0:1::1")).is_ok());
        drop(place);
        assert!(admission.clients.iter().all(|shard| shard.lock().unwrap().is_empty()), "nothing is kept");
    }

    #[test]
    fn caps_leave_descriptors_for_backends() {
        let caps = Caps::for_open_files(1024);
        assert!(caps.connections < 512 && caps.connections_per_ip < caps.connections);
    }
}
