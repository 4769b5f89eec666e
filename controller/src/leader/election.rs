// SPDX-License-Identifier: Apache-2.0
//! Who leads: the rules of a Lease, as a machine that is told the time and the answers. Pure.
//!
//! * A Lease is judged by how long *this* process has seen it unchanged, never by the times that stand in it: clocks of
//!   two machines need not agree (as client-go does it).
//! * The holder counts from the moment **before** it asked, and stops leading well before anybody else may take over.
//! * Every acquisition raises `leaseTransitions`, even one's own again: it is the *epoch*, by which a proxy tells a
//!   leader from one that was deposed and does not know it yet.
//! * Every write is based on the version that was read, so of two that try one succeeds.

use std::time::Duration;

use crate::leader::Leadership;

/// What a Lease says, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// Who holds it; `""`: nobody.
    pub(super) holder: String,
    /// How often it changed hands.
    pub(super) transitions: i32,
    /// For how long after its last change it holds.
    pub(super) duration: Duration,
    /// `metadata.resourceVersion`.
    pub(super) version: String,
}

/// How long things take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// What others wait for after the last renewal.
    pub duration: Duration,
    /// The holder leads no longer than this after it began a renewal that succeeded. Less than `duration`, by more than
    /// clocks drift in that time.
    pub deadline: Duration,
    /// The holder renews so often …
    pub renew: Duration,
    /// … and tries again after this when it failed.
    pub retry: Duration,
    /// The others look so often.
    pub look: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(15),
            deadline: Duration::from_secs(10),
            renew: Duration::from_secs(5),
            retry: Duration::from_secs(1),
            look: Duration::from_secs(2),
        }
    }
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing until then.
    Wait(Duration),
    /// Read the Lease.
    Read,
    /// Write it.
    Write(Proposal),
}

/// A Lease as it should become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Proposal {
    /// `leaseTransitions`.
    pub(super) transitions: i32,
    /// Whether the holder changes, or begins anew.
    pub(super) is_new: bool,
    /// The version that this is based on; `None`: there is none yet, create it.
    pub(super) base: Option<String>,
}

/// What came of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// It was read.
    Found(Record),
    /// It was written.
    Written(Record),
    /// There is none.
    Absent,
    /// Somebody else was faster.
    Conflict,
    /// No answer, or no sensible one.
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Mandate {
    epoch: i32,
    until: Duration,
}

/// One candidate. All times are since some moment of this process, by a clock that only goes forward.
#[derive(Debug, Clone)]
pub(super) struct Election {
    identity: String,
    terms: Terms,
    /// The Lease as it was seen last, and since when it has been like that.
    seen: Option<(Record, Duration)>,
    is_absent: bool,
    mandate: Option<Mandate>,
    /// The epoch of a mandate that ran out while nobody answered.
    stranded: Option<i32>,
    /// The highest epoch known.
    highest: i32,
    due: Duration,
    must_read: bool,
    /// Conflicts since the last write that succeeded.
    conflicts: u32,
}

impl Election {
    /// Knows nothing yet. A Lease that has to be created begins above `floor`: should somebody delete it, proxies that
    /// remember its epochs still take the next leader's.
    pub(super) fn new(identity: &str, terms: Terms, floor: i32) -> Self {
        Self {
            identity: identity.to_owned(),
            terms,
            seen: None,
            is_absent: false,
            mandate: None,
            stranded: None,
            highest: floor,
            due: Duration::ZERO,
            must_read: true,
            conflicts: 0,
        }
    }

    /// Who leads, as far as this candidate may say.
    pub(super) fn leadership(&self, now: Duration) -> Leadership {
        match (&self.mandate, self.stranded) {
            (Some(mandate), _) if now < mandate.until => Leadership::Leading { epoch: epoch(mandate.epoch) },
            (Some(mandate), _) => Leadership::Stranded { epoch: epoch(mandate.epoch) },
            (None, Some(stranded)) => Leadership::Stranded { epoch: epoch(stranded) },
            (None, None) => Leadership::Following,
        }
    }

    /// When the mandate ends, unless it is renewed before.
    pub(super) fn until(&self) -> Option<Duration> {
        self.mandate.as_ref().map(|mandate| mandate.until)
    }

    /// What to do now.
    pub(super) fn step(&mut self, now: Duration) -> Step {
        if self.mandate.as_ref().is_some_and(|mandate| mandate.until <= now) {
            // Too late to renew: what stands in the Lease must be seen first.
            self.stranded = self.mandate.take().map(|mandate| mandate.epoch);
            (self.must_read, self.due) = (true, now);
        }
        if now < self.due {
            return Step::Wait(self.due);
        }
        if self.must_read {
            return Step::Read;
        }
        match (&self.seen, &self.mandate) {
            (Some((record, _)), Some(mandate)) => {
                Step::Write(Proposal { transitions: mandate.epoch, is_new: false, base: Some(record.version.clone()) })
            }
            (Some((record, since)), None) if self.may_take(record, *since, now) => Step::Write(Proposal {
                transitions: self.highest.max(record.transitions).saturating_add(1),
                is_new: true,
                base: Some(record.version.clone()),
            }),
            (None, _) if self.is_absent => {
                Step::Write(Proposal { transitions: self.highest.saturating_add(1), is_new: true, base: None })
            }
            _ => Step::Read,
        }
    }

    /// Takes what came of the step that began at `sent`.
    pub(super) fn answer(&mut self, sent: Duration, now: Duration, answer: Answer) {
        match answer {
            Answer::Found(record) => self.found(record, now),
            Answer::Written(record) => {
                self.highest = self.highest.max(record.transitions);
                self.mandate = Some(Mandate { epoch: record.transitions, until: sent + self.terms.deadline });
                self.stranded = None;
                self.note(record, now);
                (self.must_read, self.due, self.conflicts) = (false, sent + self.terms.renew, 0);
            }
            Answer::Absent => {
                // Whoever creates it first leads.
                (self.seen, self.mandate, self.stranded) = (None, None, None);
                (self.is_absent, self.must_read, self.due) = (true, false, now);
            }
            Answer::Conflict => {
                // Seen at once who was faster. Where it happens again and again, nobody gains by asking faster.
                self.due = if self.conflicts == 0 { now } else { now + self.terms.retry };
                (self.must_read, self.conflicts) = (true, self.conflicts.saturating_add(1));
            }
            Answer::Failed => {
                self.must_read |= self.mandate.is_none();
                let pause = if self.mandate.is_some() { self.terms.retry } else { self.terms.look };
                self.due = now + pause;
            }
        }
    }

    /// What to write at the end, so that nobody has to wait.
    pub(super) fn release(&self, now: Duration) -> Option<Proposal> {
        let mandate = self.mandate.as_ref().filter(|mandate| now < mandate.until)?;
        let (record, _) = self.seen.as_ref()?;
        Some(Proposal { transitions: mandate.epoch, is_new: false, base: Some(record.version.clone()) })
    }

    fn found(&mut self, record: Record, now: Duration) {
        self.highest = self.highest.max(record.transitions);
        self.must_read = false;
        let is_mine = record.holder == self.identity;
        self.note(record, now);
        let Some((record, since)) = &self.seen else { return };
        match &self.mandate {
            // Somebody touched it, but it is still ours: renew at once.
            Some(mandate) if is_mine && record.transitions == mandate.epoch => self.due = now,
            Some(_) => {
                (self.mandate, self.stranded) = (None, None);
                self.due = now;
            }
            None => {
                if !is_mine && !record.holder.is_empty() {
                    self.stranded = None;
                }
                let open = *since + record.duration;
                self.due = if self.may_take(record, *since, now) { now } else { open.min(now + self.terms.look) };
                // Nothing to write yet: look again first.
                self.must_read = self.due > now;
            }
        }
    }

    fn note(&mut self, record: Record, now: Duration) {
        self.is_absent = false;
        let is_same = self.seen.as_ref().is_some_and(|(seen, _)| *seen == record);
        if !is_same {
            self.seen = Some((record, now));
        }
    }

    /// It is free, or ran out, or is ours from before (another process under this name, which is gone).
    fn may_take(&self, record: &Record, since: Duration, now: Duration) -> bool {
        record.holder.is_empty() || record.holder == self.identity || now >= since + record.duration
    }
}

fn epoch(transitions: i32) -> u64 {
    u64::try_from(transitions).unwrap_or_default()
}

#[cfg(test)]
mod tests;
