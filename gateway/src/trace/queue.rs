// SPDX-License-Identifier: Apache-2.0
//! From workers to who tells of spans: a bounded queue. Never makes a request wait: what finds no room is dropped and
//! counted.

use std::time::Duration;

use prometheus::IntCounter;
use tokio::sync::mpsc;

use super::span::Span;
use crate::observe::Metrics;

/// Spans that wait to be looked at. They are looked at many times a second: this is not where they wait for a collector.
const LENGTH: usize = 4096;

/// A worker's end; clones share the queue.
#[derive(Clone)]
pub(crate) struct Spans {
    queue: mpsc::Sender<Item>,
    dropped: IntCounter,
}

/// The other end.
pub(crate) type Arrivals = mpsc::Receiver<Item>;

/// What goes through.
pub(crate) enum Item {
    /// To be told.
    Span(Box<Span>),
    /// All that came before is to be told at once; once that is done this is dropped.
    Flush(mpsc::Sender<()>),
}

impl Spans {
    /// A queue and its other end.
    pub(crate) fn channel(metrics: &Metrics) -> (Self, Arrivals) {
        Self::with_length(LENGTH, metrics)
    }

    pub(super) fn with_length(length: usize, metrics: &Metrics) -> (Self, Arrivals) {
        let (queue, arrivals) = mpsc::channel(length);
        (Self { queue, dropped: metrics.spans("dropped") }, arrivals)
    }

    /// Queues a span, or drops it.
    pub(crate) fn tell(&self, span: Box<Span>) {
        if self.queue.try_send(Item::Span(span)).is_err() {
            self.dropped.inc();
        }
    }

    /// Waits until all that was queued before is told, or given up, at most `within`. For the end of a process.
    pub(crate) async fn flush(&self, within: Duration) {
        let (done, mut all_done) = mpsc::channel(1);
        let flushing = async {
            // Nobody is there to tell anything: nothing is to be waited for.
            if self.queue.send(Item::Flush(done)).await.is_ok() {
                all_done.recv().await;
            }
        };
        // What is not told by now is lost, as it would be with the process.
        tokio::time::timeout(within, flushing).await.ok();
    }
}
