// SPDX-License-Identifier: Apache-2.0
//! The flows of one listening socket on one worker, by the client's address: opened by its first datagram, closed when
//! they have been idle for long enough, when their endpoint is gone, or when their place is needed.
//!
//! The kernel hashes a client's datagrams to one worker's socket, so a flow lives on one worker.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use tokio::net::UdpSocket;
use tokio::time::Instant;

use super::Course;
use super::account::{Account, Moved};
use super::flow::{Flow, LONGEST};
use crate::access::Facts;
use crate::address::canonical;
use crate::balance::{Draw, InFlight, Key};
use crate::fault::{Fault, Overflow};
use crate::http::Worker;
use crate::table::{Bind, StreamPlan};

/// Flows that are looked at for one to give up its place; then the longest known goes.
const CANDIDATES: usize = 64;

/// A client whose flow leads nowhere is not asked about again for this long: its datagrams are dropped.
const REFUSED: Duration = Duration::from_secs(1);

/// The flows of one socket. Each holds a `P`, the right to be there.
pub(crate) struct Flows<P> {
    socket: Arc<UdpSocket>,
    bind: Bind,
    worker: Arc<Worker>,
    known: HashMap<SocketAddr, Entry<P>, RandomState>,
    /// Clients, those that have been quiet for longest near the front: each with when it was last known to speak.
    order: VecDeque<(SocketAddr, Instant)>,
}

struct Entry<P> {
    /// An error: it leads nowhere.
    open: Result<Open, Fault>,
    since: Instant,
    idle: Duration,
    course: Course,
    account: Account,
    _place: P,
}

struct Open {
    flow: Arc<Flow>,
    endpoint: SocketAddr,
    _in_flight: InFlight,
}

impl<P> Flows<P> {
    /// The flows that come in by `socket`.
    pub(crate) fn new(socket: Arc<UdpSocket>, bind: Bind, worker: Arc<Worker>) -> Self {
        Self { socket, bind, worker, known: HashMap::default(), order: VecDeque::new() }
    }

    /// A buffer for one datagram.
    pub(crate) fn buffer() -> Vec<u8> {
        vec![0; LONGEST]
    }

    /// Passes one datagram on. A client that is not known gets a flow, if `admit` has a place for it, if need be that of
    /// a flow that has been idle for long.
    pub(crate) fn take(&mut self, client: SocketAddr, datagram: &[u8], mut admit: impl FnMut() -> Option<P>) {
        let now = Instant::now();
        if let Some(entry) = self.known.get(&client) {
            match &entry.open {
                Ok(open) if !open.flow.is_broken() => return open.flow.forward(datagram, now, &self.worker),
                Ok(_) if now >= entry.since + REFUSED => self.close(client, Some(Fault::Connect)),
                _ => return,
            }
        }
        let place = admit().or_else(|| {
            self.make_room();
            admit()
        });
        let Some(place) = place else { return self.worker.metrics.connection_refused("flow_cap") };
        let Some(entry) = self.enter(client, now, place) else { return };
        if let Ok(open) = &entry.open {
            open.flow.forward(datagram, now, &self.worker);
        }
        self.known.insert(client, entry);
        self.order.push_back((client, now));
    }

    /// `None` if the listener went while the datagram was on its way.
    fn enter(&self, client: SocketAddr, now: Instant, place: P) -> Option<Entry<P>> {
        let routed = self.worker.table.load().bind(&self.bind)?.stream()?;
        let facts = Facts::of(client.ip(), (client, self.local(client)), None, &[]);
        let course = Course::set(routed, &facts);
        let mut account = Account::begin(&self.worker, canonical(client), &course);
        let open = self.open(client, now, &course, &mut account);
        account.begun(&self.worker, &course);
        let idle = course.routed.listener.limits.udp_idle;
        Some(Entry { open, since: now, idle, course, account, _place: place })
    }

    /// Where datagrams come in. Of a socket for all addresses it is not known which of them a datagram was for.
    fn local(&self, client: SocketAddr) -> SocketAddr {
        let any = if client.is_ipv4() { IpAddr::from([0; 4]) } else { IpAddr::from([0; 16]) };
        SocketAddr::new(self.bind.address.unwrap_or(any), self.bind.port)
    }

    fn open(&self, client: SocketAddr, now: Instant, course: &Course, account: &mut Account) -> Result<Open, Fault> {
        let backend = course.onward.as_ref().map_err(|fault| *fault)?;
        let key = Key::of_stream(&backend.config.balance, client.ip());
        let draw = Draw { random: fastrand::u64(..), key, tried: &[] };
        let endpoint = backend.pick(&draw, || now.into_std()).ok_or(Fault::NoEndpoints)?;
        account.tried((&endpoint, None), "plain");
        let flow = Flow::open(client, endpoint.address, now).map_err(|error| {
            tracing::debug!(endpoint = %endpoint.address, %error, "no socket for a flow");
            Fault::Connect
        })?;
        tokio::spawn(Arc::clone(&flow).answer(Arc::downgrade(&self.socket), Arc::clone(&self.worker)));
        Ok(Open { flow, endpoint: endpoint.address, _in_flight: endpoint.begin() })
    }

    /// Closes what is idle, broken or stale; called once a second.
    pub(crate) fn sweep(&mut self) {
        let now = Instant::now();
        let routed = self.worker.table.load().bind(&self.bind).and_then(|bind| bind.stream());
        let plan = routed.and_then(|routed| routed.plan);
        let over = |entry: &Entry<P>| match &entry.open {
            Err(fault) => (now >= entry.since + REFUSED).then_some(Some(*fault)),
            Ok(open) if open.flow.is_broken() => Some(Some(Fault::Connect)),
            Ok(open) if now >= open.flow.seen() + entry.idle => Some(None),
            Ok(open) if is_stale(open, &entry.course, plan.as_ref()) => Some(None),
            Ok(_) => None,
        };
        let gone: Vec<_> = self.known.iter().filter_map(|(client, entry)| Some((*client, over(entry)?))).collect();
        for (client, fault) in gone {
            self.close(client, fault);
        }
        let known = &self.known;
        self.order.retain(|(client, _)| known.contains_key(client));
    }

    /// Gives up the flow that has been idle for longest, as far as can be told without looking at all of them.
    fn make_room(&mut self) {
        for left in (0..CANDIDATES).rev() {
            let Some((client, then)) = self.order.pop_front() else { return };
            let Some(entry) = self.known.get(&client) else { continue };
            let seen = entry.open.as_ref().map_or(entry.since, |open| open.flow.seen());
            if seen > then && left > 0 {
                self.order.push_back((client, seen));
                continue;
            }
            return self.close(client, Some(Fault::Overload(Overflow::Connections)));
        }
    }

    fn close(&mut self, client: SocketAddr, fault: Option<Fault>) {
        let Some(entry) = self.known.remove(&client) else { return };
        let moved = entry.open.as_ref().ok().map(|open| {
            open.flow.end();
            let (received, sent) = open.flow.moved();
            Moved { received, sent }
        });
        entry.account.close(&self.worker, &entry.course, moved.unwrap_or_default(), fault);
    }

    /// Closes them all.
    pub(crate) fn end(&mut self) {
        let clients: Vec<_> = self.known.keys().copied().collect();
        for client in clients {
            self.close(client, None);
        }
    }
}

/// Whether a flow would not be opened to where it goes any more: flows have no end of their own, so one that is never
/// idle must not outlive its endpoint.
fn is_stale(open: &Open, course: &Course, plan: Option<&Arc<StreamPlan>>) -> bool {
    let Ok(backend) = &course.onward else { return true };
    let same = match (plan, &course.routed.plan) {
        (Some(now), Some(then)) => Arc::ptr_eq(now, then),
        _ => false,
    };
    let backend = if same { Some(backend) } else { plan.and_then(|plan| plan.backend(backend.key())) };
    backend.is_none_or(|backend| !backend.endpoints().iter().any(|(endpoint, _)| endpoint.address == open.endpoint))
}
