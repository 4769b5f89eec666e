// SPDX-License-Identifier: Apache-2.0
//! The data plane as a whole: what is started, in which order, and how it ends.

mod files;

mod resolve;

mod keys;

mod duration;

mod identity;

mod serving;

mod ending;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Mutex, watch};

use crate::admin::{self, Debug, Health};
use crate::checks;
use crate::export::{Exporter, Resource};
use crate::feed::{Feed, Programming};
use crate::http::Worker;
use crate::listen::{Admission, Workers};
use crate::mesh::{Rotation, Source, State, Tally};
use crate::observe::{AccessLog, Metrics, Readiness};
use crate::table::Table;
use crate::trace::{Arrivals, Spans};
use crate::upstream::{Introduction, Standing};

pub use crate::admin::{Explain, LogLevel};
pub use crate::balance::Site;
pub use crate::listen::Caps;
pub use crate::observe::LogFormat;

pub use ending::{Ending, until_signal};
pub use identity::MeshIdentity;
pub use serving::{Labels, Server, Serving};

/// The blocker of a process that drains.
const DRAINING: &str = "draining";
/// How often children of metrics that nobody needs are looked for.
const SWEEP: Duration = Duration::from_secs(10);
/// How often a drain looks whether the last connection is gone.
const DRAIN_TICK: Duration = Duration::from_millis(20);
/// What spans of the last requests get to be told.
const LAST_SPANS: Duration = Duration::from_secs(2);
/// What the writer of the log gets to finish.
const LAST_LINES: Duration = Duration::from_secs(2);

/// How the data plane runs. All of it is fixed for the life of the process.
#[derive(Clone)]
pub struct Config {
    /// Worker threads; 0 means one a core.
    pub workers: usize,
    /// Where debugging is served, if it is.
    pub admin: Option<SocketAddr>,
    /// Where health and metrics are served, if they are.
    pub health: Option<SocketAddr>,
    /// What the access log on standard output looks like.
    pub access_log: LogFormat,
    /// A drain begins with this long of being not ready and accepting all the same, until load balancers have seen it.
    pub pre_stop: Duration,
    /// Requests that are in flight when a drain stops accepting get this long.
    pub drain_deadline: Duration,
    /// The DNS server that backends that are names are asked of; by default those of the system.
    pub resolver: Option<SocketAddr>,
    /// What the proxies are called in Istio's metrics; by default as their Gateway.
    pub workload: Option<String>,
    /// Where its identity in a mesh comes from; `None`: it has none, and workloads that take nothing else are not reached.
    pub identity: Option<Source>,
    /// Caps on clients' connections; by default what the limit of open files allows.
    pub caps: Option<Caps>,
    /// Where it stands, which decides who is near.
    pub site: Site,
    /// Answers `/debug/explain`.
    pub explain: Option<Explain>,
    /// Answers `/log-level`.
    pub log_level: Option<Arc<dyn LogLevel>>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            workers: 0,
            admin: None,
            health: None,
            access_log: LogFormat::Json,
            pre_stop: Duration::ZERO,
            drain_deadline: Duration::from_secs(30),
            resolver: None,
            workload: None,
            identity: None,
            caps: None,
            site: Site::default(),
            explain: None,
            log_level: None,
        }
    }
}

/// A running data plane. Dropping it cuts what is left of its connections.
pub struct App {
    /// `None` once it is dropped.
    control: Option<Runtime>,
    workers: Arc<Mutex<Workers>>,
    admission: Arc<Admission>,
    readiness: Readiness,
    metrics: Arc<Metrics>,
    log: AccessLog,
    spans: Spans,
    drain: watch::Sender<bool>,
    config: Config,
}

impl App {
    /// Starts everything; it serves what `feed` brings. An error means that a thread, or the address for health or
    /// debugging, is not to be had.
    pub fn start(config: Config, feed: Feed) -> io::Result<Self> {
        let metrics = Arc::new(Metrics::new().of(config.workload.clone()));
        let log = AccessLog::start(config.access_log, io::stdout(), &metrics)?;
        let readiness = Readiness::default();
        let table = Arc::new(ArcSwap::from_pointee(Table::of(config.site.clone())));
        let (drain, draining) = watch::channel(false);
        let admission = Admission::new(config.caps.unwrap_or_else(|| Caps::for_open_files(files::most_open())));
        let identity = Rotation::new(config.identity.clone());
        let standing = Standing::new(identity.states().borrow().clone(), introduction(&config));
        let shared = || (Arc::clone(&table), standing.clone(), Arc::clone(&feed.demands));
        let (spans, arrivals) = Spans::channel(&metrics);
        let sinks = || (log.clone(), spans.clone());
        let worker = |_| Worker::new(shared(), Arc::clone(&metrics), sinks(), draining.clone());
        let started = Workers::start((0..workers(config.workers)).map(worker).collect(), &admission)?;
        let workers = Arc::new(Mutex::new(started));
        let programming = Programming::new(table, Arc::clone(&workers), Arc::clone(&metrics), readiness.clone(), feed);
        let control = Builder::new_multi_thread().worker_threads(1).thread_name("control").enable_all().build()?;
        let app = Self { control: Some(control), workers, admission, readiness, metrics, log, spans, drain, config };
        app.control(programming, identity, (standing, arrivals))?;
        Ok(app)
    }

    /// Ends with grace: not ready, then no new connections and no further requests on the old ones, then the end of
    /// what is in flight or of its time. Returns the connections that had to be left.
    pub async fn drain(&self) -> usize {
        self.readiness.block(DRAINING);
        tokio::time::sleep(self.config.pre_stop).await;
        self.workers.lock().await.close_all().await;
        self.drain.send_replace(true);
        let deadline = Instant::now() + self.config.drain_deadline;
        while self.admission.connections() > 0 && Instant::now() < deadline {
            tokio::time::sleep(DRAIN_TICK).await;
        }
        self.spans.flush(LAST_SPANS).await;
        let log = self.log.clone();
        // The writer ends with the process: nothing is to be done about lines that it cannot write.
        tokio::task::spawn_blocking(move || log.flush(LAST_LINES)).await.ok();
        self.admission.connections()
    }

    /// The numbers, in the Prometheus text format.
    pub fn metrics(&self) -> String {
        self.metrics.render()
    }

    /// Starts what runs beside the workers.
    fn control(
        &self,
        programming: Programming,
        identity: Rotation,
        (standing, arrivals): (Standing, Arrivals),
    ) -> io::Result<()> {
        let Some(control) = &self.control else { return Ok(()) };
        let program = programming.program();
        let _inside = control.enter();
        if let Some(address) = self.config.health {
            let (metrics, readiness) = (Arc::clone(&self.metrics), self.readiness.clone());
            let health = Health { metrics, readiness, standing: standing.clone() };
            control.spawn(admin::serve(bound(address)?, Arc::new(health)));
        }
        if let Some(address) = self.config.admin {
            let (explain, log_level) = (self.config.explain.clone(), self.config.log_level.clone());
            let debug = Debug { program: program.clone(), explain, log_level, standing: standing.clone() };
            control.spawn(admin::serve(bound(address)?, Arc::new(debug)));
        }
        let tally = identity.tally();
        control.spawn(sweep(Arc::clone(&self.metrics), Arc::clone(&program.table), Arc::clone(&tally)));
        control.spawn(follow(identity.states(), standing.clone(), (Arc::clone(&self.metrics), tally)));
        control.spawn(identity.run());
        let exporter = Exporter::new(program.clone(), standing.clone(), Arc::clone(&self.metrics));
        control.spawn(exporter.run(arrivals, self.config.resource()));
        control.spawn(checks::run(program.clone(), standing, Arc::clone(&self.metrics)));
        control.spawn(keys::run(program.clone(), self.config.resolver, Arc::clone(&self.metrics)));
        control.spawn(resolve::run(program, self.config.resolver));
        control.spawn(programming.run());
        Ok(())
    }
}

impl Drop for App {
    fn drop(&mut self) {
        if let Some(control) = self.control.take() {
            // Waiting is not allowed where an `App` may be dropped.
            control.shutdown_background();
        }
    }
}

async fn sweep(metrics: Arc<Metrics>, table: Arc<ArcSwap<Table>>, tally: Arc<Tally>) {
    let mut tick = tokio::time::interval(SWEEP);
    loop {
        tick.tick().await;
        metrics.sweep(Instant::now());
        metrics.identity(&tally);
        let table = table.load_full();
        // Where nothing is asked for, nobody else notices that an ejection is over.
        table.backends().for_each(|backend| backend.refresh(Instant::now));
        let ejected = table.backends().map(|backend| (backend.key(), backend.ejected()));
        metrics.ejected(ejected.filter(|(_, count)| *count > 0));
    }
}

/// Puts every identity in force as it comes.
async fn follow(mut states: watch::Receiver<State>, standing: Standing, (metrics, tally): (Arc<Metrics>, Arc<Tally>)) {
    loop {
        standing.put(states.borrow_and_update().clone());
        metrics.identity(&tally);
        if states.changed().await.is_err() {
            return;
        }
    }
}

impl Config {
    /// Who spans come from.
    fn resource(&self) -> Resource {
        let namespace = self.identity.as_ref().and_then(Source::namespace).map(str::to_owned);
        Resource::of(namespace, |name| std::env::var(name).ok())
    }
}

fn introduction(config: &Config) -> Introduction {
    let cluster = config.identity.as_ref().and_then(Source::cluster).map(str::to_owned);
    Introduction { cluster, workload: config.workload.clone(), locality: config.site.locality.clone() }
}

/// Must be called inside a runtime.
fn bound(address: SocketAddr) -> io::Result<TcpListener> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{address}: {error}"));
    let listener = std::net::TcpListener::bind(address).map_err(named)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

fn workers(asked: usize) -> usize {
    match asked {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        some => some,
    }
}

#[cfg(test)]
mod tests;
