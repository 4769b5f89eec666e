// SPDX-License-Identifier: Apache-2.0
//! Rules of TLSRoutes, TCPRoutes and UDPRoutes: one list of weighted backends each. There is nothing to be wrong with
//! them but their references.
//!
//! Never knows where the rule is attached.

use torana_crds::route::StreamRule;
use torana_ir::StreamBackend;

use crate::report::Remark;
use crate::store::Cluster;
use crate::translate::backends::{self, Cargo};
use crate::translate::ledger::Ledger;

/// A rule on its way into the program.
#[derive(Debug)]
pub(super) struct StreamDraft {
    /// Its name.
    pub(super) name: Option<String>,
    /// Where streams go. Entries keep their share when they are invalid: that share is refused.
    pub(super) backends: Vec<StreamBackend>,
}

/// Translates a rule at `at` (`spec.rules[0]`).
pub(super) fn stream(
    cluster: &Cluster,
    (rule, cargo): (&StreamRule, Cargo),
    at: &str,
    ledger: &mut Ledger,
) -> StreamDraft {
    let entries = rule.backends.iter().enumerate();
    let backends: Vec<_> = entries
        .map(|(index, entry)| {
            let path = format!("{at}.backendRefs[{index}]");
            let target = backends::target_of(cluster, (entry, cargo), &path, ledger);
            StreamBackend { target, weight: entry.weight }
        })
        .collect();
    if backends.iter().all(|backend| backend.weight == 0) {
        let why = if backends.is_empty() { "has no backendRefs" } else { "has only backendRefs of weight 0" };
        let message = format!(
            "the rule {why}, so {} refused",
            if cargo == Cargo::Datagrams { "flows are" } else { "connections are" }
        );
        ledger.remarks.push(Remark::warning("NoBackend", at, message, "add a backendRef"));
    }
    StreamDraft { name: rule.name.clone(), backends }
}
