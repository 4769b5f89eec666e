// SPDX-License-Identifier: Apache-2.0
//! Objects of a cluster: every kind that is served there is listed and watched, and what is seen goes through the door.
//!
//! One task a kind, so that a kind that cannot be listed (an absent CRD, a missing right) holds up no other. Nothing is
//! withdrawn because a list failed: only a list that succeeded, or a deletion that was seen, takes an object away.
//! Never makes a Gateway API decision.

mod bundles;

mod object;

mod others;

mod raw;

mod deletions;

mod seen;

mod reflect;

mod served;

use std::io;
use std::time::Duration;

use kube::Client;
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use torana_crds::{Kind, ObjectRef};

use self::others::Others;
use self::seen::Seen;
use crate::api::{NoAccess, Pauses, causes, retry_after};
use crate::store::Event;
use crate::translate::ROUTES;

pub use bundles::bundles;
pub use others::Parents;

/// Sightings that may wait for the plane; more hold up the watches, not the memory.
const QUEUE: usize = 4096;

/// How often to look for kinds that were not served.
const LOOK: Duration = Duration::from_secs(10);

/// What was seen of one object.
#[derive(Debug, Clone, PartialEq)]
pub enum Sighting {
    /// It came, changed or went.
    Object {
        /// What translation must know.
        event: Event,
        /// The object as it is stored, reduced to metadata and status, of kinds that have one of ours; `None` if gone.
        stored: Option<Box<Value>>,
        /// Fields that Torana does not know; they have no effect.
        unknown: Vec<String>,
    },
    /// The objects of the kind are listed, anew perhaps: versions of before say nothing about these.
    Listing(Kind),
    /// Every object of the kind that there is was seen; or the kind is not served.
    Listed(Kind),
    /// The kind cannot be listed or watched, and why; what was seen of it before stays.
    Failing(Kind, String),
}

/// Follows a cluster until the receiver is dropped. Routes that name none of `parents` are not told of.
///
/// Kinds of routes have a thread to themselves, and connections: `routes` makes the client that they are asked for with.
/// Of them others may have thousands that change all the time, and that thread then sleeps now and again, so that it is
/// not woken for each.
///
/// # Errors
/// If there can be no such thread.
pub fn follow<F, C>(
    client: &Client,
    routes: F,
    parents: &watch::Receiver<Parents>,
) -> io::Result<mpsc::Receiver<Sighting>>
where
    F: FnOnce() -> C + Send + 'static,
    C: Future<Output = Result<Client, NoAccess>>,
{
    let (sender, receiver) = mpsc::channel(QUEUE);
    let (of_routes, others): (Vec<Kind>, Vec<Kind>) = Kind::ALL.into_iter().partition(|kind| ROUTES.contains(kind));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (shared, of_ours, told) = (client.clone(), parents.clone(), sender.clone());
    let all = move || async move {
        let own = routes().await.inspect_err(|error| tracing::warn!(%error, "routes have no client of their own"));
        kinds(&own.unwrap_or(shared), of_routes, &of_ours, &told).join_all().await;
    };
    std::thread::Builder::new().name("routes".to_owned()).spawn(move || runtime.block_on(all()))?;
    // They end when nobody listens.
    kinds(client, others, parents, &sender).detach_all();
    Ok(receiver)
}

fn kinds(
    client: &Client,
    kinds: impl IntoIterator<Item = Kind>,
    parents: &watch::Receiver<Parents>,
    sender: &mpsc::Sender<Sighting>,
) -> JoinSet<()> {
    let one = |kind| kind_by_itself(client.clone(), kind, parents.clone(), sender.clone());
    kinds.into_iter().map(one).collect()
}

async fn kind_by_itself(client: Client, kind: Kind, parents: watch::Receiver<Parents>, sender: mpsc::Sender<Sighting>) {
    let (mut told, mut pauses) = (false, Pauses::default());
    loop {
        let mut pause = LOOK.mul_f64(0.75 + 0.5 * fastrand::f64());
        match served::resource(&client, kind).await {
            Ok(Some(resource)) => {
                let seen = Seen::new(kind, resource, Others::new(kind, parents));
                return reflect::reflect(client, seen, sender).await;
            }
            // Not installed: there is none of it, and that is no error.
            Ok(None) if !told => {
                told = true;
                if sender.send(Sighting::Listed(kind)).await.is_err() {
                    return;
                }
            }
            Ok(None) => {}
            Err(error) => {
                pause = pauses.next(retry_after(&error), fastrand::f64());
                if sender.send(Sighting::Failing(kind, causes(&error))).await.is_err() {
                    return;
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = sender.closed() => return,
        }
    }
}

/// The name of an object by its raw form.
fn reference(kind: Kind, object: &object::Raw) -> ObjectRef {
    let metadata = &object.metadata;
    ObjectRef::new(
        kind,
        metadata.namespace.as_deref().unwrap_or_default(),
        metadata.name.as_deref().unwrap_or_default(),
    )
}
