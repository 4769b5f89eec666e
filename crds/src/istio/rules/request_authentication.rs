// SPDX-License-Identifier: Apache-2.0
//! Rules of RequestAuthentication (`ValidateRequestAuthentication`, `validateJwtRule`). Never fetches keys.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;

use crate::istio::RequestAuthentication;
use crate::istio::request_authentication::{ClaimToHeader, JwtRule};
use crate::istio::rules::policy_values::texts;
use crate::istio::rules::security::{Written, judge_dry_run, judge_scope};
use crate::istio::rules::shared::{at_most, duration, no_longer};
use crate::istio::rules::{facts, key_set};
use crate::violation::{At, Findings};

/// Rules of one object.
const RULES: usize = 4096;

/// Characters of a URL.
const URL: usize = 2048;

/// Claims that are lists divided by spaces.
const CLAIMS: usize = 64;

pub(super) fn judge(policy: &RequestAuthentication, root: &At<'_>, found: &mut Findings) {
    let (spec, at) = (&policy.spec, root.field("spec"));
    judge_dry_run(&policy.meta, None, root, found);
    let written =
        Written { selector: spec.selector.as_ref(), target: spec.target_ref.as_ref(), targets: &spec.target_refs };
    judge_scope(&written, &at, found);
    let rules = at.field("jwtRules");
    at_most(RULES, spec.jwt_rules.len(), &rules, found);
    for (index, rule) in spec.jwt_rules.iter().enumerate() {
        judge_rule(rule, &rules.item(index), found);
    }
}

fn judge_rule(rule: &JwtRule, at: &At<'_>, found: &mut Findings) {
    if rule.issuer.is_empty() && rule.jwks_uri.is_empty() {
        found.error(&at.field("issuer"), "is missing, and jwksUri is too", "write the iss of the tokens");
    }
    texts(&rule.audiences, &at.field("audiences"), found);
    judge_keys(rule, at, found);
    for (index, header) in rule.from_headers.iter().enumerate() {
        let list = at.field("fromHeaders");
        judge_header(&header.name, &list.item(index).field("name"), found);
    }
    texts(&rule.from_params, &at.field("fromParams"), found);
    texts(&rule.from_cookies, &at.field("fromCookies"), found);
    if !rule.output_payload_to_header.is_empty() {
        judge_header(&rule.output_payload_to_header, &at.field("outputPayloadToHeader"), found);
    }
    judge_outputs(&rule.output_claim_to_headers, &at.field("outputClaimToHeaders"), found);
    duration(rule.timeout, &at.field("timeout"), found);
    let place = at.field("spaceDelimitedClaims");
    at_most(CLAIMS, rule.space_delimited_claims.len(), &place, found);
    texts(&rule.space_delimited_claims, &place, found);
}

fn judge_keys(rule: &JwtRule, at: &At<'_>, found: &mut Findings) {
    if !rule.jwks_uri.is_empty() {
        let at = at.field("jwksUri");
        no_longer(URL, &rule.jwks_uri, &at, found);
        if let Some(fault) = url_fault(&rule.jwks_uri) {
            found.error(&at, fault, "write it like https://issuer.example/keys");
        }
    }
    if !rule.jwks.is_empty() {
        let at = at.field("jwks");
        if !rule.jwks_uri.is_empty() {
            found.error(&at, "stands beside jwksUri", "keep one of them");
        }
        key_set::judge(&rule.jwks, &at, found);
    }
}

/// Istio takes any name but an empty one; its proxy does not.
fn judge_header(name: &str, at: &At<'_>, found: &mut Findings) {
    if name.is_empty() {
        found.error(at, "is missing", "name the header");
    } else if !facts::is_token(name) {
        found.warning(at, format!("is no name of a header: {name:?}"), "correct it");
    }
}

fn judge_outputs(outputs: &[ClaimToHeader], at: &At<'_>, found: &mut Findings) {
    let mut seen = BTreeSet::new();
    for (index, output) in outputs.iter().enumerate() {
        let at = at.item(index);
        let place = at.field("header");
        let is_one = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if output.header.is_empty() {
            found.error(&place, "is missing", "name the header");
        } else if !output.header.bytes().all(is_one) {
            let why = format!("is no name of a header here: {:?}", output.header);
            found.error(&place, why, "use letters, digits, - and _");
        } else if !seen.insert(output.header.to_ascii_lowercase()) {
            found.warning(&place, format!("repeats {:?}", output.header), "give each claim a header of its own");
        }
        if output.claim.is_empty() {
            found.error(&at.field("claim"), "is missing", "name the claim");
        }
    }
}

/// Why keys cannot be fetched from there. Stricter than Istio, which takes a URL without a host.
fn url_fault(url: &str) -> Option<&'static str> {
    let is_web = |scheme: &str| ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    let Some((_, rest)) = url.split_once("://").filter(|(scheme, _)| is_web(scheme)) else {
        return Some("does not begin with https:// or http://");
    };
    let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (path, _query) = rest.split_once('?').unwrap_or((rest, ""));
    let (_, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    if url.bytes().any(|byte| byte.is_ascii_control()) {
        Some("has a control character")
    } else if !is_host(host) {
        Some("has no host, or one that cannot be read")
    } else if !is_escaped(path) || !is_escaped(fragment) {
        Some("has a % without two hexadecimal digits")
    } else {
        None
    }
}

/// A name or address, perhaps with a port.
fn is_host(host: &str) -> bool {
    let is_odd = |c: char| c.is_whitespace() || "%[]<>\\^`{|}\"".contains(c);
    let (is_name, port) = if let Some(host) = host.strip_prefix('[') {
        let (address, port) = host.split_once(']').unwrap_or_default();
        (address.parse::<Ipv6Addr>().is_ok(), port)
    } else {
        let (name, port) = host.split_at(host.find(':').unwrap_or(host.len()));
        (!name.is_empty() && !name.contains(is_odd), port)
    };
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    is_name && (port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.is_empty() || is_port(port)))
}

/// Whether two hexadecimal digits follow every `%`.
fn is_escaped(text: &str) -> bool {
    let mut after = text.split('%').skip(1);
    after.all(|part| part.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_of_the_web() {
        for url in [
            "https://a.example",
            "HTTP://a.example:8080/keys?x=%zz#y",
            "https://user:pass@a.example/%20",
            "http://10.0.0.1:80/",
            "https://[::1]:443/keys",
            "https://a.example:/keys",
        ] {
            assert_eq!(url_fault(url), None, "{url}");
        }
        for url in [
            "",
            "a.example/keys",
            "//a.example",
            "ftp://a.example",
            "https:a.example",
            "https://",
            "https:///keys",
            "https://:443/keys",
            "https://user@/keys",
            "https://a.example:x/keys",
            "https://a.example:65536/keys",
            "https://[::1/keys",
            "https://[a]/keys",
            "https://a b/keys",
            "https://a.example/%2",
            "https://a.example/%zz",
            "https://a.example/#%zz",
            "https://a.example/\nkeys",
        ] {
            assert!(url_fault(url).is_some(), "{url}");
        }
    }
}
