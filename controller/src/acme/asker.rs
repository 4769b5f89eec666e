// SPDX-License-Identifier: Apache-2.0
//! Names that clients ask for: whoever knows which names are ours is asked, and what he agrees to is kept. What follows
//! from it (certificates, listeners that serve them) is translation's. Only while this replica leads.
//!
//! ```text
//! proxies ─Demand─▶ asker ─GET─▶ service
//!    ▲                └─Consents─▶ vault ─▶ translation ─▶ engine, proxies
//! ```
//!
//! Strangers may ask for any name: everything is bounded, and what was not agreed to is not asked about again for a while.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use torana_ir::{CertificateKey, Demand};

use super::attempt::Clock;
use super::consents::{self, Book};
use super::service::{Call, CallError, Service};
use super::vault::Vault;
use crate::issuance::{MOST_CONSENTS, Offer};

/// What a service gets to answer: the client waits.
const DEADLINE: Duration = Duration::from_secs(5);
/// Questions at once …
const AT_ONCE: usize = 8;
/// … and with those that wait for their turn.
const MOST_QUESTIONS: usize = 256;
/// What was agreed to is known everywhere after so long, in seconds; who said no is asked again after so long, and who did
/// not say.
const AFTER_YES: i64 = 30;
const AFTER_NO: i64 = 600;
const AFTER_NOTHING: i64 = 30;
/// Of those who do not say it is told so often, in seconds.
const TOLD: i64 = 60;
/// Answers that may wait for others before they are kept.
const MOST_UNKEPT: usize = 64;
/// Names that are remembered because of it.
const MOST_RESTING: usize = 10_000;
/// What was agreed to is asked about again after so long, in seconds.
const DAY: i64 = 86_400;
/// How often it is looked for that.
const REVIEW: Duration = Duration::from_mins(10);

/// What the asker is given.
#[derive(Debug)]
pub struct AskerParts {
    /// Where consents are kept, and the namespace.
    pub vault: (Arc<dyn Vault>, String),
    /// What time it is.
    pub clock: Clock,
    /// Listeners whose certificates are obtained on demand.
    pub offers: watch::Receiver<Arc<Vec<Offer>>>,
    /// What clients ask for.
    pub demands: mpsc::Receiver<Demand>,
    /// Whether this replica acts.
    pub leads: watch::Receiver<bool>,
    /// Counts what was said.
    pub tally: Tally,
}

/// Counts answers: `yes`, `no` and `unknown`.
#[derive(Clone)]
pub struct Tally(Arc<dyn Fn(&'static str) + Send + Sync>);

impl Tally {
    /// One that calls `count`.
    pub fn new(count: impl Fn(&'static str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(count))
    }
}

impl fmt::Debug for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tally")
    }
}

/// A name, for listeners that name a Secret.
type Question = (CertificateKey, String);

/// What a service says.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    Yes,
    No,
    /// It does not say.
    Unknown(String),
}

/// Asks.
#[derive(Debug)]
pub struct Asker {
    vault: Arc<dyn Vault>,
    home: String,
    clock: Clock,
    offers: watch::Receiver<Arc<Vec<Offer>>>,
    demands: mpsc::Receiver<Demand>,
    leads: watch::Receiver<bool>,
    turns: Arc<Semaphore>,
    jobs: JoinSet<(Question, Verdict)>,
    asking: BTreeSet<Question>,
    rests: HashMap<Question, i64>,
    /// What was agreed to, or not any more, and is not kept yet.
    unkept: BTreeMap<CertificateKey, BTreeMap<String, bool>>,
    tally: Tally,
    /// When it was told last that somebody does not say.
    told: i64,
}

impl Asker {
    /// One that has asked nobody yet.
    pub fn new(parts: AskerParts) -> Self {
        let AskerParts { vault: (vault, home), clock, offers, demands, leads, tally } = parts;
        Self {
            vault,
            home,
            clock,
            offers,
            demands,
            leads,
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            jobs: JoinSet::new(),
            asking: BTreeSet::new(),
            rests: HashMap::new(),
            unkept: BTreeMap::new(),
            tally,
            told: 0,
        }
    }

    /// Runs until nobody can ask for anything any more.
    pub async fn run(mut self) {
        let mut review = tokio::time::interval(REVIEW);
        loop {
            tokio::select! {
                demand = self.demands.recv() => match demand {
                    Some(demand) => self.demanded(&demand),
                    None => return,
                },
                Some(answered) = self.jobs.join_next() => self.ended(answered).await,
                _ = review.tick() => self.review().await,
                changed = self.leads.changed() => match changed {
                    Ok(()) => self.lead(),
                    Err(_) => return,
                },
            }
        }
    }

    /// Whoever does not lead forgets what he was about to do.
    fn lead(&mut self) {
        if !*self.leads.borrow_and_update() {
            self.jobs.abort_all();
            self.asking.clear();
            self.unkept.clear();
        }
    }

    fn demanded(&mut self, demand: &Demand) {
        let offers = Arc::clone(&self.offers.borrow());
        let host = demand.host.as_str();
        let offer = offers.iter().find(|offer| offer.listener == demand.listener && offer.hostname.covers(host));
        // What was agreed to is on its way.
        let Some(offer) = offer.filter(|offer| !offer.consents.hosts.contains_key(host)) else { return };
        if offer.consents.hosts.len() >= MOST_CONSENTS {
            return tracing::warn!(secret = %offer.secret, host, "{MOST_CONSENTS} names were agreed to: no more are asked about");
        }
        // A name below which others register theirs is nobody's.
        if psl::domain_str(host).is_some() {
            self.ask(offer, host);
        }
    }

    /// Asks about a name, unless that is done already, or was not long ago.
    fn ask(&mut self, offer: &Offer, host: &str) {
        let (question, now) = ((offer.secret.clone(), host.to_owned()), self.clock.now());
        let rests = self.rests.get(&question).is_some_and(|until| *until > now);
        if !*self.leads.borrow()
            || rests
            || self.asking.len() >= MOST_QUESTIONS
            || !self.asking.insert(question.clone())
        {
            return;
        }
        let (issuer, turns) = (offer.issuer.clone(), Arc::clone(&self.turns));
        self.jobs.spawn(async move {
            // Never closed.
            let _turn = turns.acquire().await;
            let service = issuer
                .ask
                .as_ref()
                .map(|ask| Service::of(&issuer, &ask.url, ask.ca_bundle.as_ref(), ask.headers_secret_ref.as_ref()));
            let verdict = match service {
                None => Verdict::Unknown(format!("{} does not say who agrees to names", issuer.name)),
                Some(Err(why)) => Verdict::Unknown(why),
                Some(Ok(service)) => verdict(&service, &question.1).await,
            };
            (question, verdict)
        });
    }

    async fn ended(&mut self, answered: Result<(Question, Verdict), JoinError>) {
        match answered {
            Ok((question, verdict)) => self.answered(question, &verdict),
            // What was broken off is asked about again; of which it was is not known.
            Err(_) => self.asking.clear(),
        }
        self.keep().await;
    }

    fn answered(&mut self, question: Question, verdict: &Verdict) {
        let now = self.clock.now();
        self.asking.remove(&question);
        let (secret, host) = &question;
        let (answer, pause) = match verdict {
            Verdict::Yes => {
                tracing::info!(host, %secret, "a name that clients ask for is agreed to");
                self.unkept.entry(secret.clone()).or_default().insert(host.clone(), true);
                ("yes", AFTER_YES)
            }
            Verdict::No if self.is_agreed(&question) => {
                tracing::info!(host, %secret, "a name is not agreed to any more: its certificate is not served");
                self.unkept.entry(secret.clone()).or_default().insert(host.clone(), false);
                ("no", AFTER_NO)
            }
            Verdict::No => ("no", AFTER_NO),
            Verdict::Unknown(why) if self.told + TOLD <= now => {
                self.told = now;
                tracing::warn!(host, %secret, why, "nobody says whether a name may have a certificate");
                ("unknown", AFTER_NOTHING)
            }
            Verdict::Unknown(_) => ("unknown", AFTER_NOTHING),
        };
        (self.tally.0)(answer);
        if self.rests.len() >= MOST_RESTING {
            self.rests.retain(|_, until| *until > now);
        }
        if self.rests.len() < MOST_RESTING {
            self.rests.insert(question, now + pause);
        }
    }

    fn is_agreed(&self, (secret, host): &Question) -> bool {
        let offers = self.offers.borrow();
        offers.iter().any(|offer| offer.secret == *secret && offer.consents.hosts.contains_key(host))
    }

    /// Keeps what was said: at once if a client waits for it, else when nothing more is about to be said.
    async fn keep(&mut self) {
        let is_new = |(secret, said): (&CertificateKey, &BTreeMap<String, bool>)| {
            said.iter().any(|(host, agreed)| *agreed && !self.is_agreed(&(secret.clone(), host.clone())))
        };
        let unkept: usize = self.unkept.values().map(BTreeMap::len).sum();
        if !self.asking.is_empty() && unkept < MOST_UNKEPT && !self.unkept.iter().any(is_new) {
            return;
        }
        let now = self.clock.now();
        for (secret, said) in std::mem::take(&mut self.unkept) {
            let kept = Book::new(Arc::clone(&self.vault), &self.home, &secret).write(&said, now).await;
            if let Err(why) = kept {
                // It is asked for again.
                tracing::warn!(%secret, why, "what was agreed to cannot be kept");
            }
        }
    }

    /// Asks again about what was agreed to long ago, and forgets what nobody has offered for long.
    async fn review(&mut self) {
        if !*self.leads.borrow() {
            return;
        }
        let (offers, now) = (Arc::clone(&self.offers.borrow()), self.clock.now());
        for offer in offers.iter() {
            let old = offer.consents.hosts.iter().filter(|(_, agreed)| **agreed + DAY <= now);
            old.for_each(|(host, _)| self.ask(offer, host));
        }
        let offered = offers.iter().map(|offer| offer.secret.clone()).collect();
        if let Err(why) = consents::forget(&*self.vault, &offered, now).await {
            tracing::debug!(%why, "consents that nobody needs are looked for later");
        }
    }
}

/// What a service says of a name.
async fn verdict(service: &Service, host: &str) -> Verdict {
    // What may not be asked in cleartext is no valid issuer.
    let call = Call { body: None, query: Some(("domain", host)), in_cleartext: true };
    match service.call(call, DEADLINE).await {
        Ok(answer) if answer.status.is_success() => Verdict::Yes,
        Ok(answer) if answer.status.is_client_error() && answer.status != http::StatusCode::TOO_MANY_REQUESTS => {
            Verdict::No
        }
        Ok(answer) => Verdict::Unknown(format!("{} answers {}", service.shown(), answer.status)),
        Err(CallError::Settings(why)) => Verdict::Unknown(why),
        Err(CallError::Failed(why)) => Verdict::Unknown(format!("{}: {why}", service.shown())),
    }
}

#[cfg(test)]
mod tests;
