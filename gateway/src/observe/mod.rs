// SPDX-License-Identifier: Apache-2.0
//! Numbers and lines: metrics and the access log.
//!
//! There is no global state: one [`Metrics`] is made at the start and handed down. Nothing here makes a request wait:
//! what cannot be recorded at once is dropped and counted.

mod nouns;

mod expiry;

mod labels;

mod shelf;

mod measure;

mod page;

mod register;

mod istio;

mod families;

mod metrics;

mod meters;

mod streams;

mod record;

mod watch;

mod line;

mod log;

mod readiness;

pub use self::log::{AccessLog, LogFormat};
pub use meters::{Meters, Outcome, Upgraded};
pub use metrics::{Connected, Metrics};
pub use nouns::{MethodLabel, Nouns, RouteNouns};
pub use page::Page;
pub use readiness::Readiness;
pub use record::{AccessRecord, Text};
pub use streams::{StreamMeters, StreamOutcome};
pub use watch::{Logging, Watch};
