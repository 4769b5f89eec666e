// SPDX-License-Identifier: Apache-2.0
//! The wait for the process to drain. It is polled with every wait of a connection, so a poll that finds nothing new
//! costs a load and takes no lock.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::sync::watch;

/// Resolves when the process drains.
pub(crate) async fn begins(mut drain: watch::Receiver<bool>) {
    // An error means that the process is going down: the same thing.
    let _ = drain.wait_for(|draining| *draining).await.is_ok();
}

/// Ready once the process drains, or is going down.
pub(crate) struct Drained {
    drain: watch::Receiver<bool>,
    waiting: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// Who is woken.
    waker: Option<Waker>,
}

impl Drained {
    pub(crate) fn new(drain: &watch::Receiver<bool>) -> Self {
        Self::then(drain, begins(drain.clone()))
    }

    /// Ready when `waiting` is, which waits for `drain` before all else.
    pub(crate) fn then(drain: &watch::Receiver<bool>, waiting: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { drain: drain.clone(), waiting: Box::pin(waiting), waker: None }
    }

    /// Must not be called again once it was ready.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let unchanged = matches!(self.drain.has_changed(), Ok(false));
        if unchanged && self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        self.waker = Some(cx.waker().clone());
        self.waiting.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test]
    async fn a_drain_wakes_who_waited_whether_it_began_before_or_after() {
        let (sender, receiver) = watch::channel(false);
        let mut drained = Drained::new(&receiver);
        for _ in 0..3 {
            assert!(poll_fn(|cx| Poll::Ready(drained.poll(cx).is_pending())).await);
        }
        let waiting = tokio::spawn(async move { poll_fn(|cx| drained.poll(cx)).await });
        tokio::task::yield_now().await;
        sender.send(true).unwrap();
        waiting.await.unwrap();
        let mut late = Drained::new(&receiver);
        poll_fn(|cx| late.poll(cx)).await;
    }

    #[tokio::test]
    async fn the_end_of_the_process_is_a_drain() {
        let (sender, receiver) = watch::channel(false);
        let mut drained = Drained::new(&receiver);
        assert!(poll_fn(|cx| Poll::Ready(drained.poll(cx).is_pending())).await);
        drop(sender);
        poll_fn(|cx| drained.poll(cx)).await;
    }
}
