// SPDX-License-Identifier: Apache-2.0
//! How slow a client may be: time in which only the client can move an exchange on is taken from its patience, and
//! every byte that it moves gives some back. A client that drips gets no further than one that has stopped.

use std::time::Duration;

use tokio::time::Instant;
use torana_ir::Limits;

/// The patience with one direction of an exchange. Costs nothing while nobody waits.
#[derive(Debug)]
pub(crate) struct Pace {
    left: Duration,
    most: Duration,
    /// Each byte is worth so many nanoseconds.
    byte: u64,
    /// Bytes that were taken into account; `None` until the client is waited for the first time: what buffers on the
    /// way have swallowed by then says nothing of it.
    counted: Option<u64>,
    waiting: Option<Instant>,
}

impl Pace {
    /// For a client that sends a body.
    pub(crate) fn sending(limits: &Limits) -> Self {
        Self::new(limits.body_grace, limits)
    }

    /// For a client that reads a response.
    pub(crate) fn reading(limits: &Limits) -> Self {
        Self::new(limits.read_grace, limits)
    }

    fn new(left: Duration, limits: &Limits) -> Self {
        let byte = 1_000_000_000 / u64::from(limits.body_rate.max(1));
        Self { left, most: limits.stream_idle.max(left), byte, counted: None, waiting: None }
    }

    /// Of `moved` bytes in all; `waits`: the next one is the client's to send or to take. Gives the deadline for it.
    pub(crate) fn poll(&mut self, moved: u64, waits: bool, now: impl FnOnce() -> Instant) -> Option<Instant> {
        if !waits && self.waiting.is_none() {
            return None;
        }
        let now = now();
        let gained = moved.saturating_sub(self.counted.unwrap_or(moved)).saturating_mul(self.byte);
        self.counted = Some(moved);
        let waited = self.waiting.map_or(Duration::ZERO, |since| now - since);
        self.left = (self.left.saturating_sub(waited) + Duration::from_nanos(gained)).min(self.most);
        self.waiting = waits.then_some(now);
        waits.then(|| now + self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace() -> Pace {
        let seconds = Duration::from_secs;
        Pace::sending(&Limits {
            body_grace: seconds(20),
            body_rate: 500,
            stream_idle: seconds(30),
            ..Limits::default()
        })
    }

    #[test]
    fn a_drip_ends_as_early_as_silence_and_a_stream_does_not_end() {
        let start = Instant::now();
        let rows = [(0, Some(20)), (1, Some(20)), (250, Some(39)), (499, None), (500, None), (100_000, None)];
        for (rate, end) in rows {
            let (mut pace, mut deadline) = (pace(), start + Duration::from_secs(20));
            let over = (0..1_000).find(|second| {
                let now = start + Duration::from_secs(*second);
                let passed = deadline <= now;
                deadline = pace.poll(second * rate, true, || now).unwrap();
                passed
            });
            match end {
                Some(end) => assert!(over.is_some_and(|over| (end..end + 2).contains(&over)), "{rate}: {over:?}"),
                None => assert!(over.is_none_or(|over| rate == 499 && over > 900), "{rate}: {over:?}"),
            }
        }
    }

    #[test]
    fn time_in_which_the_backend_is_waited_for_is_not_the_clients() {
        let start = Instant::now();
        let at = |seconds| move || start + Duration::from_secs(seconds);
        let mut pace = pace();
        assert_eq!(pace.poll(0, true, at(0)), Some(at(20)()));
        assert_eq!(pace.poll(500, false, at(5)), None);
        assert_eq!(pace.poll(500, false, at(100)), None);
        assert_eq!(pace.poll(500, true, at(100)), Some(at(116)()));
    }

    #[test]
    fn what_buffers_swallow_is_not_read_by_anybody() {
        let start = Instant::now();
        assert_eq!(pace().poll(1 << 20, true, || start), Some(start + Duration::from_secs(20)));
    }

    #[test]
    fn a_client_that_was_fast_may_pause_but_not_for_ever() {
        let start = Instant::now();
        let mut pace = pace();
        assert_eq!(pace.poll(0, true, || start), Some(start + Duration::from_secs(20)));
        assert_eq!(pace.poll(1 << 30, true, || start), Some(start + Duration::from_secs(30)));
    }
}
