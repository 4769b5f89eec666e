// SPDX-License-Identifier: Apache-2.0
//! The pods of proxies: which are Ready, and on which nodes. Watched by Torana's own label; nothing else is seen.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;

use futures_util::TryStreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt};
use tokio::sync::watch;

use crate::api;
use crate::provision::desired::MANAGED_BY;

/// What matters of one pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Of the pod.
    pub uid: String,
    /// Whether its probes say that it serves.
    pub is_ready: bool,
    /// Addresses of its node.
    pub node: Vec<IpAddr>,
    /// Its name and why it does not start, if Kubernetes says so (CrashLoopBackOff, ImagePullBackOff, Unschedulable …).
    pub trouble: Option<String>,
}

/// Reasons to wait for a container that pass by themselves.
const PASSING: [&str; 2] = ["ContainerCreating", "PodInitializing"];

type Names = BTreeMap<String, (String, Proxy)>;

/// All pods of proxies. Clones are cheap.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pods(Arc<BTreeMap<String, Names>>);

impl Pods {
    /// The pods of one service account.
    pub fn of(&self, namespace: &str, account: &str) -> Vec<&Proxy> {
        let pods = self.0.get(namespace).into_iter().flat_map(BTreeMap::values);
        pods.filter(|(theirs, _)| theirs == account).map(|(_, proxy)| proxy).collect()
    }

    /// Returns whether that is news.
    fn put(&mut self, pod: &Pod) -> bool {
        let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
        let account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.clone()).unwrap_or_default();
        let known = (account, proxy(pod));
        let is_news = self.0.get(&namespace).and_then(|names| names.get(&name)) != Some(&known);
        if is_news {
            Arc::make_mut(&mut self.0).entry(namespace).or_default().insert(name, known);
        }
        is_news
    }

    /// Returns whether it was there.
    fn remove(&mut self, pod: &Pod) -> bool {
        let names = Arc::make_mut(&mut self.0).get_mut(&pod.namespace().unwrap_or_default());
        names.is_some_and(|names| names.remove(&pod.name_any()).is_some())
    }
}

fn proxy(pod: &Pod) -> Proxy {
    let status = pod.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_ref()).into_iter().flatten();
    let is_ready = conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
    let node = status.and_then(|status| status.host_ips.as_ref()).into_iter().flatten();
    let node = node.filter_map(|address| address.ip.parse().ok()).collect();
    // One that is going away drains: it is not waited for.
    let is_going = pod.metadata.deletion_timestamp.is_some();
    let trouble = obstacle(pod).filter(|_| !is_going);
    let trouble = trouble.map(|why| format!("{}/{} ({why})", pod.namespace().unwrap_or_default(), pod.name_any()));
    Proxy { uid: pod.uid().unwrap_or_default(), is_ready: is_ready && !is_going, node, trouble }
}

/// Why Kubernetes does not start the pod.
fn obstacle(pod: &Pod) -> Option<&str> {
    let status = pod.status.as_ref()?;
    let containers = status.container_statuses.iter().chain(&status.init_container_statuses).flatten();
    let mut waiting = containers.filter_map(|container| container.state.as_ref()?.waiting.as_ref()?.reason.as_deref());
    let unscheduled = status.conditions.iter().flatten().find(|it| it.type_ == "PodScheduled" && it.status == "False");
    waiting.find(|reason| !PASSING.contains(reason)).or_else(|| unscheduled?.reason.as_deref())
}

/// Watches for as long as anybody looks.
pub fn follow(client: Client) -> watch::Receiver<Pods> {
    let (sender, receiver) = watch::channel(Pods::default());
    tokio::spawn(async move {
        let (label, value) = MANAGED_BY;
        let config = watcher::Config::default().labels(&format!("{label}={value}"));
        let mut changes = pin!(api::changes(Api::<Pod>::all(client), config));
        let mut listing = Pods::default();
        loop {
            let change = tokio::select! {
                change = changes.try_next() => change,
                () = sender.closed() => return,
            };
            match change {
                Ok(Some(watcher::Event::Init)) => listing = Pods::default(),
                Ok(Some(watcher::Event::InitApply(pod))) => drop(listing.put(&pod)),
                Ok(Some(watcher::Event::InitDone)) => drop(sender.send_replace(std::mem::take(&mut listing))),
                Ok(Some(watcher::Event::Apply(pod))) => drop(sender.send_if_modified(|pods| pods.put(&pod))),
                Ok(Some(watcher::Event::Delete(pod))) => drop(sender.send_if_modified(|pods| pods.remove(&pod))),
                Ok(None) => return,
                Err(why) => tracing::warn!(%why, "cannot watch the pods of proxies"),
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(status: &Value, deleted: Option<&str>) -> Proxy {
        let metadata = json!({"name": "p", "namespace": "n", "uid": "u", "deletionTimestamp": deleted});
        let pod = json!({"metadata": metadata, "spec": {"containers": []}, "status": status});
        proxy(&serde_json::from_value(pod).unwrap())
    }

    #[test]
    fn only_a_ready_pod_that_is_to_stay_is_waited_for() {
        let ready = || json!({"conditions": [{"type": "Ready", "status": "True"}], "hostIPs": [{"ip": "192.0.2.1"}]});
        let there = pod(&ready(), None);
        assert_eq!((there.is_ready, there.node.len(), there.trouble), (true, 1, None));
        assert!(!pod(&ready(), Some("2026-01-01T00:00:00Z")).is_ready);
        assert!(!pod(&json!({}), None).is_ready);
    }

    #[test]
    fn a_pod_that_does_not_start_is_named_with_the_reason() {
        let waiting = |why: &str| {
            let state = json!({"waiting": {"reason": why}});
            let container =
                json!({"name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state});
            pod(&json!({"containerStatuses": [container]}), None).trouble
        };
        assert_eq!(waiting("CrashLoopBackOff").as_deref(), Some("n/p (CrashLoopBackOff)"));
        assert_eq!(waiting("ContainerCreating"), None);
        let unscheduled =
            json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]});
        assert_eq!(pod(&unscheduled, None).trouble.as_deref(), Some("n/p (Unschedulable)"));
    }
}
