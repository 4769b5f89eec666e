// SPDX-License-Identifier: Apache-2.0
//! The CORS filter. Never answers a preflight: it only reads what is allowed.

use torana_crds::filter::CorsPolicy;
use torana_ir::{Cors, HeaderName, Hostname, Method, OriginPattern, Unmatched};

use crate::report::Remark;
use crate::translate::matches::fault;

/// Checks a policy at `at`.
pub(super) fn cors(policy: &CorsPolicy, at: &str, faults: &mut Vec<Remark>) -> Cors {
    let mut allow_origins = Vec::with_capacity(policy.allow_origins.len());
    for (index, text) in policy.allow_origins.iter().enumerate() {
        if let Some(origin) = origin(text) {
            allow_origins.push(origin);
            continue;
        }
        let message = format!("{text:?} is not an origin");
        let at = format!("{at}.allowOrigins[{index}]");
        faults.push(fault(&at, message, "write scheme://host[:port], scheme://*.suffix or *"));
    }
    let (methods, any_method) = methods(&policy.allow_methods, at, faults);
    let (allow_headers, any_header) = names(&policy.allow_headers, &format!("{at}.allowHeaders"), faults);
    let (expose_headers, expose_any) = names(&policy.expose_headers, &format!("{at}.exposeHeaders"), faults);
    Cors {
        allow_origins,
        allow_credentials: policy.allow_credentials,
        allow_methods: (!methods.is_empty()).then_some(methods),
        any_method,
        allow_headers,
        any_header,
        expose_headers,
        expose_any,
        max_age: Some(policy.max_age()),
        unmatched: Unmatched::Refused,
    }
}

fn methods(texts: &[String], at: &str, faults: &mut Vec<Remark>) -> (Vec<Method>, bool) {
    if texts.iter().any(|text| text == "*") {
        return (Vec::new(), true);
    }
    let mut methods = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        match Method::new(text) {
            Ok(method) => methods.push(method),
            Err(error) => {
                faults.push(fault(&format!("{at}.allowMethods[{index}]"), error.to_string(), "write a method or *"));
            }
        }
    }
    (methods, false)
}

fn names(texts: &[String], at: &str, faults: &mut Vec<Remark>) -> (Vec<HeaderName>, bool) {
    if texts.iter().any(|text| text == "*") {
        return (Vec::new(), true);
    }
    let mut names = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        match HeaderName::new(text) {
            Ok(name) => names.push(name),
            Err(error) => faults.push(fault(&format!("{at}[{index}]"), error.to_string(), "write a header name or *")),
        }
    }
    (names, false)
}

/// `*`, `scheme://host[:port]`, `scheme://*.suffix[:port]`, `scheme://*[:port]`; lower case, without the scheme's own
/// port (browsers leave it out, RFC 6454 §6.2).
fn origin(text: &str) -> Option<OriginPattern> {
    if text == "*" {
        return Some(OriginPattern::Any);
    }
    let text = text.to_ascii_lowercase();
    let (scheme, own_port) = if text.starts_with("https://") { ("https://", ":443") } else { ("http://", ":80") };
    let authority = text.strip_prefix(scheme)?;
    let authority = authority.strip_suffix(own_port).unwrap_or(authority);
    let (host, port) = authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
    if port.is_some_and(|port| !is_port(port)) {
        return None;
    }
    match host.strip_prefix('*') {
        None => Hostname::new(host).map(|_| OriginPattern::Exact(format!("{scheme}{authority}"))),
        Some("") => Some(OriginPattern::Wildcard { scheme: scheme.to_owned(), suffix: authority.get(1..)?.to_owned() }),
        Some(suffix) => {
            Hostname::new(suffix.strip_prefix('.')?)?;
            Some(OriginPattern::Wildcard { scheme: scheme.to_owned(), suffix: authority.get(1..)?.to_owned() })
        }
    }
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wildcard(scheme: &str, suffix: &str) -> OriginPattern {
        OriginPattern::Wildcard { scheme: scheme.into(), suffix: suffix.into() }
    }

    #[test]
    fn origins_are_read_as_browsers_write_them() {
        let exact = |text: &str| Some(OriginPattern::Exact(text.into()));
        assert_eq!(origin("*"), Some(OriginPattern::Any));
        assert_eq!(origin("https://A.example.com"), exact("https://a.example.com"));
        assert_eq!(origin("https://a.com:443"), exact("https://a.com"));
        assert_eq!(origin("http://a.com:443"), exact("http://a.com:443"));
        assert_eq!(origin("http://localhost:3000"), exact("http://localhost:3000"));
        assert_eq!(origin("https://*.a.com"), Some(wildcard("https://", ".a.com")));
        assert_eq!(origin("https://*.a.com:8443"), Some(wildcard("https://", ".a.com:8443")));
        assert_eq!(origin("http://*"), Some(wildcard("http://", "")));
        assert_eq!(origin("http://*:8080"), Some(wildcard("http://", ":8080")));
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for bad in [
            "",
            "a.com",
            "ftp://a.com",
            "https://",
            "https://a.com/",
            "https://*a.com",
            "https://a.com:0",
            "https://a.com:x",
            "https://a.com:99999",
            "https://a.*.com",
            "https://*.",
        ] {
            assert_eq!(origin(bad), None, "{bad}");
        }
    }
}
