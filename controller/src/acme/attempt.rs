// SPDX-License-Identifier: Apache-2.0
//! One attempt at one certificate: whatever is next for it, as far as it goes. What the authority is told of is kept
//! before, and all that is asked can be asked again, so that an attempt may end anywhere and the next goes on.

mod records;

mod installing;

mod ordering;

use std::collections::HashMap;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use instant_acme::{CertificateIdentifier, Error};
use tokio::sync::watch;
use torana_ir::CertificateKey;

use super::accounts::Accounts;
use super::checks::Reach;
use super::courier::{Connect, listening};
use super::failure::{Failure, SLOW, Verdict};
use super::record::Record;
use super::told::{Happening, Told};
use super::vault::{Kept, Vault};
use crate::issuance::{
    Answer, Attempt, BUDGET, Current, DIRECTORY, LABEL, Next, Renewal, State, Trouble, Turn, Wanted, Why, next,
    next_try,
};

/// So long failed validations count.
const HOUR: i64 = 3600;
/// An authority that could not be asked about renewals is asked again after this, in seconds.
const UNASKED: i64 = HOUR;

/// What time it is, in seconds since 1970.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> i64 + Send + Sync>);

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}

impl Clock {
    /// One that `tell`s.
    pub fn new(tell: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    pub(super) fn now(&self) -> i64 {
        (self.0)()
    }
}

/// What all attempts share.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) vault: Arc<dyn Vault>,
    pub(super) accounts: Accounts,
    pub(super) reach: Arc<dyn Reach>,
    /// Namespace of what Torana keeps for itself.
    pub(super) home: String,
    pub(super) clock: Clock,
    /// Answers that all proxies know.
    pub(super) answers: watch::Receiver<BTreeSet<Answer>>,
    /// Hears what happens.
    pub(super) told: Told,
    /// When authorities may be asked about renewals again that could not be.
    unasked: Mutex<HashMap<CertificateKey, i64>>,
}

impl Site {
    pub(super) fn new(
        (vault, connect, reach): (Arc<dyn Vault>, Arc<dyn Connect>, Arc<dyn Reach>),
        (home, clock): (String, Clock),
        answers: watch::Receiver<BTreeSet<Answer>>,
        told: Told,
    ) -> Self {
        let accounts = Accounts::new(Arc::clone(&vault), connect, home.clone());
        Self { vault, accounts, reach, home, clock, answers, told, unasked: Mutex::default() }
    }

    /// What is next for a certificate.
    pub(super) fn next(&self, wanted: &Wanted) -> Next {
        let now = self.clock.now();
        let unasked = self.unasked.lock().unwrap_or_else(PoisonError::into_inner);
        next(wanted, unasked.get(&wanted.secret).copied().unwrap_or(now), now)
    }

    fn could_not_ask(&self, secret: &CertificateKey) {
        let until = self.clock.now() + UNASKED;
        self.unasked.lock().unwrap_or_else(PoisonError::into_inner).insert(secret.clone(), until);
    }
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// There was nothing to do.
    Idle,
    /// It is known when the authority wants the certificate to be renewed; or that it does not say.
    Asked,
    /// The authority would sign: it was convinced where nothing counts.
    Rehearsed,
    /// The certificate is there.
    Issued,
    /// It failed.
    Failed,
}

/// Does what is next for `wanted`; tells what came of it, and how it stands then, if that is known. A new certificate is
/// ordered in its `turn`.
pub(super) async fn attempt(site: &Site, wanted: &Wanted, turn: &Turn) -> (Outcome, Option<Wanted>) {
    let mut record = match Record::open(Arc::clone(&site.vault), &site.home, &wanted.secret).await {
        Ok(record) => record,
        Err(failure) => return (unkept(site, wanted, &failure), None),
    };
    record.describe(wanted);
    // Boxed: what is carried through all of an order is large, and most attempts end before.
    let (done, asked) = listening(Box::pin(go_on(site, wanted, &mut record, turn))).await;
    let (outcome, current) = match done {
        Ok(done) => {
            if done.0 == Outcome::Issued {
                let is_first = wanted.current.is_none();
                site.told.tell(wanted, if is_first { Happening::Issued } else { Happening::Renewed });
            }
            done
        }
        Err(failure) => match fail(site, wanted, &mut record, (failure, asked)).await {
            Ok(()) => (Outcome::Failed, wanted.current.clone()),
            Err(failure) => return (unkept(site, wanted, &failure), None),
        },
    };
    (outcome, Some(Wanted { state: record.state, current, ..wanted.clone() }))
}

fn unkept(site: &Site, wanted: &Wanted, failure: &Failure) -> Outcome {
    tracing::warn!(certificate = %wanted.secret, why = failure.message, "nothing is done for a certificate");
    site.told.tell(wanted, Happening::Failed { reason: failure.reason, message: &failure.message });
    Outcome::Failed
}

type Done = (Outcome, Option<Current>);

/// As the vault has it, for translation may be late.
async fn go_on(site: &Site, wanted: &Wanted, record: &mut Record, turn: &Turn) -> Result<Done, Failure> {
    let current = match site.vault.read(&wanted.secret).await? {
        None => None,
        Some(found) if !found.kept.labels.contains_key(LABEL) => {
            // Somebody else's, and nobody else touches it.
            return Ok((Outcome::Idle, wanted.current.clone()));
        }
        Some(found) => found.kept.current(&wanted.secret),
    };
    let fresh = Wanted { state: record.state.clone(), current, ..wanted.clone() };
    match site.next(&fresh) {
        Next::Wait(_) => Ok((Outcome::Idle, fresh.current)),
        Next::AskRenewal => {
            ask_renewal(site, &fresh, record).await?;
            Ok((Outcome::Asked, fresh.current))
        }
        Next::Resume => ordering::resume(site, &fresh, record).await,
        Next::Order(why) => {
            let replaced = replaces(&fresh, why);
            if let (None, Some(limit)) = (&replaced, &turn.why) {
                return Err(Failure { until: Some(turn.at), ..Failure::later(BUDGET, limit) });
            }
            tracing::info!(certificate = %fresh.secret, issuer = fresh.issuer.name, ?why, "a certificate is ordered");
            ordering::place(site, &fresh, record, (why, replaced)).await
        }
    }
}

/// Asks when the certificate is to be renewed. That nobody says so is no failure: its age says it, too.
async fn ask_renewal(site: &Site, wanted: &Wanted, record: &mut Record) -> Result<(), Failure> {
    let Some(id) = wanted.current.as_ref().and_then(|current| current.id.clone()) else { return Ok(()) };
    let answer = async {
        let identifier = identifier(&id).ok_or(Error::Str("no id"))?;
        Ok::<_, Failure>(site.accounts.of(&wanted.issuer).await?.renewal_info(&identifier).await?)
    };
    let (info, after) = match answer.await {
        Ok(answer) => answer,
        Err(Failure { message: why, .. }) => {
            tracing::debug!(certificate = %wanted.secret, why, "the authority does not say when to renew");
            site.could_not_ask(&wanted.secret);
            return Ok(());
        }
    };
    let window = (info.suggested_window.start.unix_timestamp(), info.suggested_window.end.unix_timestamp());
    let after = i64::try_from(after.as_secs()).unwrap_or(i64::MAX);
    let before = record.state.renewal.as_ref();
    let renewal = Renewal::new(&id, window, (site.clock.now(), after), fastrand::u16(..), before);
    record.state.renewal = Some(renewal);
    record.save().await
}

/// The id of a certificate as the library has it.
fn identifier(id: &str) -> Option<CertificateIdentifier<'_>> {
    let (signer, serial) = id.split_once('.')?;
    Some(CertificateIdentifier { authority_key_identifier: signer.into(), serial: serial.into() })
}

/// Keeps that an attempt failed, and when the next one is.
async fn fail(
    site: &Site,
    wanted: &Wanted,
    record: &mut Record,
    (failure, asked): (Failure, Option<std::time::Duration>),
) -> Result<(), Failure> {
    let now = site.clock.now();
    let state = &mut record.state;
    // Where it is known when it goes on nothing failed: its turn has not come.
    let has_failed = failure.until.is_none();
    state.failures = state.failures.saturating_add(has_failed.into());
    state.refused.retain(|at| *at > now - HOUR);
    if failure.verdict == Verdict::Refused {
        state.refused.push(now);
    }
    let asked = asked.and_then(|asked| now.checked_add(i64::try_from(asked.as_secs()).ok()?));
    let left = wanted.current.as_ref().map(|current| current.not_after - now);
    let (failures, refused, chance) = (state.failures, state.refused.as_slice(), fastrand::u16(..));
    let attempt = Attempt { failures, refused, left, asked, now, chance };
    let at = failure.until.unwrap_or_else(|| next_try(attempt));
    state.next_try = Some(at);
    // Whoever is asked to wait does, whatever he does otherwise.
    state.tried = (has_failed && asked.is_none()).then(|| wanted.issuer.terms());
    let is_rehearsal = state.order.as_ref().is_some_and(|order| order.is_rehearsal);
    // A rehearsal that cannot be held is not in the way of what is rehearsed.
    let gives_up = is_rehearsal && failure.verdict != Verdict::Refused && !failure.is_ours();
    if failure.verdict == Verdict::Refused {
        state.rehearse = wanted.issuer.rehearsal.is_some();
    } else if gives_up && failure.reason == SLOW {
        state.rehearse = false;
    }
    let Failure { reason, message, verdict, .. } = failure;
    if has_failed {
        site.told.tell(wanted, Happening::Failed { reason, message: &message });
        tracing::warn!(certificate = %wanted.secret, reason, message, next = at - now, "a certificate is not there yet");
    } else {
        tracing::info!(certificate = %wanted.secret, message, next = at - now, "an order waits");
    }
    state.trouble = Some(Trouble { reason: reason.to_owned(), message, at: now });
    if verdict != Verdict::Later || gives_up {
        ordering::give_up(wanted, record).await;
    }
    record.save().await
}

/// Nothing is left of the attempts that led to it.
fn succeed(state: &mut State, now: i64) {
    let State { certificate, issuer, hosts, order, mut spent, revision, .. } = std::mem::take(state);
    if let Some(order) = order {
        spent.signed(order.placed, now);
    }
    *state = State { certificate, issuer, hosts, spent, revision, issued: Some(now), ..State::default() };
}

/// What is written into the Secret of a certificate, over what is there.
fn issued(kept: Option<Kept>, wanted: &Wanted, (chain, key): (String, String)) -> Kept {
    let Kept { mut labels, mut annotations, .. } = kept.unwrap_or_default();
    labels.insert(LABEL.to_owned(), "certificate".to_owned());
    annotations.insert(DIRECTORY.to_owned(), wanted.issuer.directory.clone());
    let data = [("tls.crt", chain), ("tls.key", key)].map(|(name, text)| (name.to_owned(), text.into_bytes()));
    Kept { secret_type: "kubernetes.io/tls".to_owned(), labels, annotations, data: BTreeMap::from(data) }
}

/// Whether the certificate takes the place of one, of which the authority is told.
pub(super) fn replaces(wanted: &Wanted, why: Why) -> Option<String> {
    let renewal = wanted.state.renewal.as_ref().filter(|_| why.renews())?;
    let id = wanted.current.as_ref()?.id.as_ref()?;
    (renewal.certificate == *id).then(|| id.clone())
}
