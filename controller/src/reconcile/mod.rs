// SPDX-License-Identifier: Apache-2.0
//! The control loop of a cluster: what is seen is translated, what follows is published, provisioned and reported, and
//! what the proxies answer is reported too.
//!
//! ```text
//! Sighting ─▶ Cluster ─▶ Translation ─┬▶ Hub (programs) ───▶ proxies ── acks ─┐
//!                                     ├▶ Provisioner (objects) ── Services ───┤
//!                                     └▶ Board (report) ◀─────── Standing ◀───┘
//! ```
//!
//! One task, which never waits for anybody: whoever carries something has a queue or a cell of its own. Nothing is
//! concluded before every kind was listed once. Makes no Gateway API decision.

mod shared;

pub mod authority;

pub mod roots;

pub mod install;

mod ports;

pub mod proxies;

mod gateways;

mod standing;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::Client;
use tokio::sync::{mpsc, watch};
use torana_crds::{Kind, ObjectRef};
use torana_ir::GatewayId;

use crate::cell::put;
use crate::clock::now;
use crate::feed::Hub;
use crate::herald::Heralds;
use crate::issuance::Answers;
use crate::leader::Leadership;
use crate::metrics::Metrics;
use crate::provision::desired::Install;
use crate::provision::{Provisioner, Provisions};
use crate::reconcile::gateways::Ours;
use crate::reconcile::proxies::Pods;
use crate::reconcile::standing::{PATIENCE, View};
use crate::source::kubernetes::{Parents, Sighting};
use crate::status::{Board, Proxies, Standing};
use crate::store::{Cluster, Dirty, Event, Settings};
use crate::translate::{Translation, by_gateway, mesh_roots, retranslate, translate};

pub use shared::session_key;

/// A change waits for others until none has come for so long …
const QUIET: Duration = Duration::from_millis(2);
/// … but never longer than this.
const HOLD: Duration = Duration::from_millis(25);
/// Objects that are translated in no time.
const FEW: usize = 64;
/// Sightings taken at a time.
const BATCH: usize = 256;
/// How often certificates are held against the clock.
const TICK: Duration = Duration::from_mins(1);

/// What the loop is given.
#[derive(Debug)]
pub struct Parts {
    /// Where programs go and acks come from.
    pub hub: Hub,
    /// Where the report goes.
    pub board: Arc<Board>,
    /// Whether this replica acts.
    pub leadership: watch::Receiver<Leadership>,
    /// The pods of proxies.
    pub pods: watch::Receiver<Pods>,
    /// What all proxies have in common.
    pub install: watch::Receiver<Install>,
    /// Versions of the installed Gateway API.
    pub bundles: watch::Receiver<BTreeSet<String>>,
    /// What routes may name as their parent and is Torana's.
    pub parents: watch::Sender<Parents>,
    /// Namespaces of proxies whose identity Torana's own authority signs.
    pub mesh: watch::Sender<BTreeSet<String>>,
    /// Where whoever obtains certificates hears of them.
    pub heralds: Heralds,
    /// Whether every kind was listed: this replica could lead.
    pub ready: watch::Sender<bool>,
    /// What is counted.
    pub metrics: Metrics,
}

/// The control loop.
pub struct Reconciler {
    client: Client,
    parts: Parts,
    cluster: Cluster,
    last: Option<Translation>,
    dirty: Dirty,
    unlisted: BTreeSet<Kind>,
    generation: u64,
    /// Torana's, as of the last turn.
    gateways: Vec<Ours>,
    /// Whoever stops leading stops provisioning.
    provisioner: Option<Provisioner>,
    provisions: Option<watch::Receiver<Provisions>>,
    /// Since when this replica leads.
    led: Instant,
    /// What authorities of ACME are to be answered.
    answers: Answers,
}

impl std::fmt::Debug for Reconciler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reconciler").field("generation", &self.generation).finish_non_exhaustive()
    }
}

impl Reconciler {
    /// A loop that has seen nothing. `settings` are those of a cluster.
    pub fn new(client: Client, parts: Parts, settings: Settings) -> Self {
        Self {
            client,
            parts,
            cluster: Cluster::new(settings),
            last: None,
            dirty: Dirty::default(),
            unlisted: Kind::ALL.into(),
            generation: 0,
            gateways: Vec::new(),
            provisioner: None,
            provisions: None,
            led: Instant::now(),
            answers: Answers::default(),
        }
    }

    /// Runs until the source ends.
    pub async fn run(mut self, mut sightings: mpsc::Receiver<Sighting>) {
        let mut news = self.parts.hub.news();
        let mut tick = tokio::time::interval(TICK);
        loop {
            let due = self.due(Instant::now());
            tokio::select! {
                sighting = sightings.recv() => {
                    let Some(sighting) = sighting else { return };
                    self.take(sighting);
                    self.gather(&mut sightings).await;
                    self.turn();
                }
                changed = self.parts.leadership.changed() => {
                    if changed.is_err() { return }
                    self.lead();
                }
                Ok(()) = self.parts.install.changed() => self.follow_up(),
                Ok(()) = self.parts.bundles.changed() => {
                    let bundles = self.parts.bundles.borrow_and_update().clone();
                    self.parts.board.installed(bundles);
                }
                Ok(()) = self.parts.pods.changed() => self.stand(),
                Ok(()) = news.changed() => self.stand(),
                () = provisioned(self.provisions.as_mut()) => self.stand(),
                () = until(due) => self.stand(),
                _ = tick.tick() => self.cluster.tick(now()),
            }
        }
    }

    /// When how the Gateways stand may change by itself.
    fn due(&self, now: Instant) -> Option<Instant> {
        let patience = Some(self.led + PATIENCE).filter(|end| *end > now);
        self.parts.hub.next_silence(now).into_iter().chain(patience).min()
    }

    /// What comes shortly after belongs to the same turn.
    async fn gather(&mut self, sightings: &mut mpsc::Receiver<Sighting>) {
        let end = tokio::time::Instant::now() + HOLD;
        let mut batch = Vec::new();
        loop {
            let pause = end.min(tokio::time::Instant::now() + QUIET);
            match tokio::time::timeout_at(pause, sightings.recv_many(&mut batch, BATCH)).await {
                Ok(0) | Err(_) => return,
                Ok(_) => batch.drain(..).for_each(|sighting| self.take(sighting)),
            }
            if tokio::time::Instant::now() >= end {
                return;
            }
        }
    }

    fn take(&mut self, sighting: Sighting) {
        match sighting {
            Sighting::Object { event, stored, unknown } => {
                if let Event::Removed(object) = &event {
                    self.parts.board.remove(object);
                }
                if let Some(stored) = stored {
                    self.parts.board.observe(&stored);
                }
                if !unknown.is_empty() {
                    tracing::debug!(?unknown, "fields that have no effect");
                }
                self.dirty.merge(self.cluster.apply(event));
            }
            Sighting::Listing(kind) => self.parts.board.relisted(kind),
            Sighting::Listed(kind) => drop(self.unlisted.remove(&kind)),
            Sighting::Failing(kind, why) => {
                self.parts.metrics.watch_failed(kind.as_str());
                tracing::warn!(kind = kind.as_str(), why, "cannot be watched; what was seen of it stays");
            }
        }
    }

    /// One generation: everything that changed since the last turn.
    fn turn(&mut self) {
        if !self.unlisted.is_empty() || (self.last.is_some() && self.dirty.is_empty()) {
            return;
        }
        let dirty = std::mem::take(&mut self.dirty);
        let last = self.last.take();
        let is_first = last.is_none();
        if is_first {
            tracing::info!(objects = self.cluster.len(), "every kind was listed");
            self.parts.ready.send_replace(true);
        }
        let concerns_gateways = is_first || dirty.objects.iter().any(gateways::depend_on);
        let begin = Instant::now();
        let translated = || match last {
            None => translate(&self.cluster),
            Some(last) => retranslate(&self.cluster, &dirty, last),
        };
        // Long work on large clusters: other tasks of this thread go on elsewhere.
        let is_long = concerns_gateways || dirty.objects.len() + dirty.endpoints.len() > FEW;
        let translation = if is_long { tokio::task::block_in_place(translated) } else { translated() };
        let (is_changed, is_news) = (!translation.deltas.is_empty(), translation.is_news);
        if concerns_gateways {
            let parents = Some(Arc::new(translation.parents()));
            self.parts.parents.send_if_modified(|known| {
                *known != parents && {
                    *known = parents;
                    true
                }
            });
        }
        self.last = Some(translation);
        self.generation += u64::from(is_changed || concerns_gateways);
        self.parts.metrics.translated(self.generation, self.cluster.len(), begin.elapsed());
        if concerns_gateways {
            self.gateways = gateways::ours(&self.cluster);
            put(&self.parts.mesh, gateways::in_mesh(&self.gateways));
            self.want();
        }
        if is_changed || concerns_gateways {
            self.publish();
        }
        if concerns_gateways {
            self.provision();
        }
        if is_changed || is_news || concerns_gateways {
            self.report();
        }
    }

    fn lead(&mut self) {
        let leadership = *self.parts.leadership.borrow_and_update();
        self.parts.metrics.leads(leadership);
        if leadership.leads() {
            self.led = Instant::now();
            let client = &self.client;
            let provisioner = self.provisioner.get_or_insert_with(|| Provisioner::start(client.clone()));
            self.provisions.get_or_insert_with(|| provisioner.fleets());
        } else {
            (self.provisioner, self.provisions) = (None, None);
        }
        self.follow_up();
    }

    /// What follows from the last translation.
    fn follow_up(&mut self) {
        self.publish();
        self.provision();
        self.report();
    }

    fn want(&self) {
        if let Some(last) = &self.last {
            self.parts.metrics.wanted(last.wanted());
            self.parts.heralds.translated(last);
        }
    }

    fn publish(&mut self) {
        let (Some(last), Some(epoch)) = (&self.last, self.parts.leadership.borrow().serves()) else { return };
        self.parts.hub.members(gateways::members(&self.gateways));
        let programs = gateways::programs(&self.gateways, last);
        tokio::task::block_in_place(|| self.parts.hub.publish(epoch, self.generation, &programs));
        for ours in &self.gateways {
            let (generation, snapshot) = (self.parts.hub.generation(&ours.fleet), programs.get(&ours.fleet));
            if let (Some(generation), Some(snapshot)) = (generation, snapshot) {
                self.answers.publish(generation, snapshot, |gateway| *gateway == ours.id);
            }
        }
    }

    fn provision(&self) {
        let (Some(last), Some(provisioner)) = (&self.last, &self.provisioner) else { return };
        let mesh_roots = mesh_roots(self.cluster.mesh().config()).0;
        let install = Install { mesh_roots, ..self.parts.install.borrow().clone() };
        let sets = by_gateway(&self.cluster);
        for ours in &self.gateways {
            let sets = sets.get(&ours.reference).map_or(&[][..], Vec::as_slice);
            let desired = ours.desired(last, sets, &install);
            if let (Some(desired), Some(subject)) = (desired, ours.subject()) {
                provisioner.want(ours.id.clone(), &subject.meta().uid, &desired);
            }
        }
        let known: Vec<_> = provisioner.fleets().borrow().keys().cloned().collect();
        let is_ours = |id: &_| self.gateways.iter().any(|ours| ours.id == *id);
        known.iter().filter(|id| !is_ours(*id)).for_each(|id| provisioner.forget(id));
    }

    fn report(&mut self) {
        let standings = self.standings();
        if let Some(last) = &self.last {
            self.parts.metrics.reported(&last.report);
            self.parts.board.report(&last.report, standings);
        }
    }

    /// The proxies have moved.
    fn stand(&mut self) {
        let standings = self.standings();
        if self.last.is_some() {
            self.parts.board.acked(standings);
        }
    }

    fn standings(&mut self) -> BTreeMap<ObjectRef, Standing> {
        let provisions = self.provisions.as_mut().map(|it| it.borrow_and_update().clone()).unwrap_or_default();
        let pods = self.parts.pods.borrow_and_update().clone();
        // Whoever does not lead provisions nothing, and knows no more than who has just begun: what it would say stands
        // ready when it leads.
        let (now, is_new) = (Instant::now(), self.provisioner.is_none() || self.led.elapsed() < PATIENCE);
        let standing = |ours: &Ours| {
            let provisioned = provisions.get(&ours.id);
            let view = View { ours, provisioned, pods: pods.of(&ours.id.namespace, &ours.account), is_new };
            (ours.reference.clone(), view.standing(&self.parts.hub, now))
        };
        let connected = |ours: &'_ Ours| self.parts.hub.connected(&ours.fleet);
        let name = |ours: &'_ Ours| (ours.id.namespace.clone(), ours.id.name.clone());
        self.parts.metrics.proxies(self.gateways.iter().map(|ours| (name(ours), connected(ours))));
        let standings: BTreeMap<_, _> = self.gateways.iter().map(standing).collect();
        self.parts.heralds.known(self.answers.known(|gateway| acked(&standings, gateway)));
        standings
    }
}

/// The generation that all proxies of a Gateway have in force. Where some have not come back to a new leader yet nobody
/// knows it: an authority may come to them, too.
fn acked(standings: &BTreeMap<ObjectRef, Standing>, gateway: &GatewayId) -> Option<u64> {
    let reference = ObjectRef::new(Kind::Gateway, &gateway.namespace, &gateway.name);
    let standing = standings.get(&reference).filter(|standing| standing.away == 0)?;
    match standing.proxies {
        Proxies::Acked(generation) if generation > 0 => Some(generation),
        _ => None,
    }
}

async fn provisioned(provisions: Option<&mut watch::Receiver<Provisions>>) {
    if let Some(provisions) = provisions
        && provisions.changed().await.is_ok()
    {
        return;
    }
    std::future::pending::<()>().await;
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_proxies_know_that_have_not_come_back_to_a_new_leader_nobody_knows() {
        let gateway = GatewayId { namespace: "n".to_owned(), name: "edge".to_owned() };
        let known = |proxies: Proxies, away: usize| {
            let standing = Standing { proxies, away, ..Standing::default() };
            acked(&BTreeMap::from([(ObjectRef::new(Kind::Gateway, "n", "edge"), standing)]), &gateway)
        };
        assert_eq!(known(Proxies::Acked(3), 0), Some(3));
        assert_eq!(known(Proxies::Acked(3), 2), None);
        assert_eq!((known(Proxies::Acked(0), 0), known(Proxies::Unknown, 0)), (None, None));
    }
}
