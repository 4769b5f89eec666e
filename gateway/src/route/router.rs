// SPDX-License-Identifier: Apache-2.0
//! The routes of one listener: tiers by the routes' own hostnames, paths within a tier.
//!
//! What the more specific tier does not match falls through to the next (`GatewayRouteHostnameIntersectionPrecedence`).
//! Rules that keep their order have tiers of their own, which are asked if no other rule fits: the most specific of them
//! and no other, as a virtual host of Istio.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use torana_ir::{HostPattern, Order};

use super::candidate::{Candidate, Fit, Routable};
use super::host::HostIndex;
use super::path::Paths;
use super::sequence::Sequence;
use crate::head::Head;

/// Routes of one listener.
#[derive(Debug)]
pub struct Router<T> {
    tiers: HostIndex<Arc<Tier<T>>>,
    /// Of rules that keep their order.
    written: HostIndex<Arc<Tier<T>>>,
}

/// Routes of one listener with one hostname. Shared with the next router while its targets are the same.
#[derive(Debug)]
pub(crate) struct Tier<T> {
    pub(crate) host: HostPattern,
    targets: Targets<T>,
    paths: Index<T>,
}

#[derive(Debug)]
enum Index<T> {
    Specific(Paths<T>),
    Written(Sequence<T>),
}

type Targets<T> = Vec<Arc<T>>;

/// By order and hostname.
type Groups<'a, T> = HashMap<(bool, &'a HostPattern), Targets<T>, RandomState>;

/// Where a request goes.
#[derive(Debug)]
pub struct Found<'r, T> {
    /// The winner.
    pub candidate: &'r Candidate<T>,
    /// Bytes of the path that its path match covered: `ReplacePrefixMatch` replaces these.
    pub prefix_len: usize,
    /// The winner's hostname.
    pub host: &'r HostPattern,
}

/// A target and the hostnames that it serves. Targets come in the order of their rules' keys.
pub type Route<'a, T> = (&'a Arc<T>, &'a [HostPattern]);

/// Sees every candidate that the search looks at.
pub trait Recorder<T> {
    /// `candidate`, served under `host`, fits by host and path; `verdict` is about the rest.
    fn judged(&mut self, host: &HostPattern, candidate: &Candidate<T>, verdict: Fit);
}

/// Records nothing and costs nothing.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl<T> Recorder<T> for Silent {
    #[inline]
    fn judged(&mut self, _: &HostPattern, _: &Candidate<T>, _: Fit) {}
}

impl<T: Routable> Router<T> {
    /// Indexes `routes` (a target and the hostnames that it serves here), sharing tiers with `previous`.
    pub fn build<'a>(routes: impl IntoIterator<Item = Route<'a, T>>, previous: Option<&Self>) -> Self
    where
        T: 'a,
    {
        let mut groups: Groups<'_, T> = HashMap::default();
        for (target, hosts) in routes {
            for host in hosts {
                let group = groups.entry((is_written(target), host)).or_default();
                if !group.last().is_some_and(|last| Arc::ptr_eq(last, target)) {
                    group.push(Arc::clone(target));
                }
            }
        }
        let (mut tiers, mut written) = (Vec::new(), Vec::new());
        for ((is_written, host), targets) in groups {
            let before = previous.and_then(|router| router.index(is_written).of(host));
            let kept = before.filter(|tier| tier.serves(&targets));
            let tier = kept.cloned().unwrap_or_else(|| Arc::new(Tier::build(host.clone(), targets)));
            if is_written { &mut written } else { &mut tiers }.push((host.clone(), tier));
        }
        Self { tiers: HostIndex::new(tiers), written: HostIndex::new(written) }
    }

    /// The same routes without `removed` and with `added`; other hostnames than theirs are not looked at.
    #[must_use]
    pub fn edited<'a>(&self, removed: &[Route<'a, T>], added: &[Route<'a, T>]) -> Self {
        let mut groups: Groups<'_, T> = HashMap::default();
        for (target, hosts) in removed.iter().chain(added) {
            let is_written = is_written(target);
            for host in *hosts {
                let targets = || self.index(is_written).of(host).map(|tier| tier.targets.clone()).unwrap_or_default();
                groups.entry((is_written, host)).or_insert_with(targets);
            }
        }
        for targets in groups.values_mut() {
            targets.retain(|target| !removed.iter().any(|(gone, _)| Arc::ptr_eq(gone, target)));
        }
        for (target, hosts) in added {
            for host in *hosts {
                groups.entry((is_written(target), host)).or_default().push(Arc::clone(target));
            }
        }
        let (mut tiers, mut written) = (self.tiers.clone(), self.written.clone());
        for ((is_written, host), mut targets) in groups {
            targets.sort_by(|a, b| a.rule().key.cmp(&b.rule().key));
            targets.dedup_by(|a, b| Arc::ptr_eq(a, b));
            let tier = (!targets.is_empty()).then(|| Arc::new(Tier::build(host.clone(), targets)));
            if is_written { &mut written } else { &mut tiers }.put(host, tier);
        }
        Self { tiers, written }
    }

    /// The winner among the routes of this listener; `host` is the head's.
    pub fn find<'r, R: Recorder<T>>(&'r self, host: &str, head: &Head, recorder: &mut R) -> Option<Found<'r, T>> {
        let found = self.tiers.search(host, |tier| tier.find(head, recorder));
        found.or_else(|| self.written.best(host)?.find(head, recorder))
    }

    /// Every tier, in no order.
    pub(crate) fn tiers(&self) -> impl Iterator<Item = &Tier<T>> {
        self.tiers.values().chain(self.written.values()).map(AsRef::as_ref)
    }

    /// The hostname of the rules that keep their order, of which alone those are asked that serve `host`.
    pub(crate) fn written_host(&self, host: &str) -> Option<&HostPattern> {
        self.written.best(host).map(|tier| &tier.host)
    }

    fn index(&self, is_written: bool) -> &HostIndex<Arc<Tier<T>>> {
        if is_written { &self.written } else { &self.tiers }
    }
}

impl<T: Routable> Tier<T> {
    fn build(host: HostPattern, targets: Targets<T>) -> Self {
        let paths = if targets.first().is_some_and(|target| is_written(target)) {
            Index::Written(Sequence::build(&targets))
        } else {
            Index::Specific(Paths::build(&targets))
        };
        Self { host, targets, paths }
    }

    fn serves(&self, targets: &[Arc<T>]) -> bool {
        self.targets.len() == targets.len() && self.targets.iter().zip(targets).all(|(a, b)| Arc::ptr_eq(a, b))
    }

    /// Whether its rules keep their order.
    pub(crate) fn is_written(&self) -> bool {
        matches!(self.paths, Index::Written(_))
    }

    fn find<'r, R: Recorder<T>>(&'r self, head: &Head, recorder: &mut R) -> Option<Found<'r, T>> {
        let judge = |candidate: &'r Candidate<T>, prefix_len| {
            let verdict = candidate.judge(head);
            recorder.judged(&self.host, candidate, verdict);
            verdict.is_ok().then_some(Found { candidate, prefix_len, host: &self.host })
        };
        match &self.paths {
            Index::Specific(paths) => paths.search(head.path(), judge),
            Index::Written(sequence) => sequence.search(head.path(), judge),
        }
    }

    /// Every candidate, in no order.
    pub(crate) fn candidates(&self) -> Box<dyn Iterator<Item = &Candidate<T>> + '_> {
        match &self.paths {
            Index::Specific(paths) => Box::new(paths.all()),
            Index::Written(sequence) => Box::new(sequence.all()),
        }
    }
}

fn is_written<T: Routable>(target: &Arc<T>) -> bool {
    target.rule().order != Order::Specific
}
