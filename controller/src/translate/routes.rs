// SPDX-License-Identifier: Apache-2.0
//! One route: its rules, where they are served, and what its author is told. A pure function of the route, the parents
//! and the objects that it names, which the result lists.
//!
//! *Accepted* for a parent: it attaches there and at least one rule is valid. Invalid rules next to valid ones:
//! *PartiallyInvalid*. References that are not good change *ResolvedRefs* only, and that is said even where the route
//! is not accepted.

use std::collections::BTreeSet;

use torana_crds::gateway::DefaultScope;
use torana_crds::route::{GrpcRoute, HttpRoute, StreamRouteSpec, TcpRoute, TlsRoute, UdpRoute};
use torana_crds::{Kind, Object, ObjectMeta, ObjectRef, ParentRef};
use torana_ir::{
    Action, Attachment, BackendKey, Filter, ListenerKey, Order, RouteId, RouteKind, Rule, RuleKey, Share, StreamRule,
    Target, Timeouts,
};

use crate::report::conditions::{Condition, route as conditions};
use crate::report::{Entry, ParentEntry, Remark, Severity};
use crate::store::Cluster;
use crate::translate::attach::{Attached, attach};
use crate::translate::backends::Cargo;
use crate::translate::entries::joined;
use crate::translate::frame::Parents;
use crate::translate::ledger::Ledger;
use crate::translate::rules::{self, RuleDraft};
use crate::translate::sampling;
use crate::translate::streams::{StreamDraft, stream};

/// All that follows from one route.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct RouteOutput {
    /// Rules of requests that are served somewhere.
    pub(super) rules: Vec<Rule>,
    /// Rules of streams that are.
    pub(super) streams: Vec<StreamRule>,
    /// What there is to say.
    pub(super) entry: Entry,
    /// Listeners that count the route as attached.
    pub(super) attached: BTreeSet<ListenerKey>,
    /// Backends of the rules.
    pub(super) backends: BTreeSet<BackendKey>,
    /// Objects, there or not, whose change may change all this.
    pub(super) needs: BTreeSet<ObjectRef>,
}

/// Kinds of objects that are routes.
pub const KINDS: [Kind; 5] = [Kind::HttpRoute, Kind::GrpcRoute, Kind::TlsRoute, Kind::TcpRoute, Kind::UdpRoute];

/// Translates a route; `None` for any other object.
pub(super) fn route(cluster: &Cluster, parents: &Parents, object: &Object) -> Option<RouteOutput> {
    let mut ledger = Ledger::new(object.reference());
    let head = head(object)?;
    let attached = attach(head.parents, head.hostnames, parents, &mut ledger);
    if attached.verdicts.is_empty() {
        // Nobody of ours has it: what else is wrong with it is not for us to say, and only its parents matter.
        let entry = Entry { generation: head.generation, remarks: attached.strays, ..Entry::default() };
        return Some(RouteOutput { entry, needs: ledger.needs, ..RouteOutput::default() });
    }
    not_default(head.default, &mut ledger);
    let output = match object {
        Object::HttpRoute(HttpRoute { meta, spec }) => {
            let rules = spec.rules.iter().enumerate();
            let rules = rules.map(|(at, rule)| rules::http(cluster, rule, &path(at), &mut ledger)).collect();
            output(meta, RouteKind::HttpRoute, attached, Drafts::Requests(rules), ledger)
        }
        Object::GrpcRoute(GrpcRoute { meta, spec }) => {
            let rules = spec.rules.iter().enumerate();
            let rules = rules.map(|(at, rule)| rules::grpc(cluster, rule, &path(at), &mut ledger)).collect();
            output(meta, RouteKind::GrpcRoute, attached, Drafts::Requests(rules), ledger)
        }
        Object::TlsRoute(TlsRoute { meta, spec }) => {
            let rules = spec.rules.iter().enumerate().map(|(at, rule)| (rule, path(at)));
            let rules = rules.map(|(rule, path)| stream(cluster, (rule, Cargo::Connections), &path, &mut ledger));
            let rules = rules.collect();
            output(meta, RouteKind::TlsRoute, attached, Drafts::Streams(rules), ledger)
        }
        Object::TcpRoute(TcpRoute { meta, spec }) => {
            transport(cluster, (meta, RouteKind::TcpRoute), (spec, Cargo::Connections), attached, ledger)
        }
        Object::UdpRoute(UdpRoute { meta, spec }) => {
            transport(cluster, (meta, RouteKind::UdpRoute), (spec, Cargo::Datagrams), attached, ledger)
        }
        _ => return None,
    };
    Some(output)
}

/// What every route has.
struct Head<'o> {
    generation: i64,
    parents: &'o [ParentRef],
    hostnames: &'o [String],
    default: Option<&'o DefaultScope>,
}

/// `None` of what is no route.
fn head(object: &Object) -> Option<Head<'_>> {
    let (meta, parents, hostnames, default) = match object {
        Object::HttpRoute(HttpRoute { meta, spec }) => {
            (meta, &spec.parents, spec.hostnames.as_slice(), &spec.use_default_gateways)
        }
        Object::GrpcRoute(GrpcRoute { meta, spec }) => {
            (meta, &spec.parents, spec.hostnames.as_slice(), &spec.use_default_gateways)
        }
        Object::TlsRoute(TlsRoute { meta, spec }) => {
            (meta, &spec.parents, spec.hostnames.as_slice(), &spec.use_default_gateways)
        }
        Object::TcpRoute(TcpRoute { meta, spec }) | Object::UdpRoute(UdpRoute { meta, spec }) => {
            (meta, &spec.parents, [].as_slice(), &spec.use_default_gateways)
        }
        _ => return None,
    };
    Some(Head { generation: meta.generation, parents, hostnames, default: default.as_ref() })
}

/// A route that matches by listener alone.
fn transport(
    cluster: &Cluster,
    (meta, kind): (&ObjectMeta, RouteKind),
    (spec, cargo): (&StreamRouteSpec, Cargo),
    attached: Attached,
    mut ledger: Ledger,
) -> RouteOutput {
    let rules = spec.rules.iter().enumerate();
    let rules = rules.map(|(at, rule)| stream(cluster, (rule, cargo), &path(at), &mut ledger)).collect();
    output(meta, kind, attached, Drafts::Streams(rules), ledger)
}

/// The rules of a route.
#[derive(Debug)]
enum Drafts {
    Requests(Vec<RuleDraft>),
    Streams(Vec<StreamDraft>),
}

impl Drafts {
    /// Rules of requests; those of streams cannot be wrong as a whole.
    fn requests(&self) -> &[RuleDraft] {
        match self {
            Self::Requests(drafts) => drafts,
            Self::Streams(_) => &[],
        }
    }
}

fn path(rule: usize) -> String {
    format!("spec.rules[{rule}]")
}

fn not_default(scope: Option<&DefaultScope>, ledger: &mut Ledger) {
    if scope.is_some_and(|scope| *scope != DefaultScope::None) {
        let message = "default Gateways are not supported, so it has no effect";
        ledger.remarks.push(Remark::warning(
            "UnsupportedValue",
            "spec.useDefaultGateways",
            message,
            "name the Gateway",
        ));
    }
}

fn output(meta: &ObjectMeta, kind: RouteKind, attached: Attached, drafts: Drafts, mut ledger: Ledger) -> RouteOutput {
    let sampling = matches!(drafts, Drafts::Requests(_)).then(|| sampling::annotated(meta)).transpose();
    ledger.remarks.extend(sampling.as_ref().err().cloned());
    let requests = drafts.requests();
    let some_valid = requests.is_empty() || requests.iter().any(|draft| draft.faults.is_empty());
    let faults: Vec<_> = requests.iter().flat_map(|draft| draft.faults.iter().cloned()).collect();
    let mut entry = Entry { generation: meta.generation, ..Entry::default() };
    let mut counted = BTreeSet::new();
    ledger.remarks.extend(attached.strays.iter().cloned());
    for (parent, verdict) in &attached.verdicts {
        let accepted = match verdict {
            Err(why) => conditions::not_accepted(why.reason, why.to_string()),
            Ok(_) if !some_valid => not_valid(&faults),
            Ok(listeners) => {
                counted.extend(listeners.iter().cloned());
                conditions::accepted(acceptance(&ledger))
            }
        };
        entry.parents.push(parent_entry(parent, accepted, &faults, &ledger));
        entry.remarks.extend(verdict.as_ref().err().cloned());
    }
    entry.remarks.extend(faults);
    entry.remarks.append(&mut ledger.unresolved);
    entry.remarks.append(&mut ledger.remarks);
    let output = RouteOutput { entry, attached: counted, needs: ledger.needs, ..RouteOutput::default() };
    if attached.served.is_empty() {
        return output;
    }
    let place = Place::new(meta, kind, attached);
    match drafts {
        Drafts::Requests(drafts) => {
            let rules = place.requests(drafts, sampling.ok().flatten().flatten());
            let backends = rules.iter().flat_map(backends_of).cloned().collect();
            RouteOutput { rules, backends, ..output }
        }
        Drafts::Streams(drafts) => {
            let streams = place.streams(drafts);
            let backends = streams.iter().flat_map(backends_of_streams).cloned().collect();
            RouteOutput { streams, backends, ..output }
        }
    }
}

fn not_valid(faults: &[Remark]) -> Condition {
    let reason = faults.first().map_or(conditions::UNSUPPORTED_VALUE, |first| first.reason);
    conditions::not_accepted(reason, joined(faults))
}

/// Says what is not honoured, so that it is seen by those who only look at status.
fn acceptance(ledger: &Ledger) -> String {
    let fields = ledger.remarks.iter().filter(|remark| remark.severity == Severity::Warning);
    let fields: Vec<_> = fields.map(ToString::to_string).collect();
    if fields.is_empty() {
        "the route is attached".to_owned()
    } else {
        format!("the route is attached, but: {}", fields.join(" | "))
    }
}

fn parent_entry(parent: &ParentRef, accepted: Condition, faults: &[Remark], ledger: &Ledger) -> ParentEntry {
    let is_accepted = accepted.status == crate::report::Status::True;
    let mut list = vec![accepted];
    if is_accepted && !faults.is_empty() {
        list.push(conditions::partially_invalid(&joined(faults)));
    }
    list.push(match ledger.unresolved.first() {
        None => conditions::resolved_refs(),
        Some(first) => conditions::unresolved_refs(first.reason, joined(&ledger.unresolved)),
    });
    ParentEntry { parent: parent.clone(), conditions: list }
}

/// What all rules of a route have in common.
struct Place {
    route: RouteId,
    created: i64,
    attachments: Vec<Attachment>,
}

impl Place {
    fn new(meta: &ObjectMeta, kind: RouteKind, attached: Attached) -> Self {
        let attachments = attached.served.into_iter();
        Self {
            route: RouteId { kind, namespace: meta.namespace.clone(), name: meta.name.clone() },
            created: meta.created.unwrap_or_default(),
            attachments: attachments.map(|(listener, hostnames)| Attachment { listener, hostnames }).collect(),
        }
    }

    fn key(&self, index: usize) -> Option<RuleKey> {
        Some(RuleKey { route: self.route.clone(), index: u16::try_from(index).ok()? })
    }

    fn requests(&self, drafts: Vec<RuleDraft>, sampling: Option<Share>) -> Vec<Rule> {
        let drafts = drafts.into_iter().enumerate().filter(|(_, draft)| !draft.matches.is_empty());
        drafts
            .filter_map(|(index, draft)| {
                let is_invalid = matches!(draft.action, Action::Invalid(_));
                Some(Rule {
                    key: self.key(index)?,
                    name: draft.name,
                    created: self.created,
                    attachments: self.attachments.clone(),
                    matches: draft.matches,
                    filters: draft.filters,
                    action: draft.action,
                    timeouts: if is_invalid { Timeouts::default() } else { draft.timeouts },
                    retry: draft.retry.filter(|_| !is_invalid),
                    session: draft.session.filter(|_| !is_invalid),
                    order: Order::Specific,
                    sampling,
                })
            })
            .collect()
    }

    fn streams(&self, drafts: Vec<StreamDraft>) -> Vec<StreamRule> {
        let drafts = drafts.into_iter().enumerate();
        drafts
            .filter_map(|(index, draft)| {
                Some(StreamRule {
                    key: self.key(index)?,
                    name: draft.name,
                    rank: 0,
                    created: self.created,
                    attachments: self.attachments.clone(),
                    backends: draft.backends,
                })
            })
            .collect()
    }
}

/// Backends that a rule sends requests to, or copies of them, or asks about them.
pub(super) fn backends_of(rule: &Rule) -> Vec<&BackendKey> {
    fn beside(filter: &Filter) -> Option<&Target> {
        match filter {
            Filter::Mirror(mirror) => Some(&mirror.target),
            Filter::ExternalAuth(auth) => Some(&auth.target),
            _ => None,
        }
    }
    let entries = if let Action::Forward(entries) = &rule.action { entries.as_slice() } else { &[] };
    let targets = entries.iter().flat_map(|entry| entry.filters.iter().filter_map(beside).chain([&entry.target]));
    let targets = targets.chain(rule.filters.iter().filter_map(beside));
    targets.filter_map(backend_of).collect()
}

/// The backends that a rule of streams names.
pub(super) fn backends_of_streams(rule: &StreamRule) -> Vec<&BackendKey> {
    rule.backends.iter().filter_map(|backend| backend_of(&backend.target)).collect()
}

fn backend_of(target: &Target) -> Option<&BackendKey> {
    if let Target::Backend(key) = target { Some(key) } else { None }
}
