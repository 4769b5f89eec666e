// SPDX-License-Identifier: Apache-2.0
//! A certificate that listeners want, and what stands in its place.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use torana_crds::ObjectRef;
use torana_ir::{Certificate, CertificateKey, GatewayId};
use x509_parser::extensions::ParsedExtension;

use super::{BUDGET, Issuer, Order, Solvable, State};

/// Annotation of Secrets with certificates and accounts: the directory that they came from.
pub const DIRECTORY: &str = "torana.dev/acme-directory";

/// A certificate that listeners want: one for each Secret that they name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The Secret.
    pub secret: CertificateKey,
    /// Who signs.
    pub issuer: Issuer,
    /// Its names, in lower case, wildcards among them; and how each can be shown to be ours.
    pub hosts: BTreeMap<String, Solvable>,
    /// Gateways whose proxies answer the authority.
    pub gateways: BTreeSet<GatewayId>,
    /// Gateways and ListenerSets whose listeners want it.
    pub owners: BTreeSet<ObjectRef>,
    /// What the Secret holds.
    pub current: Option<Current>,
    /// How it stands.
    pub state: State,
}

/// How a certificate stands, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It is there, and nothing is wrong.
    Good,
    /// It is not there yet, or has its turn later, and nothing is wrong.
    Pending,
    /// It cannot be had, or was tried in vain since it was obtained.
    Failing,
}

impl Progress {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Good, Self::Pending, Self::Failing];

    /// As metrics have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Pending => "pending",
            Self::Failing => "failing",
        }
    }
}

impl Wanted {
    /// How it stands.
    pub fn progress(&self) -> Progress {
        let is_in_trouble = self.state.trouble.as_ref().is_some_and(|trouble| trouble.reason != BUDGET);
        if self.obstacle().is_some() || is_in_trouble {
            Progress::Failing
        } else if self.current.is_some() {
            Progress::Good
        } else {
            Progress::Pending
        }
    }

    /// Its names.
    pub fn names(&self) -> BTreeSet<String> {
        self.hosts.keys().cloned().collect()
    }

    /// The same of the authority that `order` was placed with.
    #[must_use]
    pub fn with(&self, order: &Order) -> Self {
        if order.is_rehearsal { self.rehearsing() } else { self.clone() }
    }

    /// The same where nothing counts, if the authority has such a place.
    #[must_use]
    pub fn rehearsing(&self) -> Self {
        let issuer = self.issuer.rehearsing().unwrap_or_else(|| self.issuer.clone());
        Self { issuer, ..self.clone() }
    }

    /// Why it cannot be had as things are: the first name that can be shown in no way.
    pub fn obstacle(&self) -> Option<&str> {
        self.hosts.values().find_map(|solvable| match solvable {
            Solvable::Not(why) => Some(why.as_str()),
            Solvable::By(_) => None,
        })
    }
}

/// A certificate that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Current {
    /// Its names.
    pub names: BTreeSet<String>,
    /// From when it is valid.
    pub not_before: i64,
    /// Until when.
    pub not_after: i64,
    /// Its id (RFC 9773 §4.1): key identifier of who signed it and serial number, if it has both.
    pub id: Option<String>,
    /// Directory that it came from.
    pub directory: Option<String>,
}

impl Current {
    /// What there is to know of a certificate that came from `directory`.
    pub fn new(certificate: &Certificate, directory: Option<&str>) -> Self {
        Self {
            names: certificate.names.iter().cloned().collect(),
            not_before: certificate.not_before,
            not_after: certificate.not_after,
            id: certificate.leaf().and_then(|leaf| certificate_id(leaf)),
            directory: directory.map(str::to_owned),
        }
    }

    /// How long it is valid in all, in seconds.
    pub fn life(&self) -> i64 {
        self.not_after.saturating_sub(self.not_before).max(0)
    }
}

/// The id of a certificate, DER (RFC 9773 §4.1): `base64url(authorityKeyIdentifier) "." base64url(serial)`.
pub(crate) fn certificate_id(leaf: &[u8]) -> Option<String> {
    let (_, parsed) = x509_parser::parse_x509_certificate(leaf).ok()?;
    let signer = parsed.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(signer) => signer.key_identifier.as_ref(),
        _ => None,
    })?;
    Some(format!("{}.{}", URL_SAFE_NO_PAD.encode(signer.0), URL_SAFE_NO_PAD.encode(parsed.raw_serial())))
}
