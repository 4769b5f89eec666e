// SPDX-License-Identifier: Apache-2.0
//! Consents as they are kept: read, changed and written over what was read; of two who write at once one begins anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use torana_ir::CertificateKey;

use super::record::CERTIFICATE;
use super::vault::{Kept, Vault, VaultError};
use crate::issuance::{CONSENTS, CONSENTS_ENTRY, Consents, LABEL, MOST_CONSENTS, SECRET_TYPE};

/// A write is tried so often.
const TRIES: usize = 3;

/// Consents that nobody has asked for again for so long, in seconds, are forgotten, if no listener offers them.
const KEPT: i64 = 30 * 86_400;

/// Removes what is not `offered`, and is old.
pub(super) async fn forget(vault: &dyn Vault, offered: &BTreeSet<CertificateKey>, now: i64) -> Result<(), VaultError> {
    let needed: BTreeSet<_> = offered.iter().map(Consents::home_of).collect();
    for (name, kept) in vault.list(CONSENTS).await? {
        let Some(text) = kept.data.get(CONSENTS_ENTRY) else { continue };
        let is_needed = needed.contains(&name.name);
        let newest = serde_json::from_slice(text).ok().and_then(|it: Consents| it.hosts.into_values().max());
        if !is_needed
            && newest.is_none_or(|newest| newest + KEPT <= now)
            && let Some(found) = vault.read(&name).await?
        {
            vault.remove(&name, &found.version).await?;
        }
    }
    Ok(())
}

/// The consents of listeners that name one Secret.
#[derive(Debug)]
pub(super) struct Book<'s> {
    vault: Arc<dyn Vault>,
    name: CertificateKey,
    secret: &'s CertificateKey,
}

impl<'s> Book<'s> {
    pub(super) fn new(vault: Arc<dyn Vault>, home: &str, secret: &'s CertificateKey) -> Self {
        let name = CertificateKey { namespace: home.to_owned(), name: Consents::home_of(secret) };
        Self { vault, name, secret }
    }

    /// Adds names, and removes others.
    pub(super) async fn write(&self, said: &BTreeMap<String, bool>, now: i64) -> Result<(), String> {
        let mut last = VaultError::Changed;
        for _ in 0..TRIES {
            match self.try_write(said, now).await {
                Ok(()) => return Ok(()),
                Err(error) => last = error,
            }
            if last != VaultError::Changed {
                break;
            }
        }
        Err(last.to_string())
    }

    async fn try_write(&self, said: &BTreeMap<String, bool>, now: i64) -> Result<(), VaultError> {
        let found = self.vault.read(&self.name).await?;
        let text = found.as_ref().and_then(|found| found.kept.data.get(CONSENTS_ENTRY));
        let read = text.map(|text| Consents::from_json(text, self.secret));
        let mut consents = read.and_then(Result::ok).unwrap_or_else(|| Consents::new(self.secret));
        for (host, agreed) in said {
            if !agreed {
                consents.hosts.remove(host);
            } else if consents.hosts.len() < MOST_CONSENTS || consents.hosts.contains_key(host) {
                consents.hosts.insert(host.clone(), now);
            }
        }
        let kept = Kept {
            secret_type: SECRET_TYPE.to_owned(),
            labels: BTreeMap::from([(LABEL.to_owned(), CONSENTS.to_owned())]),
            annotations: BTreeMap::from([(CERTIFICATE.to_owned(), self.secret.to_string())]),
            data: BTreeMap::from([(CONSENTS_ENTRY.to_owned(), consents.to_json())]),
        };
        let version = found.map(|found| found.version);
        self.vault.write(&self.name, &kept, version.as_deref()).await.map(drop)
    }
}
