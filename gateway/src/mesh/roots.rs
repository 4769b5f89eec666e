// SPDX-License-Identifier: Apache-2.0
//! The authorities of a mesh, from several sources. Never looks at what they have signed.

use std::fmt;

use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use torana_ir::{TrustError, authorities};

/// Certificates of authorities, in no order and none of them twice; each can be used.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Roots(Vec<CertificateDer<'static>>);

impl Roots {
    /// One or more certificates in PEM. One that cannot be used makes all of them unusable: nobody would notice that it
    /// is missing.
    pub fn from_pem(pem: &[u8]) -> Result<Self, TrustError> {
        Ok(Self::of(authorities(pem)?))
    }

    /// These and those.
    #[must_use]
    pub fn union(&self, others: &Self) -> Self {
        Self::of(self.0.iter().chain(&others.0).cloned().collect())
    }

    fn of(mut certificates: Vec<CertificateDer<'static>>) -> Self {
        certificates.sort_unstable_by(|one, other| one.as_ref().cmp(other.as_ref()));
        certificates.dedup();
        Self(certificates)
    }

    /// As certificates are checked against them.
    pub(crate) fn store(&self) -> RootCertStore {
        let mut store = RootCertStore::empty();
        // Each can be added, or `authorities` would have refused it.
        store.add_parsable_certificates(self.0.iter().cloned());
        store
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nobody is vouched for.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Roots({})", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::Root;
    use super::*;

    #[test]
    fn a_union_has_no_order_and_nobody_twice() {
        let (a, b) = (Root::new("a"), Root::new("b"));
        let both = Roots::from_pem(format!("{}{}{}", a.pem(), b.pem(), a.pem()).as_bytes()).unwrap();
        assert_eq!((both.len(), both.store().len()), (2, 2));
        assert_eq!(b.roots().union(&a.roots()), both);
        assert_eq!(both.union(&a.roots()), both);
        assert_ne!(a.roots(), b.roots());
    }

    #[test]
    fn one_broken_certificate_breaks_them_all() {
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(Roots::from_pem(format!("{}{broken}", Root::new("a").pem()).as_bytes()).is_err());
        assert!(Roots::from_pem(b"").is_err());
    }
}
