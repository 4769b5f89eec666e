// SPDX-License-Identifier: Apache-2.0
//! `metrics`: what becomes of Istio's metrics (`mergeMetrics`). Torana's own metrics are as always, and so are Istio's where
//! only providers are named that are not told anything here.

use std::collections::BTreeMap;

use torana_crds::istio::MeshConfig;
use torana_crds::istio::telemetry::{
    IstioMetric as Known, MetricMatch, Metrics, MetricsOverride, TagOperation, TagOverride, TelemetrySpec,
};
use torana_ir::{IstioMetric, LabelValue, MetricChange, MetricPolicy};

use super::sinks::{self, PROMETHEUS, Sink, sink};
use crate::report::Remark;

/// What holds for one metric.
#[derive(Debug, Clone, Default)]
struct Held {
    is_off: bool,
    labels: BTreeMap<String, LabelValue>,
}

/// What of these blocks, the widest first, comes for the own metrics.
pub(super) fn of(blocks: &[&Metrics], mesh: &MeshConfig) -> Option<MetricPolicy> {
    let defaults = sinks::defaults(&mesh.default_providers.metrics, PROMETHEUS);
    let last = blocks.iter().rev().map(|block| sinks::names(&block.providers)).find(|names| !names.is_empty());
    let in_scope = last.unwrap_or_else(|| defaults.clone());
    let (mut held, mut all_off) = (BTreeMap::<IstioMetric, Held>::new(), false);
    let mut names = defaults;
    for block in blocks {
        let own = sinks::names(&block.providers);
        if !own.is_empty() {
            names = own;
        }
        if !names.iter().any(|name| in_scope.contains(name) && sink(mesh, name) == Sink::Metrics) {
            continue;
        }
        for one in block.overrides.iter().filter(|one| one.selector.mode.is_of_gateways()) {
            all_off = one.selector.metric == MetricMatch::All && one.disabled == Some(true);
            if !all_off {
                lay_over(&mut held, one);
            }
        }
    }
    if all_off {
        return Some(MetricPolicy(IstioMetric::ALL.map(|metric| (metric, MetricChange::Off)).into()));
    }
    let changes = held.into_iter().filter_map(|(metric, held)| {
        let change = if held.is_off { MetricChange::Off } else { MetricChange::Labels(held.labels) };
        (change != MetricChange::Labels(BTreeMap::new())).then_some((metric, change))
    });
    Some(MetricPolicy(changes.collect())).filter(|policy| !policy.0.is_empty())
}

fn lay_over(held: &mut BTreeMap<IstioMetric, Held>, one: &MetricsOverride) {
    for metric in selected(&one.selector.metric) {
        let held = held.entry(metric).or_default();
        held.is_off = one.disabled.unwrap_or(held.is_off);
        for (label, tag) in one.tag_overrides.iter().filter(|(label, _)| metric.labels().contains(&label.as_str())) {
            // What cannot be done leaves the label as it always is.
            match value(tag) {
                Some(value) => drop(held.labels.insert(label.clone(), value)),
                None => drop(held.labels.remove(label)),
            }
        }
    }
}

fn value(tag: &TagOverride) -> Option<LabelValue> {
    match tag.operation {
        TagOperation::Remove => Some(LabelValue::Removed),
        TagOperation::Upsert => LabelValue::of(&tag.value),
    }
}

/// Those of the metrics that there are.
fn selected(metric: &MetricMatch) -> Vec<IstioMetric> {
    match metric {
        MetricMatch::All | MetricMatch::Known(Known::AllMetrics) => IstioMetric::ALL.to_vec(),
        MetricMatch::Known(metric) => known(*metric).into_iter().collect(),
        // Istio's go by their names in Prometheus, too.
        MetricMatch::Custom(name) => {
            let is_it = |metric: &IstioMetric| metric.name().strip_prefix("istio_") == Some(name);
            IstioMetric::ALL.into_iter().filter(is_it).collect()
        }
    }
}

fn known(metric: Known) -> Option<IstioMetric> {
    Some(match metric {
        Known::RequestCount => IstioMetric::Requests,
        Known::RequestDuration => IstioMetric::Duration,
        Known::RequestSize => IstioMetric::RequestBytes,
        Known::ResponseSize => IstioMetric::ResponseBytes,
        Known::TcpOpenedConnections => IstioMetric::TcpOpened,
        Known::TcpClosedConnections => IstioMetric::TcpClosed,
        Known::TcpSentBytes => IstioMetric::TcpSent,
        Known::TcpReceivedBytes => IstioMetric::TcpReceived,
        Known::AllMetrics | Known::GrpcRequestMessages | Known::GrpcResponseMessages => return None,
    })
}

/// What of an object is not done.
pub(super) fn remarks(spec: &TelemetrySpec, mesh: &MeshConfig, remarks: &mut Vec<Remark>) {
    for (place, block) in spec.metrics.iter().enumerate() {
        let at = format!("spec.metrics[{place}]");
        for (place, provider) in block.providers.iter().enumerate() {
            let at = format!("{at}.providers[{place}].name");
            remarks.extend(provider_remark(mesh, &provider.name, &at));
        }
        if block.reporting_interval.is_some() {
            let message = "streams are reported when they begin and when they are over, whatever it says";
            remarks.push(Remark::warning(
                "UnsupportedField",
                &format!("{at}.reportingInterval"),
                message,
                "leave it out",
            ));
        }
        let overrides = block.overrides.iter().enumerate().filter(|(_, one)| one.selector.mode.is_of_gateways());
        for (place, one) in overrides {
            override_remarks(one, &format!("{at}.overrides[{place}]"), remarks);
        }
    }
}

fn provider_remark(mesh: &MeshConfig, name: &str, at: &str) -> Option<Remark> {
    let remedy = "name prometheus";
    Some(match sink(mesh, name) {
        Sink::Metrics => return None,
        Sink::Unknown => {
            Remark::error("InvalidProvider", at, format!("MeshConfig has no extension provider {name:?}"), remedy)
        }
        Sink::Log(_) => Remark::error("InvalidProvider", at, format!("{name} is for lines of the log"), remedy),
        Sink::Other(kind) => {
            let message = format!("{name} is of kind {kind} and is told no metrics; /metrics of the proxies has them");
            Remark::warning("UnsupportedProvider", at, message, remedy)
        }
    })
}

fn override_remarks(one: &MetricsOverride, at: &str, remarks: &mut Vec<Remark>) {
    let metrics = selected(&one.selector.metric);
    if metrics.is_empty() {
        let (field, name) = match &one.selector.metric {
            MetricMatch::Custom(name) => ("customMetric", name.as_str()),
            MetricMatch::Known(metric) => ("metric", metric.as_str()),
            MetricMatch::All => ("metric", ""),
        };
        let at = format!("{at}.match.{field}");
        let message = format!("there is no metric {name} here, so nothing becomes of it");
        return remarks.push(Remark::warning("UnsupportedMetric", &at, message, "remove the override"));
    }
    for (label, tag) in &one.tag_overrides {
        let (at, is_upsert) = (format!("{at}.tagOverrides.{label}"), tag.operation == TagOperation::Upsert);
        if !metrics.iter().any(|metric| metric.labels().contains(&label.as_str())) {
            if is_upsert {
                let message = format!("there is no label {label} here, and none is added");
                remarks.push(Remark::warning("UnsupportedTag", &at, message, "override a label of Istio's metrics"));
            }
        } else if value(tag).is_none() {
            let message = format!("{:?} is not evaluated for metrics, so the label is as always", tag.value);
            let remedy = "write a text in quotes, or response.code";
            remarks.push(Remark::warning("UnsupportedTag", &format!("{at}.value"), message, remedy));
        }
    }
}
