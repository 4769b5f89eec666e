// SPDX-License-Identifier: Apache-2.0
//! An identity that somebody else keeps in a folder. All of it is read each time, through one symlink, so that it is of
//! one moment. Never writes.

use std::path::PathBuf;

use super::credential::{CredentialError, Svid};
use super::roots::Roots;
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

/// A folder with `tls.crt`, `tls.key` and `ca.crt`.
#[derive(Debug)]
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    /// What the files hold now.
    pub(super) async fn read(&self) -> Result<Svid, Damage> {
        let version = match tokio::fs::canonicalize(self.0.join(CURRENT)).await {
            Ok(version) => version,
            Err(_) => tokio::fs::canonicalize(&self.0).await.map_err(Failure::of(&self.0.display().to_string()))?,
        };
        let file = async |name: &str| dial::contents(&version.join(name)).await;
        let (chain, key, ca) = (file("tls.crt").await?, file("tls.key").await?, file("ca.crt").await?);
        let read = || Svid::new(&chain, &key, Roots::from_pem(&ca)?);
        read().map_err(|why| self.damaged(why))
    }

    /// An error with the folder's name.
    pub(super) fn damaged(&self, why: CredentialError) -> Damage {
        Damage::Content(self.0.display().to_string(), why)
    }
}
