// SPDX-License-Identifier: Apache-2.0
//! Resources and their keys as bytes, and back through the checked constructors.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use rustls_pki_types::CertificateDer;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{LONGEST_HOST, Upsert};
use crate::certificate::Certificate;
use crate::demand::Demand;
use crate::digest::sha256;
use crate::key::CertificateKey;
use crate::snapshot::{Resource, ResourceKey};

/// Why bytes are no resource, or a text no key: they are of a later version, or damaged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this version cannot read it: {0}")]
pub struct Unreadable(String);

/// A certificate with its key. Only here does a private key become text.
#[derive(Serialize, Deserialize)]
struct Pair {
    key: CertificateKey,
    /// Base64 of DER, leaf first.
    chain: Vec<String>,
    /// PEM.
    private: String,
}

/// A key as text: JSON, so that every name is quoted. Compare it byte for byte.
pub fn key_text(key: &ResourceKey) -> String {
    // Keys are texts and numbers: they always have a JSON form.
    serde_json::to_string(key).unwrap_or_default()
}

/// The key that a text is.
pub fn key(text: &str) -> Result<ResourceKey, Unreadable> {
    parsed(text.as_bytes())
}

/// A demand as it travels.
pub fn demand(demand: &Demand) -> super::Demand {
    let listener = key_text(&ResourceKey::Listener(demand.listener.clone()));
    super::Demand { listener, host: demand.host.to_string() }
}

/// The demand that travelled, if it is one.
pub fn demanded(demand: &super::Demand) -> Option<Demand> {
    match key(&demand.listener) {
        Ok(ResourceKey::Listener(listener)) if demand.host.len() <= LONGEST_HOST => Demand::new(listener, &demand.host),
        _ => None,
    }
}

/// One resource as it travels.
pub fn encode(resource: &Resource) -> Upsert {
    let body = match resource {
        Resource::Listener(it) => json(it),
        Resource::Certificate(it) => json(&pair(it)),
        Resource::TrustBundle(it) => json(it),
        Resource::Rule(it) => json(it),
        Resource::Stream(it) => json(it),
        Resource::Backend(it) => json(it),
        Resource::Endpoints(it) => json(it),
        Resource::AcmeHost(it) => json(it),
        Resource::Policy(it) => json(it),
        Resource::Tokens(it) => json(it),
        Resource::Provider(it) => json(it),
    };
    let hash = Bytes::copy_from_slice(&sha256(&body)[..16]);
    Upsert { key: key_text(&resource.key()), hash, body }
}

/// The resource that travelled.
pub fn decode(upsert: &Upsert) -> Result<Resource, Unreadable> {
    let (key, body) = (key(&upsert.key)?, &upsert.body);
    let resource = match &key {
        ResourceKey::Listener(_) => Resource::Listener(parsed(body)?),
        ResourceKey::Certificate(_) => Resource::Certificate(Arc::new(certificate(body)?)),
        ResourceKey::TrustBundle(_) => Resource::TrustBundle(parsed(body)?),
        ResourceKey::Rule(_) => Resource::Rule(parsed(body)?),
        ResourceKey::Stream(_) => Resource::Stream(parsed(body)?),
        ResourceKey::Backend(_) => Resource::Backend(parsed(body)?),
        ResourceKey::Endpoints(_) => Resource::Endpoints(parsed(body)?),
        ResourceKey::AcmeHost(_) => Resource::AcmeHost(parsed(body)?),
        ResourceKey::Policy(_) => Resource::Policy(parsed(body)?),
        ResourceKey::Tokens(_) => Resource::Tokens(parsed(body)?),
        ResourceKey::Provider(_) => Resource::Provider(parsed(body)?),
    };
    if resource.key() == key { Ok(resource) } else { Err(Unreadable("it holds another resource".to_owned())) }
}

fn json<T: Serialize>(value: &T) -> Bytes {
    // No IR type has a form that JSON lacks; an empty body would be rejected where it arrives.
    serde_json::to_vec(value).unwrap_or_default().into()
}

fn parsed<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Unreadable> {
    serde_json::from_slice(bytes).map_err(|error| Unreadable(error.to_string()))
}

fn pair(certificate: &Certificate) -> Pair {
    Pair {
        key: certificate.key.clone(),
        chain: certificate.chain().iter().map(|one| STANDARD.encode(one)).collect(),
        private: certificate.private().expose().to_owned(),
    }
}

/// Errors name no content: it may be the key.
fn certificate(body: &[u8]) -> Result<Certificate, Unreadable> {
    let bad = |what: &str| Unreadable(format!("the certificate's {what} is damaged"));
    let Pair { key, chain, private } = serde_json::from_slice(body).map_err(|_| bad("body"))?;
    let chain = chain.iter().map(|one| STANDARD.decode(one).map(CertificateDer::from));
    let chain = chain.collect::<Result<Vec<_>, _>>().map_err(|_| bad("chain"))?;
    Certificate::from_der(key, chain, &private).map_err(|error| Unreadable(error.to_string()))
}
