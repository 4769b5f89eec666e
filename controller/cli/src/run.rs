// SPDX-License-Identifier: Apache-2.0
//! `torana run`: both planes in one process. Manifests in, traffic served, until a signal ends it with grace.
//!
//! This is the only place that knows the control plane and the data plane; it carries deltas one way and acks the
//! other, and decides nothing about either.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use torana_controller::embedded::{Answers, Embedded, View};
use torana_controller::plane::Plane;
use torana_controller::publish::{Ack, Publication, Rejection};
use torana_controller::store::Settings;
use torana_gateway::app::{App, Config, LogLevel};
use torana_gateway::feed::{self, Publisher};
use torana_gateway::observe::LogFormat as AccessLog;

use crate::explain;
use crate::greeting;
use crate::logging::{LogFormat, Logging};
use crate::servers::{Server, session_key, settings};
use crate::sources::Sources;

/// Generations that may wait for the data plane.
const QUEUE: usize = 4;

/// Arguments of `torana run`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  torana run -f deploy/examples/quickstart
  torana run -f /etc/torana --admin off --access-log off --workers 4
  TORANA_FILE=/etc/torana TORANA_LOG_FORMAT=json torana run

Saving a file re-programs the gateway; SIGTERM or Ctrl-C ends it with grace, a second one at once.")]
pub struct RunArgs {
    /// What to serve.
    #[command(flatten)]
    pub sources: Sources,
    /// Where debugging is served, or off
    #[arg(long, value_name = "ADDRESS", default_value_t = Server::ADMIN, env = "TORANA_ADMIN")]
    pub admin: Server,
    /// Where health and metrics are served, or off
    #[arg(long, value_name = "ADDRESS", default_value_t = Server::HEALTH, env = "TORANA_HEALTH")]
    pub health: Server,
    /// Worker threads; 0 means one a core
    #[arg(long, value_name = "N", default_value_t = 0, env = "TORANA_WORKERS")]
    pub workers: usize,
    /// Access log on standard output: json, text or off
    #[arg(long, value_name = "FORMAT", default_value = "json", env = "TORANA_ACCESS_LOG")]
    pub access_log: AccessLog,
    /// DNS server that backends with an externalName are asked of, instead of those of the system
    #[arg(long, value_name = "ADDRESS", env = "TORANA_RESOLVER")]
    pub resolver: Option<SocketAddr>,
    /// Level of the log on standard error: error, warn, info, debug, trace, or a list like info,torana_gateway=debug
    #[arg(long, value_name = "LEVEL", default_value = "info", env = "TORANA_LOG_LEVEL")]
    pub log_level: String,
    /// Format of the log on standard error
    #[arg(long, value_enum, default_value_t = LogFormat::Text, env = "TORANA_LOG_FORMAT")]
    pub log_format: LogFormat,
    /// How long requests in flight get when the gateway ends
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration, env = "TORANA_DRAIN_DEADLINE")]
    pub drain_deadline: Duration,
    /// How long the gateway still accepts after it says that it is not ready any more
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration, env = "TORANA_PRE_STOP")]
    pub pre_stop: Duration,
}

fn duration(text: &str) -> Result<Duration, String> {
    torana_crds::parse_duration(text).ok_or_else(|| "write a duration like 500ms, 30s or 1m30s".to_owned())
}

impl LogLevel for Logging {
    fn level(&self) -> String {
        Self::level(self)
    }

    fn set_level(&self, level: &str) -> Result<(), String> {
        self.set(level)
    }
}

/// Runs until a signal; returns the exit code.
pub fn main(args: &RunArgs) -> anyhow::Result<u8> {
    let logging = Logging::start(&args.log_level, args.log_format)?;
    let settings = Settings { session_key: session_key()?, ..settings(args.admin, args.health) };
    let plane = Plane::open(&args.sources.files, settings);
    if let Some((path, why)) = plane.missing().next() {
        bail!("{}: {why}", path.display());
    }
    let (sender, publications) = mpsc::channel(QUEUE);
    // The data plane ends only with the process: a generation that it cannot take any more is of no use.
    let embedded = Embedded::start(plane, move |it| drop(sender.blocking_send(it)))?;
    let (publisher, feed) = feed::channel();
    let app = App::start(config(args, &logging, embedded.view()), feed).context("cannot start")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let bridge = Bridge { publisher, publications, answers: embedded.answers(), view: embedded.view(), greeted: false };
    let code = runtime.block_on(serve(&app, bridge, args));
    // First the bridge went, so the control thread is not waiting for it.
    drop(embedded);
    code
}

fn config(args: &RunArgs, logging: &Logging, view: View) -> Config {
    Config {
        workers: args.workers,
        admin: args.admin.0,
        health: args.health.0,
        access_log: args.access_log,
        pre_stop: args.pre_stop,
        drain_deadline: args.drain_deadline,
        resolver: args.resolver,
        explain: Some(Arc::new(move |table, query| explain::answer(table, &view.plane(), query))),
        log_level: Some(Arc::new(logging.clone())),
        ..Config::default()
    }
}

async fn serve(app: &App, mut bridge: Bridge, args: &RunArgs) -> anyhow::Result<u8> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        () = bridge.run(args) => bail!("the data plane has ended"),
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    drop(bridge);
    tracing::info!("draining");
    tokio::select! {
        left = app.drain() => {
            tracing::info!(connections_cut = left, "ended");
            Ok(0)
        }
        _ = terminate.recv() => Ok(1),
        _ = interrupt.recv() => Ok(1),
    }
}

/// Carries generations to the data plane and its answers back.
struct Bridge {
    publisher: Publisher,
    publications: mpsc::Receiver<Publication>,
    answers: Answers,
    view: View,
    greeted: bool,
}

impl Bridge {
    /// Returns when either end is gone.
    async fn run(&mut self, args: &RunArgs) {
        loop {
            tokio::select! {
                publication = self.publications.recv() => {
                    let Some(Publication { generation, delta }) = publication else { return };
                    if self.publisher.publish(generation, delta).await.is_err() {
                        return;
                    }
                }
                ack = self.publisher.ack() => {
                    let Ok(ack) = ack else { return };
                    self.answered(ack, args);
                }
            }
        }
    }

    fn answered(&mut self, ack: feed::Ack, args: &RunArgs) {
        let feed::Ack { generation, rejected } = ack;
        let rejected: Vec<_> = rejected.into_iter().map(|(key, reason)| Rejection { key, reason }).collect();
        if !std::mem::replace(&mut self.greeted, true) && std::io::stderr().is_terminal() {
            let servers = [("admin", args.admin.0), ("health", args.health.0)];
            eprint!("{}", greeting::greeting(&self.view.plane(), &rejected, &servers));
        }
        self.answers.ack(Ack { generation, rejected });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        assert!(duration("30").is_err());
    }
}
