// SPDX-License-Identifier: Apache-2.0
//! An identity that somebody else keeps in a folder. All of it is read each time, through one symlink, so that it is of
//! one moment. Never writes.

use super::bundles::roots_of;
use super::credential::{CredentialError, Svid};
use super::roots::Roots;
use super::source::FolderConfig;
use crate::dial::{self, Failure};

/// What kubelet swaps when it has written a new version of a volume: a symlink to the folder that holds it.
const CURRENT: &str = "..data";

/// Why the files are no identity. Never holds a key.
#[derive(Debug, thiserror::Error)]
pub(super) enum Damage {
    #[error(transparent)]
    File(#[from] Failure),
    #[error("{0}: {1}")]
    Content(String, CredentialError),
}

/// A folder, as it is now.
#[derive(Debug)]
pub(super) struct Folder(pub(super) FolderConfig);

impl Folder {
    /// What the files hold now.
    pub(super) async fn read(&self) -> Result<Svid, Damage> {
        let path = &self.0.path;
        let version = match tokio::fs::canonicalize(path.join(CURRENT)).await {
            Ok(version) => version,
            Err(_) => tokio::fs::canonicalize(path).await.map_err(Failure::of(&path.display().to_string()))?,
        };
        let file = async |name: &str| dial::contents(&version.join(name)).await;
        let (chain, key, ca) = (file("tls.crt").await?, file("tls.key").await?, file("ca.crt").await?);
        let unusable = |file, why| Damage::Content(file, CredentialError::Roots(why));
        let more = roots_of(&self.0.more_roots, unusable).await?;
        let read = || Svid::new(&chain, &key, Roots::from_pem(&ca)?.union(&more));
        read().map_err(|why| self.damaged(why))
    }

    /// An error with the folder's name.
    pub(super) fn damaged(&self, why: CredentialError) -> Damage {
        Damage::Content(self.0.path.display().to_string(), why)
    }
}
