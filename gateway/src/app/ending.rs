// SPDX-License-Identifier: Apache-2.0
//! The life of a serving process from its start to a signal, and its end with grace. Says nothing of exit codes.

use std::io;
use std::pin::pin;

use tokio::signal::unix::{SignalKind, signal};

use super::App;

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending<T> {
    /// What ran beside it ended first.
    Alone(T),
    /// After a signal; so many connections had to be cut.
    Drained(usize),
    /// A second signal came before the end of the drain.
    Interrupted,
}

/// Runs `beside` until SIGTERM or SIGINT, then drains `app`; a second signal ends that. `beside` goes on meanwhile:
/// endpoints come and go while requests are still in flight.
pub async fn until_signal<T>(app: &App, beside: impl Future<Output = T>) -> io::Result<Ending<T>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut beside = pin!(beside);
    tokio::select! {
        done = &mut beside => return Ok(Ending::Alone(done)),
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("draining");
    let mut drain = pin!(app.drain());
    let mut goes_on = true;
    loop {
        tokio::select! {
            left = &mut drain => {
                tracing::info!(connections_cut = left, "ended");
                return Ok(Ending::Drained(left));
            }
            _ = &mut beside, if goes_on => goes_on = false,
            _ = terminate.recv() => return Ok(Ending::Interrupted),
            _ = interrupt.recv() => return Ok(Ending::Interrupted),
        }
    }
}
