// SPDX-License-Identifier: Apache-2.0
//! Outer connections of one worker by their keys, and who waits for one. One is opened at a time for a key: who comes
//! meanwhile waits for it, and shares its failure. It keeps no tunnel: those belong to who asked.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use tokio::sync::watch;
use tokio::time::Instant;

use super::outer::{Denied, Lease, Outer};
use super::state::{Counters, Counts};
use super::{Ask, Failure, Key, Tunnel};
use crate::fault::Fault;
use crate::io::Io;

/// A connection without a stream is kept so long.
const IDLE: Duration = Duration::from_mins(5);

/// What became of a dial; nothing yet at first.
type Dialled = Option<Result<(), Fault>>;

/// Outer connections, and what is counted of them.
#[derive(Default)]
pub struct Pool {
    lines: Mutex<Lines>,
    /// Numbers of connections and of dials.
    serials: AtomicU64,
    counters: Arc<Counters>,
}

type Lines = HashMap<Key, Line, RandomState>;

/// All of one key.
#[derive(Default)]
struct Line {
    kept: Vec<Kept>,
    /// A dial that is under way, by its number.
    dialling: Option<(u64, watch::Receiver<Dialled>)>,
}

struct Kept {
    outer: Arc<Outer>,
    /// When it was last lent out or seen with streams.
    used: Instant,
}

/// Whose turn it is.
enum Turn<'p> {
    Room(Lease),
    Wait(watch::Receiver<Dialled>),
    Dial(Dialling<'p>),
}

impl Pool {
    /// A pool without connections.
    pub fn new() -> Self {
        Self::default()
    }

    /// A tunnel over a connection of this key that has room, or over a new one from `dial`, by the deadline. What fails on
    /// a connection that was kept, and was no connection any more, is asked once more over one that is newer.
    ///
    /// `dial` connects and shakes hands; it ends early when whoever began it has no more time, and begins again for who
    /// else waits.
    pub async fn open<D, F>(&self, key: Key, ask: &Ask<'_>, deadline: Instant, dial: D) -> Result<Tunnel, Failure>
    where
        D: Fn() -> F,
        F: Future<Output = Result<Box<Io>, Fault>>,
    {
        tokio::time::timeout_at(deadline, self.opening(key, ask, dial)).await.unwrap_or(Err(Failure::TimedOut))
    }

    async fn opening<D, F>(&self, key: Key, ask: &Ask<'_>, dial: D) -> Result<Tunnel, Failure>
    where
        D: Fn() -> F,
        F: Future<Output = Result<Box<Io>, Fault>>,
    {
        let mut stale = None;
        loop {
            let kept = self.room(key, stale);
            let may_be_stale = kept.is_some() && stale.is_none();
            let lease = match kept {
                Some(lease) => lease,
                // Boxed: few have to wait, and all would carry the room for it.
                None => Box::pin(self.newer(key, stale, &dial)).await?,
            };
            let serial = lease.serial();
            match lease.ask(ask).await {
                Ok(tunnel) => return Ok(tunnel),
                Err(Denied::Unanswered) if may_be_stale => stale = Some(serial),
                Err(Denied::Unanswered | Denied::Reset) => return Err(Failure::Broken),
                Err(Denied::Refused(status)) => return Err(Failure::Refused(status)),
                Err(Denied::Malformed) => return Err(Failure::Dial(Fault::InvalidConfig)),
            }
        }
    }

    /// Room on a connection that was opened, or is opened now, after the one numbered `stale`.
    async fn newer<D, F>(&self, key: Key, stale: Option<u64>, dial: &D) -> Result<Lease, Failure>
    where
        D: Fn() -> F,
        F: Future<Output = Result<Box<Io>, Fault>>,
    {
        loop {
            match self.turn(key, stale) {
                Turn::Room(lease) => return Ok(lease),
                Turn::Dial(dialling) => return dialling.run(dial()).await.map_err(Failure::Dial),
                Turn::Wait(mut dialled) => {
                    // An error: who dialled has given up, and somebody else may.
                    if let Ok(Err(fault)) = dialled.wait_for(Option::is_some).await.map(|it| it.unwrap_or(Ok(()))) {
                        return Err(Failure::Dial(fault));
                    }
                }
            }
        }
    }

    fn room(&self, key: Key, stale: Option<u64>) -> Option<Lease> {
        self.lines().get_mut(&key)?.room(stale)
    }

    fn turn(&self, key: Key, stale: Option<u64>) -> Turn<'_> {
        let mut lines = self.lines();
        let line = lines.entry(key).or_default();
        if let Some(lease) = line.room(stale) {
            return Turn::Room(lease);
        }
        if let Some((_, dialled)) = &line.dialling {
            return Turn::Wait(dialled.clone());
        }
        let (told, dialled) = watch::channel(None);
        let number = self.serial();
        line.dialling = Some((number, dialled));
        Turn::Dial(Dialling { pool: self, key, number, told })
    }

    /// Gives up connections that have been without a stream for too long, or have ended; called once a second.
    pub fn sweep(&self, now: Instant) {
        self.lines().retain(|_, line| {
            line.kept.retain_mut(|kept| kept.is_of_use(now));
            line.is_of_use()
        });
    }

    /// Gives up connections of other keys: nobody is lent them any more, and they close when their last stream is over. One
    /// that is being opened meanwhile is seen only by the next call.
    pub fn retain(&self, is_of_use: impl Fn(&Key) -> bool) {
        self.lines().retain(|key, line| {
            if !is_of_use(key) {
                line.kept.clear();
            }
            line.is_of_use()
        });
    }

    /// What it has opened.
    pub fn counts(&self) -> Counts {
        self.counters.read()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.lines().is_empty()
    }

    fn serial(&self) -> u64 {
        self.serials.fetch_add(1, Ordering::Relaxed)
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// Room on the first connection that has some, so that those behind it may become idle.
    fn room(&mut self, stale: Option<u64>) -> Option<Lease> {
        self.kept.retain(|kept| kept.outer.is_usable());
        let new_enough = |kept: &&mut Kept| stale.is_none_or(|stale| kept.outer.serial > stale);
        self.kept.iter_mut().filter(new_enough).find_map(|kept| {
            let lease = kept.outer.lease()?;
            kept.used = Instant::now();
            Some(lease)
        })
    }

    fn is_of_use(&self) -> bool {
        !self.kept.is_empty() || self.dialling.is_some()
    }
}

impl Kept {
    fn is_of_use(&mut self, now: Instant) -> bool {
        if self.outer.is_busy() {
            self.used = now;
        }
        self.outer.is_usable() && now < self.used + IDLE
    }
}

/// The right to open a connection for a key. Whoever waits for it is woken when it is dropped.
struct Dialling<'p> {
    pool: &'p Pool,
    key: Key,
    number: u64,
    told: watch::Sender<Dialled>,
}

impl Dialling<'_> {
    /// Room on the new connection, before anybody else has it.
    async fn run(self, dial: impl Future<Output = Result<Box<Io>, Fault>>) -> Result<Lease, Fault> {
        let result = self.connect(dial).await;
        self.end();
        self.told.send_replace(Some(result.as_ref().map(|_| ()).map_err(|fault| *fault)));
        result
    }

    async fn connect(&self, dial: impl Future<Output = Result<Box<Io>, Fault>>) -> Result<Lease, Fault> {
        let io = dial.await?;
        let outer = Outer::establish(io, &self.pool.counters, self.pool.serial()).await?;
        // A peer that takes no streams at all is none.
        let lease = outer.lease().ok_or(Fault::Connect)?;
        let kept = Kept { outer, used: Instant::now() };
        self.pool.lines().entry(self.key).or_default().kept.push(kept);
        Ok(lease)
    }

    /// The next may dial.
    fn end(&self) {
        if let Some(line) = self.pool.lines().get_mut(&self.key) {
            line.dialling.take_if(|(number, _)| *number == self.number);
        }
    }
}

impl Drop for Dialling<'_> {
    fn drop(&mut self) {
        // Before `told` is gone: who is woken by that finds the place free.
        self.end();
    }
}
