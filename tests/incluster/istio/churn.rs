// SPDX-License-Identifier: Apache-2.0
//! Requests that a VirtualService routes while its backends are rolled and their endpoints change all the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::super::counts::Churn;
use super::super::endurance::seconds;
use super::super::load::Load;
use super::{ask, edge, lab, until, version};

const HOST: &str = "churn.example";

/// To a Service whose endpoints are the pods of a Deployment, and one more that a slice of our own names.
const RULES: &str = "
apiVersion: v1
kind: Service
metadata: {name: churn}
spec: {selector: {app: churn}, ports: [{name: http, port: 80, targetPort: 9001}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: churn}
spec:
  hosts: [churn.example]
  gateways: [edge]
  http: [{route: [{destination: {host: churn}}]}]
---
";

#[test]
fn backends_that_are_rolled_and_endpoints_that_change_fifty_times_a_second_fail_no_request() {
    let Some(lab) = lab() else { return };
    // They end as soon as they are told to, before anybody else knows.
    let rolled = version("churn", "rolled", 9001).replace("replicas: 1", "replicas: 2");
    lab.apply(&(rolled + &version("steady", "one", 9001) + &version("steady", "two", 9001) + &edge() + RULES));
    for name in ["rolled", "one", "two"] {
        lab.kubectl(&["rollout", "status", &format!("deployment/{name}"), "--timeout=60s"]);
    }
    let address = lab.address("edge");
    until("it serves", || ask(&address, HOST, "/").is_ok_and(|reply| reply.status == 200));
    let pods = lab.kubectl(&["get", "pods", "-l", "app=steady", "-o", "jsonpath={.items[*].status.podIP}"]);
    let pods: Vec<&str> = pods.split_whitespace().collect();
    let slice = |address: &str| {
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": "churn-steady", "namespace": lab.namespace,
                "labels": {"kubernetes.io/service-name": "churn"}},
            "ports": [{"port": 9001, "protocol": "TCP", "name": "http"}], "endpoints": [{"addresses": [address]}],
        })
    };
    lab.apply(&slice(pods[0]).to_string());
    let (over, changes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let load = Load::start(&address, HOST, 10, 200);
    let (begin, mut rolls) = (Instant::now(), 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let churn = Churn::start(&lab.namespace);
            while !over.load(Ordering::Relaxed) {
                let turn = changes.fetch_add(1, Ordering::Relaxed);
                churn.replace(&slice(pods[turn % 2]));
                std::thread::sleep(Duration::from_millis(18));
            }
        });
        while begin.elapsed() < seconds() {
            lab.kubectl(&["rollout", "restart", "deployment/rolled"]);
            lab.kubectl(&["rollout", "status", "deployment/rolled", "--timeout=120s"]);
            rolls += 1;
        }
        over.store(true, Ordering::Relaxed);
    });
    let seen = load.stop();
    let changes = changes.load(Ordering::Relaxed);
    println!("{rolls} rolls, {changes} changes of endpoints in {:?}: {} requests", begin.elapsed(), seen.served);
    let first: Vec<_> = seen.failures.iter().take(5).collect();
    assert!(seen.failures.is_empty(), "{} failed, {first:?}", seen.failures.len());
    assert_eq!(seen.broken, 0, "no proxy went");
    assert!(seen.served > 100 && changes > 50, "{} requests, {changes} changes", seen.served);
}
