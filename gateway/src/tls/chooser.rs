// SPDX-License-Identifier: Apache-2.0
//! Which of a listener's certificates a client is served.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use torana_ir::Certificate;

/// A certificate with the names that it is good for.
#[derive(Debug)]
pub(super) struct Servable {
    names: Vec<String>,
    key: Arc<CertifiedKey>,
}

impl Servable {
    pub(super) fn new(certificate: &Certificate, key: Arc<CertifiedKey>) -> Self {
        Self { names: certificate.names.clone(), key }
    }

    /// One that is served for want of another.
    pub(super) fn nameless(key: Arc<CertifiedKey>) -> Self {
        Self { names: Vec::new(), key }
    }
}

/// Places in the user's order, by name. Of a wildcard the name is what comes after `*.`.
type Places = HashMap<String, Vec<usize>, RandomState>;

/// The certificates of one listener, in the user's order.
#[derive(Debug)]
pub(super) struct Chooser {
    keys: Vec<Arc<CertifiedKey>>,
    exact: Places,
    wildcard: Places,
    /// Nobody is served a certificate for another name.
    is_strict: bool,
}

impl Chooser {
    pub(super) fn new(certificates: Vec<Servable>, is_strict: bool) -> Self {
        let (mut exact, mut wildcard) = (Places::default(), Places::default());
        for (at, certificate) in certificates.iter().enumerate() {
            for name in &certificate.names {
                let (places, name) = name.strip_prefix("*.").map_or((&mut exact, &**name), |it| (&mut wildcard, it));
                places.entry_ref(name).or_default().push(at);
            }
        }
        Self { keys: certificates.into_iter().map(|it| it.key).collect(), exact, wildcard, is_strict }
    }

    /// Whether one is for `host`, in lower case.
    pub(super) fn has(&self, host: &str) -> bool {
        self.named(host).next().is_some()
    }

    /// Places of those for `host`. RFC 9525 §6.3: a wildcard stands for exactly one label.
    fn named(&self, host: &str) -> impl Iterator<Item = usize> {
        let parent = host.split_once('.').map(|(_, parent)| parent);
        let found = self.exact.get(host).into_iter().chain(parent.and_then(|parent| self.wildcard.get(parent)));
        found.flatten().copied()
    }

    fn speaks(&self, at: usize, hello: &ClientHello<'_>) -> bool {
        self.keys.get(at).is_some_and(|it| it.key.choose_scheme(hello.signature_schemes()).is_some())
    }
}

impl ResolvesServerCert for Chooser {
    /// The first that suits by name and key type, else the first that suits by key type, else the first; those that are not
    /// for the name only where that may be.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let host = hello.server_name().map(str::to_ascii_lowercase);
        let named = || self.named(host.as_deref().unwrap_or_default());
        let chosen = named().filter(|at| self.speaks(*at, &hello)).min();
        let other = || (0..self.keys.len()).find(|at| self.speaks(*at, &hello)).or(Some(0));
        // Whose key type does not suit is told so by TLS.
        let chosen = if self.is_strict { chosen.or_else(|| named().min()) } else { chosen.or_else(other) };
        self.keys.get(chosen?).cloned()
    }
}
