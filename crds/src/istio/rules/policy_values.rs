// SPDX-License-Identifier: Apache-2.0
//! Values that an AuthorizationPolicy compares requests with (`pkg/config/security`): texts with wildcards, addresses,
//! ports, service accounts, trust domains, templates of paths. Never says which field has which.

use crate::istio::rules::shared::{at_most, no_longer};
use crate::istio::scalars::Subnet;
use crate::violation::{At, Findings};

/// Judges every value of a list.
pub(super) type Check = fn(&[String], &At<'_>, &mut Findings);

/// Service accounts of one list.
const ACCOUNTS: usize = 16;

/// Characters of a service account with its namespace.
const ACCOUNT: usize = 320;

/// Of a template: one segment.
const ONE: &str = "{*}";

/// Of a template: any number of segments.
const ANY: &str = "{**}";

/// `CheckEmptyValues`.
pub(super) fn texts(values: &[String], at: &At<'_>, found: &mut Findings) {
    for (index, _) in values.iter().enumerate().filter(|(_, value)| value.is_empty()) {
        found.error(&at.item(index), "is empty", "write a value, or remove it");
    }
}

/// Texts of which a `*` at one end stands for anything. Istio takes any other, as itself.
pub(super) fn wildcards(values: &[String], at: &At<'_>, found: &mut Findings) {
    texts(values, at, found);
    for (index, value) in values.iter().enumerate().filter(|(_, value)| has_literal_star(value)) {
        let why = format!("has a * that only stands for itself: {value:?}");
        found.warning(&at.item(index), why, "write one *, at the start or the end");
    }
}

fn has_literal_star(value: &str) -> bool {
    let rest = value.strip_prefix('*').or_else(|| value.strip_suffix('*')).unwrap_or(value);
    rest.contains('*')
}

/// `ValidateIPs`.
pub(super) fn addresses(values: &[String], at: &At<'_>, found: &mut Findings) {
    for (index, value) in values.iter().enumerate().filter(|(_, value)| Subnet::parse(value).is_none()) {
        let why = format!("is neither an IP address nor a subnet: {value:?}");
        found.error(&at.item(index), why, "write it like 10.1.2.3 or 10.0.0.0/8");
    }
}

/// `ValidatePorts`.
pub(super) fn ports(values: &[String], at: &At<'_>, found: &mut Findings) {
    let is_port =
        |value: &str| value.bytes().all(|byte| byte.is_ascii_digit()) && value.parse().is_ok_and(|it: u64| it <= 65535);
    for (index, value) in values.iter().enumerate().filter(|(_, value)| !is_port(value)) {
        found.error(&at.item(index), format!("is no port: {value:?}"), "write a number up to 65535");
    }
}

/// `CheckServiceAccount`.
pub(super) fn accounts(values: &[String], at: &At<'_>, found: &mut Findings) {
    at_most(ACCOUNTS, values.len(), at, found);
    for (index, value) in values.iter().enumerate() {
        let at = at.item(index);
        if value.contains('*') {
            found.error(&at, "has a *, which a service account does not know", "write the whole name");
        } else if value.split('/').any(str::is_empty) || value.split('/').count() > 2 {
            found.error(&at, format!("is no service account: {value:?}"), "write account or namespace/account");
        }
        no_longer(ACCOUNT, value, &at, found);
    }
}

/// `CheckTrustDomainValues`.
pub(super) fn domains(values: &[String], at: &At<'_>, found: &mut Findings) {
    domain_patterns(values, at, found);
    for (index, value) in values.iter().enumerate().filter(|(_, value)| value.contains('/')) {
        let why = format!("is not a trust domain alone: {value:?}");
        found.error(&at.item(index), why, "write it without /, and use principals for more");
    }
}

/// `CheckWildcardValues`.
pub(super) fn domain_patterns(values: &[String], at: &At<'_>, found: &mut Findings) {
    texts(values, at, found);
    for (index, value) in values.iter().enumerate().filter(|(_, value)| has_literal_star(value)) {
        let why = format!("has a * that is neither its only one nor at an end: {value:?}");
        found.error(&at.item(index), why, "write one *, at the start or the end");
    }
}

/// `CheckValidPathTemplate`.
pub(super) fn paths(values: &[String], at: &At<'_>, found: &mut Findings) {
    texts(values, at, found);
    for (index, value) in values.iter().enumerate() {
        if let Some(why) = template_fault(value) {
            let remedy = "write {*} and {**} as whole segments, {**} as the last of them";
            found.error(&at.item(index), format!("{why}: {value:?}"), remedy);
        } else if !is_template(value) && has_literal_star(value) {
            let why = format!("has a * that only stands for itself: {value:?}");
            found.warning(&at.item(index), why, "write one * at the start or the end, or {*} for a segment");
        }
    }
}

fn is_template(path: &str) -> bool {
    path.contains(ONE) || path.contains(ANY)
}

/// What is wrong with a path; one without braces is no template, and may be anything.
fn template_fault(path: &str) -> Option<&'static str> {
    let (is_template, mut is_after_any) = (is_template(path), false);
    for segment in path.trim_matches('/').split('/') {
        if segment == ONE || segment == ANY {
            if is_after_any {
                return Some("has a {*} or {**} after {**}");
            }
            is_after_any = segment == ANY;
        } else if segment.contains(['{', '}']) {
            return Some("has a { or } that belongs to no {*} and no {**}");
        } else if is_template && !is_literal(segment) {
            return Some("has a segment that a template cannot have");
        }
    }
    None
}

/// Characters of a segment (`pchar` of RFC 3986, but no `*`).
fn is_literal(segment: &str) -> bool {
    let is_one = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()+,;:@=".contains(&byte);
    !segment.is_empty() && segment.bytes().all(is_one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_have_whole_segments() {
        for path in
            ["/", "", "/a", "/a*", "/a//b", "/{*}", "/a/{*}/b", "/{*}/{*}/c/{**}", "{**}/a", "/a/{**}/", "/a%20/{*}"]
        {
            assert_eq!(template_fault(path), None, "{path}");
        }
        for path in [
            "/{**}/{*}",
            "/{**}/{**}",
            "/{a}",
            "/a{*}",
            "/{*}a",
            "/{",
            "/}/a",
            "/{*}/a*",
            "/{*}//a",
            "/{*}/é",
            "/{***}",
        ] {
            assert!(template_fault(path).is_some(), "{path}");
        }
    }

    #[test]
    fn a_star_stands_for_something_at_one_end_only() {
        for value in ["*", "*a", "a*", "a", "", "**"] {
            assert_eq!(has_literal_star(value), value == "**", "{value}");
        }
        assert!(["a*b", "*a*", "*/a/*", "a**"].iter().all(|value| has_literal_star(value)));
    }
}
