// SPDX-License-Identifier: Apache-2.0
//! What the objects mean: [`translate`] is pure and total. A user's mistake is a value (a [`Report`] entry, and an IR
//! variant that answers 500), never an error, and never a neighbour's outage.
//!
//! ```text
//! classes, Gateways, ListenerSets ── listeners ── conflicts ── certificates, trust ─▶ frame ─▶ parents
//!                                                                                      │         │
//!   routes ── attach ── matches (paths, grpc) ── filters ── backends ◀─────────────────┼─────────┘
//!     │                                             │                                  │
//!     └──────▶ rules, streams     services ── endpoints                           listeners
//!                                     ▲
//!   policies ── targets ── trust, backend_tls; health_checks                      issuers, each by itself
//! ```
//!
//! Each stage is a small file of pure functions; [`retranslate`] (`work`) only decides which of them to call again.
//! Never does I/O, reads no clock.

mod grants;

pub mod infrastructure;

pub mod parameters;

mod allowed;

mod certificates;

mod trust;

mod listeners;

mod client_validation;

mod conflicts;

mod proxies;

mod scopes;

mod sampling;

mod servers;

mod access;

mod tokens;

mod providers;

mod guards;

mod telemetry;

mod unevaluated;

mod credentials;

mod listener_sets;

mod gateways;

mod frame;

mod entries;

mod issuers;

mod acme;

mod ledger;

mod attach;

mod paths;

mod matches;

mod grpc;

mod backends;

mod headers;

mod cors;

mod filters;

mod sessions;

mod rules;

mod streams;

mod destination_rules;

mod localities;

mod originations;

mod peer_authentications;

mod mesh_peers;

mod workloads;

mod connections;

mod traffic;

mod service_entries;

mod routes;

mod istio;

mod mesh_config;

mod endpoints;

mod backend_tls;

mod targets;

mod health_checks;

mod traffic_policies;

mod policies;

mod services;

mod shared_hosts;

mod fleets;

mod views;

mod waypoints;

mod work;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use torana_crds::ObjectRef;
use torana_ir::{Delta, Snapshot};

use crate::issuance::{Offer, Wanted};
use crate::report::Report;
use crate::store::{Cluster, Dirty, FleetId, Fleets};
use crate::translate::fleets::Division;
use crate::translate::work::{Memo, Work};

pub use fleets::fleet_of;
pub use gateways::is_ours;
pub use listener_sets::by_gateway;
pub use listeners::transport;
pub use localities::whole_locality;
pub use mesh_config::roots as mesh_roots;
pub use proxies::{is_ingress, ports_of_ingress};
pub use routes::KINDS as ROUTES;

/// What the objects mean: programs for the proxies, and what there is to say to their authors.
#[derive(Debug, Clone, Default)]
pub struct Translation {
    /// The whole program of each fleet.
    pub snapshots: BTreeMap<FleetId, Arc<Snapshot>>,
    /// What turned the snapshots of the last translation into these; nothing for a fleet that did not change.
    pub deltas: BTreeMap<FleetId, Delta>,
    /// What there is to say.
    pub report: Report,
    /// Whether that is something else than the last time.
    pub is_news: bool,
    /// All programs as one.
    whole: Arc<Snapshot>,
    division: Division,
    memo: Memo,
}

impl Translation {
    /// Certificates that listeners want of ACME.
    pub fn wanted(&self) -> &Arc<Vec<Wanted>> {
        &self.memo.frame().wanted
    }

    /// Listeners whose certificates are obtained on demand.
    pub fn offers(&self) -> &Arc<Vec<Offer>> {
        &self.memo.frame().offers
    }

    /// The Gateways and ListenerSets that are Torana's.
    pub fn parents(&self) -> BTreeSet<ObjectRef> {
        self.memo.parents().cloned().collect()
    }
}

/// Translates everything.
pub fn translate(cluster: &Cluster) -> Translation {
    retranslate(cluster, &cluster.everything(), Translation::default())
}

/// Translates what `dirty` touched and keeps the rest of `last`; the result equals [`translate`]'s. Whatever did not
/// change is shared with `last`.
pub fn retranslate(cluster: &Cluster, dirty: &Dirty, last: Translation) -> Translation {
    let Translation { mut snapshots, mut report, mut whole, mut division, mut memo, .. } = last;
    let snapshot = &*whole;
    let work = Work::new((cluster, dirty), snapshot, &mut report, &mut memo);
    let (delta, is_news) = work.run();
    let deltas = match cluster.settings().fleets {
        Fleets::One => {
            // The one fleet shares the whole, of which no copy is made.
            snapshots.clear();
            let changed = Some(delta).filter(|delta| !delta.is_empty());
            if let Some(delta) = &changed {
                Arc::make_mut(&mut whole).apply(delta.clone());
            }
            snapshots.insert(FleetId::standalone(), Arc::clone(&whole));
            changed.into_iter().map(|delta| (FleetId::standalone(), delta)).collect()
        }
        Fleets::Each => {
            Arc::make_mut(&mut whole).apply(delta.clone());
            division.divide(delta, (&whole, memo.apart()), &mut snapshots)
        }
    };
    Translation { snapshots, deltas, report, is_news, whole, division, memo }
}
