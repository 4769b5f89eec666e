// SPDX-License-Identifier: Apache-2.0
//! Secrets of a folder, where there is no cluster: each a manifest of its own, which only its owner may read. The folder
//! belongs to one process, and is tried out before anything depends on it.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use torana_ir::CertificateKey;

use super::{Found, Kept, Vault, VaultError};
use crate::issuance::{LABEL, short_digest};

/// Who holds the lock has the folder.
const LOCK: &str = ".lock";
/// Only their owner reads Secrets.
const PRIVATE: u32 = 0o600;
/// Files that are looked through.
const MOST: usize = 100_000;
/// No Secret of Kubernetes is larger than a third of it.
const LARGEST: u64 = 4 << 20;

/// Secrets of a folder.
#[derive(Debug, Clone)]
pub struct FolderVault(Arc<Folder>);

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    /// Held for as long as the process has the folder; `None`: another has it.
    _lock: Option<File>,
    /// Of reading and writing one at a time.
    turn: Mutex<()>,
}

impl FolderVault {
    /// The folder `path`, made if it is not there.
    ///
    /// # Errors
    /// If another process has it, or nothing can be written to it.
    pub fn open(path: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(PRIVATE).open(path.join(LOCK))?;
        lock.try_lock().map_err(|error| match error {
            fs::TryLockError::WouldBlock => io::Error::other("another process has it"),
            fs::TryLockError::Error(error) => error,
        })?;
        let folder = Folder { path: path.to_owned(), _lock: Some(lock), turn: Mutex::new(()) };
        let trial = folder.path.join(".trial");
        replace(&trial, b"")?;
        fs::remove_file(trial)?;
        Ok(Self(Arc::new(folder)))
    }

    /// The folder `path`, which another process may have.
    ///
    /// # Errors
    /// If there is no such folder.
    pub fn beside(path: &Path) -> io::Result<Self> {
        fs::read_dir(path)?;
        Ok(Self(Arc::new(Folder { path: path.to_owned(), _lock: None, turn: Mutex::new(()) })))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Folder) -> Result<T, VaultError> + Send + 'static,
    ) -> Result<T, VaultError> {
        let folder = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || {
            let _turn = folder.turn.lock().unwrap_or_else(PoisonError::into_inner);
            work(&folder)
        });
        done.await.unwrap_or_else(|error| Err(VaultError::Unavailable(error.to_string())))
    }
}

impl Folder {
    /// Names of Kubernetes have neither `_` nor `/`.
    fn file(&self, name: &CertificateKey) -> PathBuf {
        self.path.join(format!("{}_{}.yaml", name.namespace, name.name))
    }

    fn read(&self, name: &CertificateKey) -> Result<Option<Found>, VaultError> {
        let path = self.file(name);
        let mut text = Vec::new();
        match File::open(&path).and_then(|file| file.take(LARGEST).read_to_end(&mut text)) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(&path, &error)),
        }
        let kept = serde_json::from_slice(&text).ok().and_then(|manifest| kept(&manifest));
        let damaged = || VaultError::Refused(format!("{}: this is not what Torana wrote there", path.display()));
        Ok(Some(Found { kept: kept.ok_or_else(damaged)?, version: version(&text) }))
    }

    fn list(&self, value: &str) -> Result<Vec<(CertificateKey, Kept)>, VaultError> {
        let entries = fs::read_dir(&self.path).map_err(|error| failed(&self.path, &error))?;
        let mut found = Vec::new();
        for entry in entries.take(MOST) {
            let file = entry.map_err(|error| failed(&self.path, &error))?.file_name();
            let Some(name) = file.to_str().and_then(named) else { continue };
            if let Some(Found { kept, .. }) = self.read(&name)?
                && kept.labels.get(LABEL).is_some_and(|label| label == value)
            {
                found.push((name, kept));
            }
        }
        found.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(found)
    }

    fn at(&self, name: &CertificateKey, expected: Option<&str>) -> Result<PathBuf, VaultError> {
        let there = self.read(name)?.map(|found| found.version);
        if there.as_deref() == expected { Ok(self.file(name)) } else { Err(VaultError::Changed) }
    }
}

#[async_trait]
impl Vault for FolderVault {
    async fn read(&self, name: &CertificateKey) -> Result<Option<Found>, VaultError> {
        let name = name.clone();
        self.blocking(move |folder| folder.read(&name)).await
    }

    async fn list(&self, value: &str) -> Result<Vec<(CertificateKey, Kept)>, VaultError> {
        let value = value.to_owned();
        self.blocking(move |folder| folder.list(&value)).await
    }

    async fn write(&self, name: &CertificateKey, kept: &Kept, expected: Option<&str>) -> Result<String, VaultError> {
        let (name, kept, expected) = (name.clone(), kept.clone(), expected.map(str::to_owned));
        self.blocking(move |folder| {
            let path = folder.at(&name, expected.as_deref())?;
            // JSON is YAML, too.
            let text = serde_json::to_vec_pretty(&manifest(&name, &kept)).unwrap_or_default();
            replace(&path, &text).map_err(|error| failed(&path, &error))?;
            Ok(version(&text))
        })
        .await
    }

    async fn remove(&self, name: &CertificateKey, expected: &str) -> Result<(), VaultError> {
        let (name, expected) = (name.clone(), expected.to_owned());
        self.blocking(move |folder| {
            if folder.read(&name)?.is_none() {
                return Ok(());
            }
            let path = folder.at(&name, Some(&expected))?;
            fs::remove_file(&path).map_err(|error| failed(&path, &error))
        })
        .await
    }
}

/// The Secret of a file, if it is of one.
fn named(file: &str) -> Option<CertificateKey> {
    let (namespace, name) = file.strip_suffix(".yaml")?.split_once('_')?;
    Some(CertificateKey { namespace: namespace.to_owned(), name: name.to_owned() })
}

/// Whoever reads `path` finds what was there or all of `text`.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut staged = path.to_owned();
    // Hidden: files that begin with a dot are no manifests.
    staged.set_file_name(format!(".{}.new", path.file_name().unwrap_or_default().to_string_lossy()));
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(PRIVATE).open(&staged)?;
    file.set_permissions(fs::Permissions::from_mode(PRIVATE))?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&staged, path)?;
    // The name is not kept before its folder is.
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn failed(path: &Path, error: &io::Error) -> VaultError {
    VaultError::Unavailable(format!("{}: {error}", path.display()))
}

fn version(text: &[u8]) -> String {
    short_digest(text)
}

fn manifest(name: &CertificateKey, kept: &Kept) -> Value {
    let data: BTreeMap<_, _> = kept.data.iter().map(|(key, value)| (key, STANDARD.encode(value))).collect();
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name.name, "namespace": name.namespace, "labels": kept.labels, "annotations": kept.annotations,
        },
        "type": kept.secret_type,
        "data": data,
    })
}

fn kept(manifest: &Value) -> Option<Kept> {
    let texts = |value: &Value| {
        let entries = value.as_object()?.iter();
        entries.map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect::<Option<BTreeMap<_, _>>>()
    };
    let encoded = texts(&manifest["data"])?.into_iter();
    Some(Kept {
        secret_type: manifest["type"].as_str()?.to_owned(),
        labels: texts(&manifest["metadata"]["labels"])?,
        annotations: texts(&manifest["metadata"]["annotations"])?,
        data: encoded.map(|(key, value)| Some((key, STANDARD.decode(value).ok()?))).collect::<Option<_>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> CertificateKey {
        CertificateKey { namespace: "shop".to_owned(), name: name.to_owned() }
    }

    fn sample(text: &str) -> Kept {
        Kept {
            secret_type: "kubernetes.io/tls".to_owned(),
            labels: [("a".to_owned(), "b".to_owned())].into(),
            data: [("tls.key".to_owned(), text.as_bytes().to_vec())].into(),
            ..Kept::default()
        }
    }

    #[tokio::test]
    async fn what_was_written_is_read_and_replaced_only_as_it_was_read() {
        let root = tempfile::tempdir().unwrap();
        let vault = FolderVault::open(root.path()).unwrap();
        assert_eq!(vault.read(&name("tls")).await, Ok(None));
        let first = vault.write(&name("tls"), &sample("1"), None).await.unwrap();
        assert_eq!(vault.write(&name("tls"), &sample("2"), None).await, Err(VaultError::Changed));
        let second = vault.write(&name("tls"), &sample("2"), Some(&first)).await.unwrap();
        assert_eq!(vault.write(&name("tls"), &sample("3"), Some(&first)).await, Err(VaultError::Changed));
        let found = vault.read(&name("tls")).await.unwrap().unwrap();
        assert_eq!(found, Found { kept: sample("2"), version: second.clone() });
        assert_eq!(vault.remove(&name("tls"), &first).await, Err(VaultError::Changed));
        assert_eq!(vault.remove(&name("tls"), &second).await, Ok(()));
        assert_eq!(vault.remove(&name("tls"), &second).await, Ok(()), "it is gone already");
    }

    #[tokio::test]
    async fn only_their_owner_reads_them_and_only_one_process_has_the_folder() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("data");
        let vault = FolderVault::open(&path).unwrap();
        vault.write(&name("tls"), &sample("1"), None).await.unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&path.join("shop_tls.yaml"))), (0o700, 0o600));
        let error = FolderVault::open(&path).unwrap_err();
        assert_eq!(error.to_string(), "another process has it");
        drop(vault);
        FolderVault::open(&path).unwrap();
    }

    #[tokio::test]
    async fn what_others_wrote_there_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let vault = FolderVault::open(root.path()).unwrap();
        fs::write(root.path().join("shop_tls.yaml"), "kind: [").unwrap();
        assert!(matches!(vault.read(&name("tls")).await, Err(VaultError::Refused(_))));
        assert!(matches!(vault.write(&name("tls"), &sample("1"), None).await, Err(VaultError::Refused(_))));
    }

    #[tokio::test]
    async fn a_manifest_of_the_folder_is_a_secret_as_any() {
        let root = tempfile::tempdir().unwrap();
        let vault = FolderVault::open(root.path()).unwrap();
        vault.write(&name("tls"), &sample("1"), None).await.unwrap();
        let text = fs::read_to_string(root.path().join("shop_tls.yaml")).unwrap();
        let plane = crate::source::Files::open(&[root.path().to_owned()]);
        assert_eq!(plane.objects().len(), 1, "{text}");
    }
}
