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

mod review;

mod ca;

mod acks;

mod program;

mod hub;

mod admission;

mod session;

mod server;

pub use acks::{Acks, Programmed, Proxy, ProxyEvent, SILENCE, Standing};
pub use ca::{Ca, CaError, Serving};
pub use hub::{Hub, Members};
pub use identity::{AUDIENCE, Authenticate, PodIdentity, Refusal};
pub use review::TokenReviews;
pub use server::tls;
