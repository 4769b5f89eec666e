// SPDX-License-Identifier: Apache-2.0
//! One timer a connection, moved lazily: setting a later deadline costs a store, not a timer operation.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep};

/// Fires once the deadline has passed; re-arms itself if the deadline has moved on meanwhile.
#[derive(Default)]
pub(crate) struct Watchdog {
    sleep: Option<Pin<Box<Sleep>>>,
    deadline: Option<Instant>,
}

impl Watchdog {
    /// Moves the deadline; `None` switches it off.
    pub(crate) fn set(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }

    /// Ready when the deadline has passed.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let Some(deadline) = self.deadline else { return Poll::Pending };
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
            if deadline < sleep.deadline() {
                sleep.as_mut().reset(deadline);
            }
            ready!(sleep.as_mut().poll(cx));
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_moved_on_is_kept() {
        let start = Instant::now();
        let mut watchdog = Watchdog::default();
        watchdog.set(Some(start + Duration::from_secs(1)));
        assert!(poll_fn(|cx| Poll::Ready(watchdog.poll(cx).is_pending())).await);
        watchdog.set(Some(start + Duration::from_secs(3)));
        poll_fn(|cx| watchdog.poll(cx)).await;
        assert_eq!(start.elapsed().as_secs(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_moved_back_fires_early() {
        let start = Instant::now();
        let mut watchdog = Watchdog::default();
        watchdog.set(Some(start + Duration::from_secs(9)));
        assert!(poll_fn(|cx| Poll::Ready(watchdog.poll(cx).is_pending())).await);
        watchdog.set(Some(start + Duration::from_secs(2)));
        poll_fn(|cx| watchdog.poll(cx)).await;
        assert_eq!(start.elapsed().as_secs(), 2);
    }
}
