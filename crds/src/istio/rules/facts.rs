// SPDX-License-Identifier: Apache-2.0
//! Facts about texts, as Istio's validation has them: names of DNS, of headers and of labels. Never says what follows.

use std::net::IpAddr;

/// `DNS1123Label`: at most 63 letters, digits and `-`, with a letter or digit at both ends.
pub(super) fn is_label(text: &str) -> bool {
    text.len() <= 63
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
        && text.bytes().next_back().is_some_and(|last| last.is_ascii_alphanumeric())
}

/// A DNS name (`ValidateFQDN`): labels of which the last is no number; a dot may end it.
pub(super) fn is_name(text: &str) -> bool {
    (1..=255).contains(&text.len()) && are_labels(text)
}

fn are_labels(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let is_numeric = |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_digit());
    text.split('.').all(is_label) && !text.rsplit('.').next().is_some_and(is_numeric)
}

/// A DNS name that may begin with `*`, `*-x` or `*x` (`ValidateWildcardDomain`).
pub(super) fn is_pattern(text: &str) -> bool {
    let (first, rest) = text.split_once('.').map_or((text, None), |(first, rest)| (first, Some(rest)));
    let is_first = match first.strip_prefix('*') {
        None => is_label(first),
        Some("") => true,
        Some(after) => first.len() <= 63 && is_label(after.strip_prefix('-').unwrap_or(after)),
    };
    (1..=255).contains(&text.len()) && is_first && rest.is_none_or(are_labels)
}

/// Whether it begins with a wildcard that is more than a whole label.
pub(super) fn is_partial_wildcard(text: &str) -> bool {
    text.contains('*') && text != "*" && !text.starts_with("*.")
}

/// The server name of a cluster of another network: `outbound_.80_._.app.ns.svc`.
pub(super) fn is_generated(text: &str) -> bool {
    let mut parts = text.split('_');
    let is_outbound = parts.next() == Some("outbound");
    let has_port = parts.next().is_some_and(|port| port.bytes().any(|byte| byte.is_ascii_digit()));
    let has_host = parts.nth(1).is_some_and(|host| host.bytes().any(|byte| byte.is_ascii_alphabetic()));
    text.len() <= 255 && is_outbound && has_port && has_host
}

/// An IP address.
pub(super) fn is_ip(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
}

/// A token of HTTP (RFC 9110, 5.6.2).
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// The pseudo-headers that a match may name.
pub(super) fn is_pseudo_header(name: &str) -> bool {
    [":method", ":scheme", ":authority", ":path", ":status"].contains(&name)
}

/// `Host`, under either of its names.
pub(super) fn is_host_header(name: &str) -> bool {
    name.eq_ignore_ascii_case(":authority") || name.eq_ignore_ascii_case("host")
}

/// A name of a label: perhaps a DNS name and `/`, then at most 63 letters, digits, `-`, `_` and `.`.
pub(super) fn is_label_key(key: &str) -> bool {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    prefix.is_none_or(|prefix| prefix.len() <= 253 && prefix.split('.').all(is_label))
        && name.len() <= 63
        && is_qualified(name)
}

/// A value of a label; may be empty.
pub(super) fn is_label_value(value: &str) -> bool {
    value.is_empty() || is_qualified(value)
}

fn is_qualified(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        && text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
        && text.bytes().next_back().is_some_and(|last| last.is_ascii_alphanumeric())
}

/// Status codes that HTTP has a name for.
pub(super) fn is_known_status(code: u16) -> bool {
    matches!(
        code,
        100..=103 | 200..=208 | 226 | 300..=305 | 307 | 308 | 400..=418 | 421..=426 | 428 | 429 | 431 | 451
            | 500..=508 | 510 | 511
    )
}

/// Whether `host` is within the host of a VirtualService that `has` knows: the same, or what a `*…` there covers.
/// Costs at most as many questions as `host` has characters.
pub(super) fn is_within(host: &str, has: impl Fn(&str) -> bool) -> bool {
    if has(host) {
        return true;
    }
    let end = host.strip_prefix('*').unwrap_or(host);
    end.char_indices().map(|(at, _)| at).chain([end.len()]).any(|at| {
        let suffix = end.get(at..).unwrap_or_default();
        has(&format!("*{suffix}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_dns_are_told_from_others() {
        for good in ["a", "a.example", "A.Example.", "1a.b-c", "a.1b"] {
            assert!(is_name(good) && is_pattern(good), "{good}");
        }
        for good in ["*", "*.a.example", "*-a.example", "*a.example"] {
            assert!(is_pattern(good) && !is_name(good), "{good}");
        }
        let long = format!("{}.example", "a".repeat(64));
        for bad in ["", ".", "-a", "a-", "a..b", "a_b", "1.2.3.4", "a.*", "**.a", "*.*.a", "a b", "é.example", &long] {
            assert!(!is_name(bad) && !is_pattern(bad), "{bad}");
        }
        assert!(["*-a.b", "*a.b", "a*.b"].iter().all(|it| is_partial_wildcard(it)));
        assert!(!["*", "*.a.b", "a.b"].iter().any(|it| is_partial_wildcard(it)));
    }

    #[test]
    fn a_server_name_of_another_network_is_known() {
        assert!(is_generated("outbound_.80_._.app.ns.svc.cluster.local"));
        for bad in ["outbound_.80_._", "outbound_.x_._.app", "inbound_.80_._.app", "app.example", "outbound"] {
            assert!(!is_generated(bad), "{bad}");
        }
    }

    #[test]
    fn labels_are_those_of_kubernetes() {
        assert!(["a", "app.kubernetes.io/name", "A_b.c"].iter().all(|it| is_label_key(it)));
        assert!(!["", "a/b/c", "/a", "a/", "-a", "a b"].iter().any(|it| is_label_key(it)));
        assert!(["", "v1", "a_b-c.d"].iter().all(|it| is_label_value(it)));
        assert!(!["-a", "a*", "a/b"].iter().any(|it| is_label_value(it)));
    }

    #[test]
    fn a_host_is_within_what_covers_it() {
        let within = |host: &str, hosts: &[&str]| is_within(host, |one| hosts.contains(&one));
        assert!(within("a.example", &["a.example"]));
        assert!(within("x.a.example", &["*.a.example"]));
        assert!(within("*.x.a.example", &["*.a.example"]));
        assert!(within("*.a.example", &["*"]));
        assert!(!within("a.example", &["*.a.example"]));
        assert!(!within("*.a.example", &["x.a.example"]));
        assert!(!within("*.example", &["*.a.example"]));
        assert!(!within("a.example", &[]));
    }
}
