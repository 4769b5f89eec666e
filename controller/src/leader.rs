// SPDX-License-Identifier: Apache-2.0
//! One of several controllers leads: it holds the Lease, serves the feed and writes status. It marks its own pod with a
//! label that the feed's Service selects.
//!
//! The rules are in `election`, which is pure; here are its calls. Never does anything else by virtue of leading: others
//! watch [`Leadership`].

mod election;

mod lease;

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::api::{FIELD_MANAGER, Failure, within};
use crate::leader::election::{Answer, Election, Proposal, Step};

pub use election::Terms;

/// The label of the leader's pod.
pub const LABEL: &str = "torana.dev/leader";
/// So long a call may take, if the mandate does not end before.
const CALL: Duration = Duration::from_secs(5);
/// So long the end may be delayed for giving up the Lease and the label.
const FAREWELL: Duration = Duration::from_secs(3);
/// A label that could not be set is tried again after this.
const MARK_AGAIN: Duration = Duration::from_secs(2);
/// Whoever does not lead leaves the API server to others for so long.
const HEAD_START: Duration = Duration::from_secs(3);

/// Who leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Leadership {
    /// Somebody else, or nobody yet.
    #[default]
    Following,
    /// This replica: it serves the feed and writes.
    Leading {
        /// Rises with every leader.
        epoch: u64,
    },
    /// This replica led until the API server could not be reached any more, and nobody is known to have taken over. It
    /// must not write; proxies that ask may be answered with what is in force, for a newer leader has a higher epoch.
    Stranded {
        /// The epoch in which it led.
        epoch: u64,
    },
}

impl Leadership {
    /// Whether this replica may write.
    pub fn leads(self) -> bool {
        matches!(self, Self::Leading { .. })
    }

    /// The epoch under which proxies may be answered, if they may.
    pub fn serves(self) -> Option<u64> {
        match self {
            Self::Following => None,
            Self::Leading { epoch } | Self::Stranded { epoch } => Some(epoch),
        }
    }
}

/// Who stands for election, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Namespace of the Lease and of the pod.
    pub namespace: String,
    /// Name of the Lease.
    pub lease: String,
    /// The name of this pod.
    pub identity: String,
    /// Whether there is such a pod to be marked; not so outside a cluster.
    pub is_pod: bool,
    /// How long things take.
    pub terms: Terms,
}

/// Returns when this replica leads, or after three seconds. Of replicas that start at once the one that is going to serve
/// the proxies lists the cluster first: the others have time.
pub async fn head_start(mut leadership: watch::Receiver<Leadership>) {
    drop(tokio::time::timeout(HEAD_START, leadership.wait_for(|leadership| leadership.leads())).await);
}

/// Stands for election until `stop` is done, then gives up the Lease. Whoever has a receiver of `leadership` knows.
pub async fn stand(
    client: Client,
    candidate: Candidate,
    leadership: watch::Sender<Leadership>,
    stop: impl Future<Output = ()> + Send,
) {
    let marks = mark(Api::namespaced(client.clone(), &candidate.namespace), &candidate, leadership.subscribe());
    let mut campaign = Campaign::new(client, candidate.clone(), leadership);
    let mut marks = pin!(marks);
    {
        let (mut stop, mut run) = (pin!(stop), pin!(campaign.run()));
        tokio::select! {
            () = &mut stop => {}
            () = &mut run => {}
            () = &mut marks => {}
        }
    }
    let farewell = async {
        campaign.end().await;
        // It ends once its pod is unmarked and nobody tells it more.
        drop(campaign);
        marks.await;
    };
    if tokio::time::timeout(FAREWELL, farewell).await.is_err() {
        tracing::warn!("the lease was not given up in time; others wait until it runs out");
    }
}

struct Campaign {
    leases: Api<Lease>,
    candidate: Candidate,
    election: Election,
    leadership: watch::Sender<Leadership>,
    begun: Instant,
    /// The object as it was seen last: what a renewal is written over.
    last: Option<Lease>,
}

impl Campaign {
    fn new(client: Client, candidate: Candidate, leadership: watch::Sender<Leadership>) -> Self {
        Self {
            leases: Api::namespaced(client, &candidate.namespace),
            election: Election::new(&candidate.identity, candidate.terms, lease::floor(jiff::Timestamp::now())),
            candidate,
            leadership,
            begun: Instant::now(),
            last: None,
        }
    }

    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    async fn run(&mut self) {
        loop {
            let now = self.now();
            let step = self.election.step(now);
            self.tell();
            let answer = match step {
                Step::Wait(until) => {
                    self.wait(until).await;
                    continue;
                }
                Step::Read => self.read().await,
                Step::Write(proposal) => self.write(&proposal, &self.candidate.identity.clone()).await,
            };
            let ended = self.now();
            self.election.answer(now, ended, answer);
            self.tell();
        }
    }

    /// Until then, or until the mandate ends; a little earlier or later, so that replicas do not call in step.
    async fn wait(&self, until: Duration) {
        let pause = until.saturating_sub(self.now()).mul_f64(0.9 + 0.2 * fastrand::f64());
        let mandate = self.election.until().map_or(Duration::MAX, |until| until.saturating_sub(self.now()));
        tokio::time::sleep(pause.min(mandate).max(Duration::from_millis(1))).await;
    }

    fn tell(&self) {
        let leadership = self.election.leadership(self.now());
        self.leadership.send_if_modified(|told| {
            let is_new = *told != leadership;
            if is_new {
                tracing::info!(before = ?*told, now = ?leadership, lease = self.candidate.lease, "leadership");
                *told = leadership;
            }
            is_new
        });
    }

    /// No call outlives the mandate: at its end the others must be told.
    fn limit(&self) -> Duration {
        let left = self.election.until().map(|until| until.saturating_sub(self.now()));
        left.filter(|left| !left.is_zero()).map_or(CALL, |left| left.min(CALL))
    }

    async fn read(&mut self) -> Answer {
        let answer = within(self.limit(), self.leases.get(&self.candidate.lease)).await;
        self.judged(answer, Answer::Found)
    }

    async fn write(&mut self, proposal: &Proposal, holder: &str) -> Answer {
        let now = jiff::Timestamp::now();
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let last = self.last.as_ref().filter(|_| proposal.base.is_some());
        let lease = lease::proposed(last, &self.candidate, (proposal, holder), now);
        let answer = if proposal.base.is_some() {
            within(self.limit(), self.leases.replace(&self.candidate.lease, &params, &lease)).await
        } else {
            within(self.limit(), self.leases.create(&params, &lease)).await
        };
        self.judged(answer, Answer::Written)
    }

    fn judged(&mut self, answer: Result<Lease, Failure>, as_answer: fn(election::Record) -> Answer) -> Answer {
        match answer {
            Ok(lease) => {
                let record = lease::record(&lease);
                self.last = Some(lease);
                as_answer(record)
            }
            Err(Failure::Absent) => Answer::Absent,
            Err(Failure::Conflict) => Answer::Conflict,
            Err(failure @ (Failure::Refused(_) | Failure::Unavailable(_) | Failure::Busy(..))) => {
                tracing::warn!(lease = self.candidate.lease, why = %failure, "lease");
                Answer::Failed
            }
        }
    }

    /// Leads no longer, and says so in the Lease.
    async fn end(&mut self) {
        let proposal = self.election.release(self.now());
        self.leadership.send_replace(Leadership::Following);
        if let Some(proposal) = proposal
            && self.write(&proposal, "").await == Answer::Failed
        {
            tracing::warn!("the lease could not be given up; others wait until it runs out");
        }
    }
}

/// Keeps the label of this pod true, until nobody tells the leadership any more and the label is off. A label that an
/// earlier process of this pod left behind goes too.
async fn mark(pods: Api<Pod>, candidate: &Candidate, mut leadership: watch::Receiver<Leadership>) {
    if !candidate.is_pod {
        while leadership.changed().await.is_ok() {}
        return;
    }
    let mut marked = None;
    loop {
        let wanted = leadership.borrow_and_update().serves().is_some();
        if marked != Some(wanted) {
            let label = wanted.then_some("true");
            let body = json!({"metadata": {"labels": {LABEL: label}}});
            let params = PatchParams::default();
            let patch = Patch::Merge(&body);
            match within(CALL, pods.patch_metadata(&candidate.identity, &params, &patch)).await {
                Ok(_) => marked = Some(wanted),
                Err(why) => tracing::warn!(pod = candidate.identity, %why, wanted, "the leader's label is not set"),
            }
        }
        let again = async {
            if marked == Some(wanted) {
                std::future::pending::<()>().await;
            } else {
                tokio::time::sleep(MARK_AGAIN).await;
            }
        };
        tokio::select! {
            changed = leadership.changed() => {
                // The last word is always Following.
                if changed.is_err() && marked == Some(false) {
                    return;
                }
                if changed.is_err() {
                    tokio::time::sleep(MARK_AGAIN / 10).await;
                }
            }
            () = again => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn whoever_leads_has_the_head_start() {
        let (sender, leadership) = watch::channel(Leadership::default());
        let mut start = pin!(head_start(leadership));
        assert!((&mut start).now_or_never().is_none());
        sender.send_replace(Leadership::Leading { epoch: 1 });
        assert!(start.now_or_never().is_some());
    }

    #[tokio::test]
    async fn the_others_follow() {
        let (_sender, leadership) = watch::channel(Leadership::default());
        let begun = Instant::now();
        head_start(leadership).await;
        assert!(begun.elapsed() >= HEAD_START);
    }
}
