// SPDX-License-Identifier: Apache-2.0
//! Rules: which requests, what is done to them, where they go.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::atom::{HeaderName, Method};
use crate::exact::exact;
use crate::filter::Filter;
use crate::host::HostPattern;
use crate::key::{ListenerKey, RuleKey};
use crate::pattern::Regex;
use crate::percent::Share;
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
    #[serde(deserialize_with = "exact")]
    pub attachments: Vec<Attachment>,
    /// Alternatives; a request needs one of them. Never empty (translation writes the default `/` prefix).
    #[serde(deserialize_with = "exact")]
    pub matches: Vec<RouteMatch>,
    /// Applied in order.
    #[serde(deserialize_with = "exact")]
    pub filters: Vec<Filter>,
    /// Where requests go.
    pub action: Action,
    /// Deadlines.
    pub timeouts: Timeouts,
    /// When a request is tried again. `None`: only where nothing can have reached an endpoint.
    pub retry: Option<Retry>,
    /// Whether a client comes back to the endpoint that it came to before.
    pub session: Option<Session>,
    /// How it ranks among the others of a host.
    #[serde(default, skip_serializing_if = "is_specific")]
    pub order: Order,
    /// So many of its requests are traced, where its listener traces any, in place of what the listener says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampling: Option<Share>,
}

impl Rule {
    /// Whether fields of requests or responses are made anew for each, by the rule or by a backend reference.
    pub fn makes_fields(&self) -> bool {
        let makes = |filter: &Filter| match filter {
            Filter::RequestHeaders(edit) | Filter::ResponseHeaders(edit) => !edit.made.is_empty(),
            _ => false,
        };
        let of_entries = match &self.action {
            Action::Forward(entries) => entries.as_slice(),
            Action::Invalid(_) => &[],
        };
        self.filters.iter().chain(of_entries.iter().flat_map(|entry| &entry.filters)).any(makes)
    }
}

/// How a rule ranks among the others that serve a host on a listener.
///
/// A request is first looked for among the rules [by what they ask for](Order::Specific), over all hostnames that cover its
/// host; if none of them matches, among the rules [in their order](Order::Written) of the **one** most specific hostname
/// that any of these has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum Order {
    /// By what its matches ask for (Gateway API, `HTTPRouteRule.matches`).
    #[default]
    Specific,
    /// As it was written (Istio, VirtualService): the first that matches. Of several objects the one of lower `rank` goes
    /// before, then the oldest, then by name, then by namespace; within one the rules in order. Matches that take every
    /// request go behind all others ([`RouteMatch::takes_all`]), but for those of rank 0.
    Written {
        /// 0: a Gateway that redirects to https. Of VirtualServices 1: seen in the proxy's namespace alone; 2: exported to
        /// it; 3: seen everywhere.
        rank: u8,
        /// Of several servers that share a listener the earlier one's go first, before rank.
        #[serde(default, skip_serializing_if = "is_zero")]
        server: u16,
    },
}

/// Where a rule is served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The listener.
    pub listener: ListenerKey,
    /// The route's **own** hostnames (not their intersection with the listener): they decide precedence
    /// (`GatewayRouteHostnameIntersectionPrecedence`). `[Any]` when the route names none. Only those that intersect the
    /// listener's hostname are here.
    #[serde(deserialize_with = "exact")]
    pub hostnames: Vec<HostPattern>,
}

/// What happens to a matched request, unless a filter answers first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Forward to one of these, chosen by weight. Every weight 0 or an empty list answers 500 ([`Invalid`] says why).
    Forward(#[serde(deserialize_with = "exact")] Vec<WeightedBackend>),
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
    #[serde(deserialize_with = "exact")]
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
    /// Parts of the request's line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub line: Vec<LineMatch>,
    /// Claims of the token that was verified, by their paths: a text, or a list with one that matches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<FieldMatch<Vec<String>>>,
}

impl RouteMatch {
    /// Asks for a path and nothing else.
    pub fn of(path: PathMatch) -> Self {
        Self { path, method: None, headers: Vec::new(), query: Vec::new(), line: Vec::new(), claims: Vec::new() }
    }

    /// Whether no request is asked for anything, as Istio judges it: of rules that keep their order, one with such a match
    /// goes behind the others of its host. A method, a scheme or an authority that is asked for is a header there.
    pub fn takes_all(&self) -> bool {
        let every_path = match &self.path {
            PathMatch::Prefix(prefix) => prefix.is_empty(),
            PathMatch::Text { text, .. } => text.as_str() == "/",
            PathMatch::Regex(regex) => regex.as_str() == ".*",
            PathMatch::Exact(_) | PathMatch::ExactAnyCase(_) => false,
        };
        let asks = self.method.is_some()
            || !self.headers.is_empty()
            || !self.query.is_empty()
            || !self.line.is_empty()
            || !self.claims.is_empty();
        every_path && !asks
    }
}

/// A part of the request's line and what it must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineMatch {
    /// Which part.
    pub part: LinePart,
    /// What it must be.
    pub value: TextMatch,
    /// It must not be that.
    #[serde(default, skip_serializing_if = "is_false")]
    pub inverted: bool,
}

/// A part of the request's line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LinePart {
    /// The method, case-sensitive.
    Method,
    /// `http` or `https`: how the client reached the listener.
    Scheme,
    /// The host with its port as received.
    Authority,
    /// The canonical path with the query.
    Path,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(it: &bool) -> bool {
    !it
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u16) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_true(it: &bool) -> bool {
    *it
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_specific(order: &Order) -> bool {
    *order == Order::Specific
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
    /// How the path begins, not by element: `/foo` matches `/foobar` (Istio, `HTTPMatchRequest.uri.prefix`). Only for rules
    /// that keep their order.
    Text {
        /// In lower case if case does not count.
        text: String,
        /// ASCII letters of either case are the same.
        any_case: bool,
    },
    /// The whole path, in lower case; ASCII letters of either case are the same. Only for rules that keep their order.
    ExactAnyCase(String),
}

/// A named field and what its value must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldMatch<N> {
    /// Name of the header or parameter.
    pub name: N,
    /// Its value. Where there is no such field it does not match.
    pub value: TextMatch,
    /// It must not match (`withoutHeaders`). A field that is absent is as an empty one here, but for
    /// [`TextMatch::Present`].
    #[serde(default, skip_serializing_if = "is_false")]
    pub inverted: bool,
}

impl<N> FieldMatch<N> {
    /// `name` must have that `value`.
    pub fn new(name: N, value: TextMatch) -> Self {
        Self { name, value, inverted: false }
    }
}

/// How a value is matched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TextMatch {
    /// Byte for byte.
    Exact(String),
    /// How it begins, byte for byte.
    Prefix(String),
    /// The whole value.
    Regex(Regex),
    /// Any, if only there is one.
    Present,
}

impl TextMatch {
    /// Whether `text` matches.
    pub fn is_match(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == text,
            Self::Prefix(prefix) => text.starts_with(prefix.as_str()),
            Self::Regex(regex) => regex.is_match(text),
            Self::Present => true,
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

/// When a request is tried again (`HTTPRouteRetry`, `HTTPRetry`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// Statuses (400 to 599) of answers that are not passed on while another try is left.
    pub codes: BTreeSet<u16>,
    /// gRPC statuses of answers without a body, and so in their head, that are not passed on either.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub grpc: BTreeSet<u8>,
    /// A header of answers that are not passed on either (`envoy-ratelimited`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<HeaderName>,
    /// What got no answer is tried again, too: the connection broke, or the try took too long. It may have been processed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub unanswered: bool,
    /// What was never processed is tried again: no connection came about, or the endpoint refused the stream.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub unsent: bool,
    /// Tries after the first, whatever each of them is for. 0 allows none, not even on another endpoint than one that
    /// cannot be reached.
    pub attempts: u32,
    /// Least wait before such a try; `None`: the data plane's own.
    pub backoff: Option<Duration>,
    /// A further try may go to an endpoint that has failed this request (`retryIgnorePreviousHosts: false`).
    #[serde(default, skip_serializing_if = "is_false")]
    pub anywhere: bool,
}

impl Retry {
    /// So many further tries, only for what was never processed.
    pub fn new(attempts: u32) -> Self {
        Self {
            codes: BTreeSet::new(),
            grpc: BTreeSet::new(),
            header: None,
            unanswered: false,
            unsent: true,
            attempts,
            backoff: None,
            anywhere: false,
        }
    }
}
