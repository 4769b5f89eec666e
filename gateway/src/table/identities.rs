// SPDX-License-Identifier: Apache-2.0
//! The certificates that backends are shown, one identity for each Secret. Listeners of one Gateway share theirs, so
//! that they share connections too.

use std::collections::BTreeMap;
use std::sync::Arc;

use torana_ir::{CertificateKey, Listener, Snapshot};

use crate::tls::backends::Identity;

/// Identities by the certificates that they are of.
#[derive(Debug, Default)]
pub(super) struct Identities(BTreeMap<CertificateKey, Arc<Identity>>);

impl Identities {
    /// Those that `snapshot`'s listeners name and that there is a certificate for; kept ones where it is the same.
    pub(super) fn compile(snapshot: &Snapshot, previous: &Self) -> Self {
        let mut identities = Self::default();
        for key in snapshot.listeners.values().filter_map(|listener| listener.identity.as_ref()) {
            let Some(certificate) = snapshot.certificates.get(key) else { continue };
            if identities.0.contains_key(key) {
                continue;
            }
            let kept = previous.0.get(key).filter(|before| before.is_of(certificate)).map(Arc::clone);
            if let Some(identity) = kept.or_else(|| Identity::new(certificate)) {
                identities.0.insert(key.clone(), identity);
            }
        }
        identities
    }

    /// The identity of what came in at a listener.
    pub(super) fn of(&self, listener: &Listener) -> Option<&Arc<Identity>> {
        self.0.get(listener.identity.as_ref()?)
    }
}
