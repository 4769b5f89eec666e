// SPDX-License-Identifier: Apache-2.0
//! Requests go on while controllers, proxies, the API server and backends come and go: none fails where a live proxy is
//! there. `./dev incluster` runs it short; `TORANA_INCLUSTER_SECONDS` says how long each takes.

use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::json;

use super::load::{Load, Seen};
use super::{
    CONTROLLER, CONTROLLERS, Lab, SYSTEM, ask, backend, controllers_are_there, gateway, kubectl, lab, leader,
    processes, proxy_process, route, signal, until,
};

const HOST: &str = "storm.example";

/// How long each test goes on.
pub(super) fn seconds() -> Duration {
    let seconds = std::env::var("TORANA_INCLUSTER_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(15))
}

/// A Gateway with three proxies, a route, two endpoints.
fn served(lab: &Lab) -> String {
    lab.apply(&(backend(2) + &gateway("edge", 3) + &route("web", "edge", HOST)));
    lab.kubectl(&["rollout", "status", "deployment/echo", "--timeout=60s"]);
    let address = lab.address("edge");
    lab.kubectl(&["rollout", "status", "deployment/edge-torana", "--timeout=60s"]);
    until("it serves", || ask(&address, HOST, "/").is_ok_and(|reply| reply.status == 200));
    address
}

/// A thousand requests a second while `happen` does what it does again and again.
fn under_load(what: &str, address: &str, mut happen: impl FnMut(usize)) -> Seen {
    let load = Load::start(address, HOST, 20, 1_000);
    let (begin, mut turn) = (Instant::now(), 0);
    while begin.elapsed() < seconds() {
        happen(turn);
        turn += 1;
    }
    let seen = load.stop();
    println!("{what}: {turn} times, {} requests, {} connections broken", seen.served, seen.broken);
    let first: Vec<_> = seen.failures.iter().take(5).collect();
    assert!(seen.failures.is_empty(), "{what}: {} failed, {first:?}", seen.failures.len());
    assert!(seen.served > 100, "{seen:?}");
    seen
}

/// Ends every process whose command line begins with `command`, without a word of warning. Returns how many.
fn kill(command: &str) -> usize {
    let pids = processes(command);
    for pid in &pids {
        signal("-KILL", pid);
    }
    pids.len()
}

/// A process that does nothing until this is gone.
pub(super) struct Stopped(String);

impl Stopped {
    pub(super) fn stop(pid: &str) -> Self {
        signal("-STOP", pid);
        Self(pid.to_owned())
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        signal("-CONT", &self.0);
    }
}

fn all_ready(lab: &Lab) {
    lab.kubectl(&["rollout", "status", "deployment/edge-torana", "--timeout=120s"]);
}

#[test]
fn killing_the_controllers_again_and_again_fails_no_request() {
    let Some(lab) = lab() else { return };
    let address = served(&lab);
    let mut killed = 0;
    let seen = under_load("every controller killed", &address, |_| {
        killed += kill(CONTROLLER);
        sleep(Duration::from_secs(10).min(seconds()));
    });
    assert!(killed >= 2, "both were killed once at least, not {killed}");
    assert_eq!(seen.broken, 0, "the controller has no part in a request");
    restart_controllers();
    changes_are_taken(&lab, &address);
}

/// A change that comes now is in force soon.
fn changes_are_taken(lab: &Lab, address: &str) {
    until("a later change is in force", || {
        lab.apply(&route("later", "edge", "later.example"));
        ask(address, "later.example", "/").is_ok_and(|reply| reply.status == 200)
    });
}

/// Kubernetes lets what was killed often wait for minutes; new pods start at once.
fn restart_controllers() {
    kubectl(&["-n", SYSTEM, "delete", "pod", "-l", CONTROLLERS, "--force"]);
    controllers_are_there();
}

#[test]
fn proxies_that_are_killed_while_there_is_no_controller_serve_again_at_once() {
    let Some(lab) = lab() else { return };
    let address = served(&lab);
    let _back = Back;
    kubectl(&["-n", SYSTEM, "scale", "deployment/torana", "--replicas=0"]);
    until("the controllers are gone", || kubectl(&["-n", SYSTEM, "get", "pods", "-o", "name"]).trim().is_empty());
    let pods = lab.proxies("edge");
    under_load("a proxy killed without a controller", &address, |turn| {
        // One at a time, so that others are there; each once, for Kubernetes delays the second start.
        if let Some(pod) = pods.get(turn) {
            kill_in(pod);
        }
        sleep(Duration::from_secs(3));
        all_ready(&lab);
    });
}

/// The controllers come back, whatever happens to the test.
pub(super) struct Back;

impl Drop for Back {
    fn drop(&mut self) {
        kubectl(&["-n", SYSTEM, "scale", "deployment/torana", "--replicas=2"]);
        controllers_are_there();
    }
}

/// Ends the process of one pod.
fn kill_in(pod: &str) {
    let pid = proxy_process(pod).unwrap_or_else(|| panic!("there is no process of {pod}"));
    signal("-KILL", &pid);
}

#[test]
fn rolling_the_proxies_again_and_again_fails_no_request() {
    let Some(lab) = lab() else { return };
    let address = served(&lab);
    let mut rolls = 0;
    let seen = under_load("the Deployment rolled", &address, |turn| {
        let spec = json!({"spec": {"podPatch": {"metadata": {"annotations": {"example.com/roll": turn.to_string()}}}}});
        lab.kubectl(&["patch", "gatewayparameters", "edge", "--type=merge", "-p", &spec.to_string()]);
        sleep(Duration::from_secs(1));
        all_ready(&lab);
        rolls = turn + 1;
    });
    assert_eq!(seen.broken, 0, "a proxy that goes says so first, in {rolls} rolls");
}

#[test]
fn an_api_server_that_does_not_answer_keeps_nobody_from_serving_or_from_coming_back() {
    let Some(lab) = lab() else { return };
    let address = served(&lab);
    let victims = lab.proxies("edge");
    let servers = processes("kube-apiserver ");
    let [server] = servers.as_slice() else { panic!("not one API server: {servers:?}") };
    let stopped = Stopped::stop(server);
    let mut killed = false;
    let load = Load::start(&address, HOST, 20, 1_000);
    let begin = Instant::now();
    // Long enough for the leader to lose its lease.
    while begin.elapsed() < seconds().max(Duration::from_secs(40)) {
        if begin.elapsed() > Duration::from_secs(25) && !killed {
            kill_in(&victims[0]);
            killed = true;
        }
        sleep(Duration::from_millis(500));
    }
    let seen = load.stop();
    drop(stopped);
    println!("API server stopped {:?}: {} requests, {} broken", begin.elapsed(), seen.served, seen.broken);
    assert!(seen.failures.is_empty(), "{:?}", seen.failures.iter().take(5).collect::<Vec<_>>());
    until("the API server answers", || Command::new("kubectl").args(["get", "ns"]).output().unwrap().status.success());
    all_ready(&lab);
    changes_are_taken(&lab, &address);
    // Then every pod were not ready for a moment, in this test or the next, and no proxy could be reached.
    let lost = kubectl(&["get", "events", "--field-selector", "reason=NodeNotReady", "-o", "name"]);
    assert!(lost.trim().is_empty(), "the cluster took its node for lost: {lost}");
}

#[test]
fn endpoints_that_change_fifty_times_a_second_fail_no_request() {
    let Some(lab) = lab() else { return };
    let address = served(&lab);
    let pods = lab.kubectl(&["get", "pods", "-l", "app=echo", "-o", "jsonpath={.items[*].status.podIP}"]);
    let pods: Vec<&str> = pods.split_whitespace().collect();
    lab.kubectl(&["patch", "service", "echo", "--type=json", "-p", r#"[{"op": "remove", "path": "/spec/selector"}]"#]);
    let slice = |addresses: &[&str]| {
        let endpoints: Vec<_> = addresses.iter().map(|address| json!({"addresses": [address]})).collect();
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": "echo-churn", "namespace": lab.namespace,
                "labels": {"kubernetes.io/service-name": "echo"}},
            "ports": [{"port": 9001, "protocol": "TCP", "name": ""}], "endpoints": endpoints,
        })
    };
    lab.apply(&slice(&pods).to_string());
    lab.kubectl(&[
        "delete",
        "endpointslice",
        "-l",
        "kubernetes.io/service-name=echo,endpointslice.kubernetes.io/managed-by=endpointslice-controller.k8s.io",
    ]);
    let churn = super::counts::Churn::start(&lab.namespace);
    under_load("endpoints changed", &address, |turn| {
        churn.replace(&slice(&pods[turn % 2..=turn % 2]));
        sleep(Duration::from_millis(18));
    });
}

#[test]
fn a_leader_that_is_killed_never_takes_a_proxy_back_in_time() {
    let Some(lab) = lab() else { return };
    let address = served(&lab);
    let pods = lab.proxy_addresses("edge");
    assert_eq!(pods.len(), 3);
    let mut newest = vec![0; pods.len()];
    let rounds = usize::try_from(seconds().as_secs() / 12).unwrap_or(1).max(1);
    for edit in 1..=rounds {
        let leader = leader();
        lab.apply(&numbered(edit));
        sleep(Duration::from_millis(fastrand::u64(0..400)));
        let gone = ["-n", SYSTEM, "delete", "pod", &leader, "--force", "--grace-period=0"];
        drop(Command::new("kubectl").args(gone).output().unwrap());
        until("every proxy has the edit", || {
            for (pod, newest) in pods.iter().zip(&mut newest) {
                let reply = ask(pod, HOST, "/").unwrap();
                assert_eq!(reply.status, 200);
                let number = reply.header("x-edit").and_then(|text| text.parse().ok()).unwrap_or(0);
                assert!(number >= *newest, "{pod} went back from edit {newest} to {number}");
                *newest = number;
            }
            newest.iter().all(|number| *number == edit)
        });
    }
    println!("leader killed {rounds} times");
    controllers_are_there();
    assert_eq!(lab.address("edge"), address);
}

/// The route with a number on every answer.
fn numbered(edit: usize) -> String {
    let filter = format!(
        "rules: [{{filters: [{{type: ResponseHeaderModifier, responseHeaderModifier: {{set: [{{name: x-edit, value: \
         '{edit}'}}]}}}}], "
    );
    route("web", "edge", HOST).replacen("rules: [{", &filter, 1)
}
