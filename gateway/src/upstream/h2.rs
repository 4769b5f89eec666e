// SPDX-License-Identifier: Apache-2.0
//! Shared HTTP/2 connections of one worker: Pingora's `ConnectionRef`s.
//!
//! A connection keeps its place under the backend's cap until its last stream is over. While somebody waits for a place,
//! one that is idle closes, and one that was lent past them often enough is lent to nobody any more.

use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use pingora_core::connectors::http::v2::{ConnectionRef, H2HandshakeSettings, handshake};
use pingora_core::protocols::http::v2::client::Http2Session;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::queue::{self, FULL};
use super::{Key, Owners, Target, Wires};
use crate::balance::Use;
use crate::connections::{Keeper, Slot};
use crate::fault::Fault;
use crate::tls::backends::Alpn;

/// Streams on one connection at a time.
const MAX_STREAMS: usize = 100;
/// Receive window of a stream: bounds what a slow client's download may hold.
const STREAM_WINDOW: u32 = 64 << 10;
/// Receive window of a connection: what all streams may hold together, so that slow clients cannot hold back the others
/// whose streams are on the same connection.
const CONNECTION_WINDOW: u32 = MAX_STREAMS as u32 * STREAM_WINDOW;
/// A connection on which the backend refuses streams is left; so often another is tried.
const ATTEMPTS: usize = 3;

struct Shared {
    connection: ConnectionRef,
    /// It is lent to nobody after that.
    ends: Option<Instant>,
    /// When it was last lent out or seen at work.
    used: Instant,
    /// How long it may be idle.
    idle: Duration,
    /// Requests that it was lent out for.
    served: u32,
    owners: Owners,
    held: Arc<Held>,
}

impl Shared {
    /// It is dropped when it has been idle for too long, and closes when its last borrower is gone.
    fn is_of_use(&mut self, now: Instant) -> bool {
        if !self.connection.is_idle() {
            self.used = now;
        }
        let wanted = self.connection.is_idle() && self.held.slot.is_wanted();
        let fresh = self.ends.is_none_or(|end| now < end) && now < self.used + self.idle;
        usable(&self.connection) && fresh && self.owners.are_there() && !wanted
    }
}

/// What a connection holds as long as anybody uses it.
struct Held {
    slot: Slot,
    backend: u64,
    line: Arc<Turns>,
    pool: Weak<Pool>,
}

/// The right to one stream of a connection; to be dropped after the stream.
pub(crate) struct Lease(Arc<Held>);

impl Drop for Lease {
    fn drop(&mut self) {
        let Held { slot, backend, line, pool } = &*self.0;
        line.room.notify_one();
        if slot.is_wanted()
            && line.waiting.load(Ordering::SeqCst) == 0
            && let Some(pool) = pool.upgrade()
        {
            pool.give_up(*backend);
        }
    }
}

/// Who opens a connection, and who waits for a stream.
#[derive(Default)]
struct Turns {
    /// One connect at a time: the others wait for it instead of opening their own.
    opening: tokio::sync::Mutex<()>,
    /// A stream is over, or there is another connection.
    room: Notify,
    waiting: AtomicU32,
}

/// One of those that wait.
struct Stand<'t>(&'t Turns);

impl<'t> Stand<'t> {
    fn take(line: &'t Turns) -> Self {
        line.waiting.fetch_add(1, Ordering::SeqCst);
        Self(line)
    }
}

impl Drop for Stand<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

#[derive(Default)]
struct Line {
    shared: Vec<Shared>,
    turns: Arc<Turns>,
}

type Lines = HashMap<Key, Line, RandomState>;

/// A connection with room for one more stream.
type Room = (ConnectionRef, Lease);

/// What a request has waited for.
enum Came {
    Room(Room),
    Place(Slot),
}

/// By endpoint, identity and name.
#[derive(Default)]
pub(super) struct Pool {
    lines: Mutex<Lines>,
    numbers: RandomState,
}

impl Pool {
    /// A stream on a connection with room, or on a new connection.
    pub(super) async fn stream(
        self: &Arc<Self>,
        target: &Target<'_>,
        wires: &Wires,
    ) -> Result<(Http2Session, Lease), Fault> {
        for _ in 0..ATTEMPTS {
            let (connection, lease) = match self.with_room(target) {
                Some(room) => room,
                None => self.open(target, wires).await?,
            };
            let spawning = tokio::time::timeout_at(target.connect_deadline(), connection.spawn_stream());
            match spawning.await {
                Ok(Ok(Some(session))) => return Ok((session, lease)),
                // Full, or going away.
                Ok(Ok(None)) => {}
                Ok(Err(_)) | Err(_) => connection.mark_shutdown(),
            }
        }
        Err(Fault::Connect)
    }

    pub(super) fn sweep(&self, now: Instant) {
        self.lines().retain(|_, line| {
            line.shared.retain_mut(|shared| shared.is_of_use(now));
            !line.shared.is_empty() || Arc::strong_count(&line.turns) > 1
        });
    }

    fn with_room(&self, target: &Target<'_>) -> Option<Room> {
        let key = target.key();
        let mut lines = self.lines();
        let line = lines.get_mut(&key)?;
        // One that may carry no more requests closes when its last borrower is gone.
        let most = target.backend.config.caps.requests_per_connection.map_or(u32::MAX, NonZeroU32::get);
        let old = |shared: &Shared| shared.ends.is_some_and(|end| Instant::now() >= end);
        line.shared.retain(|shared| usable(&shared.connection) && shared.served < most && !old(shared));
        let at = line.shared.iter().position(|shared| shared.connection.free_stream_slots() > 0)?;
        let found = line.shared.get_mut(at)?;
        let slot = &found.held.slot;
        if slot.is_wanted() && !slot.connections().pass(self.lane(key)) {
            line.shared.swap_remove(at);
            return None;
        }
        found.used = Instant::now();
        found.served = found.served.saturating_add(1);
        Some((found.connection.clone(), Lease(Arc::clone(&found.held))))
    }

    async fn open(self: &Arc<Self>, target: &Target<'_>, wires: &Wires) -> Result<Room, Fault> {
        let _pending = target.backend.place(Use::Pending).map_err(Fault::Overload)?;
        let turns = Arc::clone(&self.lines().entry(target.key()).or_default().turns);
        let mut place = None;
        loop {
            let deadline = target.connect_deadline();
            let turn = tokio::time::timeout_at(deadline, turns.opening.lock()).await;
            let turn = turn.map_err(|_| Fault::Connect)?;
            if let Some(room) = self.with_room(target) {
                return Ok(room);
            }
            if let Some(slot) = place.take().or_else(|| target.backend.connections().take()) {
                return self.connect(target, (slot, &turns, deadline), wires).await;
            }
            drop(turn);
            // Boxed: few wait, and all would carry the room for it.
            match Box::pin(self.wait(target, &turns)).await? {
                Came::Room(room) => return Ok(room),
                Came::Place(slot) => place = Some(slot),
            }
        }
    }

    /// Waits for room on a connection, or for a place for a new one.
    async fn wait(&self, target: &Target<'_>, turns: &Turns) -> Result<Came, Fault> {
        let _stand = Stand::take(turns);
        let (mut place, until) = queue::line_up(target, self.lane(target.key()))?;
        let mut late = pin!(tokio::time::sleep_until(until));
        loop {
            if let Some(room) = self.with_room(target) {
                return Ok(Came::Room(room));
            }
            tokio::select! {
                biased;
                slot = &mut place => return Ok(Came::Place(slot)),
                () = turns.room.notified() => {}
                () = &mut late => return Err(FULL),
            }
        }
    }

    async fn connect(
        self: &Arc<Self>,
        target: &Target<'_>,
        (slot, turns, deadline): (Slot, &Arc<Turns>, Instant),
        wires: &Wires,
    ) -> Result<Room, Fault> {
        let io = Box::new(wires.open(&target.reach(), Some(Alpn::Http2)).await?);
        let mut settings = H2HandshakeSettings::new();
        let policy = &target.backend.config.connections;
        settings.max_streams =
            policy.concurrent_streams.map_or(MAX_STREAMS, |most| MAX_STREAMS.min(most.get() as usize));
        settings.stream_window_size = Some(STREAM_WINDOW);
        settings.connection_window_size = Some(CONNECTION_WINDOW);
        let shaking = tokio::time::timeout_at(deadline, handshake(io, settings));
        let connection = shaking.await.map_err(|_| Fault::Connect)?.map_err(|_| Fault::Connect)?;
        target.backend.connections().kept_by(self);
        let (backend, pool) = (target.backend.id, Arc::downgrade(self));
        let held = Arc::new(Held { slot, backend, line: Arc::clone(turns), pool });
        let lease = Lease(Arc::clone(&held));
        let (used, idle) = (Instant::now(), target.backend.config.idle);
        let ends = policy.longest.and_then(|longest| used.checked_add(longest));
        let owners = Owners::of(target);
        let shared = Shared { connection: connection.clone(), ends, used, idle, served: 1, owners, held };
        self.lines().entry(target.key()).or_default().shared.push(shared);
        turns.room.notify_waiters();
        Ok((connection, lease))
    }

    /// What is waited for with this key, as a number.
    fn lane(&self, key: Key) -> u64 {
        queue::lane(&self.numbers, self, key)
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keeper for Pool {
    fn give_up(&self, backend: u64) -> bool {
        let mut lines = self.lines();
        let mut of_backend = lines.iter_mut().filter(|(key, _)| key.backend == backend);
        let idle = of_backend.find_map(|(_, line)| {
            let at = line.shared.iter().position(|it| it.connection.is_idle() || !usable(&it.connection))?;
            Some(line.shared.swap_remove(at))
        });
        drop(lines);
        idle.is_some()
    }
}

fn usable(connection: &ConnectionRef) -> bool {
    !connection.is_closed() && !connection.is_shutting_down()
}
