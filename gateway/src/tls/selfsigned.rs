// SPDX-License-Identifier: Apache-2.0
//! Certificates that the proxy makes for itself: what a question of TLS-ALPN-01 is answered with, and what is shown while
//! the real certificate is on its way. They have no end, for they are gone with what they were made for; nobody trusts
//! them, and they are never written anywhere.

use std::sync::Arc;

use rcgen::{CertificateParams, CustomExtension, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls_pki_types::PrivateKeyDer;
use torana_ir::{HostPattern, sha256};

use super::provider;

/// The protocol that is spoken in a handshake of TLS-ALPN-01, and in no other (RFC 8737 §6.2).
pub(crate) const ACME_TLS: &[u8] = b"acme-tls/1";

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MakeError {
    /// It could not be made.
    #[error(transparent)]
    Certificate(#[from] rcgen::Error),
    /// It cannot be served.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

/// What shakes hands with an authority that asks for `host`: a certificate of that name alone, which holds the digest of
/// the key authorization in a critical extension (RFC 8737 §3). No session of it is ever resumed.
pub(crate) fn challenge(host: &str, authorization: &str) -> Result<Arc<ServerConfig>, MakeError> {
    let mut params = CertificateParams::new(vec![host.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(&sha256(authorization.as_bytes()))];
    let certified = made(params, "ACME challenge")?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider())).with_safe_default_protocol_versions()?;
    let resolver = Arc::new(SingleCertAndKey::from(certified));
    let mut config = builder.with_no_client_auth().with_cert_resolver(resolver);
    config.alpn_protocols = vec![ACME_TLS.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}

/// What a listener shows that has no certificate yet, for the name that it has.
pub(super) fn placeholder(hostname: &HostPattern) -> Result<Arc<CertifiedKey>, MakeError> {
    let names = match hostname {
        HostPattern::Any => Vec::new(),
        named => vec![named.to_string()],
    };
    made(CertificateParams::new(names)?, "pending ACME").map(Arc::new)
}

/// With a new key (P-256), signed by itself.
fn made(mut params: CertificateParams, common_name: &str) -> Result<CertifiedKey, MakeError> {
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let certificate = params.self_signed(&key)?;
    let signer = aws_lc_rs::sign::any_supported_type(&PrivateKeyDer::Pkcs8(key.serialize_der().into()))?;
    Ok(CertifiedKey::new(vec![certificate.der().clone()], signer))
}
