// SPDX-License-Identifier: Apache-2.0
//! Everything that the data plane counts.
//!
//! Labels are names of the user's objects and words from fixed lists, never a client's text.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus::core::{MetricVec, MetricVecBuilder};
use prometheus::{Histogram, IntCounter, IntGauge, Registry, TextEncoder};
use torana_ir::{BackendKey, ListenerKey, ResourceKey, Snapshot};

use super::expiry::expiries;
use super::families::{ABORTED, DIRECTIONS, Families, NAMES, REFUSED, ROUTE_NAME};
use super::nouns::Nouns;
use super::shelf::Shelf;

/// Children of `torana_requests_total` that name a route. Beyond, requests are counted under `route_name="other"`.
const MOST_ROUTE_SERIES: usize = 10_000;

/// All metrics of a process.
pub struct Metrics {
    registry: Registry,
    families: Families,
    shelves: Mutex<Shelves>,
    live: Mutex<Live>,
    unrouted: super::Meters,
    most_route_series: usize,
}

#[derive(Default)]
struct Shelves {
    requests: Shelf<IntCounter>,
    timing: Shelf<Timing>,
    upgraded: Shelf<Tunnels>,
    streams: Shelf<IntCounter>,
    volumes: Shelf<Volume>,
    connections: Shelf<IntGauge>,
    handshake: Shelf<Histogram>,
    tls_errors: Shelf<IntCounter>,
    upstream_connect: Shelf<Histogram>,
    upstream_retries: Shelf<IntCounter>,
}

/// What the current snapshot names: children of other listeners and backends go.
#[derive(Default)]
struct Live {
    /// Gateway and listener.
    listeners: BTreeSet<(String, String)>,
    backends: BTreeSet<String>,
    /// Resources that were ever rejected, with their labels; forgotten when they are removed.
    rejected: BTreeMap<ResourceKey, [String; 3]>,
    /// Labels of the certificates that are served.
    expiries: BTreeSet<[String; 3]>,
}

/// The two histograms of one kind of request.
pub(super) struct Timing {
    pub(super) duration: Histogram,
    pub(super) overhead: Histogram,
}

/// The connections of one route that were upgraded.
pub(super) struct Tunnels {
    pub(super) open: IntGauge,
    pub(super) duration: Histogram,
}

/// What the streams of one route have carried.
pub(super) struct Volume {
    pub(super) duration: Histogram,
    pub(super) received: IntCounter,
    pub(super) sent: IntCounter,
}

/// One open connection; it is closed when this is dropped.
pub struct Connected(Arc<IntGauge>);

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
        Self::with_most_route_series(MOST_ROUTE_SERIES)
    }

    /// Another cap on the children that name a route.
    pub fn with_most_route_series(most_route_series: usize) -> Self {
        let registry = Registry::new();
        let families = Families::register(&registry);
        let unrouted = super::Meters::new(Nouns::default());
        Self { registry, families, shelves: Mutex::default(), live: Mutex::default(), unrouted, most_route_series }
    }

    /// The Prometheus text format.
    pub fn render(&self) -> String {
        let mut text = String::new();
        match TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text) {
            Ok(()) => text,
            Err(error) => format!("# {error}\n"),
        }
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

    // === connections ===

    /// A client's connection, `protocol` being `http`, `https`, `tls` or `tcp`, or a flow by `udp`. `listener` is `None`
    /// while several share the socket.
    pub fn connected(&self, listener: Option<&ListenerKey>, protocol: &'static str) -> Connected {
        let labels = listener_labels(listener, protocol);
        let make = |labels: &[String]| self.families.connections.with_label_values(labels);
        let gauge = self.shelves().connections.child(labels, make);
        gauge.inc();
        Connected(gauge)
    }

    /// A connection was closed at once: `global_cap`, `ip_cap`, `ip_abuse` or `descriptors`; or a flow did not begin:
    /// `flow_cap`.
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
        let labels = listener_labels(Some(listener), version);
        let make = |labels: &[String]| self.families.handshake.with_label_values(labels);
        let histogram = self.shelves().handshake.child(labels, make);
        histogram.observe(took.as_secs_f64());
    }

    /// A TLS handshake failed. `listener` is `None` if it failed before one was chosen.
    pub fn tls_error(&self, listener: Option<&ListenerKey>, reason: &'static str) {
        let labels = listener_labels(listener, reason);
        let make = |labels: &[String]| self.families.tls_errors.with_label_values(labels);
        self.shelves().tls_errors.child(labels, make).inc();
    }

    /// A connection to a backend was opened.
    pub fn upstream_connected(&self, backend: &BackendKey, took: Duration) {
        let make = |labels: &[String]| self.families.upstream_connect.with_label_values(labels);
        let histogram = self.shelves().upstream_connect.child(vec![backend.to_string()], make);
        histogram.observe(took.as_secs_f64());
    }

    /// A request is tried once more.
    pub fn upstream_retried(&self, backend: &BackendKey) {
        let make = |labels: &[String]| self.families.upstream_retries.with_label_values(labels);
        self.shelves().upstream_retries.child(vec![backend.to_string()], make).inc();
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
        let backends = changed.iter().any(|key| matches!(key, ResourceKey::Backend(_)));
        let mut live = self.live();
        if listeners {
            let names = snapshot.listeners.keys().map(Nouns::listener);
            live.listeners = names.map(|nouns| (nouns.gateway, nouns.listener)).collect();
        }
        if listeners || certificates {
            self.expire(snapshot, &mut live);
        }
        if backends {
            live.backends = snapshot.backends.keys().map(ToString::to_string).collect();
        }
        live.rejected.retain(|key, labels| {
            let there = contains(snapshot, key);
            if !there {
                removing(&self.families.config_rejected)(labels);
            }
            there
        });
    }

    fn expire(&self, snapshot: &Snapshot, live: &mut Live) {
        let expiries = expiries(snapshot);
        for labels in live.expiries.iter().filter(|labels| !expiries.contains_key(*labels)) {
            removing(&self.families.certificate_expiry)(labels);
        }
        for (labels, not_after) in &expiries {
            self.families.certificate_expiry.with_label_values(labels).set(*not_after);
        }
        live.expiries = expiries.into_keys().collect();
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

    /// Gives up children whose objects are gone; called every few seconds.
    pub fn sweep(&self, now: Instant) {
        let live = self.live();
        let listener = |labels: &[String]| {
            let pair = (labels[0].clone(), labels[1].clone());
            pair.0.is_empty() || live.listeners.contains(&pair)
        };
        let nobody = |_: &[String]| false;
        let families = &self.families;
        let shelves = &mut *self.shelves();
        shelves.requests.sweep(now, nobody, removing(&families.requests));
        shelves.timing.sweep(now, nobody, |labels| {
            removing(&families.duration)(labels);
            removing(&families.overhead)(labels);
        });
        shelves.upgraded.sweep(now, nobody, |labels| {
            removing(&families.upgraded)(labels);
            removing(&families.upgraded_duration)(labels);
        });
        shelves.streams.sweep(now, nobody, removing(&families.streams));
        shelves.volumes.sweep(now, nobody, |labels| {
            removing(&families.stream_duration)(labels);
            removing(&families.stream_received)(labels);
            removing(&families.stream_sent)(labels);
        });
        shelves.connections.sweep(now, listener, removing(&families.connections));
        shelves.handshake.sweep(now, listener, removing(&families.handshake));
        shelves.tls_errors.sweep(now, listener, removing(&families.tls_errors));
        let backend = |labels: &[String]| live.backends.contains(&labels[0]);
        shelves.upstream_connect.sweep(now, backend, removing(&families.upstream_connect));
        shelves.upstream_retries.sweep(now, backend, removing(&families.upstream_retries));
    }

    // === for meters ===

    /// Counter of one kind of request: `route` labels, then rule, backend, protocol, code, method. Folded if too many.
    pub(super) fn requests(&self, mut labels: Vec<String>) -> Arc<IntCounter> {
        let mut shelves = self.shelves();
        if self.full(&shelves) && shelves.requests.find(&labels).is_none() {
            self.families.series_folded.inc();
            fold(&mut labels);
        }
        shelves.requests.child(labels, |labels| self.families.requests.with_label_values(labels))
    }

    /// Histograms of the same without the method.
    pub(super) fn timing(&self, mut labels: Vec<String>) -> Arc<Timing> {
        let mut shelves = self.shelves();
        if self.full(&shelves) && shelves.timing.find(&labels).is_none() {
            fold(&mut labels);
        }
        shelves.timing.child(labels, |labels| Timing {
            duration: self.families.duration.with_label_values(labels),
            overhead: self.families.overhead.with_label_values(labels),
        })
    }

    /// Upgraded connections by `route` labels.
    pub(super) fn upgraded(&self, labels: Vec<String>) -> Arc<Tunnels> {
        self.shelves().upgraded.child(labels, |labels| Tunnels {
            open: self.families.upgraded.with_label_values(labels),
            duration: self.families.upgraded_duration.with_label_values(labels),
        })
    }

    /// Counter of one kind of streams: `route` labels, then rule, backend, protocol, reason. Folded if too many.
    pub(super) fn streams(&self, mut labels: Vec<String>) -> Arc<IntCounter> {
        let mut shelves = self.shelves();
        if shelves.streams.len() >= self.most_route_series && shelves.streams.find(&labels).is_none() {
            self.families.series_folded.inc();
            nameless(&mut labels, NAMES);
        }
        shelves.streams.child(labels, |labels| self.families.streams.with_label_values(labels))
    }

    /// What streams carry by `route` labels. Folded if too many.
    pub(super) fn volume(&self, mut labels: Vec<String>) -> Arc<Volume> {
        let mut shelves = self.shelves();
        if shelves.volumes.len() >= self.most_route_series && shelves.volumes.find(&labels).is_none() {
            let names = labels.len();
            nameless(&mut labels, names);
        }
        shelves.volumes.child(labels, |labels| Volume {
            duration: self.families.stream_duration.with_label_values(labels),
            received: self.families.stream_received.with_label_values(labels),
            sent: self.families.stream_sent.with_label_values(labels),
        })
    }

    fn full(&self, shelves: &Shelves) -> bool {
        shelves.requests.len() >= self.most_route_series
    }

    fn shelves(&self) -> MutexGuard<'_, Shelves> {
        // Shelves are consistent after every statement, so a panic elsewhere left them whole.
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the names out; protocol, class of the code and method stay, which are few.
fn fold(labels: &mut [String]) {
    nameless(labels, NAMES);
    if let [_protocol, code, ..] = &mut labels[NAMES..] {
        code.truncate(1);
        code.push_str("xx");
    }
}

/// Takes the first labels out, which are `names`.
fn nameless(labels: &mut [String], names: usize) {
    labels[..names].iter_mut().for_each(String::clear);
    "other".clone_into(&mut labels[ROUTE_NAME]);
}

fn listener_labels(listener: Option<&ListenerKey>, last: &str) -> Vec<String> {
    let nouns = listener.map(Nouns::listener).unwrap_or_default();
    vec![nouns.gateway, nouns.listener, last.to_owned()]
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
        ResourceKey::Endpoints(key) => ("Endpoints", key.namespace.clone(), format!("{}:{}", key.name, key.port)),
    };
    [kind.to_owned(), namespace, name]
}

fn contains(snapshot: &Snapshot, key: &ResourceKey) -> bool {
    match key {
        ResourceKey::Listener(key) => snapshot.listeners.contains_key(key),
        ResourceKey::Certificate(key) => snapshot.certificates.contains_key(key),
        ResourceKey::TrustBundle(key) => snapshot.bundles.contains_key(key),
        ResourceKey::Rule(key) => snapshot.rules.contains_key(key),
        ResourceKey::Stream(key) => snapshot.streams.contains_key(key),
        ResourceKey::Backend(key) => snapshot.backends.contains_key(key),
        ResourceKey::Endpoints(key) => snapshot.endpoints.contains_key(key),
    }
}

/// A child that is not there is as good as removed.
fn removing<B: MetricVecBuilder>(family: &MetricVec<B>) -> impl Fn(&[String]) {
    |labels| {
        family.remove_label_values(labels).ok();
    }
}

#[cfg(test)]
mod tests;
