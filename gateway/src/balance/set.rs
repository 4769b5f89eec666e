// SPDX-License-Identifier: Apache-2.0
//! The endpoints of a backend at one moment: which of them may be chosen, and how much of its load each is due.
//!
//! A set says itself until when it is true (an ejection ends, a new endpoint warms up); whoever has a clock replaces it
//! then. So time costs nothing where nothing is about to change, and no endpoint has a timer.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};
use torana_ir::{Backend, LoadBalance, Percent};

use super::endpoint::Endpoint;
use super::load::{self, Load, Stock};
use super::members::{Member, Members, Parts};
use super::shares::{Shares, scaled};
use super::site::Site;
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
    /// Where parts of the eligible end, if several have a share.
    ends: Box<[usize]>,
    /// What each part gets, where keys lead to parts.
    parts: Option<Weights>,
    /// By position among those that would be eligible, whether one is left out; empty if none is.
    out: Box<[bool]>,
    ejected: usize,
    /// How many are unhealthy by their checks.
    failing: usize,
    due: Due,
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

impl EndpointSet {
    /// The set that is `listed`, keeping endpoints of `self` by address and by what they are in a mesh.
    pub(super) fn updated(
        &self,
        listed: impl Iterator<Item = torana_ir::Endpoint>,
        config: &Backend,
        site: &Site,
    ) -> Self {
        let mut known: ByAddress<&Arc<Endpoint>> =
            self.iter().map(|(endpoint, _)| (endpoint.address, endpoint)).collect();
        let (mut all, mut serving) = (Vec::new(), Vec::new());
        let mut seen: HashSet<SocketAddr, RandomState> = HashSet::default();
        for torana_ir::Endpoint { address, ready, weight, locality, labels, mesh } in listed {
            if !seen.insert(address) {
                continue;
            }
            let kept = known.remove(&address).filter(|endpoint| endpoint.is(mesh.as_deref())).map(Arc::clone);
            let endpoint = kept.unwrap_or_else(|| Arc::new(Endpoint::new(address, mesh.as_deref())));
            let member = Member { endpoint, weight: weight.get(), site: Site { locality, labels } };
            if ready { all.push(member) } else { serving.push(member) }
        }
        Self::reckoned(Arc::new(Members::new(all, serving, config, site)), config, None)
    }

    /// The same endpoints for another configuration.
    pub(super) fn under(&self, config: &Backend, site: &Site) -> Self {
        Self::reckoned(Arc::new(self.members.under(config, site)), config, None)
    }

    /// The same endpoints at another moment.
    pub(super) fn at(&self, now: Instant, config: &Backend) -> Self {
        Self::reckoned(Arc::clone(&self.members), config, Some(now))
    }

    fn reckoned(members: Arc<Members>, config: &Backend, now: Option<Instant>) -> Self {
        let (usable, mut due) = (members.usable(), Due::Never);
        let Judged { mut out, ejected, failing } = Judged::of(usable, config, now, &mut due);
        // Whoever checks says himself what follows where nobody passes (the panic threshold).
        let must_be = failing == 0 && config.outliers.as_ref().is_none_or(|outliers| outliers.most < Percent::ALL);
        let loads = loads(&members, config, &mut out, must_be);
        let by_part = members.has_tables().then(|| Weights::new(loads.iter().map(|(_, share)| *share)));
        let left = |at: &usize| !out.get(*at).is_some_and(|out| *out);
        let some: Vec<_> =
            loads.iter().filter(|(part, share)| *share > 0 && part.clone().any(|at| left(&at))).collect();
        let (mut eligible, mut weights, mut ends) = (Vec::with_capacity(usable.len()), Vec::new(), Vec::new());
        for (part, share) in &some {
            let chosen = || part.clone().filter(left).filter_map(|at| usable.get(at));
            eligible.extend(chosen().map(|member| Arc::clone(&member.endpoint)));
            let own: Vec<u64> = chosen().map(|member| weight(member, config, now, &mut due)).collect();
            if some.len() > 1 {
                weights.extend(scaled(&own, *share));
                ends.push(eligible.len());
            } else {
                weights = own;
            }
        }
        let even = some.len() < 2 && weights.first().is_none_or(|first| weights.iter().all(|weight| weight == first));
        let weights = (!even).then(|| Weights::new(weights));
        let (eligible, ends) = (eligible.into(), ends.into());
        Self { eligible, weights, ends, parts: by_part, out: out.into(), ejected, failing, due, members }
    }

    /// Every endpoint and whether it is ready.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<Endpoint>, bool)> {
        self.members.iter().map(|(member, ready)| (&member.endpoint, ready))
    }

    /// Those that may be chosen: the ready ones, or the serving ones if none is ready, without those that are ejected or
    /// unhealthy by their checks, and those of parts that get nothing.
    pub fn usable(&self) -> &[Arc<Endpoint>] {
        &self.eligible
    }

    /// How many are ejected, also if that is ignored.
    pub fn ejected(&self) -> usize {
        self.ejected
    }

    /// How many are unhealthy by their checks, also if that is ignored.
    pub fn failing(&self) -> usize {
        self.failing
    }

    /// Those that are worth a check: the ready ones, or the serving ones if none is ready.
    pub fn worth_a_check(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.members.usable().iter().map(|member| &member.endpoint)
    }

    /// Whether one of them is left out.
    pub(super) fn leaves_out(&self, endpoint: &Endpoint) -> bool {
        self.members.usable().iter().zip(&self.out).any(|(member, out)| *out && member.endpoint.id == endpoint.id)
    }

    /// Whether one more of them, of which `endpoint` is one, may be ejected.
    pub(super) fn has_room(&self, most: Percent) -> bool {
        let count = self.members.usable().len();
        // One must be left that also passes its checks.
        let passing = count - self.failing;
        let room = if most == Percent::ALL { count } else { most.of(count).max(1).min(passing.saturating_sub(1)) };
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
        match &self.weights {
            None => Shares::Even(self.eligible.len()),
            Some(weights) if self.ends.is_empty() => Shares::Uneven(weights),
            Some(weights) => Shares::Parted(weights, &self.ends),
        }
    }

    /// The part that a key belongs to.
    pub(super) fn part_of(&self, key: u64) -> usize {
        // By its other half: where it leads within a part must not follow from which part that is.
        self.parts.as_ref().and_then(|parts| parts.draw(key.rotate_left(32))).unwrap_or_default()
    }

    /// The endpoint that a key leads to in a part, unless that is left out.
    pub(super) fn led_to(&self, part: usize, key: u64) -> Option<&Arc<Endpoint>> {
        let at = self.members.led_to(part, key)?;
        let out = self.out.get(at).is_some_and(|out| *out);
        self.members.usable().get(at).map(|member| &member.endpoint).filter(|_| !out)
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

/// Who is left out, for what.
#[derive(Default)]
struct Judged {
    /// By position; empty if nobody is.
    out: Vec<bool>,
    ejected: usize,
    failing: usize,
}

impl Judged {
    fn of(usable: &[Member], config: &Backend, now: Option<Instant>, due: &mut Due) -> Self {
        let (tried, checked) = (config.outliers.is_some(), config.check.is_some());
        let fails = |member: &Member| checked && member.endpoint.health.fails_checks();
        let mut judged = Self::default();
        for (member, at) in usable.iter().zip(0..).filter(|_| tried || checked) {
            let until = tried.then(|| member.endpoint.health.ejected(now)).flatten();
            if let Some(until) = until {
                *due = (*due).min(Due::At(until));
                judged.ejected += 1;
            }
            judged.failing += usize::from(fails(member));
            if until.is_some() || fails(member) {
                judged.out.resize(usable.len(), false);
                if let Some(out) = judged.out.get_mut(at) {
                    *out = true;
                }
            }
        }
        // Those that pass their checks are all ejected, which was never meant: ejections give way.
        let may_be = config.outliers.as_ref().is_none_or(|outliers| outliers.most == Percent::ALL);
        if !may_be && (1..usable.len()).contains(&judged.failing) && judged.out.iter().all(|out| *out) {
            judged.out = usable.iter().map(fails).collect();
        }
        judged
    }
}

/// What each part of the usable ones gets; lets those of `out` in that take part all the same.
fn loads(members: &Members, config: &Backend, out: &mut Vec<bool>, must_be: bool) -> Vec<(Range<usize>, u64)> {
    let count = members.usable().len();
    let ranges = members.parts().map(Parts::ranges).unwrap_or_default();
    let stock = |part: &Range<usize>| {
        let lost = out.get(part.clone()).unwrap_or_default().iter().filter(|out| **out).count();
        Stock { left: (part.len() - lost) as u64, all: part.len() as u64 }
    };
    let stocks: Vec<Stock> = ranges.iter().map(stock).collect();
    let of_all = is_ignored(config.panic, count, out, must_be);
    let loads = match members.parts() {
        Some(Parts::InOrder(_)) => load::in_order(&stocks, config.panic, must_be),
        Some(Parts::Shares(parts)) if !of_all => load::by_shares(&stocks, parts.iter().map(|(_, share)| *share)),
        Some(Parts::Shares(_)) | None => {
            if of_all {
                out.clear();
            }
            return vec![(0..count, 1)];
        }
    };
    for (part, _) in ranges.iter().zip(&loads).filter(|(_, load)| load.whole) {
        out.get_mut(part.clone()).unwrap_or_default().fill(false);
    }
    ranges.into_iter().zip(loads.iter().map(|Load { share, .. }| *share)).collect()
}

/// Whether so few of so many are left that all take part.
fn is_ignored(threshold: Percent, count: usize, out: &[bool], must_be: bool) -> bool {
    let left = count - out.iter().filter(|out| **out).count();
    left * 100 < count * usize::from(threshold.number()) || (left == 0 && must_be)
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
