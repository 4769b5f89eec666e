// SPDX-License-Identifier: Apache-2.0
//! One proxy's stream: what it has, then one generation after the other, each when the one before is acked. A slow
//! proxy therefore skips generations, and at most one chunk waits for it here.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use tonic::{Status, Streaming};
use torana_ir::wire::{self, Ack, Hello, Upward, Word};

use super::acks::{Proxy, ProxyEvent};
use super::hub::{Hub, Published};
use super::program::Has;

/// What a proxy gets to say what it has.
const HELLO: Duration = Duration::from_secs(10);
/// What a proxy gets to read one chunk.
const CHUNK: Duration = Duration::from_secs(10);
/// What a proxy gets to read why its stream ends.
const LAST_WORD: Duration = Duration::from_secs(1);
/// Most resources, and bytes of their keys and hashes, that a proxy may say it has.
const MOST_KNOWN: usize = 500_000;
const MOST_KNOWN_BYTES: usize = 64 << 20;
/// Longest name and version of a proxy that is logged, in characters.
const LONGEST_NAME: usize = 128;

type Known = BTreeMap<String, Bytes>;

/// An open stream.
pub(super) struct Session {
    hub: Hub,
    proxy: Proxy,
    /// The newest generation that the proxy acked; `None` before the first.
    acked: watch::Sender<Option<u64>>,
}

impl Session {
    pub(super) fn new(hub: Hub, proxy: Proxy) -> Self {
        Self { hub, proxy, acked: watch::Sender::new(None) }
    }

    /// Runs until either side is done; `out` closes when the connection does.
    pub(super) async fn run(self, words: Streaming<Upward>, out: mpsc::Sender<Result<wire::Delta, Status>>) {
        let (said, known) = oneshot::channel();
        let end = tokio::select! {
            end = self.listen(words, said) => end,
            end = self.tell(&out, known) => end,
            why = self.hub.displaced(&self.proxy) => Some(Status::aborted(why)),
            () = out.closed() => None,
        };
        let pod = &self.proxy.pod;
        let why = end.as_ref().map_or("the proxy is gone", Status::message);
        tracing::info!(%pod, fleet = %self.proxy.fleet, why, "a proxy's stream is over");
        if let Some(end) = end {
            // It may be that nobody reads any more.
            timeout(LAST_WORD, out.send(Err(end))).await.ok();
        }
    }

    /// Takes what the proxy says. Returns when it says no more, or nonsense.
    async fn listen(&self, mut words: Streaming<Upward>, said: oneshot::Sender<Known>) -> Option<Status> {
        let known = match timeout(HELLO, hello(&mut words)).await {
            Ok(Ok((hello, known))) => {
                let (name, version) = (cut(&hello.name), cut(&hello.version));
                let pod = &self.proxy.pod;
                tracing::info!(%pod, fleet = %self.proxy.fleet, name, version, has = known.len(), "a proxy is here");
                known
            }
            Ok(Err(why)) => return why,
            Err(_) => return Some(Status::deadline_exceeded("no Hello")),
        };
        // The other half is there as long as this one.
        said.send(known).ok();
        loop {
            match words.message().await {
                Ok(Some(Upward { word: Some(Word::Ack(ack)) })) => self.heard(ack),
                Ok(Some(Upward { word: Some(Word::Demand(demand)) })) => {
                    if let Some(demand) = wire::demanded(&demand) {
                        self.hub.demanded(&self.proxy.fleet, demand);
                    }
                }
                // Of a later version.
                Ok(Some(Upward { word: None })) => {}
                Ok(Some(Upward { word: Some(Word::Hello(_)) })) => {
                    return Some(Status::invalid_argument("a second Hello"));
                }
                Ok(None) | Err(_) => return None,
            }
        }
    }

    fn heard(&self, ack: Ack) {
        let Ack { generation, rejected } = ack;
        let readable = rejected.into_iter().take(wire::MOST_REJECTED).filter_map(|it| {
            let reason = it.reason.chars().take(wire::LONGEST_REASON).collect();
            Some((wire::key(&it.key).ok()?, reason))
        });
        let rejected: BTreeMap<_, _> = readable.collect();
        tracing::debug!(pod = %self.proxy.pod, generation, rejected = rejected.len(), "acked");
        self.hub.event(&self.proxy, ProxyEvent::Acked { generation, rejected });
        self.acked.send_replace(Some(generation));
    }

    /// Sends generations. Returns when the proxy does not read.
    async fn tell(
        &self,
        out: &mpsc::Sender<Result<wire::Delta, Status>>,
        known: oneshot::Receiver<Known>,
    ) -> Option<Status> {
        let mut has = Has::Hashes(known.await.ok()?);
        let mut newest = self.hub.follow(&self.proxy.fleet);
        let mut acked = self.acked.subscribe();
        let mut sent = None;
        loop {
            let new = |published: &Option<Published>| {
                published.as_ref().is_some_and(|published| Some(published.generation) != sent)
            };
            // Neither sender goes before the hub and this session.
            let Published { epoch, generation, program } = newest.wait_for(new).await.ok()?.clone()?;
            let chunks = program.difference(&has).chunks(epoch, generation);
            has = Has::Program(program);
            sent = Some(generation);
            self.hub.event(&self.proxy, ProxyEvent::Sent(generation));
            for chunk in chunks {
                match timeout(CHUNK, out.send(Ok(chunk))).await {
                    Ok(sent) => sent.ok()?,
                    Err(_) => return Some(Status::deadline_exceeded("it does not read what it is sent")),
                }
            }
            acked.wait_for(|acked| *acked == Some(generation)).await.ok()?;
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.hub.close(&self.proxy);
    }
}

/// All chunks of the Hello, as one; why not, if the proxy is still there.
async fn hello(words: &mut Streaming<Upward>) -> Result<(Hello, Known), Option<Status>> {
    let (mut known, mut bytes) = (Known::new(), 0);
    loop {
        let word = words.message().await.map_err(|_| None)?.ok_or(None)?;
        let Some(Word::Hello(mut hello)) = word.word else {
            return Err(Some(Status::invalid_argument("a Hello comes first")));
        };
        for one in std::mem::take(&mut hello.known) {
            bytes += one.key.len() + one.hash.len();
            known.insert(one.key, one.hash);
        }
        if known.len() > MOST_KNOWN || bytes > MOST_KNOWN_BYTES {
            return Err(Some(Status::resource_exhausted("a proxy cannot have so much")));
        }
        if hello.complete {
            return Ok((hello, known));
        }
    }
}

fn cut(text: &str) -> String {
    text.chars().take(LONGEST_NAME).filter(|c| !c.is_control()).collect()
}
