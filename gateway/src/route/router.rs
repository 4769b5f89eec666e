// SPDX-License-Identifier: Apache-2.0
//! The routes of one listener: tiers by the routes' own hostnames, paths within a tier.
//!
//! What the more specific tier does not match falls through to the next (`GatewayRouteHostnameIntersectionPrecedence`).

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use torana_ir::HostPattern;

use super::candidate::{Candidate, Fit, Routable};
use super::host::HostIndex;
use super::path::Paths;
use crate::head::Head;

/// Routes of one listener.
#[derive(Debug)]
pub struct Router<T> {
    tiers: HostIndex<Arc<Tier<T>>>,
}

/// Routes of one listener with one hostname. Shared with the next router while its targets are the same.
#[derive(Debug)]
pub(crate) struct Tier<T> {
    pub(crate) host: HostPattern,
    targets: Targets<T>,
    paths: Paths<T>,
}

type Targets<T> = Vec<Arc<T>>;

type Groups<'a, T> = HashMap<&'a HostPattern, Targets<T>, RandomState>;

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
                let group = groups.entry(host).or_default();
                if !group.last().is_some_and(|last| Arc::ptr_eq(last, target)) {
                    group.push(Arc::clone(target));
                }
            }
        }
        let tiers = groups.into_iter().map(|(host, targets)| {
            let kept = previous.and_then(|router| router.tiers.of(host)).filter(|tier| tier.serves(&targets));
            (host.clone(), kept.cloned().unwrap_or_else(|| Arc::new(Tier::build(host.clone(), targets))))
        });
        Self { tiers: HostIndex::new(tiers) }
    }

    /// The same routes without `removed` and with `added`; other hostnames than theirs are not looked at.
    #[must_use]
    pub fn edited<'a>(&self, removed: &[Route<'a, T>], added: &[Route<'a, T>]) -> Self {
        let mut groups: Groups<'_, T> = HashMap::default();
        for host in removed.iter().chain(added).flat_map(|(_, hosts)| *hosts) {
            let targets = || self.tiers.of(host).map(|tier| tier.targets.clone()).unwrap_or_default();
            groups.entry(host).or_insert_with(targets);
        }
        for targets in groups.values_mut() {
            targets.retain(|target| !removed.iter().any(|(gone, _)| Arc::ptr_eq(gone, target)));
        }
        for (target, hosts) in added {
            for host in *hosts {
                groups.entry(host).or_default().push(Arc::clone(target));
            }
        }
        let mut tiers = self.tiers.clone();
        for (host, mut targets) in groups {
            targets.sort_by(|a, b| a.rule().key.cmp(&b.rule().key));
            targets.dedup_by(|a, b| Arc::ptr_eq(a, b));
            tiers.put(host, (!targets.is_empty()).then(|| Arc::new(Tier::build(host.clone(), targets))));
        }
        Self { tiers }
    }

    /// The winner among the routes of this listener; `host` is the head's.
    pub fn find<'r, R: Recorder<T>>(&'r self, host: &str, head: &Head, recorder: &mut R) -> Option<Found<'r, T>> {
        self.tiers.search(host, |tier| {
            tier.paths.search(head.path(), |candidate, prefix_len| {
                let verdict = candidate.judge(head);
                recorder.judged(&tier.host, candidate, verdict);
                verdict.is_ok().then_some(Found { candidate, prefix_len, host: &tier.host })
            })
        })
    }

    /// Every tier, in no order.
    pub(crate) fn tiers(&self) -> impl Iterator<Item = &Tier<T>> {
        self.tiers.values().map(AsRef::as_ref)
    }
}

impl<T: Routable> Tier<T> {
    fn build(host: HostPattern, targets: Targets<T>) -> Self {
        let paths = Paths::build(&targets);
        Self { host, targets, paths }
    }

    fn serves(&self, targets: &[Arc<T>]) -> bool {
        self.targets.len() == targets.len() && self.targets.iter().zip(targets).all(|(a, b)| Arc::ptr_eq(a, b))
    }

    /// Every candidate, in no order.
    pub(crate) fn candidates(&self) -> impl Iterator<Item = &Candidate<T>> {
        self.paths.all()
    }
}
