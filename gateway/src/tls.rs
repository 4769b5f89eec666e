// SPDX-License-Identifier: Apache-2.0
//! TLS of one socket: which listener a server name belongs to, what that listener serves, and what it asks of clients;
//! and TLS that begins here ([`backends`]).
//!
//! Pure: builds `rustls` configurations, never reads or writes. A configuration lives as long as its listener, its
//! certificates and its authorities are the same, so that sessions are resumed across generations, and never across
//! listeners or past a change of who may come in: each configuration has a ticket key of its own. There is no 0-RTT.

mod authorities;

mod chooser;

pub(crate) mod clients;

mod forwarded;

mod names;

mod selfsigned;

mod sni;

mod suites;

pub mod backends;

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use torana_ir::{Certificate, CertificateKey, ClientValidation, HostPattern, Listener, ListenerKey, SharedMap, Tls};

use authorities::Authorities;
use chooser::{Chooser, Servable};
pub(crate) use forwarded::forwarded;
pub(crate) use names::names;
pub(crate) use selfsigned::{ACME_TLS, challenge};

pub use authorities::Bundles;
pub(crate) use authorities::system_roots;

/// The one provider of cryptography.
pub(crate) fn provider() -> &'static Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));
    &PROVIDER
}

/// Ids of identities and of names are never reused, so a connection opened as or to one can never be lent out as or to
/// another. 0 is nobody's.
pub(crate) fn next_id() -> u64 {
    static NEXT_ID: AtomicU64 = AtomicU64::new(1);
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}

/// Why a handshake failed, as `word` has it; `closed` if the connection broke.
pub(crate) fn reason(error: &io::Error, word: impl Fn(&rustls::Error) -> &'static str) -> &'static str {
    error.get_ref().and_then(|inner| inner.downcast_ref()).map_or("closed", word)
}

/// Certificates by their keys, as a snapshot has them.
pub type Certificates = SharedMap<CertificateKey, Arc<Certificate>>;

/// What configurations are made of besides listeners and backends.
#[derive(Debug, Clone, Copy)]
pub struct Material<'s> {
    /// What is served, and what backends are shown.
    pub certificates: &'s Certificates,
    /// What certificates of clients and of backends are checked against.
    pub bundles: &'s Bundles,
}

/// The TLS listeners of one socket.
#[derive(Debug)]
pub struct ServerTls {
    listeners: Vec<Arc<ListenerTls>>,
    exact: HashMap<String, usize, RandomState>,
    wildcard: HashMap<String, usize, RandomState>,
    any: Option<usize>,
    /// Parsed once for all listeners that serve them.
    keys: Keys,
}

type Keys = BTreeMap<CertificateKey, (Arc<Certificate>, Arc<CertifiedKey>)>;
type Known<'a> = HashMap<&'a ListenerKey, &'a Arc<ListenerTls>, RandomState>;

/// The listener that a server name belongs to, and what it serves.
pub type Selected<'a> = (&'a ListenerKey, Arc<ServerConfig>);

/// One listener's configuration, and what it was made of.
#[derive(Debug)]
struct ListenerTls {
    key: ListenerKey,
    tls: Tls,
    /// What a certificate is made for that stands in for the real one.
    hostname: HostPattern,
    /// Requests are inside.
    http: bool,
    certificates: Vec<Arc<Certificate>>,
    /// Who vouches for clients; `None` if they are not asked.
    authorities: Option<Authorities>,
    chooser: Arc<Chooser>,
    config: Arc<ServerConfig>,
}

impl ListenerTls {
    fn is_of(&self, (listener, tls): (&Listener, &Tls), served: &[Arc<Certificate>], bundles: &Bundles) -> bool {
        let asked = |client: &ClientValidation| {
            self.authorities.as_ref().is_some_and(|authorities| authorities.are_in(&client.bundles, bundles))
        };
        let is_named = !(tls.placeholder && served.is_empty()) || self.hostname == listener.hostname;
        let same = self.tls == *tls && self.http == listener.protocol.is_http() && self.certificates == served;
        same && is_named && tls.client.as_ref().is_none_or(asked)
    }
}

impl ServerTls {
    /// The configurations of `listeners` (those where no TLS ends are left out; of those with one hostname the first stays).
    /// Certificates that are not there are skipped; a listener without any refuses every handshake, unless one is on its
    /// way, and so does one that can verify no client though it must. What `previous` made of the same is used again.
    pub fn build<'a>(
        listeners: impl IntoIterator<Item = &'a Listener>,
        material: Material<'_>,
        previous: Option<&Self>,
    ) -> Self {
        let mut built = Self {
            listeners: Vec::new(),
            exact: HashMap::default(),
            wildcard: HashMap::default(),
            any: None,
            keys: BTreeMap::new(),
        };
        let before: Known<'_> =
            previous.iter().flat_map(|old| &old.listeners).map(|listener| (&listener.key, listener)).collect();
        for listener in listeners {
            let Some(tls) = listener.protocol.tls() else { continue };
            if !built.claim(&listener.hostname) {
                continue;
            }
            let served: Vec<Arc<Certificate>> =
                tls.certificates.iter().filter_map(|key| material.certificates.get(key)).map(Arc::clone).collect();
            let same = |old: &&&Arc<ListenerTls>| old.is_of((listener, tls), &served, material.bundles);
            let made = if let Some(old) = before.get(&listener.key).filter(same) {
                Arc::clone(old)
            } else {
                let asked = tls.client.as_ref();
                let authorities = asked.map(|client| Authorities::in_bundles(&client.bundles, material.bundles));
                let (chooser, config) = built.configure((listener, tls), (&served, authorities.as_ref()), previous);
                Arc::new(ListenerTls {
                    key: listener.key.clone(),
                    tls: tls.clone(),
                    hostname: listener.hostname.clone(),
                    http: listener.protocol.is_http(),
                    certificates: served,
                    authorities,
                    chooser,
                    config,
                })
            };
            built.listeners.push(made);
        }
        built
    }

    /// The listener for a server name: the most specific hostname that covers it. Without a name, or with one that no
    /// hostname covers, the listener for every host; `None` if there is none: the client gets `unrecognized_name`, never
    /// another tenant's certificate (RFC 6066 §3).
    pub fn select(&self, sni: Option<&str>) -> Option<Selected<'_>> {
        let named =
            sni.and_then(|name| self.named(name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase().as_str()));
        let listener = self.listeners.get(named.or(self.any)?)?;
        Some((&listener.key, Arc::clone(&listener.config)))
    }

    /// The listener that `name` (lower case, no trailing dot) belongs to, if it has no certificate for it and obtains them
    /// on demand.
    pub fn lacks(&self, name: &str) -> Option<&ListenerKey> {
        let listener = self.listeners.get(self.named(name).or(self.any)?)?;
        (listener.tls.on_demand && !listener.chooser.has(name)).then_some(&listener.key)
    }

    fn named(&self, name: &str) -> Option<usize> {
        if let Some(at) = self.exact.get(name) {
            return Some(*at);
        }
        let mut rest = name;
        while let Some((_, suffix)) = rest.split_once('.') {
            if let Some(at) = self.wildcard.get(suffix) {
                return Some(*at);
            }
            rest = suffix;
        }
        None
    }

    /// Reserves `hostname` for the listener that is pushed next; `false` if it is taken.
    fn claim(&mut self, hostname: &HostPattern) -> bool {
        let at = self.listeners.len();
        let kept = match hostname {
            HostPattern::Any => *self.any.get_or_insert(at),
            HostPattern::Wildcard(suffix) => *self.wildcard.entry(suffix.as_str().to_owned()).or_insert(at),
            HostPattern::Exact(name) => *self.exact.entry(name.as_str().to_owned()).or_insert(at),
        };
        kept == at
    }

    fn configure(
        &mut self,
        (listener, tls): (&Listener, &Tls),
        (served, authorities): (&[Arc<Certificate>], Option<&Authorities>),
        previous: Option<&Self>,
    ) -> (Arc<Chooser>, Arc<ServerConfig>) {
        let clients = match (&tls.client, authorities) {
            (Some(client), Some(authorities)) => clients::verifier(client.mode, authorities, provider()),
            _ => Some(Arc::new(NoClientAuth) as Arc<dyn ClientCertVerifier>),
        };
        // Who must be verified and cannot be is not let in: without a certificate to serve there is no handshake.
        let (servable, clients) = match clients {
            Some(clients) => (self.servable((listener, tls), served, previous), clients),
            None => (Vec::new(), Arc::new(NoClientAuth) as Arc<dyn ClientCertVerifier>),
        };
        // Where nothing may be spoken there is no handshake either.
        let (servable, versions) = match suites::versions(tls) {
            [] => (Vec::new(), suites::ALL),
            some => (servable, some),
        };
        let chooser = Arc::new(Chooser::new(servable, tls.on_demand));
        let mut config = ServerConfig::builder_with_provider(suites::provider(tls))
            .with_protocol_versions(versions)
            .expect("a version is spoken only if there is a suite for it")
            .with_client_cert_verifier(clients)
            .with_cert_resolver(Arc::clone(&chooser) as Arc<dyn ResolvesServerCert>);
        if listener.protocol.is_http() {
            config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        }
        // What a backend speaks inside a stream is not known here, so nothing is agreed (RFC 7301 §3.2: no answer).
        // Tickets keep the session with the client. A cache of sessions would cost memory for each listener.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        match aws_lc_rs::Ticketer::new() {
            Ok(ticketer) => config.ticketer = ticketer,
            // Without a ticket key every handshake is a full one.
            Err(error) => tracing::debug!(%error, "no ticket key"),
        }
        (chooser, Arc::new(config))
    }

    /// What may be served; where that is nothing and something is on its way, what is made in its place.
    fn servable(
        &mut self,
        (listener, tls): (&Listener, &Tls),
        served: &[Arc<Certificate>],
        previous: Option<&Self>,
    ) -> Vec<Servable> {
        let servable = served.iter().filter_map(|certificate| {
            let key = self.certified(certificate, previous)?;
            Some(Servable::new(certificate, key))
        });
        let mut servable: Vec<_> = servable.collect();
        if servable.is_empty() && tls.placeholder {
            match selfsigned::placeholder(&listener.hostname) {
                Ok(key) => servable.push(Servable::nameless(key)),
                // As if nothing were on its way.
                Err(error) => tracing::warn!(listener = %listener.key, %error, "no placeholder for a certificate"),
            }
        }
        servable
    }

    fn certified(&mut self, certificate: &Arc<Certificate>, previous: Option<&Self>) -> Option<Arc<CertifiedKey>> {
        let known = |keys: &Keys| {
            let (of, key) = keys.get(&certificate.key)?;
            (Arc::ptr_eq(of, certificate) || of == certificate).then(|| Arc::clone(key))
        };
        let kept = known(&self.keys).or_else(|| previous.and_then(|old| known(&old.keys)));
        // `Certificate` exists only if this works; were it not so, the listener would have one certificate less.
        let key = kept.or_else(|| certificate.certified().ok().map(Arc::new))?;
        self.keys.insert(certificate.key.clone(), (Arc::clone(certificate), Arc::clone(&key)));
        Some(key)
    }
}

#[cfg(test)]
mod tests;
