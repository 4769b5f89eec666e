// SPDX-License-Identifier: Apache-2.0
//! What was seen of one kind, and who is told: a list tells what is gone, and what is others' is kept as the text that came
//! until it concerns somebody here. Asks nobody for anything.

use std::collections::BTreeSet;

use foldhash::HashMap;
use kube::api::ApiResource;
use kube::runtime::watcher;
use torana_crds::{Kind, ObjectRef};

use super::object::Raw;
use super::others::Others;
use super::{Sighting, raw};
use crate::store::Event;

/// The objects of a kind; none is in both.
#[derive(Debug, Default)]
struct Objects {
    told: BTreeSet<ObjectRef>,
    /// Others', of which nobody is told.
    kept: HashMap<ObjectRef, Raw>,
}

/// All that was seen of a kind.
#[derive(Debug)]
pub(super) struct Seen {
    kind: Kind,
    resource: ApiResource,
    others: Others,
    now: Objects,
    /// While a list is on its way: what came of it.
    listing: Option<Objects>,
}

impl Seen {
    pub(super) fn new(kind: Kind, resource: ApiResource, others: Others) -> Self {
        Self { kind, resource, others, now: Objects::default(), listing: None }
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn resource(&self) -> &ApiResource {
        &self.resource
    }

    /// What is to be told of a change.
    pub(super) fn take(&mut self, change: watcher::Event<Raw>) -> Vec<Sighting> {
        match change {
            watcher::Event::Init => {
                self.listing = Some(Objects::default());
                vec![Sighting::Listing(self.kind)]
            }
            watcher::Event::InitApply(object) | watcher::Event::Apply(object) => {
                self.there(object).into_iter().collect()
            }
            watcher::Event::InitDone => {
                let before = std::mem::replace(&mut self.now, self.listing.take().unwrap_or_default()).told;
                let gone = before.into_iter().filter(|reference| !self.now.told.contains(reference)).map(removed);
                gone.chain([Sighting::Listed(self.kind)]).collect()
            }
            watcher::Event::Delete(object) => {
                let reference = super::reference(self.kind, &object);
                self.now.kept.remove(&reference);
                self.now.told.remove(&reference).then(|| removed(reference)).into_iter().collect()
            }
        }
    }

    /// Whether an object that is others' is gone: that is nobody's loss, and no question.
    pub(super) fn is_end_of_others(&self, change: &watcher::Event<Raw>) -> bool {
        let watcher::Event::Delete(object) = change else { return false };
        self.now.kept.contains_key(&super::reference(self.kind, object))
    }

    /// Returns when something may be others' that was not, or the other way round.
    pub(super) async fn others_changed(&mut self) {
        self.others.changed().await;
    }

    /// What was others', and is not by now.
    pub(super) fn release(&mut self) -> Vec<Sighting> {
        let mut released = Vec::new();
        for objects in std::iter::once(&mut self.now).chain(self.listing.as_mut()) {
            for (reference, object) in objects.kept.extract_if(|_, object| !self.others.has(object)) {
                objects.told.insert(reference);
                released.push(raw::sighting(self.kind, &self.resource, object));
            }
        }
        released
    }

    /// An object is there, in its newest form; whoever was told of one that is others' by now is told that it is gone.
    fn there(&mut self, object: Raw) -> Option<Sighting> {
        let objects = self.listing.as_mut().unwrap_or(&mut self.now);
        let reference = super::reference(self.kind, &object);
        if self.others.has(&object) {
            objects.kept.insert(reference.clone(), object);
            return objects.told.remove(&reference).then(|| removed(reference));
        }
        objects.kept.remove(&reference);
        objects.told.insert(reference);
        Some(raw::sighting(self.kind, &self.resource, object))
    }
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

    #[test]
    fn what_becomes_others_within_a_list_is_told_to_be_gone_and_its_end_is_nobody_s_loss() {
        let (parents, mut seen) = seen(Kind::HttpRoute, Some(&["edge"]));
        seen.take(watcher::Event::Init);
        assert_eq!(names(seen.take(watcher::Event::InitApply(route("edge")))), ["+r"]);
        assert_eq!(names(seen.take(watcher::Event::InitApply(route("istio")))), ["-r"]);
        assert_eq!(names(seen.take(watcher::Event::InitDone)), ["listed"]);
        assert!(seen.is_end_of_others(&watcher::Event::Delete(route("istio"))));
        // And back again.
        seen.take(watcher::Event::Init);
        assert_eq!(names(seen.take(watcher::Event::InitApply(route("istio")))), [""; 0]);
        assert_eq!(names(seen.take(watcher::Event::InitApply(route("edge")))), ["+r"]);
        assert_eq!(names(seen.take(watcher::Event::InitDone)), ["listed"]);
        assert!(!seen.is_end_of_others(&watcher::Event::Delete(route("edge"))));
        assert_eq!(names(seen.take(watcher::Event::Delete(route("edge")))), ["-r"]);
        drop(parents);
    }

    #[test]
    fn what_is_kept_is_released_once_and_only_if_it_is_torana_s_by_then() {
        let (parents, mut seen) = seen(Kind::HttpRoute, Some(&["edge", "other"]));
        let is_kept = |seen: &Seen| seen.is_end_of_others(&watcher::Event::Delete(route("istio")));
        seen.take(watcher::Event::Apply(route("istio")));
        seen.take(watcher::Event::Init);
        seen.take(watcher::Event::InitApply(route("istio")));
        parents.send_replace(Some(gateways(&["edge"])));
        assert!(seen.release().is_empty() && is_kept(&seen), "it is others' as before");
        parents.send_replace(Some(gateways(&["istio"])));
        assert_eq!(names(seen.release()), ["+r", "+r"], "of before the list, and of the list");
        assert!(seen.release().is_empty() && !is_kept(&seen));
        assert_eq!(names(seen.take(watcher::Event::InitDone)), ["listed"]);
        assert!(!is_kept(&seen));
    }

    #[test]
    fn a_list_takes_the_place_of_what_was_kept() {
        let (_parents, mut seen) = seen(Kind::HttpRoute, Some(&["edge"]));
        let end = |name: &str| {
            let mut route = route("istio");
            route.metadata.name = Some(name.to_owned());
            route
        };
        let is_kept = |seen: &Seen, name| seen.is_end_of_others(&watcher::Event::Delete(end(name)));
        seen.take(watcher::Event::Apply(end("r")));
        seen.take(watcher::Event::Init);
        seen.take(watcher::Event::InitApply(end("next")));
        assert!(is_kept(&seen, "r") && !is_kept(&seen, "next"));
        assert_eq!(names(seen.take(watcher::Event::InitDone)), ["listed"]);
        assert!(!is_kept(&seen, "r") && is_kept(&seen, "next"));
        assert_eq!(names(seen.take(watcher::Event::Delete(end("next")))), [""; 0]);
        assert!(!is_kept(&seen, "next"));
    }

    #[test]
    fn as_long_as_it_is_not_known_whose_gateways_there_are_a_route_is_told_of() {
        let (parents, mut seen) = seen(Kind::HttpRoute, Some(&["edge"]));
        seen.take(watcher::Event::Apply(route("istio")));
        parents.send_replace(None);
        assert_eq!(names(seen.take(watcher::Event::Apply(route("istio")))), ["+r"]);
        assert!(!seen.is_end_of_others(&watcher::Event::Delete(route("istio"))));
    }
}
