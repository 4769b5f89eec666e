// SPDX-License-Identifier: Apache-2.0
//! TLS that ends here with a workload of the mesh (mode `ISTIO_MUTUAL`): it is shown our certificate, and must have one
//! of the mesh's own. Never accepts.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ResolvesServerCert};
use torana_ir::PeerName;

use crate::tls::{clients, provider};

/// Configurations of one credential: as many sets of aliases. Beyond, the oldest goes.
const MOST: usize = 8;

/// What may be agreed on, in this order: names that everybody knows first, so that Istio's own are agreed on only with
/// those who offer no other. `istio-peer-exchange` is left out: what it announces is not spoken here.
const PROTOCOLS: [&[u8]; 6] = [b"h2", b"http/1.1", b"istio-h2", b"istio-http/1.1", b"istio-http/1.0", b"istio"];

/// One configuration, and the aliases that it takes.
type Made = (Box<[String]>, Arc<ServerConfig>);

fn find(made: &[Made], aliases: &[String]) -> Option<Arc<ServerConfig>> {
    made.iter().find(|(of, _)| **of == *aliases).map(|(_, config)| Arc::clone(config))
}

/// The configurations of one credential.
pub(super) struct Servers {
    shown: Arc<dyn ResolvesServerCert>,
    /// Takes whom the mesh's roots vouch for.
    chained: Arc<dyn ClientCertVerifier>,
    trust_domain: String,
    made: Mutex<Vec<Made>>,
}

impl Servers {
    /// None yet; clients will be `shown` this, and must be `chained` and of this trust domain or an alias.
    pub(super) fn new(
        shown: Arc<dyn ResolvesServerCert>,
        chained: Arc<dyn ClientCertVerifier>,
        trust_domain: String,
    ) -> Self {
        Self { shown, chained, trust_domain, made: Mutex::default() }
    }

    /// The one for these aliases.
    pub(super) fn config(&self, aliases: &[String]) -> Arc<ServerConfig> {
        if let Some(config) = find(&self.made(), aliases) {
            return config;
        }
        let config = Arc::new(self.make(aliases));
        let mut made = self.made();
        // Another thread may have been quicker.
        if let Some(config) = find(&made, aliases) {
            return config;
        }
        if made.len() >= MOST {
            made.remove(0);
        }
        made.push((aliases.into(), Arc::clone(&config)));
        config
    }

    fn made(&self) -> MutexGuard<'_, Vec<Made>> {
        // Entries are added and removed whole, so a panic elsewhere left the list whole.
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn make(&self, aliases: &[String]) -> ServerConfig {
        let domains = std::iter::once(&self.trust_domain).chain(aliases);
        let names = domains.map(|domain| PeerName::TrustDomain(domain.clone())).collect();
        let mut config = ServerConfig::builder_with_provider(Arc::clone(provider()))
            .with_safe_default_protocol_versions()
            .expect("the aws-lc-rs provider has suites for TLS 1.2 and 1.3")
            .with_client_cert_verifier(clients::named(&self.chained, names))
            .with_cert_resolver(Arc::clone(&self.shown));
        config.alpn_protocols = PROTOCOLS.iter().map(|protocol| protocol.to_vec()).collect();
        // Tickets keep the session with the client; with the credential their key goes.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        match aws_lc_rs::Ticketer::new() {
            Ok(ticketer) => config.ticketer = ticketer,
            // Without a ticket key every handshake is a full one.
            Err(error) => tracing::debug!(%error, "no ticket key"),
        }
        config
    }
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Servers")
    }
}

#[cfg(test)]
mod tests;
