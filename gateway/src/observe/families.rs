// SPDX-License-Identifier: Apache-2.0
//! Names, labels and buckets of every metric family. Counts nothing.

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

/// Seconds of whole requests.
const REQUEST_BUCKETS: [f64; 13] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// Seconds that Torana itself took; also of connects and handshakes.
const SHORT_BUCKETS: [f64; 13] = [5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0];

/// Seconds of connections that were upgraded or passed on: they last from a second to days.
const UPGRADED_BUCKETS: [f64; 10] = [0.1, 1.0, 10.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 43_200.0, 86_400.0];

const ROUTE: [&str; 5] = ["gateway", "listener", "route_kind", "route_namespace", "route_name"];
/// Labels of the histograms: the first of those of the counters.
const TIMING: [&str; 9] =
    ["gateway", "listener", "route_kind", "route_namespace", "route_name", "rule", "backend", "protocol", "code"];
/// How many of them, at the start, are names of objects.
pub(super) const NAMES: usize = 7;
/// Which one is the route's.
pub(super) const ROUTE_NAME: usize = 4;
/// Labels of the counters of requests.
const REQUEST: [&str; 10] = [
    "gateway",
    "listener",
    "route_kind",
    "route_namespace",
    "route_name",
    "rule",
    "backend",
    "protocol",
    "code",
    "method",
];

/// Labels of the counter of streams; the names are the same as those of requests.
const STREAM: [&str; 9] =
    ["gateway", "listener", "route_kind", "route_namespace", "route_name", "rule", "backend", "protocol", "reason"];

/// Why connections are refused and ended, and where datagrams are dropped. These children are there from the start: of
/// a counter that appears with its first event Prometheus sees no increase.
pub(super) const REFUSED: [&str; 5] = ["global_cap", "ip_cap", "ip_abuse", "descriptors", "flow_cap"];
pub(super) const ABORTED: [&str; 4] = ["http2_frames", "http2_resets", "http2_limits", "http2_slow_head"];
pub(super) const DIRECTIONS: [&str; 2] = ["to_backend", "to_client"];

/// The families, registered.
pub(super) struct Families {
    pub(super) requests: IntCounterVec,
    pub(super) duration: HistogramVec,
    pub(super) overhead: HistogramVec,
    pub(super) upgraded: IntGaugeVec,
    pub(super) upgraded_duration: HistogramVec,
    pub(super) streams: IntCounterVec,
    pub(super) stream_duration: HistogramVec,
    pub(super) stream_received: IntCounterVec,
    pub(super) stream_sent: IntCounterVec,
    pub(super) datagrams_dropped: IntCounterVec,
    pub(super) rejected: IntCounterVec,
    pub(super) fields_dropped: IntCounter,
    pub(super) series_folded: IntCounter,
    pub(super) mirrors_dropped: IntCounter,
    pub(super) connections: IntGaugeVec,
    pub(super) connections_refused: IntCounterVec,
    pub(super) connections_aborted: IntCounterVec,
    pub(super) handshake: HistogramVec,
    pub(super) tls_errors: IntCounterVec,
    pub(super) upstream_connect: HistogramVec,
    pub(super) upstream_retries: IntCounterVec,
    pub(super) generation: IntGauge,
    pub(super) stale: IntGauge,
    pub(super) apply: Histogram,
    pub(super) config_rejected: IntCounterVec,
    pub(super) certificate_expiry: IntGaugeVec,
    pub(super) log_dropped: IntCounterVec,
}

impl Families {
    /// All of them in `registry`.
    pub(super) fn register(registry: &Registry) -> Self {
        let it = Register(registry);
        let listener = ["gateway", "listener", "protocol"];
        Self {
            requests: it.counters("requests_total", "requests that were answered or cut", &REQUEST),
            duration: it.histograms("request_duration_seconds", "from head to last byte", &TIMING, &REQUEST_BUCKETS),
            overhead: it.histograms("overhead_seconds", "spent in Torana itself", &TIMING, &SHORT_BUCKETS),
            upgraded: it.gauges("upgraded_connections", "connections that were upgraded", &ROUTE),
            upgraded_duration: it.histograms(
                "upgraded_duration_seconds",
                "upgraded connections that are over",
                &ROUTE,
                &UPGRADED_BUCKETS,
            ),
            streams: it.counters("streams_total", "connections and flows passed on that are over", &STREAM),
            stream_duration: it.histograms(
                "stream_duration_seconds",
                "connections and flows passed on that are over",
                &ROUTE,
                &UPGRADED_BUCKETS,
            ),
            stream_received: it.counters("stream_received_bytes_total", "bytes of clients that were passed on", &ROUTE),
            stream_sent: it.counters("stream_sent_bytes_total", "bytes of backends that were passed on", &ROUTE),
            datagrams_dropped: it.known(
                "datagrams_dropped_total",
                "that a socket did not take",
                "direction",
                &DIRECTIONS,
            ),
            rejected: it.counters("requests_rejected_total", "refused by the strict gate", &["reason"]),
            fields_dropped: it.counter("fields_dropped_total", "header fields with underscores that were dropped"),
            series_folded: it.counter("series_folded_total", "children counted under route_name=\"other\""),
            mirrors_dropped: it.counter("mirrors_dropped_total", "mirrored requests that were not sent"),
            connections: it.gauges("connections", "open connections of clients", &listener),
            connections_refused: it.known("connections_refused_total", "closed at accept", "reason", &REFUSED),
            connections_aborted: it.known("connections_aborted_total", "ended for what they sent", "reason", &ABORTED),
            handshake: it.histograms("tls_handshake_seconds", "TLS handshakes of clients", &listener, &SHORT_BUCKETS),
            tls_errors: it.counters("tls_errors_total", "failed handshakes", &["gateway", "listener", "reason"]),
            upstream_connect: it.histograms("upstream_connect_seconds", "connects", &["backend"], &SHORT_BUCKETS),
            upstream_retries: it.counters("upstream_retries_total", "tries of a request after its first", &["backend"]),
            generation: it.add(IntGauge::new("torana_config_generation", "generation in force")),
            stale: it.add(IntGauge::new("torana_config_stale", "whether no controller says that it is still so")),
            apply: it.add(Histogram::with_opts(
                HistogramOpts::new("torana_config_apply_seconds", "from delta to open sockets")
                    .buckets(SHORT_BUCKETS.to_vec()),
            )),
            config_rejected: it.counters(
                "config_rejected_total",
                "resources that could not be put in force",
                &["kind", "namespace", "name"],
            ),
            certificate_expiry: it.gauges(
                "certificate_expiry_timestamp_seconds",
                "when the first certificate for a host ends, seconds since 1970",
                &["gateway", "listener", "host"],
            ),
            log_dropped: it.counters("log_dropped_total", "lines that a full queue dropped", &["sink"]),
        }
    }
}

struct Register<'r>(&'r Registry);

impl Register<'_> {
    fn add<M: Collector + Clone + 'static>(&self, metric: prometheus::Result<M>) -> M {
        let metric = metric.expect("names and labels are literals that tests register");
        self.0.register(Box::new(metric.clone())).expect("every name is registered once");
        metric
    }

    fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.add(IntCounter::new(format!("torana_{name}"), help))
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.add(IntCounterVec::new(Opts::new(format!("torana_{name}"), help), labels))
    }

    /// Counters with all their children at zero.
    fn known(&self, name: &str, help: &str, label: &str, values: &[&str]) -> IntCounterVec {
        let counters = self.counters(name, help, &[label]);
        for value in values {
            counters.with_label_values(&[value]);
        }
        counters
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.add(IntGaugeVec::new(Opts::new(format!("torana_{name}"), help), labels))
    }

    fn histograms(&self, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
        let opts = HistogramOpts::new(format!("torana_{name}"), help).buckets(buckets.to_vec());
        self.add(HistogramVec::new(opts, labels))
    }
}
