// SPDX-License-Identifier: Apache-2.0
//! That there is always a valid identity: one task obtains it, renews it long before its end, and follows the files that
//! it is made of. It never gives up, and never ends what is valid because something else failed.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::authority::{Authority, Issued, Issuer};
use super::board::{Board, Clock, POLL};
use super::credential::{Credential, Svid};
use super::folder::Folder;
use super::roots::Roots;
use super::source::Source;
use super::state::{State, Tally};
use crate::dial::Backoff;

/// Of the time that a new certificate is valid, what passes before it is renewed …
const RENEW_AT: f64 = 0.5;
/// … less or more by this share, so that a thousand proxies that were started at once do not come at once.
const JITTER: f64 = 0.01;
/// The first pause after a failure, and the longest; also the least between two requests, whatever is signed.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(150));

/// The life of the proxy's identity.
pub struct Rotation {
    source: Option<Source>,
    board: Board,
}

impl Rotation {
    /// Of an identity from `source`; `None`: there is none. Nothing is done before [`Rotation::run`].
    pub fn new(source: Option<Source>) -> Self {
        Self::timed(source, Arc::new(SystemTime::now))
    }

    fn timed(source: Option<Source>, clock: Clock) -> Self {
        let state = if source.is_some() { State::Initializing } else { State::Absent };
        Self { source, board: Board::new(state, clock) }
    }

    /// Follows the state.
    pub fn states(&self) -> watch::Receiver<State> {
        self.board.states()
    }

    /// What is counted of it.
    pub fn tally(&self) -> Arc<Tally> {
        Arc::clone(self.board.tally())
    }

    /// Obtains and renews for the life of the process.
    pub async fn run(self) {
        match self.source {
            None => std::future::pending().await,
            // Boxed: what a call needs is large.
            Some(Source::Authority(config)) => Box::pin(Renewing::new(Authority::new(config), self.board).run()).await,
            Some(Source::Files(folder)) => follow(Folder(folder), self.board).await,
        }
    }
}

/// Puts in force what a folder holds, whenever that changed.
async fn follow(folder: Folder, mut board: Board) {
    loop {
        match board.during(folder.read()).await {
            Ok(svid) if board.current().is_some_and(|current| current.is_of(&svid)) => board.content(),
            Ok(svid) => match Credential::new(svid, board.now()) {
                Ok(credential) => board.publish(credential),
                Err(why) => board.complain(&folder.damaged(why).to_string()),
            },
            Err(why) => board.complain(&why.to_string()),
        }
        board.during(sleep(POLL)).await;
    }
}

/// When the authority is asked next.
#[derive(Debug, Clone, Copy)]
enum Due {
    /// By the clock on the wall, as the end of a certificate is.
    Renewal(SystemTime),
    /// After a failure. A clock that is set meanwhile changes nothing.
    Retry(Instant),
}

impl Due {
    fn left(self, now: SystemTime) -> Duration {
        match self {
            Self::Renewal(at) => at.duration_since(now).unwrap_or_default(),
            Self::Retry(at) => at.duration_since(Instant::now()),
        }
    }
}

/// An identity from an authority, and the roots of a file.
struct Renewing<I> {
    issuer: I,
    board: Board,
    due: Due,
    backoff: Backoff,
    held: Option<Issued>,
    /// The file's roots as they were read last, none if that could not be done. `None`: it was not read yet.
    bundle: Option<Roots>,
}

impl<I: Issuer> Renewing<I> {
    fn new(issuer: I, board: Board) -> Self {
        let (due, backoff) = (Due::Retry(Instant::now()), Backoff::new(PAUSES.0, PAUSES.1));
        Self { issuer, board, due, backoff, held: None, bundle: None }
    }

    async fn run(mut self) {
        loop {
            if self.due.left(self.board.now()).is_zero() {
                self.renew().await;
            }
            let pause = self.due.left(self.board.now()).min(POLL);
            self.board.during(sleep(pause)).await;
            self.look().await;
        }
    }

    async fn renew(&mut self) {
        let issued = self.board.during(self.issuer.issue()).await.map_err(|why| why.to_string());
        let renewed = issued.and_then(|issued| {
            let svid = whole(&issued);
            let credential = Credential::new(svid, self.board.now()).map_err(|why| why.to_string())?;
            Ok((issued, credential))
        });
        match renewed {
            Ok((issued, credential)) => {
                self.due = Due::Renewal(renewal(self.board.now(), credential.not_after, fastrand::f64()));
                self.backoff = Backoff::new(PAUSES.0, PAUSES.1);
                (self.bundle, self.held) = (Some(issued.bundle.clone()), Some(issued));
                self.board.publish(credential);
            }
            Err(why) => {
                let pause = self.backoff.next(fastrand::f64());
                self.due = Due::Retry(Instant::now() + pause);
                tracing::warn!(%why, again_in = ?pause, "no new mesh identity: what is in force stays until it ends");
                self.board.fail(&why);
            }
        }
    }

    /// Looks at the file with the roots, and puts them in force if they are others.
    async fn look(&mut self) {
        let bundle = match self.board.during(self.issuer.bundle()).await {
            Ok(bundle) => bundle,
            Err(why) => {
                self.bundle = Some(Roots::default());
                return self.board.complain(&why.to_string());
            }
        };
        self.board.content();
        let before = self.bundle.replace(bundle.clone());
        if before.as_ref() == Some(&bundle) {
            return;
        }
        let Some(current) = self.board.current() else {
            if before.is_some() {
                // Perhaps that was all that was wrong.
                (self.due, self.backoff) = (Due::Retry(Instant::now()), Backoff::new(PAUSES.0, PAUSES.1));
            }
            return;
        };
        let Some(held) = &mut self.held else { return };
        held.bundle = bundle;
        let svid = whole(held);
        if current.is_of(&svid) {
            return;
        }
        match Credential::new(svid, self.board.now()) {
            Ok(credential) => self.board.publish(credential),
            Err(why) => self.board.complain(&why.to_string()),
        }
    }
}

/// A certificate with all roots that there are.
fn whole(issued: &Issued) -> Svid {
    issued.svid.with_roots(issued.svid.roots().union(&issued.bundle))
}

/// When a certificate is renewed that was obtained `now`, by `drawn` from 0 to 1.
fn renewal(now: SystemTime, not_after: SystemTime, drawn: f64) -> SystemTime {
    let share = RENEW_AT + JITTER * (2.0 * drawn.clamp(0.0, 1.0) - 1.0);
    let left = not_after.duration_since(now).unwrap_or_default();
    now + left.mul_f64(share).max(PAUSES.0)
}

#[cfg(test)]
mod tests;
