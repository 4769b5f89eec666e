// SPDX-License-Identifier: Apache-2.0
//! How connections to a backend's endpoints are opened and when they end, where somebody wants that otherwise than usual.
//! Opens none.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::authority::Authority;
use crate::target::Invalid;

/// What a backend's connections are like; all of it absent is as usual.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ConnectionPolicy {
    /// The first bytes say who the client is. Such a connection carries requests of one client's connection only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<ProxyProtocol>,
    /// The endpoint is a proxy that is asked for another one. Of streams; requests go to the endpoint itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tunnel: Option<Tunnel>,
    /// Whether the system probes connections on which nothing moves; `None`: it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keepalive: Option<Keepalive>,
    /// A connection that is so old takes no more requests. Streams last as long as they are used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longest: Option<Duration>,
    /// A stream on which nothing moves for so long is reset; `None`: its listener says how long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_idle: Option<Duration>,
    /// Of HTTP/2, streams on one connection at a time, if those are fewer than usual.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrent_streams: Option<NonZeroU32>,
}

impl ConnectionPolicy {
    /// Nothing is asked for.
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// Version of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProxyProtocol {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// What a proxy is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tunnel {
    /// `CONNECT` to this (RFC 9110 §9.3.6).
    Connect(Authority),
    /// Something that cannot be asked for: nothing is passed on.
    Refused(Invalid),
}

/// What of TCP's keepalive is not as the system has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Keepalive {
    /// Without an answer to so many probes the connection is dead.
    pub probes: Option<NonZeroU32>,
    /// Idle before the first.
    pub time: Option<Duration>,
    /// Between two.
    pub interval: Option<Duration>,
}
