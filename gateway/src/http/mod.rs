// SPDX-License-Identifier: Apache-2.0
//! The request path: a connection becomes requests, a request becomes an exchange with one backend.
//!
//! ```text
//! serve ─▶ h1::conn / h2::conn ─gate─▶ request ─Table::route─▶ Plan ─▶ forward ─▶ exchange ─▶ respond, log
//! ```

pub(crate) mod piece;

pub(crate) mod scratch;

pub(crate) mod watchdog;

mod drained;

mod pace;

mod replay;

mod tee;

mod retry;

mod mirror;

mod asking;

pub(crate) mod h1;

pub(crate) mod h2;

mod side;

mod worker;

mod conn;

mod exchange;

mod wait;

mod tries;

mod judge;

mod forward;

mod forwarding;

mod respond;

mod mirrors;

mod visit;

mod record;

mod auth;

mod entry;

mod request;

mod serve;

pub(crate) use conn::Conduct;
pub(crate) use serve::serve;
pub use worker::Worker;

#[cfg(test)]
mod tests;
