// SPDX-License-Identifier: Apache-2.0
//! What is written back to the API server: status of objects, and Events about them.
//!
//! ```text
//! Report ──────┐                                 ┌── watch: what is stored
//! Acks ─ Programmed ─▶ patches ◀── Stored ◀──────┤
//!                         │                      │
//!         Queue ─▶ Board ─┴─▶ writer ──▶ API server ◀── recorder ◀── events
//! ```
//!
//! The pure parts decide ([`patches`], [`events`], `actual`, `merge`, `queue`); the [`Board`] holds what they decide
//! from; [`writer`] and [`recorder`] carry it. A patch is computed at the moment it is sent, from the newest report and
//! the newest stored status, so a burst of changes is one write, and a conflict is only a reason to compute again.
//!
//! Nothing here makes a Gateway API decision: what a condition says is the [`crate::report::Report`]'s, and whether it
//! has come true is the proxies'.

pub mod features;

pub mod programmed;

mod actual;

pub mod stored;

mod merge;

pub mod patches;

pub mod events;

mod queue;

mod changes;

mod board;

mod call;

pub mod writer;

pub mod recorder;

pub use board::Board;
pub use programmed::{Address, Programmed, Proxies, Standing};
pub use stored::Stored;
