// SPDX-License-Identifier: Apache-2.0
//! TLS that begins here, shown our certificate: one configuration for whom we expect and what we will speak, made when
//! it is first needed and kept. Sessions are resumed within one configuration only. Never connects.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use torana_ir::PeerName;

use crate::tls::{backends, provider};

type Versions = &'static [&'static SupportedProtocolVersion];
static NEW: Versions = &[&TLS13];
static ALL: Versions = &[&TLS13, &TLS12];

/// Configurations of one credential; beyond, the one that was not asked for the longest goes.
const MOST: usize = 256;
/// Sessions that may be resumed, of one configuration.
const SESSIONS: usize = 64;

/// What is about to be spoken: decides what is offered by ALPN. A sidecar chooses by that list which of its filter
/// chains it takes us through, and may well agree on none of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AlpnClass {
    /// HTTP/1.1 with a sidecar.
    Http1,
    /// HTTP/2 with a sidecar.
    Http2,
    /// Anything else with a sidecar.
    Tcp,
    /// A tunnel to ztunnel or a waypoint: TLS 1.3 only, and no SNI.
    Hbone,
}

impl AlpnClass {
    /// What is offered, in this order.
    pub fn protocols(self) -> &'static [&'static [u8]] {
        match self {
            Self::Http1 => &[b"istio-http/1.1", b"istio", b"http/1.1"],
            Self::Http2 => &[b"istio-h2", b"istio", b"h2"],
            Self::Tcp => &[b"istio"],
            Self::Hbone => &[b"h2"],
        }
    }

    fn versions(self) -> Versions {
        match self {
            Self::Hbone => NEW,
            Self::Http1 | Self::Http2 | Self::Tcp => ALL,
        }
    }
}

type Key = (Arc<[PeerName]>, AlpnClass);

/// The configurations of one credential.
pub(super) struct Clients {
    shown: Arc<dyn ResolvesClientCert>,
    roots: Arc<RootCertStore>,
    made: Mutex<Made>,
}

#[derive(Default)]
struct Made {
    configs: HashMap<Key, (Arc<ClientConfig>, u64), RandomState>,
    /// How often they were asked for.
    asked: u64,
}

impl Made {
    fn find(&mut self, key: &Key) -> Option<Arc<ClientConfig>> {
        self.asked += 1;
        let (config, last) = self.configs.get_mut(key)?;
        *last = self.asked;
        Some(Arc::clone(config))
    }

    /// Adds one, unless another thread was quicker: what is in force is returned.
    fn add(&mut self, key: Key, config: Arc<ClientConfig>) -> Arc<ClientConfig> {
        if let Some(config) = self.find(&key) {
            return config;
        }
        if self.configs.len() >= MOST {
            let oldest = self.configs.iter().min_by_key(|(_, (_, last))| *last).map(|(key, _)| key.clone());
            oldest.and_then(|key| self.configs.remove(&key));
        }
        self.configs.insert(key, (Arc::clone(&config), self.asked));
        config
    }
}

impl Clients {
    /// None yet; backends will be `shown` this, and checked against `roots`.
    pub(super) fn new(shown: Arc<dyn ResolvesClientCert>, roots: Arc<RootCertStore>) -> Self {
        Self { shown, roots, made: Mutex::default() }
    }

    /// The one for these peers and this class; the lock is held for looking it up, not for making it.
    pub(super) fn config(&self, peers: &Arc<[PeerName]>, class: AlpnClass) -> Arc<ClientConfig> {
        // Entries are added and removed whole, so a panic elsewhere left them whole.
        let made = || self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (Arc::clone(peers), class);
        let found = made().find(&key);
        found.unwrap_or_else(|| {
            let config = Arc::new(self.make(peers, class));
            made().add(key, config)
        })
    }

    fn make(&self, peers: &Arc<[PeerName]>, class: AlpnClass) -> ClientConfig {
        let mut config = ClientConfig::builder_with_provider(Arc::clone(provider()))
            .with_protocol_versions(class.versions())
            .expect("the aws-lc-rs provider has suites for TLS 1.2 and 1.3")
            .dangerous()
            .with_custom_certificate_verifier(backends::verifier(&self.roots, peers))
            .with_client_cert_resolver(Arc::clone(&self.shown));
        config.alpn_protocols = class.protocols().iter().map(|protocol| protocol.to_vec()).collect();
        config.enable_sni = class != AlpnClass::Hbone;
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        config
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clients")
    }
}

#[cfg(test)]
mod tests;
