// SPDX-License-Identifier: Apache-2.0
//! What a RequestAuthentication of Istio says of tokens, spelled out: where they are looked for by default, where the keys
//! of an issuer are, which claims are lists.
//!
//! Never asks whom it is for, never fetches a key.

use std::time::Duration;

use torana_crds::istio::request_authentication::{JwtRule, RequestAuthentication};
use torana_ir::{ClaimField, HeaderName, KeyPlace, KeySet, KeySource, KeyUrl, TokenPlace, TokenPolicy, TokenRule};

use crate::translate::access::{Unclear, key};

/// What an answer with keys may take if nothing is said, and at most.
const TIMEOUT: Duration = Duration::from_secs(5);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Claims that are lists in any case, as with Istio.
const SPACED: [&str; 2] = ["permission", "scope"];
/// After an issuer, what tells where its keys are (OpenID Connect Discovery 1.0 §4).
const DISCOVERY: &str = "/.well-known/openid-configuration";

/// The rules whose tokens nobody can verify, by their places: their issuers are no URLs, and no keys are written.
pub(super) fn unverifiable(policy: &TokenPolicy) -> impl Iterator<Item = usize> {
    let rules = policy.rules.iter().enumerate();
    rules.filter(|(_, rule)| rule.keys == KeySource::Nowhere).map(|(place, _)| place)
}

/// What a policy says.
pub(super) fn spelled_out(policy: &RequestAuthentication) -> Result<TokenPolicy, Unclear> {
    let rules = policy.spec.jwt_rules.iter().enumerate();
    let rules = rules.map(|(place, rule)| spelled(&format!("spec.jwtRules[{place}]"), rule));
    Ok(TokenPolicy { key: key(&policy.meta), rules: rules.collect::<Result<_, _>>()? })
}

fn spelled(at: &str, rule: &JwtRule) -> Result<TokenRule, Unclear> {
    let spaced = SPACED.iter().map(|claim| (*claim).to_owned()).chain(rule.space_delimited_claims.iter().cloned());
    let claims = rule.output_claim_to_headers.iter().map(|told| {
        let field = field(&format!("{at}.outputClaimToHeaders"), &told.header)?;
        Ok(ClaimField { field, claim: told.claim.split('.').map(str::to_owned).collect() })
    });
    let payload = Some(rule.output_payload_to_header.as_str()).filter(|header| !header.is_empty());
    Ok(TokenRule {
        issuer: Some(rule.issuer.clone()).filter(|issuer| !issuer.is_empty()),
        audiences: rule.audiences.clone(),
        keys: keys(at, rule)?,
        places: places(at, rule)?,
        forward: rule.forward_original_token,
        payload_to: payload.map(|header| field(&format!("{at}.outputPayloadToHeader"), header)).transpose()?,
        claims_to: claims.collect::<Result<_, Unclear>>()?,
        spaced: spaced.collect(),
    })
}

fn field(at: &str, name: &str) -> Result<HeaderName, Unclear> {
    HeaderName::new(name).map_err(|error| (at.to_owned(), error.to_string()))
}

fn keys(at: &str, rule: &JwtRule) -> Result<KeySource, Unclear> {
    if !rule.jwks.is_empty() {
        let set = KeySet::new(&rule.jwks).map_err(|error| (format!("{at}.jwks"), error.to_string()))?;
        return Ok(KeySource::Here(set));
    }
    let is_discovery = rule.jwks_uri.is_empty();
    let (name, url) = if is_discovery {
        ("issuer", format!("{}{DISCOVERY}", rule.issuer.trim_end_matches('/')))
    } else {
        ("jwksUri", rule.jwks_uri.clone())
    };
    let url = match KeyUrl::new(&url) {
        Ok(url) => url,
        // Such an issuer is fine by Istio, and nobody has its keys.
        Err(_) if is_discovery => return Ok(KeySource::Nowhere),
        Err(error) => return Err((format!("{at}.{name}"), error.to_string())),
    };
    let timeout = rule.timeout.unwrap_or(TIMEOUT).min(LONGEST_TIMEOUT);
    let timeout_ms = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
    Ok(KeySource::There(KeyPlace { url, is_discovery, timeout_ms }))
}

/// Where it says; where it says nothing `Authorization`, then the query.
fn places(at: &str, rule: &JwtRule) -> Result<Vec<TokenPlace>, Unclear> {
    let mut places = Vec::new();
    for (number, header) in rule.from_headers.iter().enumerate() {
        let name = field(&format!("{at}.fromHeaders[{number}].name"), &header.name)?;
        places.push(TokenPlace::Field(name, header.prefix.clone()));
    }
    places.extend(rule.from_params.iter().cloned().map(TokenPlace::Parameter));
    places.extend(rule.from_cookies.iter().cloned().map(TokenPlace::Cookie));
    if places.is_empty() {
        places.push(TokenPlace::Field(field(at, "authorization")?, "Bearer ".to_owned()));
        places.push(TokenPlace::Parameter("access_token".to_owned()));
    }
    Ok(places)
}
