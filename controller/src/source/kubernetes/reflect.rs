// SPDX-License-Identifier: Apache-2.0
//! One kind: its list, then its changes, for as long as anybody listens. Objects that go with the definition of their
//! kind stay, until a list of it succeeds again.

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Instant;

use futures_util::{FutureExt, TryStreamExt};
use kube::Client;
use kube::api::{Api, ApiResource};
use kube::runtime::watcher;
use tokio::sync::mpsc;
use torana_crds::{Kind, ObjectRef};

use super::deletions::{Change, Held};
use super::object::Raw;
use super::others::Others;
use super::{Sighting, raw, served};
use crate::api::changes;
use crate::store::Event;

/// Objects a page: with 1 MiB each, the most that an object may have, still bounded.
const PAGE: u32 = 250;

/// Which objects of the kind were told of, so that a new list tells which are gone.
#[derive(Debug)]
pub(super) struct Seen {
    kind: Kind,
    resource: ApiResource,
    now: BTreeSet<ObjectRef>,
    listing: BTreeSet<ObjectRef>,
    /// None of these is in `now`.
    others: Others,
}

/// Reflects one kind until nobody listens.
pub(super) async fn reflect(client: Client, mut seen: Seen, sender: mpsc::Sender<Sighting>) {
    let (kind, resource) = (seen.kind, seen.resource.clone());
    let objects: Api<Raw> = Api::all_with(client.clone(), &resource);
    let mut changes = pin!(changes(objects, config(kind)));
    let mut held = Held::default();
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
            () = seen.others.changed() => {
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
        if sightings.is_empty()
            && is_change
            && let Some(rest) = seen.others.rest(Instant::now())
        {
            tokio::time::sleep(rest).await;
        }
        for sighting in sightings {
            if sender.send(sighting).await.is_err() {
                return;
            }
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
    pub(super) fn new(kind: Kind, resource: ApiResource, others: Others) -> Self {
        Self { kind, resource, now: BTreeSet::new(), listing: BTreeSet::new(), others }
    }

    fn take(&mut self, change: watcher::Event<Raw>) -> Vec<Sighting> {
        match change {
            watcher::Event::Init => {
                self.listing.clear();
                self.others.begin_list();
                vec![Sighting::Listing(self.kind)]
            }
            watcher::Event::InitApply(object) => {
                let reference = super::reference(self.kind, &object);
                let object = self.others.keep_listed(&reference, object);
                object.into_iter().map(|object| self.listed(reference.clone(), object)).collect()
            }
            watcher::Event::InitDone => {
                self.others.end_list();
                let before = std::mem::replace(&mut self.now, std::mem::take(&mut self.listing));
                let gone = before.into_iter().filter(|reference| !self.now.contains(reference)).map(removed);
                gone.chain([Sighting::Listed(self.kind)]).collect()
            }
            watcher::Event::Apply(object) => {
                let reference = super::reference(self.kind, &object);
                match self.others.keep(&reference, object) {
                    Some(object) => vec![self.applied(reference, object)],
                    None => self.gone(reference),
                }
            }
            watcher::Event::Delete(object) => {
                let reference = super::reference(self.kind, &object);
                if self.others.remove(&reference) { Vec::new() } else { self.gone(reference) }
            }
        }
    }

    /// Whether an object that is others' is gone: that is nobody's loss, and no question.
    fn is_end_of_others(&self, change: &watcher::Event<Raw>) -> bool {
        let watcher::Event::Delete(object) = change else { return false };
        self.others.has(&super::reference(self.kind, object))
    }

    /// What was others', and is not by now.
    fn release(&mut self) -> Vec<Sighting> {
        let (kept, listed) = self.others.release();
        let kept: Vec<_> = kept.into_iter().map(|it| self.applied(super::reference(self.kind, &it), it)).collect();
        let listed = listed.into_iter().map(|it| self.listed(super::reference(self.kind, &it), it));
        kept.into_iter().chain(listed).collect()
    }

    fn applied(&mut self, reference: ObjectRef, object: Raw) -> Sighting {
        self.now.insert(reference);
        raw::sighting(self.kind, &self.resource, object)
    }

    fn listed(&mut self, reference: ObjectRef, object: Raw) -> Sighting {
        self.listing.insert(reference);
        raw::sighting(self.kind, &self.resource, object)
    }

    /// Nobody knew of what is others', unless it was not others' before.
    fn gone(&mut self, reference: ObjectRef) -> Vec<Sighting> {
        if self.now.remove(&reference) { vec![removed(reference)] } else { Vec::new() }
    }
}

fn is_change(told: &Change) -> bool {
    matches!(told, Ok(Some(watcher::Event::Apply(_) | watcher::Event::Delete(_))))
}

fn removed(reference: ObjectRef) -> Sighting {
    Sighting::Object { event: Event::Removed(reference), stored: None, unknown: Vec::new() }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;
    use tokio::sync::watch;

    use super::super::Parents;
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

    fn seen(kind: Kind, parents: Option<&[&str]>) -> (watch::Sender<Parents>, Seen) {
        let resource = ApiResource::from_gvk(&kube::api::GroupVersionKind::gvk(kind.group(), "v1", kind.as_str()));
        let (sender, parents) = watch::channel(parents.map(gateways));
        (sender, Seen::new(kind, resource, Others::new(kind, parents)))
    }

    fn gateways(names: &[&str]) -> Arc<BTreeSet<ObjectRef>> {
        Arc::new(names.iter().map(|name| ObjectRef::new(Kind::Gateway, "a", name)).collect())
    }

    fn route(gateway: &str) -> Raw {
        let spec = json!({"parentRefs": [{"name": gateway}]});
        serde_json::from_value(json!({"metadata": {"name": "r", "namespace": "a"}, "spec": spec})).unwrap()
    }

    #[test]
    fn a_new_list_takes_away_what_it_lacks_and_only_once_it_is_complete() {
        let (_parents, mut seen) = seen(Kind::Service, None);
        let mut take = |change| names(seen.take(change));
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

    #[test]
    fn a_route_is_told_of_while_it_names_a_gateway_of_torana_s() {
        let (parents, mut seen) = seen(Kind::HttpRoute, Some(&["edge"]));
        assert_eq!(names(seen.take(watcher::Event::Apply(route("istio")))), [""; 0]);
        assert!(seen.is_end_of_others(&watcher::Event::Delete(route("istio"))));
        assert_eq!(names(seen.take(watcher::Event::Apply(route("edge")))), ["+r"]);
        assert!(!seen.is_end_of_others(&watcher::Event::Delete(route("edge"))));
        assert_eq!(names(seen.take(watcher::Event::Apply(route("istio")))), ["-r"]);
        assert_eq!(names(seen.take(watcher::Event::Delete(route("istio")))), [""; 0]);
        seen.take(watcher::Event::Apply(route("istio")));
        parents.send_replace(Some(gateways(&["istio"])));
        assert_eq!(names(seen.release()), ["+r"]);
        assert_eq!(names(seen.take(watcher::Event::Delete(route("istio")))), ["-r"]);
    }

    #[test]
    fn a_list_in_which_a_route_is_others_takes_it_away_and_gives_it_back_when_it_is_not() {
        let (parents, mut seen) = seen(Kind::HttpRoute, Some(&["edge"]));
        let list = |seen: &mut Seen, gateway| {
            let told = [watcher::Event::Init, watcher::Event::InitApply(route(gateway)), watcher::Event::InitDone];
            told.into_iter().flat_map(|change| names(seen.take(change))).collect::<Vec<_>>()
        };
        assert_eq!(list(&mut seen, "edge"), ["listing", "+r", "listed"]);
        assert_eq!(list(&mut seen, "istio"), ["listing", "-r", "listed"]);
        // Other Gateways are Torana's while a list is on its way, in which it is still there or is not.
        for (change, expected) in [(None, vec!["-r", "listed"]), (Some(route("istio")), vec!["listed"])] {
            parents.send_replace(Some(gateways(&["edge"])));
            list(&mut seen, "istio");
            seen.take(watcher::Event::Init);
            if let Some(route) = change {
                seen.take(watcher::Event::InitApply(route));
            }
            parents.send_replace(Some(gateways(&["istio"])));
            assert!(names(seen.release()).iter().all(|name| name == "+r"));
            assert_eq!(names(seen.take(watcher::Event::InitDone)), expected);
        }
    }
}
