// SPDX-License-Identifier: Apache-2.0
//! The rules of requests of one VirtualService: for each place that it is served in those of its rules whose matches are
//! for that place, up to the first that takes every request. Places in which the same is left share their rules.
//!
//! A VirtualService of which nothing is left in a place has no virtual host there.

use std::time::Duration;

use torana_crds::istio::VirtualService;
use torana_crds::istio::http::HttpDestination;
use torana_crds::istio::http_policy::Retries;
use torana_ir::{
    Action, Attachment, Filter, Invalid, Mirror, Order, Redirect, RedirectPort, Retry, Rewrite, RouteId, RouteKind,
    RouteMatch, Rule, RuleKey, Target, Timeouts, WeightedBackend,
};

use crate::report::{Remark, Severity};
use crate::store::Cluster;
use crate::translate::entries::joined;
use crate::translate::istio::bindings::Binding;
use crate::translate::istio::destinations::{OF_COPIES, OF_REQUESTS, is_hashed, target};
use crate::translate::istio::values::{Edits, edits};
use crate::translate::istio::{delegates, matches, policies, retries};
use crate::translate::ledger::Ledger;
use crate::translate::sampling;
use crate::translate::servers::Incoming;

/// The rules of places that are alike.
#[derive(Debug)]
pub(super) struct Placed {
    /// In their order; their positions are not told yet.
    pub(super) rules: Vec<Rule>,
}

/// All of a rule but where it is served.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Draft {
    name: Option<String>,
    matches: Vec<RouteMatch>,
    filters: Vec<Filter>,
    action: Action,
    timeouts: Timeouts,
    retry: Option<Retry>,
}

/// Places that get the same rules.
struct Group<'p, 'c> {
    /// The VirtualService's there, and the server.
    rank: (u8, u16),
    drafts: Vec<Draft>,
    places: Vec<&'p Binding<'c>>,
}

/// The rules for every place that takes requests.
pub(super) fn placed(
    cluster: &Cluster,
    service: &VirtualService,
    rules: &[delegates::Rule],
    bindings: &[Binding<'_>],
    ledger: &mut Ledger,
) -> Vec<Placed> {
    let mut groups: Vec<Group<'_, '_>> = Vec::new();
    let places = bindings.iter().filter(|binding| binding.cargo == Incoming::Requests);
    for place in places.clone() {
        let drafts = drafts(cluster, rules, place, ledger);
        if drafts.is_empty() {
            continue;
        }
        let rank = (place.rank, place.server);
        match groups.iter_mut().find(|group| group.rank == rank && group.drafts == drafts) {
            Some(group) => group.places.push(place),
            None => groups.push(Group { rank, drafts, places: vec![place] }),
        }
    }
    let served = groups.iter().flat_map(|group| group.places.iter().copied());
    let to_https: Vec<_> = served.filter(|place| place.redirects).collect();
    let mut all = Vec::with_capacity(groups.len() + 1);
    if !to_https.is_empty() {
        all.push(Placed { rules: vec![rule(service, redirect_to_https(), (0, 0), attachments(&to_https))] });
    }
    groups.sort_by_key(|group| group.rank.1);
    let mut before: Vec<(Vec<Draft>, Vec<Attachment>)> = Vec::new();
    for Group { rank, drafts, places } in groups {
        let mut attachments = attachments(&places);
        // What an earlier server has given a host already need not be said again.
        for (_, known) in before.iter().filter(|(known, _)| *known == drafts) {
            without(&mut attachments, known);
        }
        if attachments.is_empty() {
            continue;
        }
        before.push((drafts.clone(), attachments.clone()));
        let rules = drafts.into_iter().map(|draft| rule(service, draft, rank, attachments.clone())).collect();
        all.push(Placed { rules });
    }
    all
}

/// What a server says that redirects, to all hosts that it shares with a VirtualService.
fn redirect_to_https() -> Draft {
    Draft {
        name: None,
        matches: vec![matches::everything()],
        filters: vec![Filter::Redirect(to_https())],
        action: Action::Forward(Vec::new()),
        timeouts: Timeouts::default(),
        retry: None,
    }
}

/// `httpsRedirect`.
pub(super) fn to_https() -> Redirect {
    Redirect { scheme: Some("https"), host: None, path: None, query: None, port: RedirectPort::Kept, status: 301 }
}

fn rule(service: &VirtualService, draft: Draft, (rank, server): (u8, u16), attachments: Vec<Attachment>) -> Rule {
    let (namespace, name) = (service.meta.namespace.clone(), service.meta.name.clone());
    let route = RouteId { kind: RouteKind::VirtualService, namespace, name };
    Rule {
        key: RuleKey { route, index: 0 },
        name: draft.name,
        created: service.meta.created.unwrap_or_default(),
        attachments,
        matches: draft.matches,
        filters: draft.filters,
        action: draft.action,
        timeouts: draft.timeouts,
        retry: draft.retry,
        session: None,
        order: Order::Written { rank, server },
        sampling: sampling::annotated(&service.meta).ok().flatten(),
    }
}

/// Takes out the hosts of listeners that are among `known`.
fn without(attachments: &mut Vec<Attachment>, known: &[Attachment]) {
    for attachment in attachments.iter_mut() {
        let same = known.iter().filter(|known| known.listener == attachment.listener);
        let hosts: Vec<_> = same.flat_map(|known| &known.hostnames).collect();
        attachment.hostnames.retain(|host| !hosts.contains(&host));
    }
    attachments.retain(|attachment| !attachment.hostnames.is_empty());
}

/// Listeners of several places, each once.
fn attachments(places: &[&Binding<'_>]) -> Vec<Attachment> {
    let mut attachments: Vec<Attachment> = Vec::new();
    for (key, hosts) in places.iter().flat_map(|place| &place.listeners) {
        match attachments.iter_mut().find(|known| known.listener == *key) {
            None => attachments.push(Attachment { listener: key.clone(), hostnames: hosts.clone() }),
            Some(known) => {
                let new: Vec<_> = hosts.iter().filter(|host| !known.hostnames.contains(host)).cloned().collect();
                known.hostnames.extend(new);
            }
        }
    }
    attachments
}

fn drafts(cluster: &Cluster, rules: &[delegates::Rule], place: &Binding<'_>, ledger: &mut Ledger) -> Vec<Draft> {
    let mut drafts = Vec::with_capacity(rules.len());
    let mut ended = false;
    for rule in rules {
        if ended {
            let message = "a rule before it takes every request, so it is never reached";
            ledger.remarks.push(Remark::warning("Unreachable", &rule.path, message, "move it up, or narrow that rule"));
            continue;
        }
        let matches = matches_of(rule, place, &mut ended, ledger);
        if !matches.is_empty() {
            drafts.extend(draft(cluster, rule, matches, place, ledger));
        }
    }
    drafts
}

/// Those of its matches that are for this place, up to one that takes every request.
fn matches_of(rule: &delegates::Rule, place: &Binding<'_>, ended: &mut bool, ledger: &mut Ledger) -> Vec<RouteMatch> {
    if rule.spec.matches.is_empty() {
        *ended = true;
        return vec![matches::everything()];
    }
    let mut all = Vec::with_capacity(rule.spec.matches.len());
    for (index, one) in rule.spec.matches.iter().enumerate() {
        if !matches::is_for(one, &rule.namespace, place) {
            continue;
        }
        let at = format!("{}.match[{index}]", rule.path);
        let Some(asked) = matches::of(one, &at, &mut ledger.remarks) else { continue };
        *ended = asked.takes_all();
        all.push(asked);
        if *ended {
            break;
        }
    }
    all
}

/// `None` where nothing is said of what becomes of requests.
fn draft(
    cluster: &Cluster,
    rule: &delegates::Rule,
    matches: Vec<RouteMatch>,
    place: &Binding<'_>,
    ledger: &mut Ledger,
) -> Option<Draft> {
    let (spec, at) = (&rule.spec, rule.path.as_str());
    let mut faults = Vec::new();
    let mut filters: Vec<Filter> = spec.fault.iter().flat_map(policies::injected).collect();
    let cors = spec.cors_policy.as_ref();
    filters.extend(cors.map(|cors| Filter::Cors(policies::cors(cors, &format!("{at}.corsPolicy"), &mut faults))));
    let own = edits(&spec.headers, &format!("{at}.headers"), &mut faults);
    let mut targets = Vec::new();
    if let Some(redirect) = &spec.redirect {
        let redirect = policies::redirect(redirect, place, &format!("{at}.redirect"), &mut faults);
        filters.extend(own.response.filters(Filter::ResponseHeaders));
        filters.push(Filter::Redirect(redirect));
    } else if let Some(answer) = &spec.direct_response {
        let answer = policies::answer(answer, &format!("{at}.directResponse"), &mut faults);
        filters.extend(own.response.filters(Filter::ResponseHeaders));
        filters.push(Filter::Respond(answer));
    } else if spec.route.is_empty() {
        return None;
    } else {
        filters.extend(mirrors(cluster, rule, place, ledger));
        let forward = Forward { cluster, rule, place };
        targets = forward.targets(&own, &mut filters, ledger, &mut faults);
    }
    let (mut retry, per_try) = tries(cluster, spec.retries.as_ref(), &format!("{at}.retries"), ledger);
    let goes_on = spec.retries.as_ref().is_some_and(|retries| retries.retry_ignore_previous_hosts.is_some());
    // With `consistentHash` a further try goes where the hash leads, too (`DefaultConsistentHashPolicy`).
    if let ([only], 1, false) = (&targets[..], spec.route.len(), goes_on || retry.attempts == 0) {
        retry.anywhere = is_hashed(cluster, &only.target, &place.proxies);
    }
    let (errors, others): (Vec<_>, Vec<_>) = faults.into_iter().partition(|it| it.severity == Severity::Error);
    ledger.remarks.extend(others);
    let action = match errors.first() {
        None => Action::Forward(targets),
        Some(first) => Action::Invalid(Invalid { reason: first.reason.into(), message: joined(&errors) }),
    };
    let filters = if errors.is_empty() { filters } else { Vec::new() };
    ledger.remarks.extend(errors);
    let timeouts = Timeouts { request: spec.timeout, backend_request: per_try };
    Some(Draft { name: spec.name.clone(), matches, filters, action, timeouts, retry: Some(retry) })
}

/// How often it is tried, and how long a try may take: as the rule says, else the mesh, of which is told elsewhere.
fn tries(cluster: &Cluster, own: Option<&Retries>, at: &str, ledger: &mut Ledger) -> (Retry, Option<Duration>) {
    let usual = cluster.mesh().config().default_http_retry_policy.as_ref();
    let retry = match (own, usual) {
        (None, Some(usual)) => retries::retry(Some(usual), at, &mut Vec::new()),
        (own, _) => retries::retry(own, at, &mut ledger.remarks),
    };
    (retry, own.or(usual).and_then(|retries| retries.per_try_timeout))
}

fn mirrors(cluster: &Cluster, rule: &delegates::Rule, place: &Binding<'_>, ledger: &mut Ledger) -> Vec<Filter> {
    let shadows = rule.spec.shadows().enumerate();
    let single = rule.spec.mirror.is_some();
    shadows
        .filter_map(|(index, (destination, percent))| {
            let share = policies::share(percent).millionths();
            let at = match (single, index) {
                (true, 0) => format!("{}.mirror", rule.path),
                (true, index) => format!("{}.mirrors[{}].destination", rule.path, index - 1),
                (false, index) => format!("{}.mirrors[{index}].destination", rule.path),
            };
            let target = target(cluster, (destination, &rule.namespace), place, (&at, OF_COPIES), ledger);
            let mirror = Mirror { target, numerator: share, denominator: 1_000_000, shadow: true };
            (share > 0).then_some(Filter::Mirror(mirror))
        })
        .collect()
}

/// A rule that sends requests on.
struct Forward<'f> {
    cluster: &'f Cluster,
    rule: &'f delegates::Rule,
    place: &'f Binding<'f>,
}

impl Forward<'_> {
    /// Where requests go; what holds for all of them goes to `filters`.
    ///
    /// With one destination the rule's header operations come before its own, with several after them: so it is with
    /// Envoy.
    fn targets(
        &self,
        own: &Edits,
        filters: &mut Vec<Filter>,
        ledger: &mut Ledger,
        faults: &mut Vec<Remark>,
    ) -> Vec<WeightedBackend> {
        let rule = &self.rule.spec;
        let at = self.rule.path.as_str();
        let at_rewrite = format!("{at}.rewrite");
        if let [only] = rule.route.as_slice() {
            let theirs = edits(&only.headers, &format!("{at}.route[0].headers"), faults);
            let request = own.request.then(&theirs.request);
            let rewrite = policies::rewrite(rule.rewrite.as_ref(), request.authority.clone(), &at_rewrite, faults);
            filters.extend(request.filters(Filter::RequestHeaders));
            filters.extend(rewrite.map(Filter::Rewrite));
            filters.extend(own.response.then(&theirs.response).filters(Filter::ResponseHeaders));
            let target = self.target((0, only), ledger);
            return vec![WeightedBackend { target, weight: 1, filters: Vec::new() }];
        }
        let rewrite = policies::rewrite(rule.rewrite.as_ref(), own.request.authority.clone(), &at_rewrite, faults);
        let sets_host = rewrite.as_ref().is_some_and(|rewrite| rewrite.host.is_some());
        filters.extend(rewrite.map(Filter::Rewrite));
        let entries = rule.route.iter().enumerate().filter(|(_, entry)| entry.weight > 0);
        entries
            .map(|(index, entry)| {
                let theirs = edits(&entry.headers, &format!("{at}.route[{index}].headers"), faults);
                let host = theirs.request.authority.clone().filter(|_| !sets_host);
                let mut filters: Vec<_> = theirs.request.filters(Filter::RequestHeaders).collect();
                filters.extend(own.request.clone().filters(Filter::RequestHeaders));
                filters.extend(host.map(|host| Filter::Rewrite(Rewrite { host: Some(host), path: None })));
                filters.extend(theirs.response.filters(Filter::ResponseHeaders));
                filters.extend(own.response.clone().filters(Filter::ResponseHeaders));
                WeightedBackend { target: self.target((index, entry), ledger), weight: entry.weight, filters }
            })
            .collect()
    }

    fn target(&self, (index, entry): (usize, &HttpDestination), ledger: &mut Ledger) -> Target {
        let at = format!("{}.route[{index}].destination", self.rule.path);
        target(self.cluster, (&entry.destination, &self.rule.namespace), self.place, (&at, OF_REQUESTS), ledger)
    }
}
