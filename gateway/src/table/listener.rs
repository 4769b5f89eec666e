// SPDX-License-Identifier: Apache-2.0
//! One listener: what requests and streams keep of it, and the routes that it serves.

use std::sync::Arc;

use torana_ir::{
    AccessPolicy, HostPattern, Limits, Listener, ListenerKey, MetricPolicy, PathMode, PolicyKey, Protocol, Rule,
    SharedMap, StreamRule, TokenPolicy,
};

use super::backends::{Backends, Changed};
use super::bind::Routed;
use super::plan::Plan;
use super::stream::{StreamRouted, Streams};
use crate::access::Access;
use crate::fault::Fault;
use crate::gate;
use crate::guard::{Authorizers, Guard};
use crate::head::{Head, Scheme};
use crate::observe::{Logging, Meters, Nouns};
use crate::route::{Found, Route, Router, Silent};
use crate::tls::backends::Identity;
use crate::token::{Registry, Tokens};
use crate::trace::Tracer;

/// All policies that there are.
pub(super) struct Policies<'s> {
    pub(super) access: &'s SharedMap<PolicyKey, Arc<AccessPolicy>>,
    pub(super) tokens: &'s SharedMap<PolicyKey, Arc<TokenPolicy>>,
    pub(super) keys: &'s Registry,
    pub(super) authorizers: &'s Arc<Authorizers>,
}

impl Policies<'_> {
    /// Those that a listener names.
    fn guard(&self, spec: &Listener, before: Option<&Guard>) -> Guard {
        let of_access = before.and_then(|before| before.access.as_ref());
        let of_tokens = before.and_then(|before| before.tokens.as_ref());
        let access = |key: &PolicyKey| self.access.get(key).cloned();
        let tokens = |key: &PolicyKey| self.tokens.get(key).cloned();
        let access = Access::compile(&spec.policies, access, spec.protocol.is_http(), of_access);
        let asks = access.as_ref().is_some_and(|access| access.asks_others());
        Guard {
            authorizers: asks.then(|| Arc::clone(self.authorizers)),
            access,
            tokens: Tokens::compile(&spec.tokens, tokens, self.keys, of_tokens),
        }
    }
}

/// What a request or a stream needs of its listener.
#[derive(Debug)]
pub struct ListenerPlan {
    /// Gateway, listener set and name.
    pub key: ListenerKey,
    /// Its port.
    pub port: u16,
    /// `https` if requests come by TLS that ends here.
    pub scheme: Scheme,
    /// Hosts that belong to it.
    pub hostname: HostPattern,
    /// How paths are normalised.
    pub path_mode: PathMode,
    /// Limits and deadlines.
    pub limits: Limits,
    /// Metric handles of requests that no rule took.
    pub meters: Arc<Meters>,
    /// What becomes of Istio's metrics.
    pub metrics: Option<Arc<MetricPolicy>>,
    /// What has a line in the access log.
    pub logging: Logging,
    /// What backends that ask for a certificate are shown.
    pub identity: Option<Arc<Identity>>,
    /// How requests are traced, if they are.
    pub(crate) tracer: Option<Arc<Tracer>>,
    pub(super) spec: Arc<Listener>,
}

impl ListenerPlan {
    fn new(spec: &Arc<Listener>, identity: Option<&Arc<Identity>>, previous: Option<&Self>) -> Self {
        let metrics = spec.metrics.clone().map(Arc::new);
        Self {
            key: spec.key.clone(),
            port: spec.port,
            scheme: if matches!(spec.protocol, Protocol::Https(_)) { Scheme::Https } else { Scheme::Http },
            hostname: spec.hostname.clone(),
            path_mode: spec.path_mode,
            limits: spec.limits.clone(),
            meters: Meters::carried(Nouns::listener(&spec.key), metrics.as_ref(), previous.map(|plan| &plan.meters)),
            metrics,
            logging: Logging::of(spec.log.as_ref()),
            identity: identity.map(Arc::clone),
            tracer: spec.tracing.as_ref().map(|tracing| Arc::new(Tracer::compile(tracing, variable))),
            spec: Arc::clone(spec),
        }
    }

    /// What is spoken.
    pub fn protocol(&self) -> &Protocol {
        &self.spec.protocol
    }

    fn is_of(&self, spec: &Arc<Listener>, identity: Option<&Arc<Identity>>) -> bool {
        self.spec == *spec && self.identity.as_ref().map(Arc::as_ptr) == identity.map(Arc::as_ptr)
    }
}

/// Of the environment, which stays as it is for the life of the process.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A listener with its routes.
#[derive(Debug)]
pub(super) struct ListenerTable {
    pub(super) plan: Arc<ListenerPlan>,
    pub(super) router: Arc<Router<Plan>>,
    pub(super) streams: Arc<Streams>,
    /// What stands before its routes.
    pub(super) guard: Guard,
    /// Some of its rules ask for claims of tokens.
    asks_for_claims: bool,
    /// In the order of their rule keys.
    plans: Vec<Arc<Plan>>,
}

impl ListenerTable {
    /// Plans and indexes rules of requests and of streams (in the order of their keys), sharing with `previous` whatever is
    /// the same.
    pub(super) fn compile(
        (spec, identity): (&Arc<Listener>, Option<&Arc<Identity>>),
        (rules, streams): (&[&Arc<Rule>], &[&Arc<StreamRule>]),
        (backends, changed): (&Backends, &Changed),
        (policies, previous): (&Policies<'_>, Option<&Arc<Self>>),
    ) -> Arc<Self> {
        let before = previous.map(|before| &before.guard);
        let guard = policies.guard(spec, before);
        let asks = |rule: &&Arc<Rule>| rule.matches.iter().any(|one| !one.claims.is_empty());
        let asks_for_claims = rules.iter().any(asks);
        let kept = previous.filter(|before| before.plan.is_of(spec, identity));
        let plan = match kept {
            Some(before) => Arc::clone(&before.plan),
            None => Arc::new(ListenerPlan::new(spec, identity, previous.map(|before| &*before.plan))),
        };
        let mut old = previous.map(|before| before.plans.as_slice()).unwrap_or_default().iter().peekable();
        let mut plans = Vec::with_capacity(rules.len());
        let mut edit = Edit::default();
        for rule in rules {
            let mut before = old.next_if(|before| Arc::ptr_eq(before.source(), rule));
            if before.is_none() {
                edit.removed.extend(std::iter::from_fn(|| old.next_if(|before| before.key() < &rule.key)));
                before = old.next_if(|before| before.key() == &rule.key);
            }
            let same = before.filter(|before| kept.is_some() && before.is_of(rule, changed));
            plans.push(same.cloned().unwrap_or_else(|| {
                edit.removed.extend(before);
                edit.added.push(plans.len());
                Arc::new(Plan::compile(&plan, rule, backends, before.map(AsRef::as_ref)))
            }));
        }
        edit.removed.extend(old);
        let streams = Streams::compile(
            &plan,
            streams,
            (backends, changed),
            (previous.map(|before| &before.streams), kept.is_some()),
        );
        let router = match kept {
            Some(before) if edit.is_empty() && Arc::ptr_eq(&before.streams, &streams) => {
                if before.guard.is(&guard) {
                    return Arc::clone(before);
                }
                Arc::clone(&before.router)
            }
            Some(before) if edit.is_small(&plans) => Arc::new(edit.apply(&before.router, &plans)),
            _ => Arc::new(Router::build(plans.iter().map(route), kept.map(|before| &*before.router))),
        };
        Arc::new(Self { plan, router, streams, guard, asks_for_claims, plans })
    }

    /// Which of its rules takes a request for `host`.
    pub(super) fn route(&self, host: &str, head: &Head) -> Routed {
        match self.router.find(host, head, &mut Silent) {
            Some(found) => self.found(&found),
            None => Routed::fault(Fault::NoRoute, Some(self), head),
        }
    }

    /// What was found.
    pub(super) fn found(&self, found: &Found<'_, Plan>) -> Routed {
        let plan = Arc::clone(found.candidate.target());
        Routed::Plan { plan, prefix_len: found.prefix_len, guard: self.guard.clone() }
    }

    /// Whether it must be known who asks before routes are looked at.
    pub(super) fn asks_for_claims(&self) -> bool {
        self.guard.tokens.is_some() && self.asks_for_claims
    }

    /// Whether nobody is let through, for there are no policies that could say whom.
    pub(super) fn is_closed(&self) -> bool {
        self.plan.spec.closed.is_some() && self.guard.is_empty()
    }

    /// Gives the path the form that its rules are written for.
    pub(super) fn normalise(&self, head: &mut Head) -> Result<(), Routed> {
        gate::normalise(head, self.plan.path_mode)
            .map_err(|reject| Routed::fault(Fault::Rejected(reject), Some(self), head))
    }

    /// Where a stream for `host` goes, which is empty where streams name none.
    pub(super) fn stream(&self, host: &str) -> StreamRouted {
        let plan = self.streams.serving(host).filter(|_| !self.is_closed()).map(Arc::clone);
        StreamRouted { listener: Arc::clone(&self.plan), plan, access: self.guard.access.clone() }
    }

    pub(super) fn plans(&self) -> &[Arc<Plan>] {
        &self.plans
    }
}

/// What became of the plans of a listener that itself stayed.
#[derive(Default)]
struct Edit<'p> {
    removed: Vec<&'p Arc<Plan>>,
    /// Places in the new list.
    added: Vec<usize>,
}

impl Edit<'_> {
    fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.added.is_empty()
    }

    /// Cheaper to apply than to index everything anew.
    fn is_small(&self, plans: &[Arc<Plan>]) -> bool {
        self.removed.len() + self.added.len() <= plans.len() / 64 + 2
    }

    fn apply(&self, router: &Router<Plan>, plans: &[Arc<Plan>]) -> Router<Plan> {
        let removed: Vec<_> = self.removed.iter().map(|plan| route(plan)).collect();
        let added: Vec<_> = self.added.iter().filter_map(|at| plans.get(*at)).map(route).collect();
        router.edited(&removed, &added)
    }
}

fn route(plan: &Arc<Plan>) -> Route<'_, Plan> {
    (plan, plan.hostnames())
}
