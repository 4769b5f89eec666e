// SPDX-License-Identifier: Apache-2.0
//! What goes to the proxies and what comes back, as plain data. How it travels is not known here.

use torana_ir::{Delta, ResourceKey};

/// One generation on its way to the proxies: applied as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// From 1, rising by one.
    pub generation: u64,
    /// What changed since the generation before.
    pub delta: Delta,
}

/// A proxy's answer to one generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// The generation that is in force now.
    pub generation: u64,
    /// Resources that the proxy could not use; of these it keeps what it had.
    pub rejected: Vec<Rejection>,
}

/// One resource that a proxy could not use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Which one.
    pub key: ResourceKey,
    /// Why, as one sentence.
    pub reason: String,
}
