// SPDX-License-Identifier: Apache-2.0
//! Accounts at authorities: one for each directory, address and external key, kept in a Secret of Torana's own namespace
//! and made when the first certificate is wanted.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use instant_acme::{Account, AccountCredentials, ExternalAccountKey, NewAccount};
use tokio::sync::{Mutex, OnceCell};
use torana_ir::CertificateKey;

use super::courier::{Connect, Pace, Patient};
use super::failure::{Failure, patiently};
use super::vault::{Kept, Vault, VaultError};
use crate::issuance::{DIRECTORY, ExternalAccount, Issuer, LABEL, short_digest};

/// The entry of an account's credentials.
const ENTRY: &str = "credentials.json";

/// An account, and the pace at which it is used.
#[derive(Default)]
struct Known {
    account: OnceCell<Account>,
    pace: Pace,
}

/// Accounts that are in use.
pub(super) struct Accounts {
    vault: Arc<dyn Vault>,
    connect: Arc<dyn Connect>,
    /// Where their Secrets are.
    namespace: String,
    /// By [`Issuer::account_id`].
    known: Mutex<HashMap<String, Arc<Known>>>,
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accounts").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

impl Accounts {
    pub(super) fn new(vault: Arc<dyn Vault>, connect: Arc<dyn Connect>, namespace: String) -> Self {
        Self { vault, connect, namespace, known: Mutex::default() }
    }

    /// The account of an issuer for one attempt; made if there is none.
    pub(super) async fn of(&self, issuer: &Issuer) -> Result<Account, Failure> {
        let known = Arc::clone(self.known.lock().await.entry(key(issuer)).or_default());
        known.pace.turn().await;
        let made = known.account.get_or_try_init(|| async { patiently!(self.open(issuer).await) });
        made.await.cloned()
    }

    /// The authority knows the account no more: the next that is asked for is a new one.
    pub(super) async fn forget(&self, issuer: &Issuer) -> Result<(), Failure> {
        self.known.lock().await.remove(&key(issuer));
        let name = self.name(issuer);
        if let Some(found) = self.vault.read(&name).await? {
            tracing::warn!(secret = %name, directory = issuer.directory, "the authority does not know this account");
            self.vault.remove(&name, &found.version).await?;
        }
        Ok(())
    }

    fn name(&self, issuer: &Issuer) -> CertificateKey {
        let name = format!("torana-acme-account-{}", short_digest(issuer.account_id().as_bytes()));
        CertificateKey { namespace: self.namespace.clone(), name }
    }

    async fn open(&self, issuer: &Issuer) -> Result<Account, Failure> {
        let name = self.name(issuer);
        let http = self.connect.connect(issuer).map_err(|why| Failure::later("account", why))?;
        let builder = Account::builder_with_http(Box::new(Patient::new(http)));
        if let Some(found) = self.vault.read(&name).await? {
            let text = found.kept.data.get(ENTRY).map(Vec::as_slice).unwrap_or_default();
            let credentials: AccountCredentials = serde_json::from_slice(text).map_err(|error| {
                let why = format!("Secret {name} holds no account: {error}; delete it, and a new account is made");
                Failure::later("account", why)
            })?;
            return Ok(builder.from_credentials(credentials).await?);
        }
        let contact: Vec<String> = issuer.email.iter().map(|email| format!("mailto:{email}")).collect();
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        let terms = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let external = match &issuer.account {
            Some(account) => Some(external(issuer, account)?),
            None => None,
        };
        let (account, credentials) = builder.create(&terms, issuer.directory.clone(), external.as_ref()).await?;
        self.keep(&name, issuer, &credentials).await?;
        tracing::info!(secret = %name, directory = issuer.directory, "an account was made");
        Ok(account)
    }

    async fn keep(&self, name: &CertificateKey, issuer: &Issuer, it: &AccountCredentials) -> Result<(), Failure> {
        let text = serde_json::to_vec(it).map_err(|error| Failure::later("account", error.to_string()))?;
        let kept = Kept {
            secret_type: "Opaque".to_owned(),
            labels: BTreeMap::from([(LABEL.to_owned(), "account".to_owned())]),
            annotations: BTreeMap::from([(DIRECTORY.to_owned(), issuer.directory.clone())]),
            data: BTreeMap::from([(ENTRY.to_owned(), text)]),
        };
        match self.vault.write(name, &kept, None).await {
            Ok(_) => Ok(()),
            Err(VaultError::Changed) => Err(Failure::later("account", "another replica made the account meanwhile")),
            Err(error) => Err(error.into()),
        }
    }
}

fn external(issuer: &Issuer, account: &ExternalAccount) -> Result<ExternalAccountKey, Failure> {
    let ExternalAccount { key_id, secret, entry } = account;
    let refused = |why: String| Failure::later("account", format!("the key of the external account: {why}"));
    let text = issuer.entry(secret, entry).map_err(refused)?;
    let key = URL_SAFE_NO_PAD.decode(text).or_else(|_| URL_SAFE.decode(text));
    let key = key.map_err(|_| refused(format!("entry {entry:?} of Secret {secret} is no base64url")))?;
    Ok(ExternalAccountKey::new(key_id.clone(), &key))
}

/// Whoever vouches for the authority is part of the way to it.
fn key(issuer: &Issuer) -> String {
    format!("{}\n{}", issuer.account_id(), issuer.roots.as_deref().unwrap_or_default())
}
