// SPDX-License-Identifier: Apache-2.0
//! From bundles of a snapshot to what certificates are checked against. Never looks at a certificate of a peer.

use std::sync::{Arc, LazyLock};

use rustls::RootCertStore;
use torana_ir::{SharedMap, Trust, TrustBundle, TrustBundleKey};

/// Bundles by their keys, as a snapshot has them.
pub type Bundles = SharedMap<TrustBundleKey, Arc<TrustBundle>>;

/// Mozilla's list, as of when this was built.
static SYSTEM: LazyLock<Arc<RootCertStore>> =
    LazyLock::new(|| Arc::new(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }));

/// Authorities that everybody trusts.
pub(crate) fn system_roots() -> Arc<RootCertStore> {
    Arc::clone(&SYSTEM)
}

/// Authorities, and the bundles that they come from.
#[derive(Debug, Clone)]
pub(super) struct Authorities {
    /// In the order that was asked for; `None` where the snapshot has none.
    from: Vec<Option<Arc<TrustBundle>>>,
    /// Empty if there is none: then no certificate is good.
    pub(super) roots: Arc<RootCertStore>,
    /// Nobody is asked.
    pub(super) unchecked: bool,
}

impl Authorities {
    /// The authorities that `trust` names.
    pub(super) fn of(trust: &Trust, bundles: &Bundles) -> Self {
        match trust {
            Trust::System => Self::these(Arc::clone(&SYSTEM)),
            Trust::Bundles(keys) => Self::in_bundles(keys, bundles),
            Trust::Unchecked => Self { from: Vec::new(), roots: Arc::new(RootCertStore::empty()), unchecked: true },
        }
    }

    /// These, from no bundle.
    pub(super) fn these(roots: Arc<RootCertStore>) -> Self {
        Self { from: Vec::new(), roots, unchecked: false }
    }

    /// The authorities of the bundles of these keys.
    pub(super) fn in_bundles(keys: &[TrustBundleKey], bundles: &Bundles) -> Self {
        let from = find(keys, bundles);
        let mut roots = RootCertStore::empty();
        for certificate in from.iter().flatten().flat_map(|bundle| bundle.certificates()) {
            // `TrustBundle` exists only if each can be added; were it not so, there would be one authority less.
            roots.add(certificate.clone()).ok();
        }
        Self { from, roots: Arc::new(roots), unchecked: false }
    }

    /// Whether [`Authorities::of`] would give these again.
    pub(super) fn are(&self, trust: &Trust, bundles: &Bundles) -> bool {
        match trust {
            Trust::System | Trust::Unchecked => true,
            Trust::Bundles(keys) => self.are_in(keys, bundles),
        }
    }

    /// Whether [`Authorities::in_bundles`] would give these again.
    pub(super) fn are_in(&self, keys: &[TrustBundleKey], bundles: &Bundles) -> bool {
        let same = |(before, key): (&Option<Arc<TrustBundle>>, &TrustBundleKey)| match (before, bundles.get(key)) {
            (Some(before), Some(now)) => Arc::ptr_eq(before, now) || before == now,
            (before, now) => before.is_none() && now.is_none(),
        };
        self.from.len() == keys.len() && self.from.iter().zip(keys).all(same)
    }
}

fn find(keys: &[TrustBundleKey], bundles: &Bundles) -> Vec<Option<Arc<TrustBundle>>> {
    keys.iter().map(|key| bundles.get(key).map(Arc::clone)).collect()
}
