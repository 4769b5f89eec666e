// SPDX-License-Identifier: Apache-2.0
//! What is asked of clients in the handshake, and what of their certificates is checked.
//!
//! Whose certificates are good is decided by signatures alone: authorities may share a subject. What a client says of a
//! certificate (`X-Forwarded-Client-Cert`) the gate drops.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};
use torana_ir::{ClientValidationMode, PeerName};

use super::authorities::Authorities;
use super::backends::bears;

/// How clients are verified; `None` if there is nothing to verify them by: then nobody may get in.
pub(super) fn verifier(
    mode: ClientValidationMode,
    authorities: &Authorities,
    provider: &Arc<CryptoProvider>,
) -> Option<Arc<dyn ClientCertVerifier>> {
    let roots = Arc::clone(&authorities.roots);
    match mode {
        ClientValidationMode::AllowValidOnly => {
            let inner = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider)).build().ok()?;
            Some(Arc::new(Strict { inner, names: None }))
        }
        ClientValidationMode::AllowValidOrNone => {
            let builder = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider));
            Some(Arc::new(Strict { inner: builder.allow_unauthenticated().build().ok()?, names: None }))
        }
        ClientValidationMode::AllowInsecureFallback => {
            let schemes = provider.signature_verification_algorithms.supported_schemes();
            Some(Arc::new(Lenient { hints: roots.subjects(), schemes }))
        }
    }
}

/// Takes clients whose certificates come from authorities. `None` if there are none.
pub(crate) fn chained(roots: &Arc<RootCertStore>) -> Option<Arc<dyn ClientCertVerifier>> {
    let provider = Arc::clone(super::provider());
    WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), provider).build().ok()
}

/// Of those whom `inner` takes, these whose certificates bear one of `names`.
pub(crate) fn named(inner: &Arc<dyn ClientCertVerifier>, names: Vec<PeerName>) -> Arc<dyn ClientCertVerifier> {
    Arc::new(Strict { inner: Arc::clone(inner), names: Some(names) })
}

/// Takes valid certificates only, and tells the log whom it refuses.
#[derive(Debug)]
struct Strict {
    inner: Arc<dyn ClientCertVerifier>,
    /// One of which a certificate must bear; `None`: whatever names it has.
    names: Option<Vec<PeerName>>,
}

impl Strict {
    fn check_names(&self, leaf: &CertificateDer<'_>) -> Result<(), Error> {
        let Some(names) = &self.names else { return Ok(()) };
        let parsed = ParsedCertificate::try_from(leaf)?;
        let is_borne = names.iter().any(|name| bears(leaf, &parsed, (name, None)));
        if is_borne { Ok(()) } else { Err(CertificateError::NotValidForName.into()) }
    }
}

impl ClientCertVerifier for Strict {
    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let taken = self.inner.verify_client_cert(leaf, intermediates, now);
        taken.and_then(|taken| self.check_names(leaf).map(|()| taken)).inspect_err(|error| {
            tracing::debug!(subject = ?subject(leaf), %error, "client certificate refused");
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, leaf, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, leaf, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Asks for a certificate and draws no conclusion from it: neither from its absence, nor from its signatures
/// (`FrontendValidationModeType`: "accept connections even if the client certificate is not presented or fails
/// verification").
#[derive(Debug)]
struct Lenient {
    hints: Vec<DistinguishedName>,
    schemes: Vec<SignatureScheme>,
}

impl ClientCertVerifier for Lenient {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

fn subject(leaf: &CertificateDer<'_>) -> Option<String> {
    let (_, parsed) = x509_parser::parse_x509_certificate(leaf).ok()?;
    Some(parsed.subject().to_string())
}
