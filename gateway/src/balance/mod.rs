// SPDX-License-Identifier: Apache-2.0
//! Backends at run time: their endpoints, which of them takes the next request, how many they have in flight, and which
//! are left out for what became of requests to them.
//!
//! ```text
//! addresses ─▶ set (who is eligible, with which share, until when) ─▶ pick ─▶ a try
//!               ▲                                                               │
//!               └── backend: ejects ◀── health: failures in a row ◀── outcome ──┘
//! ```
//!
//! Where it matters where endpoints stand (`site`), they are in parts, between which load is divided by how many of each
//! are left (`load`): the shares of a set have that in them already, and no pick costs more.
//!
//! One [`BackendState`] is shared by all routes to it and outlives tables. Nothing here connects or resolves;
//! randomness and time are arguments.

mod scramble;

mod weight;

mod warm;

mod health;

mod peer;

mod endpoint;

mod ring;

mod maglev;

mod site;

mod load;

mod members;

mod shares;

mod set;

mod pick;

mod key;

mod budget;

mod usage;

mod source;

mod backend;

pub use backend::BackendState;
pub use budget::Leave;
pub use endpoint::{Endpoint, InFlight};
pub use health::{Outcome, Reason};
pub use key::Key;
pub use peer::Peer;
pub use pick::Draw;
pub use set::EndpointSet;
pub use site::Site;
pub use source::Addresses;
pub use usage::Place;
pub(crate) use usage::Use;
pub use weight::{Turns, Weights};

#[cfg(test)]
mod tests;
