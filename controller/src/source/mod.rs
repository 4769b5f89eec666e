// SPDX-License-Identifier: Apache-2.0
//! Where objects come from: a cluster ([`kubernetes`]), or folders, files and standard input.
//!
//! [`Files`] reads manifests and tells what changed, as [`Event`](crate::store::Event)s of one generation; `watch` says when
//! to look again. Objects pass the door on the way (`door`): what an API server would refuse is refused here.
//! This module makes no Gateway API decision.

mod yaml;

mod disk;

mod analyzer;

mod finding;

mod door;

mod document;

mod file;

mod files;

pub(crate) mod watch;

pub mod kubernetes;

#[cfg(test)]
mod tests;

pub use files::Files;
pub use finding::{Finding, Place};
