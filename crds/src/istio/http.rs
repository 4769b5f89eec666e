// SPDX-License-Identifier: Apache-2.0
//! `HTTPRoute` of a VirtualService: what a rule matches and where it sends. What else it does to requests is in
//! [`http_policy`](crate::istio::http_policy). Never compares two rules.

use std::iter;

use serde::Deserialize;

use crate::istio::fault::Fault;
use crate::istio::http_policy::{CorsPolicy, DirectResponse, Redirect, Retries, Rewrite};
use crate::istio::matching::{self, HeaderMatch, QueryMatches, StringMatch};
use crate::istio::names::{Destination, GatewayName};
use crate::istio::scalars::{Percent, maybe_port, text};
use crate::istio::{MaybeDuration, duration};
use crate::meta::StringMap;

/// `HTTPRoute`. Of `route`, `redirect`, `direct_response` and `delegate` one says what becomes of requests.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRule {
    /// For people.
    #[serde(deserialize_with = "text")]
    pub name: Option<String>,
    /// Alternatives; empty: every request.
    #[serde(rename = "match")]
    pub matches: Vec<HttpMatch>,
    /// Where to.
    pub route: Vec<HttpDestination>,
    /// Answered with a redirect.
    pub redirect: Option<Redirect>,
    /// Answered with this.
    pub direct_response: Option<DirectResponse>,
    /// Decided by another VirtualService.
    pub delegate: Option<Delegate>,
    /// What is sent on instead of path and host.
    pub rewrite: Option<Rewrite>,
    /// The whole request with all tries; `None`: for ever.
    #[serde(deserialize_with = "duration::optional")]
    pub timeout: MaybeDuration,
    /// Tries; `None`: what the mesh says.
    pub retries: Option<Retries>,
    /// Delays and failures on purpose.
    pub fault: Option<Fault>,
    /// Where copies go; see [`shadows`](Self::shadows).
    pub mirror: Option<Destination>,
    /// Share of requests that `mirror` gets.
    pub mirror_percentage: Option<Percent>,
    /// The same as a whole number, deprecated: without `mirror_percentage` Istio still obeys it.
    #[serde(alias = "mirror_percent")]
    pub mirror_percent: Option<u32>,
    /// Where further copies go; excludes `mirror`.
    pub mirrors: Vec<Mirror>,
    /// Cross-origin requests.
    pub cors_policy: Option<CorsPolicy>,
    /// Changes of header fields.
    pub headers: Headers,
}

impl HttpRule {
    /// Where copies of requests go, and of which share of them.
    pub fn shadows(&self) -> impl Iterator<Item = (&Destination, Percent)> {
        let share = self.mirror_percentage.or_else(|| self.mirror_percent.map(Percent::whole));
        let single = self.mirror.iter().zip(iter::repeat(share.unwrap_or(Percent::ALL)));
        single.chain(self.mirrors.iter().map(|mirror| (&mirror.destination, mirror.percentage.unwrap_or(Percent::ALL))))
    }
}

/// `HTTPMatchRequest`: all parts must match.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpMatch {
    /// For people.
    #[serde(deserialize_with = "text")]
    pub name: Option<String>,
    /// The path without its query.
    pub uri: Option<StringMatch>,
    /// Of an exact or prefix match of `uri`.
    pub ignore_uri_case: bool,
    /// `http` or `https`.
    pub scheme: Option<StringMatch>,
    /// The method.
    pub method: Option<StringMatch>,
    /// The host with its port, as received.
    pub authority: Option<StringMatch>,
    /// All of them.
    #[serde(deserialize_with = "matching::headers")]
    pub headers: Vec<HeaderMatch>,
    /// None of them.
    #[serde(deserialize_with = "matching::headers")]
    pub without_headers: Vec<HeaderMatch>,
    /// All of them; of a repeated parameter its first value.
    #[serde(rename = "queryParams", deserialize_with = "matching::query")]
    pub query: QueryMatches,
    /// Port of the server.
    #[serde(deserialize_with = "maybe_port")]
    pub port: Option<u16>,
    /// Instead of those of the VirtualService.
    pub gateways: Vec<GatewayName>,
    /// Labels that the proxy itself must have.
    pub source_labels: StringMap,
    /// The namespace that the proxy itself must be in.
    #[serde(deserialize_with = "text")]
    pub source_namespace: Option<String>,
    /// How statistics of the rule begin.
    #[serde(deserialize_with = "text")]
    pub stat_prefix: Option<String>,
}

/// `HTTPRouteDestination`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct HttpDestination {
    /// Where to.
    pub destination: Destination,
    /// Share among the entries; a single entry takes all.
    #[serde(default)]
    pub weight: u32,
    /// Changes of header fields, before those of the rule.
    #[serde(default)]
    pub headers: Headers,
}

/// `Headers`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Headers {
    /// Of requests.
    pub request: HeaderOperations,
    /// Of responses.
    pub response: HeaderOperations,
}

/// `HeaderOperations`. Values may hold `%VARIABLES%`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct HeaderOperations {
    /// Overwrites.
    pub set: StringMap,
    /// Appends.
    pub add: StringMap,
    /// Names of fields that go.
    pub remove: Vec<String>,
}

/// `Delegate`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Delegate {
    /// Name of the VirtualService.
    pub name: String,
    /// Its namespace; `None`: that of the one that delegates.
    #[serde(deserialize_with = "text")]
    pub namespace: Option<String>,
}

/// `HTTPMirrorPolicy`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Mirror {
    /// Where copies go.
    pub destination: Destination,
    /// Of which share; `None`: all.
    pub percentage: Option<Percent>,
}
