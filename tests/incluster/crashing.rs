// SPDX-License-Identifier: Apache-2.0
//! A proxy that crashes again and again: it is named, and nobody waits for it.

use serde_json::Value;

use super::{Lab, ask, backend, gateway, lab, proxy_process, route, signal, until};

/// What Kubernetes says a pod waits for.
fn waits_for(lab: &Lab, pod: &str) -> String {
    lab.kubectl(&["get", "pod", pod, "-o", "jsonpath={.status.containerStatuses[0].state.waiting.reason}"])
}

/// Programmed of the Gateway, if it is of the newest generation.
fn programmed(lab: &Lab) -> Option<(bool, String)> {
    let gateway = lab.get("gateway", "edge");
    let conditions = gateway["status"]["conditions"].as_array()?;
    let condition = conditions.iter().find(|condition| condition["type"] == "Programmed")?;
    let is_new = condition["observedGeneration"] == gateway["metadata"]["generation"];
    is_new.then(|| (condition["status"] == "True", condition["message"].as_str().unwrap_or_default().to_owned()))
}

#[test]
fn a_crash_looping_proxy_does_not_hold_programmed_back_and_is_named() {
    let Some(lab) = lab() else { return };
    lab.apply(&(backend(1) + &gateway("edge", 3) + &route("web", "edge", "web.example")));
    let address = lab.address("edge");
    lab.kubectl(&["rollout", "status", "deployment/edge-torana", "--timeout=60s"]);
    let victim = &lab.proxies("edge")[0];
    until("Kubernetes waits before it starts the proxy again", || {
        if let Some(pid) = proxy_process(victim) {
            signal("-KILL", &pid);
        }
        waits_for(&lab, victim) == "CrashLoopBackOff"
    });
    // A change of the Gateway itself: the condition must be of what it says now.
    let listeners =
        r#"[{"op": "add", "path": "/spec/listeners/-", "value": {"name": "more", "port": 8080, "protocol": "HTTP"}}]"#;
    lab.kubectl(&["patch", "gateway", "edge", "--type=json", "-p", listeners]);
    lab.apply(&route("later", "edge", "later.example"));
    let mut told = None;
    until("Programmed is True and names the pod", || {
        told = programmed(&lab);
        told.as_ref()
            .is_some_and(|(holds, message)| *holds && message.contains(victim) && message.contains("CrashLoopBackOff"))
    });
    println!("{told:?}");
    assert_eq!(waits_for(&lab, victim), "CrashLoopBackOff", "it was down all the while");
    until("the change is in force", || ask(&address, "later.example", "/").is_ok_and(|reply| reply.status == 200));
    until("the route is accepted", || {
        let route: Value = lab.get("httproute", "later");
        route["status"]["parents"][0]["conditions"][0]["status"] == "True"
    });
}
