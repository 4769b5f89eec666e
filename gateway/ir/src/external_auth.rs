// SPDX-License-Identifier: Apache-2.0
//! Asking somebody else whether a request may go on.

use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::atom::{AtomError, HeaderName, HeaderValue};
use crate::rewrite::{PathRewrite, final_status};
use crate::target::Target;

/// Most bytes of a body that may be kept to be sent along.
pub const MOST_AUTH_BODY: u32 = 1 << 20;

/// `HTTPExternalAuthFilter`. Whatever goes wrong, the request does not go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExternalAuth {
    /// Who is asked; with an invalid target no request goes on.
    pub target: Target,
    /// How.
    pub protocol: AuthProtocol,
    /// Bytes of the request's body that are sent along, at most [`MOST_AUTH_BODY`]; a larger body is refused (413). 0: none
    /// is sent.
    #[serde(deserialize_with = "kept")]
    pub body: u32,
    /// Of a larger body so many bytes are sent, and it is not refused (Istio, `allowPartialMessage`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub takes_part: bool,
    /// Bodies are sent as bytes, be they text or not (gRPC; Istio, `packAsBytes`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub as_bytes: bool,
    /// An answer is waited for so long, whatever the request's own deadline.
    #[serde(default = "patience", skip_serializing_if = "is_patience")]
    pub timeout: Duration,
    /// What becomes of requests of which no answer says anything.
    #[serde(default, skip_serializing_if = "OnError::is_usual")]
    pub on_error: OnError,
    /// After a yes, which may have changed the request, routes are looked at again (Istio, `clearRouteCache`; only where
    /// it is a listener's policy that asks).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub routes_anew: bool,
}

/// So long an authorization server is waited for where nobody says how long.
pub const AUTH_PATIENCE: Duration = Duration::from_secs(5);

fn patience() -> Duration {
    AUTH_PATIENCE
}

fn is_patience(timeout: &Duration) -> bool {
    *timeout == AUTH_PATIENCE
}

/// What becomes of a request when nobody could say whether it may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnError {
    /// It is answered with this status, 200 to 599: `statusOnError`.
    Refuse(#[serde(deserialize_with = "final_status")] u16),
    /// It goes on: `failOpen`.
    Allow,
}

impl Default for OnError {
    fn default() -> Self {
        Self::Refuse(403)
    }
}

impl OnError {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// Names of fields: one, or with `*` at one end all that begin or end so. Compares without case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NamePattern(HeaderName);

impl NamePattern {
    /// Checks `pattern`: `x-user`, `x-*` or `*-id`.
    ///
    /// # Errors
    /// It could be no name, or it is `*` alone.
    pub fn new(pattern: &str) -> Result<Self, AtomError> {
        let name = HeaderName::new(pattern)?;
        if pattern == "*" { Err(AtomError::HeaderName(pattern.to_owned())) } else { Ok(Self(name)) }
    }

    /// Whether it takes a name, which is in lower case.
    pub fn takes(&self, name: &[u8]) -> bool {
        let text = self.0.as_str().as_bytes();
        match (text.strip_prefix(b"*"), text.strip_suffix(b"*")) {
            (Some(suffix), _) => name.ends_with(suffix),
            (_, Some(prefix)) => name.starts_with(prefix),
            _ => name == text,
        }
    }
}

impl TryFrom<String> for NamePattern {
    type Error = AtomError;

    fn try_from(pattern: String) -> Result<Self, AtomError> {
        Self::new(&pattern)
    }
}

impl From<NamePattern> for String {
    fn from(pattern: NamePattern) -> Self {
        pattern.0.as_str().to_owned()
    }
}

/// What an authorization server speaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuthProtocol {
    /// The request itself, with another path and few of its fields; 200 lets it go on.
    Http {
        /// What is put before its path.
        prefix: PathRewrite,
        /// Fields that are sent besides `Host`, `Content-Length` and `Authorization`.
        headers: Vec<NamePattern>,
        /// Fields of the answer that go on with the request; `None`: all that may.
        copied: Option<Vec<NamePattern>>,
        /// Fields that are sent to the server only.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        added: Vec<(HeaderName, HeaderValue)>,
        /// Fields of a yes that the client gets with the response.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        shown: Vec<NamePattern>,
        /// Fields of a no that the client gets besides those that every refusal needs; `None`: all that may.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refused: Option<Vec<NamePattern>>,
    },
    /// Envoy's `envoy.service.auth.v3.Authorization/Check`.
    Grpc {
        /// Fields that are sent; `None`: all.
        headers: Option<Vec<HeaderName>>,
    },
}

fn kept<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let body = u32::deserialize(deserializer)?;
    let few = body <= MOST_AUTH_BODY;
    few.then_some(body).ok_or_else(|| D::Error::custom(format_args!("{body} bytes of a body are too many to keep")))
}
