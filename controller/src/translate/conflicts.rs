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
use torana_ir::GatewayId;

use crate::report::Remark;
use crate::report::conditions::listener::{HOSTNAME_CONFLICT, PORT_UNAVAILABLE, PROTOCOL_CONFLICT};
use crate::translate::listeners::ListenerDraft;

/// Marks conflicts among the listeners of one Gateway and its ListenerSets, which come in order of precedence.
pub(super) fn mark(listeners: &mut [ListenerDraft<'_>]) {
    for at in 0..listeners.len() {
        let conflict = (0..listeners.len()).filter(|other| *other != at).find_map(|other| {
            let (one, two) = (listeners.get(at)?, listeners.get(other)?);
            let loses = one.owner == two.owner || other < at;
            let reason = if loses { indistinct(one, two) } else { None };
            reason.map(|reason| describe(one, two, reason))
        });
        if let (Some(listener), Some(conflict)) = (listeners.get_mut(at), conflict) {
            listener.conflict = Some(conflict);
        }
    }
}

fn is_served(protocol: &ProtocolType) -> bool {
    matches!(protocol, ProtocolType::Http | ProtocolType::Https)
}

/// Why `one` cannot be told apart from `two`.
fn indistinct(one: &ListenerDraft<'_>, two: &ListenerDraft<'_>) -> Option<&'static str> {
    let (left, right) = (&one.spec.protocol, &two.spec.protocol);
    if one.spec.port != two.spec.port || !is_served(right) {
        return None;
    }
    // Within one object a listener that is not served says so; below another's listener it conflicts (GEP-1713).
    let tcp = matches!(left, ProtocolType::Tcp | ProtocolType::Tls) && one.owner != two.owner;
    if left == right {
        (one.hostname.is_some() && one.hostname == two.hostname).then_some(HOSTNAME_CONFLICT)
    } else {
        (is_served(left) || tcp).then_some(PROTOCOL_CONFLICT)
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
pub(super) struct Ports(BTreeMap<u16, Vec<(GatewayId, Vec<IpAddr>)>>);

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
            match taken {
                Some(holder) => {
                    let message = format!("port {port} belongs to {holder}");
                    let path = format!("{}.port", listener.path);
                    listener.refuse(Remark::error(PORT_UNAVAILABLE, &path, message, "use another port or address"));
                }
                None => {
                    let claims = self.0.entry(port).or_default();
                    if !claims.iter().any(|(holder, _)| holder == gateway) {
                        claims.push((gateway.clone(), addresses.to_vec()));
                    }
                }
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
