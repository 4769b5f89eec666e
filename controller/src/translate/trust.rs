// SPDX-License-Identifier: Apache-2.0
//! From a reference to a bundle of authorities: `ca.crt` of a ConfigMap, or `ca.crt` or `cacert` of a Secret where that is
//! allowed. Never asks whether the reference is permitted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use torana_crds::core::{ConfigMap, Secret, SecretBytes};
use torana_crds::{Kind, Object, ObjectRef, Spoken};
use torana_ir::{TrustBundle, TrustBundleKey, TrustSource};

use crate::store::Cluster;

/// The entry that holds the certificates.
const ENTRY: &str = "ca.crt";
/// Its name in Secrets of no type of their own, as Istio knows them.
const GENERIC_ENTRY: &str = "cacert";
/// What to do about one that cannot be used.
pub(super) const REMEDY: &str = "put the authorities' certificates into ca.crt, in PEM";

/// Objects that were read, with what came of them: reading a large one again takes milliseconds.
#[derive(Debug, Clone, Default)]
pub(super) struct TrustStore(BTreeMap<TrustBundleKey, Read>);

#[derive(Debug, Clone)]
struct Read {
    object: Arc<Object>,
    result: Result<Arc<TrustBundle>, String>,
}

/// Entries of a Secret that revoke certificates.
const REVOKED: [&str; 2] = ["ca.crl", "crl"];

/// Why none of some places has authorities that can be used.
pub(super) enum NoAuthority {
    /// What is wrong with each.
    Unusable(Vec<String>),
    /// The first one that has them revokes certificates.
    Revokes(String),
}

/// The entry by which a Secret revokes certificates, which is not done: whoever would be kept out by it must not get in.
fn revokes(cluster: &Cluster, secret: &ObjectRef) -> Option<&'static str> {
    let secret = cluster.find::<Secret>(&secret.namespace, &secret.name)?;
    REVOKED.into_iter().find(|entry| secret.data.contains_key(*entry))
}

/// The kind of source that a reference means, if it is one.
pub(super) fn source(to: &ObjectRef) -> Option<TrustSource> {
    match to.known_kind() {
        Some(Kind::ConfigMap) => Some(TrustSource::ConfigMap),
        Some(Kind::Secret) => Some(TrustSource::Secret),
        _ => None,
    }
}

/// The kind that a source is; the reverse of [`source`].
fn kind_of(source: TrustSource) -> Kind {
    match source {
        TrustSource::ConfigMap => Kind::ConfigMap,
        TrustSource::Secret => Kind::Secret,
    }
}

/// The object that a bundle comes from.
pub(super) fn object_of(key: &TrustBundleKey) -> ObjectRef {
    ObjectRef::new(kind_of(key.source), &key.namespace, &key.name)
}

impl TrustStore {
    /// The bundle in `to`, or what is wrong with it in one sentence. What was read `before` is not read again.
    pub(super) fn read(
        &mut self,
        cluster: &Cluster,
        before: &Self,
        (source, to): (TrustSource, &ObjectRef),
    ) -> Result<Arc<TrustBundle>, String> {
        let key = TrustBundleKey { source, namespace: to.namespace.clone(), name: to.name.clone() };
        let Some(object) = cluster.object(kind_of(source), &to.namespace, &to.name) else {
            self.0.remove(&key);
            return Err(format!("there is no {to}"));
        };
        let read = match self.0.get(&key).or_else(|| before.0.get(&key)) {
            Some(read) if Arc::ptr_eq(&read.object, object) => read.clone(),
            _ => Read { object: Arc::clone(object), result: bundle(&key, object).map(Arc::new) },
        };
        self.0.insert(key, read.clone());
        read.result.map_err(|why| format!("{to} is not usable: {why}"))
    }

    /// The bundle in the first of these places of a namespace that holds one. Every place that is looked at is added to
    /// `asked`, whether there is something or not.
    pub(super) fn first(
        &mut self,
        (cluster, before): (&Cluster, &Self),
        (namespace, places): (&str, &[(TrustSource, &str)]),
        asked: &mut BTreeSet<ObjectRef>,
    ) -> Result<Arc<TrustBundle>, NoAuthority> {
        let mut whys = Vec::new();
        for (source, name) in places {
            let to = ObjectRef::new(kind_of(*source), namespace, name);
            asked.insert(to.clone());
            let entry = (*source == TrustSource::Secret).then(|| revokes(cluster, &to)).flatten();
            if let Some(entry) = entry {
                let why = format!("{to} revokes certificates by {entry}, which is not supported");
                return Err(NoAuthority::Revokes(why));
            }
            match self.read(cluster, before, (*source, &to)) {
                Ok(bundle) => return Ok(bundle),
                Err(why) => whys.push(why),
            }
        }
        Err(NoAuthority::Unusable(whys))
    }

    /// What was read of this key, if it can be used.
    pub(super) fn get(&self, key: &TrustBundleKey) -> Option<&Arc<TrustBundle>> {
        self.0.get(key)?.result.as_ref().ok()
    }

    /// Forgets what is not `needed`.
    pub(super) fn retain(&mut self, needed: impl Fn(&TrustBundleKey) -> bool) {
        self.0.retain(|key, _| needed(key));
    }
}

fn bundle(key: &TrustBundleKey, object: &Object) -> Result<TrustBundle, String> {
    let config_map = ConfigMap::of(object);
    let text = config_map.and_then(|it| it.data.get(ENTRY)).map(String::as_bytes);
    let binary = config_map.and_then(|it| it.binary_data.get(ENTRY)).map(Vec::as_slice);
    let secret = Secret::of(object).and_then(|it| it.data.get(ENTRY).or_else(|| it.data.get(GENERIC_ENTRY)));
    let secret = secret.map(SecretBytes::expose);
    let pem = text.or(binary).or(secret).ok_or_else(|| format!("it has no {ENTRY}"))?;
    TrustBundle::from_pem(key.clone(), pem).map_err(|error| error.to_string())
}
