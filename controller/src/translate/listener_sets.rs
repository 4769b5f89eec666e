// SPDX-License-Identifier: Apache-2.0
//! ListenerSets: which Gateway they add listeners to, whether it lets them, and in which order they come.
//!
//! Precedence: the Gateway's own listeners, then sets oldest first, then by `{namespace}/{name}`
//! (`ListenerSetSpec.listeners`). Never looks into a listener.

use std::collections::BTreeMap;

use torana_crds::gateway::{Gateway, ListenerSet};
use torana_crds::{Kind, ObjectRef};

use crate::report::Remark;
use crate::report::conditions::listener_set::NOT_ALLOWED;
use crate::store::Cluster;
use crate::translate::allowed::Namespaces;

/// ListenerSets by the Gateway that they name, each in order of precedence.
pub fn by_gateway(cluster: &Cluster) -> BTreeMap<ObjectRef, Vec<&ListenerSet>> {
    let mut sets: BTreeMap<ObjectRef, Vec<&ListenerSet>> = BTreeMap::new();
    for set in cluster.all::<ListenerSet>() {
        sets.entry(set.spec.parent.target(&set.meta.namespace)).or_default().push(set);
    }
    for sets in sets.values_mut() {
        sets.sort_by_key(|set| (set.meta.created.unwrap_or_default(), &set.meta.namespace, &set.meta.name));
    }
    sets
}

/// Why `gateway` does not let `set` add listeners, if it does not.
pub(super) fn refusal(cluster: &Cluster, gateway: &Gateway, set: &ListenerSet) -> Option<Remark> {
    let allowed = &gateway.spec.allowed_listeners.namespaces;
    let (home, from) = (&gateway.meta.namespace, &allowed.from);
    let namespaces = Namespaces::resolve(cluster, home, from, allowed.selector.as_ref());
    let admitted = namespaces.as_ref().is_ok_and(|namespaces| namespaces.admit(&set.meta.namespace));
    (!admitted).then(|| {
        let (name, namespace) = (&gateway.meta.name, &set.meta.namespace);
        let message = format!("Gateway {home}/{name} admits no ListenerSets from namespace {namespace}");
        Remark::error(NOT_ALLOWED, "spec.parentRef", message, "allow it in the Gateway's spec.allowedListeners")
    })
}

/// What to say of a set whose parent is no Gateway that there is.
pub(super) fn orphan(cluster: &Cluster, set: &ListenerSet) -> Option<Remark> {
    let parent = set.spec.parent.target(&set.meta.namespace);
    let (message, remedy) = if parent.known_kind() != Some(Kind::Gateway) {
        (format!("{parent} of group {:?} cannot have ListenerSets", parent.group), "refer to a Gateway")
    } else if cluster.contains(&parent) {
        return None;
    } else {
        (format!("there is no {parent}"), "create it or correct the reference")
    };
    Some(Remark::error("NoMatchingParent", "spec.parentRef", message, remedy))
}
