// SPDX-License-Identifier: Apache-2.0
//! What is done with the requests of one rule on one listener: all that a request needs after it was routed.

use std::sync::Arc;

use torana_ir::{
    Action, BackendKey, ExternalAuth, Filter, HostPattern, Invalid, Mirror, Retry, RouteKind, Rule, RuleKey, Share,
    Target, Timeouts, WeightedBackend,
};

use super::backends::{Backends, Changed};
use super::listener::ListenerPlan;
use crate::balance::{BackendState, Turns, Weights};
use crate::fault::Manner;
use crate::filter::{self, Chain, RequestContext};
use crate::head::{Head, ResponseHead};
use crate::observe::{Meters, Nouns};
use crate::route::Routable;
use crate::session::Session;

/// What the filters of a request leave for later: mirrors, the `Origin`.
pub type Notes = filter::Notes<Arc<BackendState>>;

/// What is to be done after the filters.
pub type Verdict = filter::Verdict<Arc<BackendState>>;

/// One rule on one listener.
#[derive(Debug)]
pub struct Plan {
    /// Where requests come in.
    pub listener: Arc<ListenerPlan>,
    /// Deadlines.
    pub timeouts: Timeouts,
    /// Metric handles; they go over to the plan that follows this one.
    pub meters: Arc<Meters>,
    /// How clients are brought back to their endpoints.
    pub session: Option<Session>,
    /// Filters need the scene of a request.
    pub makes_fields: bool,
    rule: Arc<Rule>,
    filters: Chain<Arc<BackendState>>,
    weights: Weights,
    /// They go over to the plan that follows this one: an edit elsewhere in the rule starts no round anew.
    turns: Arc<Turns>,
    slots: Box<[Slot]>,
    /// The answer when `weights` choose nothing.
    unusable: Invalid,
}

/// One entry of `backendRefs`.
#[derive(Debug)]
enum Slot {
    Valid(WeightedPlan),
    Invalid(Invalid),
}

/// A valid entry of `backendRefs`.
#[derive(Debug)]
pub struct WeightedPlan {
    /// Where requests go.
    pub backend: Arc<BackendState>,
    filters: Chain<Arc<BackendState>>,
}

/// Where one request goes.
#[derive(Debug)]
pub enum Choice<'p> {
    /// Here.
    Backend(&'p WeightedPlan),
    /// Nowhere: 500, and why.
    Invalid(&'p Invalid),
}

impl Plan {
    /// The plan for `rule`. `previous` is the plan that the rule had on this listener before.
    pub(super) fn compile(
        listener: &Arc<ListenerPlan>,
        rule: &Arc<Rule>,
        backends: &Backends,
        previous: Option<&Self>,
    ) -> Self {
        let resolve = |key: &BackendKey| backends.find(key).map(Arc::clone);
        let chain = |filters: &[Filter]| Chain::compile(filters, (listener.port, listener.path_mode), resolve);
        let (filters, entries, unusable) = match &rule.action {
            Action::Forward(entries) => (chain(&rule.filters), entries.as_slice(), no_backend(entries.is_empty())),
            // The rule as a whole is not honoured, so neither are its filters.
            Action::Invalid(invalid) => (chain(&[]), [].as_slice(), invalid.clone()),
        };
        let slot = |entry: &WeightedBackend| match &entry.target {
            Target::Invalid(invalid) => Slot::Invalid(invalid.clone()),
            Target::Backend(key) => match resolve(key) {
                Some(backend) => Slot::Valid(WeightedPlan { backend, filters: chain(&entry.filters) }),
                None => Slot::Invalid(unknown(key)),
            },
        };
        Self {
            listener: Arc::clone(listener),
            timeouts: rule.timeouts,
            meters: Meters::carried(
                Nouns::rule(&listener.key, &rule.key, rule.name.as_deref()),
                listener.metrics.as_ref(),
                previous.map(|plan| &plan.meters),
            ),
            session: rule.session.as_ref().and_then(Session::compile),
            makes_fields: rule.makes_fields(),
            rule: Arc::clone(rule),
            filters,
            weights: Weights::new(entries.iter().map(|entry| entry.weight)),
            turns: previous.map(|plan| Arc::clone(&plan.turns)).unwrap_or_default(),
            slots: entries.iter().map(slot).collect(),
            unusable,
        }
    }

    /// Whether compiling `rule` on this listener would give this plan again, now that `changed` backends have changed.
    pub(super) fn is_of(&self, rule: &Arc<Rule>, changed: &Changed) -> bool {
        self.rule == *rule && (changed.is_empty() || !targets(rule).any(|key| changed.contains(key)))
    }

    /// Every backend that the rule names.
    pub(super) fn backends(&self) -> impl Iterator<Item = &BackendKey> {
        targets(&self.rule)
    }

    /// The rule itself, for a quick look.
    pub(super) fn source(&self) -> &Arc<Rule> {
        &self.rule
    }

    /// Which rule it is.
    pub fn key(&self) -> &RuleKey {
        &self.rule.key
    }

    /// The rule's own name, if it has one.
    pub fn rule_name(&self) -> Option<&str> {
        self.rule.name.as_deref()
    }

    /// How the client of `head` is told of failures. A GRPCRoute has clients of gRPC, a VirtualService may have.
    pub fn manner(&self, head: &Head) -> Manner {
        match self.rule.key.route.kind {
            RouteKind::GrpcRoute => Manner { grpc: true, istio: false },
            RouteKind::VirtualService | RouteKind::IstioGateway => Manner { grpc: head.is_grpc(), istio: true },
            _ => Manner::default(),
        }
    }

    /// When the rule would have requests tried again.
    pub fn retry(&self) -> Option<&Retry> {
        self.rule.retry.as_ref()
    }

    /// How many of the rule's requests are traced, if it says so.
    pub(crate) fn sampling(&self) -> Option<Share> {
        self.rule.sampling
    }

    /// The rule's filters on the request, in order, beginning with step `from`. `notes` takes what later stages need.
    pub fn on_request(&self, from: usize, head: &mut Head, context: &mut RequestContext, notes: &mut Notes) -> Verdict {
        self.filters.on_request(from, head, context, notes)
    }

    /// Where the request goes: by turns, in exact proportion to the weights. The first turn is at `random`.
    pub fn choose(&self, random: u64) -> Choice<'_> {
        match self.weights.choose(&self.turns, random).and_then(|at| self.slots.get(at)) {
            Some(Slot::Valid(weighted)) => Choice::Backend(weighted),
            Some(Slot::Invalid(invalid)) => Choice::Invalid(invalid),
            None => Choice::Invalid(&self.unusable),
        }
    }

    /// The rule's filters on the response, after those of the backend reference.
    pub fn on_response(&self, notes: &Notes, head: &mut ResponseHead) {
        self.filters.on_response(notes, head);
    }

    /// The hostnames that the route serves on this listener.
    pub(super) fn hostnames(&self) -> &[HostPattern] {
        let attachment = self.rule.attachments.iter().find(|attachment| attachment.listener == self.listener.key);
        attachment.map(|attachment| attachment.hostnames.as_slice()).unwrap_or_default()
    }
}

impl Routable for Plan {
    fn rule(&self) -> &Rule {
        &self.rule
    }
}

impl WeightedPlan {
    /// The reference's own filters on the request, after those of the rule.
    pub fn on_request(&self, from: usize, head: &mut Head, context: &mut RequestContext, notes: &mut Notes) -> Verdict {
        self.filters.on_request(from, head, context, notes)
    }

    /// The reference's own filters on the response, before those of the rule.
    pub fn on_response(&self, notes: &Notes, head: &mut ResponseHead) {
        self.filters.on_response(notes, head);
    }
}

/// Every backend that a rule names: forwarded to, mirrored to, or asked.
fn targets(rule: &Rule) -> impl Iterator<Item = &BackendKey> {
    let entries = match &rule.action {
        Action::Forward(entries) => entries.as_slice(),
        Action::Invalid(_) => &[],
    };
    let nested = entries.iter().flat_map(|entry| &entry.filters);
    let mirrored = rule.filters.iter().chain(nested).filter_map(|filter| match filter {
        Filter::Mirror(Mirror { target, .. }) | Filter::ExternalAuth(ExternalAuth { target, .. }) => Some(target),
        _ => None,
    });
    entries.iter().map(|entry| &entry.target).chain(mirrored).filter_map(|target| match target {
        Target::Backend(key) => Some(key),
        Target::Invalid(_) => None,
    })
}

/// Why weights choose nothing: there are `none`, or all are 0.
pub(super) fn no_backend(none: bool) -> Invalid {
    let message = if none {
        "the rule names no backend: add a backendRef".to_owned()
    } else {
        "every backendRef of the rule has weight 0: give one of them a weight".to_owned()
    };
    Invalid { reason: "BackendNotFound".into(), message }
}

/// Translation never names a backend that it does not send.
pub(super) fn unknown(key: &BackendKey) -> Invalid {
    Invalid { reason: "BackendNotFound".into(), message: format!("backend {key} is not in the snapshot") }
}
