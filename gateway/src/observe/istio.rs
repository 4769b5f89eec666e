// SPDX-License-Identifier: Apache-2.0
//! Istio's standard metrics (`istio_requests_total` and the others) as a gateway of Istio's reports them
//! (`reporter="source"`), of what rules of VirtualServices took; so that the boards and the graph that are made for them
//! go on. Of an endpoint's workload nothing is known here: it is `unknown`, as in Istio without a sidecar.
//!
//! Never counts what a route of Gateway API took.

use std::sync::Arc;
use std::time::{Duration, Instant};

use torana_ir::{BackendKey, IstioMetric, LabelValue, MetricChange, MetricPolicy};

use super::measure::{Counter, Histogram, Measure};
use super::nouns::Nouns;
use super::register::Register;
use super::shelf::{Held, Shelf};
use crate::fault::Fault;

/// Milliseconds, and bytes: the buckets of Envoy.
static BUCKETS: [f64; 19] =
    [0.5, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1e3, 2.5e3, 5e3, 1e4, 3e4, 6e4, 3e5, 6e5, 1.8e6, 3.6e6];

const UNKNOWN: &str = "unknown";
/// Istio's name for a cluster that was given none.
const CLUSTER: &str = "Kubernetes";
const LATEST: &str = "latest";
const POLICY: &str = "connection_security_policy";
const MUTUAL: &str = "mutual_tls";
/// The kind of the rules that are counted.
const KIND: &str = "VirtualService";

/// The numbers of one kind of request; a metric that a policy leaves out has none.
#[derive(Clone)]
pub(super) struct Requests {
    total: Option<Held<Counter>>,
    milliseconds: Option<Held<Sizes>>,
    request: Option<Held<Sizes>>,
    response: Option<Held<Sizes>>,
}

/// The numbers of streams.
#[derive(Clone)]
pub(super) struct Streams {
    sent: Option<Held<Counter>>,
    received: Option<Held<Counter>>,
    opened: Option<Held<Counter>>,
    closed: Option<Held<Counter>>,
}

type Sizes = Histogram<19>;

/// The families. Each has children of its own: a policy may call those of one otherwise than those of another.
pub(super) struct Families {
    total: Arc<Shelf<Counter>>,
    milliseconds: Arc<Shelf<Sizes>>,
    request: Arc<Shelf<Sizes>>,
    response: Arc<Shelf<Sizes>>,
    sent: Arc<Shelf<Counter>>,
    received: Arc<Shelf<Counter>>,
    opened: Arc<Shelf<Counter>>,
    closed: Arc<Shelf<Counter>>,
}

fn sizes() -> Sizes {
    Histogram::new(&BUCKETS)
}

/// A family without a child; there are at most so many.
fn family<M: Measure>(
    it: &mut Register,
    (metric, help): (IstioMetric, &'static str),
    most: usize,
    make: fn() -> M,
) -> Arc<Shelf<M>> {
    let shelf = it.shelf(metric.labels(), most, make);
    it.foreign(metric.name(), help, &shelf, |whole| whole);
    shelf
}

impl Families {
    /// All of them, without a child; of each there are at most so many.
    pub(super) fn new(it: &mut Register, most: usize) -> Self {
        use IstioMetric as Of;
        let count = Counter::default;
        Self {
            total: family(it, (Of::Requests, "requests that VirtualServices routed"), most, count),
            milliseconds: family(it, (Of::Duration, "from head to last byte"), most, sizes),
            request: family(it, (Of::RequestBytes, "bodies of requests"), most, sizes),
            response: family(it, (Of::ResponseBytes, "bodies of responses"), most, sizes),
            sent: family(it, (Of::TcpSent, "bytes of backends"), most, count),
            received: family(it, (Of::TcpReceived, "bytes of clients"), most, count),
            opened: family(it, (Of::TcpOpened, "streams that began"), most, count),
            closed: family(it, (Of::TcpClosed, "streams that are over"), most, count),
        }
    }
}

impl Requests {
    /// Counts one, with the bytes of its body and of the response's.
    pub(super) fn record(&self, duration: Duration, received: u64, sent: u64) {
        if let Some(total) = &self.total {
            total.inc();
        }
        let sizes = [
            (&self.milliseconds, duration.as_secs_f64() * 1e3),
            (&self.request, bytes(received)),
            (&self.response, bytes(sent)),
        ];
        for (histogram, size) in sizes {
            if let Some(histogram) = histogram {
                histogram.observe(size);
            }
        }
    }
}

impl Streams {
    /// One begins.
    pub(super) fn open(&self) {
        if let Some(opened) = &self.opened {
            opened.inc();
        }
    }

    /// One is over, with the bytes of the client and of the backend.
    pub(super) fn close(&self, received: u64, sent: u64) {
        for (counter, more) in [(&self.closed, 1), (&self.received, received), (&self.sent, sent)] {
            if let Some(counter) = counter {
                counter.inc_by(more);
            }
        }
    }

    /// Whether these are the same numbers.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let all = |it: &Self| [&it.sent, &it.received, &it.opened, &it.closed].map(|it| it.as_ref().map(Arc::as_ptr));
        all(self) == all(other)
    }
}

#[expect(clippy::cast_precision_loss, reason = "the page has nothing else, and it is exact up to 2^53")]
fn bytes(count: u64) -> f64 {
    count as f64
}

/// From where to where, and what became of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends<'a> {
    pub(super) nouns: &'a Nouns,
    /// What the proxies are called; `None`: as their Gateway.
    pub(super) workload: Option<&'a str>,
    pub(super) backend: Option<&'a BackendKey>,
    pub(super) fault: Option<Fault>,
    /// What becomes of them.
    pub(super) policy: Option<&'a MetricPolicy>,
}

/// What a request was, and what became of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    pub(super) status: u16,
    pub(super) grpc: bool,
    pub(super) grpc_status: Option<u8>,
    /// Both ends have shown each other who they are.
    pub(super) mutual: bool,
}

impl Families {
    /// The numbers of requests that end so; `None` if no VirtualService took them.
    pub(super) fn requests(&self, ends: &Ends<'_>, call: Call) -> Option<Requests> {
        let (labels, code) = (Labels::new(ends)?, call.status.to_string());
        let grpc_code = call.grpc_status.map(|code| code.to_string()).unwrap_or_default();
        let of = |name: &str| match name {
            "request_protocol" if call.grpc => "grpc",
            "request_protocol" => "http",
            // Istio's sources leave that to the other end, which need not be one that tells.
            POLICY if call.mutual => MUTUAL,
            "response_code" => &code,
            "grpc_response_status" => &grpc_code,
            name => labels.of(name),
        };
        Some(Requests {
            total: child(&self.total, (IstioMetric::Requests, ends.policy), of),
            milliseconds: child(&self.milliseconds, (IstioMetric::Duration, ends.policy), of),
            request: child(&self.request, (IstioMetric::RequestBytes, ends.policy), of),
            response: child(&self.response, (IstioMetric::ResponseBytes, ends.policy), of),
        })
    }

    /// The numbers of streams that end so, or have not; `mutual`: both ends have shown each other who they are.
    pub(super) fn streams(&self, ends: &Ends<'_>, mutual: bool) -> Option<Streams> {
        let labels = Labels::new(ends)?;
        let of = |name: &str| match name {
            "request_protocol" => "tcp",
            POLICY if mutual => MUTUAL,
            name => labels.of(name),
        };
        Some(Streams {
            sent: child(&self.sent, (IstioMetric::TcpSent, ends.policy), of),
            received: child(&self.received, (IstioMetric::TcpReceived, ends.policy), of),
            opened: child(&self.opened, (IstioMetric::TcpOpened, ends.policy), of),
            closed: child(&self.closed, (IstioMetric::TcpClosed, ends.policy), of),
        })
    }

    /// Gives up children that nobody holds any more.
    pub(super) fn sweep(&self, now: Instant) {
        for counters in [&self.total, &self.sent, &self.received, &self.opened, &self.closed] {
            counters.sweep(now, |_| false);
        }
        for sizes in [&self.milliseconds, &self.request, &self.response] {
            sizes.sweep(now, |_| false);
        }
    }
}

/// The child of a metric whose labels are these, but for what a policy changes; `None` if it leaves the metric out. A
/// label without a value is one that is not there, as Prometheus has it.
fn child<'a, T>(
    shelf: &Shelf<T>,
    (metric, policy): (IstioMetric, Option<&'a MetricPolicy>),
    of: impl Fn(&str) -> &'a str,
) -> Option<Held<T>> {
    let changed = match policy.and_then(|policy| policy.0.get(&metric)) {
        Some(MetricChange::Off) => return None,
        Some(MetricChange::Labels(changed)) => Some(changed),
        None => None,
    };
    let value = |name: &&str| match changed.and_then(|changed| changed.get(*name)) {
        None => of(name),
        Some(LabelValue::Removed) => "",
        Some(LabelValue::Text(text)) => text,
        Some(LabelValue::SameAs(other)) => of(other),
    };
    Some(shelf.child(metric.labels().iter().map(value)))
}

/// What labels say of both ends.
struct Labels<'n> {
    namespace: &'n str,
    workload: &'n str,
    service: String,
    service_name: &'n str,
    service_namespace: &'n str,
    flags: &'static str,
}

impl<'n> Labels<'n> {
    fn new(ends: &Ends<'n>) -> Option<Self> {
        let Ends { nouns, workload, backend, fault, .. } = *ends;
        nouns.route.as_ref().filter(|route| route.kind == KIND)?;
        let (namespace, gateway) = nouns.gateway.split_once('/').unwrap_or(("", &nouns.gateway));
        let (service, service_name, service_namespace) = match backend {
            None => (UNKNOWN.to_owned(), UNKNOWN, UNKNOWN),
            // The name of a host of a ServiceEntry ends in a dot.
            Some(backend) => match backend.name.strip_suffix('.') {
                Some(host) => (host.to_owned(), host, &*backend.namespace),
                None => (
                    format!("{}.{}.svc.cluster.local", backend.name, backend.namespace),
                    &*backend.name,
                    &*backend.namespace,
                ),
            },
        };
        let flags = fault.map_or("-", Fault::flag);
        let workload = workload.unwrap_or(gateway);
        Some(Self { namespace, workload, service, service_name, service_namespace, flags })
    }

    fn of(&self, name: &str) -> &str {
        match name {
            "reporter" => "source",
            "response_flags" => self.flags,
            "destination_service" => &self.service,
            "destination_service_name" => self.service_name,
            "destination_service_namespace" => self.service_namespace,
            "source_app" | "source_canonical_service" | "source_workload" => self.workload,
            "source_workload_namespace" => self.namespace,
            "source_cluster" => CLUSTER,
            "source_canonical_revision" | "destination_canonical_revision" => LATEST,
            _ => UNKNOWN,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::Version;
    use crate::observe::{Meters, MethodLabel, Metrics, Outcome, RouteNouns, StreamMeters, StreamOutcome};

    fn nouns(kind: &'static str) -> Nouns {
        let route = RouteNouns { kind, namespace: "shop".into(), name: "reviews".into(), rule: "0".into() };
        Nouns { gateway: "istio-system/ingress".into(), listener: "http/80".into(), route: Some(route) }
    }

    fn outcome(backend: Option<&BackendKey>, fault: Option<Fault>) -> Outcome<'_> {
        Outcome {
            backend,
            method: MethodLabel::of("GET"),
            version: Version::Http11,
            status: fault.map_or(200, Fault::status),
            fault,
            grpc: false,
            grpc_status: None,
            duration: Duration::from_millis(20),
            overhead: Duration::ZERO,
            received: 3,
            sent: 700,
            mutual: false,
        }
    }

    fn line<'t>(text: &'t str, name: &str) -> &'t str {
        text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name}\n{text}"))
    }

    #[test]
    fn a_request_of_a_virtual_service_is_counted_as_istio_counts_it() {
        let (metrics, meters) = (Metrics::new(), Meters::new(nouns("VirtualService")));
        let backend = BackendKey::tcp("shop", "reviews", 80);
        for fault in [None, None, Some(Fault::NoEndpoints)] {
            meters.record(&metrics, &outcome(Some(&backend), fault));
        }
        let text = metrics.render();
        let destination = "destination_service=\"reviews.shop.svc.cluster.local\",\
             destination_service_name=\"reviews\",destination_service_namespace=\"shop\"";
        let source = "source_workload=\"ingress\",source_workload_namespace=\"istio-system\"";
        let good = "reporter=\"source\",request_protocol=\"http\",response_code=\"200\",response_flags=\"-\"";
        let lines: Vec<_> = text.lines().filter(|line| line.starts_with("istio_requests_total")).collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        for part in [destination, source, good] {
            assert!(lines[0].contains(part), "{part}: {}", lines[0]);
        }
        assert!(lines[0].ends_with(" 2") && lines[1].contains("response_code=\"503\",response_flags=\"UH\""));
        let call = |code| Outcome { grpc: true, grpc_status: Some(code), ..outcome(Some(&backend), None) };
        for code in [0, 16, 16, 5] {
            meters.record(&metrics, &call(code));
        }
        for (code, count) in [("0", "1"), ("5", "1"), ("16", "2")] {
            let (text, code) = (metrics.render(), format!("grpc_response_status=\"{code}\""));
            let mut lines =
                text.lines().filter(|line| line.starts_with("istio_requests_total") && line.contains(&code));
            assert!(lines.next().is_some_and(|line| line.ends_with(count) && line.contains("\"grpc\"")), "{code}");
        }
        assert!(lines[0].contains("connection_security_policy=\"unknown\""), "{}", lines[0]);
        meters.record(&metrics, &Outcome { mutual: true, ..outcome(Some(&backend), None) });
        assert!(
            line(&metrics.render(), "istio_requests_total{connection_security_policy=\"mutual_tls\"").ends_with(" 1")
        );
        assert!(line(&text, "istio_request_duration_milliseconds_sum").ends_with(" 40"));
        assert!(line(&text, "istio_request_bytes_sum").ends_with(" 6"));
        assert!(line(&text, "istio_response_bytes_sum").ends_with(" 1400"));
    }

    #[test]
    fn what_routes_of_gateway_api_take_is_not() {
        let (metrics, meters) = (Metrics::new(), Meters::new(nouns("HTTPRoute")));
        meters.record(&metrics, &outcome(None, None));
        metrics.unrouted().record(&metrics, &outcome(None, Some(Fault::NoRoute)));
        assert!(!metrics.render().contains("istio_"));
    }

    #[test]
    fn a_host_of_a_service_entry_is_its_own_service() {
        let (metrics, meters) = (Metrics::new(), Meters::new(nouns("VirtualService")));
        meters.record(&metrics, &outcome(Some(&BackendKey::tcp("shop", "api.example.", 443)), None));
        meters.record(&metrics, &outcome(None, Some(Fault::NoDestination)));
        let text = metrics.render();
        assert!(
            text.contains("destination_service=\"api.example\",destination_service_name=\"api.example\""),
            "{text}"
        );
        assert!(text.contains("destination_service=\"unknown\""), "{text}");
    }

    #[test]
    fn streams_are_counted_when_they_begin_and_when_they_are_over() {
        let (metrics, meters) = (Metrics::new(), StreamMeters::carried(nouns("VirtualService"), None, None));
        let backend = BackendKey::tcp("shop", "db", 5432);
        meters.opened(&metrics, Some(&backend), false);
        assert!(line(&metrics.render(), "istio_tcp_connections_opened_total").ends_with(" 1"));
        assert!(line(&metrics.render(), "istio_tcp_connections_closed_total").ends_with(" 0"));
        let duration = Duration::from_secs(1);
        let (protocol, fault, mutual) = ("tcp", None, false);
        let outcome =
            StreamOutcome { backend: Some(&backend), protocol, fault, duration, received: 5, sent: 7, mutual };
        meters.record(&metrics, &outcome);
        let text = metrics.render();
        assert!(line(&text, "istio_tcp_connections_closed_total").ends_with(" 1"));
        assert!(line(&text, "istio_tcp_sent_bytes_total").ends_with(" 7"));
        assert!(line(&text, "istio_tcp_received_bytes_total").ends_with(" 5"));
        meters.opened(&metrics, Some(&backend), true);
        meters.record(&metrics, &StreamOutcome { mutual: true, ..outcome });
        for name in ["opened_total", "closed_total"] {
            let name = format!("istio_tcp_connections_{name}{{connection_security_policy=\"mutual_tls\"");
            assert!(line(&metrics.render(), &name).ends_with(" 1"));
        }
    }

    #[test]
    fn a_policy_leaves_metrics_out_and_changes_labels() {
        let removed = [("response_flags".to_owned(), LabelValue::Removed)];
        let labels = [
            ("source_cluster".to_owned(), LabelValue::Text("east".into())),
            ("destination_version".to_owned(), LabelValue::SameAs("response_code".into())),
            ("source_app".to_owned(), LabelValue::Removed),
        ];
        let policy = [
            (IstioMetric::RequestBytes, MetricChange::Off),
            (IstioMetric::Requests, MetricChange::Labels(labels.into())),
            (IstioMetric::Duration, MetricChange::Labels(removed.into())),
            (IstioMetric::TcpOpened, MetricChange::Off),
        ];
        let policy = Arc::new(MetricPolicy(policy.into()));
        let metrics = Metrics::new();
        let meters = Meters::carried(nouns("VirtualService"), Some(&policy), None);
        assert!(Arc::ptr_eq(&meters, &Meters::carried(nouns("VirtualService"), Some(&policy), Some(&meters))));
        assert!(!Arc::ptr_eq(&meters, &Meters::carried(nouns("VirtualService"), None, Some(&meters))));
        meters.record(&metrics, &outcome(None, None));
        let text = metrics.render();
        let total = line(&text, "istio_requests_total{");
        for part in
            ["source_cluster=\"east\"", "destination_version=\"200\"", "source_app=\"\"", "response_flags=\"-\""]
        {
            assert!(total.contains(part), "{part}: {total}");
        }
        assert!(line(&text, "istio_request_duration_milliseconds_count").contains("response_flags=\"\""));
        assert!(line(&text, "istio_response_bytes_count").contains("source_app=\"ingress\""));
        assert!(!text.contains("istio_request_bytes"), "{text}");
        let streams = StreamMeters::carried(nouns("VirtualService"), Some(&policy), None);
        streams.opened(&metrics, None, false);
        assert!(!metrics.render().contains("istio_tcp_connections_opened_total"));
        assert!(line(&metrics.render(), "istio_tcp_connections_closed_total").ends_with(" 0"));
    }
}
