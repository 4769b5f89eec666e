// SPDX-License-Identifier: Apache-2.0
//! Who does what when: every certificate that is wanted has at most one attempt under way, and only while this replica
//! leads. An attempt that is dropped loses nothing, for the next goes on from what is kept.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use torana_ir::CertificateKey;

use super::attempt::{Clock, Outcome, Site, attempt};
use super::checks::Reach;
use super::courier::Connect;
use super::vault::Vault;
use crate::issuance::{Answer, Current, Issuer, Next, Wanted};

/// Attempts under way at once.
const MOST: usize = 32;
/// Clocks may be set: what is due is looked for at least so often.
const LOOK: Duration = Duration::from_mins(10);
/// An attempt of which nothing could be kept, or that came to nothing, is not repeated before, in seconds.
const UNKEPT: i64 = 30;

/// What the engine is given.
#[derive(Debug)]
pub struct Parts {
    /// Where everything is kept.
    pub vault: Arc<dyn Vault>,
    /// How authorities are asked.
    pub connect: Arc<dyn Connect>,
    /// How it is found out whether names lead here.
    pub reach: Arc<dyn Reach>,
    /// Namespace of what Torana keeps for itself.
    pub home: String,
    /// What time it is.
    pub clock: Clock,
    /// What listeners want.
    pub wanted: watch::Receiver<Arc<Vec<Wanted>>>,
    /// Answers that all proxies know.
    pub answers: watch::Receiver<BTreeSet<Answer>>,
    /// Whether this replica acts.
    pub leads: watch::Receiver<bool>,
    /// Hears what came of every attempt: `issued`, `failed`; and why, in one word.
    pub told: Told,
}

/// Hears what came of attempts.
#[derive(Clone)]
pub struct Told(Arc<dyn Fn(&'static str, &'static str) + Send + Sync>);

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Told")
    }
}

impl Told {
    /// One that calls `hear` with the result and with the reason, in one word, of a failure.
    pub fn new(hear: impl Fn(&'static str, &'static str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hear))
    }

    fn tell(&self, result: &'static str, reason: &'static str) {
        (self.0)(result, reason);
    }
}

/// Orders what is wanted.
#[derive(Debug)]
pub struct Engine {
    site: Arc<Site>,
    wanted: watch::Receiver<Arc<Vec<Wanted>>>,
    leads: watch::Receiver<bool>,
    told: Told,
    jobs: JoinSet<Job>,
    running: HashMap<Id, CertificateKey>,
    /// When to look at a certificate again, as long as it is wanted in the same way.
    rests: HashMap<CertificateKey, (Sight, i64)>,
}

type Job = (Sight, Outcome, Option<Wanted>);

/// What of a wish decides what is done about it.
#[derive(Debug, Clone, PartialEq)]
struct Sight {
    names: BTreeSet<String>,
    issuer: Issuer,
    obstacle: Option<String>,
    current: Option<Current>,
    asked: Option<i64>,
}

impl Sight {
    fn of(wanted: &Wanted) -> Self {
        Self {
            names: wanted.names(),
            issuer: wanted.issuer.clone(),
            obstacle: wanted.obstacle().map(str::to_owned),
            current: wanted.current.clone(),
            asked: wanted.state.asked,
        }
    }
}

impl Engine {
    /// One that has done nothing yet.
    pub fn new(parts: Parts) -> Self {
        let Parts { vault, connect, reach, home, clock, wanted, answers, leads, told } = parts;
        let site = Arc::new(Site::new((vault, connect, reach), (home, clock), answers));
        Self { site, wanted, leads, told, jobs: JoinSet::new(), running: HashMap::new(), rests: HashMap::new() }
    }

    /// Runs until nobody wants anything any more.
    pub async fn run(mut self) {
        loop {
            if *self.leads.borrow_and_update() {
                self.start();
            } else {
                self.jobs.abort_all();
                self.running.clear();
                self.rests.clear();
            }
            let pause = self.pause();
            tokio::select! {
                changed = self.wanted.changed() => if changed.is_err() { return },
                changed = self.leads.changed() => if changed.is_err() { return },
                Some(ended) = self.jobs.join_next_with_id() => self.ended(ended),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Until something is due.
    fn pause(&self) -> Duration {
        let now = self.site.clock.now();
        let due = self.rests.values().map(|(_, at)| at.saturating_sub(now)).filter(|left| *left > 0).min();
        let due = due.and_then(|left| u64::try_from(left).ok()).map_or(LOOK, Duration::from_secs);
        due.min(LOOK)
    }

    fn start(&mut self) {
        let (wanted, now) = (self.wanted.borrow_and_update().clone(), self.site.clock.now());
        self.rests.retain(|secret, _| wanted.iter().any(|it| it.secret == *secret));
        for it in wanted.iter() {
            if self.running.len() >= MOST {
                return;
            }
            let sight = Sight::of(it);
            let rests = self.rests.get(&it.secret).is_some_and(|(seen, until)| *seen == sight && *until > now);
            if rests || self.running.values().any(|secret| *secret == it.secret) {
                continue;
            }
            if let Next::Wait(until) = self.site.next(it) {
                self.rests.insert(it.secret.clone(), (sight, until));
                continue;
            }
            let (site, it) = (Arc::clone(&self.site), it.clone());
            let secret = it.secret.clone();
            let job = self.jobs.spawn(async move {
                let (outcome, after) = attempt(&site, &it).await;
                (sight, outcome, after)
            });
            self.running.insert(job.id(), secret);
        }
    }

    fn ended(&mut self, ended: Result<(Id, Job), JoinError>) {
        let now = self.site.clock.now();
        let (id, job) = match ended {
            Ok((id, job)) => (id, Some(job)),
            Err(error) => {
                if error.is_panic() {
                    tracing::error!(%error, "an attempt at a certificate broke off: please report it");
                }
                (error.id(), None)
            }
        };
        let Some(secret) = self.running.remove(&id) else { return };
        let Some((sight, outcome, after)) = job else { return };
        match outcome {
            Outcome::Issued => self.told.tell("issued", "none"),
            Outcome::Failed(reason) => self.told.tell("failed", reason),
            Outcome::Idle | Outcome::Asked => {}
        }
        let until = match after.as_ref().map(|after| self.site.next(after)) {
            Some(Next::Wait(until)) => until,
            // Where nothing was done though something is to be, others are in the way: they are not tried again at once.
            Some(_) if outcome != Outcome::Idle => now,
            _ => now + UNKEPT,
        };
        // As it was when the attempt began: if another is wanted by now, that is looked at anew.
        self.rests.insert(secret, (sight, until));
    }
}
