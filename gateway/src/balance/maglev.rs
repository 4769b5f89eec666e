// SPDX-License-Identifier: Apache-2.0
//! A table of slots that endpoints take in turns, each in an order of its own (Maglev, Eisenbud et al., NSDI 2016): each
//! has its share to a slot, and when one goes nearly all other slots stay.
//!
//! Built when endpoints change, never for a request.

use std::net::SocketAddr;

use torana_ir::TableSize;

use super::scramble::{below, hash_address, scrambled};

/// The table.
#[derive(Debug)]
pub(super) struct Maglev {
    /// Whose slot it is, by position.
    slots: Box<[u32]>,
}

/// One endpoint that takes slots.
struct Taker {
    position: u32,
    next: u64,
    step: u64,
    weight: u64,
    /// Weight that it has not used.
    credit: u64,
}

const FREE: u32 = u32::MAX;

impl Maglev {
    /// Of endpoints with weights. Where there are more endpoints than slots, some have none.
    pub(super) fn new(endpoints: &[(SocketAddr, u32)], size: TableSize) -> Self {
        if endpoints.is_empty() {
            return Self { slots: Box::default() };
        }
        let size = u64::from(size.slots());
        let mut takers = takers(endpoints, size);
        let heaviest = takers.iter().map(|taker| taker.weight).max().unwrap_or(1);
        let mut slots = vec![FREE; size as usize];
        let mut free = slots.len();
        while free > 0 {
            for taker in &mut takers {
                taker.credit += taker.weight;
                if taker.credit < heaviest || free == 0 {
                    continue;
                }
                taker.credit -= heaviest;
                take(&mut slots, taker, size);
                free -= 1;
            }
        }
        Self { slots: slots.into() }
    }

    /// Position of the endpoint that a key belongs to.
    pub(super) fn find(&self, key: u64) -> Option<usize> {
        let at = below(key, self.slots.len() as u64)?;
        self.slots.get(at as usize).map(|owner| *owner as usize)
    }
}

/// In the order of their addresses, which is the same everywhere.
fn takers(endpoints: &[(SocketAddr, u32)], size: u64) -> Vec<Taker> {
    let mut sorted: Vec<_> = endpoints.iter().zip(0u32..).collect();
    sorted.sort_unstable_by_key(|((address, _), _)| *address);
    let taker = |((address, weight), position): (&(SocketAddr, u32), u32)| {
        let hash = hash_address(*address);
        let step = scrambled(hash) % (size - 1).max(1) + 1;
        Taker { position, next: hash % size, step, weight: u64::from((*weight).max(1)), credit: 0 }
    };
    sorted.into_iter().map(taker).collect()
}

/// The next free slot of its order. There is one: the order visits all, for the size is prime.
fn take(slots: &mut [u32], taker: &mut Taker, size: u64) {
    for _ in 0..size {
        let at = taker.next as usize;
        taker.next = (taker.next + taker.step) % size;
        if let Some(slot) = slots.get_mut(at).filter(|slot| **slot == FREE) {
            *slot = taker.position;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints(weights: &[u32]) -> Vec<(SocketAddr, u32)> {
        weights.iter().zip(1u8..).map(|(weight, host)| (SocketAddr::from(([10, 0, 0, host], 80)), *weight)).collect()
    }

    #[test]
    fn every_slot_is_taken_and_shares_are_exact() {
        for weights in [vec![1], vec![1, 1, 1], vec![1, 2, 3, 4], vec![1, 999], vec![u32::MAX; 5]] {
            let table = Maglev::new(&endpoints(&weights), TableSize::DEFAULT);
            let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
            for (at, weight) in weights.iter().enumerate() {
                let slots = table.slots.iter().filter(|owner| **owner as usize == at).count() as u64;
                let fair = 65_537 * u64::from(*weight) / total;
                assert!(slots.abs_diff(fair) <= 2, "{slots} slots, not {fair}, for {at} of {weights:?}");
            }
        }
    }

    #[test]
    fn tiny_tables_and_none_at_all_have_an_end() {
        assert_eq!(Maglev::new(&[], TableSize::DEFAULT).find(7), None);
        let more = Maglev::new(&endpoints(&[1, 1, 1, 1, 1]), TableSize::new(2).unwrap());
        assert!(more.find(0).is_some() && more.find(u64::MAX).is_some());
    }

    #[test]
    fn the_order_of_endpoints_does_not_matter() {
        let mut endpoints = endpoints(&[1, 2, 1, 3]);
        let (one, before) = (Maglev::new(&endpoints, TableSize::DEFAULT), endpoints.clone());
        endpoints.reverse();
        let other = Maglev::new(&endpoints, TableSize::DEFAULT);
        for key in (0..1000).map(scrambled) {
            assert_eq!(before[one.find(key).unwrap()], endpoints[other.find(key).unwrap()]);
        }
    }
}
