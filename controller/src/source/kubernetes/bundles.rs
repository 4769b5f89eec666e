// SPDX-License-Identifier: Apache-2.0
//! Which releases of Gateway API the cluster's CRDs are from. Never reads a schema.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;

use futures_util::TryStreamExt;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt};
use tokio::sync::watch;
use torana_crds::GATEWAY_GROUP;

use crate::api;
use crate::cell;

/// The annotation that says it.
const BUNDLE: &str = "gateway.networking.k8s.io/bundle-version";

/// Follows them for as long as anybody looks; without the right to, nothing is told.
pub fn bundles(client: Client) -> watch::Receiver<BTreeSet<String>> {
    let (sender, receiver) = watch::channel(BTreeSet::new());
    tokio::spawn(async move {
        let definitions: Api<PartialObjectMeta<CustomResourceDefinition>> = Api::all(client);
        let mut changes = pin!(api::changes(definitions, watcher::Config::default()));
        let (mut now, mut listing) = (BTreeMap::new(), BTreeMap::new());
        loop {
            let change = tokio::select! {
                change = changes.try_next() => change,
                () = sender.closed() => return,
            };
            match change {
                Ok(Some(watcher::Event::Init)) => listing.clear(),
                Ok(Some(watcher::Event::InitApply(definition))) => put(&mut listing, &definition),
                Ok(Some(watcher::Event::InitDone)) => now = std::mem::take(&mut listing),
                Ok(Some(watcher::Event::Apply(definition))) => put(&mut now, &definition),
                Ok(Some(watcher::Event::Delete(definition))) => drop(now.remove(&definition.name_any())),
                Ok(None) => return,
                Err(why) => tracing::warn!(%why, "the versions of the CRDs are not known"),
            }
            cell::put(&sender, now.values().cloned().collect());
        }
    });
    receiver
}

fn put(known: &mut BTreeMap<String, String>, definition: &impl ResourceExt) {
    let name = definition.name_any();
    if name.ends_with(GATEWAY_GROUP)
        && let Some(bundle) = definition.annotations().get(BUNDLE)
    {
        known.insert(name, bundle.clone());
    }
}
