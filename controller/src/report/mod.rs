// SPDX-License-Identifier: Apache-2.0
//! What translation has to say about the objects: the conditions that go into their status, and remarks for people.
//!
//! Every condition that is not as hoped has at least one [`Remark`] of [`Severity::Error`] on the same object, or, if it
//! will be as hoped by itself (a certificate that is on its way), one in the same words; so remarks alone are the whole
//! truth for `lint`. *Programmed=True* here means **would be programmed**: whoever writes
//! status turns it into `Pending` until the proxies' Ack.
//!
//! Never writes a status, never knows what is stored there.

pub mod conditions;

mod remark;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use torana_crds::gateway::RouteGroupKind;
use torana_crds::{ObjectRef, ParentRef};
use torana_ir::SharedMap;

pub use conditions::{Condition, Status};
pub use remark::{Remark, Severity};

/// All there is to say, by object. An object without an entry is not ours, or there is nothing to say about it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// By object; what did not change is shared with the report before.
    pub objects: SharedMap<ObjectRef, Arc<Entry>>,
    /// Objects that cannot be read: their last good form, if any, is in force.
    pub unreadable: BTreeMap<ObjectRef, Remark>,
}

/// What there is to say about one object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entry {
    /// `metadata.generation` that this speaks of: the `observedGeneration` of every condition.
    pub generation: i64,
    /// Conditions of an object as a whole: a GatewayClass, Gateway, ListenerSet, issuer, or one of Istio.
    pub conditions: Vec<Condition>,
    /// Listeners of a Gateway or ListenerSet, in the order of the spec.
    pub listeners: Vec<ListenerEntry>,
    /// Parents of a route, one for each declared parentRef that is ours.
    pub parents: Vec<ParentEntry>,
    /// Ancestors of a policy: the Gateways that it takes effect at.
    pub ancestors: Vec<AncestorEntry>,
    /// The Gateway whose proxies serve the listeners: the object itself, or the parent of a ListenerSet.
    pub gateway: Option<ObjectRef>,
    /// `status.attachedListenerSets` of a Gateway: accepted ones.
    pub attached_listener_sets: Option<u32>,
    /// For people; ordered as found.
    pub remarks: Vec<Remark>,
}

/// What there is to say about one listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerEntry {
    /// Section name.
    pub name: String,
    /// Route kinds that may attach.
    pub supported_kinds: Vec<RouteGroupKind>,
    /// Accepted routes that are attached.
    pub attached_routes: u32,
    /// Accepted, Conflicted, Programmed, ResolvedRefs.
    pub conditions: Vec<Condition>,
}

/// What there is to say about a route with one of its parents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ParentEntry {
    /// As declared.
    pub parent: ParentRef,
    /// Accepted, ResolvedRefs, perhaps PartiallyInvalid.
    pub conditions: Vec<Condition>,
}

/// What there is to say about a policy at one of its ancestors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AncestorEntry {
    /// The Gateway, with its namespace.
    pub ancestor: ParentRef,
    /// Accepted, ResolvedRefs.
    pub conditions: Vec<Condition>,
}

impl Report {
    /// Every remark with its object: objects that cannot be read first, then the others in order.
    pub fn remarks(&self) -> impl Iterator<Item = (&ObjectRef, &Remark)> {
        let unreadable = self.unreadable.iter();
        let found = self.objects.iter();
        unreadable.chain(found.flat_map(|(object, entry)| entry.remarks.iter().map(move |remark| (object, remark))))
    }
}

impl Entry {
    /// Nothing to say.
    pub fn is_empty(&self) -> bool {
        self.conditions.is_empty()
            && self.listeners.is_empty()
            && self.parents.is_empty()
            && self.ancestors.is_empty()
            && self.remarks.is_empty()
    }
}
