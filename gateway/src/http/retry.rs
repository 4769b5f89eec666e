// SPDX-License-Identifier: Apache-2.0
//! The tries that a rule allows a request beyond its first (`HTTPRouteRule.retry`): how many are left, when the next may
//! begin, and why there is none. It sends nothing and waits for nothing.
//!
//! Whatever a try is for, it counts. A request keeps its share of the backend's budget from its second try to its end.

use std::time::Duration;

use tokio::time::Instant;
use torana_ir::Retry;

use crate::balance::{BackendState, Leave};
use crate::grpc;
use crate::head::ResponseHead;

/// Wait before a try if the rule names none, and before one on an endpoint that has not failed: none.
const BASE: Duration = Duration::from_millis(25);

/// A wait is not longer than so many times the base …
const MOST_TIMES: u32 = 10;

/// … and not longer than this, unless the base is.
const LONGEST: Duration = Duration::from_secs(30);

/// Why an answer that the rule would not have passed on is passed on though tries are left: a word of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denied {
    /// Its body is larger than what is kept, and part of it has gone.
    Body,
    /// Too many requests of the backend are being tried again.
    Budget,
    /// The request's deadline would pass before the try begins.
    Deadline,
}

impl Denied {
    /// As the log writes it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Body => "body_too_large",
            Self::Budget => "budget",
            Self::Deadline => "deadline",
        }
    }
}

/// What is asked of the rule after a try.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    /// What was taken of the request can be sent again.
    pub(crate) replayable: bool,
    /// The next try goes to an endpoint that has not failed, and nothing was sent by this one.
    pub(crate) elsewhere: bool,
}

/// The tries of one request.
pub(crate) struct Retries<'a> {
    policy: Option<&'a Retry>,
    backend: &'a BackendState,
    /// No try begins later.
    until: Option<Instant>,
    done: u32,
    leave: Option<Leave>,
    /// When the try begins that was granted.
    next: Option<Instant>,
    denied: Option<Denied>,
}

impl<'a> Retries<'a> {
    /// `until`: when the request's own deadline passes, or its patience ends.
    pub(crate) fn new(policy: Option<&'a Retry>, backend: &'a BackendState, until: Option<Instant>) -> Self {
        Self { policy, backend, until, done: 0, leave: None, next: None, denied: None }
    }

    /// The rule says how often, so that nothing else does.
    pub(crate) fn governed(&self) -> bool {
        self.policy.is_some()
    }

    /// A request's body is worth keeping.
    pub(crate) fn possible(&self) -> bool {
        self.policy.is_some_and(|policy| policy.attempts > 0)
    }

    /// The rule tries again what is answered with this status.
    pub(crate) fn lists(&self, status: u16) -> bool {
        self.policy.is_some_and(|policy| policy.codes.contains(&status))
    }

    /// The rule tries again what is answered so: with a status that it lists, of HTTP or, without a body, of gRPC, or with
    /// a header.
    pub(crate) fn lists_answer(&self, head: &ResponseHead) -> bool {
        let Some(policy) = self.policy else { return false };
        let of_grpc = || grpc::status(&head.fields).is_some_and(|status| policy.grpc.contains(&status));
        policy.codes.contains(&head.status)
            || (!policy.grpc.is_empty() && of_grpc())
            || policy.header.as_ref().is_some_and(|name| head.fields.first(name.as_str()).is_some())
    }

    /// The rule tries again what got no answer, though it may have been processed.
    pub(crate) fn of_unanswered(&self) -> bool {
        self.policy.is_some_and(|policy| policy.unanswered)
    }

    /// Further tries may go where one has failed.
    pub(crate) fn anywhere(&self) -> bool {
        self.policy.is_some_and(|policy| policy.anywhere)
    }

    /// Grants one more try, which begins at [`Retries::taken`], or notes why not.
    pub(crate) fn grant(&mut self, asked: Asked) -> bool {
        let Some(policy) = self.policy.filter(|policy| self.done < policy.attempts) else { return false };
        let now = Instant::now();
        let base = policy.backoff.unwrap_or(BASE);
        let wait = if asked.elsewhere && policy.backoff.is_none() {
            Duration::ZERO
        } else {
            wait(base, self.done, fastrand::f64())
        };
        let at = now.checked_add(wait).filter(|at| self.until.is_none_or(|until| *at < until));
        self.denied = match at {
            _ if !asked.replayable => Some(Denied::Body),
            None => Some(Denied::Deadline),
            Some(_) => {
                self.leave = self.leave.take().or_else(|| self.backend.leave());
                self.leave.is_none().then_some(Denied::Budget)
            }
        };
        let granted = self.denied.is_none();
        if granted {
            self.done += 1;
            self.next = at;
        }
        granted
    }

    /// When the try begins that was granted last; once.
    pub(crate) fn taken(&mut self) -> Option<Instant> {
        self.next.take()
    }

    /// Why the last try was the last though the rule allows more.
    pub(crate) fn denied(&self) -> Option<Denied> {
        self.denied
    }
}

/// Exponential, with full jitter above the base: `random` is from 0 to 1.
fn wait(base: Duration, done: u32, random: f64) -> Duration {
    let times = 2_u32.saturating_pow(done.saturating_add(1)).min(MOST_TIMES);
    let most = base.saturating_mul(times).min(LONGEST).max(base);
    base + most.saturating_sub(base).mul_f64(random)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use torana_ir::{Backend, BackendKey, Endpoints};

    use super::*;

    const ASKED: Asked = Asked { replayable: true, elsewhere: false };

    fn backend() -> BackendState {
        let key = BackendKey::tcp("n", "b", 80);
        let source = Endpoints::none(key.clone());
        BackendState::new(Arc::new(Backend::new(key)), Arc::default(), Arc::new(source), None)
    }

    fn policy(attempts: u32, backoff: Option<u64>) -> Retry {
        Retry { codes: [500, 503].into(), backoff: backoff.map(Duration::from_millis), ..Retry::new(attempts) }
    }

    #[tokio::test(start_paused = true)]
    async fn tries_are_counted_whatever_they_are_for() {
        let (backend, until) = (backend(), Some(Instant::now() + Duration::from_mins(1)));
        for attempts in [0, 1, 3] {
            let policy = policy(attempts, None);
            let mut retries = Retries::new(Some(&policy), &backend, until);
            let granted = (0..5).filter(|at| retries.grant(Asked { elsewhere: at % 2 == 0, ..ASKED })).count();
            assert_eq!((granted, retries.denied()), (attempts as usize, None));
            assert!(retries.lists(503) && !retries.lists(502));
        }
        assert!(!Retries::new(None, &backend, until).grant(ASKED));
    }

    #[tokio::test(start_paused = true)]
    async fn what_stands_against_a_try_is_said() {
        let (backend, now) = (backend(), Instant::now());
        let policy = policy(9, Some(100));
        let mut late = Retries::new(Some(&policy), &backend, Some(now + Duration::from_millis(100)));
        assert!(!late.grant(ASKED));
        assert_eq!(late.denied(), Some(Denied::Deadline));
        let mut retries = Retries::new(Some(&policy), &backend, Some(now + Duration::from_mins(1)));
        assert!(!retries.grant(Asked { replayable: false, ..ASKED }));
        assert_eq!(retries.denied(), Some(Denied::Body));
        let others: Vec<_> = std::iter::from_fn(|| backend.leave()).collect();
        assert!(!retries.grant(ASKED));
        assert_eq!(retries.denied(), Some(Denied::Budget));
        drop(others);
        assert!(retries.grant(ASKED) && retries.denied().is_none());
        let others: Vec<_> = std::iter::from_fn(|| backend.leave()).collect();
        assert!(retries.grant(ASKED), "leave is asked for once: {} others", others.len());
    }

    #[test]
    fn waits_grow_to_ten_times_the_base_and_never_fall_below_it() {
        let millis = Duration::from_millis;
        for (done, most) in [(0, 200), (1, 400), (2, 800), (3, 1000), (40, 1000)] {
            assert_eq!((wait(millis(100), done, 0.0), wait(millis(100), done, 1.0)), (millis(100), millis(most)));
        }
        assert_eq!(wait(Duration::from_secs(20), 9, 1.0), LONGEST);
        assert_eq!(wait(Duration::from_hours(1), 9, 1.0), Duration::from_hours(1));
        assert_eq!(wait(Duration::MAX, 9, 1.0), Duration::MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn another_endpoint_is_tried_at_once_unless_the_rule_names_a_wait() {
        let (backend, now) = (backend(), Instant::now());
        let asked = Asked { elsewhere: true, ..ASKED };
        for (backoff, at_once) in [(None, true), (Some(50), false)] {
            let policy = policy(1, backoff);
            let mut retries = Retries::new(Some(&policy), &backend, Some(now + Duration::from_mins(1)));
            assert!(retries.grant(asked));
            assert_eq!((retries.taken() == Some(now), retries.taken()), (at_once, None));
        }
    }
}
