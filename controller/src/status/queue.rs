// SPDX-License-Identifier: Apache-2.0
//! Whose turn it is: names of objects that may have to be written, each once, however often it changes. Time and chance
//! are arguments.
//!
//! * What is due of Gateways goes before what is due of routes.
//! * A first change goes at once. Where only numbers follow soon after a write, they wait until it is quiet.
//! * One write of an object at a time; what changes meanwhile is the next write.
//! * What fails comes again later and later; while the API server itself fails, everything waits.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use torana_crds::ObjectRef;

use crate::api::MOST_ASKED;

/// So long nothing may have changed before numbers are written again …
const QUIET: Duration = Duration::from_millis(300);
/// … unless they have waited so long.
const HOLD: Duration = Duration::from_secs(5);
/// The first wait after a failure, doubled with each up to the longest.
const FIRST_RETRY: Duration = Duration::from_millis(200);
const LONGEST_RETRY: Duration = Duration::from_secs(30);
/// What the API server refuses it will refuse again, until the object or the report changes.
const REFUSED: Duration = Duration::from_mins(5);

/// How soon something should be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Haste {
    /// Only numbers changed.
    WhenQuiet,
    /// Something else did.
    Now,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// There was nothing to write.
    Settled,
    /// It is written.
    Written,
    /// Others write to it too fast.
    Contested,
    /// The API server does not take it.
    Refused,
    /// The API server does not answer, or not sensibly, or asks to wait for so long.
    Unavailable(Duration),
    /// Nothing was tried: somebody else leads.
    Dropped,
}

/// Writes a second, and how many at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Calls a second that are sustained.
    pub per_second: f64,
    /// Calls that may come at once after a pause.
    pub burst: f64,
}

impl Default for Rate {
    fn default() -> Self {
        Self { per_second: 100.0, burst: 100.0 }
    }
}

/// A token bucket.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    rate: Rate,
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    pub(super) fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, tokens: rate.burst, filled: now }
    }

    /// When the next call may be made.
    pub(super) fn next(&mut self, now: Instant) -> Instant {
        let gained = now.saturating_duration_since(self.filled).as_secs_f64() * self.rate.per_second;
        self.tokens = (self.tokens + gained).min(self.rate.burst);
        self.filled = self.filled.max(now);
        let missing = (1.0 - self.tokens).max(0.0) / self.rate.per_second;
        now + Duration::try_from_secs_f64(missing).unwrap_or(LONGEST_RETRY)
    }

    /// A call is made.
    pub(super) fn spend(&mut self) {
        self.tokens -= 1.0;
    }
}

#[derive(Debug, Clone, Default)]
struct Item {
    /// In `ready` under this time, if it waits.
    due: Option<Instant>,
    /// Since when it waits for quiet.
    unquiet: Option<Instant>,
    written: Option<Instant>,
    in_flight: bool,
    again: Option<Haste>,
    failures: u32,
    refused: bool,
}

type Ready = (Instant, u64, ObjectRef);

/// Gateways are few and many look at them: they do not stand in line with a thousand routes.
fn rank(object: &ObjectRef) -> usize {
    usize::from(object.kind.ends_with("Route"))
}

/// Everything that waits, is under way, or was written a moment ago.
#[derive(Debug)]
pub(super) struct Queue {
    items: BTreeMap<ObjectRef, Item>,
    /// Gateways and what belongs to them, then routes; each by time, then in the order of arrival.
    ready: [BTreeSet<Ready>; 2],
    places: BTreeMap<ObjectRef, u64>,
    arrivals: u64,
    bucket: Bucket,
    in_flight: usize,
    at_once: usize,
    paused: Option<Instant>,
    outages: u32,
}

impl Queue {
    /// At most `at_once` under way, at most `rate` a second.
    pub(super) fn new(rate: Rate, at_once: usize, now: Instant) -> Self {
        Self {
            items: BTreeMap::new(),
            ready: [BTreeSet::new(), BTreeSet::new()],
            places: BTreeMap::new(),
            arrivals: 0,
            bucket: Bucket::new(rate, now),
            in_flight: 0,
            at_once,
            paused: None,
            outages: 0,
        }
    }

    /// `object` may have to be written.
    pub(super) fn push(&mut self, object: &ObjectRef, haste: Haste, now: Instant) {
        let item = self.items.entry(object.clone()).or_default();
        if item.in_flight {
            item.again = item.again.max(Some(haste));
            return;
        }
        // What is new may be what the API server takes.
        let before = if item.refused { None } else { item.due };
        item.refused = false;
        let is_recent = item.written.is_some_and(|written| now.saturating_duration_since(written) < HOLD);
        let due = match (before, haste) {
            // It failed, and what is new does not make that better.
            (Some(before), _) if item.failures > 0 => before,
            // It waits for its turn, not for quiet.
            (Some(before), Haste::WhenQuiet) if item.unquiet.is_none() => before,
            (_, Haste::WhenQuiet) if is_recent => {
                let since = *item.unquiet.get_or_insert(now);
                (now + QUIET).min(since + HOLD)
            }
            (before, _) => {
                item.unquiet = None;
                before.map_or(now, |before| before.min(now))
            }
        };
        if item.due != Some(due) {
            self.schedule(object, due);
        }
    }

    fn schedule(&mut self, object: &ObjectRef, due: Instant) {
        self.unschedule(object);
        self.arrivals += 1;
        self.places.insert(object.clone(), self.arrivals);
        self.ready[rank(object)].insert((due, self.arrivals, object.clone()));
        self.items.entry(object.clone()).or_default().due = Some(due);
    }

    fn unschedule(&mut self, object: &ObjectRef) {
        let due = self.items.get_mut(object).and_then(|item| item.due.take());
        if let (Some(due), Some(place)) = (due, self.places.remove(object)) {
            self.ready[rank(object)].remove(&(due, place, object.clone()));
        }
    }

    /// The next one, which is under way from now on; or when to ask again, if there is a time.
    pub(super) fn take(&mut self, now: Instant) -> Result<ObjectRef, Option<Instant>> {
        if self.in_flight >= self.at_once {
            return Err(None);
        }
        let firsts = || self.ready.iter().filter_map(BTreeSet::first);
        let first = firsts().find(|(due, ..)| *due <= now).or_else(|| firsts().min());
        let Some((due, _, object)) = first.cloned() else { return Err(None) };
        let open = due.max(self.bucket.next(now)).max(self.paused.unwrap_or(now));
        if open > now {
            return Err(Some(open));
        }
        self.unschedule(&object);
        let item = self.items.entry(object.clone()).or_default();
        item.in_flight = true;
        self.in_flight += 1;
        Ok(object)
    }

    /// A call is made for the object that was taken.
    pub(super) fn spend(&mut self) {
        self.bucket.spend();
    }

    /// What was taken has ended; `chance` from 0 to 1 spreads retries.
    pub(super) fn done(&mut self, object: &ObjectRef, outcome: Outcome, now: Instant, chance: f64) {
        self.in_flight = self.in_flight.saturating_sub(1);
        let item = self.items.entry(object.clone()).or_default();
        let again = item.again.take();
        item.in_flight = false;
        let mut retry = None;
        match outcome {
            Outcome::Settled | Outcome::Dropped => item.failures = 0,
            Outcome::Written => (item.failures, item.written, item.unquiet) = (0, Some(now), None),
            Outcome::Contested | Outcome::Unavailable(_) => {
                item.failures += 1;
                retry = Some(later(item.failures, chance));
            }
            Outcome::Refused => {
                (item.failures, item.refused) = (0, true);
                retry = Some(REFUSED);
            }
        }
        match outcome {
            Outcome::Unavailable(asked) => {
                self.outages += 1;
                let own = later(self.outages.div_ceil(u32::try_from(self.at_once).unwrap_or(1)), chance);
                self.paused = self.paused.max(Some(now + own.max(asked.min(MOST_ASKED))));
            }
            Outcome::Written | Outcome::Contested | Outcome::Refused => (self.outages, self.paused) = (0, None),
            Outcome::Settled | Outcome::Dropped => {}
        }
        match (retry, again) {
            (Some(retry), again) if again.is_none() || outcome != Outcome::Refused => {
                self.schedule(object, now + retry);
            }
            (_, Some(haste)) => self.push(object, haste, now),
            (_, None) => self.forget(now),
        }
    }

    /// Whether anything waits or is under way.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.ready.iter().all(BTreeSet::is_empty) && self.in_flight == 0
    }

    /// Forgets what was written long ago, from time to time.
    fn forget(&mut self, now: Instant) {
        let ready: usize = self.ready.iter().map(BTreeSet::len).sum();
        if self.items.len() > 2 * (ready + self.in_flight) + 64 {
            self.items.retain(|_, item| {
                let is_recent = item.written.is_some_and(|written| now.saturating_duration_since(written) < HOLD);
                item.due.is_some() || item.in_flight || is_recent
            });
        }
    }
}

/// The wait after so many failures in a row: half of it certain, half by chance.
pub(super) fn later(failures: u32, chance: f64) -> Duration {
    let whole = FIRST_RETRY.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(LONGEST_RETRY);
    whole / 2 + (whole / 2).mul_f64(chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests;
