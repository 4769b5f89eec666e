// SPDX-License-Identifier: Apache-2.0
//! A ring of points (ketama, Karger et al. 1997): a key belongs to the endpoint of the next point. When an endpoint goes
//! its keys go to others, and no other key moves.
//!
//! Built when endpoints change, never for a request.

use std::net::SocketAddr;

use torana_ir::MOST_POINTS;

use super::scramble::{hash_address, scrambled};

/// An endpoint of the least weight has at least so many points, whatever is asked for.
const POINTS_EACH: u32 = 256;

/// The ring.
#[derive(Debug)]
pub(super) struct Ring {
    /// Ascending.
    points: Box<[u64]>,
    /// Whose point it is, by position.
    owners: Box<[u32]>,
}

impl Ring {
    /// Of endpoints with weights, with at least so many points unless that is too many.
    ///
    /// Each has its points whoever else is there: were the ring of one size, then whenever an endpoint went all others
    /// would get more points, and so keys of each other. Only where a ring would be too large each has half of them, and
    /// again half.
    pub(super) fn new(endpoints: &[(SocketAddr, u32)], least: u32) -> Self {
        let total: u64 = endpoints.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let lightest = endpoints.iter().map(|(_, weight)| u64::from(*weight)).min().unwrap_or(1).max(1);
        let most = u128::from(MOST_POINTS);
        let mut each = u128::from(least.clamp(POINTS_EACH, MOST_POINTS));
        while each > 1 && each * u128::from(total) > most * u128::from(lightest) {
            each /= 2;
        }
        let mut points = Vec::new();
        for ((address, weight), owner) in endpoints.iter().zip(0u32..) {
            let seed = hash_address(*address);
            let by_weight = |whole: u128, of: u64| (whole * u128::from(*weight)).div_ceil(u128::from(of.max(1)));
            // Of very uneven weights the light ones have one point each.
            let share = by_weight(each, lightest).min(by_weight(most, total)) as u64;
            points.extend((0..share).map(|at| (scrambled(seed.wrapping_add(scrambled(at))), owner)));
        }
        points.sort_unstable();
        let (points, owners): (Vec<u64>, Vec<u32>) = points.into_iter().unzip();
        Self { points: points.into(), owners: owners.into() }
    }

    /// Position of the endpoint that a key belongs to.
    pub(super) fn find(&self, key: u64) -> Option<usize> {
        let at = self.points.partition_point(|point| *point < key);
        self.owners.get(at).or(self.owners.first()).map(|owner| *owner as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_belongs_to_the_next_point_and_the_last_ones_to_the_first() {
        let ring = Ring { points: [10, 20, 30].into(), owners: [0, 1, 2].into() };
        for (key, owner) in [(0, 0), (10, 0), (11, 1), (20, 1), (30, 2), (31, 0), (u64::MAX, 0)] {
            assert_eq!(ring.find(key), Some(owner), "{key}");
        }
        assert_eq!(Ring::new(&[], 1024).find(7), None);
    }

    #[test]
    fn a_ring_is_as_large_as_asked_for_and_never_too_large() {
        let points = |weights: &[u32], least: u32| {
            let endpoint = |(weight, port): (&u32, u16)| (SocketAddr::from(([10, 0, 0, 1], port)), *weight);
            Ring::new(&weights.iter().zip(0..).map(endpoint).collect::<Vec<_>>(), least).points.len()
        };
        for (weights, least, expected) in [
            (vec![1; 2], 1024, 2048),
            (vec![u32::MAX; 8], 1024, 8192),
            (vec![1; 3], 1, 768),
            (vec![3, 6, 9], 1024, 6144),
            (vec![1; 3], u32::MAX, 3 << 16),
            (vec![1; 5000], 1024, 5000 << 5),
        ] {
            assert_eq!(points(&weights, least), expected, "{} endpoints, {least} asked for", weights.len());
        }
        let uneven = points(&[1, 1, u32::MAX], 1024);
        assert!((MOST_POINTS as usize..=MOST_POINTS as usize + 3).contains(&uneven), "{uneven}");
    }

    #[test]
    fn the_order_of_endpoints_does_not_matter() {
        let mut endpoints: Vec<_> = (1..9).map(|host| (SocketAddr::from(([10, 0, 0, host], 80)), 1)).collect();
        let (one, before) = (Ring::new(&endpoints, 1024), endpoints.clone());
        endpoints.reverse();
        let other = Ring::new(&endpoints, 1024);
        for key in (0..1000).map(scrambled) {
            assert_eq!(before[one.find(key).unwrap()], endpoints[other.find(key).unwrap()]);
        }
    }
}
