// SPDX-License-Identifier: Apache-2.0
//! Everything that the data plane counts.
//!
//! Labels are names of the user's objects and words from fixed lists, never a client's text.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus::IntCounter;
use torana_ir::{BackendKey, ListenerKey, ResourceKey, Snapshot};

use super::expiry::expiries;
use super::families::{ABORTED, CAPS, CHALLENGES, Caps, DIRECTIONS, Decision, Families, REFUSED, SPANS};
use super::labels::{joined, values};
use super::measure::Gauge;
use super::nouns::Nouns;
use super::page::Page;
use super::shelf::{Child, Held, Shelf};
use crate::access::{Judgement, Verdict};
use crate::mesh::Tally;

/// All metrics of a process.
pub struct Metrics {
    families: Families,
    live: Mutex<Live>,
    /// What the proxies are called, if not as their Gateway.
    workload: Option<String>,
    unrouted: super::Meters,
}

/// What the current snapshot names: children of other listeners and backends go.
#[derive(Default)]
struct Live {
    /// Gateway and listener.
    listeners: BTreeSet<(String, String)>,
    backends: BTreeSet<String>,
    /// Resources that were ever rejected, with their labels; forgotten when they are removed.
    rejected: BTreeMap<ResourceKey, [String; 3]>,
}

/// One open connection; it is closed when this is dropped.
pub struct Connected(Held<Gauge>);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Everything at zero.
    pub fn new() -> Self {
        Self::with(CAPS)
    }

    /// The same of proxies with this name (`source_workload` of Istio's metrics).
    #[must_use]
    pub fn of(self, workload: Option<String>) -> Self {
        Self { workload, ..self }
    }

    /// Other caps on the children that name a route or a backend.
    #[cfg(test)]
    pub(crate) fn capped(counters: usize, histograms: usize) -> Self {
        Self::with(Caps { counters, histograms })
    }

    fn with(caps: Caps) -> Self {
        let unrouted = super::Meters::new(Nouns::default());
        Self { families: Families::new(caps), live: Mutex::default(), workload: None, unrouted }
    }

    /// The Prometheus text format, a piece at a time.
    pub fn page(&self) -> Page {
        Page::new(Arc::clone(&self.families.page))
    }

    /// All of it at once.
    pub fn render(&self) -> String {
        self.page().collect()
    }

    pub(super) fn families(&self) -> &Families {
        &self.families
    }

    pub(super) fn workload(&self) -> Option<&str> {
        self.workload.as_deref()
    }

    /// For requests that belong to no listener.
    pub fn unrouted(&self) -> &super::Meters {
        &self.unrouted
    }

    // === requests ===

    /// The strict gate refused a request.
    pub fn rejected(&self, reason: &'static str) {
        self.families.rejected.with_label_values(&[reason]).inc();
    }

    /// Header fields with `_` in their names were dropped.
    pub fn fields_dropped(&self, count: u64) {
        self.families.fields_dropped.inc_by(count);
    }

    /// A mirrored request was not sent: too many are in flight.
    pub fn mirror_dropped(&self) {
        self.families.mirrors_dropped.inc();
    }

    /// A question of ACME was answered: `http-01` or `tls-alpn-01`.
    pub fn challenge_answered(&self, kind: &'static str) {
        debug_assert!(CHALLENGES.contains(&kind), "{kind}");
        self.families.challenges.with_label_values(&[kind]).inc();
    }

    /// Keys of an issuer of tokens were fetched, or could not be.
    pub fn keys_fetched(&self, is_success: bool) {
        let result = if is_success { "success" } else { "failure" };
        self.families.policies.key_fetches.with_label_values(&[result]).inc();
    }

    /// Somebody else was asked about a request, and let it go on or not.
    pub fn asked(&self, is_granted: bool) {
        let decision = if is_granted { Decision::Granted } else { Decision::Refused };
        self.families.policies.decisions[decision as usize].inc();
    }

    /// Policies have said what becomes of a request or a stream.
    pub fn judged(&self, judgement: &Judgement) {
        let Judgement { verdict, audited, would } = judgement;
        let allowed = matches!(verdict, Verdict::Allowed(_));
        let words = [
            Some(if allowed { Decision::Allowed } else { Decision::Denied }),
            audited.is_some().then_some(Decision::Audited),
            would.as_ref().map(|would| match would {
                Verdict::Allowed(_) => Decision::DryRunAllowed,
                Verdict::Denied(_) => Decision::DryRunDenied,
            }),
        ];
        for decision in words.into_iter().flatten() {
            self.families.policies.decisions[decision as usize].inc();
        }
    }

    // === connections ===

    /// A client's connection, `protocol` being `http`, `https`, `tls` or `tcp`, or a flow by `udp`. `listener` is `None`
    /// while several share the socket.
    pub fn connected(&self, listener: Option<&ListenerKey>, protocol: &'static str) -> Connected {
        let (gateway, name) = listener_labels(listener);
        let gauge = self.families.connections.child([&*gateway, &name, protocol]);
        gauge.inc();
        Connected(gauge)
    }

    /// A connection was closed at once: `global_cap`, `ip_cap`, `ip_abuse` or `descriptors`, or `proxy_protocol` where its
    /// header did not come; or a flow did not begin: `flow_cap`.
    pub fn connection_refused(&self, reason: &'static str) {
        debug_assert!(REFUSED.contains(&reason), "{reason}");
        self.families.connections_refused.with_label_values(&[reason]).inc();
    }

    /// A connection was ended for what its client sent: `http2_frames`, `http2_resets`, `http2_limits` or
    /// `http2_slow_head`.
    pub fn connection_aborted(&self, reason: &'static str) {
        debug_assert!(ABORTED.contains(&reason), "{reason}");
        self.families.connections_aborted.with_label_values(&[reason]).inc();
    }

    /// A datagram was dropped because a socket takes no more: `to_backend` or `to_client`.
    pub fn datagram_dropped(&self, direction: &'static str) {
        debug_assert!(DIRECTIONS.contains(&direction), "{direction}");
        self.families.datagrams_dropped.with_label_values(&[direction]).inc();
    }

    /// A TLS handshake took this long.
    pub fn handshake(&self, listener: &ListenerKey, version: &'static str, took: Duration) {
        let (gateway, name) = listener_labels(Some(listener));
        self.families.handshake.child([&*gateway, &name, version]).took(took);
    }

    /// A TLS handshake failed. `listener` is `None` if it failed before one was chosen.
    pub fn tls_error(&self, listener: Option<&ListenerKey>, reason: &'static str) {
        let (gateway, name) = listener_labels(listener);
        self.families.tls_errors.child([&*gateway, &name, reason]).inc();
    }

    /// A connection to a backend was opened.
    pub fn upstream_connected(&self, backend: &BackendKey, took: Duration) {
        self.families.upstream_connect.child([&*backend.to_string()]).took(took);
    }

    /// A request is tried once more.
    pub fn upstream_retried(&self, backend: &BackendKey) {
        self.families.upstream_retries.child([&*backend.to_string()]).inc();
    }

    /// An endpoint was ejected for this `reason`; so many of the backend's are `now`.
    pub fn upstream_ejected(&self, backend: &BackendKey, reason: &'static str, now: usize) {
        let backend = &*backend.to_string();
        self.families.upstream_ejections.child([backend, reason]).inc();
        self.families.upstream_ejected.child([backend]).set(count(now));
    }

    /// A try was not made: a cap of its backend (`connections`, `pending`, `requests` or `retries`) is reached.
    pub fn upstream_overflowed(&self, backend: &BackendKey, reason: &'static str) {
        self.families.upstream_overflow.child([&*backend.to_string(), reason]).inc();
    }

    /// These backends have so many endpoints ejected, all others none. Ejections end without a word: called every few
    /// seconds.
    pub fn ejected<'b>(&self, backends: impl Iterator<Item = (&'b BackendKey, usize)>) {
        set(&self.families.upstream_ejected, backends);
    }

    /// A check of an endpoint came to this: a word that says how it failed, or `success`.
    pub fn checked(&self, backend: &BackendKey, result: &'static str) {
        self.families.checks.made.child([&*backend.to_string(), result]).inc();
    }

    /// The endpoints of a backend are checked from now on; none is unhealthy yet.
    pub fn checks_begin(&self, backend: &BackendKey) {
        self.families.checks.unhealthy.child([&*backend.to_string()]).set(0);
    }

    /// Of these backends so many endpoints are unhealthy by their checks, of all others none.
    pub fn unhealthy<'b>(&self, backends: impl Iterator<Item = (&'b BackendKey, usize)>) {
        set(&self.families.checks.unhealthy, backends);
    }

    // === the mesh ===

    /// What became of the identity by now. Called every few seconds, and when there is another.
    pub fn identity(&self, tally: &Tally) {
        let identity = &self.families.identity;
        for (result, count) in [("success", tally.renewed()), ("failure", tally.failed())] {
            let counter = identity.renewals.with_label_values(&[result]);
            counter.inc_by(count.saturating_sub(counter.get()));
        }
        identity.end.set(i64::try_from(tally.expires_at()).unwrap_or(i64::MAX));
        identity.wanted.set((!["absent", "available"].contains(&tally.state())).into());
    }

    // === configuration ===

    /// Whether nobody says that what is in force is still so.
    pub fn stale(&self, is_stale: bool) {
        self.families.stale.set(is_stale.into());
    }

    /// A generation is in force that changed these resources. Children of listeners and backends that it no longer
    /// names go after a while.
    pub fn programmed(&self, generation: u64, snapshot: &Snapshot, changed: &BTreeSet<ResourceKey>, took: Duration) {
        self.families.generation.set(i64::try_from(generation).unwrap_or(i64::MAX));
        self.families.apply.observe(took.as_secs_f64());
        let listeners = changed.iter().any(|key| matches!(key, ResourceKey::Listener(_)));
        let certificates = changed.iter().any(|key| matches!(key, ResourceKey::Certificate(_)));
        let mut live = self.live();
        if listeners {
            let names = snapshot.listeners.keys().map(Nouns::listener);
            live.listeners = names.map(|nouns| (nouns.gateway, nouns.listener)).collect();
        }
        if listeners || certificates {
            self.expire(snapshot);
        }
        for key in changed {
            let ResourceKey::Backend(backend) = key else { continue };
            if snapshot.backends.contains_key(backend) {
                live.backends.insert(backend.to_string());
            } else {
                live.backends.remove(&backend.to_string());
            }
        }
        live.rejected.retain(|key, labels| {
            let there = snapshot.get(key).is_some();
            if !there {
                // A child that is not there is as good as removed.
                self.families.config_rejected.remove_label_values(labels).ok();
            }
            there
        });
    }

    fn expire(&self, snapshot: &Snapshot) {
        let hosts = expiries(snapshot);
        let shelf = &self.families.certificate_expiry;
        let there: BTreeSet<String> = hosts.keys().map(|labels| joined(labels.iter().map(String::as_str))).collect();
        shelf.retain(|child| there.contains(child.labels()));
        for (labels, not_after) in &hosts {
            shelf.child(labels.iter().map(String::as_str)).set(*not_after);
        }
    }

    /// A resource could not be put in force.
    pub fn config_rejected(&self, key: &ResourceKey) {
        let labels = resource_labels(key);
        self.families.config_rejected.with_label_values(&labels).inc();
        self.live().rejected.insert(key.clone(), labels);
    }

    /// Lines of the access log that were dropped.
    pub(super) fn log_dropped(&self) -> IntCounter {
        self.families.log_dropped.with_label_values(&["access"])
    }

    /// Spans that were told (`exported`), that found no room (`dropped`), or that a collector did not take (`failed`).
    pub(crate) fn spans(&self, result: &'static str) -> IntCounter {
        debug_assert!(SPANS.contains(&result), "{result}");
        self.families.spans.with_label_values(&[result])
    }

    /// Gives up children whose objects are gone; called every few seconds.
    pub fn sweep(&self, now: Instant) {
        let (live, families) = (self.live(), &self.families);
        families.istio.sweep(now);
        families.requests.sweep(now, nobody);
        families.timing.sweep(now, nobody);
        families.upgraded.sweep(now, nobody);
        families.upgraded_duration.sweep(now, nobody);
        families.streams.sweep(now, nobody);
        families.volumes.sweep(now, nobody);
        families.stream_duration.sweep(now, nobody);
        families.connections.sweep(now, |child| live.has_listener(child.labels()));
        families.handshake.sweep(now, |child| live.has_listener(child.labels()));
        families.tls_errors.sweep(now, |child| live.has_listener(child.labels()));
        families.upstream_connect.sweep(now, |child| child.is_folded() || live.backends.contains(child.labels()));
        families.upstream_retries.sweep(now, |child| child.is_folded() || live.backends.contains(child.labels()));
        families.upstream_ejected.sweep(now, |child| child.is_folded() || live.backends.contains(child.labels()));
        families.upstream_ejections.sweep(now, |child| child.is_folded() || live.has_backend(child.labels()));
        families.upstream_overflow.sweep(now, |child| child.is_folded() || live.has_backend(child.labels()));
        families.checks.made.sweep(now, |child| child.is_folded() || live.has_backend(child.labels()));
        families.checks.unhealthy.sweep(now, |child| child.is_folded() || live.backends.contains(child.labels()));
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Live {
    /// Whether the backend is there that these labels begin with.
    fn has_backend(&self, labels: &str) -> bool {
        values(labels).next().is_some_and(|backend| self.backends.contains(backend))
    }

    /// Whether the listener is there that these labels begin with. That of all connections that have none is.
    fn has_listener(&self, labels: &str) -> bool {
        let mut labels = values(labels).map(str::to_owned);
        let pair = (labels.next().unwrap_or_default(), labels.next().unwrap_or_default());
        pair.0.is_empty() || self.listeners.contains(&pair)
    }
}

/// Sets the children of backends that are named to their numbers, all others to none.
fn set<'b>(gauge: &Shelf<Gauge>, backends: impl Iterator<Item = (&'b BackendKey, usize)>) {
    let mut backends: BTreeMap<String, usize> = backends.map(|(key, count)| (key.to_string(), count)).collect();
    let (folded, named): (Vec<_>, Vec<_>) = gauge.after(None, usize::MAX).into_iter().partition(|it| it.is_folded());
    for child in named {
        child.set(count(backends.remove(child.labels()).unwrap_or_default()));
    }
    // What has no child of its own is counted together.
    for child in folded {
        child.set(count(backends.values().sum()));
    }
}

fn count(number: usize) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

/// Children of routes are needed by who holds them.
fn nobody<T>(_: &Child<T>) -> bool {
    false
}

fn listener_labels(listener: Option<&ListenerKey>) -> (String, String) {
    let nouns = listener.map(Nouns::listener).unwrap_or_default();
    (nouns.gateway, nouns.listener)
}

fn resource_labels(key: &ResourceKey) -> [String; 3] {
    let (kind, namespace, name) = match key {
        ResourceKey::Listener(key) => ("Listener", key.gateway.namespace.clone(), Nouns::listener(key).listener),
        ResourceKey::Certificate(key) => ("Certificate", key.namespace.clone(), key.name.clone()),
        ResourceKey::TrustBundle(key) => ("TrustBundle", key.namespace.clone(), key.name.clone()),
        ResourceKey::Rule(key) => ("Rule", key.route.namespace.clone(), format!("{}/{}", key.route.name, key.index)),
        ResourceKey::Stream(key) => {
            ("Stream", key.route.namespace.clone(), format!("{}/{}", key.route.name, key.index))
        }
        ResourceKey::Backend(key) => ("Backend", key.namespace.clone(), format!("{}:{}", key.name, key.port)),
        ResourceKey::AcmeHost(key) => ("AcmeHost", key.gateway.namespace.clone(), key.host.clone()),
        ResourceKey::Policy(key) => ("Policy", key.namespace.clone(), key.name.clone()),
        ResourceKey::Tokens(key) => ("Tokens", key.namespace.clone(), key.name.clone()),
        ResourceKey::Provider(key) => ("Provider", String::new(), key.0.clone()),
        ResourceKey::Endpoints(key) => ("Endpoints", key.namespace.clone(), format!("{}:{}", key.name, key.port)),
    };
    [kind.to_owned(), namespace, name]
}

#[cfg(test)]
mod tests;
