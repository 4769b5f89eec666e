// SPDX-License-Identifier: Apache-2.0
//! The metric handles of one rule on one listener, looked up at the first request of their kind and never again.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use torana_ir::{BackendKey, MetricPolicy};

use super::families::{Long, Timing};
use super::istio::{self, Call, Ends};
use super::measure::{Counter, Gauge};
use super::metrics::Metrics;
use super::nouns::{MethodLabel, Nouns};
use super::shelf::Held;
use crate::fault::Fault;
use crate::head::Version;

/// Kinds of requests that a rule keeps at hand. Of more (a backend that answers with every code there is) the rest is
/// looked up each time.
const MOST_CELLS: usize = 64;

/// What became of a request.
#[derive(Debug, Clone, Copy)]
pub struct Outcome<'a> {
    /// The backend that was chosen.
    pub backend: Option<&'a BackendKey>,
    /// The request's method.
    pub method: MethodLabel,
    /// The protocol of the client.
    pub version: Version,
    /// The status that was sent (or would have been: 499 if the client had left).
    pub status: u16,
    /// Why the client did not get a backend's whole answer.
    pub fault: Option<Fault>,
    /// It was one of gRPC.
    pub grpc: bool,
    /// What the backend said of that, 0 to 16.
    pub grpc_status: Option<u8>,
    /// From the first byte of the request to the last of the response.
    pub duration: Duration,
    /// Of that, what was not spent waiting for the backend or the client.
    pub overhead: Duration,
    /// Bytes of the request's body.
    pub received: u64,
    /// Bytes of the response's body.
    pub sent: u64,
    /// The backend's endpoint and the proxy have shown each other who they are in a mesh.
    pub mutual: bool,
}

impl Outcome<'_> {
    /// Method, version, status, whether it is of gRPC and the status of that, and of a mesh, in one word: what is compared
    /// first.
    fn tag(&self) -> u32 {
        let version = match self.version {
            Version::Http10 => 0,
            Version::Http11 => 1,
            Version::Http2 => 2,
        } | u32::from(self.grpc) << 2
            | self.grpc_status.map_or(0, |code| u32::from(code & 0x1f) + 1) << 3;
        u32::from(self.mutual) << 31
            | u32::from(self.status & 0x3fff) << 16
            | u32::from(self.method.index()) << 8
            | version
    }
}

/// Handles by kind of request: a list that only grows, read without a lock.
pub struct Meters {
    nouns: Arc<Nouns>,
    policy: Option<Arc<MetricPolicy>>,
    cells: OnceLock<Box<Cell>>,
    upgraded: OnceLock<Box<Tunnels>>,
}

/// Those of the connections that were upgraded.
#[derive(Clone)]
struct Tunnels {
    open: Held<Gauge>,
    duration: Held<Long>,
}

struct Cell {
    tag: u32,
    backend: Option<BackendKey>,
    flag: &'static str,
    handles: Handles,
    next: OnceLock<Box<Self>>,
}

/// One connection that was upgraded; it is over when this is dropped.
pub struct Upgraded {
    tunnels: Tunnels,
    since: Instant,
}

#[derive(Clone)]
struct Handles {
    requests: Held<Counter>,
    timing: Held<Timing>,
    /// If a VirtualService took it.
    istio: Option<istio::Requests>,
}

impl Meters {
    /// Meters without a request.
    pub fn new(nouns: Nouns) -> Self {
        Self { nouns: Arc::new(nouns), policy: None, cells: OnceLock::new(), upgraded: OnceLock::new() }
    }

    /// The meters for `nouns`, with what a policy has become of Istio's metrics: `previous` itself if it is of these.
    pub fn carried(nouns: Nouns, policy: Option<&Arc<MetricPolicy>>, previous: Option<&Arc<Self>>) -> Arc<Self> {
        match previous {
            Some(previous) if *previous.nouns == nouns && previous.policy.as_ref() == policy => Arc::clone(previous),
            _ => Arc::new(Self { policy: policy.map(Arc::clone), ..Self::new(nouns) }),
        }
    }

    /// The names, for the log.
    pub fn nouns(&self) -> &Arc<Nouns> {
        &self.nouns
    }

    /// Counts one request that is over.
    pub fn record(&self, metrics: &Metrics, outcome: &Outcome<'_>) {
        let (tag, flag) = (outcome.tag(), outcome.fault.map_or("", Fault::flag));
        let mut slot = &self.cells;
        for _ in 0..MOST_CELLS {
            let cell = slot.get_or_init(|| {
                let handles = self.handles(metrics, outcome);
                let (backend, next) = (outcome.backend.cloned(), OnceLock::new());
                Box::new(Cell { tag, backend, flag, handles, next })
            });
            if cell.tag == tag && cell.flag == flag && cell.backend.as_ref() == outcome.backend {
                return cell.handles.record(outcome);
            }
            slot = &cell.next;
        }
        self.handles(metrics, outcome).record(outcome);
    }

    /// A connection of this rule was upgraded.
    pub fn upgraded(&self, metrics: &Metrics) -> Upgraded {
        let tunnels = self.upgraded.get_or_init(|| {
            let (families, labels) = (metrics.families(), self.nouns.route_labels());
            let (open, duration) = (families.upgraded.child(labels), families.upgraded_duration.child(labels));
            Box::new(Tunnels { open, duration })
        });
        tunnels.open.inc();
        Upgraded { tunnels: Tunnels::clone(tunnels), since: Instant::now() }
    }

    fn handles(&self, metrics: &Metrics, outcome: &Outcome<'_>) -> Handles {
        let (backend, code) =
            (outcome.backend.map(ToString::to_string).unwrap_or_default(), outcome.status.to_string());
        let (method, protocol) = (outcome.method.as_str(), outcome.version.as_str());
        let ([gateway, listener, kind, name, namespace], rule) = (self.nouns.route_labels(), self.nouns.rule_label());
        let timed = [&*backend, &code, gateway, listener, protocol, kind, name, namespace, rule];
        let counted = [&*backend, &code, gateway, listener, method, protocol, kind, name, namespace, rule];
        let families = metrics.families();
        let (workload, nouns) = (metrics.workload(), &self.nouns);
        let policy = self.policy.as_deref();
        let ends = Ends { nouns, workload, backend: outcome.backend, fault: outcome.fault, policy };
        let Outcome { status, grpc, grpc_status, mutual, .. } = *outcome;
        let istio = families.istio.requests(&ends, Call { status, grpc, grpc_status, mutual });
        Handles { requests: families.requests.child(counted), timing: families.timing.child(timed), istio }
    }
}

impl Handles {
    fn record(&self, outcome: &Outcome<'_>) {
        self.requests.inc();
        self.timing.duration.took(outcome.duration);
        self.timing.overhead.took(outcome.overhead);
        if let Some(istio) = &self.istio {
            istio.record(outcome.duration, outcome.received, outcome.sent);
        }
    }
}

impl Drop for Upgraded {
    fn drop(&mut self) {
        self.tunnels.open.dec();
        self.tunnels.duration.took(self.since.elapsed());
    }
}

impl fmt::Debug for Meters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Meters({:?})", self.nouns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backend(name: &str) -> BackendKey {
        BackendKey::tcp("n", name, 80)
    }

    fn outcome<'a>(backend: Option<&'a BackendKey>, method: &str, status: u16) -> Outcome<'a> {
        let (duration, overhead) = (Duration::from_millis(20), Duration::from_micros(60));
        let method = MethodLabel::of(method);
        let (version, fault) = (Version::Http11, None);
        Outcome {
            backend,
            method,
            version,
            status,
            fault,
            grpc: false,
            grpc_status: None,
            duration,
            overhead,
            received: 0,
            sent: 0,
            mutual: false,
        }
    }

    fn nouns(route: &str) -> Nouns {
        let route =
            super::super::RouteNouns { kind: "HTTPRoute", namespace: "n".into(), name: route.into(), rule: "0".into() };
        Nouns { gateway: "n/g".into(), listener: "web".into(), route: Some(route) }
    }

    fn cells(meters: &Meters) -> usize {
        std::iter::successors(meters.cells.get(), |cell| cell.next.get()).count()
    }

    #[test]
    fn each_kind_of_request_is_looked_up_once() {
        let (metrics, meters) = (Metrics::new(), Meters::new(nouns("r")));
        let (one, two) = (backend("one"), backend("two"));
        for _ in 0..3 {
            meters.record(&metrics, &outcome(Some(&one), "GET", 200));
            meters.record(&metrics, &outcome(Some(&two), "GET", 200));
            meters.record(&metrics, &outcome(Some(&one), "POST", 200));
            meters.record(&metrics, &outcome(None, "GET", 503));
        }
        assert_eq!(cells(&meters), 4);
        let text = metrics.render();
        let line = "torana_requests_total{backend=\"n/one:80\",code=\"200\",gateway=\"n/g\",listener=\"web\",\
                    method=\"GET\",protocol=\"HTTP/1.1\",route_kind=\"HTTPRoute\",route_name=\"r\",\
                    route_namespace=\"n\",rule=\"0\"} 3";
        assert!(text.contains(line), "{text}");
        let timed = "torana_request_duration_seconds_count{backend=\"n/one:80\",code=\"200\",gateway=\"n/g\",\
                     listener=\"web\",protocol=\"HTTP/1.1\",route_kind=\"HTTPRoute\",route_name=\"r\",\
                     route_namespace=\"n\",rule=\"0\"} 6";
        assert!(text.contains(timed), "GET and POST share their histogram: {text}");
    }

    #[test]
    fn more_kinds_than_cells_are_still_counted() {
        let (metrics, meters) = (Metrics::new(), Meters::new(nouns("r")));
        for status in 200..300 {
            meters.record(&metrics, &outcome(None, "GET", status));
            meters.record(&metrics, &outcome(None, "GET", status));
        }
        assert_eq!(cells(&meters), MOST_CELLS);
        assert_eq!(metrics.render().matches("torana_requests_total{").count(), 100);
        assert!(
            metrics
                .render()
                .lines()
                .filter(|line| line.starts_with("torana_requests_total{"))
                .all(|line| line.ends_with(" 2"))
        );
    }

    #[test]
    fn too_many_series_are_folded_and_counted() {
        let metrics = Metrics::capped(2, 1);
        for route in ["a", "b", "c", "d"] {
            Meters::new(nouns(route)).record(&metrics, &outcome(None, "GET", 200));
        }
        let text = metrics.render();
        let other = text
            .lines()
            .find(|line| line.starts_with("torana_requests_total") && line.contains("route_name=\"other\""));
        assert!(other.is_some_and(|line| line.contains("code=\"2xx\"") && line.ends_with(" 2")), "{text}");
        assert_eq!(text.lines().filter(|line| line.starts_with("torana_requests_total{")).count(), 3);
        let timed: Vec<&str> =
            text.lines().filter(|line| line.starts_with("torana_request_duration_seconds_count{")).collect();
        assert!(matches!(*timed, [a, other] if other.contains("\"other\"") && a.contains("\"a\"")), "{timed:?}");
        assert!(timed[1].contains("code=\"2xx\"") && timed[1].ends_with(" 3"), "{timed:?}");
        assert!(text.contains("\ntorana_series_folded_total 5\n"), "two counters and three of histograms: {text}");
    }

    #[test]
    fn the_series_of_a_removed_route_go_after_a_scrape() {
        let (metrics, meters) = (Metrics::new(), Meters::new(nouns("r")));
        meters.record(&metrics, &outcome(None, "GET", 200));
        let now = std::time::Instant::now();
        metrics.sweep(now);
        metrics.sweep(now + Duration::from_mins(10));
        assert!(metrics.render().contains("torana_requests_total{"), "the route is there");
        drop(meters);
        metrics.sweep(now + Duration::from_secs(601));
        assert!(metrics.render().contains("torana_requests_total{"), "its last values are not yet scraped");
        metrics.sweep(now + Duration::from_secs(662));
        assert!(!metrics.render().contains("route_name=\"r\""), "{}", metrics.render());
    }

    #[test]
    fn meters_are_carried_over_only_under_the_same_names() {
        let old = Meters::carried(nouns("r"), None, None);
        assert!(Arc::ptr_eq(&old, &Meters::carried(nouns("r"), None, Some(&old))));
        assert!(!Arc::ptr_eq(&old, &Meters::carried(nouns("s"), None, Some(&old))));
    }

    #[test]
    fn upgraded_connections_are_counted_while_they_last_and_timed_when_they_are_over() {
        let (metrics, meters) = (Metrics::new(), Meters::new(nouns("r")));
        let value = |name: &str| {
            let text = metrics.render();
            let line = text.lines().find(|line| line.starts_with(name) && line.contains("route_name=\"r\""));
            line.and_then(|line| line.rsplit(' ').next()).map(str::to_owned)
        };
        let tunnel = meters.upgraded(&metrics);
        assert_eq!(value("torana_upgraded_connections{").as_deref(), Some("1"));
        assert_eq!(value("torana_upgraded_duration_seconds_count{").as_deref(), Some("0"));
        drop(tunnel);
        assert_eq!(value("torana_upgraded_connections{").as_deref(), Some("0"));
        assert_eq!(value("torana_upgraded_duration_seconds_count{").as_deref(), Some("1"));
    }
}
