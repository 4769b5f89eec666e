// SPDX-License-Identifier: Apache-2.0
//! Workers and their sockets: who may connect, and what happens until it is known what a connection is.
//!
//! One thread a worker, each with a runtime and sockets of its own (`SO_REUSEPORT`), so that a connection, its streams
//! and its upstreams stay on one core. Sockets open and close at run time; a connection is tied to no generation.

mod admission;

mod socket;

mod handshake;

mod proxy_header;

mod accept;

mod datagrams;

mod worker;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use crate::http::Worker;
use crate::table::Bind;

pub(crate) use admission::Admission;
pub use admission::Caps;

use worker::Thread;

/// All workers of the process.
pub(crate) struct Workers {
    threads: Vec<Thread>,
    /// What is open. The port is the one that the kernel gave if the bind asked for port 0.
    open: BTreeMap<Bind, u16>,
    closed: bool,
}

impl Workers {
    /// Starts `workers`, one thread each. An error means that the system gives no threads.
    pub(crate) fn start(workers: Vec<Arc<Worker>>, admission: &Arc<Admission>) -> io::Result<Self> {
        let threads = workers.into_iter().enumerate().map(|(at, worker)| Thread::start(at, worker, admission));
        Ok(Self { threads: threads.collect::<io::Result<_>>()?, open: BTreeMap::new(), closed: false })
    }

    /// Opens and closes sockets until exactly `binds` are open, and returns those that cannot be opened. When this
    /// returns, every worker accepts on every other one.
    pub(crate) async fn listen(&mut self, binds: &[Bind]) -> Vec<(Bind, io::Error)> {
        if self.closed {
            return Vec::new();
        }
        let superfluous: Vec<Bind> = self.open.keys().filter(|bind| !binds.contains(bind)).copied().collect();
        for bind in superfluous {
            self.close(bind).await;
        }
        let mut failed = Vec::new();
        for bind in binds.iter().filter(|bind| !self.open.contains_key(bind)).copied().collect::<Vec<_>>() {
            match self.open(bind).await {
                Ok(port) => drop(self.open.insert(bind, port)),
                Err(error) => failed.push((bind, error)),
            }
        }
        failed
    }

    /// Stops accepting, for good. Connections go on.
    pub(crate) async fn close_all(&mut self) {
        self.closed = true;
        for bind in self.open.keys().copied().collect::<Vec<_>>() {
            self.close(bind).await;
        }
    }

    /// All or nothing: a socket that one worker lacks is a socket that some clients cannot reach.
    async fn open(&self, bind: Bind) -> io::Result<u16> {
        let sockets = socket::open(bind, self.threads.len())?;
        let port = sockets.first().map_or(Ok(bind.port), socket::Listening::port)?;
        for (thread, socket) in self.threads.iter().zip(sockets) {
            if let Err(error) = thread.open(bind, socket).await {
                self.close_on_threads(bind).await;
                return Err(error);
            }
        }
        Ok(port)
    }

    async fn close(&mut self, bind: Bind) {
        self.open.remove(&bind);
        self.close_on_threads(bind).await;
    }

    async fn close_on_threads(&self, bind: Bind) {
        for thread in &self.threads {
            thread.close(bind).await;
        }
    }
}

#[cfg(test)]
mod tests;
