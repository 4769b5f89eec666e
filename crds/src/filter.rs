// SPDX-License-Identifier: Apache-2.0
//! Filters of every kind of route and listener, and `BackendRef`, which carries filters itself. Never judges whether a
//! filter may stand where it stands.

use std::time::Duration;

use serde::Deserialize;

use crate::kind::ObjectRef;
use crate::refs::{LocalRef, target};

fn service_kind() -> String {
    "Service".to_owned()
}

fn one() -> u32 {
    1
}

/// `BackendRef`, `HTTPBackendRef`, `GRPCBackendRef` and `BackendObjectReference`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct BackendRef {
    /// Default `""`, core.
    #[serde(default)]
    pub group: String,
    /// Default `Service`.
    #[serde(default = "service_kind")]
    pub kind: String,
    /// `None`: that of the referrer.
    pub namespace: Option<String>,
    /// Name of the backend.
    pub name: String,
    /// Required for a Service.
    pub port: Option<u16>,
    /// Share among the entries of a rule; default 1. Not read where the spec has no weight (mirrors, external auth).
    #[serde(default = "one")]
    pub weight: u32,
    /// HTTPRoute and GRPCRoute only.
    #[serde(default)]
    pub filters: Vec<Filter>,
}

impl BackendRef {
    /// The object meant, seen from namespace `local`.
    pub fn target(&self, local: &str) -> ObjectRef {
        target(&self.group, &self.kind, self.namespace.as_deref(), &self.name, local)
    }
}

/// `HTTPRouteFilter`, `GRPCRouteFilter`, `ListenerFilter`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "RawFilter")]
pub enum Filter {
    /// `RequestHeaderModifier`.
    RequestHeaderModifier(HeaderModifier),
    /// `ResponseHeaderModifier`.
    ResponseHeaderModifier(HeaderModifier),
    /// `RequestMirror`.
    RequestMirror(RequestMirror),
    /// `RequestRedirect`.
    RequestRedirect(RequestRedirect),
    /// `URLRewrite`.
    UrlRewrite(UrlRewrite),
    /// `CORS`.
    Cors(CorsPolicy),
    /// `ExternalAuth` (experimental channel).
    ExternalAuth(ExternalAuth),
    /// `ExtensionRef`: an implementation's own filter.
    ExtensionRef(LocalRef),
    /// A `type` that is not of this version: the rule must not be served as if the filter were absent.
    Unknown {
        /// The `type`.
        filter_type: String,
    },
    /// A known `type` without its part, or with the part of another type.
    Malformed {
        /// The `type`.
        filter_type: String,
        /// What is wrong, as one sentence.
        why: String,
    },
}

impl Filter {
    /// The filter's `type` as written.
    pub fn type_name(&self) -> &str {
        match self {
            Self::RequestHeaderModifier(_) => "RequestHeaderModifier",
            Self::ResponseHeaderModifier(_) => "ResponseHeaderModifier",
            Self::RequestMirror(_) => "RequestMirror",
            Self::RequestRedirect(_) => "RequestRedirect",
            Self::UrlRewrite(_) => "URLRewrite",
            Self::Cors(_) => "CORS",
            Self::ExternalAuth(_) => "ExternalAuth",
            Self::ExtensionRef(_) => "ExtensionRef",
            Self::Unknown { filter_type } | Self::Malformed { filter_type, .. } => filter_type,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawFilter {
    #[serde(rename = "type")]
    filter_type: String,
    request_header_modifier: Option<HeaderModifier>,
    response_header_modifier: Option<HeaderModifier>,
    request_mirror: Option<RequestMirror>,
    request_redirect: Option<RequestRedirect>,
    url_rewrite: Option<UrlRewrite>,
    cors: Option<CorsPolicy>,
    external_auth: Option<ExternalAuth>,
    extension_ref: Option<LocalRef>,
}

impl From<RawFilter> for Filter {
    fn from(raw: RawFilter) -> Self {
        let filter_type = raw.filter_type;
        let mut parts = Vec::with_capacity(1);
        parts.extend(raw.request_header_modifier.map(|it| ("requestHeaderModifier", Self::RequestHeaderModifier(it))));
        parts.extend(
            raw.response_header_modifier.map(|it| ("responseHeaderModifier", Self::ResponseHeaderModifier(it))),
        );
        parts.extend(raw.request_mirror.map(|it| ("requestMirror", Self::RequestMirror(it))));
        parts.extend(raw.request_redirect.map(|it| ("requestRedirect", Self::RequestRedirect(it))));
        parts.extend(raw.url_rewrite.map(|it| ("urlRewrite", Self::UrlRewrite(it))));
        parts.extend(raw.cors.map(|it| ("cors", Self::Cors(it))));
        parts.extend(raw.external_auth.map(|it| ("externalAuth", Self::ExternalAuth(it))));
        parts.extend(raw.extension_ref.map(|it| ("extensionRef", Self::ExtensionRef(it))));
        let Some(expected) = part_of(&filter_type) else {
            return Self::Unknown { filter_type };
        };
        if let Some((name, _)) = parts.iter().find(|(name, _)| *name != expected) {
            let why = format!("a filter of type {filter_type} must not have {name}");
            return Self::Malformed { filter_type, why };
        }
        match parts.pop() {
            Some((_, filter)) => filter,
            None => Self::Malformed { why: format!("a filter of type {filter_type} needs {expected}"), filter_type },
        }
    }
}

/// The field that a `type` needs.
fn part_of(filter_type: &str) -> Option<&'static str> {
    Some(match filter_type {
        "RequestHeaderModifier" => "requestHeaderModifier",
        "ResponseHeaderModifier" => "responseHeaderModifier",
        "RequestMirror" => "requestMirror",
        "RequestRedirect" => "requestRedirect",
        "URLRewrite" => "urlRewrite",
        "CORS" => "cors",
        "ExternalAuth" => "externalAuth",
        "ExtensionRef" => "extensionRef",
        _ => return None,
    })
}

/// `HTTPHeaderFilter`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct HeaderModifier {
    /// Overwrites.
    pub set: Vec<Header>,
    /// Appends.
    pub add: Vec<Header>,
    /// Names of fields that go.
    pub remove: Vec<String>,
}

/// `HTTPHeader`, unchecked.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Header {
    /// Name.
    pub name: String,
    /// Value.
    pub value: String,
}

/// `HTTPRequestMirrorFilter`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestMirror {
    /// Where the copies go.
    #[serde(rename = "backendRef")]
    pub backend: BackendRef,
    /// Share of requests, 0 to 100; excludes `fraction`. Neither: all.
    pub percent: Option<u32>,
    /// Share of requests.
    pub fraction: Option<Fraction>,
}

/// `Fraction`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Fraction {
    /// At most the denominator.
    pub numerator: u32,
    /// At least 1; default 100.
    #[serde(default = "hundred")]
    pub denominator: u32,
}

fn hundred() -> u32 {
    100
}

/// `HTTPRequestRedirectFilter`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestRedirect {
    /// `None`: that of the request.
    pub scheme: Option<Scheme>,
    /// `None`: that of the request.
    pub hostname: Option<String>,
    /// `None`: that of the request.
    pub path: Option<PathModifier>,
    /// `None`: the scheme's well-known port if a scheme is set, else the listener's.
    pub port: Option<u16>,
    /// 301, 302 (default), 303, 307 or 308.
    #[serde(default = "found")]
    pub status_code: u16,
}

fn found() -> u16 {
    302
}

/// Scheme of a redirect.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// `http`.
    Http,
    /// `https`.
    Https,
    /// Not a value of this version.
    #[serde(untagged)]
    Other(String),
}

/// `HTTPURLRewriteFilter`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct UrlRewrite {
    /// New `Host`.
    pub hostname: Option<String>,
    /// New path.
    pub path: Option<PathModifier>,
}

/// `HTTPPathModifier`, unchecked.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "RawPathModifier")]
pub enum PathModifier {
    /// `ReplaceFullPath`.
    ReplaceFullPath(String),
    /// `ReplacePrefixMatch`.
    ReplacePrefixMatch(String),
    /// Another `type`, or a `type` without its value or with the other's value: what is wrong, as one sentence.
    Malformed(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawPathModifier {
    #[serde(rename = "type")]
    modifier_type: String,
    replace_full_path: Option<String>,
    replace_prefix_match: Option<String>,
}

impl From<RawPathModifier> for PathModifier {
    fn from(raw: RawPathModifier) -> Self {
        match (raw.modifier_type.as_str(), raw.replace_full_path, raw.replace_prefix_match) {
            ("ReplaceFullPath", Some(path), None) => Self::ReplaceFullPath(path),
            ("ReplacePrefixMatch", None, Some(prefix)) => Self::ReplacePrefixMatch(prefix),
            ("ReplaceFullPath", ..) => Self::Malformed("type ReplaceFullPath needs exactly replaceFullPath".into()),
            ("ReplacePrefixMatch", ..) => {
                Self::Malformed("type ReplacePrefixMatch needs exactly replacePrefixMatch".into())
            }
            (other, ..) => Self::Malformed(format!("path type {other:?} is not known")),
        }
    }
}

/// `HTTPCORSFilter`, unchecked.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CorsPolicy {
    /// Origins; `*` and `scheme://*.suffix` are patterns.
    #[serde(default)]
    pub allow_origins: Vec<String>,
    /// Default false.
    #[serde(default)]
    pub allow_credentials: bool,
    /// Methods or `*`.
    #[serde(default)]
    pub allow_methods: Vec<String>,
    /// Header names or `*`.
    #[serde(default)]
    pub allow_headers: Vec<String>,
    /// Header names or `*`.
    #[serde(default)]
    pub expose_headers: Vec<String>,
    /// Seconds that a preflight may be cached; default 5.
    #[serde(default = "five")]
    pub max_age: u32,
}

impl CorsPolicy {
    /// `maxAge` as a duration.
    pub fn max_age(&self) -> Duration {
        Duration::from_secs(self.max_age.into())
    }
}

fn five() -> u32 {
    5
}

/// `HTTPExternalAuthFilter` (experimental channel).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExternalAuth {
    /// What the auth server speaks.
    pub protocol: AuthProtocol,
    /// The auth server.
    #[serde(rename = "backendRef")]
    pub backend: BackendRef,
    /// For [`AuthProtocol::Grpc`].
    pub grpc: Option<GrpcAuth>,
    /// For [`AuthProtocol::Http`].
    pub http: Option<HttpAuth>,
    /// Sends the request's body along.
    pub forward_body: Option<ForwardBody>,
}

/// Protocol of an auth server.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum AuthProtocol {
    /// Envoy's `ext_authz` over gRPC.
    Grpc,
    /// A plain HTTP request.
    Http,
    /// Not a value of this version.
    #[serde(untagged)]
    Other(String),
}

/// `GRPCAuthConfig`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GrpcAuth {
    /// Request headers sent along; empty: all.
    pub allowed_headers: Vec<String>,
}

/// `HTTPAuthConfig`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpAuth {
    /// Prefix of the path asked for.
    pub path: String,
    /// Further request headers sent along.
    pub allowed_headers: Vec<String>,
    /// Headers of the answer copied to the request; empty: all.
    pub allowed_response_headers: Vec<String>,
}

/// `ForwardBodyConfig`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ForwardBody {
    /// Bytes sent along; 0: the body is not sent.
    pub max_size: u32,
}
