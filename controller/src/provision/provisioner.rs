// SPDX-License-Identifier: Apache-2.0
//! Sees to it that the cluster has what is desired: one task that watches what is provisioned, applies what is not as it
//! should be, and removes what is surplus. One Gateway is worked on once at a time, a failure waits longer each time,
//! and every call has a deadline. Decides nothing about what is desired.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{BoxStream, SelectAll, StreamExt};
use kube::api::{Api, ApiResource, DynamicObject, TypeMeta};
use kube::runtime::watcher;
use kube::{Client, ResourceExt};
use serde_json::Value;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};
use torana_ir::GatewayId;

use crate::api::changes;
use crate::provision::apply::{self, Failure};
use crate::provision::desired::{Desired, MANAGED_BY, drift};
use crate::provision::kinds::{self, Place};
use crate::provision::observed::{Difference, Observed};

/// Gateways that are worked on at a time.
const CONCURRENCY: usize = 8;
/// First pause after a failure; it doubles up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// What lists get at the start. Then work begins without those that are missing: every object is looked at before it
/// is applied anyway.
const PATIENCE: Duration = Duration::from_secs(10);

/// How it stands with the proxies of a Gateway.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Provisioned {
    /// Its Service, as it is in the cluster.
    pub service: Option<Arc<Value>>,
    /// Whether everything was applied, and nobody changed it since.
    pub settled: bool,
    /// What keeps objects from being as desired; one sentence each.
    pub problems: Vec<String>,
}

/// How it stands with the proxies of all Gateways that something is wanted for.
pub type Provisions = BTreeMap<GatewayId, Provisioned>;

#[derive(Debug, Clone)]
struct Wish {
    uid: String,
    /// Marked.
    objects: Arc<Vec<Value>>,
}

type Wishes = BTreeMap<GatewayId, Wish>;

/// The running task. Dropping it stops everything: whoever stops leading stops provisioning.
#[derive(Debug)]
pub struct Provisioner {
    wishes: watch::Sender<Wishes>,
    fleets: watch::Receiver<Provisions>,
    task: JoinHandle<()>,
}

impl Drop for Provisioner {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Provisioner {
    /// Starts on the current runtime.
    pub fn start(client: Client) -> Self {
        let (wishes, wanted) = watch::channel(Wishes::new());
        let (told, fleets) = watch::channel(Provisions::new());
        let task = Task {
            client,
            wanted,
            told,
            fleets: BTreeMap::new(),
            observed: Observed::default(),
            working: JoinSet::new(),
            permits: Arc::new(Semaphore::new(CONCURRENCY)),
            begin: Instant::now() + PATIENCE,
        };
        Self { wishes, fleets, task: tokio::spawn(task.run()) }
    }

    /// From now on this is desired for the Gateway with that uid. Does not wait.
    pub fn want(&self, gateway: GatewayId, uid: &str, desired: &Desired) {
        let objects: Vec<Value> = desired.objects.iter().map(drift::marked).collect();
        self.wishes.send_if_modified(|wishes| {
            let same = wishes.get(&gateway).is_some_and(|wish| wish.uid == uid && *wish.objects == objects);
            if !same {
                wishes.insert(gateway, Wish { uid: uid.to_owned(), objects: Arc::new(objects) });
            }
            !same
        });
    }

    /// The Gateway is gone: what it controls goes with it by itself.
    pub fn forget(&self, gateway: &GatewayId) {
        self.wishes.send_if_modified(|wishes| wishes.remove(gateway).is_some());
    }

    /// How it stands, whenever that changes.
    pub fn fleets(&self) -> watch::Receiver<Provisions> {
        self.fleets.clone()
    }
}

/// What the task knows of one Gateway.
#[derive(Debug)]
struct Fleet {
    wish: Wish,
    /// When to look again, if something may be amiss and nobody is at work.
    due: Option<Instant>,
    busy: bool,
    /// Something changed while it was worked on.
    again: bool,
    failures: u32,
}

/// What became of one round of work.
struct Done {
    gateway: GatewayId,
    uid: String,
    applied: Vec<(Value, Value)>,
    failures: Vec<Failure>,
}

type Seen = (String, watcher::Event<DynamicObject>);

struct Task {
    client: Client,
    wanted: watch::Receiver<Wishes>,
    told: watch::Sender<Provisions>,
    fleets: BTreeMap<GatewayId, Fleet>,
    observed: Observed,
    working: JoinSet<Done>,
    permits: Arc<Semaphore>,
    /// Before that work waits for lists.
    begin: Instant,
}

impl Task {
    /// Returns when the [`Provisioner`] is gone.
    async fn run(mut self) {
        let mut events = watched(&self.client);
        self.wishes();
        loop {
            let next = self.fleets.values().filter_map(|fleet| fleet.due).min();
            // Nothing due: an hour is as good as for ever.
            let next = next.unwrap_or_else(|| Instant::now() + Duration::from_hours(1));
            let next = if self.observed.has_listed(kinds::all().count()) { next } else { next.max(self.begin) };
            tokio::select! {
                changed = self.wanted.changed() => match changed {
                    Ok(()) => self.wishes(),
                    Err(_) => return,
                },
                Some((kind, event)) = events.next() => self.event(&kind, event),
                Some(done) = self.working.join_next(), if !self.working.is_empty() => self.done(done),
                () = sleep_until(next) => self.work(),
            }
        }
    }

    /// Takes in what is wanted.
    fn wishes(&mut self) {
        let wanted = self.wanted.borrow_and_update().clone();
        self.fleets.retain(|gateway, _| wanted.contains_key(gateway));
        self.told.send_if_modified(|told| {
            let before = told.len();
            told.retain(|gateway, _| wanted.contains_key(gateway));
            told.len() != before
        });
        for (gateway, wish) in wanted {
            match self.fleets.get_mut(&gateway) {
                Some(fleet) if fleet.wish.uid == wish.uid && Arc::ptr_eq(&fleet.wish.objects, &wish.objects) => {}
                Some(fleet) => {
                    fleet.wish = wish;
                    fleet.failures = 0;
                    fleet.touch();
                    self.tell(&gateway, |provisioned| provisioned.settled = false);
                }
                None => {
                    let due = Some(Instant::now());
                    self.fleets.insert(gateway.clone(), Fleet { wish, due, busy: false, again: false, failures: 0 });
                    self.tell(&gateway, |_| {});
                }
            }
        }
    }

    fn event(&mut self, kind: &str, event: watcher::Event<DynamicObject>) {
        let owners: BTreeSet<String> = match event {
            watcher::Event::Init => {
                self.observed.begin(kind);
                return;
            }
            watcher::Event::InitDone => self.observed.end(kind),
            watcher::Event::Apply(object) | watcher::Event::InitApply(object) => {
                serde_json::to_value(&object).ok().and_then(|live| self.observed.there(live)).into_iter().collect()
            }
            watcher::Event::Delete(object) => {
                let namespace = object.namespace().unwrap_or_default();
                let place = Place { kind: kind.to_owned(), namespace, name: object.name_any() };
                self.observed.gone(&place).into_iter().collect()
            }
        };
        let touched: Vec<GatewayId> = self
            .fleets
            .iter_mut()
            .filter(|(_, fleet)| owners.contains(&fleet.wish.uid))
            .map(|(gateway, fleet)| {
                fleet.touch();
                gateway.clone()
            })
            .collect();
        for gateway in touched {
            self.tell(&gateway, |_| {});
        }
    }

    /// Looks at every Gateway that is due.
    fn work(&mut self) {
        let now = Instant::now();
        let due: Vec<GatewayId> = self
            .fleets
            .iter()
            .filter(|(_, fleet)| !fleet.busy && fleet.due.is_some_and(|due| due <= now))
            .map(|(gateway, _)| gateway.clone())
            .collect();
        for gateway in due {
            let Some(fleet) = self.fleets.get_mut(&gateway) else { continue };
            fleet.due = None;
            let difference = self.observed.difference(&fleet.wish.uid, &fleet.wish.objects);
            if difference == Difference::default() {
                fleet.failures = 0;
                self.tell(&gateway, |provisioned| (provisioned.settled, provisioned.problems) = (true, Vec::new()));
                continue;
            }
            fleet.busy = true;
            let (client, uid, permits) = (self.client.clone(), fleet.wish.uid.clone(), Arc::clone(&self.permits));
            let at = gateway.clone();
            self.working.spawn(async move {
                // Held until the round is over; the semaphore is never closed.
                let _permit = permits.acquire().await;
                round(client, at, uid, difference).await
            });
            self.tell(&gateway, |provisioned| provisioned.settled = false);
        }
    }

    fn done(&mut self, done: Result<Done, tokio::task::JoinError>) {
        let Done { gateway, uid, applied, failures } = match done {
            Ok(done) => done,
            Err(error) => {
                // Whose round it was is not known: everybody's is over, at worst twice.
                tracing::error!(%error, "provisioning broke off");
                for fleet in self.fleets.values_mut().filter(|fleet| fleet.busy) {
                    (fleet.busy, fleet.due) = (false, Some(Instant::now() + PAUSE));
                }
                return;
            }
        };
        for (desired, answer) in applied {
            self.observed.applied(&desired, answer);
        }
        let Some(fleet) = self.fleets.get_mut(&gateway) else { return };
        fleet.busy = false;
        let changed = std::mem::take(&mut fleet.again) || fleet.wish.uid != uid;
        if failures.is_empty() {
            fleet.failures = 0;
            // Looks once more: what changed meanwhile, or nothing.
            fleet.due = Some(Instant::now());
        } else {
            fleet.failures += 1;
            let pause = if changed { PAUSE } else { pause(fleet.failures) };
            fleet.due = Some(Instant::now() + pause);
        }
        let problems: Vec<String> = failures.iter().map(ToString::to_string).collect();
        for problem in &problems {
            tracing::warn!(gateway = %gateway, problem, "not provisioned");
        }
        self.tell(&gateway, |provisioned| (provisioned.settled, provisioned.problems) = (false, problems));
    }

    fn tell(&self, gateway: &GatewayId, change: impl FnOnce(&mut Provisioned)) {
        let service = self.fleets.get(gateway).and_then(|fleet| self.observed.service(&fleet.wish.uid));
        self.told.send_if_modified(|told| {
            let provisioned = told.entry(gateway.clone()).or_default();
            let before = provisioned.clone();
            provisioned.service = service;
            change(provisioned);
            *provisioned != before
        });
    }
}

impl Fleet {
    /// Something may be amiss.
    fn touch(&mut self) {
        if self.busy {
            self.again = true;
        } else if self.failures == 0 {
            self.due = Some(Instant::now());
        }
    }
}

/// Applies and removes, in order; what fails does not keep the rest.
async fn round(client: Client, gateway: GatewayId, uid: String, difference: Difference) -> Done {
    let mut done = Done { gateway, uid, applied: Vec::new(), failures: Vec::new() };
    for desired in difference.apply {
        match apply::apply(&client, &desired, (&done.gateway.name, &done.uid)).await {
            Ok(answer) => done.applied.push((desired, answer)),
            Err(failure) => done.failures.push(failure),
        }
    }
    // Whatever replaces it must be there first.
    if done.failures.is_empty() {
        for (place, uid) in difference.remove {
            done.failures.extend(apply::remove(&client, &place, &uid).await.err());
        }
    }
    done
}

/// Doubles with each failure, and nobody waits as long as the next.
fn pause(failures: u32) -> Duration {
    let longest = PAUSE.saturating_mul(1 << failures.min(16).saturating_sub(1)).min(LONGEST_PAUSE);
    longest.mul_f64(0.75 + 0.5 * fastrand::f64())
}

/// Everything with Torana's label, of every kind. Starts anew by itself, with pauses, whatever happens.
fn watched(client: &Client) -> SelectAll<BoxStream<'static, Seen>> {
    let (label, value) = MANAGED_BY;
    let streams = kinds::all().map(|resource| {
        let api = Api::<DynamicObject>::all_with(client.clone(), &resource);
        let config = watcher::Config::default().labels(&format!("{label}={value}"));
        let events = changes(api, config).filter_map(move |event| {
            let seen = match event {
                Ok(event) => Some((resource.kind.clone(), event.modify(|object| name_type(object, &resource)))),
                Err(why) => {
                    tracing::warn!(kind = resource.kind, %why, "cannot watch what is provisioned");
                    None
                }
            };
            std::future::ready(seen)
        });
        events.boxed()
    });
    futures_util::stream::select_all(streams)
}

/// In a list the objects do not say what they are.
fn name_type(object: &mut DynamicObject, resource: &ApiResource) {
    object.types = Some(TypeMeta { api_version: resource.api_version.clone(), kind: resource.kind.clone() });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_grows_and_has_an_end() {
        assert!(pause(1) < Duration::from_millis(700) && pause(1) > Duration::from_millis(300));
        assert!((4..100).all(|failures| pause(failures) <= LONGEST_PAUSE.mul_f64(1.25)));
        assert!(pause(100) >= LONGEST_PAUSE.mul_f64(0.75));
    }
}
