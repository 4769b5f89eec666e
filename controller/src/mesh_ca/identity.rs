// SPDX-License-Identifier: Apache-2.0
//! What a service account is called in the mesh. Decides nobody's identity.

use std::fmt;
use std::str::FromStr;

use torana_ir::spiffe_id;

use crate::feed::Account;

/// A trust domain: the authority of a SPIFFE ID (SPIFFE-ID, section 2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustDomain(String);

/// What is no trust domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a trust domain has 1 to 255 lower-case letters, digits, dots, dashes and underscores, like cluster.local")]
pub struct NoTrustDomain;

impl FromStr for TrustDomain {
    type Err = NoTrustDomain;

    fn from_str(text: &str) -> Result<Self, NoTrustDomain> {
        let may = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
        if text.is_empty() || text.len() > 255 || !text.bytes().all(may) {
            return Err(NoTrustDomain);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TrustDomain {
    /// The SPIFFE ID of a service account, in Istio's form.
    pub fn identity(&self, account: &Account) -> String {
        spiffe_id(self, &account.namespace, &account.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_in_the_form_of_istio() {
        let domain: TrustDomain = "cluster.local".parse().unwrap();
        let account = Account { namespace: "shop".to_owned(), name: "cart".to_owned() };
        assert_eq!(domain.identity(&account), "spiffe://cluster.local/ns/shop/sa/cart");
    }

    #[test]
    fn what_would_break_an_identity_is_no_trust_domain() {
        for bad in ["", "A", "a/b", "a@b", "a:1", "a b", "ä", "a%2f", &"a".repeat(256)] {
            assert_eq!(bad.parse::<TrustDomain>(), Err(NoTrustDomain), "{bad:?}");
        }
    }
}
