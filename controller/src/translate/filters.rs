// SPDX-License-Identifier: Apache-2.0
//! Filters of rules and of backendRefs. A filter that cannot be carried out is never skipped: requests that it should
//! have seen get 500 (`HTTPRouteFilter.extensionRef`). URLRewrite and RequestRedirect exclude each other; apart from
//! mirrors none may stand twice (`HTTPRouteRule.filters`).
//!
//! Never looks at matches beyond whether there is a prefix to replace.

use torana_crds::filter::{
    AuthProtocol as Spoken, ExternalAuth as Auth, Filter, PathModifier, RequestMirror, RequestRedirect, Scheme,
    UrlRewrite,
};
use torana_ir::{
    AUTH_PATIENCE, AuthProtocol, ExternalAuth, Filter as Step, HeaderName, Hostname, MOST_AUTH_BODY, Mirror,
    NamePattern, OnError, PathRewrite, Redirect, RedirectPort, Rewrite,
};

use crate::report::Remark;
use crate::report::conditions::route::INCOMPATIBLE_FILTERS;
use crate::store::Cluster;
use crate::translate::ledger::Ledger;
use crate::translate::listeners::is_address;
use crate::translate::matches::fault;
use crate::translate::{backends, cors, headers};

/// Where filters stand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'p> {
    /// `spec.rules[0].filters`.
    pub(super) path: &'p str,
    /// Whether they belong to a GRPCRoute.
    pub(super) of_grpc: bool,
    /// Whether the rule has exactly one match, and that is a path prefix.
    pub(super) replaces_prefix: bool,
}

/// Translates filters in their order; what is wrong with them goes to `faults`.
pub(super) fn filters(
    cluster: &Cluster,
    filters: &[Filter],
    place: Place<'_>,
    ledger: &mut Ledger,
    faults: &mut Vec<Remark>,
) -> Vec<Step> {
    compatible(filters, place.path, faults);
    let mut steps = Vec::with_capacity(filters.len());
    for (index, filter) in filters.iter().enumerate() {
        let at = format!("{}[{index}]", place.path);
        let field = |name: &str| format!("{at}.{name}");
        if place.of_grpc && is_http_only(filter) {
            let message = format!("{} is not supported on a GRPCRoute", filter.type_name());
            faults.push(fault(&at, message, "remove it"));
            continue;
        }
        match filter {
            Filter::RequestHeaderModifier(modifier) => {
                steps.push(Step::RequestHeaders(headers::edit(modifier, &field("requestHeaderModifier"), faults)));
            }
            Filter::ResponseHeaderModifier(modifier) => {
                steps.push(Step::ResponseHeaders(headers::edit(modifier, &field("responseHeaderModifier"), faults)));
            }
            Filter::RequestMirror(mirror) => {
                steps.extend(mirrored(cluster, mirror, &field("requestMirror"), ledger, faults).map(Step::Mirror));
            }
            Filter::RequestRedirect(redirect) => {
                steps.push(Step::Redirect(redirected(redirect, &field("requestRedirect"), place, faults)));
            }
            Filter::UrlRewrite(rewrite) => {
                steps.push(Step::Rewrite(rewritten(rewrite, &field("urlRewrite"), place, faults)));
            }
            Filter::Cors(policy) => steps.push(Step::Cors(cors::cors(policy, &field("cors"), faults))),
            Filter::ExternalAuth(auth) => {
                steps.extend(authorized(cluster, auth, &field("externalAuth"), ledger, faults).map(Step::ExternalAuth));
            }
            other => faults.push(unsupported(other, &at)),
        }
    }
    steps
}

/// Whoever cannot be asked has not said yes: requests get 403, and 500 if the reference is not good.
fn authorized(
    cluster: &Cluster,
    auth: &Auth,
    at: &str,
    ledger: &mut Ledger,
    faults: &mut Vec<Remark>,
) -> Option<ExternalAuth> {
    let protocol = match &auth.protocol {
        Spoken::Http => {
            let http = auth.http.clone().unwrap_or_default();
            let prefix = PathRewrite::Prefix(rooted(&http.path)).checked();
            if prefix.is_none() {
                let message = "the prefix cannot stand in a path".to_owned();
                faults.push(fault(&format!("{at}.http.path"), message, "write a path"));
            }
            let headers = names(&http.allowed_headers, &format!("{at}.http.allowedHeaders"), faults);
            let copied = names(&http.allowed_response_headers, &format!("{at}.http.allowedResponseHeaders"), faults);
            let copied = Some(copied).filter(|copied| !copied.is_empty());
            let (headers, copied) = (patterns(&headers), copied.as_deref().map(patterns));
            let (added, shown, refused) = (Vec::new(), Vec::new(), None);
            AuthProtocol::Http { prefix: prefix?, headers, copied, added, shown, refused }
        }
        Spoken::Grpc => {
            let grpc = auth.grpc.clone().unwrap_or_default();
            let headers = names(&grpc.allowed_headers, &format!("{at}.grpc.allowedHeaders"), faults);
            AuthProtocol::Grpc { headers: Some(headers).filter(|headers| !headers.is_empty()) }
        }
        Spoken::Other(other) => {
            faults.push(fault(
                &format!("{at}.protocol"),
                format!("protocol {other:?} is not known"),
                "use HTTP or GRPC",
            ));
            return None;
        }
    };
    let body = auth.forward_body.as_ref().map_or(0, |forward| forward.max_size);
    if body > MOST_AUTH_BODY {
        let message = format!("{body} bytes are more than are kept of a request");
        let remedy = format!("write at most {MOST_AUTH_BODY}");
        faults.push(fault(&format!("{at}.forwardBody.maxSize"), message, &remedy));
    }
    let target = backends::target(cluster, &auth.backend, &format!("{at}.backendRef"), ledger);
    Some(ExternalAuth {
        target,
        protocol,
        body,
        takes_part: false,
        as_bytes: false,
        timeout: AUTH_PATIENCE,
        on_error: OnError::default(),
        routes_anew: false,
    })
}

/// Names as they are.
fn patterns(names: &[HeaderName]) -> Vec<NamePattern> {
    names.iter().filter_map(|name| NamePattern::new(name.as_str()).ok()).collect()
}

fn rooted(prefix: &str) -> String {
    if prefix.is_empty() || prefix.starts_with('/') { prefix.to_owned() } else { format!("/{prefix}") }
}

fn names(written: &[String], at: &str, faults: &mut Vec<Remark>) -> Vec<HeaderName> {
    let read = |(index, name): (usize, &String)| {
        let at = format!("{at}[{index}]");
        if name.starts_with('*') || name.ends_with('*') {
            faults.push(fault(&at, format!("{name:?} would be a pattern"), "write each name"));
            return None;
        }
        HeaderName::new(name).map_err(|error| faults.push(fault(&at, error.to_string(), "correct the name"))).ok()
    };
    written.iter().enumerate().filter_map(read).collect()
}

/// `GRPCRouteFilter` has none of these.
fn is_http_only(filter: &Filter) -> bool {
    matches!(filter, Filter::UrlRewrite(_) | Filter::RequestRedirect(_) | Filter::Cors(_) | Filter::ExternalAuth(_))
}

fn unsupported(filter: &Filter, at: &str) -> Remark {
    match filter {
        Filter::ExtensionRef(to) => {
            let message = format!("a filter of kind {} in group {:?} is not known", to.kind, to.group);
            fault(at, message, "remove it; until then requests get 500")
        }
        Filter::Malformed { why, .. } => fault(at, why.clone(), "correct the filter"),
        other => {
            let message = format!("filters of type {} are not supported yet", other.type_name());
            fault(at, message, "remove it; until then requests get 500")
        }
    }
}

fn compatible(filters: &[Filter], path: &str, faults: &mut Vec<Remark>) {
    let mut seen: Vec<&str> = Vec::with_capacity(filters.len());
    for (index, filter) in filters.iter().enumerate() {
        let name = filter.type_name();
        let repeatable = matches!(name, "RequestMirror" | "ExtensionRef");
        let excluded = match name {
            "URLRewrite" => seen.contains(&"RequestRedirect").then_some("RequestRedirect"),
            "RequestRedirect" => seen.contains(&"URLRewrite").then_some("URLRewrite"),
            _ => None,
        };
        let message = match excluded {
            Some(other) => format!("{name} cannot be combined with {other}"),
            None if seen.contains(&name) && !repeatable => format!("{name} stands twice"),
            None => String::new(),
        };
        if !message.is_empty() {
            faults.push(Remark::error(INCOMPATIBLE_FILTERS, &format!("{path}[{index}]"), message, "keep one of them"));
        }
        seen.push(name);
    }
}

fn mirrored(
    cluster: &Cluster,
    mirror: &RequestMirror,
    at: &str,
    ledger: &mut Ledger,
    faults: &mut Vec<Remark>,
) -> Option<Mirror> {
    let (numerator, denominator) = match (mirror.percent, mirror.fraction) {
        (None, None) => (1, 1),
        (Some(percent), None) => (percent, 100),
        (None, Some(fraction)) => (fraction.numerator, fraction.denominator),
        (Some(_), Some(_)) => {
            faults.push(fault(at, "percent and fraction exclude each other".to_owned(), "keep one of them"));
            return None;
        }
    };
    if denominator == 0 || numerator > denominator {
        let message = format!("{numerator}/{denominator} is not a share of all requests");
        faults.push(fault(at, message, "write a share between 0 and 1"));
        return None;
    }
    let target = backends::target(cluster, &mirror.backend, &format!("{at}.backendRef"), ledger);
    Some(Mirror { target, numerator, denominator, shadow: false })
}

fn redirected(redirect: &RequestRedirect, at: &str, place: Place<'_>, faults: &mut Vec<Remark>) -> Redirect {
    let scheme = match &redirect.scheme {
        None => None,
        Some(Scheme::Http) => Some("http"),
        Some(Scheme::Https) => Some("https"),
        Some(Scheme::Other(other)) => {
            faults.push(fault(&format!("{at}.scheme"), format!("scheme {other:?} is not known"), "use http or https"));
            None
        }
    };
    let status = redirect.status_code;
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        let message = format!("{status} is not the status of a redirect");
        faults.push(fault(&format!("{at}.statusCode"), message, "use 301, 302, 303, 307 or 308"));
    }
    let hostname = hostname(redirect.hostname.as_deref(), at, faults);
    let path = path(redirect.path.as_ref(), at, place, faults);
    let port = redirect.port.map(RedirectPort::Number).unwrap_or_default();
    Redirect { scheme, host: hostname.map(Into::into), path, query: None, port, status }
}

fn rewritten(rewrite: &UrlRewrite, at: &str, place: Place<'_>, faults: &mut Vec<Remark>) -> Rewrite {
    let host = hostname(rewrite.hostname.as_deref(), at, faults).map(Into::into);
    Rewrite { host, path: path(rewrite.path.as_ref(), at, place, faults) }
}

/// `PreciseHostname`: no wildcard, no address.
fn hostname(text: Option<&str>, at: &str, faults: &mut Vec<Remark>) -> Option<Hostname> {
    let text = text?;
    let hostname = Hostname::new(text).filter(|_| !is_address(text));
    if hostname.is_none() {
        let message = format!("{text:?} is not a hostname");
        faults.push(fault(&format!("{at}.hostname"), message, "write a DNS name without a wildcard"));
    }
    hostname
}

fn path(modifier: Option<&PathModifier>, at: &str, place: Place<'_>, faults: &mut Vec<Remark>) -> Option<PathRewrite> {
    let rewrite = match modifier? {
        PathModifier::ReplaceFullPath(path) => PathRewrite::Full(path.clone()),
        PathModifier::ReplacePrefixMatch(prefix) if place.replaces_prefix => PathRewrite::Prefix(prefix.clone()),
        PathModifier::ReplacePrefixMatch(_) => {
            let message = "replacePrefixMatch needs exactly one match, of type PathPrefix".to_owned();
            faults.push(fault(&format!("{at}.path"), message, "use replaceFullPath or change the matches"));
            return None;
        }
        PathModifier::Malformed(why) => {
            faults.push(fault(&format!("{at}.path"), why.clone(), "correct the path"));
            return None;
        }
    };
    let checked = rewrite.checked();
    if checked.is_none() {
        let message = "the replacement cannot stand in a path".to_owned();
        faults.push(fault(&format!("{at}.path"), message, "begin it with / and escape special characters as %XX"));
    }
    checked
}
