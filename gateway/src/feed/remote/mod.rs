// SPDX-License-Identifier: Apache-2.0
//! A feed whose controller is elsewhere: one TLS connection, one stream, deltas in, acks out.
//!
//! The connection may be gone for ever: what is in force stays, and is written to the state folder, from which a
//! restarted process serves at once. Nothing here decides what is in force: that is the one path of every feed.

mod connect;

mod pending;

mod state;

mod stream;

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::{Ended, Publisher};
use crate::dial::{self, Backoff};
use state::State;
use stream::Stream;

/// A stream that lived so long was a good one: the next attempt comes soon.
const GOOD: Duration = Duration::from_secs(5);
/// The first pause after a lost stream, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));

/// Where the controller is, and how it and the proxy know each other.
#[derive(Debug, Clone, clap::Args)]
pub struct Remote {
    /// Where the controller's feed is served
    #[arg(long, value_name = "HOST:PORT", env = "TORANA_FEED")]
    pub feed: String,
    /// Certificates (PEM) that the feed's own must be signed by; read again at each connect
    #[arg(long, value_name = "FILE", env = "TORANA_FEED_CA")]
    pub feed_ca: PathBuf,
    /// Token of this pod's service account; read again at each connect
    #[arg(long, value_name = "FILE", env = "TORANA_FEED_TOKEN")]
    pub feed_token: PathBuf,
    /// Name that the feed's certificate must have, by default the host of --feed
    #[arg(long, value_name = "SERVERNAME", env = "TORANA_FEED_NAME")]
    pub feed_name: Option<String>,
    /// Folder, best in memory for there are private keys in it, that the last snapshot is kept in
    #[arg(long, value_name = "DIR", env = "TORANA_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
    /// What this proxy calls itself in the controller's log
    #[arg(long, value_name = "NAME", env = "HOSTNAME", default_value = "", hide_default_value = true)]
    pub pod_name: String,
}

impl Remote {
    /// The name that the server's certificate must have.
    fn server_name(&self) -> &str {
        match &self.feed_name {
            Some(name) => name,
            None => dial::host(&self.feed),
        }
    }
}

/// What was acked last: its epoch and generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    epoch: u64,
    generation: u64,
}

/// Why a stream is over.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error(transparent)]
    Connect(#[from] dial::Failure),
    #[error("no answer")]
    Silent,
    #[error("the controller says: {0}")]
    Refused(String),
    #[error("the controller has closed the stream")]
    Closed,
    #[error("epoch {got} is older than {seen}: another controller has led since")]
    OldEpoch { got: u64, seen: u64 },
    #[error("a generation is too large")]
    TooLarge,
    #[error("the controller does not take acks")]
    Deaf,
    #[error(transparent)]
    Ended(#[from] Ended),
}

/// Follows the controller until the data plane has ended: connects, is programmed, and begins again.
pub async fn run(remote: Remote, mut publisher: Publisher) -> Ended {
    let mut epoch = 0;
    let (marks, marked) = watch::channel(None);
    publisher.stale(true);
    if let Some(folder) = &remote.state_dir {
        let state = State::new(folder);
        match restore(&state, &mut publisher, &mut epoch).await {
            Ok(()) => {}
            Err(ended) => return ended,
        }
        tokio::spawn(state::keep(state, std::sync::Arc::clone(&publisher.snapshot), marked));
    }
    let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
    loop {
        let started = Instant::now();
        let lost = match Stream::open(&remote, &publisher).await {
            Ok(stream) => stream.run(&mut publisher, &mut epoch, &marks).await,
            Err(lost) => lost,
        };
        publisher.stale(true);
        if let Lost::Ended(ended) = lost {
            return ended;
        }
        if started.elapsed() >= GOOD {
            backoff = Backoff::new(PAUSES.0, PAUSES.1);
        }
        let pause = backoff.next(fastrand::f64());
        tracing::warn!(feed = %remote.feed, why = %lost, again_in = ?pause, "no controller: what is in force stays");
        tokio::time::sleep(pause).await;
    }
}

/// Puts in force what was kept, and waits until it is.
async fn restore(state: &State, publisher: &mut Publisher, epoch: &mut u64) -> Result<(), Ended> {
    let Some((mark, delta)) = state.load().await else { return Ok(()) };
    tracing::info!(generation = mark.generation, resources = delta.upserts.len(), "serving the snapshot that was kept");
    *epoch = mark.epoch;
    publisher.publish(mark.generation, delta).await?;
    publisher.ack().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(feed: &str, name: Option<&str>) -> Remote {
        let nowhere = PathBuf::from("/nowhere");
        Remote {
            feed: feed.to_owned(),
            feed_ca: nowhere.clone(),
            feed_token: nowhere,
            feed_name: name.map(str::to_owned),
            state_dir: None,
            pod_name: String::new(),
        }
    }

    #[test]
    fn the_server_is_called_what_it_is_connected_by_unless_it_is_said_otherwise() {
        for (feed, name, expected) in [
            ("torana.torana.svc:15012", None, "torana.torana.svc"),
            ("[::1]:1", None, "::1"),
            ("10.0.0.1:1", Some("torana-feed"), "torana-feed"),
        ] {
            assert_eq!(remote(feed, name).server_name(), expected);
        }
    }
}
