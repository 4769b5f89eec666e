// SPDX-License-Identifier: Apache-2.0
//! The process log: one line a record on standard error, its level changeable while running. Libraries that log through
//! the `log` crate (Pingora) are in it too. Access logs are none of its business.

use std::io::{self, IsTerminal};

use anyhow::Context;
use tracing::level_filters::LevelFilter;
use tracing_log::AsLog;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use crate::admin::LogLevel;

/// Libraries that warn of what is nobody's fault: `h2` of what a client does, as often as it does it; `kube_client` of an
/// answer that is no JSON, which is what an API server says of every kind that is not installed. What follows from either
/// is told by ours.
const QUIET: [&str; 2] = ["h2=error", "kube_client=error"];

/// How records look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// The running log.
#[derive(Debug, Clone)]
pub struct Logging {
    filter: reload::Handle<EnvFilter, Registry>,
}

impl Logging {
    /// Starts the log of the process; may be called once. `level` is a level or a list such as
    /// `info,torana_gateway=debug`.
    pub fn start(level: &str, format: LogFormat) -> anyhow::Result<Self> {
        let filter = parse(level).map_err(anyhow::Error::msg).context("--log-level")?;
        let (filter, handle) = reload::Layer::new(filter);
        let lines = fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
        let lines = match format {
            LogFormat::Text => lines.with_target(false).boxed(),
            LogFormat::Json => lines.json().flatten_event(true).boxed(),
        };
        tracing_subscriber::registry().with(filter).with(lines).try_init()?;
        follow();
        Ok(Self { filter: handle })
    }

    /// Changes the level. The error is one sentence.
    pub fn set(&self, level: &str) -> Result<(), String> {
        let filter = parse(level)?;
        self.filter.reload(filter).map_err(|error| error.to_string())?;
        follow();
        Ok(())
    }

    /// The level as it is now.
    pub fn level(&self) -> String {
        let all = self.filter.with_current(ToString::to_string).unwrap_or_default();
        all.split(',').filter(|part| !QUIET.contains(part)).collect::<Vec<_>>().join(",")
    }
}

impl LogLevel for Logging {
    fn level(&self) -> String {
        Self::level(self)
    }

    fn set_level(&self, level: &str) -> Result<(), String> {
        self.set(level)
    }
}

/// The `log` crate has a limit of its own: with it, a record that nobody wants costs one comparison.
fn follow() {
    tracing_log::log::set_max_level(LevelFilter::current().as_log());
}

fn parse(level: &str) -> Result<EnvFilter, String> {
    if level.trim().is_empty() {
        return Err("a level is needed: error, warn, info, debug or trace".to_owned());
    }
    let filter = EnvFilter::try_new(format!("{},{level}", QUIET.join(",")));
    filter.map_err(|error| format!("{level:?} is no log level: {error}"))
}
