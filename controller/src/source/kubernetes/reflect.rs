// SPDX-License-Identifier: Apache-2.0
//! One kind: its list, then its changes, for as long as anybody listens. Objects that go with the definition of their
//! kind stay, until a list of it succeeds again.

use std::pin::{Pin, pin};
use std::time::Instant;

use futures_util::stream::Peekable;
use futures_util::{FutureExt, Stream, StreamExt, TryStreamExt};
use kube::Client;
use kube::api::Api;
use kube::runtime::watcher;
use tokio::sync::mpsc;
use torana_crds::Kind;

use super::deletions::{Change, Held};
use super::object::Raw;
use super::others::{Pace, REST};
use super::seen::Seen;
use super::{Sighting, served};
use crate::api::changes;

/// Objects a page: with 1 MiB each, the most that an object may have, still bounded.
const PAGE: u32 = 250;

/// Reflects one kind until nobody listens.
pub(super) async fn reflect(client: Client, mut seen: Seen, sender: mpsc::Sender<Sighting>) {
    let (kind, resource) = (seen.kind(), seen.resource().clone());
    let objects: Api<Raw> = Api::all_with(client.clone(), &resource);
    let mut changes = pin!(changes(objects, config(kind)).peekable());
    let (mut held, mut pace) = (Held::default(), Pace::default());
    let ask = || {
        let (client, resource) = (client.clone(), resource.clone());
        async move { served::is_going(&client, kind, &resource).await }.boxed()
    };
    loop {
        let mut sightings = Vec::new();
        let told = tokio::select! {
            change = changes.try_next(), if held.has_room() => match change {
                Ok(Some(change)) if held.is_empty() && seen.is_end_of_others(&change) => vec![Ok(Some(change))],
                change => held.take(change, ask),
            },
            () = seen.others_changed() => {
                sightings = seen.release();
                Vec::new()
            }
            is_going = held.answer() => {
                if is_going {
                    let why = "its CustomResourceDefinition is being deleted, and every object with it".to_owned();
                    sightings.push(Sighting::Failing(kind, why));
                }
                held.answered(is_going, ask)
            }
            () = sender.closed() => return,
        };
        let is_change = told.iter().any(is_change);
        for change in told {
            match change {
                Ok(Some(change)) => sightings.extend(seen.take(change)),
                // Never: it is asked for again and again.
                Ok(None) => return,
                Err(interruption) => sightings.push(Sighting::Failing(kind, interruption.to_string())),
            }
        }
        let is_others = sightings.is_empty() && is_change;
        if is_others && pace.are_many(Instant::now()) && is_read(changes.as_mut()).await {
            // The thread itself: were only this task to wait, every packet that comes would still wake the thread.
            std::thread::sleep(REST);
        }
        for sighting in sightings {
            if sender.send(sighting).await.is_err() {
                return;
            }
        }
    }
}

/// Whether all that has come is read: asked again after the connection was.
async fn is_read(mut changes: Pin<&mut Peekable<impl Stream>>) -> bool {
    if changes.as_mut().peek().now_or_never().is_some() {
        return false;
    }
    tokio::task::yield_now().await;
    changes.peek().now_or_never().is_none()
}

fn config(kind: Kind) -> watcher::Config {
    let config = watcher::Config::default().page_size(PAGE);
    match kind {
        // The bulk of Secrets of many clusters, and nothing for a proxy.
        Kind::Secret => config.fields("type!=helm.sh/release.v1,type!=kubernetes.io/service-account-token"),
        _ => config,
    }
}

fn is_change(told: &Change) -> bool {
    matches!(told, Ok(Some(watcher::Event::Apply(_) | watcher::Event::Delete(_))))
}
