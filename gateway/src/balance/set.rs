// SPDX-License-Identifier: Apache-2.0
//! The endpoints of a backend at one moment: which of them may be chosen, and how much of its load each is due.
//!
//! A set says itself until when it is true (an ejection ends, a new endpoint warms up); whoever has a clock replaces it
//! then. So time costs nothing where nothing is about to change, and no endpoint has a timer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};
use torana_ir::{Backend, LoadBalance, Percent};

use super::endpoint::Endpoint;
use super::maglev::Maglev;
use super::ring::Ring;
use super::scramble::below;
use super::warm;
use super::weight::Weights;

type ByAddress<V> = HashMap<SocketAddr, V, RandomState>;

/// The endpoints of a backend at one moment.
#[derive(Debug, Default)]
pub struct EndpointSet {
    members: Arc<Members>,
    eligible: Box<[Arc<Endpoint>]>,
    /// Unless all weigh the same.
    weights: Option<Weights>,
    /// By position among those that would be eligible, whether one is left out; empty if none is.
    out: Box<[bool]>,
    ejected: usize,
    due: Due,
}

/// Those that are listed.
#[derive(Debug, Default)]
struct Members {
    /// Ready ones first.
    all: Box<[Member]>,
    ready: usize,
    /// Of the usable ones.
    lookup: Option<Lookup>,
}

#[derive(Debug, Clone)]
struct Member {
    endpoint: Arc<Endpoint>,
    weight: u32,
}

/// Where keys lead.
#[derive(Debug)]
enum Lookup {
    Ring(Ring),
    Maglev(Maglev),
}

/// When a set is to be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Due {
    /// As soon as somebody has a clock.
    Now,
    /// At this time.
    At(Instant),
    /// When endpoints change.
    #[default]
    Never,
}

/// Who is where among the eligible.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shares<'s> {
    Even(usize),
    Uneven(&'s Weights),
}

impl EndpointSet {
    /// The set that is `listed`, keeping endpoints of `self` by address.
    pub(super) fn updated(&self, listed: impl Iterator<Item = torana_ir::Endpoint>, config: &Backend) -> Self {
        let mut known: ByAddress<&Arc<Endpoint>> =
            self.members.all.iter().map(|member| (member.endpoint.address, &member.endpoint)).collect();
        let (mut all, mut serving) = (Vec::new(), Vec::new());
        let mut seen: HashSet<SocketAddr, RandomState> = HashSet::default();
        for torana_ir::Endpoint { address, ready, weight } in listed {
            if !seen.insert(address) {
                continue;
            }
            let endpoint = known.remove(&address).map_or_else(|| Arc::new(Endpoint::new(address)), Arc::clone);
            let member = Member { endpoint, weight: weight.get() };
            if ready { all.push(member) } else { serving.push(member) }
        }
        let ready = all.len();
        all.append(&mut serving);
        let mut members = Members { all: all.into_boxed_slice(), ready, lookup: None };
        members.lookup = Lookup::new(members.usable(), &config.balance);
        Self::reckoned(Arc::new(members), config, None)
    }

    /// The same endpoints for another configuration.
    pub(super) fn under(&self, config: &Backend) -> Self {
        let Members { all, ready, .. } = &*self.members;
        let mut members = Members { all: all.clone(), ready: *ready, lookup: None };
        members.lookup = Lookup::new(members.usable(), &config.balance);
        Self::reckoned(Arc::new(members), config, None)
    }

    /// The same endpoints at another moment.
    pub(super) fn at(&self, now: Instant, config: &Backend) -> Self {
        Self::reckoned(Arc::clone(&self.members), config, Some(now))
    }

    fn reckoned(members: Arc<Members>, config: &Backend, now: Option<Instant>) -> Self {
        let (usable, mut due) = (members.usable(), Due::Never);
        let judged = config.outliers.is_some();
        let mut out: Vec<bool> = Vec::new();
        for (member, at) in usable.iter().zip(0..) {
            let Some(until) = judged.then(|| member.endpoint.health.ejected(now)).flatten() else { continue };
            due = due.min(Due::At(until));
            out.resize(usable.len(), false);
            if let Some(out) = out.get_mut(at) {
                *out = true;
            }
        }
        let ejected = out.iter().filter(|out| **out).count();
        if is_ignored(config, usable.len(), ejected) {
            out.clear();
        }
        let chosen = || {
            let left = |at: usize| !out.get(at).is_some_and(|out| *out);
            usable.iter().enumerate().filter(move |(at, _)| left(*at)).map(|(_, member)| member)
        };
        let eligible: Box<[_]> = chosen().map(|member| Arc::clone(&member.endpoint)).collect();
        let weights: Vec<u64> = chosen().map(|member| weight(member, config, now, &mut due)).collect();
        let even = weights.first().is_none_or(|first| weights.iter().all(|weight| weight == first));
        let weights = (!even).then(|| Weights::new(weights));
        Self { eligible, weights, out: out.into(), ejected, due, members }
    }

    /// Every endpoint and whether it is ready.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<Endpoint>, bool)> {
        self.members.all.iter().enumerate().map(|(at, member)| (&member.endpoint, at < self.members.ready))
    }

    /// Those that may be chosen: the ready ones, or the serving ones if none is ready, without those that are ejected.
    pub fn usable(&self) -> &[Arc<Endpoint>] {
        &self.eligible
    }

    /// How many are ejected, also if that is ignored.
    pub fn ejected(&self) -> usize {
        self.ejected
    }

    /// Whether one of them is left out.
    pub(super) fn leaves_out(&self, endpoint: &Endpoint) -> bool {
        self.members.usable().iter().zip(&self.out).any(|(member, out)| *out && member.endpoint.id == endpoint.id)
    }

    /// Whether one more of them, of which `endpoint` is one, may be ejected.
    pub(super) fn has_room(&self, most: Percent) -> bool {
        let count = self.members.usable().len();
        let room = if most == Percent::ALL { count } else { most.of(count).max(1).min(count.saturating_sub(1)) };
        self.ejected < room
    }

    /// Whether it is one of those that would be eligible.
    pub(super) fn has(&self, endpoint: &Endpoint) -> bool {
        self.members.usable().iter().any(|member| member.endpoint.id == endpoint.id)
    }

    /// When it is to be replaced.
    pub(super) fn due(&self) -> Due {
        self.due
    }

    /// Who is where among the eligible.
    pub(super) fn shares(&self) -> Shares<'_> {
        self.weights.as_ref().map_or(Shares::Even(self.eligible.len()), Shares::Uneven)
    }

    /// The endpoint that a key leads to, unless that is left out.
    pub(super) fn led_to(&self, key: u64) -> Option<&Arc<Endpoint>> {
        let at = match self.members.lookup.as_ref()? {
            Lookup::Ring(ring) => ring.find(key),
            Lookup::Maglev(table) => table.find(key),
        }?;
        let out = self.out.get(at).is_some_and(|out| *out);
        self.members.usable().get(at).map(|member| &member.endpoint).filter(|_| !out)
    }
}

impl Members {
    /// The ready ones, or the serving ones if none is ready.
    fn usable(&self) -> &[Member] {
        match self.ready {
            0 => &self.all,
            ready => self.all.get(..ready).unwrap_or_default(),
        }
    }
}

impl Lookup {
    fn new(usable: &[Member], balance: &LoadBalance) -> Option<Self> {
        let weighted = || usable.iter().map(|member| (member.endpoint.address, member.weight)).collect::<Vec<_>>();
        match balance {
            LoadBalance::RingHash { least, .. } => Some(Self::Ring(Ring::new(&weighted(), *least))),
            LoadBalance::Maglev { table, .. } => Some(Self::Maglev(Maglev::new(&weighted(), *table))),
            LoadBalance::LeastRequest | LoadBalance::LeastOf(_) | LoadBalance::RoundRobin | LoadBalance::Random => None,
        }
    }
}

impl Due {
    /// Whether that is now.
    pub(super) fn is_passed(self, clock: impl FnOnce() -> Instant) -> bool {
        match self {
            Self::Never => false,
            Self::Now => true,
            Self::At(at) => at <= clock(),
        }
    }
}

impl Shares<'_> {
    /// One by chance.
    pub(super) fn draw(self, random: u64) -> Option<usize> {
        match self {
            Self::Even(count) => below(random, count as u64).map(|at| at as usize),
            Self::Uneven(weights) => weights.draw(random),
        }
    }

    /// Another than `first`.
    pub(super) fn draw_another(self, random: u64, first: usize) -> Option<usize> {
        match self {
            Self::Even(count) => {
                let step = below(random, (count as u64).checked_sub(1)?)? as usize;
                Some((first + 1 + step) % count)
            }
            Self::Uneven(weights) => weights.draw_another(random, first),
        }
    }

    /// The one at a turn.
    pub(super) fn at(self, turn: u64) -> Option<usize> {
        match self {
            Self::Even(count) => turn.checked_rem(count as u64).map(|at| at as usize),
            Self::Uneven(weights) => weights.at(turn),
        }
    }

    /// What one weighs.
    pub(super) fn weight(self, at: usize) -> u64 {
        match self {
            Self::Even(_) => 1,
            Self::Uneven(weights) => weights.weight(at),
        }
    }
}

/// Whether so few of so many are left that all take part.
fn is_ignored(config: &Backend, count: usize, ejected: usize) -> bool {
    let left = count - ejected;
    let few = left * 100 < count * usize::from(config.panic.number());
    let nobody = left == 0 && config.outliers.as_ref().is_none_or(|outliers| outliers.most < Percent::ALL);
    few || nobody
}

/// In thousandths where endpoints warm up.
fn weight(member: &Member, config: &Backend, now: Option<Instant>, due: &mut Due) -> u64 {
    let whole = u64::from(member.weight);
    let by_load =
        matches!(config.balance, LoadBalance::LeastRequest | LoadBalance::LeastOf(_) | LoadBalance::RoundRobin);
    let Some(warm_up) = config.warm_up.as_ref().filter(|_| by_load) else { return whole };
    let share = warm::share(warm_up, member.endpoint.health.age(now));
    if share < warm::WHOLE {
        *due = (*due).min(now.map_or(Due::Now, |now| Due::At(now + warm::step(warm_up))));
    }
    whole * u64::from(share)
}
