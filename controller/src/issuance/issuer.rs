// SPDX-License-Identifier: Apache-2.0
//! Who signs: a directory of ACME, and on what terms. Those that everybody knows are built in.

use std::collections::BTreeMap;
use std::fmt;

use torana_crds::core::SecretBytes;
use torana_crds::issuer::{AllowedHosts, AskService, Challenge, WholeSecretRef};
use torana_ir::{CertificateKey, Sha256};

use super::state::short_hex;
use crate::hosts::takes_in;

const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
const STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";
const ZERO_SSL: &str = "https://acme.zerossl.com/v2/DV90";
/// Directories, and where the same authority is to be tried.
const REHEARSALS: [(&str, &str); 1] = [(LETS_ENCRYPT, STAGING)];
/// Authorities that need no object: their names, and their directories.
const BUILT_IN: [(&str, &str); 3] =
    [("letsencrypt", LETS_ENCRYPT), ("letsencrypt-staging", STAGING), ("zerossl", ZERO_SSL)];

/// An authority, and what is agreed with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// As people call it: `letsencrypt`, `AcmeIssuer team-a/private`.
    pub name: String,
    /// URL of its directory (RFC 8555 §7.1.1).
    pub directory: String,
    /// Its directory for rehearsals, of which it does not count what fails.
    pub rehearsal: Option<String>,
    /// What it calls itself in CAA records (RFC 8659 §4.2), where that is known.
    pub identities: &'static [&'static str],
    /// Where the authority writes to.
    pub email: Option<String>,
    /// An account at the authority that its customers have already.
    pub account: Option<ExternalAccount>,
    /// Who vouches for the authority's own HTTPS, PEM; `None`: Mozilla's list.
    pub roots: Option<String>,
    /// Profile of the certificates, if the authority has several.
    pub profile: Option<String>,
    /// Kind of the certificates' keys.
    pub key: KeyType,
    /// Whether it is looked at first that names lead here.
    pub checks: bool,
    /// Certificates that the listeners of one namespace may have of it; `None`: any number.
    pub most: Option<usize>,
    /// Who may have which hosts; `None`: everybody all.
    pub allowed: Option<Vec<AllowedHosts>>,
    /// How hosts are shown to be ours: the first that is for a host counts.
    pub challenges: Vec<Challenge>,
    /// Who agrees to names that clients ask for, if certificates are obtained so.
    pub ask: Option<AskService>,
    /// Where Secrets are that it names without a namespace.
    pub namespace: String,
    /// The entries of all Secrets that it names, as far as they are there.
    pub secrets: BTreeMap<CertificateKey, BTreeMap<String, SecretBytes>>,
}

impl Issuer {
    /// With the defaults.
    pub fn new(name: &str, directory: &str) -> Self {
        Self {
            name: name.to_owned(),
            directory: directory.to_owned(),
            rehearsal: REHEARSALS.iter().find(|(real, _)| *real == directory).map(|(_, it)| (*it).to_owned()),
            identities: identities(directory),
            email: None,
            account: None,
            roots: None,
            profile: None,
            key: KeyType::default(),
            checks: true,
            most: None,
            allowed: None,
            challenges: Vec::new(),
            ask: None,
            namespace: String::new(),
            secrets: BTreeMap::new(),
        }
    }

    /// One that needs no object.
    pub fn built_in(name: &str) -> Option<Self> {
        let (name, directory) = BUILT_IN.iter().find(|(known, _)| *known == name)?;
        Some(Self::new(name, directory))
    }

    /// Names of those that need no object.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|(name, _)| *name)
    }

    /// The same authority where nothing counts, if it has such a directory; an account of its own is made there.
    pub fn rehearsing(&self) -> Option<Self> {
        let directory = self.rehearsal.clone()?;
        Some(Self { directory, rehearsal: None, account: None, ..self.clone() })
    }

    /// One entry of a Secret that it names; the error says what is missing.
    pub fn entry(&self, secret: &CertificateKey, entry: &str) -> Result<&[u8], String> {
        let found = self.secrets.get(secret).ok_or_else(|| format!("there is no Secret {secret}; create it"))?;
        let bytes = found.get(entry).ok_or_else(|| format!("Secret {secret} has no entry {entry:?}; add it"))?;
        Ok(bytes.expose().trim_ascii())
    }

    /// The entries of a Secret that it names, as headers; the error says what is missing.
    pub fn headers(&self, secret: Option<&WholeSecretRef>) -> Result<Vec<(String, String)>, String> {
        let Some(reference) = secret else { return Ok(Vec::new()) };
        let target = reference.target(&self.namespace);
        let secret = CertificateKey { namespace: target.namespace, name: target.name };
        let entries = self.secrets.get(&secret).ok_or_else(|| format!("there is no Secret {secret}; create it"))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes.trim_ascii()).into_owned();
        Ok(entries.iter().map(|(name, value)| (name.clone(), text(value.expose()))).collect())
    }

    /// How `host` is to be shown to be ours, if that is said.
    pub fn rule(&self, host: &str) -> Option<&Challenge> {
        let is_for = |hosts: &Vec<String>| hosts.iter().any(|pattern| takes_in(pattern, host));
        self.challenges.iter().find(|rule| rule.hosts.as_ref().is_none_or(is_for))
    }

    /// What tells terms apart on which it may sign or not: everything that people can correct, Secrets included.
    pub fn terms(&self) -> String {
        let mut sum = Sha256::default();
        // Without the Secrets, of which nothing is shown.
        sum.update(format!("{self:?}").as_bytes());
        for (secret, entries) in &self.secrets {
            for (entry, value) in entries {
                sum.update(format!("{secret} {entry} {}\n", value.expose().len()).as_bytes());
                sum.update(value.expose());
            }
        }
        short_hex(&sum.finish())
    }

    /// What tells one account from another: two issuers with the same share it.
    pub fn account_id(&self) -> String {
        let key = self.account.as_ref().map_or("", |account| &account.key_id);
        format!("{}\n{}\n{key}", self.directory, self.email.as_deref().unwrap_or_default())
    }
}

/// What authorities that everybody knows call themselves in CAA records.
fn identities(directory: &str) -> &'static [&'static str] {
    match directory {
        LETS_ENCRYPT | STAGING => &["letsencrypt.org"],
        ZERO_SSL => &["sectigo.com", "trust-provider.com", "usertrust.com", "comodoca.com", "comodo.com"],
        _ => &[],
    }
}

/// External account binding (RFC 8555 §7.3.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalAccount {
    /// What the authority calls the key.
    pub key_id: String,
    /// Secret with the key …
    pub secret: CertificateKey,
    /// … and its entry: base64url, as authorities give it.
    pub entry: String,
}

/// Kind of a certificate's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyType {
    /// ECDSA over P-256.
    #[default]
    P256,
    /// ECDSA over P-384.
    P384,
    /// RSA with 2048 bits.
    Rsa2048,
    /// RSA with 4096 bits.
    Rsa4096,
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::P256 => "P256",
            Self::P384 => "P384",
            Self::Rsa2048 => "RSA2048",
            Self::Rsa4096 => "RSA4096",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_authorities_need_no_object() {
        for name in Issuer::names() {
            let issuer = Issuer::built_in(name).unwrap();
            assert!(issuer.directory.starts_with("https://") && issuer.name == name);
        }
        assert_eq!(Issuer::built_in("nobody"), None);
    }

    #[test]
    fn an_account_is_told_by_directory_address_and_external_key() {
        let one = Issuer::new("a", "https://ca/dir");
        assert_eq!(one.account_id(), Issuer::new("b", "https://ca/dir").account_id());
        let others = [
            Issuer::new("a", "https://ca/other"),
            Issuer { email: Some("a@b".into()), ..one.clone() },
            Issuer {
                account: Some(ExternalAccount {
                    key_id: "k".into(),
                    secret: CertificateKey { namespace: "n".into(), name: "s".into() },
                    entry: "hmac".into(),
                }),
                ..one.clone()
            },
        ];
        assert!(others.iter().all(|other| other.account_id() != one.account_id()));
    }
}
