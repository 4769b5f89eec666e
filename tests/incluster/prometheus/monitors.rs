// SPDX-License-Identifier: Apache-2.0
//! The chart's PodMonitors as a scrape configuration, by the rules of the Prometheus operator: a wrong selector, port or
//! namespace finds nothing here either. <https://prometheus-operator.dev/docs/api-reference/api/#monitoring.coreos.com/v1.PodMonitor>

use serde_json::{Value, json};

use super::super::{SYSTEM, helm};
use crate::house::source::root;

/// Every object that the chart renders with PodMonitors and alerts, asked every second.
pub(super) fn rendered() -> Vec<Value> {
    let chart = root().join("deploy/charts/torana");
    let wanted = "metrics.podMonitor.enabled=true,metrics.podMonitor.interval=1s,metrics.prometheusRule.enabled=true";
    let rendered = helm(&["template", "torana", chart.to_str().unwrap(), "--namespace", SYSTEM, "--set", wanted]);
    serde_saphyr::from_multiple(&rendered).unwrap()
}

/// `scrape_configs` that come to the same as the PodMonitors among `objects`; `pods` is the file with all pods.
pub(super) fn scrapes(objects: &[Value], pods: &str) -> Vec<Value> {
    let monitors = objects.iter().filter(|object| object["kind"] == "PodMonitor");
    let scrapes = monitors.flat_map(|monitor| {
        let endpoints = list(&monitor["spec"]["podMetricsEndpoints"]);
        endpoints.iter().enumerate().map(|(at, endpoint)| scrape(monitor, at, endpoint, pods)).collect::<Vec<_>>()
    });
    scrapes.collect()
}

fn scrape(monitor: &Value, at: usize, endpoint: &Value, pods: &str) -> Value {
    let (namespace, name) = (text(&monitor["metadata"]["namespace"]), text(&monitor["metadata"]["name"]));
    let mut rules = relabelling(&monitor["spec"], endpoint, &format!("{namespace}/{name}"));
    if monitor["spec"]["namespaceSelector"]["any"] != true {
        rules.insert(0, keep("__meta_kubernetes_namespace", namespace));
    }
    json!({
        "job_name": format!("podMonitor/{namespace}/{name}/{at}"),
        "metrics_path": endpoint["path"],
        "scrape_interval": endpoint["interval"],
        "scrape_timeout": endpoint["interval"],
        "file_sd_configs": [{"files": [pods]}],
        "relabel_configs": rules,
    })
}

fn keep(source: &str, regex: &str) -> Value {
    json!({"action": "keep", "source_labels": [source], "regex": regex})
}

fn relabelling(spec: &Value, endpoint: &Value, job: &str) -> Vec<Value> {
    let label = |name: &str| format!("__meta_kubernetes_pod_label_{}", sanitized(name));
    let copy = |source: &str, target: &str| json!({"source_labels": [source], "target_label": target});
    let mut rules = vec![
        json!({"action": "drop", "source_labels": ["__meta_kubernetes_pod_phase"], "regex": "(Failed|Succeeded)"}),
        keep("__meta_kubernetes_pod_container_port_name", text(&endpoint["port"])),
    ];
    let wanted = spec["selector"]["matchLabels"].as_object().expect("what is selected by other means is not rendered");
    rules.extend(wanted.iter().map(|(name, value)| keep(&label(name), text(value))));
    rules.extend([
        copy("__meta_kubernetes_namespace", "namespace"),
        copy("__meta_kubernetes_pod_container_name", "container"),
        copy("__meta_kubernetes_pod_name", "pod"),
    ]);
    rules.extend(list(&spec["podTargetLabels"]).iter().map(|name| copy(&label(text(name)), &sanitized(text(name)))));
    rules.extend([
        json!({"target_label": "job", "replacement": job}),
        json!({"target_label": "endpoint", "replacement": endpoint["port"]}),
    ]);
    rules
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// As labels of Prometheus are written.
pub(super) fn sanitized(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

#[test]
fn a_pod_monitor_becomes_what_the_operator_makes_of_it() {
    let monitor = json!({"kind": "PodMonitor", "metadata": {"namespace": "n", "name": "m"}, "spec": {
        "selector": {"matchLabels": {"a.b/c": "d"}}, "podTargetLabels": ["e.f/g-h"],
        "podMetricsEndpoints": [{"port": "health", "path": "/metrics", "interval": "1s"}]}});
    let other = json!({"kind": "Deployment"});
    let [scrape] = scrapes(&[other, monitor], "file").try_into().unwrap();
    let rules = list(&scrape["relabel_configs"]);
    let keeps: Vec<_> = rules.iter().filter(|rule| rule["action"] == "keep").map(|rule| &rule["regex"]).collect();
    assert_eq!(keeps, ["n", "health", "d"], "its own namespace, unless it says any");
    assert!(
        rules.contains(&json!({"source_labels": ["__meta_kubernetes_pod_label_e_f_g_h"], "target_label": "e_f_g_h"}))
    );
}
