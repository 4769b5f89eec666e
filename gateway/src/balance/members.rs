// SPDX-License-Identifier: Apache-2.0
//! The endpoints that a backend lists, in the parts that they are of, and where keys lead among them. Made when endpoints
//! or the configuration change; health and time are not looked at.

use std::ops::Range;
use std::sync::Arc;

use torana_ir::{Backend, LoadBalance};

use super::endpoint::Endpoint;
use super::maglev::Maglev;
use super::ring::Ring;
use super::site::{Ranks, Site};

/// Parts are told apart up to this many; what is further is of the last. Each may have a table of its own.
const MOST_PARTS: usize = 16;

/// What shares are of where weights are numbers of this size.
const WHOLE: u64 = 1 << 20;

/// Those that are listed.
#[derive(Debug, Default)]
pub(super) struct Members {
    /// Ready ones first, and those that may be used before others.
    all: Box<[Member]>,
    ready: usize,
    /// The ready ones, or the serving ones if none is ready, without those that get nothing.
    usable: usize,
    /// Of the usable ones, if there are several.
    parts: Option<Parts>,
    /// Where keys lead: in each part, or in all where those are not in order.
    lookups: Box<[Lookup]>,
}

#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) weight: u32,
    pub(super) site: Site,
}

/// How the usable ones are divided: by position, one after the other.
#[derive(Debug)]
pub(super) enum Parts {
    /// The nearest first.
    InOrder(Box<[Range<usize>]>),
    /// With a share each.
    Shares(Box<[(Range<usize>, u32)]>),
}

/// Where keys lead.
#[derive(Debug)]
enum Lookup {
    Ring(Ring),
    Maglev(Maglev),
}

impl Members {
    /// Of those that are ready and those that only serve yet, as a proxy that stands at `site` sees them.
    pub(super) fn new(mut ready: Vec<Member>, mut serving: Vec<Member>, config: &Backend, site: &Site) -> Self {
        let used = if ready.is_empty() { &mut serving } else { &mut ready };
        let ranks = config.locality.as_ref().and_then(|policy| site.ranks(policy, used.iter().map(|it| &it.site)));
        let (usable, parts) = ranks.map_or((used.len(), None), |ranks| part(used, ranks));
        let count = ready.len();
        ready.append(&mut serving);
        let mut members = Self { all: ready.into(), ready: count, usable, parts, lookups: Box::default() };
        members.lookups = members.lookups(&config.balance);
        members
    }

    /// The same for another configuration.
    pub(super) fn under(&self, config: &Backend, site: &Site) -> Self {
        let (ready, serving) = self.all.split_at(self.ready.min(self.all.len()));
        Self::new(ready.to_vec(), serving.to_vec(), config, site)
    }

    /// Every one and whether it is ready.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Member, bool)> {
        self.all.iter().enumerate().map(|(at, member)| (member, at < self.ready))
    }

    /// The ready ones, or the serving ones if none is ready.
    pub(super) fn usable(&self) -> &[Member] {
        self.all.get(..self.usable).unwrap_or_default()
    }

    /// How they are divided, if they are.
    pub(super) fn parts(&self) -> Option<&Parts> {
        self.parts.as_ref()
    }

    /// Whether keys lead to parts.
    pub(super) fn has_tables(&self) -> bool {
        self.lookups.len() > 1
    }

    /// Position of the usable one that a key leads to, in a part if keys lead there.
    pub(super) fn led_to(&self, part: usize, key: u64) -> Option<usize> {
        let at = match self.lookups.get(part)? {
            Lookup::Ring(ring) => ring.find(key),
            Lookup::Maglev(table) => table.find(key),
        }?;
        let start = match &self.parts {
            Some(Parts::InOrder(parts)) => parts.get(part)?.start,
            Some(Parts::Shares(_)) | None => 0,
        };
        Some(start + at)
    }

    fn lookups(&self, balance: &LoadBalance) -> Box<[Lookup]> {
        let weighted = |members: &[Member]| {
            let each = members.iter().map(|member| (member.endpoint.address, member.weight));
            each.collect::<Vec<_>>()
        };
        let lists = match &self.parts {
            _ if balance.hash_on().is_none() => return Box::default(),
            None => vec![weighted(self.usable())],
            Some(Parts::InOrder(parts)) => parts.iter().map(|part| weighted(self.within(part))).collect(),
            // One for all: when a part goes, only its keys move.
            Some(Parts::Shares(parts)) => {
                let of = |(part, share): &(Range<usize>, u32)| shared(weighted(self.within(part)), *share);
                vec![parts.iter().flat_map(of).collect()]
            }
        };
        lists.iter().filter_map(|list| Lookup::new(list, balance)).collect()
    }

    fn within(&self, part: &Range<usize>) -> &[Member] {
        self.usable().get(part.clone()).unwrap_or_default()
    }
}

impl Parts {
    /// Positions of each.
    pub(super) fn ranges(&self) -> Vec<Range<usize>> {
        match self {
            Self::InOrder(parts) => parts.to_vec(),
            Self::Shares(parts) => parts.iter().map(|(part, _)| part.clone()).collect(),
        }
    }
}

type Weighted = Vec<(std::net::SocketAddr, u32)>;

/// Weights that are `share` together, of other ones' that are made so.
fn shared(mut list: Weighted, share: u32) -> Weighted {
    let total: u64 = list.iter().map(|(_, weight)| u64::from(*weight)).sum();
    for (_, weight) in &mut list {
        let scaled = u128::from(*weight) * u128::from(u64::from(share) * WHOLE) / u128::from(total.max(1));
        *weight = u32::try_from(scaled).unwrap_or(u32::MAX).max(1);
    }
    list
}

/// Brings them into the order of their parts, those that get nothing last. Says how many others there are, and which
/// parts, if there are several.
fn part(members: &mut Vec<Member>, ranks: Ranks) -> (usize, Option<Parts>) {
    let (ranks, shares) = match ranks {
        Ranks::Nearest(ranks) => (compact(&ranks).into_iter().map(Some).collect(), None),
        Ranks::Shares(ranks, shares) => (ranks, Some(shares)),
    };
    let mut ranked: Vec<(Option<usize>, Member)> = ranks.into_iter().zip(members.drain(..)).collect();
    ranked.sort_by_key(|(rank, _)| rank.unwrap_or(usize::MAX));
    let usable = ranked.iter().filter(|(rank, _)| rank.is_some()).count();
    let mut parts: Vec<(usize, Range<usize>)> = Vec::new();
    for (at, rank) in ranked.iter().map_while(|(rank, _)| *rank).enumerate() {
        match parts.last_mut() {
            Some((last, range)) if *last == rank => range.end = at + 1,
            _ => parts.push((rank, at..at + 1)),
        }
    }
    members.extend(ranked.into_iter().map(|(_, member)| member));
    if parts.len() < 2 {
        return (usable, None);
    }
    let parts = match shares {
        None => Parts::InOrder(parts.into_iter().map(|(_, range)| range).collect()),
        Some(shares) => {
            let share = |at: usize| shares.get(at).copied().unwrap_or_default();
            Parts::Shares(parts.into_iter().map(|(at, range)| (range, share(at))).collect())
        }
    };
    (usable, Some(parts))
}

/// The same order without gaps, and not too many.
fn compact(ranks: &[usize]) -> Vec<usize> {
    let mut steps = ranks.to_vec();
    steps.sort_unstable();
    steps.dedup();
    ranks.iter().map(|rank| steps.binary_search(rank).unwrap_or_default().min(MOST_PARTS - 1)).collect()
}

impl Lookup {
    fn new(weighted: &[(std::net::SocketAddr, u32)], balance: &LoadBalance) -> Option<Self> {
        match balance {
            LoadBalance::RingHash { least, .. } => Some(Self::Ring(Ring::new(weighted, *least))),
            LoadBalance::Maglev { table, .. } => Some(Self::Maglev(Maglev::new(weighted, *table))),
            LoadBalance::LeastRequest | LoadBalance::LeastOf(_) | LoadBalance::RoundRobin | LoadBalance::Random => None,
        }
    }
}
