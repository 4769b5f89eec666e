// SPDX-License-Identifier: Apache-2.0
//! Traces: which requests are followed, what backends are told so that they can go on with a trace, and what is told of a
//! request in the end.
//!
//! ```text
//! fields ─▶ context ─▶ tracer (is it followed?) ─▶ followed, one a request ─▶ spans ─▶ queue ─▶ export
//! ```
//!
//! Knows no protocol of collectors and no clock: times are arguments. Nothing here makes a request wait: a span that finds
//! no room is dropped and counted.

mod ids;

mod w3c;

mod b3;

mod context;

mod span;

mod queue;

mod tracer;

mod followed;

mod attributes;

pub(crate) use attributes::{Attribute, Value};
pub(crate) use context::repeat;
pub(crate) use followed::Served;
pub(crate) use followed::{Followed, Tried};
pub(crate) use ids::SpanId;
pub(crate) use queue::{Arrivals, Item, Spans};
pub(crate) use span::{Kind, Span};
pub(crate) use tracer::{Begun, Came, Tracer};

#[cfg(test)]
mod tests;
