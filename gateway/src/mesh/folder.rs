// SPDX-License-Identifier: Apache-2.0
//! An identity that somebody else keeps in a folder. All of it is read each time, through one symlink, so that it is of
//! one moment. Never writes.

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
        let mut files = vec![ca];
        for more in &self.0.more_roots {
            files.push(dial::contents(more).await?);
        }
        let read = || {
            let roots = files.iter().try_fold(Roots::default(), |roots, pem| Ok(roots.union(&Roots::from_pem(pem)?)));
            Svid::new(&chain, &key, roots.map_err(CredentialError::Roots)?)
        };
        read().map_err(|why| self.damaged(why))
    }

    /// An error with the folder's name.
    pub(super) fn damaged(&self, why: CredentialError) -> Damage {
        Damage::Content(self.0.path.display().to_string(), why)
    }
}
