// SPDX-License-Identifier: Apache-2.0
//! The `prometheus` of Debian, for as long as a test takes.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use torana_tests::{Connection, ports};

use super::super::until;
use super::discovery::Discovery;

/// A running Prometheus. Killed, and its data removed, when dropped.
pub(super) struct Prometheus {
    child: Child,
    _discovery: Discovery,
    folder: TempDir,
    port: u16,
}

/// One series of an answer and its value.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub(super) labels: BTreeMap<String, String>,
    pub(super) value: f64,
}

impl Prometheus {
    /// Starts it on these rules and on what `scrapes` makes of the file of all pods; `promtool` judges both first.
    pub(super) fn start(scrapes: impl FnOnce(&str) -> Vec<Value>, rules: &Path) -> Self {
        let (folder, port) = (TempDir::new().unwrap(), ports::free());
        let pods = folder.path().join("pods.json");
        let scrapes = scrapes(pods.to_str().unwrap());
        let config = json!({"global": {"evaluation_interval": "1s"}, "rule_files": [rules], "scrape_configs": scrapes});
        let file = folder.path().join("prometheus.yaml");
        // JSON is YAML.
        fs::write(&file, config.to_string()).unwrap();
        checked(&["check", "config", file.to_str().unwrap()]);
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("prometheus starts: ./dev incluster installs it");
        let it = Self { child, _discovery: Discovery::start(pods), folder, port };
        until("Prometheus is ready", || it.get("/-/ready").is_ok_and(|(status, _)| status == 200));
        it
    }

    fn get(&self, path: &str) -> io::Result<(u16, String)> {
        let reply = Connection::open(self.port)?.get("localhost", path)?;
        Ok((reply.status, reply.text()))
    }

    fn data(&self, path: &str) -> Value {
        let (status, text) = self.get(path).unwrap_or_else(|error| panic!("{path}: {error}: {}", self.log()));
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str::<Value>(&text).unwrap()["data"].take()
    }

    /// What it says to an expression, now.
    pub(super) fn query(&self, expression: &str) -> Vec<Sample> {
        let data = self.data(&format!("/api/v1/query?query={}", escaped(expression)));
        assert_eq!(data["resultType"], "vector", "{expression}");
        data["result"].as_array().unwrap().iter().map(sample).collect()
    }

    /// Values of a label in all series of a metric.
    pub(super) fn values(&self, metric: &str, label: &str) -> Vec<String> {
        serde_json::from_value(self.data(&format!("/api/v1/label/{label}/values?match[]={metric}"))).unwrap()
    }

    /// Whom it asks.
    pub(super) fn targets(&self) -> Vec<Value> {
        self.data("/api/v1/targets?state=active")["activeTargets"].as_array().unwrap().clone()
    }

    /// Its rules, with what became of them.
    pub(super) fn rules(&self) -> Vec<Value> {
        let data = self.data("/api/v1/rules");
        let groups = data["groups"].as_array().unwrap().iter();
        groups.flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// `promtool` has nothing to say against it.
pub(super) fn checked(arguments: &[&str]) -> String {
    let output =
        Command::new("promtool").args(arguments).output().expect("promtool starts: ./dev incluster installs it");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "promtool {arguments:?}: {said}");
    said
}

fn sample(series: &Value) -> Sample {
    let labels = serde_json::from_value(series["metric"].clone()).unwrap();
    Sample { labels, value: series["value"][1].as_str().unwrap().parse().unwrap() }
}

fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).into() } else { format!("%{byte:02X}") })
        .collect()
}

#[test]
fn expressions_are_escaped() {
    assert_eq!(escaped("rate(a{b=~\".*\"}[5s])"), "rate%28a%7Bb%3D%7E%22%2E%2A%22%7D%5B5s%5D%29");
}
