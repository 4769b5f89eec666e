// SPDX-License-Identifier: Apache-2.0
//! What happens to certificates, for whoever counts it or tells people.

use std::fmt;
use std::sync::Arc;

use crate::issuance::Wanted;

/// What happened to a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happening<'a> {
    /// An order was placed.
    Ordered,
    /// It is there, the first of its Secret.
    Issued,
    /// It is there, in the place of another.
    Renewed,
    /// An attempt failed.
    Failed {
        /// Why, in one word.
        reason: &'static str,
        /// For people: what, and what to repair.
        message: &'a str,
    },
}

impl Happening<'_> {
    /// As metrics have it: what came of an attempt, and why. An attempt that has only begun has not come to anything.
    pub fn result(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Ordered => None,
            Self::Issued | Self::Renewed => Some(("issued", "none")),
            Self::Failed { reason, .. } => Some(("failed", reason)),
        }
    }

    /// As an Event has it: its reason, and its note for people.
    pub fn event(self, wanted: &Wanted) -> (&'static str, String) {
        let (secret, issuer) = (&wanted.secret, &wanted.issuer.name);
        match self {
            Self::Ordered => {
                ("CertificateOrdered", format!("the certificate in Secret {secret} is ordered from {issuer}"))
            }
            Self::Issued => ("CertificateIssued", format!("{issuer} has signed the certificate in Secret {secret}")),
            Self::Renewed => ("CertificateRenewed", format!("{issuer} has renewed the certificate in Secret {secret}")),
            Self::Failed { message, .. } => {
                ("ACMEFailed", format!("the certificate in Secret {secret} is not there yet: {message}"))
            }
        }
    }
}

/// Whoever hears.
type Hear = dyn Fn(&Wanted, Happening<'_>) + Send + Sync;

/// Hears what happens.
#[derive(Clone)]
pub struct Told(Arc<Hear>);

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Told")
    }
}

impl Told {
    /// One that calls `hear`.
    pub fn new(hear: impl Fn(&Wanted, Happening<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hear))
    }

    pub(super) fn tell(&self, wanted: &Wanted, happening: Happening<'_>) {
        (self.0)(wanted, happening);
    }
}
