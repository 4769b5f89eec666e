// SPDX-License-Identifier: Apache-2.0
//! How many connections a port takes: those that have shown no token yet are few, for anybody in the cluster can open
//! them. Counts, and nothing else.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Caps on connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caps {
    /// Of all.
    pub(crate) connections: usize,
    /// Of those from one address.
    pub(crate) per_ip: usize,
    /// Of those that have not shown a token.
    pub(crate) strangers: usize,
    /// Of those from one address.
    pub(crate) strangers_per_ip: usize,
}

/// Who is inside.
#[derive(Debug)]
pub(crate) struct Admission {
    caps: Caps,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    connections: usize,
    strangers: usize,
    by_ip: BTreeMap<IpAddr, FromThere>,
}

/// Those from one address.
#[derive(Debug, Default, Clone, Copy)]
struct FromThere {
    connections: usize,
    strangers: usize,
}

/// A place of a connection, given back when dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<Admission>, IpAddr);

/// A stranger's place, given back when dropped: at the end of the connection, or when it is no stranger any more.
#[derive(Debug)]
pub(crate) struct Stranger(Arc<Admission>, IpAddr);

impl Admission {
    pub(crate) fn new(caps: Caps) -> Arc<Self> {
        Arc::new(Self { caps, inside: Mutex::default() })
    }

    /// Places for a new connection, if there are any.
    pub(crate) fn enter(self: &Arc<Self>, ip: IpAddr) -> Option<(Place, Stranger)> {
        let ip = ip.to_canonical();
        let mut inside = self.inside();
        let from_there = inside.by_ip.get(&ip).copied().unwrap_or_default();
        let full = inside.connections >= self.caps.connections
            || inside.strangers >= self.caps.strangers
            || from_there.connections >= self.caps.per_ip
            || from_there.strangers >= self.caps.strangers_per_ip;
        if full {
            return None;
        }
        inside.connections += 1;
        inside.strangers += 1;
        let from_there = FromThere { connections: from_there.connections + 1, strangers: from_there.strangers + 1 };
        inside.by_ip.insert(ip, from_there);
        Some((Place(Arc::clone(self), ip), Stranger(Arc::clone(self), ip)))
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        // Numbers are whole whatever panicked.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    /// Nothing is remembered of an address that nobody is from.
    fn leaves(&mut self, ip: IpAddr, count: impl FnOnce(&mut FromThere)) {
        let Some(from_there) = self.by_ip.get_mut(&ip) else { return };
        count(from_there);
        if from_there.connections == 0 && from_there.strangers == 0 {
            self.by_ip.remove(&ip);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inside = self.0.inside();
        inside.connections -= 1;
        inside.leaves(self.1, |count| count.connections -= 1);
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let mut inside = self.0.inside();
        inside.strangers -= 1;
        inside.leaves(self.1, |count| count.strangers -= 1);
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
        let admission = Admission::new(Caps { connections: 4, per_ip: 4, strangers: 3, strangers_per_ip: 2 });
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
    #[test]
    fn those_that_are_known_are_few_from_one_address_too() {
        let admission = Admission::new(Caps { connections: 9, per_ip: 2, strangers: 9, strangers_per_ip: 9 });
        let (place, stranger) = admission.enter(ip(1)).unwrap();
        drop(stranger);
        let other = admission.enter(ip(1)).unwrap();
        assert!(admission.enter(ip(1)).is_none());
        assert!(admission.enter(ip(2)).is_some());
        drop(place);
        assert!(admission.enter(ip(1)).is_some());
        drop(other);
        assert!(admission.inside().by_ip.is_empty(), "nothing is remembered of those who left");
    }
}
