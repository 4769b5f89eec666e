// SPDX-License-Identifier: Apache-2.0
//! What the controller counts, for Prometheus. Whoever does something tells; nothing is read from here but the text.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::{
    Histogram, HistogramOpts, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder, exponential_buckets,
};
use torana_crds::{Kind, ObjectRef};

use crate::issuance::{Progress, Wanted};
use crate::leader::Leadership;
use crate::report::{Entry, Report, Severity};

/// All families. Clones count the same.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    leader: IntGauge,
    generation: IntGauge,
    objects: IntGauge,
    translate: Histogram,
    watch_failures: IntCounterVec,
    proxies: IntGaugeVec,
    status_writes: IntCounterVec,
    broken: IntGaugeVec,
    unevaluated: IntGaugeVec,
    orders: IntCounterVec,
    asked: IntCounterVec,
    certificates: IntGaugeVec,
    /// Of the last turn; looked through when somebody asks.
    report: Arc<Mutex<Report>>,
}

impl Metrics {
    /// Nothing has happened.
    ///
    /// # Errors
    /// If two families have one name: a fault of this file.
    pub fn new() -> Result<Self, prometheus::Error> {
        let gauge = |name: &str, help: &str| IntGauge::new(name, help);
        let of_gateway = ["gateway_namespace", "gateway_name"];
        let translate =
            HistogramOpts::new("torana_controller_translate_seconds", "From a change to programs and report")
                .buckets(exponential_buckets(0.000_5, 4.0, 8)?);
        let metrics = Self {
            registry: Registry::new(),
            leader: gauge("torana_controller_leader", "Whether this replica leads")?,
            generation: gauge("torana_controller_generation", "Generations that this replica has translated")?,
            objects: gauge("torana_controller_objects", "Objects that are known")?,
            translate: Histogram::with_opts(translate)?,
            watch_failures: IntCounterVec::new(
                Opts::new("torana_controller_watch_failures_total", "Lists and watches that failed"),
                &["kind"],
            )?,
            proxies: IntGaugeVec::new(
                Opts::new("torana_controller_connected_proxies", "Proxies that follow this replica"),
                &of_gateway,
            )?,
            status_writes: IntCounterVec::new(
                Opts::new("torana_controller_status_writes_total", "Calls that write status"),
                &["kind", "result"],
            )?,
            broken: IntGaugeVec::new(
                Opts::new("torana_controller_broken_objects", "Objects of which something is refused, by why"),
                &["kind", "reason"],
            )?,
            unevaluated: IntGaugeVec::new(
                Opts::new("torana_unevaluated_objects", "Objects of Istio for our proxies that do nothing here"),
                &["kind"],
            )?,
            orders: IntCounterVec::new(
                Opts::new("torana_acme_orders_total", "Attempts at certificates by ACME, by what came of them and why"),
                &["result", "reason"],
            )?,
            asked: IntCounterVec::new(
                Opts::new(
                    "torana_acme_asked_total",
                    "Names that clients ask for, by whether they may have certificates",
                ),
                &["answer"],
            )?,
            certificates: IntGaugeVec::new(
                Opts::new("torana_acme_certificates", "Certificates that listeners want of ACME, by how they stand"),
                &["state"],
            )?,
            report: Arc::default(),
        };
        metrics.wanted(&[]);
        metrics.orders.with_label_values(&["issued", "none"]);
        for answer in ["yes", "no", "unknown"] {
            metrics.asked.with_label_values(&[answer]);
        }
        // From the start: of a counter that appears with its first event Prometheus sees no increase.
        for kind in Kind::ALL {
            metrics.watch_failures.with_label_values(&[kind.as_str()]);
        }
        metrics.registry.register(Box::new(metrics.leader.clone()))?;
        metrics.registry.register(Box::new(metrics.generation.clone()))?;
        metrics.registry.register(Box::new(metrics.objects.clone()))?;
        metrics.registry.register(Box::new(metrics.translate.clone()))?;
        metrics.registry.register(Box::new(metrics.watch_failures.clone()))?;
        metrics.registry.register(Box::new(metrics.proxies.clone()))?;
        metrics.registry.register(Box::new(metrics.status_writes.clone()))?;
        metrics.registry.register(Box::new(metrics.broken.clone()))?;
        metrics.registry.register(Box::new(metrics.unevaluated.clone()))?;
        metrics.registry.register(Box::new(metrics.orders.clone()))?;
        metrics.registry.register(Box::new(metrics.asked.clone()))?;
        metrics.registry.register(Box::new(metrics.certificates.clone()))?;
        Ok(metrics)
    }

    /// Everything, in the text format of Prometheus.
    pub fn text(&self) -> String {
        // Held until all is gathered: who comes meanwhile would find the gauges half counted.
        let report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        self.broken.reset();
        for ((kind, reason), count) in broken(&report) {
            self.broken.with_label_values(&[kind, reason]).set(count);
        }
        for kind in Kind::UNEVALUATED {
            let is_one =
                |object: &ObjectRef, entry: &Entry| object.known_kind() == Some(kind) && !entry.conditions.is_empty();
            let count = report.objects.iter().filter(|(object, entry)| is_one(object, entry)).count();
            self.unevaluated.with_label_values(&[kind.as_str()]).set(count.try_into().unwrap_or(i64::MAX));
        }
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }

    pub(crate) fn leads(&self, leadership: Leadership) {
        self.leader.set(leadership.leads().into());
    }

    /// An attempt at a certificate has ended: `result` is `issued` or `failed`.
    pub fn ordered(&self, result: &str, reason: &str) {
        self.orders.with_label_values(&[result, reason]).inc();
    }

    /// It was asked whether a name may have a certificate on demand: `answer` is `yes`, `no` or `unknown`.
    pub fn asked(&self, answer: &str) {
        self.asked.with_label_values(&[answer]).inc();
    }

    /// All certificates that listeners want now.
    pub(crate) fn wanted(&self, wanted: &[Wanted]) {
        for progress in Progress::ALL {
            let count = wanted.iter().filter(|it| it.progress() == progress).count();
            self.certificates.with_label_values(&[progress.as_str()]).set(count.try_into().unwrap_or(i64::MAX));
        }
    }

    pub(crate) fn translated(&self, generation: u64, objects: usize, took: Duration) {
        self.generation.set(generation.try_into().unwrap_or(i64::MAX));
        self.objects.set(objects.try_into().unwrap_or(i64::MAX));
        self.translate.observe(took.as_secs_f64());
    }

    pub(crate) fn watch_failed(&self, kind: &str) {
        self.watch_failures.with_label_values(&[kind]).inc();
    }

    /// `connected` of all Gateways; others are gone.
    pub(crate) fn proxies(&self, connected: impl Iterator<Item = ((String, String), usize)>) {
        self.proxies.reset();
        for ((namespace, name), count) in connected {
            self.proxies.with_label_values(&[&namespace, &name]).set(count.try_into().unwrap_or(i64::MAX));
        }
    }

    pub(crate) fn reported(&self, report: &Report) {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone_from(report);
    }

    pub(crate) fn wrote_status(&self, kind: &str, result: &'static str) {
        self.status_writes.with_label_values(&[kind, result]).inc();
    }
}

/// How many objects have an error, by kind and reason; an object with two reasons is counted under both.
fn broken(report: &Report) -> BTreeMap<(&str, &str), i64> {
    let errors = report.remarks().filter(|(_, remark)| remark.severity == Severity::Error);
    let once: BTreeSet<_> = errors.map(|(object, remark)| (object, remark.reason)).collect();
    let mut counts = BTreeMap::new();
    for (object, reason) in once {
        *counts.entry((object.shown_kind(), reason)).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Remark;
    use crate::report::conditions::istio::accepted;

    #[test]
    fn what_is_told_is_in_the_text() {
        let metrics = Metrics::new().unwrap();
        metrics.leads(Leadership::Leading { epoch: 1 });
        metrics.translated(7, 5, Duration::from_millis(1));
        metrics.watch_failed("Secret");
        for (namespace, count) in [("a", 3), ("b", 2)] {
            metrics.proxies([((namespace.to_owned(), "edge".to_owned()), count)].into_iter());
        }
        metrics.wrote_status("Gateway", "written");
        let text = metrics.text();
        for line in [
            "torana_controller_leader 1",
            "torana_controller_generation 7",
            "torana_controller_objects 5",
            "torana_controller_translate_seconds_count 1",
            "torana_controller_watch_failures_total{kind=\"Secret\"} 1",
            "torana_controller_watch_failures_total{kind=\"Gateway\"} 0",
            "torana_controller_connected_proxies{gateway_name=\"edge\",gateway_namespace=\"b\"} 2",
            "torana_controller_status_writes_total{kind=\"Gateway\",result=\"written\"} 1",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} is not in {text}");
        }
        assert!(!text.contains("gateway_namespace=\"a\""));
    }

    #[test]
    fn broken_objects_are_counted_once_for_each_reason_and_no_longer_when_they_are_mended() {
        let metrics = Metrics::new().unwrap();
        let remarks = |reasons: &[&'static str]| {
            let mut remarks: Vec<_> = reasons.iter().map(|reason| Remark::error(reason, "", "x", "y")).collect();
            remarks.push(Remark::note("Ignored", "", "x", "y"));
            Arc::new(Entry { remarks, ..Entry::default() })
        };
        let route = |name: &str| ObjectRef::new(Kind::HttpRoute, "n", name);
        let mut report = Report::default();
        report.objects.insert(route("a"), remarks(&["BackendNotFound", "BackendNotFound", "RefNotPermitted"]));
        report.objects.insert(route("b"), remarks(&["BackendNotFound"]));
        report.objects.insert(route("c"), remarks(&[]));
        let ours =
            Entry { conditions: vec![accepted(&[Remark::error("NotServed", "", "x", "y")])], ..Entry::default() };
        report.objects.insert(ObjectRef::new(Kind::EnvoyFilter, "n", "a"), Arc::new(ours));
        report.objects.insert(ObjectRef::new(Kind::EnvoyFilter, "n", "b"), Arc::default());
        metrics.reported(&report);
        let text = metrics.text();
        assert!(text.contains("torana_unevaluated_objects{kind=\"EnvoyFilter\"} 1\n"), "{text}");
        assert!(text.contains("torana_unevaluated_objects{kind=\"WasmPlugin\"} 0\n"), "{text}");
        let line = |reason: &str, count: u8| {
            format!("torana_controller_broken_objects{{kind=\"HTTPRoute\",reason=\"{reason}\"}} {count}\n")
        };
        assert!(text.contains(&line("BackendNotFound", 2)) && text.contains(&line("RefNotPermitted", 1)), "{text}");
        assert!(!text.contains("Ignored"));
        report.objects.remove(&route("a"));
        metrics.reported(&report);
        let text = metrics.text();
        assert!(text.contains(&line("BackendNotFound", 1)) && !text.contains("RefNotPermitted"), "{text}");
    }
}
