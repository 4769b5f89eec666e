// SPDX-License-Identifier: Apache-2.0
//! One generation of the proxy's identity: its certificate and key, and who vouches for the others. Never reads a
//! clock: what the time is, it is told.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use torana_ir::{Certificate, CertificateKey, PeerName, TrustError};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use super::client::{AlpnClass, Clients};
use super::roots::Roots;
use super::server::Servers;
use super::spiffe::{SpiffeId, SpiffeIdError};
use crate::tls::{clients, next_id};

/// Why something is no identity. Never holds a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// The chain does not parse, the key is of no use, or they do not fit.
    #[error(transparent)]
    Certificate(#[from] torana_ir::CertificateError),
    /// The authorities do not parse.
    #[error("the mesh's authorities: {0}")]
    Roots(#[from] TrustError),
    /// Nobody could be verified.
    #[error("there is no authority of the mesh")]
    NoRoots,
    /// The leaf cannot be read beyond what TLS needs.
    #[error("the certificate is not readable: {0}")]
    Unreadable(String),
    /// The leaf has not exactly one URI among its names.
    #[error("the certificate has {0} URIs among its names instead of one")]
    Uris(usize),
    /// That URI names no workload.
    #[error(transparent)]
    Id(#[from] SpiffeIdError),
    /// It is not valid yet.
    #[error("the certificate is not valid before {0}")]
    NotYetValid(String),
    /// It is not valid any more.
    #[error("the certificate has ended at {0}")]
    Expired(String),
}

/// A certificate with its key, and the mesh's authorities: what a credential is made of. The key is never printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Svid {
    certificate: Arc<Certificate>,
    roots: Roots,
}

impl Svid {
    /// The chain, leaf first, and the key, both in PEM. They parse and fit; no more is checked here.
    pub fn new(chain: &[u8], key: &[u8], roots: Roots) -> Result<Self, CredentialError> {
        let name = CertificateKey { namespace: String::new(), name: "mesh".to_owned() };
        let certificate = Arc::new(Certificate::from_pem(name, chain, key)?);
        Ok(Self { certificate, roots })
    }

    /// The same certificate with other authorities.
    #[must_use]
    pub fn with_roots(&self, roots: Roots) -> Self {
        Self { certificate: Arc::clone(&self.certificate), roots }
    }

    /// Whom the certificate is of.
    pub fn id(&self) -> Result<SpiffeId, CredentialError> {
        Ok(Leaf::read(&self.certificate.certified()?)?.id)
    }

    /// The authorities.
    pub fn roots(&self) -> &Roots {
        &self.roots
    }
}

/// One generation. Another certificate, or other authorities, is another generation: existing connections stay as they
/// are, new ones begin under the new one, and sessions of the old one are not resumed.
pub struct Credential {
    /// Unique in this process, for ever; never 0.
    pub id: u64,
    /// What is shown.
    pub key: Arc<CertifiedKey>,
    /// Who vouches for others; never empty.
    pub roots: Arc<RootCertStore>,
    /// Who we are: the one URI of the certificate.
    pub spiffe_id: String,
    /// The trust domain of that.
    pub trust_domain: String,
    /// From when on the certificate is valid.
    pub not_before: SystemTime,
    /// Until when it is.
    pub not_after: SystemTime,
    /// Serial number in hexadecimal, for people.
    pub serial: String,
    svid: Svid,
    clients: Clients,
    servers: Servers,
}

impl Credential {
    /// A new generation, if all is as it must be at this time: one name of a workload, valid, and somebody to vouch.
    pub fn new(svid: Svid, now: SystemTime) -> Result<Arc<Self>, CredentialError> {
        let key = Arc::new(svid.certificate.certified()?);
        let Leaf { id, serial, dates: (from, until) } = Leaf::read(&key)?;
        let (not_before, not_after) = (time(svid.certificate.not_before)?, time(svid.certificate.not_after)?);
        if now < not_before {
            return Err(CredentialError::NotYetValid(from));
        }
        if now >= not_after {
            return Err(CredentialError::Expired(until));
        }
        let roots = Arc::new(svid.roots.store());
        let chained = clients::chained(&roots).ok_or(CredentialError::NoRoots)?;
        let shown = Arc::new(SingleCertAndKey::from(Arc::clone(&key)));
        Ok(Arc::new(Self {
            id: next_id(),
            clients: Clients::new(Arc::<SingleCertAndKey>::clone(&shown), Arc::clone(&roots)),
            servers: Servers::new(shown, chained, id.trust_domain.clone()),
            key,
            roots,
            spiffe_id: id.to_string(),
            trust_domain: id.trust_domain,
            not_before,
            not_after,
            serial,
            svid,
        }))
    }

    /// Whether [`Credential::new`] was given the same: then there is no new generation.
    pub fn is_of(&self, svid: &Svid) -> bool {
        self.svid == *svid
    }

    /// How a connection shakes hands with an endpoint that must bear one of the names `peers`, to speak what is of this
    /// class. The same for the same; at most 256 are kept.
    pub fn client(&self, peers: &Arc<[PeerName]>, class: AlpnClass) -> Arc<ClientConfig> {
        self.clients.config(peers, class)
    }

    /// How a listener of mode `ISTIO_MUTUAL` shakes hands: clients must have a certificate of the mesh, of our own trust
    /// domain or one of its aliases. The same for the same; at most 8 are kept.
    pub fn server(&self, aliases: &[String]) -> Arc<ServerConfig> {
        self.servers.config(aliases)
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({}, {}, serial {})", self.id, self.spiffe_id, self.serial)
    }
}

/// What is read of the leaf.
struct Leaf {
    id: SpiffeId,
    serial: String,
    /// Begin and end of its validity, for people.
    dates: (String, String),
}

impl Leaf {
    fn read(key: &CertifiedKey) -> Result<Self, CredentialError> {
        let unreadable = |error: &dyn fmt::Display| CredentialError::Unreadable(error.to_string());
        let der = key.end_entity_cert().map_err(|error| unreadable(&error))?;
        let (_, leaf) = X509Certificate::from_der(der).map_err(|error| unreadable(&error))?;
        let names = leaf.subject_alternative_name().map_err(|error| unreadable(&error))?;
        let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
        let uris: Vec<&str> =
            names.iter().filter_map(|name| if let GeneralName::URI(uri) = name { Some(*uri) } else { None }).collect();
        let [uri] = uris.as_slice() else { return Err(CredentialError::Uris(uris.len())) };
        let dates = (leaf.validity().not_before.to_string(), leaf.validity().not_after.to_string());
        Ok(Self { id: SpiffeId::parse(uri)?, serial: leaf.raw_serial_as_string(), dates })
    }
}

/// Seconds since 1970 as a time.
fn time(seconds: i64) -> Result<SystemTime, CredentialError> {
    let apart = Duration::from_secs(seconds.unsigned_abs());
    let time =
        if seconds < 0 { SystemTime::UNIX_EPOCH.checked_sub(apart) } else { SystemTime::UNIX_EPOCH.checked_add(apart) };
    time.ok_or_else(|| CredentialError::Unreadable("its validity is out of all time".to_owned()))
}

#[cfg(test)]
mod tests;
