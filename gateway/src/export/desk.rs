// SPDX-License-Identifier: Apache-2.0
//! What waits for one collector: gathered, sent, sent again if that may help, given up in the end. One thing at a time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prometheus::IntCounter;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use torana_ir::ProviderKey;

use super::call::tell;
use super::encode::encoded;
use super::failure::Failure;
use super::link::{Link, Place};
use super::resource::Resource;
use crate::feed::Program;
use crate::observe::Metrics;
use crate::trace::{Item, Span};
use crate::upstream::Wires;

/// Spans that are sent at once.
pub(super) const BATCH: usize = 512;
/// The first of them waits so long for others.
const GATHER: Duration = Duration::from_secs(1);
/// A desk without anything to do goes after this, and its connection with it.
const IDLE: Duration = Duration::from_mins(2);
/// How often the same is sent.
const TRIES: u32 = 4;
/// The wait before it is sent again, doubled each time; a tenth more or less.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// No collector is let alone for longer while spans are kept for it.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// What a collector gets that says nothing of that, and the least and the most that one gets.
const TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUTS: (Duration, Duration) = (Duration::from_millis(10), Duration::from_mins(1));

/// What desks need besides their collector.
pub(super) struct Surroundings {
    /// Where collectors are known from.
    pub(super) program: Program,
    /// What connections are opened with.
    pub(super) wires: Arc<Wires>,
    /// Who tells.
    pub(super) resource: Arc<Resource>,
}

/// What waits for one collector.
pub(super) struct Desk {
    key: ProviderKey,
    around: Surroundings,
    link: Option<Link>,
    /// The endpoint that failed last.
    avoided: Option<u64>,
    /// People were told that it takes nothing.
    is_down: bool,
    exported: IntCounter,
    failed: IntCounter,
}

/// What was gathered, and who waits for it to be sent.
#[derive(Default)]
struct Batch {
    #[expect(clippy::vec_box, reason = "they come boxed, and are large")]
    spans: Vec<Box<Span>>,
    flush: Vec<mpsc::Sender<()>>,
}

impl Batch {
    fn take(&mut self, item: Item) {
        match item {
            Item::Span(span) => self.spans.push(span),
            Item::Flush(done) => self.flush.push(done),
        }
    }

    fn is_due(&self) -> bool {
        self.spans.len() >= BATCH || !self.flush.is_empty()
    }
}

impl Desk {
    /// That of this collector.
    pub(super) fn new(key: ProviderKey, around: Surroundings, metrics: &Metrics) -> Self {
        let (exported, failed) = (metrics.spans("exported"), metrics.spans("failed"));
        Self { key, around, link: None, avoided: None, is_down: false, exported, failed }
    }

    /// Sends what comes until nothing has come for long.
    pub(super) async fn run(mut self, mut waiting: mpsc::Receiver<Item>) {
        loop {
            let mut first = timeout(IDLE, waiting.recv()).await.ok().flatten();
            if first.is_none() {
                // From now on another desk is opened; what has come in between is still to be sent.
                waiting.close();
                first = waiting.recv().await;
            }
            let Some(first) = first else { return };
            let batch = gather(first, &mut waiting).await;
            if !batch.spans.is_empty() {
                // Whoever flushes does not wait for a collector that is gone.
                let tries = if batch.flush.is_empty() { TRIES } else { 1 };
                self.send(&batch.spans, tries).await;
            }
        }
    }

    async fn send(&mut self, spans: &[Box<Span>], tries: u32) {
        let (count, message) = (spans.len() as u64, Bytes::from(encoded(&self.around.resource, spans)));
        let mut wait = FIRST_WAIT;
        for number in 1..=tries {
            let failure = match self.call(&message).await {
                Ok(refused) => {
                    let refused = refused.min(count);
                    self.exported.inc_by(count - refused);
                    self.failed.inc_by(refused);
                    self.heard(None);
                    return;
                }
                Err(failure) => failure,
            };
            self.heard(Some(failure));
            if number == tries || !failure.may_be_repeated() {
                break;
            }
            let rest = failure.rest().unwrap_or_default().max(wait).min(LONGEST_WAIT);
            tokio::time::sleep(rest.mul_f64(0.9 + 0.2 * fastrand::f64())).await;
            wait *= 2;
        }
        self.failed.inc_by(count);
    }

    /// People are told when it begins, and when it is over.
    fn heard(&mut self, failure: Option<Failure>) {
        let collector = &self.key.0;
        match failure {
            Some(why) if !self.is_down => tracing::warn!(%collector, %why, "spans are not taken"),
            Some(why) => tracing::debug!(%collector, %why, "spans are not taken"),
            None if self.is_down => tracing::info!(%collector, "spans are taken again"),
            None => {}
        }
        self.is_down = failure.is_some();
    }

    /// One call, from connect to answer; how many spans the collector refuses.
    async fn call(&mut self, message: &Bytes) -> Result<u64, Failure> {
        let table = self.around.program.table.load_full();
        let Some((collector, Some(backend))) = table.collector(&self.key) else { return Err(Failure::Nowhere) };
        let shown = if backend.tls().is_some() { table.shown() } else { <_>::default() };
        let identity = shown.get(backend.key()).copied();
        let place = Place { wires: &self.around.wires, backend, identity, collector };
        let asked = if collector.timeout.is_zero() { TIMEOUT } else { collector.timeout };
        let until = Instant::now() + asked.clamp(TIMEOUTS.0, TIMEOUTS.1);
        let mut link = self.link.take().filter(|link| link.leads_to(place));
        let avoided = &mut self.avoided;
        let calling = async {
            let link = match &mut link {
                Some(link) => link,
                none => none.insert(Link::open(place, *avoided, until).await?),
            };
            *avoided = Some(link.endpoint.id);
            let _in_flight = link.endpoint.begin();
            tell(link, place, message).await
        };
        let result = timeout_at(until, calling).await.unwrap_or(Err(Failure::Timeout));
        // A connection is used again only where a call on it was answered as it should be.
        if result.is_ok() {
            (self.link, self.avoided) = (link, None);
        }
        result
    }
}

/// What comes until there is enough of it, or the first has waited enough.
async fn gather(first: Item, waiting: &mut mpsc::Receiver<Item>) -> Batch {
    let mut batch = Batch::default();
    batch.take(first);
    let until = Instant::now() + GATHER;
    let mut items = Vec::new();
    while !batch.is_due() {
        let room = BATCH - batch.spans.len();
        match timeout_at(until, waiting.recv_many(&mut items, room)).await {
            Ok(0) | Err(_) => break,
            Ok(_) => items.drain(..).for_each(|item| batch.take(item)),
        }
    }
    batch
}
