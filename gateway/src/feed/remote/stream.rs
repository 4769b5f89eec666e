// SPDX-License-Identifier: Apache-2.0
//! One stream: what we have goes out by hash, generations come in and are put in force one at a time, acks go out, and what
//! clients ask for.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use http::Uri;
use http::uri::PathAndQuery;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::{Request, Status, Streaming};
use tonic_prost::ProstCodec;
use torana_ir::wire::{self, Known, Upward, Word};
use torana_ir::{Resource, Snapshot};

use super::connect::connect;
use super::pending::Pending;
use super::{Lost, Mark, Publisher, Remote};
use crate::dial::{Connection, Failure, bearer};
use crate::feed::{Ack, Word as Said};

/// What the controller gets to say that it takes us.
const ANSWER: Duration = Duration::from_secs(15);
/// What the controller gets to take a word.
const SEND: Duration = Duration::from_secs(10);
/// Known resources of one Hello, about 200 bytes each.
const KNOWN: usize = 2000;
/// Words that may be on their way.
const QUEUE: usize = 4;

/// An open stream.
pub(super) struct Stream {
    /// Closing it closes the stream.
    _connection: Grpc<Connection>,
    deltas: Streaming<wire::Delta>,
    words: mpsc::Sender<Upward>,
    pending: Pending,
    /// The generation that is being put in force, and the last one that was.
    in_flight: Option<Mark>,
    acked: Option<Mark>,
}

impl Stream {
    /// Connects, says who we are and what we have. Nothing may be in flight.
    pub(super) async fn open(remote: &Remote, publisher: &Publisher) -> Result<Self, Lost> {
        let connection = connect(remote).await?;
        let token = bearer(&remote.feed_token, "--feed-token").await?;
        let (words, rest) = mpsc::channel(QUEUE);
        let said = stream::iter(hello(remote, &publisher.snapshot())).chain(ReceiverStream::new(rest));
        let mut request = Request::new(said);
        request.metadata_mut().insert("authorization", token);
        let mut grpc = Grpc::with_origin(connection, Uri::from_static("https://torana-feed"));
        grpc = grpc.max_decoding_message_size(wire::LARGEST_DELTA);
        let codec = ProstCodec::<Upward, wire::Delta>::default();
        let call = async {
            grpc.ready().await.map_err(Failure::of("HTTP/2"))?;
            grpc.streaming(request, PathAndQuery::from_static(wire::PATH), codec).await.map_err(|why| refused(&why))
        };
        let answer = timeout(ANSWER, call).await;
        let deltas = answer.map_err(|_| Lost::Silent)??.into_inner();
        tracing::info!(feed = %remote.feed, "following the controller");
        let pending = Pending::default();
        Ok(Self { _connection: grpc, deltas, words, pending, in_flight: None, acked: None })
    }

    /// Is programmed until the stream is over. When this returns, nothing is in flight.
    pub(super) async fn run(
        mut self,
        publisher: &mut Publisher,
        epoch: &mut u64,
        marks: &watch::Sender<Option<Mark>>,
    ) -> Lost {
        let lost = loop {
            let turn = tokio::select! {
                chunk = self.deltas.message() => self.heard(chunk, publisher, epoch).await,
                said = publisher.word() => match said {
                    Ok(Said::Ack(ack)) => self.in_force(&ack, marks).await,
                    Ok(Said::Demand(demand)) => self.say(Word::Demand(wire::demand(&demand))).await,
                    Err(ended) => Err(ended.into()),
                },
            };
            if let Err(lost) = turn {
                break lost;
            }
            if self.acked.is_some() {
                publisher.stale(false);
            }
        };
        while self.in_flight.is_some() && !matches!(lost, Lost::Ended(_)) {
            match publisher.ack().await {
                Ok(ack) => {
                    self.settled(&ack, marks);
                }
                Err(ended) => return ended.into(),
            }
        }
        lost
    }

    async fn heard(
        &mut self,
        chunk: Result<Option<wire::Delta>, Status>,
        publisher: &Publisher,
        epoch: &mut u64,
    ) -> Result<(), Lost> {
        let chunk = chunk.map_err(|why| refused(&why))?.ok_or(Lost::Closed)?;
        if let Some(whole) = self.pending.add(&chunk, epoch)? {
            publisher.publish_but(whole.mark.generation, whole.delta, whole.unreadable).await?;
            self.in_flight = Some(whole.mark);
        }
        Ok(())
    }

    async fn in_force(&mut self, ack: &Ack, marks: &watch::Sender<Option<Mark>>) -> Result<(), Lost> {
        if !self.settled(ack, marks) {
            return Ok(());
        }
        self.say(Word::Ack(self.answer(ack))).await
    }

    async fn say(&self, word: Word) -> Result<(), Lost> {
        match timeout(SEND, self.words.send(Upward { word: Some(word) })).await {
            // If the stream is over, the other direction says why.
            Ok(_) => Ok(()),
            Err(_) => Err(Lost::Deaf),
        }
    }

    /// Whether the ack is of a generation of this stream: in force now, or again with other rejections.
    fn settled(&mut self, ack: &Ack, marks: &watch::Sender<Option<Mark>>) -> bool {
        let is = |mark: &Option<Mark>| mark.is_some_and(|mark| mark.generation == ack.generation);
        if is(&self.in_flight) {
            self.acked = self.in_flight.take();
            marks.send_replace(self.acked);
            return true;
        }
        self.in_flight.is_none() && is(&self.acked)
    }

    fn answer(&self, ack: &Ack) -> wire::Ack {
        let unreadable = self.pending.unreadable().map(|(key, why)| (key.clone(), why.as_str()));
        let refused = ack.rejected.iter().map(|(key, why)| (wire::key_text(key), why.as_str()));
        let rejected = unreadable.chain(refused).take(wire::MOST_REJECTED).map(|(key, why)| {
            let reason = why.chars().take(wire::LONGEST_REASON / 4).collect();
            wire::Rejected { key, reason }
        });
        wire::Ack { generation: ack.generation, rejected: rejected.collect() }
    }
}

fn refused(why: &Status) -> Lost {
    Lost::Refused(format!("{} ({:?})", why.message(), why.code()))
}

/// What we have. A hash is that of what a restarted process would read: it needs no memory between two streams.
fn hello(remote: &Remote, snapshot: &Snapshot) -> Vec<Upward> {
    let resources = Snapshot::default().diff(snapshot).upserts;
    let mut chunks: Vec<&[Resource]> = resources.chunks(KNOWN).collect();
    if chunks.is_empty() {
        chunks.push(&[]);
    }
    let last = chunks.len() - 1;
    let words = chunks.into_iter().enumerate().map(|(at, chunk)| {
        let known = chunk.iter().map(|resource| {
            let wire::Upsert { key, hash, .. } = wire::encode(resource);
            Known { key, hash }
        });
        let (name, version) = (remote.pod_name.clone(), env!("CARGO_PKG_VERSION").to_owned());
        Word::Hello(wire::Hello { name, version, known: known.collect(), complete: at == last })
    });
    words.map(|word| Upward { word: Some(word) }).collect()
}
