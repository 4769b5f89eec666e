// SPDX-License-Identifier: Apache-2.0
//! What a request may, read from policies as they are written: one function for each sentence of Istio's reference
//! "Authorization Policy", and nothing of the product. Slow, and plain.

use std::net::IpAddr;

use serde_json::Value;

use super::asked::Asked;
use super::world::DOMAINS;

/// A policy: its namespace, its `spec`, and whether it only tells.
#[derive(Debug, Clone)]
pub(super) struct Policy {
    pub(super) namespace: String,
    pub(super) spec: Value,
    pub(super) dry_run: bool,
}

/// What becomes of a request, and what would if policies counted that only tell so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) allowed: bool,
    pub(super) would: Option<bool>,
}

pub(super) fn judge(policies: &[Policy], asked: &Asked) -> Said {
    let verdict = |dry: bool| {
        let of = |action: &'static str| {
            policies
                .iter()
                .filter(move |it| it.dry_run == dry && it.spec["action"].as_str().unwrap_or("ALLOW") == action)
        };
        let written = asked.target.split('?').next().unwrap_or_default();
        let readings = if asked.http { readings(written) } else { Vec::new() };
        let denied = of("DENY")
            .chain(of("CUSTOM"))
            .any(|it| takes(it, asked, written) || readings.iter().any(|(path, _)| takes(it, asked, path)));
        let allowed = |path: &str| of("ALLOW").any(|it| takes(it, asked, path));
        let climbing = || readings.iter().filter(|(_, climbs)| *climbs);
        let is_allowed = || allowed(written) && climbing().all(|(path, _)| allowed(path));
        !denied && (of("ALLOW").next().is_none() || is_allowed())
    };
    Said { allowed: verdict(false), would: policies.iter().any(|it| it.dry_run).then(|| verdict(true)) }
}

/// What may be read into a path, and whether a `..` was followed for it: decoded up to three times; then, if at all, without
/// parameters, and both again up to three times; and with dot segments resolved, or as they are.
fn readings(path: &str) -> Vec<(String, bool)> {
    let mut all = Vec::new();
    let mut before = path.as_bytes().to_vec();
    for _ in 0..4 {
        all.extend([true, false].map(|resolves| read(&before, resolves)));
        let mut after = bare(&before);
        for _ in 0..4 {
            all.extend([true, false].map(|resolves| read(&after, resolves)));
            after = bare(&decoded(&after));
        }
        before = decoded(&before);
    }
    all
}

fn decoded(bytes: &[u8]) -> Vec<u8> {
    let (mut next, mut rest) = (Vec::new(), bytes);
    while let [byte, after @ ..] = rest {
        let hex = |at: usize| after.get(at).and_then(|it| (*it as char).to_digit(16));
        if let (b'%', Some(high), Some(low)) = (byte, hex(0), hex(1)) {
            next.push((high * 16 + low) as u8);
            rest = &after[2..];
        } else {
            next.push(*byte);
            rest = after;
        }
    }
    next
}

fn bare(path: &[u8]) -> Vec<u8> {
    let segments = path.split_inclusive(|byte| b"/\\".contains(byte));
    let cut = |segment: &[u8]| {
        let end = segment.iter().position(|byte| *byte == b';');
        let slash = segment.last().filter(|byte| b"/\\".contains(byte) && end.is_some()).copied();
        [&segment[..end.unwrap_or(segment.len())], slash.as_slice()].concat()
    };
    segments.flat_map(cut).collect()
}

fn read(path: &[u8], resolves: bool) -> (String, bool) {
    let (mut kept, mut climbs) = (Vec::new(), false);
    let parts: Vec<&[u8]> = path.split(|byte| b"/\\".contains(byte)).collect();
    for part in &parts {
        match (*part, resolves) {
            (b"", _) | (b".", true) => {}
            (b"..", true) => {
                kept.pop();
                climbs = true;
            }
            (name, _) => kept.push(String::from_utf8_lossy(name).into_owned()),
        }
    }
    let ends = parts.last().is_some_and(|last| last.is_empty() || (resolves && [&b"."[..], b".."].contains(last)));
    let slash = if ends && !kept.is_empty() { "/" } else { "" };
    (format!("/{}{slash}", kept.join("/")), climbs)
}

/// "A match occurs when at least one rule matches the request."
fn takes(policy: &Policy, asked: &Asked, path: &str) -> bool {
    // Nobody here has a provider that could be asked: what would be asked about is denied.
    let deny = policy.spec["action"] == "DENY" || policy.spec["action"] == "CUSTOM";
    list(&policy.spec["rules"]).iter().any(|rule| {
        let all = |value: &Value, of: &dyn Fn(&str, &Value) -> Option<bool>| {
            // A field that a connection does not have: an ALLOW does not match, a DENY does not look at it.
            let fields = value.as_object().into_iter().flatten();
            fields.map(|(name, values)| of(name, values)).all(|holds| holds.unwrap_or(deny))
        };
        let source = |it: &Value| all(&it["source"], &|name, values| source(policy, name, values, asked));
        let operation =
            |it: &Value| all(&it["operation"], &|name, values| operation(name, values, asked, (path, deny)));
        let any = |name: &str, holds: &dyn Fn(&Value) -> bool| {
            rule[name].as_array().is_none_or(|all| all.is_empty() || all.iter().any(holds))
        };
        // Of an ALLOW nothing is left where one of its fields, in whatever alternative, is of requests only.
        let is_gone = !deny && !asked.http && is_http_only(rule);
        !is_gone
            && any("from", &source)
            && any("to", &operation)
            && list(&rule["when"]).iter().all(|it| when(policy, it, asked).unwrap_or(deny))
    })
}

fn is_http_only(rule: &Value) -> bool {
    let text = rule.to_string();
    ["requestPrincipals", "notRequestPrincipals", "osts\":", "ethods\":", "aths\":", "\"request."]
        .iter()
        .any(|it| text.contains(it))
}

/// "not…" is the negation of any of its values.
fn either(name: &str, holds: impl Fn(&str) -> bool, values: &Value) -> bool {
    let any = list(values).iter().filter_map(Value::as_str).any(holds);
    if name.starts_with("not") { !any } else { any }
}

fn source(policy: &Policy, name: &str, values: &Value, asked: &Asked) -> Option<bool> {
    let plain = name.strip_prefix("not").unwrap_or(name).to_ascii_lowercase();
    if plain == "requestprincipals" && !asked.http {
        return None;
    }
    Some(either(name, |value| attribute(policy, &plain, value, asked), values))
}

fn when(policy: &Policy, when: &Value, asked: &Asked) -> Option<bool> {
    let key = when["key"].as_str().unwrap_or_default();
    if key.starts_with("request.") && !asked.http {
        return None;
    }
    let any = |name: &str| {
        list(&when[name]).iter().filter_map(Value::as_str).any(|value| attribute(policy, key, value, asked))
    };
    Some((list(&when["values"]).is_empty() || any("values")) && !any("notValues"))
}

fn attribute(policy: &Policy, name: &str, value: &str, asked: &Asked) -> bool {
    let named = |holds: &dyn Fn(&str) -> bool| asked.names.iter().any(|name| holds(name));
    let parts = |id: &str| {
        let parts: Vec<String> = id.strip_prefix("spiffe://").unwrap_or("").split('/').map(str::to_owned).collect();
        <[String; 5]>::try_from(parts).ok()
    };
    match name {
        "principals" | "source.principal" => spelled(value).iter().any(|value| {
            named(&|id| {
                if value == "*" {
                    !id.is_empty()
                } else {
                    id.strip_prefix("spiffe://").is_some_and(|id| text(value, id))
                }
            })
        }),
        "namespaces" | "source.namespace" => named(&|id| parts(id).is_some_and(|it| glob(value, &it[2]))),
        "serviceaccounts" | "source.serviceAccount" => {
            let (namespace, account) = value.split_once('/').unwrap_or((&policy.namespace, value));
            named(&|id| parts(id).is_some_and(|it| (it[2].as_str(), it[4].as_str()) == (namespace, account)))
        }
        "trustdomains" | "source.trustDomain" => {
            let all = if DOMAINS.contains(&value) { DOMAINS.to_vec() } else { vec![value] };
            all.into_iter().any(|value| named(&|id| parts(id).is_some_and(|it| glob(value, &it[0]))))
        }
        "ipblocks" | "source.ip" => within(value, asked.peer),
        "remoteipblocks" | "remote.ip" => within(value, asked.client),
        "destination.ip" => within(value, asked.local.ip()),
        "destination.port" => value == asked.local.port().to_string(),
        "connection.sni" => text(value, asked.server_name.as_deref().unwrap_or_default()),
        "requestprincipals" | "request.auth.principal" => {
            let claim = |name: &str| asked.claims.as_ref().and_then(|it| it[name].as_str());
            claim("iss").zip(claim("sub")).is_some_and(|(issuer, subject)| principal(value, issuer, subject))
        }
        "request.auth.audiences" => claimed(value, &["aud"], asked),
        "request.auth.presenter" => claimed(value, &["azp"], asked),
        _ => match name.split_once('[').map(|(name, rest)| (name, rest.trim_end_matches(']'))) {
            Some(("request.headers", field)) => {
                let all: Vec<_> =
                    asked.fields.iter().filter(|it| it.0.eq_ignore_ascii_case(field)).map(|it| &*it.1).collect();
                !all.is_empty() && (value == "*" || text(value, &all.join(",")))
            }
            Some(("request.auth.claims", path)) => claimed(value, &path.split("][").collect::<Vec<_>>(), asked),
            _ => false,
        },
    }
}

fn operation(name: &str, values: &Value, asked: &Asked, (path, deny): (&str, bool)) -> Option<bool> {
    let lower = name.strip_prefix("not").unwrap_or(name).to_ascii_lowercase();
    if lower == "ports" {
        return Some(either(name, |value| value == asked.local.port().to_string(), values));
    }
    asked.http.then(|| match lower.as_str() {
        "hosts" => either(name, |value| text(&value.to_lowercase(), &asked.authority.to_lowercase()), values),
        "methods" => either(name, |value| text(value, &asked.method), values),
        _ => {
            let fits =
                |value: &str, path: &str| if value.contains("{*") { template(value, path) } else { text(value, path) };
            // A slash at the end makes no other path of one that is denied.
            let bare = path.strip_suffix('/').filter(|it| deny && name == "paths" && !it.is_empty()).unwrap_or(path);
            either(name, |value| fits(value, path) || fits(value, bare), values)
        }
    })
}

/// "Exact match", "Prefix match", "Suffix match", "Presence match".
fn text(pattern: &str, text: &str) -> bool {
    match pattern {
        "*" => !text.is_empty(),
        _ if pattern.starts_with('*') => text.ends_with(&pattern[1..]),
        _ if pattern.ends_with('*') => text.starts_with(&pattern[..pattern.len() - 1]),
        _ => pattern == text,
    }
}

/// `*` wherever it stands is anything.
fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => text
            .strip_prefix(before)
            .is_some_and(|rest| (0..=rest.len()).any(|at| rest.is_char_boundary(at) && glob(after, &rest[at..]))),
    }
}

/// `{*}` is one segment, `{**}` any number of them.
fn template(pattern: &str, path: &str) -> bool {
    fn fits(pattern: &str, path: &str) -> bool {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()+,;:@=".contains(&byte);
        let ends = |slash: bool, from: usize| {
            let run = path.bytes().take_while(|byte| is_plain(*byte) || (slash && *byte == b'/')).count();
            (from..=run).collect::<Vec<_>>()
        };
        if let Some(rest) = pattern.strip_prefix("{**}") {
            return ends(true, 0).into_iter().any(|end| fits(rest, &path[end..]));
        }
        if let Some(rest) = pattern.strip_prefix("{*}") {
            return ends(false, 1).into_iter().any(|end| fits(rest, &path[end..]));
        }
        match pattern.chars().next() {
            None => path.is_empty(),
            Some(next) => path.strip_prefix(next).is_some_and(|path| fits(&pattern[next.len_utf8()..], path)),
        }
    }
    fits(pattern, path)
}

/// "trustDomainAliases": a principal of the trust domain or of an alias is one of all of them.
fn spelled(principal: &str) -> Vec<String> {
    let Some((domain, rest)) = principal.split_once('/').filter(|_| principal.matches('/').count() == 4) else {
        return vec![principal.to_owned()];
    };
    let is_local = |known: &&str| glob(domain, known) || domain == "cluster.local";
    if domain == "*" || !DOMAINS.iter().any(is_local) {
        return vec![principal.to_owned()];
    }
    let kept = |known: &&str| {
        if domain.starts_with('*') && glob(domain, known) { principal.to_owned() } else { format!("{known}/{rest}") }
    };
    DOMAINS.iter().map(kept).collect()
}

/// `iss/sub`, in which either end may be a wildcard.
fn principal(pattern: &str, issuer: &str, subject: &str) -> bool {
    match pattern.rsplit_once('/') {
        _ if pattern == "*" => !issuer.is_empty() && !subject.is_empty(),
        Some((iss, sub)) if pattern.starts_with('*') => text(iss, issuer) && sub == subject,
        Some((iss, sub)) => iss == issuer && text(sub, subject),
        None if pattern.starts_with('*') => !issuer.is_empty() && text(pattern, subject),
        None if pattern.ends_with('*') => text(pattern, issuer) && !subject.is_empty(),
        None => pattern == issuer && subject.is_empty(),
    }
}

/// A claim that is a text, or a list with it.
fn claimed(pattern: &str, path: &[&str], asked: &Asked) -> bool {
    let payload = asked.claims.as_ref().unwrap_or(&Value::Null);
    match path.iter().try_fold(payload, |value, name| value.get(name)) {
        Some(Value::String(one)) => text(pattern, one),
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).any(|one| text(pattern, one)),
        _ => false,
    }
}

/// An address, or a network.
fn within(network: &str, address: IpAddr) -> bool {
    let (base, bits) = network.split_once('/').map_or((network, None), |(base, bits)| (base, bits.parse().ok()));
    let (first, second, width) = match (base.parse(), address) {
        (Ok(IpAddr::V4(base)), IpAddr::V4(address)) => (u128::from(base.to_bits()), u128::from(address.to_bits()), 32),
        (Ok(IpAddr::V6(base)), IpAddr::V6(address)) => (base.to_bits(), address.to_bits(), 128),
        _ => return false,
    };
    let shift: u32 = width - bits.unwrap_or(width);
    first.checked_shr(shift).unwrap_or(0) == second.checked_shr(shift).unwrap_or(0)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}
