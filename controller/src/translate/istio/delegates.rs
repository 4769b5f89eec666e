// SPDX-License-Identifier: Apache-2.0
//! Rules that another VirtualService decides (`delegate`): one rule of the root becomes those of the delegate, each
//! narrowed to what the root's matches let through. One level only.
//!
//! Never translates a rule.

use std::collections::BTreeSet;

use torana_crds::istio::VirtualService;
use torana_crds::istio::http::{HttpMatch, HttpRule};
use torana_crds::istio::matching::StringMatch;
use torana_crds::istio::names::GatewayName;
use torana_crds::{Kind, ObjectRef};

use crate::hosts;
use crate::report::Remark;
use crate::report::conditions::route::BACKEND_NOT_FOUND;
use crate::store::Cluster;
use crate::translate::ledger::Ledger;
use crate::translate::proxies::exported;
use crate::translate::servers::verdict;

/// A rule with the namespace that its short names are of.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    /// Where it was written.
    pub(super) namespace: String,
    /// `spec.http[0]` of the root.
    pub(super) path: String,
    /// As merged.
    pub(super) spec: HttpRule,
}

/// The rules of a VirtualService in their order, with those of its delegates in the place of the rules that name them.
pub(super) fn expanded(cluster: &Cluster, service: &VirtualService, ledger: &mut Ledger) -> Vec<Rule> {
    let mut rules = Vec::with_capacity(service.spec.http.len());
    let home = &service.meta.namespace;
    for (index, rule) in service.spec.http.iter().enumerate() {
        let path = format!("spec.http[{index}]");
        let Some(delegate) = &rule.delegate else {
            rules.push(Rule { namespace: home.clone(), path, spec: rule.clone() });
            continue;
        };
        let namespace = delegate.namespace.as_deref().unwrap_or(home);
        match found(cluster, (namespace, &delegate.name), home, &format!("{path}.delegate"), ledger) {
            Ok(delegate) => {
                let root = qualified(rule, home);
                let subs = delegate.spec.http.iter().map(|sub| qualified(sub, namespace));
                let merged = subs.filter_map(|sub| merged(&root, &sub));
                let before = rules.len();
                rules.extend(merged.map(|spec| Rule { namespace: namespace.to_owned(), path: path.clone(), spec }));
                let left_out = delegate.spec.http.len() - (rules.len() - before);
                if left_out > 0 {
                    let message = format!("{left_out} rules of the delegate ask for what this rule does not match");
                    let remedy = "matches of a delegate must be narrower than those of the rule that delegates";
                    ledger.remarks.push(Remark::warning("ConflictingDelegate", &path, message, remedy));
                }
            }
            Err(remark) => ledger.unresolved.push(remark),
        }
    }
    rules
}

/// The rule with every name written out that is short for one of its namespace: merged, it is no more known whose.
fn qualified(rule: &HttpRule, namespace: &str) -> HttpRule {
    let mut rule = rule.clone();
    let destinations = rule.route.iter_mut().map(|entry| &mut entry.destination);
    let mirrors = rule.mirrors.iter_mut().map(|mirror| &mut mirror.destination);
    for destination in destinations.chain(&mut rule.mirror).chain(mirrors) {
        destination.host = hosts::whole(&destination.host, namespace);
    }
    for gateway in rule.matches.iter_mut().flat_map(|one| &mut one.gateways).filter(|gateway| !gateway.is_mesh()) {
        let (namespace, name) = gateway.target(namespace);
        *gateway = GatewayName(format!("{namespace}/{name}"));
    }
    rule
}

fn found<'c>(
    cluster: &'c Cluster,
    (namespace, name): (&str, &str),
    home: &str,
    path: &str,
    ledger: &mut Ledger,
) -> Result<&'c VirtualService, Remark> {
    let reference = ObjectRef::new(Kind::VirtualService, namespace, name);
    ledger.need(&reference);
    let refuse = |message: String, remedy: &str| {
        Err(Remark::error(BACKEND_NOT_FOUND, path, format!("{message}, so the rule is left out"), remedy))
    };
    let Some(delegate) = cluster.find::<VirtualService>(namespace, name) else {
        return refuse(format!("there is no {reference}"), "create it or correct the name");
    };
    if !delegate.spec.is_delegate() {
        return refuse(format!("{reference} has hosts of its own"), "remove its hosts");
    }
    if !exported(cluster.mesh().config().virtual_service_export(&delegate.spec.export_to), namespace, home) {
        return refuse(format!("{reference} is not exported to {home}"), "add the namespace to its exportTo");
    }
    if !verdict(delegate.problems()).1 {
        return refuse(format!("{reference} is not valid"), "see what is said of it");
    }
    Ok(delegate)
}

/// What of the delegate's rule is left under the root's; `None` if one of its matches fits none of the root's.
fn merged(root: &HttpRule, sub: &HttpRule) -> Option<HttpRule> {
    let mut rule = sub.clone();
    rule.matches = matches(&root.matches, &sub.matches)?;
    rule.name = joined(root.name.as_deref(), sub.name.as_deref());
    inherit(&mut rule.rewrite, root.rewrite.as_ref());
    inherit(&mut rule.direct_response, root.direct_response.as_ref());
    inherit(&mut rule.timeout, root.timeout.as_ref());
    inherit(&mut rule.retries, root.retries.as_ref());
    inherit(&mut rule.fault, root.fault.as_ref());
    inherit(&mut rule.mirror, root.mirror.as_ref());
    inherit(&mut rule.mirror_percent, root.mirror_percent.as_ref());
    inherit(&mut rule.mirror_percentage, root.mirror_percentage.as_ref());
    inherit(&mut rule.cors_policy, root.cors_policy.as_ref());
    if rule.mirrors.is_empty() {
        rule.mirrors.clone_from(&root.mirrors);
    }
    if rule.headers == torana_crds::istio::http::Headers::default() {
        rule.headers = root.headers.clone();
    }
    Some(rule)
}

fn inherit<T: Clone>(own: &mut Option<T>, root: Option<&T>) {
    if own.is_none() {
        *own = root.cloned();
    }
}

fn joined(root: Option<&str>, sub: Option<&str>) -> Option<String> {
    match (root, sub) {
        (Some(root), Some(sub)) => Some(format!("{root}-{sub}")),
        (one, other) => other.or(one).map(str::to_owned),
    }
}

fn matches(root: &[HttpMatch], sub: &[HttpMatch]) -> Option<Vec<HttpMatch>> {
    if root.is_empty() || sub.is_empty() {
        return Some(if root.is_empty() { sub } else { root }.to_vec());
    }
    let mut all = Vec::new();
    for leaf in sub {
        let fitting: Vec<_> = root.iter().filter(|root| !conflict(root, leaf)).collect();
        if fitting.is_empty() {
            return None;
        }
        all.extend(fitting.into_iter().map(|root| both(root, leaf)));
    }
    Some(all)
}

/// What both ask for; where both ask for the same thing the narrower, which is the delegate's.
fn both(root: &HttpMatch, leaf: &HttpMatch) -> HttpMatch {
    let mut one = leaf.clone();
    one.name = joined(root.name.as_deref(), leaf.name.as_deref());
    let or = |own: &Option<StringMatch>, root: &Option<StringMatch>| own.clone().or_else(|| root.clone());
    one.uri = or(&leaf.uri, &root.uri);
    one.scheme = or(&leaf.scheme, &root.scheme);
    one.method = or(&leaf.method, &root.method);
    one.authority = or(&leaf.authority, &root.authority);
    for (own, root) in [(&mut one.headers, &root.headers), (&mut one.without_headers, &root.without_headers)] {
        let missing: Vec<_> = root.iter().filter(|it| !own.iter().any(|own| own.key == it.key)).cloned().collect();
        own.extend(missing);
        own.sort_by(|one, other| one.key.cmp(&other.key));
    }
    for (name, value) in &root.query {
        one.query.entry(name.clone()).or_insert_with(|| value.clone());
    }
    for (name, value) in &root.source_labels {
        one.source_labels.entry(name.clone()).or_insert_with(|| value.clone());
    }
    one.port = leaf.port.or(root.port);
    one.source_namespace = leaf.source_namespace.clone().or_else(|| root.source_namespace.clone());
    if one.gateways.is_empty() {
        one.gateways.clone_from(&root.gateways);
    }
    one.stat_prefix = leaf.stat_prefix.clone().or_else(|| root.stat_prefix.clone());
    one
}

/// Whether the delegate's match asks for what the root's does not let through (`hasConflict`).
fn conflict(root: &HttpMatch, leaf: &HttpMatch) -> bool {
    let texts = [
        (&root.uri, &leaf.uri),
        (&root.scheme, &leaf.scheme),
        (&root.method, &leaf.method),
        (&root.authority, &leaf.authority),
    ];
    let lists = [(&root.headers, &leaf.headers), (&root.without_headers, &leaf.without_headers)];
    let of_list = lists.into_iter().any(|(root, leaf)| {
        leaf.iter().any(|leaf| root.iter().any(|root| root.key == leaf.key && differ(&root.value, &leaf.value)))
    });
    let of_query = leaf.query.iter().any(|(name, leaf)| root.query.get(name).is_some_and(|root| differ(root, leaf)));
    let of_ports = root.port.zip(leaf.port).is_some_and(|(root, leaf)| root != leaf);
    let of_namespace = root.source_namespace.is_some() && leaf.source_namespace != root.source_namespace;
    let of_labels =
        leaf.source_labels.iter().any(|(name, leaf)| root.source_labels.get(name).is_some_and(|root| root != leaf));
    let gateways: BTreeSet<_> = root.gateways.iter().collect();
    let of_gateways = !root.gateways.is_empty()
        && (root.gateways.len() < leaf.gateways.len() || leaf.gateways.iter().any(|it| !gateways.contains(it)));
    let of_texts = texts
        .into_iter()
        .any(|(root, leaf)| root.as_ref().zip(leaf.as_ref()).is_some_and(|(root, leaf)| differ(root, leaf)));
    of_texts
        || of_list
        || of_query
        || of_ports
        || of_namespace
        || of_labels
        || of_gateways
        || root.ignore_uri_case != leaf.ignore_uri_case
}

/// Whether two matches of one thing are not one within the other, as Istio compares them (`stringMatchConflict`): an empty
/// text is none, and what is neither an exact text nor a prefix fits nothing.
fn differ(root: &StringMatch, leaf: &StringMatch) -> bool {
    use StringMatch::{Exact, Prefix};
    match (root, leaf) {
        (Exact(root), Exact(leaf)) => root.is_empty() || root != leaf,
        (Prefix(root), Prefix(leaf) | Exact(leaf)) => {
            root.is_empty() || leaf.is_empty() || !leaf.starts_with(root.as_str())
        }
        _ => true,
    }
}
