// SPDX-License-Identifier: Apache-2.0
//! Which ports clients should reach: of a Gateway those of its accepted listeners and of its ListenerSets', also of those
//! that cannot be served yet, for an address must be there before a certificate is; of an ingress those that it is given.

use torana_crds::gateway::{Gateway, Listener, ListenerSet};
use torana_crds::parameters::GatewayParametersSpec;
use torana_crds::{Kind, ObjectRef};
use torana_ir::Snapshot;

use crate::provision::desired::Port;
use crate::report::{Report, Status};
use crate::translate::{ports_of_ingress, transport};

/// The ports that an ingress is given.
pub(super) fn of_ingress(parameters: &GatewayParametersSpec) -> Vec<Port> {
    ports_of_ingress(parameters).iter().copied().map(Port::from).collect()
}

/// The ports of all that proxies have.
pub(super) fn served(program: &Snapshot) -> impl Iterator<Item = Port> {
    let listeners = program.listeners.values();
    listeners.map(|listener| Port::of_listener(listener.port, listener.protocol.transport()))
}

/// The ports of `gateway` and of the `sets` that name it, in no order; some may come twice.
pub(super) fn of(report: &Report, own: &ObjectRef, gateway: &Gateway, sets: &[&ListenerSet]) -> Vec<Port> {
    let sets = sets.iter().map(|set| {
        (ObjectRef::new(Kind::ListenerSet, &set.meta.namespace, &set.meta.name), set.spec.listeners.as_slice())
    });
    let owners = std::iter::once((own.clone(), gateway.spec.listeners.as_slice())).chain(sets);
    owners.flat_map(|(owner, listeners)| accepted(report, &owner, listeners)).map(port).collect()
}

fn accepted<'l>(report: &Report, owner: &ObjectRef, listeners: &'l [Listener]) -> Vec<&'l Listener> {
    let Some(entry) = report.objects.get(owner) else { return Vec::new() };
    let is_accepted = |name: &str| {
        let entry = entry.listeners.iter().find(|listener| listener.name == name);
        let mut conditions = entry.into_iter().flat_map(|listener| &listener.conditions);
        conditions.any(|condition| condition.condition_type == "Accepted" && condition.status == Status::True)
    };
    listeners.iter().filter(|listener| is_accepted(&listener.name)).collect()
}

fn port(listener: &Listener) -> Port {
    Port::of_listener(listener.port, transport(&listener.protocol))
}
