// SPDX-License-Identifier: Apache-2.0
//! How one endpoint of several is chosen. Nothing here allocates, waits or looks at a clock.

use std::sync::Arc;

use torana_ir::LoadBalance;

use super::endpoint::Endpoint;
use super::scramble::{below, scrambled};
use super::set::EndpointSet;
use super::weight::Turns;

/// So often another endpoint is looked for by the rules of an algorithm in place of one that was tried; then any will do.
const TRIES: u64 = 8;

/// So often a key is led on from endpoints that are left out. With half of them out, one key of 65,536 gets further: to
/// any that is left, and always to the same.
const PROBES: u64 = 16;

/// What a choice depends on beside the endpoints.
#[derive(Debug, Clone, Copy, Default)]
pub struct Draw<'t> {
    /// Random bits.
    pub random: u64,
    /// What the request's property hashes to, if the backend asks for one and the request has it.
    pub key: Option<u64>,
    /// Endpoints that are avoided while there are others.
    pub tried: &'t [u64],
}

/// The endpoint for the next try; `None` if none is eligible.
pub(super) fn choose<'s>(
    set: &'s EndpointSet,
    balance: &LoadBalance,
    turns: Option<&Turns>,
    draw: &Draw<'_>,
) -> Option<&'s Arc<Endpoint>> {
    match balance {
        LoadBalance::LeastRequest => least_of(set, 2, draw),
        LoadBalance::LeastOf(choices) => least_of(set, choices.get(), draw),
        LoadBalance::RoundRobin => {
            untried(set, draw, |random| set.shares().at(turns.map_or(random, |turns| turns.next(draw.random))))
        }
        LoadBalance::Random => at_random(set, draw),
        LoadBalance::RingHash { .. } | LoadBalance::Maglev { .. } => match draw.key {
            Some(key) => by_key(set, key, draw.tried),
            None => at_random(set, draw),
        },
    }
}

fn at_random<'s>(set: &'s EndpointSet, draw: &Draw<'_>) -> Option<&'s Arc<Endpoint>> {
    untried(set, draw, |random| set.shares().draw(random))
}

/// Of some drawn at random the one that is busy least.
///
/// Those drawn come up in proportion to their weights, so that idle endpoints have their shares; the busy ones are
/// compared by requests in flight for their weight.
fn least_of<'s>(set: &'s EndpointSet, choices: u8, draw: &Draw<'_>) -> Option<&'s Arc<Endpoint>> {
    let shares = set.shares();
    let candidate = |at: usize| Some(Candidate::of(set.usable().get(at)?, shares.weight(at), draw.tried));
    untried(set, draw, |random| {
        let first = shares.draw(random)?;
        let mut best = (first, candidate(first)?);
        // The halves of one number are as good as two numbers.
        let mut random = random.rotate_left(32);
        for _ in 1..choices {
            let Some(other) = shares.draw_another(random, first) else { break };
            let busy = candidate(other)?;
            if busy.is_less_than(best.1) {
                best = (other, busy);
            }
            random = scrambled(random);
        }
        Some(best.0)
    })
}

/// How busy an endpoint is.
#[derive(Clone, Copy)]
struct Candidate {
    busy: u64,
    weight: u64,
}

impl Candidate {
    fn of(endpoint: &Endpoint, weight: u64, tried: &[u64]) -> Self {
        let in_flight = endpoint.in_flight();
        // One that gave its last try no answer is asked again by one request at a time.
        let avoided = tried.contains(&endpoint.id) || (in_flight > 0 && endpoint.health.is_silent());
        Self { busy: if avoided { u64::MAX } else { in_flight.into() }, weight }
    }

    fn is_less_than(self, other: Self) -> bool {
        u128::from(self.busy) * u128::from(other.weight) < u128::from(other.busy) * u128::from(self.weight)
    }
}

/// Where the key leads, and if nobody may be chosen there, where it leads from there.
fn by_key<'s>(set: &'s EndpointSet, key: u64, tried: &[u64]) -> Option<&'s Arc<Endpoint>> {
    let (part, mut probe) = (set.part_of(key), key);
    for _ in 0..PROBES {
        if let Some(found) = set.led_to(part, probe).filter(|found| !tried.contains(&found.id)) {
            return Some(found);
        }
        probe = scrambled(probe);
    }
    any(set, tried, key)
}

/// The first that was not tried of those that `find` proposes; else any that was not, else any.
fn untried<'s>(
    set: &'s EndpointSet,
    draw: &Draw<'_>,
    mut find: impl FnMut(u64) -> Option<usize>,
) -> Option<&'s Arc<Endpoint>> {
    let mut random = draw.random;
    for _ in 0..TRIES {
        let found = set.usable().get(find(random)?)?;
        if !draw.tried.contains(&found.id) {
            return Some(found);
        }
        random = scrambled(random);
    }
    any(set, draw.tried, random)
}

fn any<'s>(set: &'s EndpointSet, tried: &[u64], random: u64) -> Option<&'s Arc<Endpoint>> {
    let fresh = || set.usable().iter().filter(|endpoint| !tried.contains(&endpoint.id));
    match below(random, fresh().count() as u64) {
        Some(at) => fresh().nth(at as usize),
        None => below(random, set.usable().len() as u64).and_then(|at| set.usable().get(at as usize)),
    }
}

#[cfg(test)]
mod tests;
