// SPDX-License-Identifier: Apache-2.0
//! The wire form: how snapshots travel from a controller to its proxies, and what comes back.
//!
//! ```text
//! proxy ── Hello… ─▶ controller       what it has, by hash; in chunks
//! proxy ◀── Delta… ── controller      one generation, in chunks; the last one is complete
//! proxy ── Ack ────▶ controller       it is in force, but for what is rejected
//! proxy ── Demand ─▶ controller       a client asked for a name of which there is no certificate; at any time
//! ```
//!
//! The envelopes are protobuf, written by hand. The body of a resource is the JSON of its IR type, so there is one
//! definition of both; unknown fields are ignored, and what cannot be read is rejected alone, by its key. A resource's
//! version is the hash of its body: the same on every replica and after a restart. Nothing here sends or receives.

pub mod certificates;

mod body;

use std::fmt;

use bytes::Bytes;

pub use body::{Unreadable, decode, demand, demanded, encode, key, key_text};

/// The one RPC, in both directions a stream: [`Upward`] to the controller, [`Delta`] to the proxy.
pub const PATH: &str = "/torana.feed.v1.Feed/Follow";
/// What a chunk is filled up to, in bytes, unless its only resource is larger.
pub const CHUNK: usize = 1 << 20;
/// Largest body of a resource, in bytes. Larger ones are rejected by the controller: 100,000 endpoints take a quarter.
pub const LARGEST_BODY: usize = 15 << 20;
/// Largest message to a proxy, in bytes.
pub const LARGEST_DELTA: usize = 16 << 20;
/// Largest message to a controller, in bytes.
pub const LARGEST_UPWARD: usize = 4 << 20;
/// Rejected resources that are named in one [`Ack`].
pub const MOST_REJECTED: usize = 2048;
/// Longest reason of a rejection, in bytes.
pub const LONGEST_REASON: usize = 512;
/// Longest name of a [`Demand`], in bytes (RFC 1035 §2.3.4).
pub const LONGEST_HOST: usize = 253;

/// One resource that a proxy has.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Known {
    /// See [`key_text`].
    #[prost(string, tag = "1")]
    pub key: String,
    /// Hash of the body, 16 bytes.
    #[prost(bytes = "bytes", tag = "2")]
    pub hash: Bytes,
}

/// The first words of a proxy; several of them if it knows much.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Hello {
    /// What the proxy calls itself, for the log only: who it is, its token says.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Version of the proxy, for the log only.
    #[prost(string, tag = "2")]
    pub version: String,
    /// What it has.
    #[prost(message, repeated, tag = "3")]
    pub known: Vec<Known>,
    /// The last of them.
    #[prost(bool, tag = "4")]
    pub complete: bool,
}

/// One resource that is not in force, and why.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Rejected {
    /// See [`key_text`].
    #[prost(string, tag = "1")]
    pub key: String,
    /// One sentence.
    #[prost(string, tag = "2")]
    pub reason: String,
}

/// A generation is in force.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Ack {
    /// Which one.
    #[prost(uint64, tag = "1")]
    pub generation: u64,
    /// All that is not in force, at most [`MOST_REJECTED`].
    #[prost(message, repeated, tag = "2")]
    pub rejected: Vec<Rejected>,
}

/// A client asked for a name of which its listener has no certificate, and may get one.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Demand {
    /// The listener, see [`key_text`].
    #[prost(string, tag = "1")]
    pub listener: String,
    /// The name, lower case, at most [`LONGEST_HOST`].
    #[prost(string, tag = "2")]
    pub host: String,
}

/// A message to the controller.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Upward {
    /// What it says; nothing if it is of a later version.
    #[prost(oneof = "Word", tags = "1, 2, 3")]
    pub word: Option<Word>,
}

/// What a proxy says.
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum Word {
    /// First.
    #[prost(message, tag = "1")]
    Hello(Hello),
    /// Then.
    #[prost(message, tag = "2")]
    Ack(Ack),
    /// Whenever it happens; who does not know it ignores it.
    #[prost(message, tag = "3")]
    Demand(Demand),
}

/// A resource that is new or changed. `Debug` does not print the body, which may be a private key.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[prost(skip_debug)]
pub struct Upsert {
    /// See [`key_text`].
    #[prost(string, tag = "1")]
    pub key: String,
    /// Hash of the body, 16 bytes.
    #[prost(bytes = "bytes", tag = "2")]
    pub hash: Bytes,
    /// See [`encode`].
    #[prost(bytes = "bytes", tag = "3")]
    pub body: Bytes,
}

impl fmt::Debug for Upsert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Upsert({}, {} bytes)", self.key, self.body.len())
    }
}

/// A chunk of a generation. A proxy applies all chunks up to the complete one at once.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Delta {
    /// Who leads: a proxy refuses a lower one than it has seen.
    #[prost(uint64, tag = "1")]
    pub epoch: u64,
    /// What is acked.
    #[prost(uint64, tag = "2")]
    pub generation: u64,
    /// New and changed resources.
    #[prost(message, repeated, tag = "3")]
    pub upserts: Vec<Upsert>,
    /// Keys of resources that are gone.
    #[prost(string, repeated, tag = "4")]
    pub removals: Vec<String>,
    /// The last chunk of its generation.
    #[prost(bool, tag = "5")]
    pub complete: bool,
}

#[cfg(test)]
mod tests;
