// SPDX-License-Identifier: Apache-2.0
//! The metric handles of the streams of one rule on one listener. A stream is counted once, when it is over.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use torana_ir::{BackendKey, MetricPolicy};

use super::families::{Long, Volume};
use super::istio::{self, Ends};
use super::measure::Counter;
use super::metrics::Metrics;
use super::nouns::Nouns;
use super::shelf::Held;
use crate::fault::Fault;

/// What became of a stream.
#[derive(Debug, Clone, Copy)]
pub struct StreamOutcome<'a> {
    /// The backend that was chosen.
    pub backend: Option<&'a BackendKey>,
    /// `tcp`, `tls` or `udp`.
    pub protocol: &'static str,
    /// Why it ended before its ends were done with it.
    pub fault: Option<Fault>,
    /// From its first byte to its last.
    pub duration: Duration,
    /// Bytes of the client.
    pub received: u64,
    /// Bytes of the backend.
    pub sent: u64,
    /// Both ends have shown each other who they are.
    pub mutual: bool,
}

/// Handles of what a rule carries. Kinds of ends are few and looked up, and held, so that none is given up while the
/// rule is there.
pub struct StreamMeters {
    nouns: Arc<Nouns>,
    policy: Option<Arc<MetricPolicy>>,
    carried: OnceLock<(Held<Volume>, Held<Long>)>,
    ends: Mutex<Vec<Held<Counter>>>,
    of_istio: Mutex<Vec<istio::Streams>>,
}

/// Kinds of ends that a rule holds; what is beyond is given up as soon as it is quiet.
const MOST_ENDS: usize = 64;

fn hold<T>(held: &Mutex<Vec<T>>, child: T, is_same: impl Fn(&T, &T) -> bool) {
    // Entries are added whole, so a panic elsewhere left the list whole.
    let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
    if held.len() < MOST_ENDS && !held.iter().any(|known| is_same(known, &child)) {
        held.push(child);
    }
}

impl StreamMeters {
    /// The meters for `nouns`, with what a policy has become of Istio's metrics: `previous` itself if it is of these.
    pub fn carried(nouns: Nouns, policy: Option<&Arc<MetricPolicy>>, previous: Option<&Arc<Self>>) -> Arc<Self> {
        match previous {
            Some(previous) if *previous.nouns == nouns && previous.policy.as_ref() == policy => Arc::clone(previous),
            _ => Arc::new(Self {
                nouns: Arc::new(nouns),
                policy: policy.map(Arc::clone),
                carried: OnceLock::new(),
                ends: Mutex::default(),
                of_istio: Mutex::default(),
            }),
        }
    }

    /// The names, for the log.
    pub fn nouns(&self) -> &Arc<Nouns> {
        &self.nouns
    }

    /// Counts one stream that is over.
    pub fn record(&self, metrics: &Metrics, outcome: &StreamOutcome<'_>) {
        hold(&self.ends, count(metrics, &self.nouns, outcome), Arc::ptr_eq);
        if let Some(istio) = self.of_istio(metrics, (outcome.backend, outcome.fault), outcome.mutual) {
            istio.close(outcome.received, outcome.sent);
            hold(&self.of_istio, istio, istio::Streams::is_same);
        }
        let (volume, duration) = self.carried.get_or_init(|| {
            let (families, labels) = (metrics.families(), self.nouns.route_labels());
            (families.volumes.child(labels), families.stream_duration.child(labels))
        });
        duration.took(outcome.duration);
        volume.received.inc_by(outcome.received);
        volume.sent.inc_by(outcome.sent);
    }

    /// One begins, to be recorded when it is over; `mutual`: both ends have shown each other who they are.
    pub fn opened(&self, metrics: &Metrics, backend: Option<&BackendKey>, mutual: bool) {
        if let Some(istio) = self.of_istio(metrics, (backend, None), mutual) {
            istio.open();
            hold(&self.of_istio, istio, istio::Streams::is_same);
        }
    }

    fn of_istio(
        &self,
        metrics: &Metrics,
        (backend, fault): (Option<&BackendKey>, Option<Fault>),
        mutual: bool,
    ) -> Option<istio::Streams> {
        let policy = self.policy.as_deref();
        let ends = Ends { nouns: &self.nouns, workload: metrics.workload(), backend, fault, policy };
        metrics.families().istio.streams(&ends, mutual)
    }

    /// Counts one that no rule took.
    pub fn unrouted(metrics: &Metrics, listener: &Nouns, outcome: &StreamOutcome<'_>) {
        count(metrics, listener, outcome);
    }
}

fn count(metrics: &Metrics, nouns: &Nouns, outcome: &StreamOutcome<'_>) -> Held<Counter> {
    let backend = outcome.backend.map(ToString::to_string).unwrap_or_default();
    let reason = outcome.fault.map(Fault::reason).unwrap_or_default();
    let ([gateway, listener, kind, name, namespace], rule) = (nouns.route_labels(), nouns.rule_label());
    let labels = [&*backend, gateway, listener, outcome.protocol, reason, kind, name, namespace, rule];
    let child = metrics.families().streams.child(labels);
    child.inc();
    child
}

impl fmt::Debug for StreamMeters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamMeters({:?})", self.nouns)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::super::RouteNouns;
    use super::*;

    fn nouns(route: &str) -> Nouns {
        let route = RouteNouns { kind: "TCPRoute", namespace: "n".into(), name: route.into(), rule: "0".into() };
        Nouns { gateway: "n/g".into(), listener: "db".into(), route: Some(route) }
    }

    fn outcome(backend: Option<&BackendKey>, fault: Option<Fault>) -> StreamOutcome<'_> {
        let duration = Duration::from_millis(20);
        StreamOutcome { backend, protocol: "tcp", fault, duration, received: 3, sent: 5, mutual: false }
    }

    #[test]
    fn streams_are_counted_by_their_end_and_their_bytes_by_route() {
        let (metrics, meters) = (Metrics::new(), StreamMeters::carried(nouns("r"), None, None));
        let backend = BackendKey::tcp("n", "b", 80);
        for fault in [None, None, Some(Fault::Connect)] {
            meters.record(&metrics, &outcome(Some(&backend), fault));
        }
        let text = metrics.render();
        let route = "route_kind=\"TCPRoute\",route_name=\"r\",route_namespace=\"n\"";
        for line in [
            format!(
                "torana_streams_total{{backend=\"n/b:80\",gateway=\"n/g\",listener=\"db\",protocol=\"tcp\",\
                 reason=\"\",{route},rule=\"0\"}} 2"
            ),
            format!("torana_stream_received_bytes_total{{gateway=\"n/g\",listener=\"db\",{route}}} 9"),
            format!("torana_stream_sent_bytes_total{{gateway=\"n/g\",listener=\"db\",{route}}} 15"),
        ] {
            assert!(text.contains(&line), "{line}\n{text}");
        }
        assert!(text.contains("reason=\"connect_failed\""), "{text}");
    }

    #[test]
    fn the_series_of_a_removed_route_go_after_a_scrape() {
        let (metrics, meters) = (Metrics::new(), StreamMeters::carried(nouns("r"), None, None));
        meters.record(&metrics, &outcome(None, None));
        let now = Instant::now();
        metrics.sweep(now);
        metrics.sweep(now + Duration::from_mins(2));
        assert!(metrics.render().contains("torana_streams_total"), "the rule is there: {}", metrics.render());
        drop(meters);
        metrics.sweep(now + Duration::from_mins(2));
        metrics.sweep(now + Duration::from_mins(4));
        assert!(!metrics.render().contains("route_name=\"r\""), "{}", metrics.render());
    }

    #[test]
    fn too_many_series_are_folded() {
        let metrics = Metrics::capped(2, 1);
        for route in ["a", "b", "c", "d"] {
            StreamMeters::carried(nouns(route), None, None).record(&metrics, &outcome(None, None));
        }
        let text = metrics.render();
        let folded = text.lines().find(|line| line.starts_with("torana_streams_total") && line.contains("\"other\""));
        assert!(folded.is_some_and(|line| line.ends_with(" 2")), "{text}");
    }
}
