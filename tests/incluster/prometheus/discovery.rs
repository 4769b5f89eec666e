// SPDX-License-Identifier: Apache-2.0
//! Pods as Prometheus discovers them, written to a file that it reads: Debian's is built without Kubernetes. What
//! becomes of them is for its own relabelling to say.
//! <https://prometheus.io/docs/prometheus/latest/configuration/configuration/#pod>

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::{Value, json};

use super::monitors::sanitized;

/// How often pods are looked for.
const LOOK: Duration = Duration::from_secs(1);

/// Keeps the file true, until it is dropped.
pub(super) struct Discovery {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Discovery {
    pub(super) fn start(file: PathBuf) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&over);
        let thread = thread::spawn(move || {
            while !seen.load(Ordering::Relaxed) {
                let output = Command::new("kubectl").args(["get", "pods", "-A", "-o", "json"]).output().unwrap();
                if let Ok(pods) = serde_json::from_slice::<Value>(&output.stdout) {
                    let beside = file.with_extension("new");
                    fs::write(&beside, groups(&pods).to_string()).unwrap();
                    fs::rename(&beside, &file).unwrap();
                }
                thread::sleep(LOOK);
            }
        });
        Self { over, thread: Some(thread) }
    }
}

impl Drop for Discovery {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // Before the folder of the file goes.
        drop(self.thread.take().map(JoinHandle::join));
    }
}

/// One target for each port of each container that has an address.
fn groups(pods: &Value) -> Value {
    let pods = pods["items"].as_array().map_or(&[][..], Vec::as_slice);
    pods.iter().filter(|pod| pod["status"]["podIP"].is_string()).flat_map(of_pod).collect()
}

fn of_pod(pod: &Value) -> Vec<Value> {
    let (metadata, status) = (&pod["metadata"], &pod["status"]);
    let mut labels = json!({
        "__meta_kubernetes_namespace": metadata["namespace"],
        "__meta_kubernetes_pod_name": metadata["name"],
        "__meta_kubernetes_pod_phase": status["phase"],
    });
    for (name, value) in metadata["labels"].as_object().into_iter().flatten() {
        labels[format!("__meta_kubernetes_pod_label_{}", sanitized(name))] = value.clone();
    }
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    let ports = containers.flat_map(|it| it["ports"].as_array().into_iter().flatten().map(move |port| (it, port)));
    ports
        .map(|(container, port)| {
            let mut labels = labels.clone();
            labels["__meta_kubernetes_pod_container_name"] = container["name"].clone();
            labels["__meta_kubernetes_pod_container_port_name"] = port["name"].as_str().unwrap_or_default().into();
            let address = format!("{}:{}", status["podIP"].as_str().unwrap_or_default(), port["containerPort"]);
            json!({"targets": [address], "labels": labels})
        })
        .collect()
}

#[test]
fn every_port_of_a_pod_with_an_address_is_a_target() {
    let port = json!({"name": "health", "containerPort": 80});
    let pod = |address: Value| {
        json!({"metadata": {"namespace": "n", "name": "p", "labels": {"a.b/c": "d"}}, "status": {"podIP": address,
            "phase": "Running"}, "spec": {"containers": [{"name": "c", "ports": [port, {"containerPort": 81}]}, {}]}})
    };
    let found = groups(&json!({"items": [pod(json!("1.2.3.4")), pod(Value::Null)]}));
    let [first, second] = found.as_array().unwrap().as_slice() else { panic!("{found}") };
    assert_eq!(first["targets"], json!(["1.2.3.4:80"]));
    assert_eq!(first["labels"]["__meta_kubernetes_pod_label_a_b_c"], "d");
    assert_eq!(first["labels"]["__meta_kubernetes_pod_container_port_name"], "health");
    assert_eq!(second["labels"]["__meta_kubernetes_pod_container_port_name"], "");
}
