// SPDX-License-Identifier: Apache-2.0
//! The Lease, held by several candidates at a real API server.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use torana_controller::leader::{Candidate, LABEL, Leadership, Terms, stand};

use super::{Lab, PATIENCE, eventually, with_lab};

/// A fifth of the real ones.
const TERMS: Terms = Terms {
    duration: Duration::from_secs(3),
    deadline: Duration::from_secs(2),
    renew: Duration::from_secs(1),
    retry: Duration::from_millis(200),
    look: Duration::from_millis(400),
};

struct Replica {
    leadership: watch::Receiver<Leadership>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Replica {
    fn start(lab: &Lab, identity: &str, is_pod: bool) -> Self {
        let candidate = Candidate {
            namespace: lab.namespace.clone(),
            lease: "torana".into(),
            identity: identity.into(),
            is_pod,
            terms: TERMS,
        };
        let (sender, leadership) = watch::channel(Leadership::default());
        let (stop, stopped) = oneshot::channel();
        let stopped = async { drop(stopped.await) };
        Self { leadership, stop, task: tokio::spawn(stand(lab.client.clone(), candidate, sender, stopped)) }
    }

    fn now(&self) -> Leadership {
        *self.leadership.borrow()
    }

    async fn leads(&mut self) -> u64 {
        let leading = self.leadership.wait_for(|it| it.leads());
        let leading = *tokio::time::timeout(PATIENCE, leading).await.expect("it leads in time").unwrap();
        leading.serves().unwrap()
    }

    async fn stop(self) {
        self.stop.send(()).ok();
        self.task.await.unwrap();
    }

    /// As by `kill -9`.
    fn kill(self) {
        self.task.abort();
    }
}

#[test]
fn whoever_gives_up_is_followed_at_once_in_a_higher_epoch() {
    with_lab(|lab| async move {
        let mut one = Replica::start(&lab, "one", false);
        let first = one.leads().await;
        let mut two = Replica::start(&lab, "two", false);
        tokio::time::sleep(TERMS.duration * 2).await;
        assert_eq!((one.now(), two.now()), (Leadership::Leading { epoch: first }, Leadership::Following));
        let begun = Instant::now();
        one.stop().await;
        assert_eq!(two.leads().await, first + 1);
        assert!(begun.elapsed() < TERMS.duration, "{:?}", begun.elapsed());
        two.stop().await;
        let lease: Lease = Api::namespaced(lab.client.clone(), &lab.namespace).get("torana").await.unwrap();
        assert_eq!(lease.spec.unwrap().holder_identity.as_deref(), Some(""));
    });
}

#[test]
fn whoever_vanishes_is_followed_when_the_lease_has_run_out() {
    with_lab(|lab| async move {
        let mut one = Replica::start(&lab, "one", false);
        let first = one.leads().await;
        let mut two = Replica::start(&lab, "two", false);
        tokio::time::sleep(TERMS.renew).await;
        let begun = Instant::now();
        one.kill();
        assert_eq!(two.leads().await, first + 1);
        let took = begun.elapsed();
        assert!(took > TERMS.deadline && took < TERMS.duration * 2, "{took:?}");
        two.kill();
        let begun = Instant::now();
        let mut again = Replica::start(&lab, "two", false);
        assert_eq!(again.leads().await, first + 2, "the same pod, another process");
        assert!(begun.elapsed() < TERMS.duration, "{:?}", begun.elapsed());
        again.stop().await;
    });
}

#[test]
fn a_lease_that_somebody_deletes_or_takes_deposes_the_leader() {
    with_lab(|lab| async move {
        let leases: Api<Lease> = Api::namespaced(lab.client.clone(), &lab.namespace);
        let mut one = Replica::start(&lab, "one", false);
        let first = one.leads().await;
        leases.delete("torana", &DeleteParams::default()).await.unwrap();
        let second = eventually("a new epoch", || {
            let now = one.now();
            async move { now.serves().filter(|epoch| *epoch > first) }
        })
        .await;
        let taken = json!({"spec": {"holderIdentity": "stranger", "leaseTransitions": second + 1}});
        leases.patch("torana", &PatchParams::default(), &Patch::Merge(taken)).await.unwrap();
        eventually("it follows", || {
            let now = one.now();
            async move { (now == Leadership::Following).then_some(()) }
        })
        .await;
        assert_eq!(one.leads().await, second + 2, "the stranger never renews");
        one.stop().await;
    });
}

#[test]
fn the_pod_of_the_leader_carries_the_label() {
    with_lab(|lab| async move {
        let pods: Api<Pod> = Api::namespaced(lab.client.clone(), &lab.namespace);
        let pod = json!({"metadata": {"name": "one", "labels": {LABEL: "true", "app": "torana"}},
            "spec": {"schedulerName": "nobody", "containers": [{"name": "a", "image": "none.invalid/none"}]}});
        eventually("the namespace has its service account", || {
            let (pods, pod) = (pods.clone(), serde_json::from_value::<Pod>(pod.clone()).unwrap());
            async move { pods.create(&PostParams::default(), &pod).await.ok() }
        })
        .await;
        let label = || {
            let pods = pods.clone();
            async move { pods.get("one").await.unwrap().metadata.labels.unwrap_or_default().get(LABEL).cloned() }
        };
        let mut other = Replica::start(&lab, "other", false);
        other.leads().await;
        let mut one = Replica::start(&lab, "one", true);
        eventually("a label from before goes", || async { label().await.is_none().then_some(()) }).await;
        other.stop().await;
        one.leads().await;
        eventually("the leader is marked", || async { label().await.filter(|value| value == "true") }).await;
        one.stop().await;
        assert_eq!(label().await, None);
        assert_eq!(pods.get("one").await.unwrap().metadata.labels.unwrap()["app"], "torana");
    });
}

#[test]
fn leaders_that_are_killed_at_random_never_overlap() {
    with_lab(|lab| async move {
        let leading: Arc<Mutex<Vec<(u64, String)>>> = Arc::default();
        let follow = |replica: &Replica, name: String| {
            let (mut leadership, leading) = (replica.leadership.clone(), Arc::clone(&leading));
            tokio::spawn(async move {
                while leadership.changed().await.is_ok() {
                    if let Leadership::Leading { epoch } = *leadership.borrow_and_update() {
                        leading.lock().unwrap().push((epoch, name.clone()));
                    }
                }
            })
        };
        let mut replicas: Vec<Option<Replica>> = vec![None, None, None];
        for round in 0..12 {
            for (at, replica) in replicas.iter_mut().enumerate() {
                let name = format!("r{at}");
                if replica.is_none() {
                    let started = Replica::start(&lab, &name, false);
                    follow(&started, name);
                    *replica = Some(started);
                }
            }
            eventually("somebody leads", || {
                let count = replicas.iter().flatten().filter(|replica| replica.now().leads()).count();
                assert!(count <= 1, "{count} lead");
                async move { (count == 1).then_some(()) }
            })
            .await;
            let leader = replicas.iter().position(|it| it.as_ref().is_some_and(|it| it.now().leads())).unwrap();
            tokio::time::sleep(Duration::from_millis(fastrand::u64(0..1_500))).await;
            let Some(replica) = replicas[leader].take() else { continue };
            if round % 2 == 0 { replica.kill() } else { replica.stop().await }
        }
        let told = leading.lock().unwrap().clone();
        assert!(told.len() >= 12, "{told:?}");
        assert!(told.windows(2).all(|pair| pair[0].0 < pair[1].0), "epochs rise: {told:?}");
    });
}
