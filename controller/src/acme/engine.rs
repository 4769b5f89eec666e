// SPDX-License-Identifier: Apache-2.0
//! Who does what when: every certificate that is wanted has at most one attempt under way, and only while this replica
//! leads. An attempt that is dropped loses nothing, for the next goes on from what is kept.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use torana_ir::CertificateKey;

use super::attempt::{Clock, Outcome, Site, attempt, replaces};
use super::checks::Reach;
use super::courier::Connect;
use super::orphans;
use super::told::Told;
use super::vault::Vault;
use crate::issuance::{Answer, Current, Issuer, Ledger, Next, State, Turn, Wanted};

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
    /// Hears what happens.
    pub told: Told,
}

/// Orders what is wanted.
#[derive(Debug)]
pub struct Engine {
    site: Arc<Site>,
    wanted: watch::Receiver<Arc<Vec<Wanted>>>,
    leads: watch::Receiver<bool>,
    jobs: JoinSet<Job>,
    running: HashMap<Id, CertificateKey>,
    /// How certificates stood after attempts: translation may be late.
    states: HashMap<CertificateKey, State>,
    /// When to look at a certificate again, as long as it is wanted in the same way.
    rests: HashMap<CertificateKey, (Sight, i64)>,
}

type Job = (Sight, Outcome, Option<Wanted>);

/// What of a wish decides what is done about it.
#[derive(Debug)]
struct Sight {
    names: BTreeSet<String>,
    issuer: Issuer,
    obstacle: Option<String>,
    current: Option<Current>,
    asked: Option<i64>,
}

impl Sight {
    /// Whether `wanted` looks like this.
    fn is_of(&self, wanted: &Wanted) -> bool {
        self.names.iter().eq(wanted.hosts.keys())
            && self.issuer == wanted.issuer
            && self.obstacle.as_deref() == wanted.obstacle()
            && self.current == wanted.current
            && self.asked == wanted.state.asked
    }

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
        let site = Arc::new(Site::new((vault, connect, reach), (home, clock), answers, told));
        let (jobs, running, states, rests) = (JoinSet::new(), HashMap::new(), HashMap::new(), HashMap::new());
        Self { site, wanted, leads, jobs, running, states, rests }
    }

    /// Runs until nobody wants anything any more.
    pub async fn run(self) {
        let site = Arc::clone(&self.site);
        let kept = (Arc::clone(&site.vault), site.home.clone(), site.clock.clone());
        let forgetting = orphans::forget(kept, self.wanted.clone(), self.leads.clone());
        tokio::select! {
            () = self.order() => {}
            () = forgetting => {}
        }
    }

    async fn order(mut self) {
        loop {
            if *self.leads.borrow_and_update() {
                self.start();
            } else {
                self.jobs.abort_all();
                self.running.clear();
                self.states.clear();
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
        let by_secret: HashMap<_, _> = wanted.iter().map(|it| (&it.secret, it)).collect();
        self.rests.retain(|secret, _| by_secret.contains_key(secret));
        self.states.retain(|secret, kept| by_secret.get(secret).is_some_and(|it| it.state.revision < kept.revision));
        let running: HashSet<CertificateKey> = self.running.values().cloned().collect();
        let mut ledger = None;
        for it in wanted.iter() {
            if self.running.len() >= MOST {
                return;
            }
            let rests = self.rests.get(&it.secret).is_some_and(|(seen, until)| *until > now && seen.is_of(it));
            if rests || running.contains(&it.secret) {
                continue;
            }
            let turn = match self.site.next(it) {
                Next::Wait(until) => {
                    self.rests.insert(it.secret.clone(), (Sight::of(it), until));
                    continue;
                }
                Next::Order(why) if replaces(it, why).is_none() => {
                    let ledger = ledger.get_or_insert_with(|| self.ledger(&wanted, &running, now));
                    ledger.turn(it, !why.renews(), now)
                }
                Next::Order(_) | Next::Resume | Next::AskRenewal => Turn { at: now, why: None },
            };
            let (site, sight, it) = (Arc::clone(&self.site), Sight::of(it), it.clone());
            let secret = it.secret.clone();
            let job = self.jobs.spawn(async move {
                let (outcome, after) = attempt(&site, &it, &turn).await;
                (sight, outcome, after)
            });
            self.running.insert(job.id(), secret);
        }
    }

    /// What all certificates have used of what authorities grant; those with an attempt under way are taken to order.
    fn ledger<'w>(&self, all: &'w [Wanted], running: &HashSet<CertificateKey>, now: i64) -> Ledger<'w> {
        let state = |it: &'w Wanted| self.states.get(&it.secret).unwrap_or(&it.state);
        let mut ledger = Ledger::new(all.iter().map(|it| (it, state(it))), now);
        for it in all.iter().filter(|it| running.contains(&it.secret) && state(it).order.is_none()) {
            ledger.reserve(it, it.current.is_none(), now);
        }
        ledger
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
        let until = match after.as_ref().map(|after| self.site.next(after)) {
            Some(Next::Wait(until)) => until,
            // Where nothing was done though something is to be, others are in the way: they are not tried again at once.
            Some(_) if outcome != Outcome::Idle => now,
            _ => now + UNKEPT,
        };
        self.states.extend(after.map(|after| (secret.clone(), after.state)));
        // As it was when the attempt began: if another is wanted by now, that is looked at anew.
        self.rests.insert(secret, (sight, until));
    }
}
