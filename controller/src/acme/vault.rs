// SPDX-License-Identifier: Apache-2.0
//! Where Secrets are kept: in the cluster, or in a folder where there is none. Every write names what it is written over,
//! so that of two who lead for a moment one is refused.

mod cluster;

mod folder;

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use torana_ir::{Certificate, CertificateKey};

use crate::issuance::{Current, DIRECTORY};

pub use cluster::ClusterVault;
pub use folder::FolderVault;

/// What a Secret holds.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Kept {
    /// Its type; it cannot be changed.
    pub secret_type: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Its entries, decoded.
    pub data: BTreeMap<String, Vec<u8>>,
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { secret_type, labels, annotations, data } = self;
        let names: Vec<_> = data.keys().collect();
        f.debug_struct("Kept")
            .field("secret_type", secret_type)
            .field("labels", labels)
            .field("annotations", annotations)
            .field("entries", &names)
            .finish()
    }
}

impl Kept {
    /// The certificate that it holds as Secret `name`; nothing, if it cannot be used.
    pub(super) fn current(&self, name: &CertificateKey) -> Option<Current> {
        let (chain, key) = (self.data.get("tls.crt")?, self.data.get("tls.key")?);
        let certificate = Certificate::from_pem(name.clone(), chain, key).ok()?;
        Some(Current::new(&certificate, self.annotations.get(DIRECTORY).map(String::as_str)))
    }
}

/// A Secret that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What it holds.
    pub kept: Kept,
    /// What a write over it names.
    pub version: String,
}

/// Why something was not read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// It is not what the write was based on any more.
    #[error("it was changed by somebody else")]
    Changed,
    /// It may not be read or written.
    #[error("{0}")]
    Refused(String),
    /// Not now.
    #[error("{0}")]
    Unavailable(String),
}

/// Where Secrets are kept.
#[async_trait]
pub trait Vault: fmt::Debug + Send + Sync + 'static {
    /// One Secret, if it is there.
    async fn read(&self, name: &CertificateKey) -> Result<Option<Found>, VaultError>;

    /// All Secrets with the label [`crate::issuance::LABEL`] of this value.
    async fn list(&self, value: &str) -> Result<Vec<(CertificateKey, Kept)>, VaultError>;

    /// Writes a Secret over the `version` that is there, or a new one; gives the version that it has now.
    async fn write(&self, name: &CertificateKey, kept: &Kept, version: Option<&str>) -> Result<String, VaultError>;

    /// Removes a Secret that is as it was in `version`; one that is gone is no error.
    async fn remove(&self, name: &CertificateKey, version: &str) -> Result<(), VaultError>;
}
