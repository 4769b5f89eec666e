// SPDX-License-Identifier: Apache-2.0
//! Where the control loop leaves what it knows, and the writer finds what is to be done: the newest report, the acks,
//! what is stored, and whose turn it is. Holds; decides nothing by itself, and never waits.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde_json::Value;
use tokio::sync::Notify;
use torana_crds::{Kind, ObjectRef};

use crate::clock::now;
use crate::report::Report;
use crate::status::changes::{self, Waiting};
use crate::status::events::{self, Event};
use crate::status::patches::{Verdict, verdict};
use crate::status::programmed::{Programmed, Standing};
use crate::status::queue::{Haste, Outcome, Queue, Rate};
use crate::status::stored::Stored;

/// Calls under way at once.
const AT_ONCE: usize = 8;
/// Objects that are looked at under one lock.
const GLANCES: usize = 64;
/// Events that may wait; more are dropped and counted.
const EVENTS: usize = 1024;

/// Shared between the control loop, the writer and the recorder.
#[derive(Debug)]
pub struct Board {
    state: Mutex<State>,
    /// There may be something to write.
    pub(super) changed: Notify,
    /// There may be an Event to tell.
    pub(super) told: Notify,
}

#[derive(Debug)]
struct State {
    report: Report,
    /// Before the first report nothing is known to be missing, so nothing is taken out of any status.
    is_reported: bool,
    programmed: Programmed,
    stored: Stored,
    waiting: Waiting,
    queue: Queue,
    events: VecDeque<Event>,
    dropped: u64,
}

/// What the writer should do next.
#[derive(Debug)]
pub(super) enum Next {
    /// Write this object: ask [`Board::verdict`].
    Write(ObjectRef),
    /// Wait, until then or until something changes.
    Wait(Option<Instant>),
}

impl Default for Board {
    fn default() -> Self {
        Self::new(Rate::default())
    }
}

impl Board {
    /// Nothing is known yet. At most `rate` writes a second.
    pub fn new(rate: Rate) -> Self {
        let state = State {
            report: Report::default(),
            is_reported: false,
            programmed: Programmed::default(),
            stored: Stored::default(),
            waiting: Waiting::default(),
            queue: Queue::new(rate, AT_ONCE, Instant::now()),
            events: VecDeque::new(),
            dropped: 0,
        };
        Self { state: Mutex::new(state), changed: Notify::new(), told: Notify::new() }
    }

    /// Takes an object as the watch yields it: raw, with its status. Only kinds with a status of Torana's are kept.
    /// Others' objects need not be given: what is stored of them is read should it ever matter.
    pub fn observe(&self, raw: &Value) {
        let mut state = self.state();
        if let Some(object) = state.stored.observe(raw) {
            // Our own news come by `report`; this repairs what somebody else overwrote.
            state.queue.push(&object, Haste::Now, Instant::now());
            drop(state);
            self.changed.notify_one();
        }
    }

    /// An object is gone.
    pub fn remove(&self, object: &ObjectRef) {
        self.state().stored.remove(object);
    }

    /// A kind is listed anew: see [`Stored::relisted`].
    pub fn relisted(&self, kind: Kind) {
        self.state().stored.relisted(kind);
    }

    /// Takes a report, and how the Gateways stand **after** what belongs to it was published. Not to be called before
    /// every kind has been listed once: what is missing in the report is taken out of the status.
    pub fn report(&self, report: &Report, gateways: BTreeMap<ObjectRef, Standing>) {
        self.state().report(report, gateways, Instant::now());
        self.changed.notify_one();
        self.told.notify_one();
    }

    /// Takes how the Gateways stand now, under the same report.
    pub fn acked(&self, gateways: BTreeMap<ObjectRef, Standing>) {
        self.state().acked(gateways, Instant::now());
        self.changed.notify_one();
    }

    /// Takes the bundle versions of the installed CRDs of Gateway API.
    pub fn installed(&self, bundles: BTreeSet<String>) {
        let mut state = self.state();
        if state.programmed.bundles != bundles {
            state.programmed.bundles = bundles;
            let classes = state.of_kind(Kind::GatewayClass);
            for class in &classes {
                state.queue.push(class, Haste::Now, Instant::now());
            }
            drop(state);
            self.changed.notify_one();
        }
    }

    /// Everything is to be looked at: this replica leads from now on.
    pub(super) fn look_at_all(&self) {
        let mut state = self.state();
        let now = Instant::now();
        let objects: BTreeSet<ObjectRef> = state.report.objects.keys().chain(state.stored.objects()).cloned().collect();
        // Gateways are few and many look at them.
        let (routes, frame): (Vec<_>, Vec<_>) = objects.iter().partition(|object| object.kind.ends_with("Route"));
        frame.into_iter().chain(routes).for_each(|object| state.queue.push(object, Haste::Now, now));
    }

    /// Whose turn it is; objects about which there is nothing to write are passed over.
    pub(super) fn next(&self) -> Next {
        self.state().next(Instant::now(), now())
    }

    /// What there is to do about an object now.
    pub(super) fn verdict(&self, object: &ObjectRef) -> Verdict {
        self.state().verdict(object, now())
    }

    /// The API version that an object is written in.
    pub(super) fn version(&self, object: &ObjectRef) -> String {
        let kind = object.known_kind();
        kind.map(|kind| self.state().stored.version(kind).to_owned()).unwrap_or_default()
    }

    /// A call is made.
    pub(super) fn spend(&self) {
        self.state().queue.spend();
    }

    /// The API server answered with this object.
    pub(super) fn learn(&self, raw: &Value) {
        self.state().stored.learn(raw);
    }

    /// An attempt has ended.
    pub(super) fn done(&self, object: &ObjectRef, outcome: Outcome) {
        self.state().queue.done(object, outcome, Instant::now(), fastrand::f64());
        self.changed.notify_one();
    }

    /// Something happened to an object that no condition tells; nothing is told of one that is not known.
    pub fn happened(&self, object: &ObjectRef, is_warning: bool, (reason, note): (&str, &str)) {
        let mut state = self.state();
        let event = state.event(object, is_warning, (reason, events::short(note)));
        state.tell(event.into_iter().collect());
        drop(state);
        self.told.notify_one();
    }

    /// Something is to be told.
    pub(super) fn tell(&self, events: Vec<Event>) {
        self.state().tell(events);
        self.told.notify_one();
    }

    /// The oldest Event that was not told, and how many were dropped since the last one.
    pub(super) fn event(&self) -> Option<(Event, u64)> {
        let mut state = self.state();
        let event = state.events.pop_front()?;
        Some((event, std::mem::take(&mut state.dropped)))
    }

    /// Nothing of what waits is told: it is somebody else's to tell.
    pub(super) fn keep_quiet(&self) {
        self.state().events.clear();
    }

    /// A panic elsewhere leaves the state as the last whole step left it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn report(&mut self, report: &Report, gateways: BTreeMap<ObjectRef, Standing>, now: Instant) {
        let changed = changes::between(&self.report, report);
        for object in changed.keys() {
            self.tell_remarks(object, report);
        }
        self.report.clone_from(report);
        self.is_reported = true;
        self.acked(gateways, now);
        for (object, haste) in changed {
            let gateways = changes::gateways(&object, &self.report);
            if let (Some(gateway), Haste::Now) =
                (self.report.objects.get(&object).and_then(|it| it.gateway.as_ref()), haste)
            {
                let published = self.programmed.gateways.get(gateway).map(|standing| standing.published);
                self.programmed.needed.insert(object.clone(), published.unwrap_or_default());
            } else if !self.report.objects.contains_key(&object) {
                self.programmed.needed.remove(&object);
            }
            self.waiting.add(&object, haste, gateways, &self.programmed, now);
        }
        self.release(now);
    }

    fn acked(&mut self, gateways: BTreeMap<ObjectRef, Standing>, now: Instant) {
        let before = std::mem::replace(&mut self.programmed.gateways, gateways);
        // A generation more or less changes no status by itself.
        let moved: Vec<ObjectRef> = [Kind::Gateway, Kind::ListenerSet]
            .into_iter()
            .flat_map(|kind| self.of_kind(kind))
            .filter(|object| {
                let gateway = self.report.objects.get(object).and_then(|entry| entry.gateway.as_ref());
                gateway.is_some_and(|gateway| self.programmed.has_moved(object, gateway, before.get(gateway)))
            })
            .collect();
        for object in &moved {
            self.queue.push(object, Haste::Now, now);
        }
        self.release(now);
    }

    fn release(&mut self, now: Instant) {
        for (object, haste) in self.waiting.release(&self.programmed, now) {
            self.queue.push(&object, haste, now);
        }
    }

    fn of_kind(&self, kind: Kind) -> Vec<ObjectRef> {
        let from = ObjectRef::new(kind, "", "");
        let objects = self.report.objects.iter_from(&from).map(|(object, _)| object);
        objects.take_while(|object| object.known_kind() == Some(kind)).cloned().collect()
    }

    fn next(&mut self, now: Instant, unix: i64) -> Next {
        if !self.is_reported {
            return Next::Wait(None);
        }
        self.release(now);
        for _ in 0..GLANCES {
            let object = match self.queue.take(now) {
                Ok(object) => object,
                Err(until) => return Next::Wait(until.into_iter().chain(self.waiting.next()).min()),
            };
            // While it waits for the proxies, what is stored stays.
            if self.waiting.hurry(&object) || self.verdict(&object, unix) == Verdict::Settled {
                self.queue.done(&object, Outcome::Settled, now, 0.0);
            } else {
                return Next::Write(object);
            }
        }
        Next::Wait(Some(now))
    }

    fn verdict(&self, object: &ObjectRef, unix: i64) -> Verdict {
        verdict(object, &self.report, &self.programmed, &self.stored, unix)
    }

    fn tell_remarks(&mut self, object: &ObjectRef, report: &Report) {
        let before = self.report.objects.get(object).map(AsRef::as_ref);
        let remarks = report.objects.get(object).map(|after| events::of_remarks(before, after)).unwrap_or_default();
        let unreadable = report.unreadable.get(object).filter(|why| self.report.unreadable.get(object) != Some(*why));
        let event = |remark: &crate::report::Remark| self.event(object, true, (remark.reason, events::note(remark)));
        let events = remarks.into_iter().chain(unreadable).filter_map(event).collect();
        self.tell(events);
    }

    fn event(&self, object: &ObjectRef, is_warning: bool, (reason, note): (&str, String)) -> Option<Event> {
        let (kind, held) = object.known_kind().zip(self.stored.held(object))?;
        let (api_version, uid) = (self.stored.version(kind).to_owned(), held.uid.clone());
        Some(Event { object: object.clone(), api_version, uid, is_warning, reason: reason.to_owned(), note })
    }

    fn tell(&mut self, events: Vec<Event>) {
        for event in events {
            if self.events.len() < EVENTS {
                self.events.push_back(event);
            } else {
                self.dropped += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests;
