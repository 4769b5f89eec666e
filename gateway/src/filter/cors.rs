// SPDX-License-Identifier: Apache-2.0
//! `CORS`: answers preflights and marks actual responses.
//!
//! Spec: "HTTPCORSFilter defines a filter that responds to CORS preflight requests and adds CORS headers to responses."
//! An origin that is not allowed gets 403 for its preflight and no `Access-Control-Allow-Origin` for anything else.

use torana_ir::{OriginPattern, Unmatched};

use crate::answer::Answer;
use crate::head::{Fields, Head, ResponseHead};

const ALLOW_ORIGIN: &str = "access-control-allow-origin";
const EXPOSE: &str = "access-control-expose-headers";

/// Which origins may do what.
#[derive(Debug)]
pub struct Cors {
    origins: Box<[OriginPattern]>,
    credentials: bool,
    methods: Listed,
    headers: Listed,
    exposed: Listed,
    max_age: Option<String>,
    unmatched: Unmatched,
}

/// A list, prepared as a field value.
#[derive(Debug)]
enum Listed {
    Any,
    Some(String),
    None,
}

impl Cors {
    /// Prepares `cors`.
    pub fn compile(cors: &torana_ir::Cors) -> Self {
        let methods = cors.allow_methods.as_deref().unwrap_or_default();
        Self {
            origins: cors.allow_origins.iter().map(without_default_port).collect(),
            credentials: cors.allow_credentials,
            methods: Listed::new(cors.any_method, methods.iter().map(torana_ir::Method::as_str)),
            headers: Listed::new(cors.any_header, cors.allow_headers.iter().map(torana_ir::HeaderName::as_str)),
            exposed: Listed::new(cors.expose_any, cors.expose_headers.iter().map(torana_ir::HeaderName::as_str)),
            max_age: cors.max_age.map(|age| age.as_secs().to_string()),
            unmatched: cors.unmatched,
        }
    }

    /// The answer, if `head` is a preflight: `OPTIONS` with `Origin` and `Access-Control-Request-Method` (Fetch §3.3.1).
    pub fn preflight(&self, head: &Head) -> Option<Answer> {
        let origin = head.fields.first("origin")?;
        let method = head.fields.first("access-control-request-method")?;
        if head.method() != "OPTIONS" {
            return None;
        }
        if !self.allows(origin) {
            return match self.unmatched {
                Unmatched::Refused => Some(Answer::new(403).with("vary", b"Origin")),
                Unmatched::Forwarded => None,
                Unmatched::Ignored => Some(Answer::new(200)),
            };
        }
        let mut answer = Answer::new(200);
        let fields = &mut answer.fields;
        self.mark(origin, fields);
        // What is exposed of an answer without content is nothing but the configuration's own list.
        if let Listed::Some(exposed) = &self.exposed {
            fields.push(EXPOSE.as_bytes(), exposed.as_bytes());
        }
        // `*` is literal for requests with credentials (Fetch §3.3.3), so what was asked for is named instead.
        if let Some(methods) = self.methods.value(self.credentials.then_some(method)) {
            fields.push(b"access-control-allow-methods", methods);
        }
        let asked = head.fields.first("access-control-request-headers");
        // `*` never covers `Authorization` (Fetch §3.3.4), so headers are named whenever some were asked for.
        if let Some(headers) = self.headers.value(asked) {
            fields.push(b"access-control-allow-headers", headers);
        }
        if let Some(age) = &self.max_age {
            fields.push(b"access-control-max-age", age.as_bytes());
        }
        if matches!(self.headers, Listed::Any) {
            fields.push(b"vary", b"Access-Control-Request-Headers");
        }
        Some(answer)
    }

    /// Marks the response to a request that came with `origin`. What the backend said of origins is replaced.
    pub fn apply(&self, origin: Option<&[u8]>, head: &mut ResponseHead) {
        let allowed = origin.filter(|origin| self.allows(origin));
        if allowed.is_none() && self.unmatched == Unmatched::Forwarded {
            return;
        }
        if origin.is_some() {
            head.fields.remove(ALLOW_ORIGIN);
            head.fields.remove("access-control-allow-credentials");
        }
        match allowed {
            Some(origin) => {
                head.fields.remove(EXPOSE);
                let exposed = self.exposed(&head.fields);
                self.mark(origin, &mut head.fields);
                if !exposed.is_empty() {
                    head.fields.push(EXPOSE.as_bytes(), &exposed);
                }
            }
            None => vary(&mut head.fields),
        }
    }

    /// Fields that preflights and actual responses share.
    fn mark(&self, origin: &[u8], fields: &mut Fields) {
        // Named even where `*` would do: a request may carry credentials that the user did not think of.
        fields.push(ALLOW_ORIGIN.as_bytes(), origin);
        if self.credentials {
            fields.push(b"access-control-allow-credentials", b"true");
        }
        vary(fields);
    }

    /// What scripts may read of an answer with these fields.
    fn exposed(&self, fields: &Fields) -> Vec<u8> {
        match &self.exposed {
            Listed::None => Vec::new(),
            Listed::Some(names) => names.as_bytes().to_vec(),
            Listed::Any if !self.credentials => b"*".to_vec(),
            // `*` is literal with credentials, and the spec forbids to send it: all that there is, is named instead.
            Listed::Any => {
                let mut names: Vec<&[u8]> = fields.iter().map(|(_, name, _)| name).collect();
                names.sort_unstable();
                names.dedup();
                names.retain(|name| !name.starts_with(b"access-control-"));
                names.join(&b", "[..])
            }
        }
    }

    fn allows(&self, origin: &[u8]) -> bool {
        self.origins.iter().any(|pattern| covers(pattern, origin))
    }
}

impl Listed {
    fn new<'a>(any: bool, names: impl Iterator<Item = &'a str>) -> Self {
        let names: Vec<_> = names.collect();
        match (any, names.is_empty()) {
            (true, _) => Self::Any,
            (false, true) => Self::None,
            (false, false) => Self::Some(names.join(", ")),
        }
    }

    /// The field value; `asked` stands in for `*`.
    fn value<'a>(&'a self, asked: Option<&'a [u8]>) -> Option<&'a [u8]> {
        match self {
            Self::Any => Some(asked.unwrap_or(b"*")),
            Self::Some(names) => Some(names.as_bytes()),
            Self::None => None,
        }
    }
}

/// Caches must keep answers to different origins apart.
fn vary(fields: &mut Fields) {
    let names_origin =
        |value: &[u8]| value.split(|byte| *byte == b',').any(|name| name.trim_ascii().eq_ignore_ascii_case(b"origin"));
    if !fields.values("vary").any(names_origin) {
        fields.push(b"vary", b"Origin");
    }
}

fn covers(pattern: &OriginPattern, origin: &[u8]) -> bool {
    match pattern {
        OriginPattern::Any => true,
        OriginPattern::Exact(exact) => exact.as_bytes().eq_ignore_ascii_case(origin),
        OriginPattern::Wildcard { scheme, suffix } => starred(scheme.as_bytes(), suffix.as_bytes(), origin),
        OriginPattern::Prefix(prefix) => origin.starts_with(prefix.as_bytes()),
        OriginPattern::Regex(regex) => str::from_utf8(origin).is_ok_and(|origin| regex.is_match(origin)),
    }
}

/// The star spans one or more labels, and nothing that is not a label.
fn starred(scheme: &[u8], suffix: &[u8], origin: &[u8]) -> bool {
    let Some((head, rest)) = origin.split_at_checked(scheme.len()) else { return false };
    let Some(at) = rest.len().checked_sub(suffix.len()) else { return false };
    let (labels, tail) = rest.split_at(at);
    let label = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    head.eq_ignore_ascii_case(scheme)
        && tail.eq_ignore_ascii_case(suffix)
        && !labels.is_empty()
        && !labels.starts_with(b".")
        && labels.iter().all(label)
}

/// Browsers leave out a scheme's own port (RFC 6454 §6.2).
fn without_default_port(pattern: &OriginPattern) -> OriginPattern {
    let cut = |text: &str, http: bool| {
        let port = if http { ":80" } else { ":443" };
        text.strip_suffix(port).unwrap_or(text).to_owned()
    };
    match pattern {
        OriginPattern::Any | OriginPattern::Prefix(_) | OriginPattern::Regex(_) => pattern.clone(),
        OriginPattern::Exact(exact) => OriginPattern::Exact(cut(exact, exact.starts_with("http:"))),
        OriginPattern::Wildcard { scheme, suffix } => OriginPattern::Wildcard {
            scheme: scheme.clone(),
            suffix: cut(suffix, scheme.eq_ignore_ascii_case("http://")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::{Scheme, Version};
    use std::time::Duration;
    use torana_ir::{HeaderName, Method};

    fn spec(origins: &[&str]) -> torana_ir::Cors {
        let origin = |text: &&str| match text.split_once('*') {
            Some(("", "")) => OriginPattern::Any,
            Some((scheme, suffix)) => OriginPattern::Wildcard { scheme: scheme.into(), suffix: suffix.into() },
            None => OriginPattern::Exact((*text).to_owned()),
        };
        torana_ir::Cors {
            allow_origins: origins.iter().map(origin).collect(),
            max_age: Some(Duration::from_secs(5)),
            ..torana_ir::Cors::default()
        }
    }

    fn request(method: &str, fields: &[(&str, &str)]) -> Head {
        let mut head = Head::new(Version::Http11, Scheme::Https, method, "a.com", "/");
        for (name, value) in fields {
            head.fields.push(name.as_bytes(), value.as_bytes());
        }
        head
    }

    fn preflight(cors: &torana_ir::Cors, origin: &str) -> Answer {
        let fields = [
            ("origin", origin),
            ("access-control-request-method", "PUT"),
            ("access-control-request-headers", "x-a, authorization"),
        ];
        Cors::compile(cors).preflight(&request("OPTIONS", &fields)).unwrap()
    }

    fn text(fields: &Fields, name: &str) -> Option<String> {
        fields.joined(name).map(std::borrow::Cow::into_owned)
    }

    #[test]
    fn origins_are_compared_as_a_whole() {
        let rows = [
            ("https://a.com", "https://a.com", true),
            ("https://a.com", "HTTPS://A.com", true),
            ("https://a.com", "https://a.com:8443", false),
            ("https://a.com", "http://a.com", false),
            ("https://a.com", "https://a.com.evil", false),
            ("https://a.com:443", "https://a.com", true),
            ("http://*.a.com:80", "http://x.a.com", true),
            ("https://*.a.com", "https://x.a.com", true),
            ("https://*.a.com", "https://y.x.a.com", true),
            ("https://*.a.com", "https://a.com", false),
            ("https://*.a.com", "https://.a.com", false),
            ("https://*.a.com", "https://evil.com/.a.com", false),
            ("https://*.a.com", "https://evil.com:1@x.a.com", false),
            ("https://*.a.com", "http", false),
            ("*", "null", true),
        ];
        for (pattern, origin, expected) in rows {
            assert_eq!(Cors::compile(&spec(&[pattern])).allows(origin.as_bytes()), expected, "{pattern} {origin}");
        }
    }

    #[test]
    fn a_preflight_is_answered_with_what_is_allowed() {
        let cors = torana_ir::Cors {
            allow_methods: Some(vec![Method::new("GET").unwrap(), Method::new("OPTIONS").unwrap()]),
            allow_headers: vec![HeaderName::new("x-1").unwrap(), HeaderName::new("x-2").unwrap()],
            expose_headers: vec![HeaderName::new("x-3").unwrap()],
            allow_credentials: true,
            ..spec(&["https://a.com"])
        };
        let answer = preflight(&cors, "https://a.com");
        let field = |name| text(&answer.fields, name);
        assert_eq!(answer.status, 200);
        assert_eq!(field("access-control-allow-origin").as_deref(), Some("https://a.com"));
        assert_eq!(field("access-control-allow-methods").as_deref(), Some("GET, OPTIONS"));
        assert_eq!(field("access-control-allow-headers").as_deref(), Some("x-1, x-2"));
        assert_eq!(field("access-control-expose-headers").as_deref(), Some("x-3"));
        assert_eq!(field("access-control-allow-credentials").as_deref(), Some("true"));
        assert_eq!(field("access-control-max-age").as_deref(), Some("5"));
        assert_eq!(field("vary").as_deref(), Some("Origin"));
    }

    #[test]
    fn stars_are_spelled_out_where_browsers_do_not_read_them() {
        let any = torana_ir::Cors { any_method: true, any_header: true, ..spec(&["*"]) };
        let answer = preflight(&any, "https://a.com:12345");
        assert_eq!(text(&answer.fields, "access-control-allow-origin").as_deref(), Some("https://a.com:12345"));
        assert_eq!(text(&answer.fields, "access-control-allow-methods").as_deref(), Some("*"));
        assert_eq!(text(&answer.fields, "access-control-allow-headers").as_deref(), Some("x-a, authorization"));
        let credentials = torana_ir::Cors { allow_credentials: true, ..any };
        let answer = preflight(&credentials, "https://a.com:12345");
        assert_eq!(text(&answer.fields, "access-control-allow-origin").as_deref(), Some("https://a.com:12345"));
        assert_eq!(text(&answer.fields, "access-control-allow-methods").as_deref(), Some("PUT"));
    }

    #[test]
    fn with_credentials_every_field_of_the_answer_is_exposed_by_its_name() {
        let any = torana_ir::Cors { expose_any: true, ..spec(&["https://a.com"]) };
        for (allow_credentials, expected) in [(false, "*"), (true, "etag, x-seen")] {
            let mut head = ResponseHead::new(200);
            for name in ["X-Seen", "ETag", "x-seen", "Access-Control-Expose-Headers"] {
                head.fields.push(name.as_bytes(), b"1");
            }
            let cors = torana_ir::Cors { allow_credentials, ..any.clone() };
            Cors::compile(&cors).apply(Some(b"https://a.com"), &mut head);
            assert_eq!(text(&head.fields, EXPOSE).as_deref(), Some(expected));
        }
    }

    #[test]
    fn a_foreign_origin_is_told_nothing() {
        let answer = preflight(&spec(&["https://a.com"]), "https://b.com");
        assert_eq!((answer.status, text(&answer.fields, "access-control-allow-origin")), (403, None));
        let mut head = ResponseHead::new(200);
        head.fields.push(b"access-control-allow-origin", b"*");
        Cors::compile(&spec(&["https://a.com"])).apply(Some(b"https://b.com"), &mut head);
        assert_eq!(text(&head.fields, "access-control-allow-origin"), None);
    }

    #[test]
    fn only_a_preflight_is_answered_here() {
        let cors = Cors::compile(&spec(&["*"]));
        let method = ("access-control-request-method", "GET");
        assert!(cors.preflight(&request("OPTIONS", &[("origin", "https://a.com")])).is_none());
        assert!(cors.preflight(&request("OPTIONS", &[method])).is_none());
        assert!(cors.preflight(&request("GET", &[("origin", "https://a.com"), method])).is_none());
    }

    #[test]
    fn an_actual_response_names_its_origin_once() {
        let cors = Cors::compile(&spec(&["https://a.com", "https://b.com"]));
        let mut head = ResponseHead::new(200);
        head.fields.push(b"Access-Control-Allow-Origin", b"https://backend");
        head.fields.push(b"vary", b"accept-encoding, origin");
        cors.apply(Some(b"https://a.com"), &mut head);
        assert_eq!(text(&head.fields, "access-control-allow-origin").as_deref(), Some("https://a.com"));
        assert_eq!(text(&head.fields, "access-control-allow-credentials"), None);
        assert_eq!(text(&head.fields, "vary").as_deref(), Some("accept-encoding, origin"));
        let mut plain = ResponseHead::new(200);
        cors.apply(None, &mut plain);
        assert_eq!((plain.fields.len(), text(&plain.fields, "vary").as_deref()), (1, Some("Origin")));
    }

    #[test]
    fn what_becomes_of_preflights_of_strangers_is_said_by_the_policy() {
        let preflight = |origin: &str| {
            let mut head = Head::new(Version::Http11, Scheme::Http, "OPTIONS", "a.com", "/");
            head.fields.push(b"origin", origin.as_bytes());
            head.fields.push(b"access-control-request-method", b"GET");
            head
        };
        let allow_origins = vec![
            OriginPattern::Prefix("https://a.".to_owned()),
            OriginPattern::Regex(torana_ir::Regex::new("http://[bc]").unwrap()),
        ];
        for (unmatched, expected) in
            [(Unmatched::Refused, Some(403)), (Unmatched::Forwarded, None), (Unmatched::Ignored, Some(200))]
        {
            let cors =
                torana_ir::Cors { allow_origins: allow_origins.clone(), unmatched, ..torana_ir::Cors::default() };
            let cors = Cors::compile(&cors);
            let status = |origin| cors.preflight(&preflight(origin)).map(|answer| answer.status);
            assert_eq!(status("https://b.a."), expected, "{unmatched:?}");
            let allowed = cors.preflight(&preflight("https://a.com")).unwrap();
            assert_eq!(allowed.fields.first(ALLOW_ORIGIN), Some(&b"https://a.com"[..]));
            assert!(allowed.fields.first("access-control-max-age").is_none());
            assert_eq!((status("http://b"), status("http://bb")), (Some(200), expected));
            let mut response = ResponseHead::new(200);
            response.fields.push(ALLOW_ORIGIN.as_bytes(), b"*");
            cors.apply(Some(b"https://b.com"), &mut response);
            // Where strangers' preflights go on, the backend says what they may.
            assert_eq!(response.fields.first(ALLOW_ORIGIN).is_some(), unmatched == Unmatched::Forwarded);
        }
    }
}
