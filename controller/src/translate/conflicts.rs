// SPDX-License-Identifier: Apache-2.0
//! Listeners that cannot be told apart, and ports that are taken.
//!
//! * Indistinct listeners of one object: all of them are Conflicted, none wins (`GatewaySpec.listeners`, "Handling
//!   indistinct Listeners").
//! * A ListenerSet's listener against one of higher precedence: only the lower one loses (`ListenerSetSpec.listeners`).
//! * Two Gateways: the older has the port, on every address that both have.
//!
//! Listeners of a protocol that is not served take part in nothing: they hurt no listener of their own object. Never
//! looks at what else is wrong with a listener.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use torana_crds::gateway::ProtocolType;
use torana_ir::{GatewayId, HostPattern};

use crate::report::Remark;
use crate::report::conditions::listener::{HOSTNAME_CONFLICT, PORT_UNAVAILABLE, PROTOCOL_CONFLICT};
use crate::translate::listeners::ListenerDraft;

/// Marks conflicts among the listeners of one Gateway and its ListenerSets, which come in order of precedence, each
/// object's listeners together.
pub(super) fn mark(listeners: &mut [ListenerDraft<'_>]) {
    let index = Index::new(listeners);
    let conflicts: Vec<_> = (0..listeners.len()).map(|at| index.conflict(listeners, at)).collect();
    for (listener, conflict) in listeners.iter_mut().zip(conflicts) {
        listener.conflict = conflict;
    }
}

/// Positions of listeners, in order of precedence.
type Positions = Vec<usize>;

/// Listeners of protocols that are served, by what tells them apart.
#[derive(Debug, Default)]
struct Index {
    hosts: BTreeMap<Distinction, Positions>,
    protocols: BTreeMap<Socket, Positions>,
}

/// What the bytes of a port are.
type Socket = (u16, Served);

/// What must differ (`GatewaySpec.listeners`, "Distinct Listeners").
type Distinction = (u16, Served, HostPattern);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Served {
    Http,
    Https,
}

impl Served {
    fn of(protocol: &ProtocolType) -> Option<Self> {
        match protocol {
            ProtocolType::Http => Some(Self::Http),
            ProtocolType::Https => Some(Self::Https),
            _ => None,
        }
    }
}

impl Index {
    fn new(listeners: &[ListenerDraft<'_>]) -> Self {
        let mut index = Self::default();
        for (at, listener) in listeners.iter().enumerate() {
            let Some(served) = Served::of(&listener.spec.protocol) else { continue };
            let port = listener.spec.port;
            index.protocols.entry((port, served)).or_default().push(at);
            if let Some(host) = &listener.hostname {
                index.hosts.entry((port, served, host.clone())).or_default().push(at);
            }
        }
        index
    }

    /// The first listener that the one `at` cannot be told apart from, and loses to.
    fn conflict(&self, listeners: &[ListenerDraft<'_>], at: usize) -> Option<Remark> {
        let listener = listeners.get(at)?;
        let (port, own) = (listener.spec.port, Served::of(&listener.spec.protocol));
        let rival = |rivals: Option<&Positions>| {
            let rivals = rivals?;
            // One of higher precedence, or of the same object: those are the neighbours in this order.
            let after = rivals.partition_point(|other| *other <= at);
            let near = [rivals.first(), rivals.get(after)].into_iter().flatten();
            let mut near =
                near.filter(|other| **other != at).filter_map(|other| Some((*other, listeners.get(*other)?)));
            near.find(|(other, rival)| *other < at || rival.owner == listener.owner).map(|(_, rival)| rival)
        };
        if let (Some(own), Some(host)) = (own, &listener.hostname)
            && let Some(rival) = rival(self.hosts.get(&(port, own, host.clone())))
        {
            return Some(describe(listener, rival, HOSTNAME_CONFLICT));
        }
        // Within one object a listener that is not served says so; below another's listener it conflicts (GEP-1713).
        let is_stream = matches!(listener.spec.protocol, ProtocolType::Tcp | ProtocolType::Tls);
        let mut others = [Served::Http, Served::Https].into_iter().filter(|served| Some(*served) != own);
        let rival = others.find_map(|served| rival(self.protocols.get(&(port, served))))?;
        (own.is_some() || (is_stream && rival.owner != listener.owner))
            .then(|| describe(listener, rival, PROTOCOL_CONFLICT))
    }
}

fn describe(one: &ListenerDraft<'_>, two: &ListenerDraft<'_>, reason: &'static str) -> Remark {
    let port = one.spec.port;
    let other = if one.owner == two.owner {
        format!("listener {}", two.spec.name)
    } else {
        format!("listener {} of {}", two.spec.name, two.owner)
    };
    if reason == HOSTNAME_CONFLICT {
        let hostname = two.hostname.as_ref().map(ToString::to_string).unwrap_or_default();
        let message = format!("{other} has the same port {port} and hostname {hostname}");
        return Remark::error(
            reason,
            &format!("{}.hostname", one.path),
            message,
            "give one of them another hostname or port",
        );
    }
    let message = format!("{other} has protocol {} on the same port {port}", two.spec.protocol.as_str());
    Remark::error(reason, &format!("{}.port", one.path), message, "give one of them another port")
}

/// Which Gateway has which port on which addresses (none: all of them).
#[derive(Debug, Default)]
pub(super) struct Ports(BTreeMap<u16, Vec<Claim>>);

/// The holder of a port, and its addresses.
type Claim = (GatewayId, Vec<IpAddr>);

impl Ports {
    /// Takes the ports of a Gateway's accepted listeners; listeners whose port is taken are refused. Gateways must come
    /// oldest first.
    pub(super) fn claim(
        &mut self,
        gateway: &GatewayId,
        addresses: &[IpAddr],
        listeners: &mut [ListenerDraft<'_>],
        reserved: &[(SocketAddr, &'static str)],
    ) {
        for listener in listeners.iter_mut().filter(|listener| listener.is_accepted()) {
            let port = listener.spec.port;
            let taken = reserved
                .iter()
                .find(|(socket, _)| socket.port() == port && overlap(addresses, &[socket.ip()]))
                .map(|(socket, purpose)| format!("{purpose} ({socket})"))
                .or_else(|| self.holder(gateway, port, addresses).map(|holder| format!("the older Gateway {holder}")));
            if let Some(holder) = taken {
                let message = format!("port {port} belongs to {holder}");
                let path = format!("{}.port", listener.path);
                listener.refuse(Remark::error(PORT_UNAVAILABLE, &path, message, "use another port or address"));
                continue;
            }
            let claims = self.0.entry(port).or_default();
            if !claims.iter().any(|(holder, _)| holder == gateway) {
                claims.push((gateway.clone(), addresses.to_vec()));
            }
        }
    }

    fn holder(&self, gateway: &GatewayId, port: u16, addresses: &[IpAddr]) -> Option<&GatewayId> {
        let claims = self.0.get(&port)?;
        claims.iter().find(|(holder, theirs)| holder != gateway && overlap(addresses, theirs)).map(|(holder, _)| holder)
    }
}

fn overlap(one: &[IpAddr], two: &[IpAddr]) -> bool {
    let everywhere = |addresses: &[IpAddr]| addresses.is_empty() || addresses.iter().any(IpAddr::is_unspecified);
    everywhere(one) || everywhere(two) || one.iter().any(|address| two.contains(address))
}
