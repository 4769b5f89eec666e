// SPDX-License-Identifier: Apache-2.0
//! How many connections and flows there may be, connections also from one client; and who has to wait because its
//! connections had to be ended for what they sent.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use hashbrown::HashMap;

/// Locks that clients are spread over.
const SHARDS: usize = 16;
/// Clients of a shard beyond which no strikes of others are remembered.
const MOST_REMEMBERED: usize = 1_024;
/// Connections of one client that may be ended for abuse before its next ones are refused. An address that many clients
/// share has as many more as it has connections open.
const STRIKES: u32 = 20;
/// For each flow of UDP there may be so many connections. Who sends a datagram may write any address on it, so flows must
/// not take the place of connections, and are not counted by client.
const CONNECTIONS_A_FLOW: usize = 4;
/// One strike is forgiven after this.
const FORGIVEN: Duration = Duration::from_secs(5);

/// Caps on clients' connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// In all. Below half of the file descriptors, since most requests need one more for their backend.
    pub connections: usize,
    /// From one IPv4 address or one IPv6 /64.
    pub connections_per_ip: usize,
}

impl Caps {
    /// For a process that may open this many files: just below half of them, and half of that for one client (it may be
    /// a load balancer or a NAT).
    pub fn for_open_files(files: usize) -> Self {
        let connections = (files / 2).saturating_sub(64).max(64);
        Self { connections, connections_per_ip: (connections / 2).max(32) }
    }
}

/// What is known of a client.
#[derive(Default)]
struct Client {
    open: usize,
    strikes: u32,
    /// When the last strike was given or forgiven.
    since: Option<Instant>,
}

impl Client {
    /// Strikes that time has not forgiven.
    fn strikes(&mut self, now: Instant) -> u32 {
        if let Some(since) = self.since {
            let forgiven = (now.saturating_duration_since(since).as_secs() / FORGIVEN.as_secs()) as u32;
            self.strikes = self.strikes.saturating_sub(forgiven);
            self.since = (self.strikes > 0).then_some(since + FORGIVEN * forgiven);
        }
        self.strikes
    }

    fn admit(&mut self, caps: Caps, now: Instant) -> Result<(), &'static str> {
        if self.open >= caps.connections_per_ip {
            return Err("ip_cap");
        }
        if self.strikes(now) as usize >= STRIKES as usize + self.open {
            return Err("ip_abuse");
        }
        self.open += 1;
        Ok(())
    }
}

/// Some of the clients.
#[derive(Default)]
struct Clients {
    known: HashMap<IpAddr, Client, RandomState>,
    /// When those were last looked for who need not be remembered.
    swept: Option<Instant>,
}

impl Clients {
    /// Makes room, if there is none, but not all the time.
    fn sweep(&mut self, now: Instant) {
        let lately = self.swept.is_some_and(|swept| now.saturating_duration_since(swept) < FORGIVEN);
        if self.known.len() > MOST_REMEMBERED && !lately {
            self.swept = Some(now);
            self.known.retain(|_, client| client.open > 0 || client.strikes(now) > 0);
        }
    }
}

type Shard = Mutex<Clients>;

/// The connections that there are.
pub(crate) struct Admission {
    caps: Caps,
    connections: AtomicUsize,
    flows: AtomicUsize,
    clients: [Shard; SHARDS],
    hasher: RandomState,
}

/// The right to one flow; given back when dropped.
pub(crate) struct FlowPlace(Arc<Admission>);

impl Drop for FlowPlace {
    fn drop(&mut self) {
        self.0.flows.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The right to one connection; given back when dropped.
pub(crate) struct Place {
    admission: Arc<Admission>,
    client: IpAddr,
}

impl Admission {
    pub(crate) fn new(caps: Caps) -> Arc<Self> {
        let clients = std::array::from_fn(|_| Mutex::default());
        Arc::new(Self {
            caps,
            connections: AtomicUsize::new(0),
            flows: AtomicUsize::new(0),
            clients,
            hasher: RandomState::default(),
        })
    }

    /// Connections that are open now.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// A place for a connection from `ip`, or the word of `torana_connections_refused_total{reason}`.
    pub(super) fn admit(self: &Arc<Self>, ip: IpAddr, now: Instant) -> Result<Place, &'static str> {
        if self.connections.fetch_add(1, Ordering::Relaxed) >= self.caps.connections {
            self.connections.fetch_sub(1, Ordering::Relaxed);
            return Err("global_cap");
        }
        let client = client_of(ip);
        let admitted = self.shard(client).known.entry(client).or_default().admit(self.caps, now);
        match admitted {
            Ok(()) => Ok(Place { admission: Arc::clone(self), client }),
            Err(reason) => {
                self.connections.fetch_sub(1, Ordering::Relaxed);
                Err(reason)
            }
        }
    }

    /// A place for a flow, if there is one.
    pub(super) fn admit_flow(self: &Arc<Self>) -> Option<FlowPlace> {
        let most = (self.caps.connections / CONNECTIONS_A_FLOW).max(1);
        let before = self.flows.fetch_add(1, Ordering::Relaxed);
        let place = FlowPlace(Arc::clone(self));
        (before < most).then_some(place)
    }

    fn leave(&self, client: IpAddr) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
        self.release(client);
    }

    fn release(&self, client: IpAddr) {
        let mut shard = self.shard(client);
        if let Some(known) = shard.known.get_mut(&client) {
            known.open -= 1;
            if known.open == 0 && known.strikes == 0 {
                shard.known.remove(&client);
            }
        }
    }

    fn strike(&self, client: IpAddr, now: Instant) {
        let mut shard = self.shard(client);
        shard.sweep(now);
        // The one who is struck has a connection open, so it is here; with too many others it is not remembered.
        let full = shard.known.len() > MOST_REMEMBERED;
        if let Some(known) = shard.known.get_mut(&client).filter(|_| !full) {
            known.strikes = known.strikes(now).saturating_add(1);
            known.since.get_or_insert(now);
        }
    }

    fn shard(&self, client: IpAddr) -> MutexGuard<'_, Clients> {
        use std::hash::BuildHasher as _;
        let shard = &self.clients[self.hasher.hash_one(client) as usize % SHARDS];
        // Counts are right after every statement, so a panic elsewhere left them right.
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The same, of `ip`: whoever connected has done so for that client.
    pub(super) fn of(mut self, ip: IpAddr, now: Instant) -> Result<Self, &'static str> {
        let client = client_of(ip);
        self.admission.shard(client).known.entry(client).or_default().admit(self.admission.caps, now)?;
        self.admission.release(std::mem::replace(&mut self.client, client));
        Ok(self)
    }

    /// The connection had to be ended for what its client sent.
    pub(super) fn strike(&self, now: Instant) {
        self.admission.strike(self.client, now);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.admission.leave(self.client);
    }
}

/// Who owns one IPv6 address owns its /64.
fn client_of(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn admit(admission: &Arc<Admission>, from: &str) -> Result<Place, &'static str> {
        admission.admit(ip(from), Instant::now())
    }

    #[test]
    fn one_client_cannot_take_all_places() {
        let admission = Admission::new(Caps { connections: 3, connections_per_ip: 2 });
        let first = admit(&admission, "10.0.0.1").ok().unwrap();
        let _second = admit(&admission, "10.0.0.1").ok().unwrap();
        assert_eq!(admit(&admission, "10.0.0.1").err(), Some("ip_cap"));
        let _third = admit(&admission, "10.0.0.2").ok().unwrap();
        assert_eq!(admit(&admission, "10.0.0.3").err(), Some("global_cap"));
        drop(first);
        assert_eq!(admission.connections(), 2);
        let _again = admit(&admission, "10.0.0.1").ok().unwrap();
    }

    #[test]
    fn a_v6_client_is_its_64_bit_prefix() {
        let admission = Admission::new(Caps { connections: 9, connections_per_ip: 1 });
        let place = admit(&admission, "2001:db8::1").ok().unwrap();
        assert_eq!(admit(&admission, "2001:db8::2").err(), Some("ip_cap"));
        assert!(admit(&admission, "2001:db8:0:1::1").is_ok());
        drop(place);
        assert!(admission.clients.iter().all(|shard| shard.lock().unwrap().known.is_empty()), "nothing is kept");
    }

    #[test]
    fn a_place_that_is_taken_for_somebody_is_his() {
        let admission = Admission::new(Caps { connections: 9, connections_per_ip: 2 });
        let now = Instant::now();
        let places: Vec<Place> = (1..=4)
            .map(|client| {
                let of_balancer = admit(&admission, "10.0.0.1").ok().unwrap();
                of_balancer.of(ip(&format!("203.0.113.{}", client % 2)), now).ok().unwrap()
            })
            .collect();
        let more = admit(&admission, "10.0.0.1").ok().unwrap();
        assert_eq!(more.of(ip("203.0.113.1"), now).err(), Some("ip_cap"));
        assert_eq!(admission.connections(), 4);
        drop(places);
        assert_eq!(admission.connections(), 0);
        assert!(admission.clients.iter().all(|shard| shard.lock().unwrap().known.values().all(|it| it.open == 0)));
    }

    #[test]
    fn caps_leave_descriptors_for_backends() {
        let caps = Caps::for_open_files(1024);
        assert!(caps.connections < 512 && caps.connections_per_ip < caps.connections);
    }

    #[test]
    fn who_abuses_one_connection_after_the_other_has_to_wait_and_nobody_else() {
        let admission = Admission::new(Caps { connections: 99, connections_per_ip: 99 });
        let now = Instant::now();
        for _ in 0..STRIKES {
            admission.admit(ip("10.0.0.1"), now).ok().unwrap().strike(now);
        }
        assert_eq!(admission.admit(ip("10.0.0.1"), now).err(), Some("ip_abuse"));
        assert_eq!(admission.connections(), 0);
        assert!(admission.admit(ip("10.0.0.2"), now).is_ok());
        let later = now + FORGIVEN;
        admission.admit(ip("10.0.0.1"), later).ok().unwrap().strike(later);
        assert_eq!(admission.admit(ip("10.0.0.1"), later).err(), Some("ip_abuse"));
        assert!(admission.admit(ip("10.0.0.1"), later + FORGIVEN * STRIKES).is_ok());
        assert!(admission.clients.iter().all(|shard| shard.lock().unwrap().known.is_empty()), "nothing is kept");
    }

    #[test]
    fn an_address_with_many_peaceful_connections_has_more_room() {
        let admission = Admission::new(Caps { connections: 99, connections_per_ip: 99 });
        let now = Instant::now();
        let peaceful: Vec<Place> = (0..5).map(|_| admission.admit(ip("10.0.0.1"), now).ok().unwrap()).collect();
        for _ in 0..STRIKES + 5 {
            admission.admit(ip("10.0.0.1"), now).ok().unwrap().strike(now);
        }
        assert_eq!(admission.admit(ip("10.0.0.1"), now).err(), Some("ip_abuse"));
        drop(peaceful);
    }

    #[test]
    fn strikes_of_many_are_not_remembered_without_bound() {
        let admission = Admission::new(Caps { connections: 9, connections_per_ip: 9 });
        let now = Instant::now();
        for number in 0..(MOST_REMEMBERED * SHARDS * 2) as u32 {
            admission.admit(IpAddr::V4(number.into()), now).ok().unwrap().strike(now);
        }
        let remembered = || admission.clients.iter().map(|shard| shard.lock().unwrap().known.len()).collect::<Vec<_>>();
        assert!(remembered().iter().all(|clients| *clients <= MOST_REMEMBERED + 1), "{:?}", remembered());
        let later = now + FORGIVEN;
        for number in 0..1_000_u32 {
            admission.admit(IpAddr::V4((1 << 30 | number).into()), later).ok().unwrap().strike(later);
        }
        assert!(remembered().iter().sum::<usize>() <= 1_000, "{:?}", remembered());
    }
}
