// SPDX-License-Identifier: Apache-2.0
//! TLS that begins here: how a backend is spoken to, whom it is shown, and whether its certificate is good.
//!
//! Everything is made once for a backend and its authorities, but for the form that one identity and one protocol need,
//! which is made at the first connection that needs it. Sessions are resumed within one such form only, so that neither
//! new authorities nor another identity ever meet an old session. Never connects.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use torana_ir::{Certificate, Origination, PeerName};

use super::authorities::Authorities;
use super::sni::Names;
use super::{Material, next_id, provider};

pub use super::sni::Sni;

/// Sessions that may be resumed, of one backend, identity and protocol.
const SESSIONS: usize = 64;

/// What is agreed on by ALPN (RFC 7301).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alpn {
    /// `http/1.1`.
    Http1,
    /// `h2`.
    Http2,
    /// Nothing is asked: what is carried is nobody's business.
    None,
}

impl Alpn {
    fn protocols(self) -> Vec<Vec<u8>> {
        match self {
            Self::Http1 => vec![b"http/1.1".to_vec()],
            Self::Http2 => vec![b"h2".to_vec()],
            Self::None => Vec::new(),
        }
    }
}

/// A certificate that backends are shown when they ask for one.
#[derive(Debug)]
pub struct Identity {
    /// Unique in this process, for ever; never 0.
    pub id: u64,
    certificate: Arc<Certificate>,
    key: Arc<CertifiedKey>,
}

impl Identity {
    /// The identity of this certificate. `None` never happens: a [`Certificate`] exists only with a key that fits.
    pub fn new(certificate: &Arc<Certificate>) -> Option<Arc<Self>> {
        let key = Arc::new(certificate.certified().ok()?);
        let id = next_id();
        Some(Arc::new(Self { id, certificate: Arc::clone(certificate), key }))
    }

    /// Whether it is of this certificate.
    pub fn is_of(&self, certificate: &Arc<Certificate>) -> bool {
        Arc::ptr_eq(&self.certificate, certificate) || self.certificate == *certificate
    }
}

/// TLS with one backend.
#[derive(Debug)]
pub struct Originator {
    server_name: ServerName<'static>,
    /// Where the hosts of requests are sent instead.
    hosts: Option<Names>,
    /// Shown in place of what a listener has.
    own: Option<Arc<Identity>>,
    authorities: Authorities,
    verifier: Arc<Verifier>,
    made: Mutex<Vec<Made>>,
}

/// One form of it.
#[derive(Debug)]
struct Made {
    /// `None`: without a certificate.
    identity: Option<Weak<Identity>>,
    alpn: Alpn,
    config: Arc<ClientConfig>,
}

impl Made {
    fn is_for(&self, identity: Option<&Arc<Identity>>, alpn: Alpn) -> bool {
        let same = match (&self.identity, identity) {
            (None, None) => true,
            (Some(mine), Some(its)) => std::ptr::eq(mine.as_ptr(), Arc::as_ptr(its)),
            _ => false,
        };
        same && self.alpn == alpn
    }

    fn is_of_use(&self) -> bool {
        self.identity.as_ref().is_none_or(|identity| identity.strong_count() > 0)
    }
}

impl Originator {
    /// TLS as `origination` says. Authorities that are not in `material` vouch for nobody, and a certificate that is not
    /// there is not shown.
    pub fn new(origination: &Origination, material: Material<'_>) -> Self {
        let authorities = Authorities::of(&origination.trust, material.bundles);
        let verifier = Verifier {
            authorities: authorities.clone(),
            names: origination.names.as_slice().into(),
            provider: Arc::clone(provider()),
        };
        let server_name = origination.server_name.server_name();
        let hosts = origination.follows_host.then(Names::default);
        let own = own(origination, material).and_then(Identity::new);
        Self { server_name, hosts, own, authorities, verifier: Arc::new(verifier), made: Mutex::default() }
    }

    /// Whether [`Originator::new`] would give the same for this, which is what it was made of but for the material.
    pub fn is_of(&self, origination: &Origination, material: Material<'_>) -> bool {
        let same = match (&self.own, own(origination, material)) {
            (Some(before), Some(now)) => before.is_of(now),
            (before, now) => before.is_none() && now.is_none(),
        };
        same && self.authorities.are(&origination.trust, material.bundles)
    }

    /// What an endpoint is shown if it asks, where `listener` is what the listener has for that.
    pub fn identity<'s>(&'s self, listener: Option<&'s Arc<Identity>>) -> Option<&'s Arc<Identity>> {
        self.own.as_ref().or(listener)
    }

    /// What is sent as SNI for a request to `host`; `None`: [`Originator::server_name`].
    pub fn sni(&self, host: &str) -> Option<Arc<Sni>> {
        self.hosts.as_ref()?.of(host)
    }

    /// What is sent as SNI unless it is the host of a request.
    pub fn server_name(&self) -> ServerName<'static> {
        self.server_name.clone()
    }

    /// How a connection of this `identity` that will carry this protocol shakes hands.
    pub fn config(&self, identity: Option<&Arc<Identity>>, alpn: Alpn) -> Arc<ClientConfig> {
        // Entries are added and removed whole, so a panic elsewhere left the list whole.
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = made.iter().find(|made| made.is_for(identity, alpn)) {
            return Arc::clone(&found.config);
        }
        made.retain(Made::is_of_use);
        let config = Arc::new(self.make(identity, alpn));
        made.push(Made { identity: identity.map(Arc::downgrade), alpn, config: Arc::clone(&config) });
        config
    }

    fn make(&self, identity: Option<&Arc<Identity>>, alpn: Alpn) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(Arc::clone(provider()))
            .with_safe_default_protocol_versions()
            .expect("the aws-lc-rs provider has suites for TLS 1.2 and 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&self.verifier) as Arc<dyn ServerCertVerifier>);
        let mut config = match identity {
            Some(identity) => {
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&identity.key))))
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn.protocols();
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        config
    }
}

/// The certificate that is shown in any case.
fn own<'m>(origination: &Origination, material: Material<'m>) -> Option<&'m Arc<Certificate>> {
    material.certificates.get(origination.identity.as_ref()?)
}

/// A chain to one of the authorities, valid now, for a server (RFC 5280 §6.1), and one of the names on the leaf. What the
/// server was called in SNI is asked only if the names say so.
#[derive(Debug)]
struct Verifier {
    authorities: Authorities,
    names: Arc<[PeerName]>,
    provider: Arc<CryptoProvider>,
}

/// Takes servers whose certificates come from `roots` and bear one of `names`.
pub(crate) fn verifier(roots: &Arc<RootCertStore>, names: &Arc<[PeerName]>) -> Arc<dyn ServerCertVerifier> {
    let authorities = Authorities::these(Arc::clone(roots));
    Arc::new(Verifier { authorities, names: Arc::clone(names), provider: Arc::clone(provider()) })
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        sent: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.authorities.unchecked {
            return Ok(ServerCertVerified::assertion());
        }
        let parsed = ParsedCertificate::try_from(leaf)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        let roots = &self.authorities.roots;
        verify_server_cert_signed_by_trust_anchor(&parsed, roots, intermediates, now, algorithms)?;
        if self.names.iter().any(|name| bears(leaf, &parsed, (name, Some(sent)))) {
            return Ok(ServerCertVerified::assertion());
        }
        Err(CertificateError::NotValidForName.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, leaf, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Whether a certificate bears this name, where `sent` is what its owner was called in SNI, if it was called anything.
pub(super) fn bears(
    leaf: &CertificateDer<'_>,
    parsed: &ParsedCertificate<'_>,
    (name, sent): (&PeerName, Option<&ServerName<'_>>),
) -> bool {
    let Ok(names) = webpki::EndEntityCert::try_from(leaf) else { return false };
    match name {
        PeerName::Sent => sent.is_some_and(|sent| verify_server_name(parsed, sent).is_ok()),
        PeerName::Dns(host) => verify_server_name(parsed, &host.server_name()).is_ok(),
        PeerName::Wildcard(suffix) => names
            .valid_dns_names()
            .any(|pattern| pattern.strip_prefix("*.").is_some_and(|rest| rest.eq_ignore_ascii_case(suffix.as_str()))),
        PeerName::Uri(uri) => names.valid_uri_names().any(|own| own == uri),
        PeerName::TrustDomain(domain) => names.valid_uri_names().any(|own| is_of_domain(own, domain)),
    }
}

/// SPIFFE-ID §2: `spiffe://`, the trust domain, and a path.
fn is_of_domain(uri: &str, domain: &str) -> bool {
    let parts = uri.strip_prefix("spiffe://").and_then(|rest| rest.split_once('/'));
    parts.is_some_and(|(own, path)| own == domain && !own.is_empty() && !path.is_empty())
}

/// Why a handshake with a backend failed, in one word of the log.
pub fn failure(error: &Error) -> &'static str {
    match error {
        Error::InvalidCertificate(why) => match why {
            CertificateError::UnknownIssuer => "unknown_issuer",
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => "name_mismatch",
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => "expired",
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "not_valid_yet",
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => "wrong_purpose",
            CertificateError::BadSignature => "bad_signature",
            _ => "bad_certificate",
        },
        Error::AlertReceived(rustls::AlertDescription::CertificateRequired) => "client_certificate_required",
        Error::AlertReceived(rustls::AlertDescription::NoApplicationProtocol) => "no_application_protocol",
        Error::AlertReceived(rustls::AlertDescription::UnrecognisedName) => "unrecognized_name",
        Error::AlertReceived(_) => "alert",
        Error::PeerIncompatible(_) => "incompatible",
        Error::InvalidMessage(_) => "not_tls",
        _ => "handshake",
    }
}

#[cfg(test)]
mod tests;
