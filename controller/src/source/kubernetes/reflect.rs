// SPDX-License-Identifier: Apache-2.0
//! One kind: its list, then its changes, for as long as anybody listens. Objects that go with the definition of their
//! kind stay, until a list of it succeeds again.

use std::collections::BTreeSet;
use std::pin::pin;

use futures_util::{FutureExt, TryStreamExt};
use kube::Client;
use kube::api::{Api, ApiResource};
use kube::runtime::watcher;
use tokio::sync::mpsc;
use torana_crds::{Kind, ObjectRef};

use super::aside::Aside;
use super::deletions::Held;
use super::object::Raw;
use super::{Sighting, raw, served};
use crate::api::changes;
use crate::store::Event;

/// Objects a page: with 1 MiB each, the most that an object may have, still bounded.
const PAGE: u32 = 250;

/// Which objects of the kind were seen, so that a new list tells which are gone.
#[derive(Debug, Default)]
struct Seen {
    now: BTreeSet<ObjectRef>,
    listing: BTreeSet<ObjectRef>,
}

/// Reflects one kind until nobody listens.
pub(super) async fn reflect(client: Client, resource: ApiResource, mut aside: Aside, sender: mpsc::Sender<Sighting>) {
    let kind = aside.kind();
    let objects: Api<Raw> = Api::all_with(client.clone(), &resource);
    let mut changes = pin!(changes(objects, config(kind)));
    let (mut seen, mut held) = (Seen::default(), Held::default());
    let ask = || {
        let (client, resource) = (client.clone(), resource.clone());
        async move { served::is_going(&client, kind, &resource).await }.boxed()
    };
    loop {
        let told = tokio::select! {
            change = changes.try_next(), if held.has_room() => match change {
                Ok(Some(change)) if held.is_empty() && aside.may_wait(&change) => {
                    aside.put(seen.take(kind, &resource, change));
                    continue;
                }
                change => held.take(change, ask),
            },
            () = aside.due() => Vec::new(),
            is_going = held.answer() => {
                if is_going {
                    let why = "its CustomResourceDefinition is being deleted, and every object with it".to_owned();
                    sender.send(Sighting::Failing(kind, why)).await.ok();
                }
                held.answered(is_going, ask)
            }
            () = sender.closed() => return,
        };
        let mut sightings = aside.take();
        let mut is_over = false;
        for change in told {
            match change {
                Ok(Some(change)) => sightings.extend(seen.take(kind, &resource, change)),
                Ok(None) => is_over = true,
                Err(interruption) => sightings.push(Sighting::Failing(kind, interruption.to_string())),
            }
        }
        for sighting in sightings {
            if sender.send(sighting).await.is_err() {
                return;
            }
        }
        if is_over {
            return;
        }
    }
}

fn config(kind: Kind) -> watcher::Config {
    let config = watcher::Config::default().page_size(PAGE);
    match kind {
        // The bulk of Secrets of many clusters, and nothing for a proxy.
        Kind::Secret => config.fields("type!=helm.sh/release.v1,type!=kubernetes.io/service-account-token"),
        _ => config,
    }
}

impl Seen {
    fn take(&mut self, kind: Kind, resource: &ApiResource, change: watcher::Event<Raw>) -> Vec<Sighting> {
        match change {
            watcher::Event::Init => {
                self.listing.clear();
                vec![Sighting::Listing(kind)]
            }
            watcher::Event::InitApply(object) => {
                self.listing.insert(super::reference(kind, &object));
                vec![raw::sighting(kind, resource, object)]
            }
            watcher::Event::InitDone => {
                let before = std::mem::replace(&mut self.now, std::mem::take(&mut self.listing));
                let gone = before.into_iter().filter(|reference| !self.now.contains(reference)).map(removed);
                gone.chain([Sighting::Listed(kind)]).collect()
            }
            watcher::Event::Apply(object) => {
                self.now.insert(super::reference(kind, &object));
                vec![raw::sighting(kind, resource, object)]
            }
            watcher::Event::Delete(object) => {
                let reference = super::reference(kind, &object);
                self.now.remove(&reference);
                vec![removed(reference)]
            }
        }
    }
}

fn removed(reference: ObjectRef) -> Sighting {
    Sighting::Object { event: Event::Removed(reference), stored: None, unknown: Vec::new() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(name: &str) -> Raw {
        serde_json::from_value(json!({"metadata": {"name": name, "namespace": "a"}, "spec": {}})).unwrap()
    }

    fn names(sightings: Vec<Sighting>) -> Vec<String> {
        let name = |sighting| match sighting {
            Sighting::Object { event: Event::Applied(object), .. } => format!("+{}", object.meta().name),
            Sighting::Object { event: Event::Removed(reference), .. } => format!("-{}", reference.name),
            Sighting::Listing(_) => "listing".to_owned(),
            Sighting::Listed(_) => "listed".to_owned(),
            other => format!("{other:?}"),
        };
        sightings.into_iter().map(name).collect()
    }

    #[test]
    fn a_new_list_takes_away_what_it_lacks_and_only_once_it_is_complete() {
        let resource = ApiResource::from_gvk(&kube::api::GroupVersionKind::gvk("", "v1", "Service"));
        let mut seen = Seen::default();
        let mut take = |change| names(seen.take(Kind::Service, &resource, change));
        assert_eq!(take(watcher::Event::Init), ["listing"]);
        assert_eq!(take(watcher::Event::InitApply(object("x"))), ["+x"]);
        assert_eq!(take(watcher::Event::InitApply(object("y"))), ["+y"]);
        assert_eq!(take(watcher::Event::InitDone), ["listed"]);
        assert_eq!(take(watcher::Event::Apply(object("z"))), ["+z"]);
        // A list that breaks off after its first page takes nothing away.
        assert_eq!(take(watcher::Event::Init), ["listing"]);
        assert_eq!(take(watcher::Event::InitApply(object("y"))), ["+y"]);
        assert_eq!(take(watcher::Event::Init), ["listing"]);
        assert_eq!(take(watcher::Event::InitApply(object("z"))), ["+z"]);
        assert_eq!(take(watcher::Event::InitDone), ["-x", "-y", "listed"]);
        assert_eq!(take(watcher::Event::Delete(object("z"))), ["-z"]);
    }
}
