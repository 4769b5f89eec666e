// SPDX-License-Identifier: Apache-2.0
//! The key of a certificate, what the authority signs of it, and the Secret that both end up in: looked at first, for what
//! is not what was ordered is not served.

use std::collections::BTreeSet;

use rcgen::{
    CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256,
    RsaKeySize,
};
use torana_ir::Certificate;

use super::{Site, issued, records, succeed};
use crate::acme::failure::Failure;
use crate::acme::record::Record;
use crate::issuance::{Current, KeyType, LABEL, Wanted};

/// A new key, PEM. RSA takes a second.
pub(super) async fn new_key(kind: KeyType) -> Result<String, Failure> {
    let made = tokio::task::spawn_blocking(move || match kind {
        KeyType::P256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
        KeyType::P384 => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
        KeyType::Rsa2048 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
        KeyType::Rsa4096 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_4096),
    });
    let key = made.await.map_err(|error| Failure::later("key", error.to_string()))?;
    key.map(|key| key.serialize_pem()).map_err(|error| Failure::later("key", error.to_string()))
}

/// What is signed (RFC 2986), DER: the names and nothing else.
pub(super) fn csr(key: &str, names: &BTreeSet<String>) -> Result<Vec<u8>, Failure> {
    let failed = |error: rcgen::Error| Failure::over("key", error.to_string());
    let key = KeyPair::from_pem(key).map_err(failed)?;
    let mut params = CertificateParams::new(names.iter().cloned().collect::<Vec<_>>()).map_err(failed)?;
    params.distinguished_name = DistinguishedName::new();
    Ok(params.serialize_request(&key).map_err(failed)?.der().to_vec())
}

/// Writes the certificate into its Secret, and that nothing is left to do.
pub(super) async fn install(
    site: &Site,
    wanted: &Wanted,
    record: &mut Record,
    chain: String,
) -> Result<Current, Failure> {
    let key = record.key.clone().unwrap_or_default();
    let current = judged(wanted, (&chain, &key), site.clock.now())?;
    let found = site.vault.read(&wanted.secret).await?;
    if found.as_ref().is_some_and(|found| !found.kept.labels.contains_key(LABEL)) {
        let why = format!("somebody else made Secret {}, which is left as it is", wanted.secret);
        return Err(Failure::later("foreign", why));
    }
    let (kept, version) = found.map(|found| (found.kept, found.version)).unzip();
    let kept = issued(kept, wanted, (chain, key));
    site.vault.write(&wanted.secret, &kept, version.as_deref()).await?;
    if let Some(order) = &record.state.order {
        records::remove(&wanted.issuer, order).await;
    }
    succeed(&mut record.state, site.clock.now());
    record.close();
    record.save().await?;
    let until = jiff::Timestamp::from_second(current.not_after).map(|at| at.to_string()).unwrap_or_default();
    tracing::info!(certificate = %wanted.secret, issuer = wanted.issuer.name, until, "a certificate is there");
    Ok(current)
}

/// What was signed, if it is what was ordered.
fn judged(wanted: &Wanted, (chain, key): (&str, &str), now: i64) -> Result<Current, Failure> {
    let wrong = |why: String| Failure::over("wrong_certificate", format!("the authority signed something else: {why}"));
    let certificate = Certificate::from_pem(wanted.secret.clone(), chain.as_bytes(), key.as_bytes());
    let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
    let current = Current::new(&certificate, Some(&wanted.issuer.directory));
    if let Some(missing) = wanted.hosts.keys().find(|host| !current.names.contains(*host)) {
        return Err(wrong(format!("{missing} is not among the certificate's names")));
    }
    if current.not_after <= now {
        return Err(wrong("the certificate has ended".to_owned()));
    }
    Ok(current)
}
