// SPDX-License-Identifier: Apache-2.0
//! One rule of an HTTPRoute or GRPCRoute. A rule with a fault answers 500 for the matches of it that can be read: it is
//! never served in part, and what it should have protected is not served by a neighbour.
//!
//! Never knows where the rule is attached.

use std::time::Duration;

use torana_crds::BackendRef;
use torana_crds::route::{self, GrpcRule, HttpRule, RouteTimeouts, SessionPersistence};
use torana_ir::{Action, Filter, Invalid, PathMatch, Retry, RouteMatch, Session, Target, Timeouts, WeightedBackend};

use crate::report::Remark;
use crate::store::Cluster;
use crate::translate::entries::joined;
use crate::translate::filters::{Place, filters};
use crate::translate::ledger::Ledger;
use crate::translate::matches::fault;
use crate::translate::{backends, grpc, matches, sessions};

/// A rule on its way into the program.
#[derive(Debug)]
pub(super) struct RuleDraft {
    /// Its name.
    pub(super) name: Option<String>,
    /// Matches that can be read; none: nothing can ever reach the rule.
    pub(super) matches: Vec<RouteMatch>,
    /// What is done besides forwarding.
    pub(super) filters: Vec<Filter>,
    /// Where requests go.
    pub(super) action: Action,
    /// Deadlines.
    pub(super) timeouts: Timeouts,
    /// When a request is tried again.
    pub(super) retry: Option<Retry>,
    /// Whether clients come back to their endpoints.
    pub(super) session: Option<Session>,
    /// What makes it invalid.
    pub(super) faults: Vec<Remark>,
}

/// Translates a rule of an HTTPRoute at `at` (`spec.rules[0]`).
pub(super) fn http(cluster: &Cluster, rule: &HttpRule, at: &str, ledger: &mut Ledger) -> RuleDraft {
    let mut faults = Vec::new();
    let matches = matches::http(&rule.matches, at, &mut faults);
    let timeouts = timeouts(rule.timeouts, at, &mut faults);
    let retry = rule.retry.as_ref().map(|retry| self::retry(retry, at, &mut faults));
    let session = session(cluster, rule.session_persistence.as_ref(), at, ledger, &mut faults);
    let parts = Parts { filters: &rule.filters, backends: &rule.backends, at, of_grpc: false };
    RuleDraft { timeouts, retry, session, ..draft(cluster, rule.name.clone(), matches, parts, ledger, faults) }
}

/// Translates a rule of a GRPCRoute at `at`.
pub(super) fn grpc(cluster: &Cluster, rule: &GrpcRule, at: &str, ledger: &mut Ledger) -> RuleDraft {
    let mut faults = Vec::new();
    let matches = grpc::grpc(&rule.matches, at, &mut faults);
    let session = session(cluster, rule.session_persistence.as_ref(), at, ledger, &mut faults);
    let parts = Parts { filters: &rule.filters, backends: &rule.backends, at, of_grpc: true };
    RuleDraft { session, ..draft(cluster, rule.name.clone(), matches, parts, ledger, faults) }
}

#[derive(Clone, Copy)]
struct Parts<'a> {
    filters: &'a [torana_crds::Filter],
    backends: &'a [BackendRef],
    at: &'a str,
    of_grpc: bool,
}

fn draft(
    cluster: &Cluster,
    name: Option<String>,
    matches: Vec<RouteMatch>,
    parts: Parts<'_>,
    ledger: &mut Ledger,
    mut faults: Vec<Remark>,
) -> RuleDraft {
    let replaces_prefix = matches!(matches.as_slice(), [RouteMatch { path: PathMatch::Prefix(_), .. }]);
    let path = format!("{}.filters", parts.at);
    let place = Place { path: &path, of_grpc: parts.of_grpc, replaces_prefix };
    let steps = filters(cluster, parts.filters, place, ledger, &mut faults);
    let targets = targets(cluster, parts, replaces_prefix, ledger);
    let redirects = steps.iter().any(|step| matches!(step, Filter::Redirect(_)));
    if redirects && !parts.backends.is_empty() {
        let message = "a rule that redirects cannot have backendRefs".to_owned();
        faults.push(fault(&format!("{}.backendRefs", parts.at), message, "remove the redirect or the backendRefs"));
    }
    if !redirects && faults.is_empty() && targets.iter().all(|target| target.weight == 0) {
        let why = if targets.is_empty() { "has no backendRefs" } else { "has only backendRefs of weight 0" };
        let message = format!("the rule {why}, so requests get 500");
        ledger.remarks.push(Remark::warning("NoBackend", parts.at, message, "add a backendRef"));
    }
    let (filters, action) = match faults.first() {
        None => (steps, Action::Forward(targets)),
        Some(first) => (Vec::new(), Action::Invalid(Invalid { reason: first.reason.into(), message: joined(&faults) })),
    };
    let timeouts = Timeouts::default();
    RuleDraft { name, matches, filters, action, timeouts, retry: None, session: None, faults }
}

/// Entries keep their share when they are invalid: that share gets 500 (`HTTPRouteRule.backendRefs`).
fn targets(cluster: &Cluster, parts: Parts<'_>, replaces_prefix: bool, ledger: &mut Ledger) -> Vec<WeightedBackend> {
    let entries = parts.backends.iter().enumerate();
    entries
        .map(|(index, entry)| {
            let at = format!("{}.backendRefs[{index}]", parts.at);
            let mut faults = Vec::new();
            let path = format!("{at}.filters");
            let place = Place { path: &path, of_grpc: parts.of_grpc, replaces_prefix };
            let filters = filters(cluster, &entry.filters, place, ledger, &mut faults);
            let target = backends::target(cluster, entry, &at, ledger);
            let target = match faults.first() {
                None => target,
                Some(first) => Target::Invalid(Invalid { reason: first.reason.into(), message: joined(&faults) }),
            };
            let filters = if faults.is_empty() { filters } else { Vec::new() };
            ledger.unresolved.append(&mut faults);
            WeightedBackend { target, weight: entry.weight, filters }
        })
        .collect()
}

/// `0s` is no deadline (`HTTPRouteTimeouts`).
fn timeouts(timeouts: RouteTimeouts, at: &str, faults: &mut Vec<Remark>) -> Timeouts {
    let given = |timeout: Option<Duration>| timeout.filter(|timeout| !timeout.is_zero());
    let (request, backend_request) = (given(timeouts.request), given(timeouts.backend_request));
    if let (Some(whole), Some(one)) = (request, backend_request)
        && one > whole
    {
        let message = "backendRequest is longer than request".to_owned();
        faults.push(fault(&format!("{at}.timeouts"), message, "shorten backendRequest or lengthen request"));
    }
    Timeouts { request, backend_request }
}

/// `HTTPRouteRetryStatusCode` is 400 to 599. A `backoff` of `0s` asks for no wait, which would be a storm: it is as if
/// it was not written.
fn retry(written: &route::Retry, at: &str, faults: &mut Vec<Remark>) -> Retry {
    for (index, code) in written.codes.iter().enumerate().filter(|(_, code)| !(400..600).contains(*code)) {
        let message = format!("{code} is not the status of an error");
        faults.push(fault(&format!("{at}.retry.codes[{index}]"), message, "write a status from 400 to 599"));
    }
    Retry {
        codes: written.codes.iter().copied().collect(),
        backoff: written.backoff.filter(|backoff| !backoff.is_zero()),
        ..Retry::new(written.attempts)
    }
}

/// `sessionPersistence` of the rule at `at`.
fn session(
    cluster: &Cluster,
    written: Option<&SessionPersistence>,
    at: &str,
    ledger: &Ledger,
    faults: &mut Vec<Remark>,
) -> Option<Session> {
    let place = format!("{at}.sessionPersistence");
    let carrier = sessions::carrier(written?, &place, &ledger.route, faults)?;
    let lifetime = written?.absolute_timeout.filter(|lifetime| !lifetime.is_zero());
    Some(Session { carrier, lifetime, key: cluster.settings().session_key.clone() })
}
