// SPDX-License-Identifier: Apache-2.0
//! Backends that are names: resolved, and resolved again when the answer expires.
//!
//! The last good answer stays while a server does not answer; it is asked again soon.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::balance::BackendState;
use crate::feed::Program;

/// Bounds of an answer's time to live.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(5);
/// After a failure, doubled up to the second.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(30);
/// Of one question, retries included.
const DEADLINE: Duration = Duration::from_secs(10);
/// Wake-up when there is nothing to do.
const IDLE: Duration = Duration::from_hours(1);

/// Addresses, and how long they are good.
type Answer = Result<(Vec<IpAddr>, Duration), String>;

/// Resolves for the life of the process. Asks `server` if given, else whom the system asks.
pub(super) async fn run(program: Program, server: Option<SocketAddr>) {
    match resolver(server) {
        Ok(resolver) => {
            let resolver = Arc::new(resolver);
            Resolving::new(program, move |name| lookup(Arc::clone(&resolver), name)).run().await;
        }
        Err(error) => tracing::error!(%error, "no resolver: backends that are names have no endpoints"),
    }
}

fn resolver(server: Option<SocketAddr>) -> Result<TokioResolver, String> {
    let mut builder = match server {
        Some(server) => TokioResolver::builder_with_config(only(server), TokioRuntimeProvider::default()),
        None => TokioResolver::builder_tokio().map_err(|error| error.to_string())?,
    };
    builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    builder.build().map_err(|error| error.to_string())
}

/// One server, over UDP, and over TCP where an answer is long.
fn only(server: SocketAddr) -> ResolverConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].into_iter().map(|mut connection| {
        connection.port = server.port();
        connection
    });
    ResolverConfig::from_name_servers(vec![NameServerConfig::new(server.ip(), true, connections.collect())])
}

async fn lookup(resolver: Arc<TokioResolver>, name: String) -> Answer {
    // Absolute: an external name is no one's neighbour, and search domains would send it to strangers.
    let found = tokio::time::timeout(DEADLINE, resolver.lookup_ip(format!("{name}."))).await;
    let found = found.map_err(|_| "no answer in time".to_owned())?.map_err(|error| error.to_string())?;
    let good = found.valid_until().saturating_duration_since(std::time::Instant::now());
    Ok((found.iter().collect(), good))
}

/// Name, port, and who asks for them.
type Named = (String, u16, Arc<BackendState>);

/// One name.
struct Entry {
    addresses: Vec<IpAddr>,
    due: Instant,
    retry: Duration,
    asking: bool,
}

struct Resolving<L> {
    program: Program,
    lookup: L,
    entries: BTreeMap<String, Entry>,
    asking: JoinSet<(String, Answer)>,
}

impl<L, F> Resolving<L>
where
    L: Fn(String) -> F,
    F: Future<Output = Answer> + Send + 'static,
{
    fn new(program: Program, lookup: L) -> Self {
        Self { program, lookup, entries: BTreeMap::new(), asking: JoinSet::new() }
    }

    async fn run(mut self) {
        let mut generation = self.program.generation.clone();
        loop {
            self.refresh();
            self.ask(Instant::now());
            let next = self.next();
            tokio::select! {
                changed = generation.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                Some(done) = self.asking.join_next() => {
                    if let Ok((name, answer)) = done {
                        self.answered(&name, answer);
                    }
                }
                () = tokio::time::sleep_until(next) => {}
            }
        }
    }

    /// Forgets names that nobody uses, adds new ones, and gives new backends what is known.
    fn refresh(&mut self) {
        let backends = self.backends();
        let names: BTreeSet<&String> = backends.iter().map(|(name, _, _)| name).collect();
        self.entries.retain(|name, _| names.contains(name));
        let now = Instant::now();
        for (name, port, backend) in &backends {
            let entry = self.entries.entry(name.clone()).or_insert_with(|| Entry {
                addresses: Vec::new(),
                due: now,
                retry: FIRST_RETRY,
                asking: false,
            });
            give(backend, name, *port, &entry.addresses);
        }
    }

    fn ask(&mut self, now: Instant) {
        for (name, entry) in self.entries.iter_mut().filter(|(_, entry)| !entry.asking && entry.due <= now) {
            entry.asking = true;
            let (name, answer) = (name.clone(), (self.lookup)(name.clone()));
            self.asking.spawn(async move { (name, answer.await) });
        }
    }

    fn answered(&mut self, name: &str, answer: Answer) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        entry.asking = false;
        match answer {
            Ok((addresses, good)) if !addresses.is_empty() => {
                entry.addresses = addresses;
                entry.retry = FIRST_RETRY;
                entry.due = Instant::now() + good.clamp(SHORTEST, LONGEST);
            }
            other => {
                let why = other.err().unwrap_or_else(|| "no addresses".to_owned());
                tracing::warn!(name, %why, "a backend's name is not resolved");
                entry.due = Instant::now() + entry.retry;
                entry.retry = (entry.retry * 2).min(LONGEST_RETRY);
            }
        }
    }

    fn next(&self) -> Instant {
        let waiting = self.entries.values().filter(|entry| !entry.asking).map(|entry| entry.due);
        waiting.min().unwrap_or_else(|| Instant::now() + IDLE)
    }

    fn backends(&self) -> Vec<Named> {
        let table = self.program.table.load();
        let named = |backend: &Arc<BackendState>| {
            let (name, port) = backend.dns()?;
            Some((name, port, Arc::clone(backend)))
        };
        table.backends().filter_map(named).collect()
    }
}

fn give(backend: &BackendState, name: &str, port: u16, addresses: &[IpAddr]) {
    let addresses: Vec<SocketAddr> = addresses.iter().map(|address| SocketAddr::new(*address, port)).collect();
    backend.set_addresses(name, &addresses);
}

#[cfg(test)]
mod tests;
