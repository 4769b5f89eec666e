// SPDX-License-Identifier: Apache-2.0
//! Shared HTTP/2 connections of one worker: Pingora's `ConnectionRef`s.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use pingora_core::connectors::http::v2::{ConnectionRef, H2HandshakeSettings, handshake};
use pingora_core::protocols::http::v2::client::Http2Session;
use tokio::time::Instant;

use super::{Key, Slot, Target, connect};
use crate::balance::BackendState;
use crate::fault::{Fault, Overflow};
use crate::observe::Metrics;
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
    /// When it was last lent out or seen at work.
    used: Instant,
    /// How long it may be idle.
    idle: Duration,
    /// Requests that it was lent out for.
    served: u32,
    /// Whose it is; gone when that is configured otherwise, and then nobody is lent it.
    backend: Weak<BackendState>,
    _slot: Arc<Slot>,
}

impl Shared {
    /// It is dropped when it has been idle for too long, and closes when its last borrower is gone.
    fn is_of_use(&mut self, now: Instant) -> bool {
        if !self.connection.is_idle() {
            self.used = now;
        }
        usable(&self.connection) && now < self.used + self.idle && self.backend.strong_count() > 0
    }
}

#[derive(Default)]
struct Line {
    shared: Vec<Shared>,
    /// One connect at a time: the others wait for it instead of opening their own.
    opening: Arc<tokio::sync::Mutex<()>>,
}

/// By endpoint, identity and name.
#[derive(Default)]
pub(super) struct Pool(Mutex<HashMap<Key, Line, RandomState>>);

impl Pool {
    /// A stream on a connection with room, or on a new connection.
    pub(super) async fn stream(&self, target: &Target<'_>, metrics: &Metrics) -> Result<Http2Session, Fault> {
        for _ in 0..ATTEMPTS {
            let connection = match self.with_room(target) {
                Some(connection) => connection,
                None => self.open(target, metrics).await?,
            };
            let spawning = tokio::time::timeout_at(target.connect_deadline(), connection.spawn_stream());
            match spawning.await {
                Ok(Ok(Some(session))) => return Ok(session),
                // Full, or going away.
                Ok(Ok(None)) => {}
                Ok(Err(_)) | Err(_) => connection.mark_shutdown(),
            }
        }
        Err(Fault::Connect)
    }

    pub(super) fn sweep(&self, now: Instant) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.retain(|_, line| {
            line.shared.retain_mut(|shared| shared.is_of_use(now));
            !line.shared.is_empty() || Arc::strong_count(&line.opening) > 1
        });
    }

    fn with_room(&self, target: &Target<'_>) -> Option<ConnectionRef> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let line = lines.get_mut(&target.key())?;
        // One that may carry no more requests closes when its last borrower is gone.
        let most = target.backend.config.caps.requests_per_connection.map_or(u32::MAX, NonZeroU32::get);
        line.shared.retain(|shared| usable(&shared.connection) && shared.served < most);
        let found = line.shared.iter_mut().find(|shared| shared.connection.free_stream_slots() > 0)?;
        found.used = Instant::now();
        found.served = found.served.saturating_add(1);
        Some(found.connection.clone())
    }

    async fn open(&self, target: &Target<'_>, metrics: &Metrics) -> Result<ConnectionRef, Fault> {
        let _pending = target.backend.place(Overflow::Pending).map_err(Fault::Overload)?;
        let opening = {
            let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(&lines.entry(target.key()).or_default().opening)
        };
        let deadline = target.connect_deadline();
        let turn = tokio::time::timeout_at(deadline, opening.lock()).await;
        let _turn = turn.map_err(|_| Fault::Connect)?;
        if let Some(connection) = self.with_room(target) {
            return Ok(connection);
        }
        let (io, slot) = connect::open(target, Some(Alpn::Http2), metrics).await?;
        let mut settings = H2HandshakeSettings::new();
        settings.max_streams = MAX_STREAMS;
        settings.stream_window_size = Some(STREAM_WINDOW);
        settings.connection_window_size = Some(CONNECTION_WINDOW);
        let shaking = tokio::time::timeout_at(deadline, handshake(io, settings));
        let connection = shaking.await.map_err(|_| Fault::Connect)?.map_err(|_| Fault::Connect)?;
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let line = lines.entry(target.key()).or_default();
        let (used, idle) = (Instant::now(), target.backend.config.idle);
        let (backend, slot) = (Arc::downgrade(target.backend), Arc::new(slot));
        line.shared.push(Shared { connection: connection.clone(), used, idle, served: 1, backend, _slot: slot });
        Ok(connection)
    }
}

fn usable(connection: &ConnectionRef) -> bool {
    !connection.is_closed() && !connection.is_shutting_down()
}
