// SPDX-License-Identifier: Apache-2.0
//! `host[:port]`, narrower than RFC 3986 §3.2: names of letters, digits, `-`, `_` and dots, or an address. No userinfo,
//! no escapes, no empty port.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use crate::fault::Reject;
use crate::head::Scheme;

/// Longest host name (RFC 1035 §2.3.4).
const MAX_HOST: usize = 253;

/// Host and port.
type Parts<'a> = (&'a [u8], Maybe<'a>);

/// Bytes that may be absent.
type Maybe<'a> = Option<&'a [u8]>;

/// The authority of a request from all places that may name it; all that do must agree (RFC 9112 §3.2.2,
/// RFC 9113 §8.3.1).
pub(super) fn choose(scheme: Scheme, places: [Maybe<'_>; 3]) -> Result<Cow<'_, str>, Reject> {
    let mut chosen: Option<Cow<'_, str>> = None;
    for place in places.into_iter().flatten() {
        let authority = canonical(place)?;
        match &chosen {
            None => chosen = Some(authority),
            Some(first) if without_port(first, scheme) == without_port(&authority, scheme) => {}
            Some(_) => return Err(Reject::bad("host_mismatch")),
        }
    }
    chosen.ok_or(Reject::bad("missing_host"))
}

/// In lower case, without the dot at the end of a host name. The port stays as it is.
pub(super) fn canonical(authority: &[u8]) -> Result<Cow<'_, str>, Reject> {
    const BAD: Reject = Reject::bad("bad_host");
    let (host, port) = split(authority).ok_or(BAD)?;
    if port.is_some_and(|port| !is_port(port)) {
        return Err(Reject::bad("bad_port"));
    }
    let dotless = host.strip_suffix(b".").unwrap_or(host);
    if !(is_name(dotless) || is_ipv6_literal(host)) {
        return Err(BAD);
    }
    let text = std::str::from_utf8(authority).map_err(|_| BAD)?;
    if dotless.len() == host.len() && !authority.iter().any(u8::is_ascii_uppercase) {
        return Ok(Cow::Borrowed(text));
    }
    let mut lower = text.to_ascii_lowercase();
    if dotless.len() < host.len() {
        lower.remove(dotless.len());
    }
    Ok(Cow::Owned(lower))
}

fn split(authority: &[u8]) -> Option<Parts<'_>> {
    let host_len = if authority.first() == Some(&b'[') {
        memchr::memchr(b']', authority)? + 1
    } else {
        memchr::memchr(b':', authority).unwrap_or(authority.len())
    };
    let (host, rest) = authority.split_at(host_len);
    match rest.split_first() {
        None => Some((host, None)),
        Some((b':', port)) => Some((host, Some(port))),
        Some(_) => None,
    }
}

/// 0 to 65535 without needless zeros.
fn is_port(port: &[u8]) -> bool {
    let padded = port.len() > 1 && port[0] == b'0';
    !padded && port.len() <= 5 && super::text::content_length(port).is_some_and(|number| number <= 65535)
}

fn is_name(host: &[u8]) -> bool {
    let mut label = 0;
    for byte in host {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => label += 1,
            b'.' if label > 0 => label = 0,
            _ => return false,
        }
    }
    label > 0 && host.len() <= MAX_HOST
}

/// Without a zone (RFC 9110 §4.2 leaves no room for one).
fn is_ipv6_literal(host: &[u8]) -> bool {
    let inner = host.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]"));
    inner.and_then(|inner| std::str::from_utf8(inner).ok()).is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok())
}

fn without_port(authority: &str, scheme: Scheme) -> &str {
    let default = match scheme {
        Scheme::Http => ":80",
        Scheme::Https => ":443",
    };
    authority.strip_suffix(default).unwrap_or(authority)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_lower_case_and_dotless() {
        let rows = [
            ("a.com", "a.com"),
            ("A.Com:8080", "a.com:8080"),
            ("a.com.", "a.com"),
            ("A.com.:443", "a.com:443"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("my_host", "my_host"),
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("[::1]:65535", "[::1]:65535"),
            ("[FE80::1]", "[fe80::1]"),
        ];
        for (given, expected) in rows {
            assert_eq!(canonical(given.as_bytes()).as_deref(), Ok(expected), "{given}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        let long = "a".repeat(254);
        let rows = [
            "",
            ".",
            "..",
            "a..b",
            ".a",
            "a.com..",
            "a,b",
            "a@b",
            "a/b",
            "a?b",
            "a\\b",
            "a b",
            "a\tb",
            "[::1",
            "::1",
            "[::1]x",
            "[::g]",
            "[::1%25eth0]",
            "a:",
            "a:80x",
            "a:99999",
            "a:65536",
            "a:080",
            "a:-1",
            "a:8 0",
            "b\u{fc}cher.de",
            "evil.com%00.good",
            "a#b",
            "a;b",
            "a'b",
            "*.a",
            "a:80:80",
            &long,
        ];
        for given in rows {
            assert!(canonical(given.as_bytes()).is_err(), "{given:?}");
        }
        assert!(canonical(b"a\x00b").is_err());
    }

    #[test]
    fn all_places_agree_and_a_default_port_is_no_difference() {
        let choose = |places: [Option<&'static str>; 3]| {
            choose(Scheme::Https, places.map(|place| place.map(str::as_bytes))).map_err(|reject| reject.reason)
        };
        assert_eq!(choose([Some("a:443"), None, Some("A")]).as_deref(), Ok("a:443"));
        assert_eq!(choose([None, Some("a"), Some("b")]), Err("host_mismatch"));
        assert_eq!(choose([None, Some("a:80"), Some("a")]), Err("host_mismatch"));
        assert_eq!(choose([None, None, None]), Err("missing_host"));
        assert_eq!(choose([Some("a"), None, Some("")]), Err("bad_host"));
    }
}
