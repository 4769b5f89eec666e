// SPDX-License-Identifier: Apache-2.0
//! E12: one object is changed as fast as an API server takes it. Nothing multiplies, memory stays, and the last change
//! holds. `feed::gather` is the same with a thousand changes a second.

use std::time::{Duration, Instant};

use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::json;
use torana_controller::api::access;

use super::super::{CONTROLLER, SYSTEM, leader, processes};
use super::{Neighbour, OF_ROUTE, ask, kubectl, metrics, must_say, route, until};

const STORM: Duration = Duration::from_secs(4);
/// Writers at once.
const WRITERS: usize = 4;

/// A metric of the controller that leads.
fn counted(family: &str) -> u64 {
    let leader = leader();
    let pod = kubectl(&["-n", SYSTEM, "get", "pod", &leader, "-o", "jsonpath={.status.podIP}"]);
    let text = metrics(&pod, 8081);
    let values = text
        .lines()
        .filter(|line| line.starts_with(family))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
    values.sum()
}

/// Memory of all controllers, in MiB.
fn memory() -> u64 {
    let of = |pid: &String| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or_default()
    };
    processes(CONTROLLER).iter().map(of).sum::<u64>() >> 10
}

/// Changes a header of a route again and again; the last change says `last`. How many there were.
async fn change(namespace: &str) -> usize {
    let kind = GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", "HTTPRoute");
    let client = access(None).await.unwrap().client;
    let api: Api<DynamicObject> =
        Api::namespaced_with(client, namespace, &ApiResource::from_gvk_with_plural(&kind, "httproutes"));
    let put = |value: String| {
        let filter = json!({"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": [{"name": "x-edit", "value": value}]}});
        let patch = json!([{"op": "add", "path": "/spec/rules/0/filters", "value": [filter]}]);
        let (api, patch) = (api.clone(), serde_json::from_value(patch).unwrap());
        async move { api.patch("busy", &PatchParams::default(), &Patch::<()>::Json(patch)).await }
    };
    let begin = Instant::now();
    let writer = |writer: usize| {
        let put = &put;
        async move {
            let mut done = 0;
            while begin.elapsed() < STORM {
                // Two writers may meet: the API server says so, and the next change follows.
                done += usize::from(put(format!("{writer}-{done}")).await.is_ok());
            }
            done
        }
    };
    let done = futures_util::future::join_all((0..WRITERS).map(writer)).await.into_iter().sum();
    while put("last".into()).await.is_err() {}
    done
}

#[test]
fn an_object_that_changes_all_the_time_multiplies_nothing_and_its_last_change_holds() {
    let Some(lab) = super::super::lab() else { return };
    let neighbour = Neighbour::settle(&lab, 1, "", &route("busy", "edge", "busy.example"));
    until("it is served", || super::status(&neighbour.address, "busy.example") == Some(200));
    let families = ["torana_controller_generation ", "torana_controller_status_writes_total{"];
    let (before, held) = (families.map(counted), memory());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let changes = runtime.block_on(change(&lab.namespace));
    let last = || ask(&neighbour.address, "busy.example", "/").unwrap().header("x-edit") == Some("last");
    let written = Instant::now();
    until("the last change is in force", last);
    let lag = written.elapsed();
    must_say(&lab, ("httproute", "busy"), OF_ROUTE, ("Accepted", "True", "Accepted"), &[]);
    let [generations, writes] = [0, 1].map(|at| counted(families[at]) - before[at]);
    let grown = memory().saturating_sub(held);
    println!(
        "{changes} changes in {STORM:?}: {generations} generations, {writes} writes of status, in force {lag:?} after \
         the last, {grown} MiB more"
    );
    // What is written of the route leads to no translation; a few are of endpoints and other tests' objects.
    let most = u64::try_from(changes).unwrap() + 50;
    assert!(changes > WRITERS && generations <= most && writes <= most, "{changes}: {generations} {writes}");
    assert!(grown < 32, "{grown} MiB");
    neighbour.must_be_unharmed();
}
