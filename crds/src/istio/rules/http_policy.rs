// SPDX-License-Identifier: Apache-2.0
//! Rules of redirects, answers, rewrites, retries, faults and CORS. Never about what they stand beside.

use crate::istio::fault::{AbortStatus, Fault};
use crate::istio::http::{HttpMatch, HttpRule};
use crate::istio::http_policy::{CorsPolicy, DirectResponse, Redirect, RedirectPort, Retries, Rewrite};
use crate::istio::matching::StringMatch;
use crate::istio::rules::facts;
use crate::istio::rules::shared::{duration, expression};
use crate::violation::{At, Findings};

/// Methods that CORS may allow.
const METHODS: [&str; 10] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE", "*"];

pub(super) fn judge(rule: &HttpRule, at: &At<'_>, found: &mut Findings) {
    if let Some(redirect) = &rule.redirect {
        judge_redirect(redirect, &rule.matches, &at.field("redirect"), found);
    }
    if let Some(response) = &rule.direct_response {
        judge_response(response, &at.field("directResponse"), found);
    }
    if let Some(rewrite) = &rule.rewrite {
        judge_rewrite(rewrite, &at.field("rewrite"), found);
    }
    if let Some(retries) = &rule.retries {
        judge_retries(retries, &at.field("retries"), found);
    }
    if let Some(fault) = &rule.fault {
        judge_fault(fault, &at.field("fault"), found);
    }
    if let Some(cors) = &rule.cors_policy {
        judge_cors(cors, &at.field("corsPolicy"), found);
    }
}

fn judge_redirect(redirect: &Redirect, matches: &[HttpMatch], at: &At<'_>, found: &mut Findings) {
    if redirect.uri.is_some() && redirect.prefix_rewrite.is_some() {
        found.error(at, "has both uri and prefixRewrite", "keep one of them");
    }
    let is_prefix = |part: &HttpMatch| matches!(part.uri, None | Some(StringMatch::Prefix(_)));
    if redirect.prefix_rewrite.is_some() && !matches.iter().all(is_prefix) {
        found.error(&at.field("prefixRewrite"), "needs matches of uri by prefix", "match uri.prefix, or write uri");
    }
    let says_something = redirect.uri.is_some()
        || redirect.prefix_rewrite.is_some()
        || redirect.authority.is_some()
        || redirect.scheme.is_some()
        || redirect.port != RedirectPort::Unspecified;
    if !says_something {
        found.error(at, "leads back to where it came from", "add uri, prefixRewrite, authority, scheme or port");
    }
    match redirect.code {
        301 | 302 | 303 | 307 | 308 => {}
        300..=399 => found.warning(
            &at.field("redirectCode"),
            format!("is {}, with which nobody is redirected", redirect.code),
            "write 301, 302, 303, 307 or 308",
        ),
        _ => found.error(&at.field("redirectCode"), "is not 3xx", "write 301, 302, 303, 307 or 308"),
    }
}

fn judge_response(response: &DirectResponse, at: &At<'_>, found: &mut Findings) {
    judge_status(response.status, &at.field("status"), found);
    match response.body.len() {
        0..=102_400 => {}
        102_401..=1_048_576 => found.warning(&at.field("body"), "is larger than 100 KB", "serve it from a backend"),
        _ => found.error(&at.field("body"), "is larger than 1 MB", "serve it from a backend"),
    }
}

fn judge_status(status: u16, at: &At<'_>, found: &mut Findings) {
    if !(200..=600).contains(&status) {
        found.error(at, format!("is {status}, which is no answer"), "use 200 to 599");
    }
}

fn judge_rewrite(rewrite: &Rewrite, at: &At<'_>, found: &mut Findings) {
    if rewrite.uri.is_some() && rewrite.uri_regex_rewrite.is_some() {
        found.error(at, "has both uri and uriRegexRewrite", "keep one of them");
    }
    let Some(regex) = &rewrite.uri_regex_rewrite else {
        if rewrite.uri.is_none() && rewrite.authority.is_none() {
            found.error(at, "rewrites nothing", "add uri, uriRegexRewrite or authority");
        }
        return;
    };
    let at = at.field("uriRegexRewrite");
    expression(&regex.pattern, &at.field("match"), found);
    if regex.rewrite.is_empty() {
        found.error(&at.field("rewrite"), "is empty", "write what comes instead, such as /\\1");
    }
}

fn judge_retries(retries: &Retries, at: &At<'_>, found: &mut Findings) {
    let says_how =
        retries.per_try_timeout.is_some() || retries.retry_on.is_some() || retries.retry_remote_localities.is_some();
    if retries.attempts == 0 && says_how {
        found.error(&at.field("attempts"), "is 0: the rest has no effect", "say how many tries there may be");
    }
    duration(retries.per_try_timeout, &at.field("perTryTimeout"), found);
    duration(retries.backoff, &at.field("backoff"), found);
    let Some(on) = &retries.retry_on else { return };
    let unknown = on.codes.iter().filter(|code| !facts::is_known_status(**code)).map(ToString::to_string);
    for text in on.unknown.iter().cloned().chain(unknown) {
        let remedy = "use names such as 5xx, connect-failure, unavailable and status codes, with commas and no spaces";
        found.error(&at.field("retryOn"), format!("has no such reason: {text:?}"), remedy);
    }
}

fn judge_fault(fault: &Fault, at: &At<'_>, found: &mut Findings) {
    if fault.delay.is_none() && fault.abort.is_none() {
        found.error(at, "does nothing", "add delay or abort");
    }
    if let Some(delay) = &fault.delay {
        let place = at.field("delay");
        duration(delay.fixed_delay, &place.field("fixedDelay"), found);
        if delay.fixed_delay.is_none() {
            found.warning(&place, "delays nothing", "add fixedDelay");
        }
    }
    if let Some(abort) = &fault.abort {
        let place = at.field("abort");
        match abort.status {
            None => found.warning(&place, "aborts nothing", "add httpStatus or grpcStatus"),
            Some(AbortStatus::Http(status)) => judge_status(status, &place.field("httpStatus"), found),
            Some(AbortStatus::Grpc(_)) => {}
        }
    }
}

fn judge_cors(cors: &CorsPolicy, at: &At<'_>, found: &mut Findings) {
    let origins = at.field("allowOrigins");
    for (index, origin) in cors.allow_origins.iter().enumerate() {
        let at = origins.item(index);
        match origin {
            StringMatch::Regex(text) => expression(text, &at.field("regex"), found),
            StringMatch::Exact(text) | StringMatch::Prefix(text) if !text.is_empty() => {}
            _ => found.error(&at, "is empty", "write exact, prefix or regex; regex .* is every origin"),
        }
    }
    let methods = at.field("allowMethods");
    for (index, method) in cors.allow_methods.iter().enumerate() {
        if !METHODS.contains(&method.as_str()) {
            found.error(&methods.item(index), format!("is not a method: {method:?}"), "use GET, POST … or *");
        }
    }
    for (field, names) in [("allowHeaders", &cors.allow_headers), ("exposeHeaders", &cors.expose_headers)] {
        for (index, name) in names.iter().enumerate() {
            if !facts::is_token(name) {
                let place = at.field(field);
                found.error(
                    &place.item(index),
                    format!("is not a name of a header: {name:?}"),
                    "use letters, digits and -",
                );
            }
        }
    }
    let max_age = at.field("maxAge");
    duration(cors.max_age, &max_age, found);
    if cors.max_age.is_some_and(|age| age.subsec_nanos() > 0) {
        found.error(&max_age, "is not a whole number of seconds", "write it like 24h or 600s");
    }
}
