// SPDX-License-Identifier: Apache-2.0
//! What a rule does to requests and responses besides forwarding them.

use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::atom::{HeaderName, HeaderValue, Method};
use crate::authority::Authority;
use crate::external_auth::ExternalAuth;
use crate::pattern::Regex;
use crate::percent::Share;
use crate::rewrite::{PathRewrite, final_status};
use crate::target::Target;

/// One filter, in the order the user wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Filter {
    /// `RequestHeaderModifier`.
    RequestHeaders(HeaderEdit),
    /// `ResponseHeaderModifier`.
    ResponseHeaders(HeaderEdit),
    /// `RequestRedirect`: answers, nothing is forwarded.
    Redirect(Redirect),
    /// `URLRewrite`.
    Rewrite(Rewrite),
    /// `RequestMirror`.
    Mirror(Mirror),
    /// `CORS`.
    Cors(Cors),
    /// `ExternalAuth`: somebody else is asked whether the request may go on.
    ExternalAuth(ExternalAuth),
    /// `HTTPDirectResponse`: answers, nothing is forwarded. Filters of the response apply to it.
    Respond(DirectResponse),
    /// `HTTPFaultInjection.Delay`: some requests wait.
    Delay(Delay),
    /// `HTTPFaultInjection.Abort`: some requests are answered, nothing is forwarded.
    Abort(Abort),
}

/// `HTTPHeaderFilter`: applied as set, then add, then remove; names compare case-insensitively.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HeaderEdit {
    /// Overwrites whatever was there with one value.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// A further field after those that are there.
    pub add: Vec<(HeaderName, HeaderValue)>,
    /// Every field of that name goes.
    pub remove: Vec<HeaderName>,
    /// After all that: fields whose values are made anew for each message (Istio, `%VARIABLES%`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub made: Vec<MadeField>,
}

/// A field whose value is made of parts. One of which nothing is known is not sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeField {
    /// Its name.
    pub name: HeaderName,
    /// It is a further field after those that are there, and takes nobody's place.
    pub appends: bool,
    /// One after the other.
    pub value: Vec<FieldPart>,
}

/// A part of a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FieldPart {
    /// As it is.
    Text(String),
    /// What it stands for.
    Variable(Variable),
}

/// What is known of a message and its connection, in Envoy's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Variable {
    /// `DOWNSTREAM_REMOTE_ADDRESS`.
    ClientSocket,
    /// `DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT`.
    ClientAddress,
    /// `DOWNSTREAM_REMOTE_PORT`.
    ClientPort,
    /// `DOWNSTREAM_LOCAL_ADDRESS`.
    LocalSocket,
    /// `DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT`.
    LocalAddress,
    /// `DOWNSTREAM_LOCAL_PORT`.
    LocalPort,
    /// `PROTOCOL`.
    Protocol,
    /// `REQUESTED_SERVER_NAME`.
    ServerName,
    /// `DOWNSTREAM_TLS_VERSION`.
    TlsVersion,
    /// `UPSTREAM_HOST`: of responses.
    Upstream,
    /// `RESPONSE_CODE`: of responses.
    ResponseCode,
    /// `REQ(field?or):longest` in a request, `RESP(…)` in a response.
    Field {
        /// Which one.
        field: MessageField,
        /// Where that is not there.
        or: Option<MessageField>,
        /// So many bytes of it.
        longest: Option<u32>,
    },
}

/// A part of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MessageField {
    /// A field.
    Named(HeaderName),
    /// `:method`.
    Method,
    /// `:path`, with the query.
    Path,
    /// `:authority`.
    Authority,
    /// `:scheme`.
    Scheme,
}

/// A word of a short list. serde would borrow it from its input if it saw the reference.
type Known = &'static str;

/// `HTTPRequestRedirectFilter`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirect {
    /// Scheme of the `Location`; the request's own if absent.
    #[serde(deserialize_with = "scheme")]
    pub scheme: Option<Known>,
    /// Host of the `Location`, perhaps with a port; the request's own if absent.
    #[serde(rename = "hostname")]
    pub host: Option<Authority>,
    /// Path of the `Location`; the request's own if absent.
    pub path: Option<PathRewrite>,
    /// Query of the `Location`, without its question mark; the request's own if absent (Istio, a `uri` with a query).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// Its port.
    pub port: RedirectPort,
    /// 301, 302, 303, 307 or 308.
    #[serde(deserialize_with = "redirection")]
    pub status: u16,
}

/// Port of a redirect. Written as a number, or nothing, as ever; only what is kept is a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Option<WrittenPort>", into = "Option<WrittenPort>")]
pub enum RedirectPort {
    /// The scheme's well-known port where a scheme is set, else the listener's (Gateway API).
    #[default]
    Known,
    /// This one.
    Number(u16),
    /// That of the new host if one is set, else that of the request as it came; none where that is the well-known port of
    /// the request's scheme and the scheme changes (Istio).
    Kept,
}

/// A port of a redirect as it travels.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum WrittenPort {
    Number(u16),
    Word(KeptPort),
}

#[derive(Serialize, Deserialize)]
enum KeptPort {
    Kept,
}

impl From<Option<WrittenPort>> for RedirectPort {
    fn from(written: Option<WrittenPort>) -> Self {
        match written {
            None => Self::Known,
            Some(WrittenPort::Number(port)) => Self::Number(port),
            Some(WrittenPort::Word(KeptPort::Kept)) => Self::Kept,
        }
    }
}

impl From<RedirectPort> for Option<WrittenPort> {
    fn from(port: RedirectPort) -> Self {
        match port {
            RedirectPort::Known => None,
            RedirectPort::Number(port) => Some(WrittenPort::Number(port)),
            RedirectPort::Kept => Some(WrittenPort::Word(KeptPort::Kept)),
        }
    }
}

/// `HTTPURLRewriteFilter`, `HTTPRewrite`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rewrite {
    /// New `Host`.
    #[serde(rename = "hostname")]
    pub host: Option<Authority>,
    /// New path.
    pub path: Option<PathRewrite>,
}

/// `HTTPRequestMirrorFilter`: a copy of the request goes to another backend, its response is dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mirror {
    /// Where the copies go; an invalid target mirrors nothing.
    pub target: Target,
    /// Share of requests, `numerator / denominator`; the denominator is never 0.
    pub numerator: u32,
    /// See `numerator`.
    #[serde(deserialize_with = "divisor")]
    pub denominator: u32,
    /// The copy's host ends in `-shadow` (Istio): before its port, if it has one.
    #[serde(default, skip_serializing_if = "is_false")]
    pub shadow: bool,
}

/// `HTTPDirectResponse`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectResponse {
    /// 200 to 599.
    #[serde(deserialize_with = "final_status")]
    pub status: u16,
    /// At most [`MOST_DIRECT_BODY`] bytes.
    #[serde(deserialize_with = "direct_body")]
    pub body: Vec<u8>,
}

/// Most bytes of a [`DirectResponse`]: Istio's bound.
pub const MOST_DIRECT_BODY: usize = 1 << 20;

/// `HTTPFaultInjection.Delay`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delay {
    /// For so long.
    pub time: Duration,
    /// That many.
    pub share: Share,
}

/// `HTTPFaultInjection.Abort`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abort {
    /// With what.
    pub with: AbortWith,
    /// That many.
    pub share: Share,
}

/// What an aborted request gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AbortWith {
    /// A status of HTTP, 200 to 599.
    Http(#[serde(deserialize_with = "final_status")] u16),
    /// A status of gRPC, in an answer of 200.
    Grpc(u8),
}

/// `HTTPCORSFilter`, `CorsPolicy`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cors {
    /// Origins that may read responses.
    pub allow_origins: Vec<OriginPattern>,
    /// `Access-Control-Allow-Credentials: true`.
    pub allow_credentials: bool,
    /// Methods; `None` element-wise means `*`.
    pub allow_methods: Option<Vec<Method>>,
    /// `true` if `allowMethods` is `*`.
    pub any_method: bool,
    /// Request headers.
    pub allow_headers: Vec<HeaderName>,
    /// `true` if `allowHeaders` is `*`.
    pub any_header: bool,
    /// Response headers that scripts may read.
    pub expose_headers: Vec<HeaderName>,
    /// `true` if `exposeHeaders` is `*`.
    pub expose_any: bool,
    /// How long a preflight may be cached; `None`: nothing is said of it.
    pub max_age: Option<Duration>,
    /// What becomes of preflights of origins that are not let in.
    #[serde(default, skip_serializing_if = "is_refused")]
    pub unmatched: Unmatched,
}

/// What becomes of a preflight of an origin that is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Unmatched {
    /// 403.
    #[default]
    Refused,
    /// It goes on, and what the backend says of origins stays (Istio, `FORWARD`).
    Forwarded,
    /// 200 without a word of CORS (Istio, `IGNORE`).
    Ignored,
}

/// One entry of `allowOrigins`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OriginPattern {
    /// `*`.
    Any,
    /// `scheme://host[:port]`, lower case, compared as a whole.
    Exact(String),
    /// `scheme://*.suffix[:port]`: the star spans one or more labels.
    Wildcard {
        /// `https://`.
        scheme: String,
        /// `.example.com` with the port, if any.
        suffix: String,
    },
    /// How the origin begins, byte for byte (Istio).
    Prefix(String),
    /// The whole origin, as it came (Istio).
    Regex(Regex),
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(it: &bool) -> bool {
    !it
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_refused(unmatched: &Unmatched) -> bool {
    *unmatched == Unmatched::Refused
}

fn scheme<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'static str>, D::Error> {
    match Option::<String>::deserialize(deserializer)?.as_deref() {
        None => Ok(None),
        Some("http") => Ok(Some("http")),
        Some("https") => Ok(Some("https")),
        Some(other) => Err(D::Error::custom(format_args!("{other:?} is no scheme of a redirect"))),
    }
}

fn redirection<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    let status = u16::deserialize(deserializer)?;
    let known = [301, 302, 303, 307, 308].contains(&status);
    known.then_some(status).ok_or_else(|| D::Error::custom(format_args!("{status} is no status of a redirect")))
}

fn direct_body<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let body = Vec::<u8>::deserialize(deserializer)?;
    let fits = body.len() <= MOST_DIRECT_BODY;
    fits.then_some(body).ok_or_else(|| D::Error::custom("an answer is at most 1 MiB"))
}

fn divisor<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let divisor = u32::deserialize(deserializer)?;
    (divisor != 0).then_some(divisor).ok_or_else(|| D::Error::custom("nothing is divided by 0"))
}
