// SPDX-License-Identifier: Apache-2.0
//! Carries what is to be written to the API server, as long as this replica leads. One call for each object at a time,
//! few at once, a deadline on each. A conflict is answered by reading the object and computing again; other failures
//! by waiting. Makes no decision about what a status says.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::watch;
use tokio::task::JoinSet;
use torana_crds::ObjectRef;

use crate::api::Failure;
use crate::leader::Leadership;
use crate::metrics::Metrics;
use crate::status::board::{Board, Next};
use crate::status::events;
use crate::status::patches::Verdict;
use crate::status::queue::Outcome;
use crate::status::{call, patches::Patch};

/// Others' writes in a row that are followed before waiting.
const CONFLICTS: usize = 5;

/// Writes until whoever tells the leadership is gone. Dropping the future ends it; what is under way then is lost or
/// not, and both are well: the next leader computes anew.
pub async fn write(client: Client, board: Arc<Board>, mut leadership: watch::Receiver<Leadership>, metrics: Metrics) {
    let mut writing = JoinSet::new();
    let mut was_leading = false;
    loop {
        let leads = leadership.borrow_and_update().leads();
        if leads && !was_leading {
            board.look_at_all();
        }
        was_leading = leads;
        let next = if leads { board.next() } else { Next::Wait(None) };
        let until = match next {
            Next::Write(object) => {
                let turn = Turn {
                    client: client.clone(),
                    board: Arc::clone(&board),
                    leadership: leadership.clone(),
                    metrics: metrics.clone(),
                };
                writing.spawn(turn.attempt(object));
                continue;
            }
            Next::Wait(until) => until,
        };
        let pause = async {
            match until {
                Some(until) => tokio::time::sleep_until(until.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = board.changed.notified() => {}
            () = pause => {}
            Some(_) = writing.join_next() => {}
            changed = leadership.changed() => if changed.is_err() { break },
        }
    }
    writing.shutdown().await;
}

struct Turn {
    client: Client,
    board: Arc<Board>,
    leadership: watch::Receiver<Leadership>,
    metrics: Metrics,
}

impl Turn {
    async fn attempt(self, object: ObjectRef) {
        let outcome = self.follow(&object).await;
        self.board.done(&object, outcome);
    }

    /// Until it is written, there is nothing more to write, or it has to wait.
    async fn follow(&self, object: &ObjectRef) -> Outcome {
        for _ in 0..CONFLICTS {
            if !self.leadership.borrow().leads() {
                return Outcome::Dropped;
            }
            let ended = match self.board.verdict(object) {
                Verdict::Settled => Some(Outcome::Settled),
                Verdict::Unread => self.read(object).await,
                Verdict::Write(patch) => self.write(&patch).await,
            };
            if let Some(outcome) = ended {
                return outcome;
            }
        }
        tracing::debug!(%object, "others write to it all the time");
        Outcome::Contested
    }

    /// `None`: computed again, it may succeed.
    async fn write(&self, patch: &Patch) -> Option<Outcome> {
        self.board.spend();
        let written = call::write(&self.client, patch).await;
        self.metrics.wrote_status(patch.object.shown_kind(), result(&written));
        match written {
            Ok(raw) => {
                tracing::debug!(object = %patch.object, "status written");
                self.board.learn(&raw);
                self.board.tell(events::of_patch(patch));
                Some(Outcome::Written)
            }
            Err(Failure::Conflict) => self.read(&patch.object).await,
            Err(failure) => Some(self.failed(&patch.object, &failure)),
        }
    }

    /// `None`: it is known now.
    async fn read(&self, object: &ObjectRef) -> Option<Outcome> {
        self.board.spend();
        match call::read(&self.client, object, &self.board.version(object)).await {
            Ok(raw) => {
                self.board.learn(&raw);
                None
            }
            Err(failure) => Some(self.failed(object, &failure)),
        }
    }

    fn failed(&self, object: &ObjectRef, failure: &Failure) -> Outcome {
        match failure {
            Failure::Conflict => Outcome::Contested,
            Failure::Absent => {
                // The watch will tell the others; a status of what is gone is nobody's loss.
                self.board.remove(object);
                Outcome::Settled
            }
            Failure::Refused(why) => {
                tracing::error!(%object, %why, "the API server does not take the status");
                Outcome::Refused
            }
            Failure::Unavailable(why) => {
                tracing::warn!(%object, %why, "status not written yet");
                Outcome::Unavailable(Duration::ZERO)
            }
            Failure::Busy(after, why) => {
                tracing::warn!(%object, %why, ?after, "status not written yet");
                Outcome::Unavailable(*after)
            }
        }
    }
}

/// As a label.
fn result<T>(written: &Result<T, Failure>) -> &'static str {
    match written {
        Ok(_) => "written",
        Err(Failure::Conflict) => "conflict",
        Err(Failure::Absent) => "absent",
        Err(Failure::Refused(_)) => "refused",
        Err(Failure::Unavailable(_) | Failure::Busy(..)) => "unavailable",
    }
}
