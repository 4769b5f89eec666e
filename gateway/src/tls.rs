// SPDX-License-Identifier: Apache-2.0
//! TLS of one socket: which listener a server name belongs to, and what that listener serves.
//!
//! Pure: builds `rustls` configurations, never reads or writes. A configuration lives as long as its listener and its
//! certificates are the same, so that sessions are resumed across generations, and never across listeners: each has a
//! ticket key of its own. There is no 0-RTT.

mod chooser;

use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs;
use rustls::server::NoServerSessionStorage;
use rustls::sign::CertifiedKey;
use torana_ir::{Certificate, CertificateKey, HostPattern, Listener, ListenerKey, Tls, TlsVersion};

use chooser::{Chooser, Servable};

/// The TLS listeners of one socket.
#[derive(Debug)]
pub struct ServerTls {
    listeners: Vec<Arc<ListenerTls>>,
    exact: HashMap<String, usize, RandomState>,
    wildcard: HashMap<String, usize, RandomState>,
    any: Option<usize>,
    /// Parsed once for all listeners that serve them.
    keys: Keys,
    provider: Arc<CryptoProvider>,
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
    /// Requests are inside.
    http: bool,
    certificates: Vec<Arc<Certificate>>,
    config: Arc<ServerConfig>,
}

impl ServerTls {
    /// The configurations of `listeners` (those where no TLS ends are left out; of those with one hostname the first stays).
    /// Certificates that are not there are skipped; a listener without any refuses every handshake. What `previous`
    /// made of the same listener and the same certificates is used again.
    pub fn build<'a>(
        listeners: impl IntoIterator<Item = &'a Listener>,
        certificates: &BTreeMap<CertificateKey, Arc<Certificate>>,
        previous: Option<&Self>,
    ) -> Self {
        let mut built = Self {
            listeners: Vec::new(),
            exact: HashMap::default(),
            wildcard: HashMap::default(),
            any: None,
            keys: BTreeMap::new(),
            provider: previous.map_or_else(|| Arc::new(aws_lc_rs::default_provider()), |old| Arc::clone(&old.provider)),
        };
        let before: Known<'_> =
            previous.iter().flat_map(|old| &old.listeners).map(|listener| (&listener.key, listener)).collect();
        for listener in listeners {
            let Some(tls) = listener.protocol.tls() else { continue };
            let http = listener.protocol.is_http();
            if !built.claim(&listener.hostname) {
                continue;
            }
            let served: Vec<Arc<Certificate>> =
                tls.certificates.iter().filter_map(|key| certificates.get(key)).map(Arc::clone).collect();
            let same = |old: &&&Arc<ListenerTls>| old.http == http && old.tls == *tls && old.certificates == served;
            let made = match before.get(&listener.key).filter(same) {
                Some(old) => Arc::clone(old),
                None => Arc::new(ListenerTls {
                    key: listener.key.clone(),
                    tls: tls.clone(),
                    http,
                    config: built.configure((tls, http), &served, previous),
                    certificates: served,
                }),
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
        (tls, http): (&Tls, bool),
        served: &[Arc<Certificate>],
        previous: Option<&Self>,
    ) -> Arc<ServerConfig> {
        let servable = served.iter().filter_map(|certificate| {
            let key = self.certified(certificate, previous)?;
            Some(Servable::new(certificate, key))
        });
        let chooser = Chooser::new(servable.collect());
        let versions: &[&rustls::SupportedProtocolVersion] = match tls.min_version {
            TlsVersion::V1_2 => &[&rustls::version::TLS13, &rustls::version::TLS12],
            TlsVersion::V1_3 => &[&rustls::version::TLS13],
        };
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(versions)
            .expect("the aws-lc-rs provider has suites for TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(chooser));
        if http {
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
        Arc::new(config)
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
