// SPDX-License-Identifier: Apache-2.0
//! Rules: which requests, what is done to them, where they go.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::atom::{HeaderName, Method};
use crate::filter::Filter;
use crate::host::HostPattern;
use crate::key::{ListenerKey, RuleKey};
use crate::pattern::Regex;
use crate::session::Session;
use crate::target::{Invalid, Target};

/// One rule of a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Which rule.
    pub key: RuleKey,
    /// The rule's `name`, if it has one.
    pub name: Option<String>,
    /// Creation time of the route, seconds since 1970; older wins a tie. Standalone objects without one count as 0.
    pub created: i64,
    /// Listeners that serve the rule, each once.
    pub attachments: Vec<Attachment>,
    /// Alternatives; a request needs one of them. Never empty (translation writes the default `/` prefix).
    pub matches: Vec<RouteMatch>,
    /// Applied in order.
    pub filters: Vec<Filter>,
    /// Where requests go.
    pub action: Action,
    /// Deadlines.
    pub timeouts: Timeouts,
    /// When a request is tried again. `None`: only where nothing can have reached an endpoint.
    pub retry: Option<Retry>,
    /// Whether a client comes back to the endpoint that it came to before.
    pub session: Option<Session>,
}

/// Where a rule is served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The listener.
    pub listener: ListenerKey,
    /// The route's **own** hostnames (not their intersection with the listener): they decide precedence
    /// (`GatewayRouteHostnameIntersectionPrecedence`). `[Any]` when the route names none. Only those that intersect the
    /// listener's hostname are here.
    pub hostnames: Vec<HostPattern>,
}

/// What happens to a matched request, unless a filter answers first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Forward to one of these, chosen by weight. Every weight 0 or an empty list answers 500 ([`Invalid`] says why).
    Forward(Vec<WeightedBackend>),
    /// The rule itself cannot be honoured (unsupported filter, bad regex …): every request gets 500.
    Invalid(Invalid),
}

/// One entry of `backendRefs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightedBackend {
    /// Where to.
    pub target: Target,
    /// Share of requests; 0 gets none.
    pub weight: u32,
    /// Filters of this entry, after those of the rule.
    pub filters: Vec<Filter>,
}

/// One alternative of a rule; every part that is given must match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteMatch {
    /// On the canonical path.
    pub path: PathMatch,
    /// Exact method.
    pub method: Option<Method>,
    /// Fields; the first value of a name is not special: a field matches if the joined value does.
    pub headers: Vec<FieldMatch<HeaderName>>,
    /// Query parameters, names case-sensitive, first occurrence counts.
    pub query: Vec<FieldMatch<String>>,
}

/// How a path is matched. Precedence: exact, then regular expression (longer source first), then longer prefix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PathMatch {
    /// The whole path, byte for byte.
    Exact(String),
    /// By path element, without a trailing slash; `""` is every path. `/a` matches `/a`, `/a/` and `/a/b`, not `/ab`.
    Prefix(String),
    /// The whole path.
    Regex(Regex),
}

/// A named field and what its value must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldMatch<N> {
    /// Name of the header or parameter.
    pub name: N,
    /// Its value.
    pub value: TextMatch,
}

/// How a value is matched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TextMatch {
    /// Byte for byte.
    Exact(String),
    /// The whole value.
    Regex(Regex),
}

impl TextMatch {
    /// Whether `text` matches.
    pub fn is_match(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == text,
            Self::Regex(regex) => regex.is_match(text),
        }
    }
}

/// `HTTPRouteTimeouts`; `None` is no deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Timeouts {
    /// From the request's head to the last byte of the response, retries included.
    pub request: Option<Duration>,
    /// One try.
    pub backend_request: Option<Duration>,
}

/// `HTTPRouteRetry`: when a request is tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// Statuses (400 to 599) of answers that are not passed on while another try is left. Empty: only what was never
    /// processed is tried again.
    pub codes: BTreeSet<u16>,
    /// Tries after the first, whatever each of them is for. 0 allows none, not even on another endpoint than one that
    /// cannot be reached.
    pub attempts: u32,
    /// Least wait before such a try; `None`: the data plane's own.
    pub backoff: Option<Duration>,
}
