// SPDX-License-Identifier: Apache-2.0
//! HTTPRoute, GRPCRoute, TLSRoute, TCPRoute, UDPRoute. Matches are texts here: nothing is compiled or judged.

use std::time::Duration;

use serde::Deserialize;

use crate::duration;
use crate::filter::{BackendRef, Filter};
use crate::gateway::DefaultScope;
use crate::meta::ObjectMeta;
use crate::refs::ParentRef;

/// `gateway.networking.k8s.io/v1` HTTPRoute.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct HttpRoute {
    /// Metadata.
    #[serde(rename = "metadata")]
    pub meta: ObjectMeta,
    /// Spec.
    #[serde(default)]
    pub spec: HttpRouteSpec,
}

/// `HTTPRouteSpec`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRouteSpec {
    /// What it attaches to.
    #[serde(rename = "parentRefs")]
    pub parents: Vec<ParentRef>,
    /// Attaches to default Gateways too (experimental channel).
    pub use_default_gateways: Option<DefaultScope>,
    /// Empty: every host.
    pub hostnames: Vec<String>,
    /// Absent: one rule that matches everything and forwards nowhere.
    pub rules: Vec<HttpRule>,
}

impl Default for HttpRouteSpec {
    fn default() -> Self {
        let rules = vec![HttpRule::default()];
        Self { parents: Vec::new(), use_default_gateways: None, hostnames: Vec::new(), rules }
    }
}

/// `HTTPRouteRule`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRule {
    /// Unique within the route.
    pub name: Option<String>,
    /// Alternatives. Absent: the prefix `/`. Written as `[]` it stays empty and means the same.
    pub matches: Vec<HttpMatch>,
    /// Filters.
    pub filters: Vec<Filter>,
    /// Where to.
    #[serde(rename = "backendRefs")]
    pub backends: Vec<BackendRef>,
    /// Deadlines.
    pub timeouts: RouteTimeouts,
    /// Retries.
    pub retry: Option<Retry>,
    /// Session affinity (experimental channel).
    pub session_persistence: Option<SessionPersistence>,
}

impl Default for HttpRule {
    fn default() -> Self {
        Self {
            name: None,
            matches: vec![HttpMatch::default()],
            filters: Vec::new(),
            backends: Vec::new(),
            timeouts: RouteTimeouts::default(),
            retry: None,
            session_persistence: None,
        }
    }
}

/// `HTTPRouteMatch`: all parts must match.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpMatch {
    /// Default: prefix `/`.
    pub path: PathMatch,
    /// Headers; of two entries of one name (case-insensitive) only the first counts.
    pub headers: Vec<FieldMatch>,
    /// Query parameters; of two entries of one name only the first counts.
    #[serde(rename = "queryParams")]
    pub query: Vec<FieldMatch>,
    /// Exact method.
    pub method: Option<String>,
}

/// `HTTPPathMatch`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PathMatch {
    /// Default [`PathMatchType::PathPrefix`].
    #[serde(rename = "type")]
    pub match_type: PathMatchType,
    /// Default `/`.
    pub value: String,
}

impl Default for PathMatch {
    fn default() -> Self {
        Self { match_type: PathMatchType::PathPrefix, value: "/".to_owned() }
    }
}

/// `PathMatchType`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub enum PathMatchType {
    /// The whole path, case-sensitive.
    Exact,
    /// By path element.
    PathPrefix,
    /// Implementation-specific syntax.
    RegularExpression,
    /// Not a value of this version.
    #[serde(untagged)]
    Other(String),
}

/// `HTTPHeaderMatch`, `HTTPQueryParamMatch`, `GRPCHeaderMatch`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct FieldMatch {
    /// Default exact.
    #[serde(rename = "type", default)]
    pub match_type: TextMatchType,
    /// Name.
    pub name: String,
    /// Value or expression.
    pub value: String,
}

/// How a text is matched.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub enum TextMatchType {
    /// Equal.
    #[default]
    Exact,
    /// Implementation-specific syntax.
    RegularExpression,
    /// Not a value of this version.
    #[serde(untagged)]
    Other(String),
}

/// `HTTPRouteTimeouts`. `0s` in the text means no deadline and is [`Duration::ZERO`] here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteTimeouts {
    /// The whole exchange with the client.
    #[serde(deserialize_with = "duration::optional")]
    pub request: Option<Duration>,
    /// One try.
    #[serde(deserialize_with = "duration::optional")]
    pub backend_request: Option<Duration>,
}

/// `HTTPRouteRetry`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Retry {
    /// Response codes that are retried.
    pub codes: Vec<u16>,
    /// Tries after the first; default 1, 0 disables.
    pub attempts: u32,
    /// Base interval between tries.
    #[serde(deserialize_with = "duration::optional")]
    pub backoff: Option<Duration>,
}

impl Default for Retry {
    fn default() -> Self {
        Self { codes: Vec::new(), attempts: 1, backoff: None }
    }
}

/// `SessionPersistence` (experimental channel).
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SessionPersistence {
    /// The session ends after this.
    #[serde(deserialize_with = "duration::optional")]
    pub absolute_timeout: Option<Duration>,
    /// Default cookie.
    #[serde(rename = "type")]
    pub persistence_type: SessionPersistenceType,
    /// For cookies.
    pub cookie: Option<SessionCookie>,
    /// For headers.
    pub header: Option<SessionHeader>,
}

/// `SessionPersistenceType`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub enum SessionPersistenceType {
    /// A cookie.
    #[default]
    Cookie,
    /// A header.
    Header,
    /// Not a value of this version.
    #[serde(untagged)]
    Other(String),
}

/// `CookieConfig`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SessionCookie {
    /// `None`: the implementation makes one up.
    pub name: Option<String>,
    /// `None`: `/`.
    pub path: Option<String>,
    /// Default session.
    pub lifetime_type: CookieLifetime,
}

/// `CookieLifetimeType`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub enum CookieLifetime {
    /// Deleted when the browser's session ends.
    #[default]
    Session,
    /// Kept for `absoluteTimeout`.
    Permanent,
    /// Not a value of this version.
    #[serde(untagged)]
    Other(String),
}

/// `HeaderConfig`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SessionHeader {
    /// Name of the header.
    pub name: String,
}

/// `gateway.networking.k8s.io/v1` GRPCRoute.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct GrpcRoute {
    /// Metadata.
    #[serde(rename = "metadata")]
    pub meta: ObjectMeta,
    /// Spec.
    #[serde(default)]
    pub spec: GrpcRouteSpec,
}

/// `GRPCRouteSpec`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GrpcRouteSpec {
    /// What it attaches to.
    #[serde(rename = "parentRefs")]
    pub parents: Vec<ParentRef>,
    /// Attaches to default Gateways too (experimental channel).
    pub use_default_gateways: Option<DefaultScope>,
    /// Empty: every host.
    pub hostnames: Vec<String>,
    /// Rules; may be empty.
    pub rules: Vec<GrpcRule>,
}

/// `GRPCRouteRule`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GrpcRule {
    /// Unique within the route.
    pub name: Option<String>,
    /// Alternatives; empty: every request.
    pub matches: Vec<GrpcMatch>,
    /// Filters.
    pub filters: Vec<Filter>,
    /// Where to.
    #[serde(rename = "backendRefs")]
    pub backends: Vec<BackendRef>,
    /// Session affinity (experimental channel).
    pub session_persistence: Option<SessionPersistence>,
}

/// `GRPCRouteMatch`: both parts must match.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct GrpcMatch {
    /// `None`: every method.
    pub method: Option<GrpcMethodMatch>,
    /// Headers; of two entries of one name only the first counts.
    pub headers: Vec<FieldMatch>,
}

/// `GRPCMethodMatch`: at least one of service and method.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct GrpcMethodMatch {
    /// Default exact.
    #[serde(rename = "type")]
    pub match_type: TextMatchType,
    /// `None`: every service.
    pub service: Option<String>,
    /// `None`: every method.
    pub method: Option<String>,
}

/// `gateway.networking.k8s.io/v1` TLSRoute.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TlsRoute {
    /// Metadata.
    #[serde(rename = "metadata")]
    pub meta: ObjectMeta,
    /// Spec.
    pub spec: TlsRouteSpec,
}

/// `TLSRouteSpec`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsRouteSpec {
    /// What it attaches to.
    #[serde(rename = "parentRefs", default)]
    pub parents: Vec<ParentRef>,
    /// Attaches to default Gateways too (experimental channel).
    pub use_default_gateways: Option<DefaultScope>,
    /// Server names.
    #[serde(default)]
    pub hostnames: Vec<String>,
    /// Rules.
    pub rules: Vec<StreamRule>,
}

/// `gateway.networking.k8s.io/v1` TCPRoute.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TcpRoute {
    /// Metadata.
    #[serde(rename = "metadata")]
    pub meta: ObjectMeta,
    /// Spec.
    pub spec: StreamRouteSpec,
}

/// `gateway.networking.k8s.io/v1` UDPRoute.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct UdpRoute {
    /// Metadata.
    #[serde(rename = "metadata")]
    pub meta: ObjectMeta,
    /// Spec.
    pub spec: StreamRouteSpec,
}

/// `TCPRouteSpec` and `UDPRouteSpec`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamRouteSpec {
    /// What it attaches to.
    #[serde(rename = "parentRefs", default)]
    pub parents: Vec<ParentRef>,
    /// Attaches to default Gateways too (experimental channel).
    pub use_default_gateways: Option<DefaultScope>,
    /// Rules.
    pub rules: Vec<StreamRule>,
}

/// `TLSRouteRule`, `TCPRouteRule`, `UDPRouteRule`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct StreamRule {
    /// Unique within the route.
    pub name: Option<String>,
    /// Where to.
    #[serde(rename = "backendRefs", default)]
    pub backends: Vec<BackendRef>,
}
