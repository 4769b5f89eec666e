// SPDX-License-Identifier: Apache-2.0
//! Black-box harness: objects in, bytes out.
//!
//! A [`World`] is a folder of manifests, a running `torana`, and backends that remember what reached them. Nothing here
//! looks inside Torana.

pub mod ports;

pub mod program;

pub mod authority;

pub mod credential;

pub mod wire;

pub mod backend;

pub mod echo;

pub mod world;

pub mod child;

pub mod broken;

pub mod clock;

pub use authority::{Authority, Issued};
pub use backend::{Backend, Seen, SeenTls};
pub use child::{Echo, Nginx, Process};
pub use clock::Clock;
pub use credential::{Credential, KeyForm, client};
pub use wire::{Connection, Reply, find};
pub use world::{Printed, World, eventually, torana};
