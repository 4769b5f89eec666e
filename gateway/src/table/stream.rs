// SPDX-License-Identifier: Apache-2.0
//! Streams of one listener: which rule takes a connection or a flow, and where it goes.

use std::sync::Arc;

use torana_ir::{
    BackendKey, HostPattern, Invalid, ListenerKey, RouteId, RouteKind, RuleKey, StreamBackend, StreamRule, Target,
};

use super::backends::{Backends, Changed};
use super::listener::ListenerPlan;
use super::plan::{no_backend, unknown};
use crate::access::Access;
use crate::balance::{BackendState, Turns, Weights};
use crate::observe::{Nouns, StreamMeters};
use crate::route::HostIndex;

/// One rule on one listener: all that a stream needs after it was routed.
#[derive(Debug)]
pub struct StreamPlan {
    /// Where streams come in.
    pub listener: Arc<ListenerPlan>,
    /// Metric handles; they go over to the plan that follows this one.
    pub meters: Arc<StreamMeters>,
    rule: Arc<StreamRule>,
    weights: Weights,
    /// They go over to the plan that follows this one: an edit elsewhere in the rule starts no round anew.
    turns: Arc<Turns>,
    slots: Box<[Slot]>,
    /// Where streams go when `weights` choose nothing.
    unusable: Invalid,
}

type Slot = Result<Arc<BackendState>, Invalid>;

/// The listener and the rule that a stream belongs to.
#[derive(Debug, Clone)]
pub struct StreamRouted {
    /// The listener.
    pub listener: Arc<ListenerPlan>,
    /// The rule that takes it; `None` if none does.
    pub plan: Option<Arc<StreamPlan>>,
    /// Who may, if not everybody.
    pub access: Option<Arc<Access>>,
}

/// Where one stream goes: to a backend, or nowhere, and why.
pub type Onward<'p> = Result<&'p Arc<BackendState>, &'p Invalid>;

impl StreamPlan {
    fn compile(
        listener: &Arc<ListenerPlan>,
        rule: &Arc<StreamRule>,
        backends: &Backends,
        previous: Option<&Self>,
    ) -> Self {
        let slot = |entry: &StreamBackend| match &entry.target {
            Target::Invalid(invalid) => Err(invalid.clone()),
            Target::Backend(key) => backends.find(key).map(Arc::clone).ok_or_else(|| unknown(key)),
        };
        Self {
            listener: Arc::clone(listener),
            meters: StreamMeters::carried(
                Nouns::rule(&listener.key, &rule.key, rule.name.as_deref()),
                listener.metrics.as_ref(),
                previous.map(|plan| &plan.meters),
            ),
            rule: Arc::clone(rule),
            weights: Weights::new(rule.backends.iter().map(|entry| entry.weight)),
            turns: previous.map(|plan| Arc::clone(&plan.turns)).unwrap_or_default(),
            slots: rule.backends.iter().map(slot).collect(),
            unusable: no_backend(rule.backends.is_empty()),
        }
    }

    fn is_of(&self, rule: &Arc<StreamRule>, changed: &Changed) -> bool {
        let targets = |target: &Target| matches!(target, Target::Backend(key) if changed.contains(key));
        self.rule == *rule && (changed.is_empty() || !rule.backends.iter().any(|entry| targets(&entry.target)))
    }

    /// Which rule it is.
    pub fn key(&self) -> &RuleKey {
        &self.rule.key
    }

    /// Where the next stream goes: by turns, in exact proportion to the weights. The first turn is at `random`.
    pub fn choose(&self, random: u64) -> Onward<'_> {
        match self.weights.choose(&self.turns, random).and_then(|at| self.slots.get(at)) {
            Some(slot) => slot.as_ref(),
            None => Err(&self.unusable),
        }
    }

    /// The backend of that name, if streams may go there.
    pub fn backend(&self, key: &BackendKey) -> Option<&Arc<BackendState>> {
        let taking = self.slots.iter().zip(&self.rule.backends).filter(|(_, entry)| entry.weight > 0);
        taking.filter_map(|(slot, _)| slot.as_ref().ok()).find(|backend| backend.key() == key)
    }

    fn hostnames(&self, listener: &ListenerKey) -> &[HostPattern] {
        let attachment = self.rule.attachments.iter().find(|attachment| attachment.listener == *listener);
        attachment.map(|attachment| attachment.hostnames.as_slice()).unwrap_or_default()
    }
}

/// The stream rules of one listener.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// In the order of their rule keys.
    plans: Vec<Arc<StreamPlan>>,
    /// The one that serves, by the route's own hostname.
    serving: HostIndex<Arc<StreamPlan>>,
}

impl Streams {
    /// Plans and indexes `rules` (in the order of their keys) on `listener`, which `kept` says is the one of `previous`.
    /// `previous` itself if nothing changed.
    pub(super) fn compile(
        listener: &Arc<ListenerPlan>,
        rules: &[&Arc<StreamRule>],
        (backends, changed): (&Backends, &Changed),
        (previous, kept): (Option<&Arc<Self>>, bool),
    ) -> Arc<Self> {
        let before = |key: &RuleKey| {
            let plans = &previous?.plans;
            plans.get(plans.binary_search_by(|plan| plan.key().cmp(key)).ok()?)
        };
        let plan = |rule: &&Arc<StreamRule>| {
            let before = before(&rule.key);
            match before.filter(|before| kept && before.is_of(rule, changed)) {
                Some(same) => Arc::clone(same),
                None => Arc::new(StreamPlan::compile(listener, rule, backends, before.map(AsRef::as_ref))),
            }
        };
        let plans: Vec<_> = rules.iter().map(plan).collect();
        let same = |previous: &&Arc<Self>| {
            let pairs = previous.plans.iter().zip(&plans);
            previous.plans.len() == plans.len() && pairs.into_iter().all(|(before, now)| Arc::ptr_eq(before, now))
        };
        if let Some(previous) = previous.filter(same) {
            return Arc::clone(previous);
        }
        let mut oldest: Vec<&Arc<StreamPlan>> = plans.iter().collect();
        oldest.sort_by(|one, two| age(&one.rule).cmp(&age(&two.rule)));
        let named = |plan: &&Arc<StreamPlan>| {
            let plan = Arc::clone(plan);
            let hosts: Vec<_> = plan.hostnames(&listener.key).to_vec();
            hosts.into_iter().map(move |host| (host, Arc::clone(&plan)))
        };
        // Of two with one hostname the first stays.
        let serving = HostIndex::new(oldest.iter().flat_map(named));
        Arc::new(Self { plans, serving })
    }

    /// The rule that takes streams for `host`, which is empty where streams name none.
    pub(super) fn serving(&self, host: &str) -> Option<&Arc<StreamPlan>> {
        self.serving.best(host)
    }
}

/// Of one rank older goes first, then by namespace and name (`TCPRouteSpec`, GEP-1364 "conflicts"); of VirtualServices by name and
/// namespace.
fn age(rule: &StreamRule) -> (u8, i64, &str, &str, u16) {
    let RouteId { kind, namespace, name } = &rule.key.route;
    let (first, second) = if *kind == RouteKind::VirtualService { (name, namespace) } else { (namespace, name) };
    (rule.rank, rule.created, first, second, rule.key.index)
}

#[cfg(test)]
mod tests;
