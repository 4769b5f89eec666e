// SPDX-License-Identifier: Apache-2.0
//! Publishes the roots of the mesh: a ConfigMap in every namespace that wants them, kept as it should be by the leader.
//! Where nothing is to be changed nothing is written.
//!
//! A namespace that no longer wants them keeps what it has, up to date, for pods may mount it: whoever deletes it there
//! is rid of it.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::time::Duration;

use futures_util::{Stream, TryStreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{Api, Patch, PatchParams};
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, Event};
use kube::{Client, ResourceExt};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::api::{self, Failure, Interruption, Pauses, is_older, within};
use crate::cell;
use crate::leader::Leadership;
use crate::mesh_ca::{Authority, LABEL, ROOTS, ROOTS_KEY};

/// The name under which these writes stand in `managedFields`.
const MANAGER: &str = "torana-mesh-ca";
/// Of one call.
const CALL: Duration = Duration::from_secs(10);

/// Namespaces; `None` until they are known.
pub type Namespaces = Option<BTreeSet<String>>;

/// Follows the namespaces that are labelled for it, for as long as anybody looks.
pub fn labelled(client: Client) -> watch::Receiver<Namespaces> {
    let (sender, receiver) = watch::channel(None);
    tokio::spawn(async move {
        let config = watcher::Config::default().labels(&format!("{LABEL}=true"));
        let namespaces: Api<PartialObjectMeta<Namespace>> = Api::all(client);
        let mut changes = pin!(api::changes(namespaces, config));
        let (mut now, mut listing) = (BTreeSet::new(), BTreeSet::new());
        loop {
            let change = tokio::select! {
                change = changes.try_next() => change,
                () = sender.closed() => return,
            };
            match change {
                Ok(Some(Event::Init)) => {
                    listing.clear();
                    continue;
                }
                Ok(Some(Event::InitApply(namespace))) => {
                    put(&mut listing, &namespace);
                    continue;
                }
                Ok(Some(Event::InitDone)) => now = std::mem::take(&mut listing),
                Ok(Some(Event::Apply(namespace))) => put(&mut now, &namespace),
                Ok(Some(Event::Delete(namespace))) => drop(now.remove(&namespace.name_any())),
                Ok(None) => return,
                Err(why) => {
                    tracing::warn!(%why, "which namespaces want the roots of the mesh is not known");
                    continue;
                }
            }
            cell::put(&sender, Some(now.clone()));
        }
    });
    receiver
}

/// All of both, for as long as anybody looks; `None` until the first are known.
pub fn both(
    mut labelled: watch::Receiver<Namespaces>,
    mut others: watch::Receiver<BTreeSet<String>>,
) -> watch::Receiver<Namespaces> {
    let (sender, receiver) = watch::channel(None);
    tokio::spawn(async move {
        loop {
            let all = labelled.borrow_and_update().clone();
            let more = others.borrow_and_update().clone();
            cell::put(&sender, all.map(|all| all.into_iter().chain(more).collect()));
            tokio::select! {
                changed = labelled.changed() => if changed.is_err() { return },
                changed = others.changed() => if changed.is_err() { return },
                () = sender.closed() => return,
            }
        }
    });
    receiver
}

/// One that is on its way out takes nothing new.
fn put(known: &mut BTreeSet<String>, namespace: &impl ResourceExt) {
    if namespace.meta().deletion_timestamp.is_none() {
        known.insert(namespace.name_any());
    } else {
        known.remove(&namespace.name_any());
    }
}

/// Publishes the roots of `authorities` in namespace `own` and in those that are `wanted`, while this replica leads. Ends
/// with whoever tells those.
pub async fn publish(
    client: Client,
    own: String,
    mut wanted: watch::Receiver<Namespaces>,
    mut authorities: watch::Receiver<Authority>,
    mut leadership: watch::Receiver<Leadership>,
) {
    let config = watcher::Config::default().fields(&format!("metadata.name={ROOTS}"));
    let mut changes = pin!(api::changes(Api::<ConfigMap>::all(client.clone()), config));
    let mut published = Published::default();
    let (mut pauses, mut again) = (Pauses::default(), None);
    loop {
        let leads = leadership.borrow_and_update().leads();
        let bundle = authorities.borrow_and_update().bundle();
        let namespaces = wanted.borrow_and_update().clone();
        let due = again.is_none_or(|again| again <= Instant::now());
        if let Some(mut namespaces) = namespaces.filter(|_| leads && due) {
            namespaces.insert(own.clone());
            again = match put_right(&client, &mut published, &namespaces, &bundle).await {
                Ok(()) => None,
                Err(asked) => Some(Instant::now() + pauses.next(asked, fastrand::f64())),
            };
            if again.is_none() {
                pauses.calm();
            }
        }
        let goes_on = tokio::select! {
            change = next(&mut changes, &mut published) => change,
            changed = wanted.changed() => changed.is_ok(),
            changed = authorities.changed() => changed.is_ok(),
            changed = leadership.changed() => changed.is_ok(),
            () = until(again) => true,
        };
        if !goes_on {
            return;
        }
    }
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// Takes one change; returns whether others may follow.
async fn next(
    changes: &mut (impl Stream<Item = Result<Event<ConfigMap>, Interruption>> + Unpin),
    published: &mut Published,
) -> bool {
    match changes.try_next().await {
        Ok(Some(event)) => published.see(event),
        Ok(None) => return false,
        Err(why) => tracing::warn!(%why, "where the roots of the mesh are published is not known"),
    }
    true
}

/// Writes what is not as it should be. Fails with the pause that was asked for, if something could not be written.
async fn put_right(
    client: &Client,
    published: &mut Published,
    namespaces: &BTreeSet<String>,
    bundle: &str,
) -> Result<(), Option<Duration>> {
    let mut failed = None;
    for namespace in published.wrong(namespaces, bundle) {
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
        let params = PatchParams::apply(MANAGER).force();
        let patch = desired(&namespace, bundle);
        match within(CALL, maps.patch(ROOTS, &params, &Patch::Apply(&patch))).await {
            Ok(map) => {
                tracing::info!(namespace, "the roots of the mesh are published");
                published.know(&map);
            }
            Err(why) => {
                tracing::warn!(namespace, %why, "the roots of the mesh cannot be published");
                let asked = if let Failure::Busy(asked, _) = why { Some(asked) } else { None };
                failed = Some(asked);
                // What is wrong with one namespace says nothing of the others; without an API server all have to wait.
                if matches!(why, Failure::Busy(..) | Failure::Unavailable(_)) {
                    break;
                }
            }
        }
    }
    failed.map_or(Ok(()), Err)
}

fn desired(namespace: &str, bundle: &str) -> serde_json::Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": ROOTS,
            "namespace": namespace,
            "labels": {"app.kubernetes.io/part-of": "torana", LABEL: "true"},
        },
        "data": {ROOTS_KEY: bundle},
    })
}

/// Where the roots are published, as far as it was seen. Pure.
#[derive(Debug, Default)]
struct Published {
    maps: BTreeMap<String, Map>,
    listing: BTreeMap<String, Map>,
    is_listed: bool,
}

/// One of the ConfigMaps.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Map {
    version: String,
    roots: Option<String>,
    is_labelled: bool,
}

impl Map {
    fn of(map: &ConfigMap) -> Self {
        let is_labelled = map.labels().get(LABEL).is_some_and(|value| value == "true");
        let roots = map.data.as_ref().and_then(|data| data.get(ROOTS_KEY)).cloned();
        Self { version: map.resource_version().unwrap_or_default(), roots, is_labelled }
    }
}

impl Published {
    fn see(&mut self, event: Event<ConfigMap>) {
        match event {
            Event::Init => self.listing.clear(),
            Event::InitApply(map) => drop(self.listing.insert(map.namespace().unwrap_or_default(), Map::of(&map))),
            Event::InitDone => (self.maps, self.is_listed) = (std::mem::take(&mut self.listing), true),
            Event::Apply(map) => self.know(&map),
            Event::Delete(map) => drop(self.maps.remove(&map.namespace().unwrap_or_default())),
        }
    }

    /// A write is known before the watch tells of it, and of what was before it.
    fn know(&mut self, map: &ConfigMap) {
        let (namespace, map) = (map.namespace().unwrap_or_default(), Map::of(map));
        if !self.maps.get(&namespace).is_some_and(|known| is_older(&map.version, &known.version)) {
            self.maps.insert(namespace, map);
        }
    }

    /// Namespaces in which something is to be written: the wanted ones, and those that had the roots before.
    fn wrong(&self, wanted: &BTreeSet<String>, bundle: &str) -> Vec<String> {
        let is_right = |map: &Map| map.is_labelled && map.roots.as_deref() == Some(bundle);
        let missing = wanted.iter().filter(|namespace| !self.maps.get(*namespace).is_some_and(is_right));
        let kept = self.maps.iter().filter(|(namespace, map)| {
            map.is_labelled && map.roots.as_deref() != Some(bundle) && !wanted.contains(*namespace)
        });
        // Before the list nobody knows what is there.
        let all = missing.chain(kept.map(|(namespace, _)| namespace));
        all.filter(|_| self.is_listed).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(namespace: &str, version: &str, roots: &str) -> ConfigMap {
        let mut map: ConfigMap = serde_json::from_value(desired(namespace, roots)).unwrap();
        map.metadata.resource_version = Some(version.to_owned());
        map
    }

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn listed(maps: &[ConfigMap]) -> Published {
        let mut published = Published::default();
        published.see(Event::Init);
        for map in maps {
            published.see(Event::InitApply(map.clone()));
        }
        published.see(Event::InitDone);
        published
    }

    #[test]
    fn nothing_is_written_before_it_is_known_what_is_there() {
        assert!(Published::default().wrong(&set(&["a"]), "one").is_empty());
        assert_eq!(listed(&[]).wrong(&set(&["a"]), "one"), ["a"]);
    }

    #[test]
    fn what_is_missing_or_was_changed_is_put_right_and_nothing_else_is_touched() {
        let mut unlabelled = map("c", "3", "one");
        unlabelled.metadata.labels = None;
        let mut emptied = map("d", "4", "one");
        emptied.data = None;
        let foreign = ConfigMap { metadata: unlabelled.metadata.clone(), ..map("c", "3", "theirs") };
        let published = listed(&[map("a", "1", "one"), map("b", "2", "other"), unlabelled, emptied]);
        assert_eq!(published.wrong(&set(&["a", "b", "c", "d", "e"]), "one"), ["b", "c", "d", "e"]);
        assert_eq!(listed(&[foreign]).wrong(&set(&[]), "one"), Vec::<String>::new(), "somebody else's, not wanted");
    }

    #[test]
    fn a_namespace_that_wants_them_no_more_has_the_newest_until_it_deletes_them() {
        let mut published = listed(&[map("a", "1", "one")]);
        assert_eq!(published.wrong(&set(&[]), "two"), ["a"]);
        published.see(Event::Delete(map("a", "1", "one")));
        assert!(published.wrong(&set(&[]), "two").is_empty());
    }

    #[test]
    fn a_write_is_not_repeated_because_the_watch_is_late() {
        let mut published = listed(&[map("a", "5", "one")]);
        published.know(&map("a", "9", "two"));
        published.see(Event::Apply(map("a", "7", "drifted")));
        assert!(published.wrong(&set(&["a"]), "two").is_empty());
        published.see(Event::Apply(map("a", "10", "drifted")));
        assert_eq!(published.wrong(&set(&["a"]), "two"), ["a"]);
    }
}
