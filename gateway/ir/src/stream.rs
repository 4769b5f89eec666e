// SPDX-License-Identifier: Apache-2.0
//! Rules of streams: which connections and flows, and where they go. Nothing of a stream is read but the server name of
//! its TLS handshake, so a rule matches by listener and hostname only.

use serde::{Deserialize, Serialize};

use crate::exact::exact;
use crate::key::RuleKey;
use crate::rule::Attachment;
use crate::target::Target;

/// One rule of a TLSRoute, TCPRoute or UDPRoute.
///
/// Of several rules that fit a stream one serves, and the others get nothing: the one with the most specific of the
/// route's own hostnames (TLSRoute), then of the oldest route, then the first by namespace and name, then the first of
/// its route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamRule {
    /// Which rule. The kind of its route is none of requests.
    pub key: RuleKey,
    /// The rule's `name`, if it has one.
    pub name: Option<String>,
    /// Lower goes first, whatever its age: 0, but of VirtualServices as in [`Order::Written`](crate::Order::Written).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rank: u8,
    /// Creation time of the route, seconds since 1970; older wins. Standalone objects without one count as 0.
    pub created: i64,
    /// Listeners that serve the rule, each once. Hostnames are `[Any]` for a TCPRoute and a UDPRoute.
    #[serde(deserialize_with = "exact")]
    pub attachments: Vec<Attachment>,
    /// Where streams go, chosen by weight, once for each. Every weight 0 or an empty list: nowhere.
    #[serde(deserialize_with = "exact")]
    pub backends: Vec<StreamBackend>,
}

/// One entry of `backendRefs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamBackend {
    /// Where to. A stream whose turn falls on an invalid target is refused: a connection is reset, datagrams are dropped.
    pub target: Target,
    /// Share of streams; 0 gets none.
    pub weight: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(rank: &u8) -> bool {
    *rank == 0
}
