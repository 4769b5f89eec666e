// SPDX-License-Identifier: Apache-2.0
//! Opening a TCP connection to an endpoint, under its deadline and its backend's cap.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::net::TcpStream;
use tokio::time::Instant;

use super::Target;
use crate::balance::BackendState;
use crate::fault::Fault;
use crate::io::Io;
use crate::observe::Metrics;

/// One of the connections that a backend may have; given back when dropped.
pub(crate) struct Slot(Arc<BackendState>);

impl Slot {
    fn take(backend: &Arc<BackendState>) -> Result<Self, Fault> {
        let before = backend.connections.fetch_add(1, Ordering::Relaxed);
        let slot = Self(Arc::clone(backend));
        if before < backend.config.max_connections { Ok(slot) } else { Err(Fault::Overload) }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Connects. Every failure is [`Fault::Connect`] or [`Fault::Overload`]: nothing was sent.
pub(super) async fn open(target: &Target<'_>, metrics: &Metrics) -> Result<(Box<Io>, Slot), Fault> {
    let slot = Slot::take(target.backend)?;
    let started = Instant::now();
    let connecting = TcpStream::connect(target.endpoint.address);
    let stream = match tokio::time::timeout_at(target.connect_deadline(), connecting).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(endpoint = %target.endpoint.address, %error, "connect failed");
            return Err(Fault::Connect);
        }
        Err(_) => {
            tracing::debug!(endpoint = %target.endpoint.address, "connect timed out");
            return Err(Fault::Connect);
        }
    };
    metrics.upstream_connected(target.backend.key(), started.elapsed());
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "nodelay not set");
    }
    Ok((Box::new(Io::tcp(stream)), slot))
}
