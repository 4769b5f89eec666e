// SPDX-License-Identifier: Apache-2.0
//! Names of workloads, in the form that Istio gives them. Never reads a certificate.

use std::fmt;

use torana_ir::spiffe_id;

/// A text that names no workload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not spiffe://DOMAIN/ns/NAMESPACE/sa/ACCOUNT")]
pub struct SpiffeIdError(String);

impl SpiffeIdError {
    /// Characters of the text that are told.
    const TOLD: usize = 200;

    fn of(uri: &str) -> Self {
        Self(uri.chars().take(Self::TOLD).collect())
    }
}

/// `spiffe://DOMAIN/ns/NAMESPACE/sa/ACCOUNT`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SpiffeId {
    /// Whose authorities vouch for it.
    pub trust_domain: String,
    /// Namespace of the workload.
    pub namespace: String,
    /// Its service account.
    pub service_account: String,
}

impl SpiffeId {
    /// The id of a service account. An `@` in the trust domain is written `.`, as istiod does.
    pub fn new(trust_domain: &str, namespace: &str, service_account: &str) -> Result<Self, SpiffeIdError> {
        Self::parse(&spiffe_id(trust_domain.replace('@', "."), namespace, service_account))
    }

    /// Reads a URI: after `spiffe://` exactly five parts between slashes, none of them empty.
    pub fn parse(uri: &str) -> Result<Self, SpiffeIdError> {
        let parts: Option<Vec<&str>> = uri.strip_prefix("spiffe://").map(|rest| rest.splitn(6, '/').collect());
        match parts.as_deref() {
            Some([domain, "ns", namespace, "sa", account])
                if ![domain, namespace, account].iter().any(|part| part.is_empty()) =>
            {
                Ok(Self {
                    trust_domain: (*domain).to_owned(),
                    namespace: (*namespace).to_owned(),
                    service_account: (*account).to_owned(),
                })
            }
            _ => Err(SpiffeIdError::of(uri)),
        }
    }

    /// Whether both are of one workload, in whichever trust domains.
    pub fn is_same_workload(&self, other: &Self) -> bool {
        self.namespace == other.namespace && self.service_account == other.service_account
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&spiffe_id(&self.trust_domain, &self.namespace, &self.service_account))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_five_parts_and_is_written_as_it_was_read() {
        let id = SpiffeId::parse("spiffe://cluster.local/ns/default/sa/web").unwrap();
        assert_eq!((&*id.trust_domain, &*id.namespace, &*id.service_account), ("cluster.local", "default", "web"));
        assert_eq!(id.to_string(), "spiffe://cluster.local/ns/default/sa/web");
        for bad in [
            "",
            "cluster.local/ns/a/sa/b",
            "https://td/ns/a/sa/b",
            "spiffe://td/ns/a/sa",
            "spiffe://td/ns/a/sa/b/c",
            "spiffe://td/ns/a/sa/b/",
            "spiffe://td/ns/a/sa/",
            "spiffe:///ns/a/sa/b",
            "spiffe://td/ns//sa/b",
            "spiffe://td/sa/a/ns/b",
        ] {
            assert_eq!(SpiffeId::parse(bad), Err(SpiffeIdError(bad.to_owned())));
        }
    }

    #[test]
    fn an_at_sign_in_a_trust_domain_is_written_as_a_dot() {
        assert_eq!(SpiffeId::new("me@x", "n", "a").unwrap().to_string(), "spiffe://me.x/ns/n/sa/a");
        assert!(SpiffeId::new("td", "n/sa/b", "a").is_err(), "a slash makes no other workload");
    }
}
