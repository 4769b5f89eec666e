// SPDX-License-Identifier: Apache-2.0
//! The proxy's own identity in a mesh: where its certificate comes from, that there is always a valid one, and TLS with
//! those who bear others.
//!
//! It is configured by what starts the process, never by a snapshot. Whoever needs an identity while there is none gets
//! none: nothing here, and nothing that asks here, ever falls back to cleartext.

mod spiffe;

mod roots;

mod client;

mod server;

mod credential;

mod state;

mod source;

mod bundles;

mod authority;

mod folder;

mod board;

mod rotation;

pub use client::AlpnClass;
pub use credential::{Credential, CredentialError, Svid};
pub use roots::Roots;
pub use rotation::Rotation;
pub use source::{AuthorityConfig, FolderConfig, Source};
pub use spiffe::{SpiffeId, SpiffeIdError};
pub use state::{Description, State, Tally};

#[cfg(test)]
mod samples;
