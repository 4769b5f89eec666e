// SPDX-License-Identifier: Apache-2.0
//! TLS that begins at the proxy: how a backend is spoken to, and what its certificate must say.

use std::cmp::Ordering;
use std::fmt;

use rustls_pki_types::ServerName;
use serde::{Deserialize, Serialize};

use crate::key::{CertificateKey, TrustBundleKey};
use crate::target::Invalid;

/// What is between TCP and the protocol of a backend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum BackendTls {
    /// Nothing.
    Plain,
    /// TLS. Never cleartext, whatever happens.
    Originate(Origination),
    /// TLS is asked for in a way that cannot be had: requests get 500, those of VirtualServices 503; never cleartext.
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

    /// What the backend is shown in any case, if that is said.
    pub fn certificate(&self) -> Option<&CertificateKey> {
        match self {
            Self::Originate(origination) => origination.identity.as_ref(),
            Self::Plain | Self::Refused(_) => None,
        }
    }
}

/// How TLS with a backend begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origination {
    /// Sent as SNI (RFC 6066 §3). It authenticates only if it is among `names`.
    pub server_name: DnsName,
    /// Sent instead is the host that the request goes on with, where that is a DNS name (Istio, where a DestinationRule
    /// has no `tls.sni`).
    #[serde(default, skip_serializing_if = "is_false")]
    pub follows_host: bool,
    /// Shown to a backend that asks for a certificate, in place of what the listener has for that (`MUTUAL`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<CertificateKey>,
    /// Who must have signed the certificate.
    pub trust: Trust,
    /// The certificate must bear one of these. Empty: every certificate is refused.
    pub names: Vec<PeerName>,
}

impl Origination {
    /// With this name and these authorities, and the name authenticates.
    pub fn new(server_name: DnsName, trust: Trust) -> Self {
        let names = vec![PeerName::Dns(server_name.clone())];
        Self { server_name, follows_host: false, identity: None, trust, names }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// Authorities that a certificate may come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trust {
    /// Those that browsers trust, as of when the proxy was built.
    System,
    /// Those of these bundles. One that is absent from the snapshot vouches for nobody.
    Bundles(Vec<TrustBundleKey>),
    /// Nobody is asked, nor are the names: whoever answers is believed (`insecureSkipVerify`).
    Unchecked,
}

/// A subject alternative name that a certificate may bear.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PeerName {
    /// The certificate is valid for this host (RFC 9525 §6.3: also by a wildcard of its own).
    Dns(DnsName),
    /// The certificate bears `*.` and this name, literally.
    Wildcard(DnsName),
    /// The certificate bears this URI, byte for byte: a SPIFFE id, mostly.
    Uri(String),
    /// The certificate bears some SPIFFE id of this trust domain, whoever that is: of a workload whose service account
    /// is not known.
    TrustDomain(String),
    /// The certificate is valid for the host that was sent as SNI, whichever that was.
    Sent,
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

impl Ord for DnsName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl PartialOrd for DnsName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
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
