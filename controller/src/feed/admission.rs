// SPDX-License-Identifier: Apache-2.0
//! How many connections the feed's port takes: those that have shown no token yet are few, for anybody in the cluster
//! can open them. Counts, and nothing else.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Caps on connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Caps {
    /// Of all.
    pub(super) connections: usize,
    /// Of those that have not shown a token.
    pub(super) strangers: usize,
    /// Of those from one address.
    pub(super) strangers_per_ip: usize,
}

impl Caps {
    /// A proxy needs one; a thousand of them may come at once when a new leader begins.
    pub(super) const DEFAULT: Self = Self { connections: 8192, strangers: 2048, strangers_per_ip: 64 };
}

/// Who is inside.
#[derive(Debug)]
pub(super) struct Admission {
    caps: Caps,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    connections: usize,
    strangers: usize,
    by_ip: BTreeMap<IpAddr, usize>,
}

/// A place of a connection, given back when dropped.
#[derive(Debug)]
pub(super) struct Place(Arc<Admission>);

/// A stranger's place, given back when dropped: at the end of the connection, or when it is no stranger any more.
#[derive(Debug)]
pub(super) struct Stranger(Arc<Admission>, IpAddr);

impl Admission {
    pub(super) fn new(caps: Caps) -> Arc<Self> {
        Arc::new(Self { caps, inside: Mutex::default() })
    }

    /// Places for a new connection, if there are any.
    pub(super) fn enter(self: &Arc<Self>, ip: IpAddr) -> Option<(Place, Stranger)> {
        let ip = ip.to_canonical();
        let mut inside = self.inside();
        let from_there = inside.by_ip.get(&ip).copied().unwrap_or(0);
        let full = inside.connections >= self.caps.connections
            || inside.strangers >= self.caps.strangers
            || from_there >= self.caps.strangers_per_ip;
        if full {
            return None;
        }
        inside.connections += 1;
        inside.strangers += 1;
        inside.by_ip.insert(ip, from_there + 1);
        Some((Place(Arc::clone(self)), Stranger(Arc::clone(self), ip)))
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        // Numbers are whole whatever panicked.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.inside().connections -= 1;
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let mut inside = self.0.inside();
        inside.strangers -= 1;
        if let Some(count) = inside.by_ip.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                inside.by_ip.remove(&self.1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    #[test]
    fn strangers_are_few_from_one_address_and_in_all() {
        let admission = Admission::new(Caps { connections: 4, strangers: 3, strangers_per_ip: 2 });
        let first = admission.enter(ip(1)).unwrap();
        let second = admission.enter(ip(1)).unwrap();
        assert!(admission.enter(ip(1)).is_none(), "from one address");
        let third = admission.enter(ip(2)).unwrap();
        assert!(admission.enter(ip(3)).is_none(), "in all");
        let (_first_stays, stranger) = first;
        drop(stranger);
        let fourth = admission.enter(ip(1)).unwrap();
        let (_second_stays, stranger) = second;
        drop(stranger);
        assert!(admission.enter(ip(1)).is_none(), "connections of those that are known count too");
        drop((third, fourth));
        assert!(admission.enter(ip(3)).is_some());
        assert!(!admission.inside().by_ip.contains_key(&ip(2)), "nothing is remembered of those who left");
    }
}
