// SPDX-License-Identifier: Apache-2.0
//! What the proxies say, added up: is a fleet's program in force? Pure; time is an argument.
//!
//! In force means: every proxy of the fleet whose pod is Ready and whose stream is open has acked it, and there is at
//! least one. A proxy that was sent a generation and stays silent for [`SILENCE`] is named and no longer counts.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use torana_ir::ResourceKey;

use super::identity::PodIdentity;
use crate::store::FleetId;

/// A proxy that has not acked what it was sent so long ago no longer counts.
pub const SILENCE: Duration = Duration::from_secs(10);

/// One stream of one pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// The fleet that the pod belongs to.
    pub fleet: FleetId,
    /// The pod, as its token says.
    pub pod: PodIdentity,
    /// Number of the stream; a later one of the same pod takes the place of an earlier one.
    pub stream: u64,
}

/// What happens to a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProxyEvent {
    /// It is open.
    Connected,
    /// A generation is on its way; the next one follows its ack.
    Sent(u64),
    /// The generation is in force, but for what is rejected; of that the proxy keeps what it had.
    Acked {
        /// Which one.
        generation: u64,
        /// Each with the reason.
        rejected: BTreeMap<ResourceKey, String>,
    },
    /// It is closed.
    Disconnected,
}

/// Whether a generation is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// No proxy counts: none is connected and Ready, or all are silent.
    NoProxy,
    /// These pods have not acked it yet.
    Pending(Vec<String>),
    /// Every proxy that counts has acked it.
    InForce,
}

/// What is to be said of a fleet's generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programmed {
    /// Whether it is in force.
    pub standing: Standing,
    /// The generation that every proxy that counts has in force, or a later one; 0 if there is none.
    pub acked: u64,
    /// What some proxy that counts could not put in force, with the first reason.
    pub rejected: BTreeMap<ResourceKey, String>,
    /// Ready pods that are connected and do not answer.
    pub silent: Vec<String>,
    /// Ready pods that are not connected: nobody knows what they have in force.
    pub away: usize,
}

#[derive(Debug)]
struct Stream {
    proxy: Proxy,
    /// What it was sent and has not acked, and since when.
    sent: Option<(u64, Instant)>,
    acked: Option<u64>,
    rejected: BTreeMap<ResourceKey, String>,
}

impl Stream {
    fn silent(&self, now: Instant) -> bool {
        self.sent.is_some_and(|(_, since)| now.saturating_duration_since(since) >= SILENCE)
    }
}

/// All open streams, by the uid of their pod.
#[derive(Debug, Default)]
pub struct Acks(BTreeMap<String, Stream>);

impl Acks {
    /// Takes what happened. Returns whether it may change an answer; events of a stream whose place was taken do not.
    pub fn on_event(&mut self, proxy: &Proxy, event: ProxyEvent, now: Instant) -> bool {
        let uid = &proxy.pod.pod_uid;
        if event == ProxyEvent::Connected {
            if self.0.get(uid).is_none_or(|before| before.proxy.stream < proxy.stream) {
                let stream = Stream { proxy: proxy.clone(), sent: None, acked: None, rejected: BTreeMap::new() };
                self.0.insert(uid.clone(), stream);
            }
            return true;
        }
        let Some(stream) = self.0.get_mut(uid).filter(|stream| stream.proxy.stream == proxy.stream) else {
            return false;
        };
        match event {
            ProxyEvent::Connected => {}
            ProxyEvent::Sent(generation) => stream.sent = Some((generation, now)),
            ProxyEvent::Acked { generation, rejected } => {
                stream.acked = Some(generation);
                stream.rejected = rejected;
                stream.sent = stream.sent.filter(|(sent, _)| *sent > generation);
            }
            ProxyEvent::Disconnected => drop(self.0.remove(uid)),
        }
        true
    }

    /// Whether `generation` of `fleet` is in force. `ready` holds the uids of pods that are Ready.
    pub fn programmed(&self, fleet: &FleetId, generation: u64, ready: &BTreeSet<String>, now: Instant) -> Programmed {
        let of_fleet = self.0.iter().filter(|(uid, stream)| stream.proxy.fleet == *fleet && ready.contains(*uid));
        let (silent, counted): (Vec<_>, Vec<_>) = of_fleet.map(|(_, stream)| stream).partition(|it| it.silent(now));
        let waiting: Vec<&Stream> =
            counted.iter().copied().filter(|it| it.acked.is_none_or(|acked| acked < generation)).collect();
        let acked = counted.iter().map(|it| it.acked.unwrap_or_default()).min().unwrap_or_default();
        let standing = match (counted.is_empty(), waiting.is_empty()) {
            (true, _) => Standing::NoProxy,
            (false, true) => Standing::InForce,
            (false, false) => Standing::Pending(names(&waiting)),
        };
        let mut rejected = BTreeMap::new();
        for (key, reason) in counted.iter().flat_map(|stream| &stream.rejected) {
            rejected.entry(key.clone()).or_insert_with(|| reason.clone());
        }
        let is_away = |uid: &&String| self.stream(uid).is_none_or(|proxy| proxy.fleet != *fleet);
        let away = ready.iter().filter(is_away).count();
        Programmed { standing, acked, rejected, silent: names(&silent), away }
    }

    /// When the next proxy falls silent, if nothing happens until then.
    pub fn next_silence(&self, now: Instant) -> Option<Instant> {
        let due = self.0.values().filter_map(|stream| stream.sent).map(|(_, since)| since + SILENCE);
        due.filter(|due| *due > now).min()
    }

    /// The stream of a pod.
    pub fn stream(&self, uid: &str) -> Option<&Proxy> {
        self.0.get(uid).map(|stream| &stream.proxy)
    }

    /// How many proxies of `fleet` are connected.
    pub fn connected(&self, fleet: &FleetId) -> usize {
        self.0.values().filter(|stream| stream.proxy.fleet == *fleet).count()
    }
}

fn names(streams: &[&Stream]) -> Vec<String> {
    streams.iter().map(|stream| stream.proxy.pod.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use torana_ir::{GatewayId, ListenerKey};

    use super::*;

    fn fleet() -> FleetId {
        FleetId("edge".to_owned())
    }

    fn proxy(pod: &str, stream: u64) -> Proxy {
        let (namespace, service_account) = ("n".to_owned(), "edge".to_owned());
        let pod = PodIdentity { namespace, service_account, pod_name: pod.to_owned(), pod_uid: format!("uid-{pod}") };
        Proxy { fleet: fleet(), pod, stream }
    }

    fn acked(generation: u64) -> ProxyEvent {
        ProxyEvent::Acked { generation, rejected: BTreeMap::new() }
    }

    fn ready(pods: &[&str]) -> BTreeSet<String> {
        pods.iter().map(|pod| format!("uid-{pod}")).collect()
    }

    fn pending(pods: &[&str]) -> Standing {
        Standing::Pending(pods.iter().map(|pod| format!("n/{pod}")).collect())
    }

    struct World {
        acks: Acks,
        now: Instant,
    }

    impl World {
        fn new() -> Self {
            Self { acks: Acks::default(), now: Instant::now() }
        }

        fn is(&mut self, proxy: &Proxy, event: ProxyEvent) {
            self.acks.on_event(proxy, event, self.now);
        }

        /// Connected, and acked up to `generation`.
        fn follows(&mut self, proxy: &Proxy, generation: u64) {
            for event in [ProxyEvent::Connected, ProxyEvent::Sent(generation), acked(generation)] {
                self.is(proxy, event);
            }
        }

        fn standing(&self, generation: u64, pods: &[&str]) -> Standing {
            self.programmed(generation, pods).standing
        }

        fn programmed(&self, generation: u64, pods: &[&str]) -> Programmed {
            self.acks.programmed(&fleet(), generation, &ready(pods), self.now)
        }
    }

    #[test]
    fn without_a_ready_and_connected_proxy_nothing_is_in_force() {
        let mut world = World::new();
        assert_eq!(world.standing(1, &["a"]), Standing::NoProxy);
        world.follows(&proxy("a", 1), 1);
        assert_eq!(world.standing(1, &[]), Standing::NoProxy, "not Ready");
        assert_eq!(world.standing(1, &["a"]), Standing::InForce);
        world.is(&proxy("a", 1), ProxyEvent::Disconnected);
        assert_eq!(world.standing(1, &["a"]), Standing::NoProxy);
    }

    #[test]
    fn every_one_of_two_proxies_must_ack() {
        let mut world = World::new();
        world.follows(&proxy("a", 1), 2);
        world.follows(&proxy("b", 2), 1);
        assert_eq!(world.standing(2, &["a", "b"]), pending(&["b"]));
        assert_eq!(world.standing(1, &["a", "b"]), Standing::InForce, "a later ack says it of earlier ones");
        world.is(&proxy("b", 2), acked(2));
        assert_eq!(world.standing(2, &["a", "b"]), Standing::InForce);
    }

    #[test]
    fn a_ready_proxy_that_is_not_connected_holds_nobody_back_and_is_counted() {
        let mut world = World::new();
        world.follows(&proxy("a", 1), 1);
        let programmed = world.programmed(1, &["a", "b", "c"]);
        assert_eq!((programmed.standing, programmed.away), (Standing::InForce, 2));
        world.follows(&proxy("b", 2), 1);
        world.follows(&proxy("c", 3), 1);
        assert_eq!(world.programmed(1, &["a", "b", "c"]).away, 0);
        world.is(&proxy("c", 3), ProxyEvent::Disconnected);
        assert_eq!((world.programmed(1, &["a", "b", "c"]).away, world.programmed(1, &["a", "b"]).away), (1, 0));
    }

    #[test]
    fn a_crash_looping_proxy_holds_nobody_back() {
        let mut world = World::new();
        world.follows(&proxy("a", 1), 2);
        world.is(&proxy("b", 2), ProxyEvent::Connected);
        world.is(&proxy("b", 2), ProxyEvent::Sent(2));
        assert_eq!(world.standing(2, &["a"]), Standing::InForce, "its pod is not Ready");
    }

    #[test]
    fn a_proxy_that_stays_silent_is_named_and_no_longer_counts_until_it_speaks() {
        let mut world = World::new();
        world.follows(&proxy("a", 1), 2);
        world.follows(&proxy("b", 2), 1);
        world.is(&proxy("b", 2), ProxyEvent::Sent(2));
        assert_eq!(world.acks.next_silence(world.now), Some(world.now + SILENCE));
        let almost = Duration::from_millis(9_999);
        world.now += almost;
        assert_eq!(world.standing(2, &["a", "b"]), pending(&["b"]));
        world.now += Duration::from_millis(1);
        let programmed = world.programmed(2, &["a", "b"]);
        assert_eq!((programmed.standing, programmed.silent), (Standing::InForce, vec!["n/b".to_owned()]));
        assert_eq!(world.acks.next_silence(world.now), None, "it is silent already");
        assert_eq!(world.standing(2, &["b"]), Standing::NoProxy, "all are silent");
        world.is(&proxy("b", 2), acked(2));
        assert_eq!(world.programmed(2, &["a", "b"]).silent, Vec::<String>::new());
    }

    #[test]
    fn a_proxy_that_has_nothing_to_ack_is_not_silent() {
        let mut world = World::new();
        world.follows(&proxy("a", 1), 2);
        world.now += SILENCE * 100;
        assert_eq!(world.standing(2, &["a"]), Standing::InForce);
    }

    #[test]
    fn the_later_stream_of_a_pod_takes_the_place_of_the_earlier_one() {
        let mut world = World::new();
        world.follows(&proxy("a", 1), 2);
        world.is(&proxy("a", 2), ProxyEvent::Connected);
        assert_eq!(world.standing(2, &["a"]), pending(&["a"]), "a new stream has acked nothing");
        world.is(&proxy("a", 1), ProxyEvent::Disconnected);
        world.is(&proxy("a", 1), ProxyEvent::Connected);
        world.is(&proxy("a", 1), acked(2));
        assert_eq!(world.standing(2, &["a"]), pending(&["a"]), "what the old one says is of no interest");
        world.is(&proxy("a", 2), acked(2));
        assert_eq!(world.standing(2, &["a"]), Standing::InForce);
    }

    #[test]
    fn a_rejection_of_any_proxy_is_told_until_its_next_ack() {
        let mut world = World::new();
        let gateway = GatewayId { namespace: "n".to_owned(), name: "edge".to_owned() };
        let key = ResourceKey::Listener(ListenerKey { gateway, set: None, name: "http".to_owned() });
        let rejected = BTreeMap::from([(key.clone(), "PortUnavailable".to_owned())]);
        world.follows(&proxy("a", 1), 1);
        world.follows(&proxy("b", 2), 1);
        world.is(&proxy("b", 2), ProxyEvent::Acked { generation: 1, rejected: rejected.clone() });
        let programmed = world.programmed(1, &["a", "b"]);
        assert_eq!((programmed.standing, programmed.rejected), (Standing::InForce, rejected));
        assert_eq!(world.programmed(1, &["a"]).rejected.get(&key), None, "of a pod that does not count");
        world.is(&proxy("b", 2), acked(1));
        assert_eq!(world.programmed(1, &["a", "b"]).rejected.len(), 0);
    }

    #[test]
    fn fleets_do_not_mix() {
        let mut world = World::new();
        world.follows(&proxy("a", 1), 1);
        let other = world.acks.programmed(&FleetId("other".to_owned()), 1, &ready(&["a"]), world.now);
        assert_eq!(other.standing, Standing::NoProxy);
    }
}
