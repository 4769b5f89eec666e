// SPDX-License-Identifier: Apache-2.0
//! What a DestinationRule says of single connections to endpoints: how they begin, how long they last, what else they go
//! through. Never how many there may be.

use std::num::NonZeroU32;
use std::time::Duration;

use torana_crds::istio::connection_pool::{ConnectionPool, TcpKeepalive};
use torana_crds::istio::destination_rule::{self, ProxyProtocolVersion, TunnelProtocol};
use torana_ir::{Authority, ConnectionPolicy, Invalid, Keepalive, ProxyProtocol, Tunnel};

use crate::translate::destination_rules::Blocks;
use crate::translate::servers::UNSUPPORTED;

/// As long as anything is kept.
pub(super) const FOR_EVER: Duration = Duration::from_hours(24 * 365);

/// What these blocks ask for.
pub(super) fn policy(blocks: &Blocks<'_>) -> ConnectionPolicy {
    let mut policy = blocks.pool.map(pooled).unwrap_or_default();
    policy.proxy_protocol = blocks.proxy_protocol.map(|written| match written.version {
        ProxyProtocolVersion::V1 => ProxyProtocol::V1,
        ProxyProtocolVersion::V2 => ProxyProtocol::V2,
    });
    policy.tunnel = blocks.tunnel.map(tunnel);
    policy
}

fn pooled(pool: &ConnectionPool) -> ConnectionPolicy {
    let tcp = pool.tcp.as_ref();
    ConnectionPolicy {
        keepalive: tcp.and_then(|tcp| tcp.tcp_keepalive.as_ref()).map(keepalive),
        longest: tcp.and_then(|tcp| tcp.max_connection_duration).filter(|longest| !longest.is_zero()),
        stream_idle: tcp.and_then(|tcp| tcp.idle_timeout).map(|idle| if idle.is_zero() { FOR_EVER } else { idle }),
        concurrent_streams: pool.http.as_ref().and_then(|http| http.max_concurrent_streams).and_then(NonZeroU32::new),
        ..ConnectionPolicy::default()
    }
}

fn keepalive(written: &TcpKeepalive) -> Keepalive {
    // The system counts seconds.
    let seconds = |time: Option<Duration>| time.map(|time| time.max(Duration::from_secs(1)));
    Keepalive {
        probes: written.probes.and_then(NonZeroU32::new),
        time: seconds(written.time),
        interval: seconds(written.interval),
    }
}

fn tunnel(written: &destination_rule::Tunnel) -> Tunnel {
    let refused = |message: &str| Tunnel::Refused(Invalid { reason: UNSUPPORTED.into(), message: message.to_owned() });
    if written.protocol == TunnelProtocol::Post {
        return refused("the DestinationRule asks for a tunnel by POST, which Torana does not speak");
    }
    let is_ipv6 = written.target_host.parse::<std::net::Ipv6Addr>().is_ok();
    let host = if is_ipv6 { format!("[{}]", written.target_host) } else { written.target_host.clone() };
    Authority::new(&format!("{host}:{}", written.target_port))
        .map_or_else(|_| refused("the DestinationRule asks for a tunnel to what is no host"), Tunnel::Connect)
}
