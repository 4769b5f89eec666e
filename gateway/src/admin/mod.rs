// SPDX-License-Identifier: Apache-2.0
//! What operators and probes ask: health and metrics on one port, debugging on another.
//!
//! Both run on the control runtime, so they answer while all workers are busy. Both have deadlines and small limits of
//! their own. Neither changes what is in force.

pub mod server;

mod health;

mod debug;

use std::sync::Arc;

use crate::table::Table;

pub(crate) use debug::Debug;
pub(crate) use health::Health;
pub use health::METRICS;
pub(crate) use server::serve;

/// Answers `/debug/explain?QUERY` with JSON, from the table in force and the query as it came; an error is a 400 with
/// its sentence. What a request is, is known to the command line; the answer to it is the table's.
pub type Explain = Arc<dyn Fn(&Table, &str) -> Result<String, String> + Send + Sync>;

/// The level of the process's own log.
pub trait LogLevel: Send + Sync {
    /// As `RUST_LOG` writes it.
    fn level(&self) -> String;
    /// Sets it, or says why not.
    fn set_level(&self, level: &str) -> Result<(), String>;
}

#[cfg(test)]
mod tests;
