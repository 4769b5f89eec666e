// SPDX-License-Identifier: Apache-2.0
//! Backends at run time: their endpoints, which of them takes the next request, and how many they have in flight.
//!
//! One [`BackendState`] is shared by all routes to it and outlives tables. Nothing here connects or resolves;
//! randomness is an argument.

mod endpoint;

mod pick;

mod budget;

mod backend;

mod weight;

pub use backend::BackendState;
pub use budget::Leave;
pub use endpoint::{Endpoint, EndpointSet, InFlight};
pub use weight::{Turns, Weights};
