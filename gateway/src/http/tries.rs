// SPDX-License-Identifier: Apache-2.0
//! From one try of a request to the next: where it goes, and when. What became of a try is judged elsewhere, how many a
//! rule allows is counted in `retry`.

use std::sync::Arc;

use smallvec::SmallVec;
use tokio::time::Instant;
use torana_ir::Retry;

use crate::balance::{BackendState, Draw, Endpoint};
use crate::fault::Fault;
use crate::head::BodyLength;
use crate::http::replay::{MOST, Replay};
use crate::http::retry::{Asked, Retries};
use crate::http::side::Down;
use crate::http::wait::pause;

/// Tries after the first that no rule asks for, so that a backend which refuses every stream ends.
const MAX_OWN: usize = 4;

/// Endpoints tried for one request when connects fail and no rule says how often; nothing was sent to any of them.
const MAX_CONNECTS: usize = 3;

/// One try that failed: what the client would be told, and whether another may follow.
pub(crate) struct Failed {
    pub(crate) fault: Fault,
    pub(crate) again: Again,
}

#[derive(PartialEq, Eq)]
pub(crate) enum Again {
    No,
    /// On another endpoint: this one cannot be reached, or refuses.
    Elsewhere,
    /// On a fresh connection to the same endpoint: the pooled one was stale.
    Fresh,
    /// If the rule lists the status of the fault: it may have been processed.
    IfListed,
    /// It is granted already: the rule lists what was answered.
    Granted,
}

/// The tries of one request.
pub(crate) struct Tries<'a> {
    backend: &'a BackendState,
    /// Endpoints that failed, since all of them had.
    failed: SmallVec<[u64; 4]>,
    /// Where the client came to before.
    preferred: Option<Arc<Endpoint>>,
    /// The endpoint whose pooled connection was stale.
    stale: Option<Arc<Endpoint>>,
    /// What the request is balanced by.
    key: Option<u64>,
    /// Tries that no rule was asked for.
    own: usize,
    pub(crate) retries: Retries<'a>,
    pub(crate) replay: Replay,
}

impl<'a> Tries<'a> {
    /// Of a request whose rule says this about tries. None that the rule asks for begins after `until`.
    pub(crate) fn new(backend: &'a BackendState, rule: Option<&'a Retry>, until: Option<Instant>) -> Self {
        let (retries, replay) = (Retries::new(rule, backend, until), Replay::off());
        Self { backend, failed: SmallVec::new(), preferred: None, stale: None, key: None, own: 0, retries, replay }
    }

    /// What of the request's body is kept for another try, or has been `read` before the first.
    pub(crate) fn keep(&mut self, body: BodyLength, read: Option<Replay>) {
        match read {
            Some(read) => self.replay = read,
            None if self.retries.possible() => self.replay = Replay::up_to(body, MOST),
            None => {}
        }
        self.replay.rewind();
    }

    /// The first try goes to this endpoint; where there is none, and later, the key decides if there is one.
    pub(crate) fn prefer(&mut self, endpoint: Option<Arc<Endpoint>>, key: Option<u64>) {
        (self.preferred, self.key) = (endpoint, key);
    }

    /// Where the next try goes, and whether it needs a fresh connection. Endpoints that failed come last; without a rule
    /// they do not come again.
    pub(crate) fn endpoint(&mut self) -> Option<(Arc<Endpoint>, bool)> {
        if let Some(stale) = self.stale.take() {
            return Some((stale, true));
        }
        if let Some(preferred) = self.preferred.take() {
            return Some((preferred, false));
        }
        let draw = Draw { random: fastrand::u64(..), key: self.key, tried: &self.failed };
        let chosen = self.backend.pick(&draw, || Instant::now().into_std())?;
        if self.failed.contains(&chosen.id) {
            if !self.retries.governed() {
                return None;
            }
            self.failed.clear();
        }
        Some((chosen, false))
    }

    /// Whether another try follows the one that failed at `endpoint`.
    pub(crate) fn follow(&mut self, failed: &Failed, endpoint: &Arc<Endpoint>) -> bool {
        let asked = |elsewhere| Asked { replayable: true, elsewhere };
        match failed.again {
            Again::Granted => {
                self.avoid(endpoint);
                true
            }
            Again::Fresh if self.own < MAX_OWN => {
                self.own += 1;
                self.stale = Some(Arc::clone(endpoint));
                true
            }
            Again::Fresh | Again::Elsewhere if self.retries.governed() => {
                self.avoid(endpoint);
                let others = self.backend.endpoints().usable().iter().any(|it| !self.failed.contains(&it.id));
                self.retries.grant(asked(others))
            }
            Again::Elsewhere => {
                self.failed.push(endpoint.id);
                self.own += 1;
                self.failed.len() < MAX_CONNECTS && self.own <= MAX_OWN
            }
            Again::No | Again::Fresh => false,
            Again::IfListed => {
                self.avoid(endpoint);
                (self.retries.lists(failed.fault.status()) || self.retries.of_unanswered())
                    && self.retries.grant(asked(false))
            }
        }
    }

    /// The next try goes elsewhere, unless the rule does not mind.
    fn avoid(&mut self, endpoint: &Endpoint) {
        if !self.retries.anywhere() {
            self.failed.push(endpoint.id);
        }
    }

    /// Waits for the next try. A client that leaves meanwhile ends it.
    pub(crate) async fn pause(&mut self, down: &mut Down) -> Result<(), Fault> {
        self.replay.rewind();
        match self.retries.taken() {
            Some(until) => pause(down, Some(until)).await,
            None => Ok(()),
        }
    }
}
