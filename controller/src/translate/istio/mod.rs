// SPDX-License-Identifier: Apache-2.0
//! VirtualServices: from one object to the rules of every listener that it is bound to. A pure function of the object, the
//! servers that it names and the objects that its rules name, which the result lists.
//!
//! ```text
//! gateways ── bindings ─▶ where: proxies, port, hosts of listeners
//! http ── delegates ─▶ rules in their order ── matches, destinations, policies ─▶ drafts, for each place
//! ```
//!
//! In which order rules of several objects are asked is said by each rule ([`torana_ir::Order`]): no VirtualService is
//! looked at for the sake of another, but for delegates.

mod bindings;

mod delegates;

mod matches;

mod destinations;

mod formats;

mod values;

pub(super) mod retries;

mod policies;

mod requests;

mod streams;

mod redirects;

use std::collections::BTreeSet;

use torana_crds::istio::VirtualService;
use torana_crds::{Kind, Object, ObjectRef};

use crate::report::conditions::istio as conditions;
use crate::report::{Entry, Remark, Severity};
use crate::store::Cluster;
use crate::translate::frame::Parents;
use crate::translate::istio::bindings::Binding;
use crate::translate::istio::requests::Placed;
use crate::translate::ledger::Ledger;
use crate::translate::routes::{RouteOutput, backends_of, backends_of_streams};
use crate::translate::sampling;
use crate::translate::servers::{INVALID, verdict};

pub(super) use destinations::service_at;

/// Translates a VirtualService, or what an Istio Gateway itself answers; `None` for any other object.
pub(super) fn route(cluster: &Cluster, parents: &Parents, object: &Object) -> Option<RouteOutput> {
    match object {
        Object::VirtualService(service) => Some(virtual_service(cluster, parents, service)),
        Object::IstioGateway(gateway) => Some(redirects::of_gateway(parents, gateway)),
        _ => None,
    }
}

fn virtual_service(cluster: &Cluster, parents: &Parents, service: &VirtualService) -> RouteOutput {
    let reference = ObjectRef::new(Kind::VirtualService, &service.meta.namespace, &service.meta.name);
    let mut ledger = Ledger::new(reference);
    let bindings = bindings::of(cluster.mesh().config(), parents, service, &mut ledger);
    let (said, is_valid) = verdict(service.problems());
    let mut output = RouteOutput::default();
    // A delegate is served where the one that names it is: who else would say it?
    if !bindings.is_empty() || service.spec.is_delegate() {
        ledger.remarks.extend(said);
    }
    if is_valid && !bindings.is_empty() {
        let rules = delegates::expanded(cluster, service, &mut ledger);
        let placed = requests::placed(cluster, service, &rules, &bindings, &mut ledger);
        output.rules = placed.into_iter().flat_map(|placed: Placed| placed.rules).collect();
        output.streams = streams::placed(cluster, service, &bindings, &mut ledger);
        // What only the program's own compiler sees, such as an expression, Istio's webhook sees too.
        if ledger.remarks.iter().any(|remark| remark.reason == INVALID && remark.severity == Severity::Error) {
            (output.rules, output.streams) = (Vec::new(), Vec::new());
        }
        ledger.remarks.extend(sampling::annotated(&service.meta).err());
        number(&mut output);
        output.attached = attached(&bindings);
    }
    let requests = output.rules.iter().flat_map(backends_of).cloned();
    let streams = output.streams.iter().flat_map(backends_of_streams).cloned();
    output.backends = requests.chain(streams).collect();
    output.needs = ledger.needs;
    let mut remarks = ledger.unresolved;
    remarks.append(&mut ledger.remarks);
    let mut entry = Entry { generation: service.meta.generation, remarks: once(remarks), ..Entry::default() };
    if !bindings.is_empty() {
        entry.conditions = vec![conditions::accepted(&entry.remarks)];
    } else if cluster.settings().is_cluster() {
        // It is for others: what nobody here serves is nothing to complain of.
        entry.remarks.iter_mut().for_each(|remark| remark.severity = Severity::Note);
    }
    output.entry = entry;
    output
}

/// Positions follow the order in which rules were made: first those of requests.
fn number(output: &mut RouteOutput) {
    let keys = output.rules.iter_mut().map(|rule| &mut rule.key);
    let keys = keys.chain(output.streams.iter_mut().map(|rule| &mut rule.key));
    for (key, index) in keys.zip(0u16..) {
        key.index = index;
    }
    // More than can be numbered can hardly have been written by hand; the last are not served.
    let most = usize::from(u16::MAX);
    output.rules.truncate(most);
    output.streams.truncate(most.saturating_sub(output.rules.len()));
}

fn attached(bindings: &[Binding<'_>]) -> BTreeSet<torana_ir::ListenerKey> {
    bindings.iter().flat_map(|binding| binding.listeners.iter().map(|(key, _)| key.clone())).collect()
}

/// A rule that is served in several places says the same in each.
fn once(remarks: Vec<Remark>) -> Vec<Remark> {
    let mut kept: Vec<Remark> = Vec::with_capacity(remarks.len());
    for remark in remarks {
        if !kept.contains(&remark) {
            kept.push(remark);
        }
    }
    kept
}
