// SPDX-License-Identifier: Apache-2.0
//! Bad objects beside good ones in a real cluster (cases E01 to E12): each says in its own status what is wrong, at which
//! field and what to do, and nobody else notices. Clients ask a good neighbour all the while.

mod certificates;

mod forms;

mod ports;

mod rights;

mod routes;

mod secrets;

mod storm;

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::load::Load;
use super::{Lab, ask, backend, gateway, kubectl, route, until};

/// Of the neighbour.
const GOOD: &str = "good.example";
/// Where the conditions of a route are, of its only parent.
const OF_ROUTE: &str = "/status/parents/0/conditions";

/// A route that was there first, and clients that ask it without pause.
struct Neighbour {
    address: String,
    load: Load,
    /// Since when clients ask.
    since: Instant,
}

impl Neighbour {
    /// A Gateway `edge` with `replicas` proxies and the neighbour, served; `more` is applied with them, and `listeners`
    /// beside that of HTTP.
    fn settle(lab: &Lab, replicas: u32, listeners: &str, more: &str) -> Self {
        let http = "{name: http, port: 80, protocol: HTTP}";
        let gateway = gateway("edge", replicas).replace(http, &format!("{http}{listeners}"));
        lab.apply(&(backend(1) + &gateway + &route("good", "edge", GOOD) + more));
        lab.kubectl(&["rollout", "status", "deployment/echo", "--timeout=60s"]);
        let address = lab.address("edge");
        lab.kubectl(&["rollout", "status", "deployment/edge-torana", "--timeout=60s"]);
        until("the neighbour is served", || status(&address, GOOD) == Some(200));
        Self { load: Load::start(&address, GOOD, 2, 100), address, since: Instant::now() }
    }

    /// Nothing happened to it, nor does for as long as it takes to have seen that.
    fn must_be_unharmed(self) {
        sleep(Duration::from_secs(2).saturating_sub(self.since.elapsed()));
        let seen = self.load.stop();
        assert!(seen.failures.is_empty() && seen.broken == 0 && seen.served > 50, "{seen:?}");
    }
}

/// Another namespace, gone with this.
struct Other(String);

impl Other {
    fn of(lab: &Lab) -> Self {
        let name = format!("{}-other", lab.namespace);
        kubectl(&["create", "namespace", &name]);
        Self(name)
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        Command::new("kubectl").args(["delete", "namespace", &self.0, "--wait=false"]).output().unwrap();
    }
}

fn status(address: &str, host: &str) -> Option<u16> {
    ask(address, host, "/").ok().map(|reply| reply.status)
}

/// What a server says of itself at a port.
fn metrics(address: &str, port: u16) -> String {
    let server: SocketAddr = format!("{address}:{port}").parse().unwrap();
    let mut connection = torana_tests::Connection::to(server).unwrap();
    connection.get("localhost", "/metrics").unwrap().text()
}

/// Whether an object says so in a condition: type, status, reason, and all of `parts` in its message.
fn says(object: &Value, list: &str, wanted: (&str, &str, &str), parts: &[&str]) -> bool {
    let conditions = object.pointer(list).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let generation = &object["metadata"]["generation"];
    conditions.iter().any(|it| {
        let message = it["message"].as_str().unwrap_or_default();
        (it["type"].as_str(), it["status"].as_str(), it["reason"].as_str())
            == (Some(wanted.0), Some(wanted.1), Some(wanted.2))
            && it["observedGeneration"] == *generation
            && parts.iter().all(|part| message.contains(part))
    })
}

/// Waits until it says so, and shows what it says instead.
fn must_say(lab: &Lab, (kind, name): (&str, &str), list: &str, wanted: (&str, &str, &str), parts: &[&str]) {
    let mut last = Value::Null;
    until(&format!("{kind} {name} says {wanted:?} {parts:?}"), || {
        last = lab.get(kind, name);
        let said = says(&last, list, wanted, parts);
        if !said {
            println!("{}", last.pointer(list).unwrap_or(&Value::Null));
        }
        said
    });
}

/// What `kubectl create` of something says that the API server must not take.
pub(super) fn refused(lab: &Lab, manifest: &str) -> String {
    let mut child = Command::new("kubectl")
        .args(["--namespace", &lab.namespace, "create", "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(manifest.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(!output.status.success(), "{}", &manifest[..manifest.len().min(500)]);
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What happened to an object, as `kubectl describe` shows it.
fn events(lab: &Lab, kind: &str, name: &str) -> String {
    let selector = format!("regarding.kind={kind},regarding.name={name}");
    lab.kubectl(&["get", "events.events.k8s.io", "--field-selector", &selector, "-o", "jsonpath={.items[*].note}"])
}
