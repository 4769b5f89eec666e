// SPDX-License-Identifier: Apache-2.0
//! Providers that are asked about requests, each with its backend.

use std::sync::Arc;

use torana_ir::{Purpose, Snapshot};

use super::backends::{Backends, Changed};
use crate::guard::{Authorizer, Authorizers};

/// Those of `snapshot`; `previous` itself while they, and their backends, are the same.
pub(super) fn compile(
    snapshot: &Snapshot,
    (backends, changed): (&Backends, &Changed),
    previous: &Arc<Authorizers>,
) -> Arc<Authorizers> {
    let mut is_same = true;
    let all = snapshot.providers.iter().filter_map(|(key, provider)| {
        let Purpose::Authorizer(spec) = &provider.purpose else { return None };
        let place = provider.backend();
        let before =
            previous.get(key).filter(|before| before.is_of(spec) && !place.is_some_and(|it| changed.contains(it)));
        is_same &= before.is_some();
        let made = || Arc::new(Authorizer::compile(spec, place.and_then(|it| backends.find(it)).map(Arc::clone)));
        Some((key.clone(), before.map_or_else(made, Arc::clone)))
    });
    let all: Authorizers = all.collect();
    if is_same && all.len() == previous.len() { Arc::clone(previous) } else { Arc::new(all) }
}
