// SPDX-License-Identifier: Apache-2.0
//! What goes along with listeners and rules: whom policies have asked or told, certificates, and authorities.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use torana_crds::{Kind, ObjectRef};
use torana_ir::{ProviderKey, Resource, ResourceKey};

use super::Work;
use crate::translate::routes::RouteOutput;

impl Work<'_> {
    /// Who is asked or told is reached as what routes lead to.
    pub(super) fn providers(&mut self, services: &mut BTreeSet<ObjectRef>) {
        let used = self.memo.frame.providers.iter().map(|(key, provider)| {
            let backends = provider.backend().cloned().into_iter().collect();
            (
                provider_use(key),
                RouteOutput { backends, attached: self.memo.frame.users(key), ..RouteOutput::default() },
            )
        });
        let mut used: BTreeMap<_, _> = used.collect();
        let none = provider_use(&ProviderKey(String::new()));
        let before = self.memo.routes.range(none..).map(|(route, _)| route).take_while(|it| is_provider_use(it));
        let before: Vec<_> = before.cloned().collect();
        for reference in before {
            if let Some(old) = self.memo.routes.remove(&reference) {
                self.forget(&reference, &old, services);
            }
        }
        while let Some((reference, output)) = used.pop_first() {
            self.remember(&reference, output, services);
        }
    }

    /// Sends the certificates that are served and shown, and no others.
    pub(super) fn certificates(&mut self) {
        let (snapshot, memo) = (self.snapshot, &self.memo);
        let shown = memo.needed.keys().filter_map(|key| memo.certificate(key));
        let needed: BTreeMap<_, _> = shown.chain(&memo.frame.certificates).collect();
        for (key, certificate) in &needed {
            if snapshot.certificates.get(*key).is_none_or(|old| old != *certificate) {
                self.delta.upserts.push(Resource::Certificate(Arc::clone(certificate)));
            }
        }
        let gone = snapshot.certificates.keys().filter(|key| !needed.contains_key(key));
        self.delta.removals.extend(gone.cloned().map(ResourceKey::Certificate));
    }

    /// Sends the bundles that listeners and backends need, and no others. There are few.
    pub(super) fn bundles(&mut self) {
        let (snapshot, memo, frame) = (self.snapshot, &self.memo, &self.memo.frame);
        let of_backends = memo.needed.keys().filter_map(|key| memo.bundle(key));
        let needed: BTreeMap<_, _> = of_backends.chain(&frame.bundles).collect();
        for (key, bundle) in &needed {
            let same = |old: &Arc<_>| Arc::ptr_eq(old, bundle) || old == *bundle;
            if !snapshot.bundles.get(*key).is_some_and(same) {
                self.delta.upserts.push(Resource::TrustBundle(Arc::clone(bundle)));
            }
        }
        let gone = snapshot.bundles.keys().filter(|key| !needed.contains_key(key));
        self.delta.removals.extend(gone.cloned().map(ResourceKey::TrustBundle));
    }
}

/// Stands for the use of a provider among routes; no ConfigMap has an empty namespace.
fn provider_use(provider: &ProviderKey) -> ObjectRef {
    ObjectRef::new(Kind::ConfigMap, "", &provider.0)
}

/// See [`provider_use`].
fn is_provider_use(route: &ObjectRef) -> bool {
    route.known_kind() == Some(Kind::ConfigMap)
}
