// SPDX-License-Identifier: Apache-2.0
//! Certificates by ACME (RFC 8555): whoever leads orders what listeners want, sees every order through, and keeps what it
//! did and what came of it in Secrets. What follows from those Secrets (challenges that proxies answer, certificates that
//! they serve, what status says) is translation's: nothing here talks to a proxy.
//!
//! ```text
//! proxies ─Demand─▶ asker ─Consents─▶ vault
//!
//! translation ─Wanted─▶ engine ─▶ attempt ─▶ authority
//!      ▲                             │ ▲
//!      └──────── Secrets ◀── vault ──┘ └── Answers ── proxies
//! ```

pub mod vault;

pub mod dns;

mod service;

mod consents;

mod asker;

mod failure;

mod courier;

mod accounts;

mod record;

mod overview;

pub mod checks;

mod examine;

mod attempt;

mod told;

mod orphans;

mod engine;

#[cfg(test)]
mod simulation;

pub use asker::{Asker, AskerParts, Tally};
pub use attempt::Clock;
pub use checks::{Checks, Reach};
pub use courier::{Connect, Connector};
pub use engine::{Engine, Parts};
pub use examine::examine;
pub use overview::{Stage, Standing, overview, renew};
pub use told::{Happening, Told};
