// SPDX-License-Identifier: Apache-2.0
//! Names, labels, buckets and caps of every metric family. Counts nothing.

use std::sync::Arc;

use prometheus::{IntCounter, IntCounterVec, IntGauge};

use super::istio;
use super::measure::{Counter, Gauge, Histogram};
use super::page::Family;
use super::register::Register;
use super::shelf::Shelf;

/// Children with names of their own of a family that is labelled by route or backend. Beyond, things are counted
/// under `other`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caps {
    /// Of counters and gauges: a line each.
    pub(super) counters: usize,
    /// Of histograms: 16 lines each.
    pub(super) histograms: usize,
}

/// What holds unless a test says otherwise.
pub(super) const CAPS: Caps = Caps { counters: 10_000, histograms: 1_000 };
/// What is labelled by listener has as many children as there are listeners.
const AS_CONFIGURED: usize = usize::MAX;

/// Seconds of whole requests.
static REQUEST_BUCKETS: [f64; 13] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// Seconds that Torana itself took; also of connects and handshakes.
static SHORT_BUCKETS: [f64; 13] = [5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0];

/// Seconds of connections that were upgraded or passed on: they last from a second to days.
static LONG_BUCKETS: [f64; 10] = [0.1, 1.0, 10.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 43_200.0, 86_400.0];

// Labels are in the order of the alphabet, which is that of the page.
const ROUTE: [&str; 5] = ["gateway", "listener", "route_kind", "route_name", "route_namespace"];
/// Of histograms of requests.
const TIMING: [&str; 9] =
    ["backend", "code", "gateway", "listener", "protocol", "route_kind", "route_name", "route_namespace", "rule"];
/// The same with the method.
const REQUEST: [&str; 10] = [
    "backend",
    "code",
    "gateway",
    "listener",
    "method",
    "protocol",
    "route_kind",
    "route_name",
    "route_namespace",
    "rule",
];
const STREAM: [&str; 9] =
    ["backend", "gateway", "listener", "protocol", "reason", "route_kind", "route_name", "route_namespace", "rule"];
const LISTENER: [&str; 3] = ["gateway", "listener", "protocol"];
const LISTENER_ERROR: [&str; 3] = ["gateway", "listener", "reason"];
const HOST: [&str; 3] = ["gateway", "host", "listener"];
const BACKEND: [&str; 1] = ["backend"];
const RESOURCE: [&str; 3] = ["kind", "namespace", "name"];
const BACKEND_REASON: [&str; 2] = ["backend", "reason"];
const BACKEND_RESULT: [&str; 2] = ["backend", "result"];

const PASSED_ON: &str = "connections and flows passed on that are over";

/// Why connections are refused and ended, how questions of ACME are answered, and where datagrams are dropped. These children are there from the start: of
/// a counter that appears with its first event Prometheus sees no increase.
pub(super) const REFUSED: [&str; 6] = ["global_cap", "ip_cap", "ip_abuse", "descriptors", "flow_cap", "proxy_protocol"];
pub(super) const ABORTED: [&str; 4] = ["http2_frames", "http2_resets", "http2_limits", "http2_slow_head"];
pub(super) const RENEWALS: [&str; 2] = ["failure", "success"];
pub(super) const CHALLENGES: [&str; 2] = ["http-01", "tls-alpn-01"];
pub(super) const SPANS: [&str; 3] = ["exported", "dropped", "failed"];
pub(super) const DIRECTIONS: [&str; 2] = ["to_backend", "to_client"];
/// In the order of [`Decision`].
const DECISIONS: [&str; 7] =
    ["allowed", "denied", "audited", "dry_run_allowed", "dry_run_denied", "granted", "refused"];

/// Of policies.
pub(super) struct Policies {
    /// By [`Decision`].
    pub(super) decisions: [IntCounter; DECISIONS.len()],
    pub(super) key_fetches: IntCounterVec,
}

impl Policies {
    fn new(it: &mut Register) -> Self {
        let help = "what policies made of requests and streams that they were for";
        let decisions = it.known("policy_decisions_total", help, "decision", &DECISIONS);
        let fetches = it.known("key_fetches_total", "keys of issuers of tokens, fetched or not", "result", &RENEWALS);
        Self { decisions: DECISIONS.map(|it| decisions.with_label_values(&[it])), key_fetches: fetches }
    }
}

/// What policies make of a request or a stream.
#[derive(Debug, Clone, Copy)]
pub(super) enum Decision {
    Allowed,
    Denied,
    Audited,
    DryRunAllowed,
    DryRunDenied,
    /// Somebody else was asked, and had no objection.
    Granted,
    /// Somebody else was asked, and said no or nothing.
    Refused,
}

/// The two histograms of one kind of request.
pub(super) struct Timing {
    pub(super) duration: Histogram<13>,
    pub(super) overhead: Histogram<13>,
}

/// Bytes that the streams of one route have carried.
#[derive(Default)]
pub(super) struct Volume {
    pub(super) received: Counter,
    pub(super) sent: Counter,
}

/// What checks of endpoints come to.
pub(super) struct Checks {
    pub(super) made: Arc<Shelf<Counter>>,
    pub(super) unhealthy: Arc<Shelf<Gauge>>,
}

/// Who the proxy is in its mesh.
pub(super) struct Identity {
    pub(super) renewals: IntCounterVec,
    pub(super) end: IntGauge,
    pub(super) wanted: IntGauge,
}

/// Seconds of connects and handshakes.
pub(super) type Short = Histogram<13>;
/// Seconds of connections.
pub(super) type Long = Histogram<10>;

/// The families, and the page that they make.
pub(super) struct Families {
    pub(super) requests: Arc<Shelf<Counter>>,
    pub(super) timing: Arc<Shelf<Timing>>,
    pub(super) upgraded: Arc<Shelf<Gauge>>,
    pub(super) upgraded_duration: Arc<Shelf<Long>>,
    pub(super) streams: Arc<Shelf<Counter>>,
    pub(super) stream_duration: Arc<Shelf<Long>>,
    pub(super) volumes: Arc<Shelf<Volume>>,
    pub(super) datagrams_dropped: IntCounterVec,
    pub(super) rejected: IntCounterVec,
    pub(super) fields_dropped: IntCounter,
    pub(super) mirrors_dropped: IntCounter,
    pub(super) policies: Policies,
    pub(super) challenges: IntCounterVec,
    pub(super) connections: Arc<Shelf<Gauge>>,
    pub(super) connections_refused: IntCounterVec,
    pub(super) connections_aborted: IntCounterVec,
    pub(super) handshake: Arc<Shelf<Short>>,
    pub(super) tls_errors: Arc<Shelf<Counter>>,
    pub(super) upstream_connect: Arc<Shelf<Short>>,
    pub(super) upstream_retries: Arc<Shelf<Counter>>,
    pub(super) upstream_ejections: Arc<Shelf<Counter>>,
    pub(super) upstream_ejected: Arc<Shelf<Gauge>>,
    pub(super) upstream_overflow: Arc<Shelf<Counter>>,
    pub(super) checks: Checks,
    pub(super) generation: IntGauge,
    pub(super) identity: Identity,
    pub(super) stale: IntGauge,
    pub(super) apply: prometheus::Histogram,
    pub(super) config_rejected: IntCounterVec,
    pub(super) certificate_expiry: Arc<Shelf<Gauge>>,
    pub(super) log_dropped: IntCounterVec,
    pub(super) spans: IntCounterVec,
    pub(super) istio: istio::Families,
    pub(super) page: Arc<[Box<dyn Family>]>,
}

impl Families {
    /// All of them, without a child that something must happen for.
    pub(super) fn new(caps: Caps) -> Self {
        let mut it = Register::new("series_folded_total", "children counted under route_name=\"other\"");
        let Caps { counters, histograms } = caps;
        Self {
            requests: it.counters("requests_total", "requests that were answered or cut", &REQUEST, counters),
            timing: timing(&mut it, histograms),
            upgraded: it.gauges("upgraded_connections", "connections that were upgraded", &ROUTE, counters),
            upgraded_duration: it.histograms(
                "upgraded_duration_seconds",
                "upgraded connections that are over",
                &ROUTE,
                histograms,
                long,
            ),
            streams: it.counters("streams_total", PASSED_ON, &STREAM, counters),
            stream_duration: it.histograms("stream_duration_seconds", PASSED_ON, &ROUTE, histograms, long),
            volumes: volumes(&mut it, counters),
            datagrams_dropped: it.known(
                "datagrams_dropped_total",
                "that a socket did not take",
                "direction",
                &DIRECTIONS,
            ),
            rejected: it.few("requests_rejected_total", "refused by the strict gate", &["reason"]),
            fields_dropped: it.counter("fields_dropped_total", "header fields with underscores that were dropped"),
            mirrors_dropped: it.counter("mirrors_dropped_total", "mirrored requests that were not sent"),
            policies: Policies::new(&mut it),
            challenges: it.known("acme_challenges_total", "questions of ACME answered", "type", &CHALLENGES),
            connections: it.gauges("connections", "open connections of clients", &LISTENER, AS_CONFIGURED),
            connections_refused: it.known("connections_refused_total", "closed at accept", "reason", &REFUSED),
            connections_aborted: it.known("connections_aborted_total", "ended for what they sent", "reason", &ABORTED),
            handshake: it.histograms(
                "tls_handshake_seconds",
                "TLS handshakes of clients",
                &LISTENER,
                AS_CONFIGURED,
                short,
            ),
            tls_errors: it.counters("tls_errors_total", "failed handshakes", &LISTENER_ERROR, AS_CONFIGURED),
            upstream_connect: it.histograms("upstream_connect_seconds", "connects", &BACKEND, histograms, short),
            upstream_retries: it.counters(
                "upstream_retries_total",
                "tries of a request after its first",
                &BACKEND,
                counters,
            ),
            upstream_ejections: it.counters(
                "upstream_ejections_total",
                "endpoints that were left out for what became of requests to them",
                &BACKEND_REASON,
                counters,
            ),
            upstream_ejected: it.gauges(
                "upstream_ejected_endpoints",
                "endpoints that are left out now",
                &BACKEND,
                counters,
            ),
            upstream_overflow: it.counters(
                "upstream_overflow_total",
                "tries that a cap of their backend did not allow",
                &BACKEND_REASON,
                counters,
            ),
            checks: checks(&mut it, counters),
            generation: it.gauge("config_generation", "generation in force"),
            identity: identity(&mut it),
            stale: it.gauge("config_stale", "whether no controller says that it is still so"),
            apply: it.histogram("config_apply_seconds", "from delta to open sockets", &SHORT_BUCKETS),
            config_rejected: it.few("config_rejected_total", "resources that could not be put in force", &RESOURCE),
            certificate_expiry: it.gauges(
                "certificate_expiry_timestamp_seconds",
                "when the first certificate for a host ends, seconds since 1970",
                &HOST,
                AS_CONFIGURED,
            ),
            log_dropped: it.few("log_dropped_total", "lines that a full queue dropped", &["sink"]),
            spans: it.known("spans_total", "spans of requests that are traced", "result", &SPANS),
            istio: istio::Families::new(&mut it, histograms),
            page: it.page(),
        }
    }
}

fn short() -> Short {
    Short::new(&SHORT_BUCKETS)
}

fn long() -> Long {
    Long::new(&LONG_BUCKETS)
}

fn timing(it: &mut Register, most: usize) -> Arc<Shelf<Timing>> {
    let make = || Timing { duration: Histogram::new(&REQUEST_BUCKETS), overhead: Histogram::new(&SHORT_BUCKETS) };
    let shelf = it.shelf(&TIMING, most, make);
    it.part("request_duration_seconds", "from head to last byte", &shelf, |timing| &timing.duration);
    it.part("overhead_seconds", "spent in Torana itself", &shelf, |timing| &timing.overhead);
    shelf
}

fn identity(it: &mut Register) -> Identity {
    let end = "end of the identity in force; 0: there is none";
    Identity {
        renewals: it.known("mesh_identity_renewals_total", "attempts at a new identity", "result", &RENEWALS),
        end: it.gauge("mesh_identity_expiry_timestamp_seconds", end),
        wanted: it.gauge("mesh_identity_missing", "1 while an identity in a mesh is wanted and there is none"),
    }
}

fn checks(it: &mut Register, most: usize) -> Checks {
    let unhealthy = "endpoints that are unhealthy by their checks";
    Checks {
        made: it.counters("health_checks_total", "checks of endpoints", &BACKEND_RESULT, most),
        unhealthy: it.gauges("upstream_unhealthy_endpoints", unhealthy, &BACKEND, most),
    }
}

fn volumes(it: &mut Register, most: usize) -> Arc<Shelf<Volume>> {
    let shelf = it.shelf(&ROUTE, most, Volume::default);
    it.part("stream_received_bytes_total", "bytes of clients that were passed on", &shelf, |volume| &volume.received);
    it.part("stream_sent_bytes_total", "bytes of backends that were passed on", &shelf, |volume| &volume.sent);
    shelf
}
