// SPDX-License-Identifier: Apache-2.0
//! What the objects mean.
use std::collections::BTreeMap;
use std::sync::Arc;

use torana_ir::Snapshot;

use crate::report::Report;
use crate::store::{Cluster, Dirty, FleetId};

/// What the objects mean: programs for the proxies, and what there is to say to their authors.
#[derive(Debug, Clone, Default)]
pub struct Translation {
    /// The whole program of each fleet.
    pub snapshots: BTreeMap<FleetId, Arc<Snapshot>>,
    /// What there is to say.
    pub report: Report,
}

/// Translates everything. Pure and total: a user's mistake is a value.
pub fn translate(cluster: &Cluster) -> Translation {
    retranslate(cluster, &cluster.everything(), Translation::default())
}

/// Translates what `dirty` touched, and keeps the rest of `last`; equal to [`translate`].
pub fn retranslate(_cluster: &Cluster, _dirty: &Dirty, last: Translation) -> Translation {
    last
}
