// SPDX-License-Identifier: Apache-2.0
//! Listeners that cannot be told apart, and ports that are taken.
//!
//! * Indistinct listeners of one object: all of them are Conflicted, none wins (`GatewaySpec.listeners`, "Handling
//!   indistinct Listeners").
//! * A ListenerSet's listener against one of higher precedence: only the lower one loses (`ListenerSetSpec.listeners`),
//!   and takes none of its own object's listeners along.
//! * Two Gateways: the older has the port, on every address that both have.
//!
//! Listeners may share a port if their clients begin in the same way and name a host: HTTP; or HTTPS and TLS of either
//! mode, told apart by the server name. TCP and UDP listeners have their port alone, but a TCP port and a UDP port of one
//! number are two ports. Listeners of a protocol that is not known take part in nothing. Never looks at what else is
//! wrong with a listener.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use torana_crds::gateway::ProtocolType;
use torana_ir::{GatewayId, HostPattern, Transport};

use crate::report::Remark;
use crate::report::conditions::listener::{HOSTNAME_CONFLICT, PORT_UNAVAILABLE, PROTOCOL_CONFLICT};
use crate::translate::listeners::ListenerDraft;

/// Marks conflicts among the listeners of one Gateway and its ListenerSets, which come in order of precedence, each
/// object's listeners together. A listener that loses to one of higher precedence is nobody's rival any more.
pub(super) fn mark(listeners: &mut [ListenerDraft<'_>]) {
    let mut above = Index::default();
    let mut begin = 0;
    while let Some(first) = listeners.get(begin) {
        let size = listeners[begin..].iter().take_while(|listener| listener.owner == first.owner).count();
        let object = begin..begin + size;
        let mut own = Index::default();
        for at in object.clone() {
            let conflict = above.conflict(listeners, at);
            if conflict.is_none() {
                own.add(listeners, at);
            }
            listeners[at].conflict = conflict;
        }
        for at in object.clone().filter(|at| listeners[*at].conflict.is_none()).collect::<Vec<_>>() {
            listeners[at].conflict = own.conflict(listeners, at);
        }
        above.merge(own);
        begin = object.end;
    }
}

/// Positions of listeners, in order of precedence.
type Positions = Vec<usize>;

/// Listeners of known protocols, by what tells them apart.
#[derive(Debug, Default)]
struct Index {
    hosts: BTreeMap<Distinction, Positions>,
    beginnings: BTreeMap<Socket, Positions>,
}

/// What the bytes of a port are.
type Socket = (u16, Beginning);

/// What must differ (`GatewaySpec.listeners`, "Distinct Listeners").
type Distinction = (u16, Beginning, HostPattern);

/// How a client begins: two listeners that differ in it cannot share a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Beginning {
    /// With a request.
    Http,
    /// With a TLS handshake.
    Tls,
    /// With anything.
    Tcp,
    /// With a datagram.
    Udp,
}

impl Beginning {
    /// Those that share the sockets of TCP.
    const OF_CONNECTIONS: [Self; 3] = [Self::Http, Self::Tls, Self::Tcp];

    fn of(protocol: &ProtocolType) -> Option<Self> {
        match protocol {
            ProtocolType::Http => Some(Self::Http),
            ProtocolType::Https | ProtocolType::Tls => Some(Self::Tls),
            ProtocolType::Tcp => Some(Self::Tcp),
            ProtocolType::Udp => Some(Self::Udp),
            ProtocolType::Other(_) => None,
        }
    }

    /// The reason if two listeners that begin so are alike in port and hostname.
    fn conflict(self) -> &'static str {
        match self {
            Self::Http | Self::Tls => HOSTNAME_CONFLICT,
            // They name no host: one port, one listener.
            Self::Tcp | Self::Udp => PROTOCOL_CONFLICT,
        }
    }

    /// Whose bytes would come in by the same socket.
    fn rivals(self) -> impl Iterator<Item = Self> {
        let all = Self::OF_CONNECTIONS.into_iter().filter(move |_| self != Self::Udp);
        all.filter(move |other| *other != self)
    }
}

impl Index {
    fn add(&mut self, listeners: &[ListenerDraft<'_>], at: usize) {
        let listener = &listeners[at];
        let Some(beginning) = Beginning::of(&listener.spec.protocol) else { return };
        let port = listener.spec.port;
        self.beginnings.entry((port, beginning)).or_default().push(at);
        if let Some(host) = &listener.hostname {
            self.hosts.entry((port, beginning, host.clone())).or_default().push(at);
        }
    }

    fn merge(&mut self, lower: Self) {
        lower.hosts.into_iter().for_each(|(key, positions)| self.hosts.entry(key).or_default().extend(positions));
        let beginnings = lower.beginnings.into_iter();
        beginnings.for_each(|(key, positions)| self.beginnings.entry(key).or_default().extend(positions));
    }

    /// The first listener that the one `at` cannot be told apart from.
    fn conflict(&self, listeners: &[ListenerDraft<'_>], at: usize) -> Option<Remark> {
        let listener = listeners.get(at)?;
        let (port, own) = (listener.spec.port, Beginning::of(&listener.spec.protocol)?);
        let rival = |rivals: Option<&Positions>| listeners.get(*rivals?.iter().find(|other| **other != at)?);
        if let Some(host) = &listener.hostname
            && let Some(rival) = rival(self.hosts.get(&(port, own, host.clone())))
        {
            return Some(describe(listener, rival, own.conflict()));
        }
        let rival = own.rivals().find_map(|other| rival(self.beginnings.get(&(port, other))))?;
        Some(describe(listener, rival, PROTOCOL_CONFLICT))
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
pub(super) struct Ports(BTreeMap<Port, Vec<Claim>>);

type Port = (u16, Transport);

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
            let (port, transport) = (listener.spec.port, listener.transport());
            let taken = reserved
                .iter()
                .filter(|_| transport == Transport::Tcp)
                .find(|(socket, _)| socket.port() == port && overlap(addresses, &[socket.ip()]))
                .map(|(socket, purpose)| format!("{purpose} ({socket})"));
            let taken = taken.or_else(|| {
                let holder = self.holder(gateway, (port, transport), addresses)?;
                Some(format!("the older Gateway {holder}"))
            });
            if let Some(holder) = taken {
                let message = format!("port {port} belongs to {holder}");
                let path = format!("{}.port", listener.path);
                listener.refuse(Remark::error(PORT_UNAVAILABLE, &path, message, "use another port or address"));
                continue;
            }
            let claims = self.0.entry((port, transport)).or_default();
            if !claims.iter().any(|(holder, _)| holder == gateway) {
                claims.push((gateway.clone(), addresses.to_vec()));
            }
        }
    }

    fn holder(&self, gateway: &GatewayId, port: Port, addresses: &[IpAddr]) -> Option<&GatewayId> {
        let claims = self.0.get(&port)?;
        claims.iter().find(|(holder, theirs)| holder != gateway && overlap(addresses, theirs)).map(|(holder, _)| holder)
    }
}

fn overlap(one: &[IpAddr], two: &[IpAddr]) -> bool {
    let everywhere = |addresses: &[IpAddr]| addresses.is_empty() || addresses.iter().any(IpAddr::is_unspecified);
    everywhere(one) || everywhere(two) || one.iter().any(|address| two.contains(address))
}
