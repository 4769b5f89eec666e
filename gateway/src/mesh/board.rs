// SPDX-License-Identifier: Apache-2.0
//! What is in force, and that everybody hears of it: a new generation, a failure, the end of a certificate. Obtains
//! nothing.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::sleep;

use super::credential::Credential;
use super::state::{State, Tally};

/// How often files are looked at, and the clock on the wall: a machine may have slept.
pub(super) const POLL: Duration = Duration::from_secs(5);

/// Tells the time.
pub(super) type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// What is in force.
pub(super) struct Board {
    states: watch::Sender<State>,
    tally: Arc<Tally>,
    clock: Clock,
    /// What was said last of contents that are of no use: it is said once.
    complaint: Option<String>,
    /// What failed last, for the time after the end of the certificate.
    failure: Option<String>,
}

impl Board {
    /// With this state.
    pub(super) fn new(state: State, clock: Clock) -> Self {
        let tally = Arc::new(Tally::default());
        tally.enter(&state);
        Self { states: watch::Sender::new(state), tally, clock, complaint: None, failure: None }
    }

    /// Follows it.
    pub(super) fn states(&self) -> watch::Receiver<State> {
        self.states.subscribe()
    }

    /// Its numbers.
    pub(super) fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }

    /// The time.
    pub(super) fn now(&self) -> SystemTime {
        (self.clock)()
    }

    /// What is in force, if anything is.
    pub(super) fn current(&self) -> Option<Arc<Credential>> {
        self.states.borrow().credential().map(Arc::clone)
    }

    /// Puts a new generation in force.
    pub(super) fn publish(&mut self, credential: Arc<Credential>) {
        let before = self.current();
        let (spiffe_id, serial) = (&credential.spiffe_id, &credential.serial);
        let left = credential.not_after.duration_since(self.now()).unwrap_or_default();
        tracing::info!(generation = credential.id, %spiffe_id, %serial, valid_for = ?left, "mesh identity in force");
        if let Some(before) = before.filter(|before| before.spiffe_id != *spiffe_id) {
            tracing::warn!(before = %before.spiffe_id, now = %spiffe_id, "the mesh identity is another one");
        }
        self.tally.renew();
        (self.complaint, self.failure) = (None, None);
        self.enter(State::Available(credential));
    }

    /// There is no new generation: what is in force stays so until its end.
    pub(super) fn fail(&mut self, why: &str) {
        self.tally.fail();
        self.failure = Some(why.to_owned());
        if self.current().is_none() {
            self.lose(why);
        }
    }

    /// As [`Board::fail`], of contents that will be looked at again and again: counted and said once.
    pub(super) fn complain(&mut self, why: &str) {
        if self.complaint.as_deref() == Some(why) {
            return;
        }
        tracing::warn!(%why, "what vouches for mesh identities is of no use: what is in force stays until it ends");
        self.complaint = Some(why.to_owned());
        self.fail(why);
    }

    /// The contents are of use.
    pub(super) fn content(&mut self) {
        if self.complaint.take().is_some() {
            tracing::info!("what vouches for mesh identities is of use again");
        }
    }

    /// Does `work`, and meanwhile looks whether the certificate ends.
    pub(super) async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            let left = self.current().map(|current| current.not_after.duration_since(self.now()).unwrap_or_default());
            tokio::select! {
                done = &mut work => return done,
                () = sleep(left.unwrap_or(POLL).min(POLL)) => self.expire(),
            }
        }
    }

    fn expire(&mut self) {
        let now = self.now();
        if self.current().is_some_and(|current| current.not_after <= now) {
            let failure = self.failure.as_deref().unwrap_or("there is no other yet");
            let why = format!("the certificate has ended: {failure}");
            tracing::error!(%why, "no mesh identity: what needs it is refused");
            self.lose(&why);
        }
    }

    fn lose(&mut self, why: &str) {
        let since = match &*self.states.borrow() {
            State::Unavailable { why: before, .. } if **before == *why => return,
            State::Unavailable { since, .. } => *since,
            _ => self.now(),
        };
        self.enter(State::Unavailable { why: why.into(), since });
    }

    fn enter(&mut self, state: State) {
        self.tally.enter(&state);
        self.states.send_replace(state);
    }
}
