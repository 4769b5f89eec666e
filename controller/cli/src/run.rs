// SPDX-License-Identifier: Apache-2.0
//! `torana run`: both planes in one process. Manifests in, traffic served, until a signal ends it with grace.
//!
//! This is the only place that knows the control plane and the data plane; it carries deltas one way and acks the
//! other, and decides nothing about either.

use std::io::IsTerminal;
use std::sync::Arc;

use anyhow::{Context, bail};
use tokio::sync::mpsc;
use torana_controller::embedded::{Answers, Embedded, View};
use torana_controller::plane::Plane;
use torana_controller::publish::{Ack, Publication, Rejection};
use torana_controller::store::Settings;
use torana_gateway::app::{App, Config, Ending, Labels, Serving, Site, until_signal};
use torana_gateway::feed::{self, Publisher, Word};
use torana_gateway::logging::Logging;
use torana_gateway::table::Table;
use torana_ir::Demand;

use crate::acme::{self, AcmeArgs};
use crate::explain;
use crate::greeting;
use crate::servers::{session_key, settings};
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
    /// Where and how certificates are obtained.
    #[command(flatten)]
    pub acme: AcmeArgs,
    /// How to serve it.
    #[command(flatten)]
    pub serving: Serving,
}

/// Runs until a signal; returns the exit code.
pub fn main(args: &RunArgs) -> anyhow::Result<u8> {
    let logging = args.serving.logging()?;
    let settings = settings(args.serving.admin, args.serving.health);
    let settings = Settings { session_key: session_key()?, ..settings };
    let (acme, vault) = args.acme.open()?;
    let settings = Settings { acme, ..settings };
    let labels = settings.ingress.iter().flat_map(|ingress| ingress.labels.clone()).collect();
    let kept = vault.iter().map(|vault| vault.path().to_owned());
    let files: Vec<_> = args.sources.files.iter().cloned().chain(kept).collect();
    let plane = Plane::open(&files, settings);
    if let Some((path, why)) = plane.missing().next() {
        bail!("{}: {why}", path.display());
    }
    let (sender, publications) = mpsc::channel(QUEUE);
    // The data plane ends only with the process: a generation that it cannot take any more is of no use.
    let embedded = Embedded::start(plane, move |it| drop(sender.blocking_send(it)))?;
    let (publisher, feed) = feed::channel();
    let app = App::start(config(args, (&logging, labels), embedded.view()), feed).context("cannot start")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (demands, heard) = mpsc::channel(acme::DEMANDS);
    let (answers, view) = (embedded.answers(), embedded.view());
    let bridge = Bridge { publisher, publications, answers, demands, view, greeted: false };
    let _ordering = vault.map(|vault| runtime.spawn(acme::order(vault, embedded.acme(), heard)));
    let code = runtime.block_on(serve(&app, bridge, args));
    // First the bridge went, so the control thread is not waiting for it.
    drop(embedded);
    code
}

/// `labels` are those by which Gateways of Istio select it.
fn config(args: &RunArgs, (logging, mut labels): (&Logging, Labels), view: View) -> Config {
    let explain = move |table: &Table, query: &str| explain::answer(table, &view.plane(), query);
    let config = args.serving.config(logging);
    labels.extend(config.site.labels);
    let site = Site { labels, ..config.site };
    Config { explain: Some(Arc::new(explain)), site, ..config }
}

async fn serve(app: &App, mut bridge: Bridge, args: &RunArgs) -> anyhow::Result<u8> {
    match until_signal(app, async move { bridge.run(args).await }).await? {
        Ending::Alone(()) => bail!("the data plane has ended"),
        Ending::Drained(_) => Ok(0),
        Ending::Interrupted => Ok(1),
    }
}

/// Carries generations to the data plane, and back its answers and what clients ask for.
struct Bridge {
    publisher: Publisher,
    publications: mpsc::Receiver<Publication>,
    answers: Answers,
    demands: mpsc::Sender<Demand>,
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
                word = self.publisher.word() => match word {
                    Ok(Word::Ack(ack)) => self.answered(ack, args),
                    // What there is no room for is asked for again.
                    Ok(Word::Demand(demand)) => drop(self.demands.try_send(demand)),
                    Err(_) => return,
                },
            }
        }
    }

    fn answered(&mut self, ack: feed::Ack, args: &RunArgs) {
        let feed::Ack { generation, rejected } = ack;
        let rejected: Vec<_> = rejected.into_iter().map(|(key, reason)| Rejection { key, reason }).collect();
        if !std::mem::replace(&mut self.greeted, true) && std::io::stderr().is_terminal() {
            let servers = [("admin", args.serving.admin.0), ("health", args.serving.health.0)];
            eprint!("{}", greeting::greeting(&self.view.plane(), &rejected, &servers));
        }
        self.answers.ack(Ack { generation, rejected });
    }
}
