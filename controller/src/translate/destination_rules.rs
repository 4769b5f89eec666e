// SPDX-License-Identifier: Apache-2.0
//! Which DestinationRule is in force for a host, and what it says to a port of it or of one of its subsets.
//!
//! Asked are the namespace of the proxies, then that of the service, then the root namespace; the first that has a rule for
//! the host wins outright, its most specific host before others. Rules of one namespace and host are one, if the same
//! namespaces see them. A subset's blocks replace those of the whole, one by one; those of a port replace all.
//!
//! Never says what a block means.

use std::collections::BTreeSet;
use std::time::Duration;

use torana_crds::istio::connection_pool::{ConnectionPool, OutlierDetection};
use torana_crds::istio::destination_rule::{ClientTls, ProxyProtocol, RetryBudget, Subset, TrafficPolicy, Tunnel};
use torana_crds::istio::load_balancer::{LoadBalancer, LocalityLb};
use torana_crds::istio::names::Export;
use torana_crds::istio::{DestinationRule, MeshConfig};
use torana_crds::{Kind, ObjectRef};

use crate::hosts;
use crate::report::{Entry, Severity};
use crate::store::Cluster;
use crate::translate::proxies::{Proxies, exported};
use crate::translate::servers::verdict;

/// The rules in force for a host, oldest first: one rule.
#[derive(Debug)]
pub(super) struct InForce<'c>(Vec<&'c DestinationRule>);

/// What is said to one port; a block that nobody wrote is `None`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Blocks<'c> {
    /// Which endpoint.
    pub(super) balance: Option<&'c LoadBalancer>,
    /// What the mesh says of near endpoints, for whoever says nothing of them.
    pub(super) locality: Option<&'c LocalityLb>,
    /// How many connections and requests.
    pub(super) pool: Option<&'c ConnectionPool>,
    /// Which endpoints are left out for a while.
    pub(super) outliers: Option<&'c OutlierDetection>,
    /// TLS with the endpoints.
    pub(super) tls: Option<&'c ClientTls>,
    /// Through a proxy.
    pub(super) tunnel: Option<&'c Tunnel>,
    /// A header of the PROXY protocol.
    pub(super) proxy_protocol: Option<&'c ProxyProtocol>,
    /// How many further tries at once.
    pub(super) retry_budget: Option<&'c RetryBudget>,
}

/// The rule in force for the service `host` of `namespace`, as `proxies` see it.
pub(super) fn in_force<'c>(
    cluster: &'c Cluster,
    (host, namespace): (&str, &str),
    proxies: &Proxies,
) -> Option<InForce<'c>> {
    let own = proxies.namespace.as_str();
    let (mesh, root) = (cluster.mesh().config(), cluster.mesh().root_namespace());
    let all = |_: &DestinationRule| true;
    let visible = |rule: &DestinationRule| exported(export_of(mesh, rule), &rule.meta.namespace, own);
    let private = |rule: &DestinationRule| is_private(mesh, rule);
    let public = |rule: &DestinationRule| !is_private(mesh, rule);
    // To others a rule is exported by their own name only: `.` is for proxies that look at their own namespace first.
    let offered = |rule: &DestinationRule| {
        let export = export_of(mesh, rule);
        let is_theirs = |to: &Export| *to == Export::All || *to == Export::Namespace(own.to_owned());
        export.is_empty() || export.iter().any(is_theirs)
    };
    let level =
        |namespace: &str, among: Which<'_>, sees: Which<'_>| of_level(cluster, host, namespace, proxies, (among, sees));
    let first = if own == root { level(own, &private, &all) } else { level(own, &visible, &all) };
    let second = || level(namespace, &public, &offered);
    first.or_else(second).or_else(|| level(root, &public, &offered))
}

/// Picks rules.
type Which<'w> = &'w dyn Fn(&DestinationRule) -> bool;

/// Its `exportTo`, or that of the mesh.
fn export_of<'m>(mesh: &'m MeshConfig, rule: &'m DestinationRule) -> &'m [Export] {
    mesh.destination_rule_export(&rule.spec.export_to)
}

/// Whether it is for its own namespace only.
fn is_private(mesh: &MeshConfig, rule: &DestinationRule) -> bool {
    let mut export = export_of(mesh, rule).iter();
    let Some(first) = export.next() else { return false };
    let is_own = *first == Export::Own || *first == Export::Namespace(rule.meta.namespace.clone());
    is_own && export.all(|to| to == first)
}

/// The rule of the narrowest host among some of a namespace, unless the proxies do not see it.
fn of_level<'c>(
    cluster: &'c Cluster,
    host: &str,
    namespace: &str,
    proxies: &Proxies,
    (among, sees): (Which<'_>, Which<'_>),
) -> Option<InForce<'c>> {
    let here = |host: &str| -> Vec<&'c DestinationRule> {
        let rules = cluster.of_host::<DestinationRule>(host);
        rules.filter(|rule| rule.meta.namespace == namespace && among(rule) && is_valid(rule)).collect()
    };
    let patterns = cluster.patterns::<DestinationRule>();
    let wild = patterns.into_iter().filter(|pattern| hosts::takes_in(pattern, host));
    let mut rules = std::iter::once(host).chain(wild).map(here).find(|rules| !rules.is_empty())?;
    rules.sort_by_key(|rule| (rule.meta.created.unwrap_or_default(), &rule.meta.name, &rule.meta.namespace));
    let mut merged: Vec<Vec<&DestinationRule>> = Vec::new();
    for rule in rules {
        // Whether it stands for itself, too, is what the last one says that it was held against.
        let mut apart = true;
        for one in &mut merged {
            let joins = one.first().map_or(Joins::Not, |first| joins(first, rule));
            apart = joins != Joins::Whole;
            if joins != Joins::Not {
                one.push(rule);
            }
        }
        if apart {
            merged.push(vec![rule]);
        }
    }
    let mut seen = merged.into_iter().filter(|one| one.first().is_some_and(|rule| sees(rule)));
    let mut last = None;
    for one in &mut seen {
        match one.first().and_then(|rule| rule.spec.workload_selector.as_ref()) {
            None => last = Some(one),
            Some(selector) if namespace == proxies.namespace && proxies.have(&selector.match_labels) => {
                return Some(InForce(one));
            }
            Some(_) => {}
        }
    }
    last.map(InForce)
}

/// What becomes of a rule beside an older one of the same host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Joins {
    /// Each is for itself.
    Not,
    /// It adds to the older one, and is a rule by itself.
    Also,
    /// It is a part of the older one.
    Whole,
}

fn joins(earlier: &DestinationRule, later: &DestinationRule) -> Joins {
    let of = |rule: &DestinationRule| rule.spec.export_to.iter().cloned().collect::<BTreeSet<_>>();
    let (one, two) = (of(earlier), of(later));
    let is_wider = !one.is_empty() && two.is_superset(&one);
    if one != two && !is_wider {
        return Joins::Not;
    }
    match (&earlier.spec.workload_selector, &later.spec.workload_selector) {
        (Some(one), Some(two)) if one.match_labels != two.match_labels => Joins::Not,
        (Some(_), Some(_)) | (None, None) => Joins::Whole,
        _ if one == two => Joins::Whole,
        _ => Joins::Also,
    }
}

/// Istio refuses others.
fn is_valid(rule: &DestinationRule) -> bool {
    !rule.problems().iter().any(|problem| problem.severity == torana_crds::Severity::Error)
}

impl<'c> InForce<'c> {
    /// The subset of that name: the first, if there are several.
    pub(super) fn subset(&self, name: &str) -> Option<&'c Subset> {
        self.0.iter().flat_map(|rule| &rule.spec.subsets).find(|subset| subset.name == name)
    }

    fn whole(&self) -> Option<&'c TrafficPolicy> {
        self.0.iter().find_map(|rule| rule.spec.traffic_policy.as_deref())
    }
}

impl<'c> Blocks<'c> {
    /// What is said to `port` of a subset, or of the whole, by the rule that is in force, if one is, and by the mesh.
    pub(super) fn of(mesh: &'c MeshConfig, rule: Option<&InForce<'c>>, subset: Option<&'c Subset>, port: u16) -> Self {
        let mut blocks = Self { locality: mesh.locality_lb_setting.as_ref(), ..Self::default() };
        let mesh = &mesh.default_traffic_policy;
        if let Some(whole) = rule.and_then(InForce::whole) {
            blocks.lay(whole, port);
        }
        blocks.pool = blocks.pool.or(mesh.connection_pool.as_ref());
        blocks.outliers = blocks.outliers.or(mesh.outlier_detection.as_ref());
        // Over both, and what a port of a subset leaves out is as if nobody had written it.
        if let Some(part) = subset.and_then(|subset| subset.traffic_policy.as_deref()) {
            blocks.lay(part, port);
        }
        blocks
    }

    /// How long connecting may take, if somebody wrote that.
    pub(super) fn connect_timeout(&self) -> Option<Duration> {
        self.pool?.tcp.as_ref()?.connect_timeout
    }

    /// Puts the blocks of a policy in place of those that are there.
    fn lay(&mut self, policy: &'c TrafficPolicy, port: u16) {
        fn put<'c, T>(there: &mut Option<&'c T>, new: Option<&'c T>) {
            *there = new.or(*there);
        }
        put(&mut self.balance, policy.load_balancer.as_ref());
        put(&mut self.pool, policy.connection_pool.as_ref());
        put(&mut self.outliers, policy.outlier_detection.as_ref());
        put(&mut self.tls, policy.tls.as_ref());
        put(&mut self.tunnel, policy.tunnel.as_ref());
        put(&mut self.proxy_protocol, policy.proxy_protocol.as_ref());
        put(&mut self.retry_budget, policy.retry_budget.as_ref());
        // What a port's own settings leave out is as if nobody had written it.
        if let Some(own) = policy.port_level.iter().find(|own| own.port == port) {
            self.balance = own.load_balancer.as_ref();
            self.pool = own.connection_pool.as_ref();
            self.outliers = own.outlier_detection.as_ref();
            self.tls = own.tls.as_ref();
        }
    }
}

/// What there is to say about a rule by itself.
pub(super) fn entry(rule: &DestinationRule, unsupported: Vec<crate::report::Remark>) -> Entry {
    let (mut remarks, is_valid) = verdict(rule.problems());
    if is_valid {
        remarks.extend(unsupported);
    }
    remarks.sort_by(|one, two| (Severity::cmp(&two.severity, &one.severity)).then_with(|| one.path.cmp(&two.path)));
    Entry { generation: rule.meta.generation, remarks, ..Entry::default() }
}

/// Stands for everything that is said of a host: its ServiceEntries and DestinationRules. No object has no namespace.
pub(super) fn of_host(host: &str) -> ObjectRef {
    ObjectRef::new(Kind::ServiceEntry, "", host)
}

/// Whether a need is one of a host ([`of_host`]).
pub(super) fn is_host(need: &ObjectRef) -> bool {
    need.known_kind() == Some(Kind::ServiceEntry) && need.namespace.is_empty()
}
