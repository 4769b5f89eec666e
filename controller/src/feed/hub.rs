// SPDX-License-Identifier: Apache-2.0
//! Where programs come in and acks come out: the newest program of each fleet, who belongs to which, and what the
//! proxies said. Any number of sessions look at it; none of them can block it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use tokio::sync::{mpsc, watch};
use torana_ir::{Demand, Snapshot};

use super::acks::{Acks, Programmed, Proxy, ProxyEvent, Standing};
use super::identity::PodIdentity;
use super::program::Program;
use crate::cell::put;
use crate::store::FleetId;

/// Which fleet a pod belongs to: by its namespace and service account.
pub type Members = BTreeMap<(String, String), FleetId>;

/// What a fleet is to be programmed with.
#[derive(Debug, Clone)]
pub(super) struct Published {
    pub(super) epoch: u64,
    pub(super) generation: u64,
    pub(super) program: Arc<Program>,
}

type Newest = watch::Sender<Option<Published>>;

/// The controller's end of all feeds. Clones are the same hub.
#[derive(Debug, Clone, Default)]
pub struct Hub(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    fleets: Mutex<BTreeMap<FleetId, Newest>>,
    /// `None`: not known yet.
    members: watch::Sender<Option<Arc<Members>>>,
    acks: Mutex<Acks>,
    /// Counts what may change an answer of `programmed`.
    news: watch::Sender<u64>,
    /// The number of the stream that each pod opened last, by its uid.
    latest: watch::Sender<BTreeMap<String, u64>>,
    streams: AtomicU64,
    /// Who hears what clients ask for.
    demands: OnceLock<mpsc::Sender<Demand>>,
}

/// What is guarded is whole after every step.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn member_of(members: Option<&Arc<Members>>, pod: &PodIdentity) -> Option<FleetId> {
    members?.get(&(pod.namespace.clone(), pod.service_account.clone())).cloned()
}

impl Hub {
    /// A hub that has nothing to say to anybody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes `snapshots` the newest programs. A fleet whose snapshot did not change keeps its generation; one that is
    /// not among them has no program any more, and its proxies keep what they have. `epoch` is the number of the
    /// leader's term, `generation` rises by each call that changes something.
    pub fn publish(&self, epoch: u64, generation: u64, snapshots: &BTreeMap<FleetId, Arc<Snapshot>>) {
        locked(&self.0.fleets).retain(|fleet, newest| snapshots.contains_key(fleet) || newest.receiver_count() > 0);
        for (fleet, snapshot) in snapshots {
            let before = self.newest(fleet, |newest| newest.borrow().clone());
            // Encoding takes long and nobody waits for it: there is one publisher.
            let next = match &before {
                Some(before) => before.program.next(snapshot).map(Arc::new),
                None => Some(Program::default().next(snapshot).map(Arc::new).unwrap_or_default()),
            };
            match (next, before) {
                (Some(program), _) => self.replace(fleet, Published { epoch, generation, program }),
                (None, Some(before)) if before.epoch != epoch => self.replace(fleet, Published { epoch, ..before }),
                (None, _) => {}
            }
        }
        let gone = locked(&self.0.fleets);
        gone.iter().filter(|(fleet, _)| !snapshots.contains_key(*fleet)).for_each(|(_, newest)| {
            newest.send_if_modified(|newest| newest.take().is_some());
        });
        drop(gone);
        self.tell();
    }

    /// Replaces the table of members. Streams of pods that are no longer in it, or elsewhere, are closed.
    pub fn members(&self, members: Members) {
        put(&self.0.members, Some(Arc::new(members)));
    }

    /// Whether the newest program of `fleet` is in force, and on what conditions. `ready` holds the uids of pods that
    /// are Ready. A fleet without a program has no proxy that could have it.
    pub fn programmed(&self, fleet: &FleetId, ready: &BTreeSet<String>, now: Instant) -> Programmed {
        let Some(published) = locked(&self.0.fleets).get(fleet).and_then(|newest| newest.borrow().clone()) else {
            let (standing, rejected, silent) = (Standing::NoProxy, BTreeMap::new(), Vec::new());
            return Programmed { standing, acked: 0, rejected, silent, away: ready.len() };
        };
        let mut programmed = locked(&self.0.acks).programmed(fleet, published.generation, ready, now);
        for (key, why) in &published.program.oversized {
            programmed.rejected.insert(key.clone(), why.clone());
        }
        programmed
    }

    /// The newest generation of `fleet`, if it has a program.
    pub fn generation(&self, fleet: &FleetId) -> Option<u64> {
        let fleets = locked(&self.0.fleets);
        fleets.get(fleet).and_then(|newest| newest.borrow().as_ref().map(|published| published.generation))
    }

    /// When the next proxy falls silent, if nothing happens until then: a time to ask [`Hub::programmed`] again.
    pub fn next_silence(&self, now: Instant) -> Option<Instant> {
        locked(&self.0.acks).next_silence(now)
    }

    /// How many proxies of `fleet` are connected.
    pub fn connected(&self, fleet: &FleetId) -> usize {
        locked(&self.0.acks).connected(fleet)
    }

    /// Where it is told what clients ask proxies for; only the first is. What it has no room for is dropped: it is asked for
    /// again.
    pub fn hear(&self, demands: mpsc::Sender<Demand>) {
        self.0.demands.set(demands).ok();
    }

    /// A client asked a proxy of `fleet` for a name; a proxy speaks for its own listeners only.
    pub(super) fn demanded(&self, fleet: &FleetId, demand: Demand) {
        let serves = |published: &Published| published.program.serves(&demand.listener);
        let is_own = self.newest(fleet, |newest| newest.borrow().as_ref().is_some_and(serves));
        if let Some(demands) = self.0.demands.get().filter(|_| is_own) {
            demands.try_send(demand).ok();
        }
    }

    /// Changes whenever [`Hub::programmed`] may have another answer; the value means nothing.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.0.news.subscribe()
    }

    /// The fleet of a pod, as soon as it is known which fleets there are. A proxy may come long before.
    pub(super) async fn fleet_of(&self, pod: &PodIdentity) -> Option<FleetId> {
        let mut members = self.0.members.subscribe();
        // The sender does not go before the hub.
        let known = members.wait_for(Option::is_some).await.ok()?;
        member_of(known.as_ref(), pod)
    }

    /// A new stream of a pod; an older one is over.
    pub(super) fn open(&self, fleet: FleetId, pod: PodIdentity) -> Proxy {
        let stream = self.0.streams.fetch_add(1, Ordering::Relaxed) + 1;
        self.0.latest.send_modify(|latest| {
            latest.insert(pod.pod_uid.clone(), stream);
        });
        let proxy = Proxy { fleet, pod, stream };
        self.event(&proxy, ProxyEvent::Connected);
        proxy
    }

    /// The end of a stream.
    pub(super) fn close(&self, proxy: &Proxy) {
        self.0.latest.send_if_modified(|latest| {
            if latest.get(&proxy.pod.pod_uid) == Some(&proxy.stream) {
                latest.remove(&proxy.pod.pod_uid);
            }
            false
        });
        self.event(proxy, ProxyEvent::Disconnected);
    }

    /// Returns when another stream has taken the place of this one, or when the pod is no member any more.
    pub(super) async fn displaced(&self, proxy: &Proxy) -> &'static str {
        let (mut latest, mut members) = (self.0.latest.subscribe(), self.0.members.subscribe());
        // Neither sender goes before the hub.
        tokio::select! {
            _ = latest.wait_for(|latest| latest.get(&proxy.pod.pod_uid).is_some_and(|stream| *stream > proxy.stream)) =>
                "another stream of the same pod is open",
            _ = members.wait_for(|members| member_of(members.as_ref(), &proxy.pod).as_ref() != Some(&proxy.fleet)) =>
                "the pod does not belong to this fleet any more",
        }
    }

    pub(super) fn event(&self, proxy: &Proxy, event: ProxyEvent) {
        if locked(&self.0.acks).on_event(proxy, event, Instant::now()) {
            self.tell();
        }
    }

    /// The newest program of a fleet, now and later.
    pub(super) fn follow(&self, fleet: &FleetId) -> watch::Receiver<Option<Published>> {
        self.newest(fleet, watch::Sender::subscribe)
    }

    fn replace(&self, fleet: &FleetId, published: Published) {
        self.newest(fleet, |newest| newest.send_replace(Some(published)));
    }

    fn newest<T>(&self, fleet: &FleetId, look: impl FnOnce(&Newest) -> T) -> T {
        look(locked(&self.0.fleets).entry(fleet.clone()).or_default())
    }

    fn tell(&self) {
        self.0.news.send_modify(|count| *count = count.wrapping_add(1));
    }
}

#[cfg(test)]
mod tests {
    use torana_ir::{Backend, BackendKey, Delta, Resource};

    use super::*;

    fn fleet(name: &str) -> FleetId {
        FleetId(name.to_owned())
    }

    fn snapshots(fleets: &[(&str, u32)]) -> BTreeMap<FleetId, Arc<Snapshot>> {
        let snapshot = |most: u32| {
            let key = BackendKey::tcp("n", "a", 80);
            let backend = Backend { max_connections: most, ..Backend::new(key) };
            let mut snapshot = Snapshot::default();
            snapshot.apply(Delta { upserts: vec![Resource::Backend(backend.into())], removals: vec![] });
            Arc::new(snapshot)
        };
        fleets.iter().map(|(name, most)| (fleet(name), snapshot(*most))).collect()
    }

    fn pod(name: &str, account: &str) -> PodIdentity {
        PodIdentity {
            namespace: "n".to_owned(),
            service_account: account.to_owned(),
            pod_name: name.to_owned(),
            pod_uid: format!("uid-{name}"),
        }
    }

    #[test]
    fn a_fleet_that_did_not_change_keeps_its_generation() {
        let hub = Hub::new();
        hub.publish(1, 1, &snapshots(&[("a", 1), ("b", 1)]));
        let mut followed = hub.follow(&fleet("a"));
        followed.mark_unchanged();
        hub.publish(1, 2, &snapshots(&[("a", 1), ("b", 2)]));
        assert_eq!((hub.generation(&fleet("a")), hub.generation(&fleet("b"))), (Some(1), Some(2)));
        assert!(!followed.has_changed().unwrap(), "nobody is woken");
        hub.publish(2, 3, &snapshots(&[("a", 1)]));
        assert_eq!(followed.borrow_and_update().as_ref().map(|it| (it.epoch, it.generation)), Some((2, 1)));
        assert_eq!(hub.generation(&fleet("b")), None);
    }

    #[test]
    fn a_fleet_with_nothing_to_serve_has_a_program_too() {
        let hub = Hub::new();
        hub.publish(1, 1, &BTreeMap::from([(fleet("a"), Arc::default())]));
        assert_eq!(hub.generation(&fleet("a")), Some(1));
    }

    #[test]
    fn a_program_is_in_force_when_it_is_acked_and_news_is_told() {
        let hub = Hub::new();
        hub.publish(1, 4, &snapshots(&[("a", 1)]));
        let ready = BTreeSet::from(["uid-x".to_owned()]);
        let standing = |hub: &Hub| hub.programmed(&fleet("a"), &ready, Instant::now()).standing;
        assert_eq!(standing(&hub), Standing::NoProxy);
        let mut news = hub.news();
        news.mark_unchanged();
        let proxy = hub.open(fleet("a"), pod("x", "a"));
        assert!(news.has_changed().unwrap());
        assert_eq!(standing(&hub), Standing::Pending(vec!["n/x".to_owned()]));
        hub.event(&proxy, ProxyEvent::Acked { generation: 4, rejected: BTreeMap::new() });
        assert_eq!((standing(&hub), hub.connected(&fleet("a"))), (Standing::InForce, 1));
        hub.close(&proxy);
        assert_eq!((standing(&hub), hub.connected(&fleet("a"))), (Standing::NoProxy, 0));
    }

    #[tokio::test]
    async fn a_stream_is_displaced_by_a_later_one_of_its_pod_and_when_the_pod_is_no_member() {
        let hub = Hub::new();
        let members = BTreeMap::from([(("n".to_owned(), "a".to_owned()), fleet("a"))]);
        hub.members(members.clone());
        assert_eq!(hub.fleet_of(&pod("x", "a")).await, Some(fleet("a")));
        assert_eq!(hub.fleet_of(&pod("x", "other")).await, None);
        let first = hub.open(fleet("a"), pod("x", "a"));
        let second = hub.open(fleet("a"), pod("x", "a"));
        assert!(hub.displaced(&first).await.contains("another stream"));
        hub.close(&first);
        assert_eq!(hub.connected(&fleet("a")), 1, "the second is there");
        let patient = tokio::time::timeout(std::time::Duration::from_millis(20), hub.displaced(&second)).await;
        assert!(patient.is_err());
        hub.members(BTreeMap::new());
        assert!(hub.displaced(&second).await.contains("belong"));
    }
}
