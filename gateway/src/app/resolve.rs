// SPDX-License-Identifier: Apache-2.0
//! Backends that are names: resolved, each name by itself, and resolved again when the answer expires.
//!
//! The last good answer stays while a server does not answer; it is asked again soon. Never takes more of an answer than a
//! backend could use.

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
use torana_ir::Endpoints;

use crate::balance::{Addresses, BackendState};
use crate::feed::Program;

/// Bounds of an answer's time to live.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(5);
/// After a failure, doubled up to the second.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(30);
/// Of one question, retries included.
const DEADLINE: Duration = Duration::from_secs(10);
/// Names that are asked for at once; the others wait, those first that are due longest.
const AT_ONCE: usize = 512;
/// Addresses of one answer.
const MOST_ADDRESSES: usize = 1024;
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

/// Asks `server` if given, else whom the system asks.
pub(super) fn resolver(server: Option<SocketAddr>) -> Result<TokioResolver, String> {
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

/// A backend, and where its endpoints come from.
type Named<'t> = (&'t Arc<BackendState>, Arc<Endpoints>);

/// One name.
struct Entry {
    addresses: Addresses,
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
                    // What else has come, too: backends are looked through once for all of it.
                    let mut done = Some(done);
                    while let Some(one) = done {
                        if let Ok((name, answer)) = one {
                            self.answered(&name, answer);
                        }
                        done = self.asking.try_join_next();
                    }
                }
                () = tokio::time::sleep_until(next) => {}
            }
        }
    }

    /// Forgets names that nobody uses, adds new ones, and gives backends what is known.
    fn refresh(&mut self) {
        let table = self.program.table.load();
        let sources = table.backends().map(|backend| (backend, backend.source()));
        let named: Vec<Named<'_>> = sources.filter(|(_, source)| source.names().next().is_some()).collect();
        let names: BTreeSet<&str> =
            named.iter().flat_map(|(_, source)| source.names()).map(|name| &*name.host).collect();
        self.entries.retain(|name, _| names.contains(&**name));
        let now = Instant::now();
        for name in names.into_iter().filter(|name| !self.entries.contains_key(*name)).collect::<Vec<_>>() {
            let entry = Entry { addresses: Addresses::default(), due: now, retry: FIRST_RETRY, asking: false };
            self.entries.insert(name.to_owned(), entry);
        }
        for (backend, _) in named {
            backend.set_answers(|name| self.entries.get(name).map(|entry| Arc::clone(&entry.addresses)));
        }
    }

    fn ask(&mut self, now: Instant) {
        let room = AT_ONCE.saturating_sub(self.asking.len());
        let due = self.entries.iter_mut().filter(|(_, entry)| !entry.asking && entry.due <= now);
        let mut due: Vec<_> = due.collect();
        due.sort_by_key(|(_, entry)| entry.due);
        for (name, entry) in due.into_iter().take(room) {
            entry.asking = true;
            let (name, answer) = (name.clone(), (self.lookup)(name.clone()));
            self.asking.spawn(async move { (name, answer.await) });
        }
    }

    fn answered(&mut self, name: &str, answer: Answer) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        entry.asking = false;
        match answer.map(|(addresses, good)| (usable(&addresses), good)) {
            Ok((addresses, good)) if !addresses.is_empty() => {
                entry.addresses = addresses.into();
                entry.retry = FIRST_RETRY;
                entry.due = Instant::now() + good.clamp(SHORTEST, LONGEST);
            }
            other => {
                let why = other.err().unwrap_or_else(|| "no address that can be connected to".to_owned());
                tracing::warn!(name, %why, "a backend's name is not resolved");
                entry.due = Instant::now() + entry.retry;
                entry.retry = (entry.retry * 2).min(LONGEST_RETRY);
            }
        }
    }

    fn next(&self) -> Instant {
        let is_full = self.asking.len() >= AT_ONCE;
        let waiting = self.entries.values().filter(|entry| !entry.asking && !is_full).map(|entry| entry.due);
        waiting.min().unwrap_or_else(|| Instant::now() + IDLE)
    }
}

/// What can be connected to, as many as a backend takes; of more the same ones each time, in whatever order they come.
fn usable(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let mut usable: Vec<_> = addresses.iter().map(IpAddr::to_canonical).collect();
    usable.retain(|address| !address.is_unspecified() && !address.is_multicast());
    if usable.len() > MOST_ADDRESSES {
        usable.sort_unstable();
        usable.dedup();
        usable.truncate(MOST_ADDRESSES);
    }
    usable
}

#[cfg(test)]
mod tests;
