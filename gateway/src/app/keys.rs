// SPDX-License-Identifier: Apache-2.0
//! Keys of issuers of tokens, fetched in the background from where policies say they are, and from nowhere else: what a
//! token says of keys is not looked at, and nobody is sent elsewhere by a redirect.

mod fetch;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use torana_ir::{KeyPlace, KeySet};

use self::fetch::Fetcher;
use crate::feed::Program;
use crate::observe::Metrics;
use crate::token::RemoteKeys;

/// Places that are asked at once.
const AT_ONCE: usize = 32;
/// Wake-up when there is nothing to do.
const IDLE: Duration = Duration::from_hours(1);

type Fetched = (Arc<RemoteKeys>, Result<KeySet, String>);

/// Fetches for the life of the process. Asks `server` for addresses if given, else whom the system asks.
pub(super) async fn run(program: Program, server: Option<SocketAddr>, metrics: Arc<Metrics>) {
    let fetcher = match Fetcher::new(server) {
        Ok(fetcher) => Arc::new(fetcher),
        Err(error) => return tracing::error!(%error, "no resolver: tokens whose keys are elsewhere are refused"),
    };
    let mut generation = program.generation.clone();
    let mut jobs: JoinSet<Fetched> = JoinSet::new();
    let mut busy: BTreeSet<KeyPlace> = BTreeSet::new();
    loop {
        let registry = Arc::clone(program.table.load().keys());
        let (now, mut next) = (Instant::now(), Instant::now() + IDLE);
        for keys in registry.all() {
            match keys.due() {
                _ if busy.contains(keys.place()) || jobs.len() >= AT_ONCE => {}
                Some(due) if due > now => next = next.min(due),
                _ => {
                    busy.insert(keys.place().clone());
                    let fetcher = Arc::clone(&fetcher);
                    jobs.spawn(async move {
                        let result = fetcher.fetch(keys.place()).await;
                        (keys, result)
                    });
                }
            }
        }
        tokio::select! {
            changed = generation.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            Some(done) = jobs.join_next() => {
                match done {
                    Ok((keys, result)) => {
                        busy.remove(keys.place());
                        told(&keys, result, &metrics);
                    }
                    // Whose it was is not known: all may be asked anew.
                    Err(_) => busy.clear(),
                }
            }
            () = registry.wanted() => {}
            () = tokio::time::sleep_until(next) => {}
        }
    }
}

fn told(keys: &RemoteKeys, result: Result<KeySet, String>, metrics: &Metrics) {
    metrics.keys_fetched(result.is_ok());
    match &result {
        Ok(_) => tracing::debug!(url = %keys.place().url, "keys of an issuer were fetched"),
        Err(error) => tracing::warn!(url = %keys.place().url, %error, "keys of an issuer cannot be fetched"),
    }
    keys.fetched(result);
}
