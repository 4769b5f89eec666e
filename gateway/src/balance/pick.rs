// SPDX-License-Identifier: Apache-2.0
//! How one endpoint of several is chosen. Nothing here allocates.

use std::sync::Arc;

use super::endpoint::Endpoint;

/// Power of two choices: of two drawn at random the one with fewer requests in flight. `tried` are avoided while
/// others are left.
pub(crate) fn least_request<'e>(
    endpoints: &'e [Arc<Endpoint>],
    tried: &[u64],
    random: u64,
) -> Option<&'e Arc<Endpoint>> {
    let fresh = Fresh::of(endpoints, tried);
    let first = below(random >> 32, fresh.count)?;
    let left = fresh.nth(first)?;
    let Some(step) = below(random & 0xffff_ffff, fresh.count - 1) else { return Some(left) };
    // Drawn from the others, so the two always differ.
    let right = fresh.nth((first + 1 + step) % fresh.count)?;
    Some(if right.in_flight() < left.in_flight() { right } else { left })
}

/// The endpoint at `turn` of a cycle. Endpoints weigh the same, so the smoothest order is the plain cycle.
pub(crate) fn round_robin<'e>(endpoints: &'e [Arc<Endpoint>], tried: &[u64], turn: usize) -> Option<&'e Arc<Endpoint>> {
    let fresh = Fresh::of(endpoints, tried);
    (fresh.count > 0).then(|| fresh.nth(turn % fresh.count)).flatten()
}

/// Endpoints that were not tried, or all if every one was.
struct Fresh<'e, 't> {
    endpoints: &'e [Arc<Endpoint>],
    tried: &'t [u64],
    count: usize,
}

impl<'e, 't> Fresh<'e, 't> {
    fn of(endpoints: &'e [Arc<Endpoint>], tried: &'t [u64]) -> Self {
        let left = match tried {
            [] => endpoints.len(),
            tried => endpoints.iter().filter(|endpoint| !tried.contains(&endpoint.id)).count(),
        };
        match left {
            0 => Self { endpoints, tried: &[], count: endpoints.len() },
            count => Self { endpoints, tried, count },
        }
    }

    fn nth(&self, at: usize) -> Option<&'e Arc<Endpoint>> {
        match self.tried {
            [] => self.endpoints.get(at),
            tried => self.endpoints.iter().filter(|endpoint| !tried.contains(&endpoint.id)).nth(at),
        }
    }
}

/// A number below `count` from 32 random bits; `None` if there is none.
fn below(random: u64, count: usize) -> Option<usize> {
    (count > 0).then(|| ((random * count as u64) >> 32) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn endpoints(count: u16) -> Vec<Arc<Endpoint>> {
        (0..count).map(|port| Arc::new(Endpoint::new(([127, 0, 0, 1], port).into()))).collect()
    }

    #[test]
    fn the_less_loaded_of_two_is_taken() {
        let pair = endpoints(2);
        let _busy = pair[0].begin();
        for random in [0, u64::MAX, 0x8000_0000_0000_0000, 0x7fff_ffff_0000_0000] {
            assert_eq!(least_request(&pair, &[], random).unwrap().id, pair[1].id);
        }
    }

    #[test]
    fn idle_endpoints_share_evenly() {
        let five = endpoints(5);
        let mut rng = fastrand::Rng::with_seed(1);
        let mut counts = BTreeMap::new();
        for _ in 0..50_000 {
            *counts.entry(least_request(&five, &[], rng.u64(..)).unwrap().id).or_insert(0) += 1;
        }
        assert!(counts.len() == 5 && counts.values().all(|count| (9_500..10_500).contains(count)), "{counts:?}");
    }

    #[test]
    fn tried_endpoints_are_avoided_while_others_are_left() {
        let three = endpoints(3);
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..100 {
            let random = rng.u64(..);
            let tried = [three[0].id, three[2].id];
            assert_eq!(least_request(&three, &tried, random).unwrap().id, three[1].id);
            assert_eq!(round_robin(&three, &tried, rng.usize(..)).unwrap().id, three[1].id);
            let all: Vec<u64> = three.iter().map(|endpoint| endpoint.id).collect();
            assert!(least_request(&three, &all, random).is_some());
        }
    }

    #[test]
    fn none_of_nothing() {
        assert!(least_request(&[], &[], 7).is_none() && round_robin(&[], &[1], 7).is_none());
    }

    #[test]
    fn a_cycle_visits_each_once() {
        let three = endpoints(3);
        let order: Vec<u64> = (7..10).map(|turn| round_robin(&three, &[], turn).unwrap().id).collect();
        assert_eq!(order, [three[1].id, three[2].id, three[0].id]);
    }
}
