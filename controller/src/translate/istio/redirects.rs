// SPDX-License-Identifier: Apache-2.0
//! What a Gateway of Istio itself answers: servers with `httpsRedirect` send every request to https, also for hosts that
//! no VirtualService has. For hosts that one has the same is said there.

use torana_crds::istio::IstioGateway;
use torana_crds::{Kind, ObjectRef};
use torana_ir::{Action, Attachment, Filter, Order, RouteId, RouteKind, Rule, RuleKey, Timeouts};

use crate::translate::frame::{Parent, Parents};
use crate::translate::istio::matches;
use crate::translate::istio::requests::to_https;
use crate::translate::routes::RouteOutput;

/// The rules of a Gateway.
pub(super) fn of_gateway(parents: &Parents, gateway: &IstioGateway) -> RouteOutput {
    let (namespace, name) = (gateway.meta.namespace.clone(), gateway.meta.name.clone());
    let reference = ObjectRef::new(Kind::IstioGateway, &namespace, &name);
    let mut output = RouteOutput::default();
    output.needs.insert(reference.clone());
    let Some(Parent::Servers(slots)) = parents.get(&reference) else { return output };
    let route = RouteId { kind: RouteKind::IstioGateway, namespace, name };
    let redirecting = slots.iter().filter(|slot| slot.redirects).zip(0u16..);
    output.rules = redirecting
        .map(|(slot, index)| {
            let hostnames: Vec<_> = slot.hosts.iter().map(|host| host.pattern.clone()).collect();
            let attach = |(listener, _): &(torana_ir::ListenerKey, _)| Attachment {
                listener: listener.clone(),
                hostnames: hostnames.clone(),
            };
            Rule {
                key: RuleKey { route: route.clone(), index },
                name: None,
                created: gateway.meta.created.unwrap_or_default(),
                attachments: slot.listeners.iter().map(attach).collect(),
                matches: vec![matches::everything()],
                filters: vec![Filter::Redirect(to_https())],
                action: Action::Forward(Vec::new()),
                timeouts: Timeouts::default(),
                retry: None,
                session: None,
                order: Order::Written { rank: 0, server: 0 },
                sampling: None,
            }
        })
        .collect();
    output
}
