// SPDX-License-Identifier: Apache-2.0
//! Torana's own authority for a mesh without Istio: workloads show the token of their service account, and get a
//! certificate with its SPIFFE identity, by the protocol that Istio's agents speak
//! (`istio.v1.auth.IstioCertificateService/CreateCertificate`).
//!
//! ```text
//! workload ── CSR, token ──▶ server ─▶ service ─▶ TokenReview
//!          ◀── leaf, roots ────────────────┴────▶ authority
//! ```
//!
//! Who somebody is, the token says; of a request nothing counts but its key, and that it was signed with it. Every
//! replica serves: they share the authority, and nothing else is to be known. Never gives a certificate on a token that
//! the API server cannot be asked about now: it would outlive the token.

mod identity;

mod request;

mod authority;

mod rate;

mod service;

mod server;

pub use authority::{Authority, DEFAULT_LIFETIME, Issued, LONGEST_LIFETIME, MeshRoot, SignError};
pub use identity::{NoTrustDomain, TrustDomain};
pub use request::Unfit;
pub use server::tls;
pub use service::{MeshCa, Policy};

pub use crate::provision::desired::mesh::{AUDIENCE, ROOTS, ROOTS_KEY, SERVICE};

/// The label of namespaces that want them, with the value `true`.
pub const LABEL: &str = "torana.dev/mesh-ca";

#[cfg(test)]
mod tests;
