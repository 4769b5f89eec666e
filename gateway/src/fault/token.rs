// SPDX-License-Identifier: Apache-2.0
//! What can be wrong with a token. The texts are Envoy's, which clients of Istio's gateways know.

/// Why a token is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenFault {
    /// It does not have three parts.
    Form,
    /// Its header is no base64url.
    HeaderEncoding,
    /// Its header is no JSON object, or has a member twice (RFC 8725 §3.2).
    HeaderJson,
    /// Its header says no algorithm.
    NoAlgorithm,
    /// An algorithm that nobody is to be believed by (`none`), or that is not known.
    Algorithm,
    /// Its `kid` is no text.
    KeyId,
    /// It asks for extensions to be understood (`crit`, RFC 7515 §4.1.11).
    Critical,
    /// Its payload is no base64url.
    PayloadEncoding,
    /// Its payload is no JSON object, or has a member twice.
    PayloadJson,
    /// `iss` is no text.
    IssuerType,
    /// `sub` is no text.
    SubjectType,
    /// `exp` is no number.
    ExpiryType,
    /// `nbf` is no number.
    NotBeforeType,
    /// `aud` is neither a text nor a list of texts.
    AudienceType,
    /// Its signature is no base64url.
    SignatureEncoding,
    /// It is over.
    Expired,
    /// It is not good yet.
    Early,
    /// Nobody said that its issuer is believed.
    Issuer,
    /// It is for somebody else.
    Audience,
    /// There are no keys: they could not be fetched.
    Unfetched,
    /// None of the keys can be used.
    NoKeys,
    /// No key has its id and algorithm.
    NoSuchKey,
    /// It is signed with none of the keys.
    Signature,
}

impl TokenFault {
    /// The status of the answer.
    pub fn status(self) -> u16 {
        if self == Self::Audience { 403 } else { 401 }
    }

    /// The body of the answer.
    pub fn text(self) -> &'static str {
        match self {
            Self::Form => "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections",
            Self::HeaderEncoding => "Jwt header is an invalid Base64url encoded",
            Self::HeaderJson => "Jwt header is an invalid JSON",
            Self::NoAlgorithm => "Jwt header [alg] field is required and must be a string",
            Self::Algorithm => "Jwt header [alg] is not supported",
            Self::KeyId => "Jwt header [kid] field is not a string",
            Self::Critical => "Jwt header [crit] is not supported",
            Self::PayloadEncoding => "Jwt payload is an invalid Base64url encoded",
            Self::PayloadJson => "Jwt payload is an invalid JSON",
            Self::IssuerType => "Jwt payload [iss] field is not a string",
            Self::SubjectType => "Jwt payload [sub] field is not a string",
            Self::ExpiryType => "Jwt payload [exp] field is not a number or is not a positive integer",
            Self::NotBeforeType => "Jwt payload [nbf] field is not a number or is not a positive integer",
            Self::AudienceType => "Jwt payload [aud] field is not a string or a list of strings",
            Self::SignatureEncoding => "Jwt signature is an invalid Base64url encoded",
            Self::Expired => "Jwt is expired",
            Self::Early => "Jwt not yet valid",
            Self::Issuer => "Jwt issuer is not configured",
            Self::Audience => "Audiences in Jwt are not allowed",
            Self::Unfetched => "Jwks remote fetch is failed",
            Self::NoKeys => "Jwks doesn't have any valid public key",
            Self::NoSuchKey => "Jwks doesn't have key to match kid or alg from Jwt",
            Self::Signature => "Jwt verification fails",
        }
    }

    /// The word of logs and metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Form => "form",
            Self::HeaderEncoding | Self::HeaderJson | Self::NoAlgorithm | Self::KeyId | Self::Critical => "header",
            Self::Algorithm => "algorithm",
            Self::PayloadEncoding
            | Self::PayloadJson
            | Self::IssuerType
            | Self::SubjectType
            | Self::ExpiryType
            | Self::NotBeforeType
            | Self::AudienceType => "payload",
            Self::SignatureEncoding | Self::Signature => "signature",
            Self::Expired => "expired",
            Self::Early => "early",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Unfetched => "keys_unreachable",
            Self::NoKeys => "no_keys",
            Self::NoSuchKey => "unknown_key",
        }
    }
}
