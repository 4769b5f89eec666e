// SPDX-License-Identifier: Apache-2.0
//! What a rule of a VirtualService does to requests besides sending them on: redirects, answers, rewrites, retries,
//! CORS. Values are as written; [`problems`](crate::istio::VirtualService::problems) judges them.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer};

use crate::istio::matching::{StringMatch, at_most_one};
use crate::istio::scalars::{maybe_port, not_one_of, text, words};
use crate::istio::{MaybeDuration, duration};

/// `HTTPRedirect`. The query is kept.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawRedirect")]
pub struct Redirect {
    /// Instead of the whole path.
    pub uri: Option<String>,
    /// Instead of the prefix that was matched.
    pub prefix_rewrite: Option<String>,
    /// Instead of the host.
    pub authority: Option<String>,
    /// Instead of the scheme.
    pub scheme: Option<RedirectScheme>,
    /// Which port.
    pub port: RedirectPort,
    /// Status code; 301 where none is given.
    pub code: u16,
}

/// Port of a redirect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RedirectPort {
    /// Not said.
    #[default]
    Unspecified,
    /// That one.
    Number(u16),
    /// Derived.
    Derived(DerivePort),
}

words! {
    /// `RedirectPortSelection`.
    DerivePort {
        /// 80 or 443, by the scheme.
        ProtocolDefault = "FROM_PROTOCOL_DEFAULT",
        /// That of the request.
        Request = "FROM_REQUEST_PORT",
    }
}

words! {
    /// Scheme of a redirect.
    RedirectScheme {
        /// `http`.
        Http = "http",
        /// `https`.
        Https = "https",
    }
}

type MaybeScheme = Option<RedirectScheme>;

fn scheme<'de, D: Deserializer<'de>>(deserializer: D) -> Result<MaybeScheme, D::Error> {
    match text(deserializer)? {
        None => Ok(None),
        Some(word) => RedirectScheme::parse(&word).map(Some).ok_or_else(|| not_one_of(&word, &["http", "https"])),
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawRedirect {
    #[serde(deserialize_with = "text")]
    uri: Option<String>,
    #[serde(deserialize_with = "text")]
    prefix_rewrite: Option<String>,
    #[serde(deserialize_with = "text")]
    authority: Option<String>,
    #[serde(deserialize_with = "scheme")]
    scheme: Option<RedirectScheme>,
    #[serde(deserialize_with = "maybe_port")]
    port: Option<u16>,
    derive_port: Option<DerivePort>,
    redirect_code: u16,
}

impl TryFrom<RawRedirect> for Redirect {
    type Error = String;

    fn try_from(raw: RawRedirect) -> Result<Self, String> {
        let port =
            [("port", raw.port.map(RedirectPort::Number)), ("derivePort", raw.derive_port.map(RedirectPort::Derived))];
        Ok(Self {
            uri: raw.uri,
            prefix_rewrite: raw.prefix_rewrite,
            authority: raw.authority,
            scheme: raw.scheme,
            port: at_most_one(port)?.unwrap_or_default(),
            code: if raw.redirect_code == 0 { 301 } else { raw.redirect_code },
        })
    }
}

/// `HTTPDirectResponse`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct DirectResponse {
    /// Status code.
    pub status: u16,
    /// What is answered; may be empty.
    #[serde(default, deserialize_with = "body")]
    pub body: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(try_from = "RawBody")]
struct Body(Vec<u8>);

#[derive(Deserialize)]
struct RawBody {
    string: Option<String>,
    bytes: Option<String>,
}

impl TryFrom<RawBody> for Body {
    type Error = String;

    fn try_from(raw: RawBody) -> Result<Self, String> {
        let bytes = raw.bytes.map(|text| STANDARD.decode(text).map_err(|_| "bytes is not base64".to_owned()));
        let given = at_most_one([("string", raw.string.map(String::into_bytes)), ("bytes", bytes.transpose()?)])?;
        Ok(Self(given.unwrap_or_default()))
    }
}

fn body<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    Ok(Body::deserialize(deserializer)?.0)
}

/// `HTTPRewrite`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rewrite {
    /// Instead of the prefix that was matched, as raw text, or of the whole path.
    #[serde(deserialize_with = "text")]
    pub uri: Option<String>,
    /// Instead of what an expression finds in the path; excludes `uri`.
    pub uri_regex_rewrite: Option<RegexRewrite>,
    /// Instead of the host.
    #[serde(deserialize_with = "text")]
    pub authority: Option<String>,
}

/// `RegexRewrite`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct RegexRewrite {
    /// RE2, searched for in the path without its query.
    #[serde(rename = "match")]
    pub pattern: String,
    /// Instead of every place that it is found at; `\1` is its first group.
    pub rewrite: String,
}

/// `HTTPRetry`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Retries {
    /// Tries after the first; 0, also where none is given: no further try.
    pub attempts: u32,
    /// One try; `None`: as long as the request has.
    #[serde(deserialize_with = "duration::optional")]
    pub per_try_timeout: MaybeDuration,
    /// When to try again; `None`: the usual reasons.
    #[serde(deserialize_with = "retry_on")]
    pub retry_on: Option<RetryOn>,
    /// Base interval between tries; `None`: 25 ms.
    #[serde(deserialize_with = "duration::optional")]
    pub backoff: MaybeDuration,
    /// Further tries may go to other localities.
    pub retry_remote_localities: Option<bool>,
    /// Further tries avoid hosts that were tried; `None`: yes.
    pub retry_ignore_previous_hosts: Option<bool>,
}

/// `retryOn`, taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RetryOn {
    /// Reasons by name.
    pub reasons: Vec<RetryReason>,
    /// Status codes that are retried.
    pub codes: Vec<u16>,
    /// What is neither.
    pub unknown: Vec<String>,
}

words! {
    /// When Envoy tries again.
    RetryReason {
        /// The backend answered 5xx, or not at all.
        ServerError = "5xx",
        /// The backend answered 502, 503, 504.
        GatewayError = "gateway-error",
        /// The backend answered nothing.
        Reset = "reset",
        /// The connection ended before the request was sent.
        ResetBeforeRequest = "reset-before-request",
        /// No connection came about.
        ConnectFailure = "connect-failure",
        /// 409.
        Retriable4xx = "retriable-4xx",
        /// The backend refused the stream.
        RefusedStream = "refused-stream",
        /// One of the status codes that are given beside.
        RetriableStatusCodes = "retriable-status-codes",
        /// One of the headers that are given beside.
        RetriableHeaders = "retriable-headers",
        /// The answer has `x-envoy-ratelimited`.
        RateLimited = "envoy-ratelimited",
        /// HTTP/3 failed after the connection stood.
        Http3PostConnectFailure = "http3-post-connect-failure",
        /// gRPC status 1.
        Cancelled = "cancelled",
        /// gRPC status 4.
        DeadlineExceeded = "deadline-exceeded",
        /// gRPC status 13.
        Internal = "internal",
        /// gRPC status 8.
        ResourceExhausted = "resource-exhausted",
        /// gRPC status 14.
        Unavailable = "unavailable",
    }
}

type MaybeRetryOn = Option<RetryOn>;

fn retry_on<'de, D: Deserializer<'de>>(deserializer: D) -> Result<MaybeRetryOn, D::Error> {
    let Some(text) = text(deserializer)? else { return Ok(None) };
    let mut all = RetryOn::default();
    for part in text.split(',') {
        match (RetryReason::parse(part), part.parse()) {
            (Some(reason), _) => all.reasons.push(reason),
            (None, Ok(code)) => all.codes.push(code),
            (None, Err(_)) => all.unknown.push(part.to_owned()),
        }
    }
    Ok(Some(all))
}

/// `CorsPolicy`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CorsPolicy {
    /// Origins that are let in.
    pub allow_origins: Vec<StringMatch>,
    /// Methods or `*`.
    pub allow_methods: Vec<String>,
    /// Header names or `*`.
    pub allow_headers: Vec<String>,
    /// Header names or `*`.
    pub expose_headers: Vec<String>,
    /// How long a preflight may be cached; `None`: nothing is said.
    #[serde(deserialize_with = "duration::optional")]
    pub max_age: Option<Duration>,
    /// Whether credentials may come along; `None`: nothing is said.
    pub allow_credentials: Option<bool>,
    /// What becomes of preflights of other origins.
    pub unmatched_preflights: UnmatchedPreflights,
}

words! {
    /// `UnmatchedPreflights`.
    #[derive(Default)]
    UnmatchedPreflights {
        /// They are sent on. Also what is meant where nothing is said.
        #[default]
        Forward = "FORWARD" | "UNSPECIFIED",
        /// They are answered with 200, without any header of CORS.
        Ignore = "IGNORE",
    }
}
