// SPDX-License-Identifier: Apache-2.0
//! The control plane of one process without a cluster: source → store → translate → publish, on one thread.
//!
//! Nothing here waits for the proxies: a generation is handed over, its answer comes back as an [`Ack`] and is told.
//! Never makes a Gateway API decision and never names the data plane.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::herald::{Heard, Heralds, heralds};
use crate::journal::Journal;
use crate::plane::Plane;
use crate::publish::{Ack, Publication};
use crate::source::watch::{Burst, Touch, Watch};

/// Signals that may wait; more hints of changes than this are dropped, for the next look finds the changes anyway.
const INBOX: usize = 1024;
/// How often to look where every folder is watched …
const POLL_WATCHED: Duration = Duration::from_secs(5);
/// … and where some cannot be.
const POLL_UNWATCHED: Duration = Duration::from_secs(1);
/// Looks of one turn while new folders keep appearing; what comes later waits for the next poll.
const LOOKS: usize = 3;

enum Signal {
    Touch(Touch),
    Ack(Ack),
    Stop,
}

/// The running control plane. Dropping it stops the thread.
#[derive(Debug)]
pub struct Embedded {
    plane: Arc<Mutex<Plane>>,
    inbox: SyncSender<Signal>,
    thread: Option<JoinHandle<()>>,
    acme: Heard,
}

/// Where the answers of the proxies go.
#[derive(Debug, Clone)]
pub struct Answers(SyncSender<Signal>);

impl Answers {
    /// Tells that a proxy answered. An answer that finds the plane too busy is dropped: the next one says the same.
    pub fn ack(&self, ack: Ack) {
        self.0.try_send(Signal::Ack(ack)).ok();
    }
}

/// The plane as others may look at it. Looking delays the next generation, so it should be short.
#[derive(Debug, Clone)]
pub struct View(Arc<Mutex<Plane>>);

impl View {
    /// The plane as it is now.
    pub fn plane(&self) -> MutexGuard<'_, Plane> {
        locked(&self.0)
    }
}

/// A panic elsewhere leaves the plane as the last whole step left it.
fn locked(plane: &Mutex<Plane>) -> MutexGuard<'_, Plane> {
    plane.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Embedded {
    /// Follows the files of `plane` and calls `publish` for every generation, beginning with everything. `publish` runs
    /// on the control thread and may block it.
    pub fn start(plane: Plane, publish: impl FnMut(Publication) + Send + 'static) -> io::Result<Self> {
        let (inbox, signals) = sync_channel(INBOX);
        let hints = inbox.clone();
        let watch = Watch::new(move |touch| drop(hints.try_send(Signal::Touch(touch))));
        let plane = Arc::new(Mutex::new(plane));
        let shared = Arc::clone(&plane);
        let (heralds, acme) = heralds();
        let (burst, journal) = (Burst::default(), Journal::default());
        let control = Control { plane: shared, watch, burst, journal, publish, heralds };
        let thread = thread::Builder::new().name("manifests".to_owned()).spawn(move || control.run(&signals))?;
        Ok(Self { plane, inbox, thread: Some(thread), acme })
    }

    /// Where answers of the proxies go.
    pub fn answers(&self) -> Answers {
        Answers(self.inbox.clone())
    }

    /// For whoever orders certificates.
    pub fn acme(&self) -> Heard {
        self.acme.clone()
    }

    /// The plane, for `explain`.
    pub fn view(&self) -> View {
        View(Arc::clone(&self.plane))
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.inbox.send(Signal::Stop).ok();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

struct Control<P> {
    plane: Arc<Mutex<Plane>>,
    watch: Watch,
    burst: Burst,
    journal: Journal,
    publish: P,
    heralds: Heralds,
}

impl<P: FnMut(Publication)> Control<P> {
    fn run(mut self, signals: &Receiver<Signal>) {
        self.publish();
        self.look();
        let mut looked = Instant::now();
        loop {
            let due = self.burst.due().unwrap_or(looked + self.poll());
            match signals.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(Signal::Touch(touch)) => self.heard(touch),
                Ok(Signal::Ack(ack)) => {
                    locked(&self.plane).acked(ack);
                    self.tell();
                }
                Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if Instant::now() >= self.burst.due().unwrap_or(looked + self.poll()) {
                self.look();
                looked = Instant::now();
            }
        }
    }

    /// The folder of a given path is watched too; its other files are none of our business.
    fn heard(&mut self, touch: Touch) {
        let concerns = match &touch {
            Touch::Writing(path) | Touch::Changed(path) => locked(&self.plane).concerns(path),
            Touch::Lost => true,
        };
        if concerns {
            self.burst.add(touch, Instant::now());
        }
    }

    fn poll(&self) -> Duration {
        if self.watch.trouble().is_some() { POLL_UNWATCHED } else { POLL_WATCHED }
    }

    /// One generation: everything that changed since the last look. A folder that is watched only now may have changed
    /// before, hence further looks.
    fn look(&mut self) {
        let named = self.burst.end();
        for _ in 0..LOOKS {
            let mut plane = locked(&self.plane);
            plane.refresh(&named);
            if !self.watch.follow(plane.folders()) {
                break;
            }
        }
        self.publish();
        self.tell();
    }

    fn publish(&mut self) {
        let publication = locked(&self.plane).publication();
        if let Some(publication) = publication {
            let Publication { generation, delta } = &publication;
            tracing::info!(generation, changed = delta.upserts.len(), gone = delta.removals.len(), "publishing");
            (self.publish)(publication);
        }
    }

    fn tell(&mut self) {
        let plane = locked(&self.plane);
        self.heralds.translated(plane.translation());
        self.heralds.known(plane.known_answers());
        let mut news = self.journal.turn(plane.findings());
        news.appeared.iter_mut().for_each(|finding| plane.locate(finding));
        drop(plane);
        news.tell();
    }
}

#[cfg(test)]
mod tests;
