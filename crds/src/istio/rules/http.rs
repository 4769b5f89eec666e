// SPDX-License-Identifier: Apache-2.0
//! Rules of one HTTP rule of a VirtualService: what stands together, matches, destinations, header fields. Never
//! compares two rules.

use crate::istio::http::{HeaderOperations, Headers, HttpMatch, HttpRule};
use crate::istio::matching::{HeaderMatch, MatchKey, StringMatch};
use crate::istio::rules::shared::{destination, duration, expression, weights};
use crate::istio::rules::{facts, format, http_policy, streams};
use crate::istio::virtual_service::VirtualServiceSpec;
use crate::violation::{At, Findings};

pub(super) fn judge(rule: &HttpRule, spec: &VirtualServiceSpec, at: &At<'_>, found: &mut Findings) {
    judge_action(rule, spec.is_delegate(), at, found);
    for (index, part) in rule.matches.iter().enumerate() {
        judge_match(part, spec.is_for_mesh(), &at.field("match").item(index), found);
    }
    judge_headers(&rule.headers, &at.field("headers"), found);
    judge_hosts_set(rule, &at.field("headers"), found);
    let route = at.field("route");
    for (index, to) in rule.route.iter().enumerate() {
        let at = route.item(index);
        destination(&to.destination, &at.field("destination"), found);
        judge_headers(&to.headers, &at.field("headers"), found);
    }
    weights(rule.route.iter().map(|to| to.weight), &route, found);
    judge_mirrors(rule, at, found);
    duration(rule.timeout, &at.field("timeout"), found);
    http_policy::judge(rule, at, found);
}

/// `validateHTTPRouteConflict`: one thing becomes of a request.
fn judge_action(rule: &HttpRule, is_delegate: bool, at: &At<'_>, found: &mut Findings) {
    let mut beside = |field: &str, is_there: bool, what: &str| {
        if is_there {
            found.error(&at.field(field), format!("stands beside {what}"), "keep one of them, or write two rules");
        }
    };
    let has_route = !rule.route.is_empty();
    if rule.delegate.is_some() && !is_delegate {
        beside("redirect", rule.redirect.is_some(), "delegate");
        beside("route", has_route, "delegate");
        return;
    }
    if rule.redirect.is_some() || rule.direct_response.is_some() {
        let what = if rule.redirect.is_some() { "redirect" } else { "directResponse" };
        beside("route", has_route, what);
        beside("fault", rule.fault.is_some(), what);
        beside("rewrite", rule.rewrite.is_some(), what);
        beside("directResponse", rule.redirect.is_some() && rule.direct_response.is_some(), what);
    } else if !has_route {
        found.error(at, "does not say what becomes of requests", "add route, redirect, directResponse or delegate");
    }
    if is_delegate && rule.delegate.is_some() {
        found.error(
            &at.field("delegate"),
            "delegates what was delegated",
            "delegate from the VirtualService with hosts",
        );
    }
}

fn judge_match(part: &HttpMatch, is_for_mesh: bool, at: &At<'_>, found: &mut Findings) {
    if let Some(StringMatch::Regex(text)) = &part.uri {
        // The prefix of a path may be empty, that of other texts not.
        expression(text, &at.field("uri").field("regex"), found);
    }
    for (field, text) in [("scheme", &part.scheme), ("method", &part.method), ("authority", &part.authority)] {
        if let Some(text) = text {
            judge_text(text, &at.field(field), found);
        }
    }
    judge_header_matches(&part.headers, is_for_mesh, &at.field("headers"), found);
    judge_header_matches(&part.without_headers, is_for_mesh, &at.field("withoutHeaders"), found);
    for (name, text) in &part.query {
        judge_text(text, &at.field("queryParams").field(name), found);
    }
    streams::judge_source(&part.source_labels, &part.gateways, at, found);
    if part.source_namespace.as_deref().is_some_and(|namespace| !facts::is_label(namespace)) {
        found.error(&at.field("sourceNamespace"), "is not a namespace", "write the name of a namespace");
    }
}

/// `validateStringMatch`.
fn judge_text(text: &StringMatch, at: &At<'_>, found: &mut Findings) {
    match text {
        StringMatch::Prefix(prefix) if prefix.is_empty() => {
            found.error(&at.field("prefix"), "is empty", "write {} to match any value");
        }
        StringMatch::Regex(text) => expression(text, &at.field("regex"), found),
        _ => {}
    }
}

fn judge_header_matches(matches: &[HeaderMatch], is_for_mesh: bool, at: &At<'_>, found: &mut Findings) {
    for HeaderMatch { key, value } in matches {
        let name = key.written();
        let at = at.field(&name);
        match key {
            MatchKey::Header(name) if !facts::is_token(name) && !facts::is_pseudo_header(name) => {
                found.error(&at, "is not a name of a header", "use letters, digits and -");
            }
            MatchKey::Claim(_) if is_for_mesh => {
                found.error(&at, "asks for a claim, which only a Gateway knows", "name gateways, and not mesh");
            }
            MatchKey::Header(_) | MatchKey::Claim(_) => judge_text(value, &at, found),
        }
    }
}

fn judge_headers(headers: &Headers, at: &At<'_>, found: &mut Findings) {
    judge_operations(&headers.request, true, &at.field("request"), found);
    judge_operations(&headers.response, false, &at.field("response"), found);
}

fn judge_operations(operations: &HeaderOperations, may_set_host: bool, at: &At<'_>, found: &mut Findings) {
    for (field, values) in [("set", &operations.set), ("add", &operations.add)] {
        for (name, value) in values {
            let list = at.field(field);
            let at = list.field(name);
            judge_name(name, may_set_host, &at, found);
            if let Some(fault) = format::fault(value) {
                found.error(&at, fault, "write %% for a plain %");
            }
        }
    }
    for (index, name) in operations.remove.iter().enumerate() {
        judge_name(name, false, &at.field("remove").item(index), found);
    }
}

fn judge_name(name: &str, may_be_host: bool, at: &At<'_>, found: &mut Findings) {
    if facts::is_host_header(name) {
        if !may_be_host {
            found.error(at, "is the host, which can only be set, and of requests", "write rewrite.authority");
        }
    } else if name.starts_with(':') {
        found.error(at, "is a pseudo-header", "use rewrite or redirect");
    } else if !facts::is_token(name) {
        found.error(at, format!("is not a name of a header: {name:?}"), "use letters, digits and -");
    }
}

/// `validateAuthorityRewrite`: the host is set in one place.
fn judge_hosts_set(rule: &HttpRule, at: &At<'_>, found: &mut Findings) {
    let request = &rule.headers.request;
    let set = request.set.keys().chain(request.add.keys()).filter(|name| facts::is_host_header(name)).count();
    let rewritten = rule.rewrite.as_ref().is_some_and(|rewrite| rewrite.authority.is_some());
    if set + usize::from(rewritten) > 1 {
        found.error(&at.field("request"), "sets the host more than once", "keep rewrite.authority");
    }
}

fn judge_mirrors(rule: &HttpRule, at: &At<'_>, found: &mut Findings) {
    if rule.mirror.is_some() && !rule.mirrors.is_empty() {
        found.error(&at.field("mirror"), "stands beside mirrors", "add it to mirrors");
    }
    if let Some(to) = &rule.mirror {
        destination(to, &at.field("mirror"), found);
    }
    for (index, mirror) in rule.mirrors.iter().enumerate() {
        destination(&mirror.destination, &at.field("mirrors").item(index).field("destination"), found);
    }
    if let Some(percent) = rule.mirror_percent {
        let place = at.field("mirrorPercent");
        if percent > 100 {
            found.error(&place, "is more than 100", "write mirrorPercentage.value, 0 to 100");
        } else {
            found.warning(&place, "is deprecated", "write mirrorPercentage.value");
        }
    }
}
