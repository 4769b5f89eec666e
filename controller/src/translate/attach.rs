// SPDX-License-Identifier: Apache-2.0
//! parentRefs: to which listeners a route attaches, and why not to others. In this order: section and port
//! (`NoMatchingParent`), kind and namespace (`NotAllowedByListeners`), hostnames (`NoMatchingListenerHostname`).
//!
//! * A parentRef to a Gateway selects the Gateway's own listeners, one to a ListenerSet those of the set (GEP-1713).
//! * Of several TCPRoutes or UDPRoutes on one listener all are accepted, and counted: which of them serves is decided by
//!   the proxy (`TCPRouteSpec`: the oldest).
//! * An HTTPRoute and a GRPCRoute with intersecting hostnames on one listener are both accepted: the spec lets an
//!   implementation reject one of them, it need not (`GRPCRouteSpec.hostnames`, "MAY reject"). Their rules are served
//!   side by side, ordered like the rules of two routes of one kind.
//!
//! Grants play no part here: only `allowedRoutes` counts. Never looks at rules.

use std::collections::BTreeMap;

use torana_crds::gateway::RouteGroupKind;
use torana_crds::{GATEWAY_GROUP, ObjectRef, ParentRef};
use torana_ir::{HostPattern, ListenerKey};

use crate::report::Remark;
use crate::report::conditions::route::{
    NO_MATCHING_LISTENER_HOSTNAME, NO_MATCHING_PARENT, NOT_ALLOWED_BY_LISTENERS, UNSUPPORTED_VALUE,
};
use crate::translate::frame::{Parent, Parents, Slot};
use crate::translate::ledger::Ledger;
use crate::translate::listeners::is_address;

/// The listeners that a parentRef attaches to, or why there are none.
pub(super) type Verdict = Result<Vec<ListenerKey>, Remark>;

/// To what a route is attached.
#[derive(Debug, Default)]
pub(super) struct Attached {
    /// For each parentRef that is ours: the listeners, or why there are none.
    pub(super) verdicts: Vec<(ParentRef, Verdict)>,
    /// What there is to say about parents that nobody has.
    pub(super) strays: Vec<Remark>,
    /// Every listener with the route's own hostnames that intersect the listener's; only listeners that are served.
    pub(super) served: BTreeMap<ListenerKey, Vec<HostPattern>>,
}

/// Attaches a route with these `parents` and `hostnames`.
pub(super) fn attach(parents: &[ParentRef], hostnames: &[String], frame: &Parents, ledger: &mut Ledger) -> Attached {
    let mut attached = Attached::default();
    let hosts = hosts(hostnames, ledger);
    if parents.is_empty() {
        let message = "the route names no parent, so it is not served";
        attached.strays.push(Remark::warning(NO_MATCHING_PARENT, "spec.parentRefs", message, "name a Gateway"));
    }
    for (index, parent) in parents.iter().enumerate() {
        let path = format!("spec.parentRefs[{index}]");
        let target = parent.target(&ledger.route.namespace);
        ledger.need(&target);
        match frame.get(&target) {
            // No route of Gateway API names a Gateway of Istio: its group is another.
            Some(Parent::Foreign | Parent::Servers(_)) => {}
            None => attached.strays.push(absent(&target, &path)),
            Some(Parent::Ours(slots)) => {
                let verdict = select(slots, (parent, &target), &hosts, (&ledger.route, &path));
                if let Ok(slots) = &verdict {
                    attached.serve(slots, &hosts);
                }
                let verdict = verdict.map(|slots| slots.iter().map(|slot| slot.key.clone()).collect());
                attached.verdicts.push((parent.clone(), verdict));
            }
        }
    }
    attached
}

impl Attached {
    fn serve(&mut self, slots: &[&Slot], hosts: &[HostPattern]) {
        for slot in slots.iter().filter(|slot| slot.served) {
            let hosts = hosts.iter().filter(|host| meets(slot, host)).cloned().collect();
            self.served.insert(slot.key.clone(), hosts);
        }
    }
}

/// The route's own hostnames; `*` if it names none; empty if none of those it names is one.
fn hosts(hostnames: &[String], ledger: &mut Ledger) -> Vec<HostPattern> {
    if hostnames.is_empty() {
        return vec![HostPattern::Any];
    }
    let mut hosts = Vec::with_capacity(hostnames.len());
    for (index, text) in hostnames.iter().enumerate() {
        match HostPattern::parse(text) {
            Some(host) if host != HostPattern::Any && !is_address(text) => {
                if !hosts.contains(&host) {
                    hosts.push(host);
                }
            }
            _ => {
                let path = format!("spec.hostnames[{index}]");
                let message = format!("{text:?} is not a hostname and is ignored");
                ledger.remarks.push(Remark::error(UNSUPPORTED_VALUE, &path, message, "write a DNS name or *.name"));
            }
        }
    }
    hosts
}

fn select<'s>(
    slots: &'s [Slot],
    (parent, target): (&ParentRef, &ObjectRef),
    hosts: &[HostPattern],
    (route, path): (&ObjectRef, &str),
) -> Result<Vec<&'s Slot>, Remark> {
    let refuse = |reason, message: String, remedy: &str| Err(Remark::error(reason, path, message, remedy));
    if slots.is_empty() {
        return refuse(NO_MATCHING_PARENT, format!("no listener of {target} is in force"), "see its own status");
    }
    let named: Vec<_> = slots.iter().filter(|slot| is_named(slot, parent)).collect();
    if named.is_empty() {
        let message = format!("{target} has no listener{}", asked(parent));
        return refuse(NO_MATCHING_PARENT, message, "correct sectionName and port, or add the listener");
    }
    let fitting: Vec<_> = named.into_iter().filter(|slot| slot.kinds.iter().any(|kind| is_kind(kind, route))).collect();
    let kind = &route.kind;
    if fitting.is_empty() {
        let message = format!("no listener{} of {target} takes a {kind}", asked(parent));
        return refuse(NOT_ALLOWED_BY_LISTENERS, message, "check protocol and allowedRoutes.kinds of the listener");
    }
    let namespace = &route.namespace;
    let admitting: Vec<_> = fitting.into_iter().filter(|slot| slot.namespaces.admit(namespace)).collect();
    if admitting.is_empty() {
        let message = format!("no listener{} of {target} takes routes from namespace {namespace}", asked(parent));
        return refuse(NOT_ALLOWED_BY_LISTENERS, message, "allow it in allowedRoutes.namespaces of the listener");
    }
    if hosts.is_empty() {
        let message = "none of spec.hostnames is a hostname".to_owned();
        return refuse(UNSUPPORTED_VALUE, message, "write DNS names or *.name");
    }
    let meeting: Vec<_> = admitting.into_iter().filter(|slot| hosts.iter().any(|host| meets(slot, host))).collect();
    if meeting.is_empty() {
        let names: Vec<_> = hosts.iter().map(ToString::to_string).collect();
        let message =
            format!("no listener{} of {target} has a hostname that {} meets", asked(parent), names.join(", "));
        return refuse(NO_MATCHING_LISTENER_HOSTNAME, message, "align spec.hostnames with the listener's hostname");
    }
    Ok(meeting)
}

fn is_named(slot: &Slot, parent: &ParentRef) -> bool {
    let section = parent.section_name.as_deref().filter(|name| !name.is_empty());
    section.is_none_or(|name| name == slot.key.name) && parent.port.is_none_or(|port| port == slot.port)
}

fn is_kind(kind: &RouteGroupKind, route: &ObjectRef) -> bool {
    kind.group == route.group && kind.kind == route.kind
}

fn meets(slot: &Slot, host: &HostPattern) -> bool {
    slot.hostname.as_ref().is_some_and(|hostname| hostname.intersection(host).is_some())
}

/// ` named x on port 80`.
fn asked(parent: &ParentRef) -> String {
    let name = parent.section_name.as_deref().map(|name| format!(" {name}")).unwrap_or_default();
    let port = parent.port.map(|port| format!(" on port {port}")).unwrap_or_default();
    format!("{name}{port}")
}

fn absent(target: &ObjectRef, path: &str) -> Remark {
    let is_parent = target.group == GATEWAY_GROUP && matches!(&*target.kind, "Gateway" | "ListenerSet");
    if is_parent {
        let message = format!("there is no {target}, so the route is not served there");
        return Remark::error(NO_MATCHING_PARENT, path, message, "create it or correct the reference");
    }
    // A mesh's parents (Service) and other implementations' kinds may well be somebody's.
    let message = format!("Torana serves no parents of kind {} in group {:?}", target.kind, target.group);
    Remark::warning(NO_MATCHING_PARENT, path, message, "")
}
