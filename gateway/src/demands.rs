// SPDX-License-Identifier: Apache-2.0
//! Names that clients ask for and that there is no certificate of yet: told to whoever programs the proxy, each once in a
//! while, while their clients wait. Strangers ask for anything, so that everything here has a cap: what is beyond it is
//! not told, and does not wait.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use foldhash::fast::RandomState;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, timeout_at};
use torana_ir::Demand;

/// So long after a name was told clients wait for its certificate: less than they have for a handshake.
const PATIENCE: Duration = Duration::from_secs(8);
/// A name is told again after so long, if it is still asked for.
const AGAIN: Duration = Duration::from_mins(1);
/// Names that are remembered, and so told within [`AGAIN`].
const MOST_NAMES: usize = 4096;
/// Clients that wait.
const MOST_WAITING: usize = 512;
/// Demands on their way.
const QUEUE: usize = 256;

/// Where demands are told.
#[derive(Debug)]
pub(crate) struct Demands {
    told: Sender<Demand>,
    /// When each was told last.
    names: Mutex<HashMap<Demand, Instant, RandomState>>,
    waiting: Semaphore,
    renewal: Notify,
}

impl Demands {
    pub(crate) fn channel() -> (Arc<Self>, Receiver<Demand>) {
        let (told, demands) = mpsc::channel(QUEUE);
        let (names, waiting) = (Mutex::default(), Semaphore::new(MOST_WAITING));
        (Arc::new(Self { told, names, waiting, renewal: Notify::new() }), demands)
    }

    /// What is served has changed: who waits looks again.
    pub(crate) fn renewed(&self) {
        self.renewal.notify_waiters();
    }

    /// Tells `demand`, and waits until it is met, for as long as clients of that name wait.
    pub(crate) async fn wait(&self, demand: Demand, is_met: impl Fn() -> bool) {
        let Some(until) = self.tell(demand, Instant::now()) else { return };
        let Ok(_place) = self.waiting.try_acquire() else { return };
        let met = async {
            loop {
                // Enabled before it is looked, so that no change is missed.
                let mut renewed = pin!(self.renewal.notified());
                renewed.as_mut().enable();
                if is_met() {
                    return;
                }
                renewed.await;
            }
        };
        // The handshake goes on in either case.
        timeout_at(until, met).await.ok();
    }

    /// Until when it is worth waiting, if it is.
    fn tell(&self, demand: Demand, now: Instant) -> Option<Instant> {
        // What is guarded is whole after every step.
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(told) = names.get(&demand).filter(|told| now < **told + AGAIN) {
            return Some(*told + PATIENCE).filter(|until| now < *until);
        }
        if names.len() >= MOST_NAMES {
            names.retain(|_, told| now < *told + AGAIN);
        }
        if names.len() >= MOST_NAMES || self.told.try_send(demand.clone()).is_err() {
            return None;
        }
        names.insert(demand, now);
        Some(now + PATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use torana_ir::{GatewayId, ListenerKey};

    use super::*;

    fn demand(host: &str) -> Demand {
        let gateway = GatewayId { namespace: "n".to_owned(), name: "edge".to_owned() };
        Demand::new(ListenerKey { gateway, set: None, name: "https".to_owned() }, host).unwrap()
    }

    #[tokio::test]
    async fn a_name_is_told_once_a_minute_and_waited_for_a_few_seconds() {
        let (demands, mut told) = Demands::channel();
        let now = Instant::now();
        assert_eq!(demands.tell(demand("a.example"), now), Some(now + PATIENCE));
        let later = now + Duration::from_secs(5);
        assert_eq!(demands.tell(demand("a.example"), later), Some(now + PATIENCE), "it is not told again");
        assert_eq!(demands.tell(demand("a.example"), now + PATIENCE), None, "nor waited for");
        assert_eq!(demands.tell(demand("b.example"), now), Some(now + PATIENCE), "others are");
        assert_eq!(demands.tell(demand("a.example"), now + AGAIN), Some(now + AGAIN + PATIENCE));
        let mut names = Vec::new();
        while let Ok(told) = told.try_recv() {
            names.push(told.host.to_string());
        }
        assert_eq!(names, ["a.example", "b.example", "a.example"]);
    }

    #[tokio::test]
    async fn strangers_fill_nothing_without_bound_and_are_forgotten() {
        let (demands, mut told) = Demands::channel();
        let now = Instant::now();
        for at in 0..MOST_NAMES {
            assert!(demands.tell(demand(&format!("n{at}.example")), now).is_some());
            assert!(told.try_recv().is_ok());
        }
        assert_eq!(demands.tell(demand("one-more.example"), now), None);
        assert!(demands.tell(demand("one-more.example"), now + AGAIN).is_some());
        assert_eq!(demands.names.lock().unwrap().len(), 1);
        for at in 0..QUEUE {
            demands.tell(demand(&format!("q{at}.example")), now + AGAIN);
        }
        assert_eq!(demands.tell(demand("nobody-listens.example"), now + AGAIN), None);
    }

    #[tokio::test]
    async fn who_waits_goes_on_when_it_is_met() {
        let (demands, _told) = Demands::channel();
        let met = Arc::new(AtomicBool::new(false));
        let (waiting, seen) = (Arc::clone(&demands), Arc::clone(&met));
        let client = tokio::spawn(async move {
            waiting.wait(demand("a.example"), || seen.load(Ordering::SeqCst)).await;
        });
        tokio::task::yield_now().await;
        demands.renewed();
        tokio::task::yield_now().await;
        assert!(!client.is_finished(), "something else has changed");
        met.store(true, Ordering::SeqCst);
        demands.renewed();
        client.await.unwrap();
    }
}
