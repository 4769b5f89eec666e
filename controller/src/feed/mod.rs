// SPDX-License-Identifier: Apache-2.0
//! The feed to proxies in other pods: one stream each, deltas down, acks up.
//!
//! ```text
//! publish ─▶ Hub ── Program of each fleet ─▶ session ═ stream ═▶ proxy
//!             │                                 │
//! status ◀── Acks ◀──────── ProxyEvent ─────────┘
//! ```
//!
//! Only the leader serves. Who a proxy is, its token says; which fleet it belongs to, the table that provisioning
//! gives. Memory is bounded: the hub holds the newest program of a fleet, a session what it has sent and one chunk. A
//! slow proxy skips generations, one that does not read is cut. Never makes a Gateway API decision.

mod identity;

mod token;

mod reviewer;

mod review;

mod ca;

mod acks;

mod program;

mod hub;

mod session;

mod server;

pub use crate::ca::{CaError, Serving};
pub use acks::{Acks, Programmed, Proxy, ProxyEvent, SILENCE, Standing};
pub use ca::{Ca, Feed};
pub use hub::{Hub, Members};
pub(crate) use identity::bearer;
pub use identity::{AUDIENCE, Account, Accounts, Authenticate, PodIdentity, Refusal};
pub use review::TokenReviews;
pub use reviewer::Reviewer;
pub use server::tls;
