// SPDX-License-Identifier: Apache-2.0
//! What the translation of one route finds on its way: remarks, references that are not good, and the objects that it
//! was judged by. Never judges anything.

use std::collections::BTreeSet;

use torana_crds::{Kind, ObjectRef};
use torana_ir::{BackendKey, Invalid, Target};

use crate::report::Remark;

/// The findings of one route.
#[derive(Debug)]
pub(super) struct Ledger {
    /// The route.
    pub(super) route: ObjectRef,
    /// References that are not good: `ResolvedRefs=False`.
    pub(super) unresolved: Vec<Remark>,
    /// What else there is to say.
    pub(super) remarks: Vec<Remark>,
    /// Objects, there or not, whose change may change the result.
    pub(super) needs: BTreeSet<ObjectRef>,
}

impl Ledger {
    /// Nothing found yet.
    pub(super) fn new(route: ObjectRef) -> Self {
        Self { route, unresolved: Vec::new(), remarks: Vec::new(), needs: BTreeSet::new() }
    }

    /// The result depends on this object.
    pub(super) fn need(&mut self, object: &ObjectRef) {
        if !self.needs.contains(object) {
            self.needs.insert(object.clone());
        }
    }

    /// The result depends on every object of a kind in a namespace.
    pub(super) fn need_all(&mut self, kind: Kind, namespace: &str) {
        self.need(&every(kind, namespace));
    }

    /// Where a reference leads; what is wrong with it is kept.
    pub(super) fn target(&mut self, resolved: Result<BackendKey, Remark>) -> Target {
        match resolved {
            Ok(key) => Target::Backend(key),
            Err(remark) => {
                let invalid = Invalid { reason: remark.reason.into(), message: remark.to_string() };
                self.unresolved.push(remark);
                Target::Invalid(invalid)
            }
        }
    }
}

/// Stands for every object of a kind in a namespace; no object has an empty name.
pub(super) fn every(kind: Kind, namespace: &str) -> ObjectRef {
    ObjectRef::new(kind, namespace, "")
}
