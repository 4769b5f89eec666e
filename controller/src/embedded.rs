// SPDX-License-Identifier: Apache-2.0
//! The control plane of one process without a cluster: source → store → translate → publish, on one thread.
//!
//! Nothing here waits for the proxies: a generation is handed over, its answer comes back as an [`Ack`] and is told.
//! Never makes a Gateway API decision and never names the data plane.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

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

enum Signal {
    Touch(Touch),
    Ack(Ack),
    Stop,
}

/// The running control plane. Dropping it stops the thread.
#[derive(Debug)]
pub struct Embedded {
    inbox: SyncSender<Signal>,
    thread: Option<JoinHandle<()>>,
}

/// What the control plane is told from outside.
#[derive(Debug, Clone)]
pub struct Answers(SyncSender<Signal>);

impl Answers {
    /// Tells that a proxy answered. An answer that finds the plane too busy is dropped: the next one says the same.
    pub fn ack(&self, ack: Ack) {
        self.0.try_send(Signal::Ack(ack)).ok();
    }
}

impl Embedded {
    /// Follows the files of `plane` and calls `publish` for every generation, beginning with everything. `publish` runs
    /// on the control thread and may block it.
    pub fn start(plane: Plane, publish: impl FnMut(Publication) + Send + 'static) -> io::Result<Self> {
        let (inbox, signals) = sync_channel(INBOX);
        let hints = inbox.clone();
        let watch = Watch::new(move |touch| drop(hints.try_send(Signal::Touch(touch))));
        let control = Control { plane, watch, burst: Burst::default(), journal: Journal::default(), publish };
        let thread = thread::Builder::new().name("control".to_owned()).spawn(move || control.run(&signals))?;
        Ok(Self { inbox, thread: Some(thread) })
    }

    /// Where answers of the proxies go.
    pub fn answers(&self) -> Answers {
        Answers(self.inbox.clone())
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
    plane: Plane,
    watch: Watch,
    burst: Burst,
    journal: Journal,
    publish: P,
}

impl<P: FnMut(Publication)> Control<P> {
    fn run(mut self, signals: &Receiver<Signal>) {
        if let Some(publication) = self.plane.publication() {
            (self.publish)(publication);
        }
        self.look();
        let mut looked = Instant::now();
        loop {
            let due = self.burst.due().unwrap_or(looked + self.poll());
            match signals.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(Signal::Touch(touch)) => self.burst.add(touch, Instant::now()),
                Ok(Signal::Ack(ack)) => {
                    self.plane.acked(ack);
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

    fn poll(&self) -> Duration {
        if self.watch.trouble().is_some() { POLL_UNWATCHED } else { POLL_WATCHED }
    }

    /// One generation: everything that changed since the last look. A folder that is watched only now may have changed
    /// before, hence further looks; a folder that comes after those waits for the next poll.
    fn look(&mut self) {
        let named = self.burst.end();
        self.plane.refresh(&named);
        for _ in 0..3 {
            if !self.watch.follow(self.plane.folders()) {
                break;
            }
            self.plane.refresh(&named);
        }
        if let Some(publication) = self.plane.publication() {
            (self.publish)(publication);
        }
        self.tell();
    }

    fn tell(&mut self) {
        let mut news = self.journal.turn(self.plane.findings());
        news.appeared.iter_mut().for_each(|finding| self.plane.locate(finding));
        news.tell();
    }
}
