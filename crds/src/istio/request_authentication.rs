// SPDX-License-Identifier: Apache-2.0
//! RequestAuthentication of `security.istio.io`: which tokens (JWT) are good. A request without one is let through: to
//! ask for one is an AuthorizationPolicy's. Values are as written; [`problems`](RequestAuthentication::problems) judges
//! them. Never fetches keys.

use std::time::Duration;

use serde::Deserialize;

use crate::istio::destination_rule::WorkloadSelector;
use crate::istio::duration;
use crate::istio::security::{PolicyTarget, Scope};
use crate::meta::ObjectMeta;

/// `security.istio.io` RequestAuthentication.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RequestAuthentication {
    /// Metadata.
    #[serde(rename = "metadata")]
    pub meta: ObjectMeta,
    /// What it says.
    #[serde(default)]
    pub spec: RequestAuthenticationSpec,
}

/// `RequestAuthentication`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RequestAuthenticationSpec {
    /// Pods with these labels.
    pub selector: Option<WorkloadSelector>,
    /// The same as an only entry of `target_refs`, deprecated.
    pub target_ref: Option<PolicyTarget>,
    /// Objects of its namespace.
    pub target_refs: Vec<PolicyTarget>,
    /// A token must be good for one of them; a request that has a bad one is refused.
    pub jwt_rules: Vec<JwtRule>,
}

/// `JWTRule`: tokens of one issuer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct JwtRule {
    /// `iss` of the tokens; `""`: any, if `jwks_uri` is given.
    pub issuer: String,
    /// `aud` of a token must have one of them; empty: any.
    pub audiences: Vec<String>,
    /// Where the keys are; `""`: they are `jwks`, or found by OpenID discovery of the issuer. Also written `jwks_uri`.
    #[serde(alias = "jwks_uri")]
    pub jwks_uri: String,
    /// The keys themselves, a JSON Web Key Set; `""`: none are given.
    pub jwks: String,
    /// Headers that a token is looked for in. Where no place is given: `Authorization` after `Bearer `, and the query
    /// parameter `access_token`.
    pub from_headers: Vec<JwtHeader>,
    /// Query parameters that a token is looked for in.
    pub from_params: Vec<String>,
    /// Cookies that a token is looked for in.
    pub from_cookies: Vec<String>,
    /// The header that the backend gets the payload in, base64url; `""`: it gets none.
    pub output_payload_to_header: String,
    /// Whether the backend gets the token too.
    pub forward_original_token: bool,
    /// Headers that the backend gets single claims in.
    pub output_claim_to_headers: Vec<ClaimToHeader>,
    /// How long fetching the keys may take; `None`: 5s.
    #[serde(deserialize_with = "duration::optional")]
    pub timeout: Option<Duration>,
    /// Claims besides `scope` and `permission` whose text is a list, divided by spaces.
    pub space_delimited_claims: Vec<String>,
}

/// `JWTHeader`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct JwtHeader {
    /// Name of the header.
    pub name: String,
    /// What stands before the token, spaces included; may be `""`.
    pub prefix: String,
}

/// `ClaimToHeader`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct ClaimToHeader {
    /// Name of the header, of letters, digits, `-` and `_`; what the client sent in it is replaced.
    pub header: String,
    /// The claim; `a.b` is `b` within `a`. Only texts, numbers and truth values get through.
    pub claim: String,
}

impl RequestAuthentication {
    /// Whom it is for.
    pub fn scope(&self) -> Scope<'_> {
        Scope::new(self.spec.selector.as_ref(), self.spec.target_ref.as_ref(), &self.spec.target_refs)
    }
}
