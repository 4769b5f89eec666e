// SPDX-License-Identifier: Apache-2.0
//! TLS that begins at the proxy: how a backend is spoken to, and what its certificate must say.

use std::fmt;

use rustls_pki_types::ServerName;
use serde::{Deserialize, Serialize};

use crate::key::TrustBundleKey;
use crate::target::Invalid;

/// What is between TCP and the protocol of a backend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum BackendTls {
    /// Nothing.
    Plain,
    /// TLS. Never cleartext, whatever happens.
    Originate(Origination),
    /// TLS is asked for in a way that cannot be had: requests get 500, never cleartext.
    Refused(Invalid),
}

impl BackendTls {
    /// The bundles that the backend's certificate is checked against.
    pub fn bundles(&self) -> &[TrustBundleKey] {
        match self {
            Self::Originate(Origination { trust: Trust::Bundles(bundles), .. }) => bundles,
            _ => &[],
        }
    }
}

/// How TLS with a backend begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origination {
    /// Sent as SNI (RFC 6066 §3). It authenticates only if it is among `names`.
    pub server_name: DnsName,
    /// Who must have signed the certificate.
    pub trust: Trust,
    /// The certificate must bear one of these. Empty: every certificate is refused.
    pub names: Vec<PeerName>,
}

/// Authorities that a certificate may come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trust {
    /// Those that browsers trust, as of when the proxy was built.
    System,
    /// Those of these bundles. One that is absent from the snapshot vouches for nobody.
    Bundles(Vec<TrustBundleKey>),
}

/// A subject alternative name that a certificate may bear.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeerName {
    /// The certificate is valid for this host (RFC 9525 §6.3: also by a wildcard of its own).
    Dns(DnsName),
    /// The certificate bears `*.` and this name, literally.
    Wildcard(DnsName),
    /// The certificate bears this URI, byte for byte: a SPIFFE id, mostly.
    Uri(String),
}

/// A DNS name that TLS can carry, in lower case; no IP address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DnsName(rustls_pki_types::DnsName<'static>);

/// A text that is no DNS name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a DNS name")]
pub struct DnsNameError(String);

impl DnsName {
    /// Checks and lower-cases `name`.
    pub fn new(name: &str) -> Result<Self, DnsNameError> {
        match ServerName::try_from(name) {
            Ok(ServerName::DnsName(dns)) if !name.ends_with('.') => Ok(Self(dns.to_lowercase_owned())),
            _ => Err(DnsNameError(name.to_owned())),
        }
    }

    /// The name in lower case.
    pub fn as_str(&self) -> &str {
        self.0.as_ref()
    }

    /// As TLS asks for it, and checks it.
    pub fn server_name(&self) -> ServerName<'static> {
        ServerName::DnsName(self.0.clone())
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TryFrom<String> for DnsName {
    type Error = DnsNameError;

    fn try_from(name: String) -> Result<Self, DnsNameError> {
        Self::new(&name)
    }
}

impl From<DnsName> for String {
    fn from(name: DnsName) -> Self {
        name.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dns_name_is_no_address_and_no_pattern() {
        assert_eq!(DnsName::new("A.Example.com").unwrap().as_str(), "a.example.com");
        for bad in ["", "10.0.0.1", "::1", "*.example.com", "a.example.com.", "a b", "-a", "a..b"] {
            assert!(DnsName::new(bad).is_err(), "{bad}");
        }
    }
}
