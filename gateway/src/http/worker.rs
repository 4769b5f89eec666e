// SPDX-License-Identifier: Apache-2.0
//! What every connection of one worker shares.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::balance::{BackendState, Endpoint, Outcome};
use crate::demands::Demands;
use crate::fault::Fault;
use crate::http::drained;
use crate::observe::{AccessLog, Metrics};
use crate::table::Table;
use crate::trace::Spans;
use crate::upstream::{Pools, Standing};

/// Who has connected, or has got its last answer, may be sending a request by now; it gets so long to arrive.
const FAREWELL: Duration = Duration::from_secs(1);

/// One core's share of the data plane.
pub struct Worker {
    /// The current table; loaded once a request, never kept.
    pub(crate) table: Arc<ArcSwap<Table>>,
    /// Connections to backends.
    pub(crate) pools: Pools,
    /// Where numbers go.
    pub(crate) metrics: Arc<Metrics>,
    /// Where lines go.
    pub(crate) log: AccessLog,
    /// Where spans go.
    pub(crate) spans: Spans,
    /// Mirrored requests in flight.
    pub(crate) mirrors: AtomicU32,
    /// Where names go that there is no certificate of.
    pub(crate) demands: Arc<Demands>,
    /// Turns `true` when the process drains.
    pub(crate) drain: watch::Receiver<bool>,
}

impl Worker {
    /// A worker without connections; `standing` is what the proxy is in its mesh.
    pub(crate) fn new(
        (table, standing, demands): (Arc<ArcSwap<Table>>, Standing, Arc<Demands>),
        metrics: Arc<Metrics>,
        (log, spans): (AccessLog, Spans),
        drain: watch::Receiver<bool>,
    ) -> Arc<Self> {
        let pools = Pools::new(standing, Arc::clone(&metrics));
        Arc::new(Self { table, pools, metrics, log, spans, mirrors: AtomicU32::new(0), demands, drain })
    }

    /// Resolves when the process drains and a request that was on its way to a quiet connection should have arrived.
    pub(crate) fn farewell(&self) -> impl Future<Output = ()> + Send + use<> {
        let drain = self.drain.clone();
        async move {
            drained::begins(drain).await;
            // Made when it is needed: every connection carries this wait, and a timer is large.
            Box::pin(tokio::time::sleep(FAREWELL)).await;
        }
    }

    /// Tells an endpoint what became of a try, and counts if it is ejected for it.
    pub(crate) fn report(&self, backend: &BackendState, endpoint: &Endpoint, outcome: Outcome) {
        let Some(reason) = backend.report(endpoint, outcome, || Instant::now().into_std()) else { return };
        let (key, reason) = (backend.key(), reason.as_str());
        tracing::debug!(backend = %key, endpoint = %endpoint.address, reason, "endpoint ejected");
        self.metrics.upstream_ejected(key, reason, backend.ejected());
    }

    /// Counts a fault that is a cap's.
    pub(crate) fn overflowed(&self, backend: &BackendState, fault: Fault) {
        if let Fault::Overload(of) = fault {
            self.metrics.upstream_overflowed(backend.key(), of.as_str());
        }
    }

    /// Closes pooled connections that are stale; runs for the life of the worker.
    pub async fn sweep(self: Arc<Self>) {
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        loop {
            tick.tick().await;
            self.pools.sweep();
        }
    }
}
