// SPDX-License-Identifier: Apache-2.0
//! What is kept of one certificate while it is ordered: its state, and the key that it will have. Both are written before
//! anything depends on them.

use std::collections::BTreeMap;
use std::sync::Arc;

use torana_ir::CertificateKey;

use super::failure::Failure;
use super::vault::{Kept, Vault, VaultError};
use crate::issuance::{KEY_ENTRY, LABEL, SECRET_TYPE, STATE_ENTRY, Solvable, State, Wanted, home_of};

/// Which certificate it is of, for people.
pub(super) const CERTIFICATE: &str = "torana.dev/certificate";

/// How all certificates stand that are kept account of; what cannot be read is left out.
pub(super) async fn states(vault: &dyn Vault) -> Result<Vec<(CertificateKey, State)>, VaultError> {
    let state = |kept: &Kept| State::from_json(kept.data.get(STATE_ENTRY)?).ok();
    let all = vault.list("state").await?;
    Ok(all.iter().filter_map(|(_, kept)| state(kept)).filter_map(|state| Some((state.secret()?, state))).collect())
}

/// The record of one certificate.
#[derive(Debug)]
pub(super) struct Record {
    vault: Arc<dyn Vault>,
    name: CertificateKey,
    version: Option<String>,
    /// How it stands.
    pub(super) state: State,
    /// Key of the certificate that was ordered, PEM.
    pub(super) key: Option<String>,
}

impl Record {
    /// As it is kept in `home`; a new one if it is not. What cannot be read is begun anew.
    pub(super) async fn open(vault: Arc<dyn Vault>, home: &str, certificate: &CertificateKey) -> Result<Self, Failure> {
        let name = CertificateKey { namespace: home.to_owned(), name: home_of(certificate) };
        let found = vault.read(&name).await?;
        let version = found.as_ref().map(|found| found.version.clone());
        let data = found.map(|found| found.kept.data).unwrap_or_default();
        let state = data.get(STATE_ENTRY).map(|text| State::from_json(text));
        let state = state.unwrap_or_else(|| Ok(State::new(certificate))).unwrap_or_else(|why| {
            tracing::warn!(secret = %name, why, "what was kept of a certificate cannot be read; it is begun anew");
            State::new(certificate)
        });
        let key = data.get(KEY_ENTRY).and_then(|key| String::from_utf8(key.clone()).ok());
        Ok(Self { vault, name, version, state, key })
    }

    /// What people are told who ask for it.
    pub(super) fn describe(&mut self, wanted: &Wanted) {
        wanted.issuer.name.clone_into(&mut self.state.issuer);
        self.state.orphan = None;
        let kind = |solvable: &Solvable| match solvable {
            Solvable::By(kind) => Some(*kind),
            Solvable::Not(_) => None,
        };
        self.state.hosts = wanted.hosts.iter().map(|(host, solvable)| (host.clone(), kind(solvable))).collect();
    }

    /// Keeps it.
    pub(super) async fn save(&mut self) -> Result<(), Failure> {
        self.state.revision += 1;
        let key = self.key.iter().map(|key| (KEY_ENTRY.to_owned(), key.clone().into_bytes()));
        let state = (STATE_ENTRY.to_owned(), self.state.to_json());
        let kept = Kept {
            secret_type: SECRET_TYPE.to_owned(),
            labels: BTreeMap::from([(LABEL.to_owned(), "state".to_owned())]),
            annotations: BTreeMap::from([(CERTIFICATE.to_owned(), self.state.certificate.clone())]),
            data: key.chain([state]).collect(),
        };
        self.version = Some(self.vault.write(&self.name, &kept, self.version.as_deref()).await?);
        Ok(())
    }

    /// Forgets it.
    pub(super) async fn remove(self) -> Result<(), Failure> {
        match &self.version {
            Some(version) => Ok(self.vault.remove(&self.name, version).await?),
            None => Ok(()),
        }
    }

    /// The order is over.
    pub(super) fn close(&mut self) {
        (self.state.order, self.key) = (None, None);
    }
}
