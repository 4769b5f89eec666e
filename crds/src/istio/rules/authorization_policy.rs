// SPDX-License-Identifier: Apache-2.0
//! Rules of AuthorizationPolicy (`ValidateAuthorizationPolicy`). Never asks whether there is such a provider.

use crate::istio::AuthorizationPolicy;
use crate::istio::authorization_policy::{
    AuthorizationPolicySpec, Condition, Operation, PolicyAction, Rule, Source, To,
};
use crate::istio::rules::facts;
use crate::istio::rules::policy_values::{
    Check, accounts, addresses, domain_patterns, domains, paths, ports, texts, wildcards,
};
use crate::istio::rules::security::{Written, judge_dry_run, judge_scope};
use crate::istio::rules::shared::at_most;
use crate::violation::{At, Findings};

/// Rules of one policy, and sources of one rule.
const LIMIT: usize = 512;

/// Why a part of a rule cannot be used.
const NOT_CUSTOM: &str = "does not go with action CUSTOM";

pub(super) fn judge(policy: &AuthorizationPolicy, root: &At<'_>, found: &mut Findings) {
    let (spec, at) = (&policy.spec, root.field("spec"));
    judge_dry_run(&policy.meta, Some(spec.action), root, found);
    let written =
        Written { selector: spec.selector.as_ref(), target: spec.target_ref.as_ref(), targets: &spec.target_refs };
    judge_scope(&written, &at, found);
    judge_action(spec, &at, found);
    let rules = at.field("rules");
    at_most(LIMIT, spec.rules.len(), &rules, found);
    for (index, rule) in spec.rules.iter().enumerate() {
        judge_rule(rule, spec.action, &rules.item(index), found);
    }
}

fn judge_action(spec: &AuthorizationPolicySpec, at: &At<'_>, found: &mut Findings) {
    let is_custom = spec.action == PolicyAction::Custom;
    if spec.rules.is_empty() && (is_custom || spec.action == PolicyAction::Deny) {
        let why = format!("is empty, so action {} is for no request", spec.action.as_str());
        found.error(&at.field("rules"), why, "write [{}] if it is for every request");
    }
    let place = at.field("provider");
    match &spec.provider {
        Some(_) if !is_custom => found.error(&place, "only goes with action CUSTOM", "remove it, or write CUSTOM"),
        None if is_custom => found.error(&place, "is missing with action CUSTOM", "name one of the mesh's"),
        Some(provider) if provider.name.is_empty() => {
            found.error(&place.field("name"), "is missing", "name one of the mesh's extensionProviders");
        }
        Some(_) | None => {}
    }
}

fn judge_rule(rule: &Rule, action: PolicyAction, at: &At<'_>, found: &mut Findings) {
    let list = at.field("from");
    at_most(LIMIT, rule.from.len(), &list, found);
    for (index, from) in rule.from.iter().enumerate() {
        judge_source(&from.source, action, &list.item(index).field("source"), found);
    }
    let list = at.field("to");
    for (index, to) in rule.to.iter().enumerate() {
        judge_operation(&to.operation, &list.item(index).field("operation"), found);
    }
    let list = at.field("when");
    for (index, condition) in rule.when.iter().enumerate() {
        judge_condition(condition, action, &list.item(index), found);
    }
    if action == PolicyAction::Deny && is_of_http_only(rule) {
        let why = "asks only for what HTTP has, so it denies every other connection";
        found.warning(at, why, "write to with the ports that it is for");
    }
}

/// A connection that is no HTTP has none of what the rule asks for, and a rule of DENY is then taken as met.
fn is_of_http_only(rule: &Rule) -> bool {
    let has_more = |source: &Source| {
        [
            &source.principals,
            &source.not_principals,
            &source.namespaces,
            &source.not_namespaces,
            &source.service_accounts,
            &source.not_service_accounts,
            &source.ip_blocks,
            &source.not_ip_blocks,
            &source.remote_ip_blocks,
            &source.not_remote_ip_blocks,
        ]
        .into_iter()
        .any(|list| !list.is_empty())
    };
    let has_ports = |to: &To| !to.operation.ports.is_empty() || !to.operation.not_ports.is_empty();
    if rule.to.is_empty() {
        !rule.from.is_empty() && !rule.from.iter().any(|from| has_more(&from.source))
    } else {
        !rule.to.iter().any(has_ports)
    }
}

fn judge_source(source: &Source, action: PolicyAction, at: &At<'_>, found: &mut Findings) {
    let lists: [(&str, &[String], Check); 14] = [
        ("principals", &source.principals, wildcards),
        ("notPrincipals", &source.not_principals, wildcards),
        ("requestPrincipals", &source.request_principals, wildcards),
        ("notRequestPrincipals", &source.not_request_principals, wildcards),
        ("namespaces", &source.namespaces, texts),
        ("notNamespaces", &source.not_namespaces, texts),
        ("serviceAccounts", &source.service_accounts, accounts),
        ("notServiceAccounts", &source.not_service_accounts, accounts),
        ("trustDomains", &source.trust_domains, domains),
        ("notTrustDomains", &source.not_trust_domains, domains),
        ("ipBlocks", &source.ip_blocks, addresses),
        ("notIpBlocks", &source.not_ip_blocks, addresses),
        ("remoteIpBlocks", &source.remote_ip_blocks, addresses),
        ("notRemoteIpBlocks", &source.not_remote_ip_blocks, addresses),
    ];
    if lists.iter().all(|(_, values, _)| values.is_empty()) {
        found.error(at, "is empty", "say who is meant, or leave out from");
    }
    let has = |names: &[&str]| lists.iter().any(|(name, values, _)| names.contains(name) && !values.is_empty());
    if has(&["serviceAccounts", "notServiceAccounts"])
        && has(&["principals", "notPrincipals", "namespaces", "notNamespaces"])
    {
        found.error(at, "has serviceAccounts beside principals or namespaces", "keep one of them");
    }
    for (name, values, check) in lists {
        let place = at.field(name);
        check(values, &place, found);
        let is_address = ["ipBlocks", "notIpBlocks", "remoteIpBlocks", "notRemoteIpBlocks"].contains(&name);
        if action == PolicyAction::Custom && !values.is_empty() && !is_address {
            found.error(&place, NOT_CUSTOM, "leave it to a policy of another action");
        }
    }
}

fn judge_operation(operation: &Operation, at: &At<'_>, found: &mut Findings) {
    let lists: [(&str, &[String], Check); 8] = [
        ("hosts", &operation.hosts, wildcards),
        ("notHosts", &operation.not_hosts, wildcards),
        ("ports", &operation.ports, ports),
        ("notPorts", &operation.not_ports, ports),
        ("methods", &operation.methods, wildcards),
        ("notMethods", &operation.not_methods, wildcards),
        ("paths", &operation.paths, paths),
        ("notPaths", &operation.not_paths, paths),
    ];
    if lists.iter().all(|(_, values, _)| values.is_empty()) {
        found.error(at, "is empty", "say what is meant, or leave out to");
    }
    for (name, values, check) in lists {
        check(values, &at.field(name), found);
    }
}

fn judge_condition(condition: &Condition, action: PolicyAction, at: &At<'_>, found: &mut Findings) {
    let (key, place) = (condition.key.as_str(), at.field("key"));
    let check = match check_of(key) {
        Ok(check) => check,
        Err(remedy) => {
            let why = if key.is_empty() { "is missing".to_owned() } else { format!("is no key: {key:?}") };
            found.error(&place, why, remedy);
            return;
        }
    };
    if action == PolicyAction::Custom && is_of_identity(key) {
        found.error(&place, NOT_CUSTOM, "leave it to a policy of another action");
    }
    if let Some(name) = in_brackets(key, "request.headers")
        && !facts::is_token(name)
        && !facts::is_pseudo_header(name)
    {
        found.warning(&place, format!("is of a header that no request has: {name:?}"), "correct its name");
    }
    if condition.values.is_empty() && condition.not_values.is_empty() {
        found.error(at, "has neither values nor notValues", "write the values that are meant");
    }
    check(&condition.values, &at.field("values"), found);
    check(&condition.not_values, &at.field("notValues"), found);
}

/// How values of that key are judged, or what to do instead of it (`ValidateAttribute`). Istio's webhook takes any word
/// after `request.headers` and `request.auth.claims`, and then makes nothing of such a rule: here it is refused.
fn check_of(key: &str) -> Result<Check, &'static str> {
    Ok(match key {
        "source.ip" | "remote.ip" | "destination.ip" => addresses,
        "source.serviceAccount" => accounts,
        "source.trustDomain" => domain_patterns,
        "destination.port" => ports,
        "source.principal" | "request.auth.principal" => wildcards,
        "source.namespace" | "request.auth.audiences" | "request.auth.presenter" | "connection.sni" => texts,
        "destination.namespace" => return Err("remove it: a policy is for its own namespace"),
        "destination.name" | "destination.user" => return Err("write spec.selector or spec.targetRefs"),
        _ if key.starts_with("destination.labels") => return Err("write spec.selector"),
        _ => {
            let is_filter = key.starts_with("experimental.envoy.filters.") && has_brackets(key);
            let is_named = ["request.headers", "request.auth.claims"].iter().any(|it| in_brackets(key, it).is_some());
            if !is_filter && !is_named {
                return Err(
                    "write one of Istio's, such as source.ip, request.headers[name] or request.auth.claims[name]",
                );
            }
            texts
        }
    })
}

/// `name` of `prefix[name]`.
fn in_brackets<'k>(key: &'k str, prefix: &str) -> Option<&'k str> {
    let name = key.strip_prefix(prefix)?.strip_prefix('[')?.strip_suffix(']')?;
    Some(name).filter(|name| !name.is_empty())
}

/// Whether it is `a[b]`.
fn has_brackets(key: &str) -> bool {
    let name = key.strip_suffix(']').and_then(|key| key.split_once('['));
    name.is_some_and(|(_, name)| !name.is_empty())
}

/// Whether it is known only once somebody has shown a certificate or a token.
fn is_of_identity(key: &str) -> bool {
    ["source.namespace", "source.serviceAccount", "source.trustDomain", "source.principal"].contains(&key)
        || key.starts_with("request.auth.")
}
