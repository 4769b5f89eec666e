// SPDX-License-Identifier: Apache-2.0
//! Black-box harness: objects in, bytes out.
//!
//! A [`World`] is a folder of manifests, a running `torana`, and backends that remember what reached them. Nothing here
//! looks inside Torana.

pub mod ports;

pub mod wire;

pub mod backend;

pub mod world;

pub use backend::{Backend, Seen};
pub use wire::{Connection, Reply};
pub use world::{World, eventually};
