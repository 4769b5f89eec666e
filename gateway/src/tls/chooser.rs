// SPDX-License-Identifier: Apache-2.0
//! Which of a listener's certificates a client is served.

use std::sync::Arc;

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

    /// RFC 9525 §6.3: a wildcard stands for exactly one label.
    fn names(&self, host: &str) -> bool {
        let parent = host.split_once('.').map(|(_, parent)| parent);
        self.names.iter().any(|name| match name.strip_prefix("*.") {
            Some(suffix) => parent == Some(suffix),
            None => name == host,
        })
    }

    fn speaks(&self, hello: &ClientHello<'_>) -> bool {
        self.key.key.choose_scheme(hello.signature_schemes()).is_some()
    }
}

/// The certificates of one listener, in the user's order.
#[derive(Debug)]
pub(super) struct Chooser(Vec<Servable>);

impl Chooser {
    pub(super) fn new(certificates: Vec<Servable>) -> Self {
        Self(certificates)
    }
}

impl ResolvesServerCert for Chooser {
    /// The first that suits by name and key type, else the first that suits by key type, else the first.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let host = hello.server_name().map(str::to_ascii_lowercase);
        let named = host.and_then(|host| self.0.iter().find(|one| one.names(&host) && one.speaks(&hello)));
        let chosen = named.or_else(|| self.0.iter().find(|one| one.speaks(&hello))).or_else(|| self.0.first());
        chosen.map(|one| Arc::clone(&one.key))
    }
}
