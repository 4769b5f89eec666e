// SPDX-License-Identifier: Apache-2.0
//! What a rule of a VirtualService does to requests besides sending them on, as filters in the order of Istio's gateway:
//! faults, CORS, then redirect or answer. What cannot be read is a fault: the rule answers 503 instead.
//!
//! Never sends anything.

use torana_crds::istio::fault::{AbortStatus, Fault};
use torana_crds::istio::http_policy::{
    CorsPolicy, DerivePort, DirectResponse as Answer, Redirect as Written, RedirectPort as Port, RedirectScheme,
    Rewrite as Replaced, UnmatchedPreflights,
};
use torana_crds::istio::matching::StringMatch;
use torana_crds::istio::scalars::Percent;
use torana_ir::{
    Abort, AbortWith, Authority, Cors, Delay, DirectResponse, Filter, HeaderName, MOST_DIRECT_BODY, Method,
    OriginPattern, PathRewrite, Redirect, RedirectPort, Regex, RegexRewrite, Rewrite, Share, Unmatched,
};

use crate::report::Remark;
use crate::translate::istio::bindings::Binding;
use crate::translate::servers::UNSUPPORTED;

fn fault(at: &str, message: impl Into<String>, remedy: &str) -> Remark {
    Remark::error(UNSUPPORTED, at, format!("{}, so requests get 503", message.into()), remedy)
}

/// A percentage as a share.
pub(super) fn share(percent: Percent) -> Share {
    Share::new(percent.per_million()).unwrap_or(Share::ALL)
}

/// `fault`.
pub(super) fn injected(written: &Fault) -> impl Iterator<Item = Filter> {
    let some = |percent| Some(share(percent)).filter(|share| share.millionths() > 0);
    let delay = written.delay.as_ref().and_then(|delay| {
        let share = some(delay.percentage)?;
        Some(Filter::Delay(Delay { time: delay.fixed_delay?, share }))
    });
    let abort = written.abort.as_ref().and_then(|abort| {
        let share = some(abort.percentage)?;
        let with = match abort.status? {
            AbortStatus::Http(status) => AbortWith::Http(status),
            AbortStatus::Grpc(status) => AbortWith::Grpc(status.code()),
        };
        Some(Filter::Abort(Abort { with, share }))
    });
    delay.into_iter().chain(abort)
}

/// `corsPolicy`, written at `at`.
pub(super) fn cors(written: &CorsPolicy, at: &str, faults: &mut Vec<Remark>) -> Cors {
    let mut allow_origins = Vec::with_capacity(written.allow_origins.len());
    for (index, origin) in written.allow_origins.iter().enumerate() {
        match origin {
            StringMatch::Exact(any) if any == "*" => allow_origins.push(OriginPattern::Any),
            StringMatch::Exact(exact) => allow_origins.push(OriginPattern::Exact(exact.clone())),
            StringMatch::Prefix(prefix) => allow_origins.push(OriginPattern::Prefix(prefix.clone())),
            StringMatch::Regex(pattern) => match Regex::new(pattern) {
                Ok(regex) => allow_origins.push(OriginPattern::Regex(regex)),
                Err(error) => {
                    let at = format!("{at}.allowOrigins[{index}].regex");
                    faults.push(fault(&at, error.to_string(), "correct the expression"));
                }
            },
            // Neither exact nor anything else: no origin is.
            StringMatch::Any => {}
        }
    }
    let methods = |text: &String| {
        let method = Method::new(text);
        method
            .map_err(|error| faults.push(fault(&format!("{at}.allowMethods"), error.to_string(), "write methods")))
            .ok()
    };
    let is_any = |texts: &[String]| texts.iter().any(|text| text == "*");
    let allow_methods: Vec<_> = written.allow_methods.iter().filter(|text| *text != "*").filter_map(methods).collect();
    let mut names = |texts: &[String], field: &str| -> Vec<HeaderName> {
        let read = |text: &String| {
            let name = HeaderName::new(text);
            name.map_err(|error| faults.push(fault(&format!("{at}.{field}"), error.to_string(), "write names"))).ok()
        };
        texts.iter().filter(|text| *text != "*").filter_map(read).collect()
    };
    Cors {
        allow_origins,
        allow_credentials: written.allow_credentials.unwrap_or_default(),
        allow_methods: (!allow_methods.is_empty()).then_some(allow_methods),
        any_method: is_any(&written.allow_methods),
        allow_headers: names(&written.allow_headers, "allowHeaders"),
        any_header: is_any(&written.allow_headers),
        expose_headers: names(&written.expose_headers, "exposeHeaders"),
        expose_any: is_any(&written.expose_headers),
        max_age: written.max_age,
        unmatched: match written.unmatched_preflights {
            UnmatchedPreflights::Forward => Unmatched::Forwarded,
            UnmatchedPreflights::Ignore => Unmatched::Ignored,
        },
    }
}

/// `redirect`, written at `at`. A port that goes without saying is not said.
pub(super) fn redirect(written: &Written, place: &Binding<'_>, at: &str, faults: &mut Vec<Remark>) -> Redirect {
    let scheme = written.scheme.map(|scheme| match scheme {
        RedirectScheme::Http => "http",
        RedirectScheme::Https => "https",
    });
    let known = scheme.unwrap_or(if place.over_tls { "https" } else { "http" });
    let port = match written.port {
        Port::Unspecified | Port::Derived(DerivePort::ProtocolDefault) => None,
        Port::Derived(DerivePort::Request) => Some(place.port),
        Port::Number(number) => Some(number),
    };
    let port = port.filter(|port| !matches!((known, port), ("http", 80) | ("https", 443)));
    if !matches!(written.code, 301 | 302 | 303 | 307 | 308) {
        let message = format!("{} is not the status of a redirect", written.code);
        faults.push(fault(&format!("{at}.redirectCode"), message, "use 301, 302, 303, 307 or 308"));
    }
    let mut query = None;
    let path = match (&written.prefix_rewrite, &written.uri) {
        (Some(prefix), _) => Some((PathRewrite::Text(prefix.clone()), "prefixRewrite")),
        (None, Some(uri)) => {
            let (path, rest) = uri.split_once('?').map_or((uri.as_str(), None), |(path, query)| (path, Some(query)));
            query = rest.map(str::to_owned);
            Some((PathRewrite::Full(path.to_owned()), "uri"))
        }
        (None, None) => None,
    };
    Redirect {
        scheme,
        host: authority(written.authority.as_deref(), &format!("{at}.authority"), faults),
        path: path.and_then(|(path, field)| checked(path, &format!("{at}.{field}"), faults)),
        query,
        port: port.map_or(RedirectPort::Kept, RedirectPort::Number),
        status: written.code,
    }
}

fn authority(text: Option<&str>, at: &str, faults: &mut Vec<Remark>) -> Option<Authority> {
    Authority::new(text?).map_err(|error| faults.push(fault(at, error.to_string(), "write a host"))).ok()
}

fn checked(path: PathRewrite, at: &str, faults: &mut Vec<Remark>) -> Option<PathRewrite> {
    let checked = path.checked();
    if checked.is_none() {
        faults.push(fault(at, "it cannot stand in a path", "escape special characters as %XX"));
    }
    checked
}

/// `directResponse`, written at `at`.
pub(super) fn answer(written: &Answer, at: &str, faults: &mut Vec<Remark>) -> DirectResponse {
    if !(200..600).contains(&written.status) {
        let message = format!("{} is not the status of an answer", written.status);
        faults.push(fault(&format!("{at}.status"), message, "use 200 to 599"));
    }
    if written.body.len() > MOST_DIRECT_BODY {
        faults.push(fault(&format!("{at}.body"), "it is larger than 1 MiB", "answer with less"));
    }
    DirectResponse { status: written.status, body: written.body.clone() }
}

/// `rewrite`, written at `at`; `host` is what header operations say of it.
pub(super) fn rewrite(
    written: Option<&Replaced>,
    host: Option<Authority>,
    at: &str,
    faults: &mut Vec<Remark>,
) -> Option<Rewrite> {
    let own = written.and_then(|it| authority(it.authority.as_deref(), &format!("{at}.authority"), faults));
    let path = written.and_then(|it| match (&it.uri_regex_rewrite, &it.uri) {
        (Some(regex), _) => match RegexRewrite::new(&regex.pattern, &regex.rewrite) {
            Ok(rewrite) => Some(PathRewrite::Regex(rewrite)),
            Err(error) => {
                faults.push(fault(&format!("{at}.uriRegexRewrite"), error.to_string(), "correct it"));
                None
            }
        },
        (None, Some(uri)) => checked(PathRewrite::Text(uri.clone()), &format!("{at}.uri"), faults),
        (None, None) => None,
    });
    let host = own.or(host);
    (host.is_some() || path.is_some()).then_some(Rewrite { host, path })
}
