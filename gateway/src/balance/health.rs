// SPDX-License-Identifier: Apache-2.0
//! What the tries of an endpoint tell about it: failures in a row, and for how long it is ejected for them. And what
//! checks of it came to, which are made and counted elsewhere (`checks`).
//!
//! It judges one endpoint. How many of a backend may be ejected at once is decided in `backend`.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use torana_ir::{OutlierDetection, Unanswered};

/// Longer than anybody waits, and short enough to be added to any time.
const FOR_EVER: Duration = Duration::from_hours(24 * 365);

/// What became of a try, as far as it tells about the endpoint. What a client did to it, and what Torana's own limits
/// did, is none of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It answered with this status.
    Answered(u16),
    /// It took a connection: all that is known of streams.
    Connected,
    /// It could not be connected to, or broke the connection or the protocol before the end of its answer.
    Unanswered,
    /// It took the request and did not answer in time.
    TimedOut,
}

/// Why an endpoint was ejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// [`OutlierDetection::consecutive_5xx`].
    Consecutive5xx,
    /// [`OutlierDetection::consecutive_gateway`].
    ConsecutiveGateway,
    /// [`Unanswered::Apart`].
    Unanswered,
}

impl Reason {
    /// As metrics and logs write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Consecutive5xx => "consecutive_5xx",
            Self::ConsecutiveGateway => "consecutive_gateway_errors",
            Self::Unanswered => "unanswered",
        }
    }
}

/// Of one endpoint.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// The last try got no answer.
    silent: AtomicBool,
    /// It is unhealthy by its checks. Counts only while its backend has such.
    failing: AtomicBool,
    // Failures in a row.
    unanswered: AtomicU32,
    fives: AtomicU32,
    gateway: AtomicU32,
    times: Mutex<Times>,
}

#[derive(Debug, Default)]
struct Times {
    /// When it was first looked at; kept only where that matters.
    since: Option<Instant>,
    ejected: bool,
    /// When the last ejection ends, or did.
    until: Option<Instant>,
    /// Ejections, as far as they are remembered.
    count: u32,
}

impl Health {
    /// Takes note of a try; says why it is time for an ejection, if it is.
    pub(super) fn note(&self, outcome: Outcome, policy: &OutlierDetection) -> Option<Reason> {
        match outcome {
            Outcome::Answered(status) => {
                self.heard();
                self.judge(status, policy, false)
            }
            Outcome::Connected => {
                self.heard();
                let counts = policy.unanswered == Unanswered::AsAnswer;
                counts.then(|| self.judge(200, policy, false)).flatten()
            }
            Outcome::TimedOut if !policy.timeouts => None,
            Outcome::Unanswered | Outcome::TimedOut => {
                self.silent.store(true, Ordering::Relaxed);
                match policy.unanswered {
                    Unanswered::AsAnswer if outcome == Outcome::TimedOut => self.judge(504, policy, true),
                    Unanswered::AsAnswer => self.judge(503, policy, true),
                    Unanswered::Apart(None) => None,
                    Unanswered::Apart(Some(limit)) => {
                        counted(&self.unanswered, limit.get(), true).then_some(Reason::Unanswered)
                    }
                }
            }
        }
    }

    /// Whether its last try got no answer: it gets one request at a time while there are others.
    pub(super) fn is_silent(&self) -> bool {
        self.silent.load(Ordering::Relaxed)
    }

    /// Whether it is unhealthy by its checks.
    pub(super) fn fails_checks(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// Takes note of what its checks came to.
    pub(super) fn checked(&self, fails: bool) {
        self.failing.store(fails, Ordering::Relaxed);
    }

    fn heard(&self) {
        if self.is_silent() {
            self.unanswered.store(0, Ordering::Relaxed);
            self.silent.store(false, Ordering::Relaxed);
        }
    }

    fn judge(&self, status: u16, policy: &OutlierDetection, unanswered: bool) -> Option<Reason> {
        let row = |counter: &AtomicU32, limit: Option<NonZeroU32>, bad: bool| match limit {
            Some(limit) if bad => counted(counter, limit.get(), unanswered),
            Some(_) if counter.load(Ordering::Relaxed) > 0 => {
                counter.store(0, Ordering::Relaxed);
                false
            }
            _ => false,
        };
        let gateway = row(&self.gateway, policy.consecutive_gateway, matches!(status, 502..=504));
        let fives = row(&self.fives, policy.consecutive_5xx, status >= 500);
        fives.then_some(Reason::Consecutive5xx).or(gateway.then_some(Reason::ConsecutiveGateway))
    }

    /// Ejects it, and says whether it was not before. The n-th time lasts n times as long; each calm interval since the
    /// last one is one time less.
    pub(super) fn eject(&self, policy: &OutlierDetection, now: Instant) -> bool {
        let mut times = self.times();
        if times.ejected {
            return false;
        }
        let calm = times.until.map_or(Duration::ZERO, |until| now.saturating_duration_since(until));
        let forgotten = calm.as_nanos() / policy.interval.as_nanos().max(1);
        times.count = times.count.saturating_sub(u32::try_from(forgotten).unwrap_or(u32::MAX)).saturating_add(1);
        let lasts = policy.ejection.saturating_mul(times.count).min(policy.longest.max(policy.ejection));
        times.ejected = true;
        times.until = Some(now + lasts.min(FOR_EVER));
        true
    }

    /// Until when it is ejected. Without a clock it is until somebody who has one looks.
    pub(super) fn ejected(&self, now: Option<Instant>) -> Option<Instant> {
        let mut times = self.times();
        times.ejected &= now.is_none_or(|now| times.until.is_some_and(|until| now < until));
        times.until.filter(|_| times.ejected)
    }

    /// How long it has been known; with a clock, from the first time that this is asked.
    pub(super) fn age(&self, now: Option<Instant>) -> Duration {
        let Some(now) = now else { return Duration::ZERO };
        now.saturating_duration_since(*self.times().since.get_or_insert(now))
    }

    fn times(&self) -> MutexGuard<'_, Times> {
        // Whole after every statement, so a panic elsewhere left it so.
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts one more failure in a row; whether it is the one that completes it. Then the count begins anew, for one that
/// was `unanswered` just before its end: whoever comes back and is still not there need not show it all over again.
fn counted(counter: &AtomicU32, limit: u32, unanswered: bool) -> bool {
    let row = counter.fetch_add(1, Ordering::Relaxed).saturating_add(1);
    if row < limit {
        return false;
    }
    counter.store(if unanswered { limit - 1 } else { 0 }, Ordering::Relaxed);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Outcome = Outcome::Answered(200);
    const BAD: Outcome = Outcome::Answered(500);
    const GATE: Outcome = Outcome::Answered(503);
    const SILENT: Outcome = Outcome::Unanswered;
    const LATE: Outcome = Outcome::TimedOut;
    const OPEN: Outcome = Outcome::Connected;

    fn policy(fives: u32, gateway: u32, unanswered: Option<u32>) -> OutlierDetection {
        OutlierDetection {
            consecutive_5xx: NonZeroU32::new(fives),
            consecutive_gateway: NonZeroU32::new(gateway),
            unanswered: unanswered.map_or(Unanswered::AsAnswer, |limit| Unanswered::Apart(NonZeroU32::new(limit))),
            ..OutlierDetection::of_istio()
        }
    }

    #[test]
    fn failures_in_a_row_are_counted_by_kind() {
        let (fives, gateway, silent) =
            (Some(Reason::Consecutive5xx), Some(Reason::ConsecutiveGateway), Some(Reason::Unanswered));
        let cases: &[(&str, OutlierDetection, &[Outcome], Option<Reason>)] = &[
            ("the third completes three", policy(3, 0, None), &[BAD, BAD, BAD], fives),
            ("two do not", policy(3, 0, None), &[BAD, BAD], None),
            ("a success ends a row", policy(3, 0, None), &[BAD, BAD, GOOD, BAD, BAD], None),
            ("a redirect and a refusal are successes", policy(2, 0, None), &[BAD, Outcome::Answered(404), BAD], None),
            ("no answer is one of 503", policy(3, 0, None), &[BAD, SILENT, BAD], fives),
            ("no answer in time is one of 504", policy(0, 2, None), &[LATE, LATE], gateway),
            ("500 is no gateway's error", policy(0, 2, None), &[GATE, BAD, GATE], None),
            ("502 to 504 are", policy(0, 3, None), &[Outcome::Answered(502), GATE, Outcome::Answered(504)], gateway),
            ("0 is never", policy(0, 0, None), &[BAD, GATE, SILENT, BAD, GATE, SILENT], None),
            ("apart, answers count no silence", policy(3, 0, Some(9)), &[BAD, SILENT, BAD, SILENT], None),
            ("and silence no answers", policy(9, 0, Some(2)), &[SILENT, BAD, SILENT], None),
            ("silence in a row counts", policy(9, 0, Some(2)), &[SILENT, LATE], silent),
            ("apart, 0 is never", policy(9, 0, Some(0)), &[SILENT, SILENT, SILENT], None),
            ("a connection is a sign of life", policy(0, 0, Some(2)), &[SILENT, OPEN, SILENT], None),
            ("and where both count together a success", policy(2, 0, None), &[BAD, OPEN, BAD], None),
            ("apart it is no answer", policy(2, 0, Some(0)), &[BAD, OPEN, BAD], fives),
        ];
        for (name, policy, outcomes, expected) in cases {
            let health = Health::default();
            let mut last = None;
            for outcome in *outcomes {
                assert_eq!(last, None, "{name}: too early");
                last = health.note(*outcome, policy);
            }
            assert_eq!(last, *expected, "{name}");
        }
    }

    #[test]
    fn nobody_who_says_nothing_about_timeouts_has_them_counted() {
        let health = Health::default();
        let ours = OutlierDetection::of_the_unreachable();
        assert!((0..20).all(|_| health.note(LATE, &ours).is_none() && health.note(BAD, &ours).is_none()));
        assert!(!health.is_silent());
    }

    #[test]
    fn whoever_comes_back_and_is_still_not_there_goes_at_once_but_not_for_an_answer() {
        for (outcome, unanswered, again) in [(SILENT, Some(3), true), (SILENT, None, true), (BAD, None, false)] {
            let (health, policy) = (Health::default(), policy(3, 0, unanswered));
            let rows: Vec<bool> = (0..6).map(|_| health.note(outcome, &policy).is_some()).collect();
            assert_eq!(rows, [false, false, true, again, again, true], "{outcome:?}");
            assert!(health.note(GOOD, &policy).is_none() && health.note(outcome, &policy).is_none(), "{outcome:?}");
        }
    }

    #[test]
    fn each_ejection_lasts_longer_and_calm_is_remembered() {
        let (health, policy, start) = (Health::default(), OutlierDetection::of_istio(), Instant::now());
        let mut now = start;
        // Seconds of calm before an ejection, and how long it lasts then.
        for (calm, lasts) in [(0, 30), (0, 60), (9, 90), (10, 90), (20, 60), (3600, 30), (0, 60)] {
            now += Duration::from_secs(calm);
            assert!(health.eject(&policy, now) && !health.eject(&policy, now));
            let until = health.ejected(Some(now)).unwrap();
            assert_eq!((until - now).as_secs(), lasts, "after {calm} s of calm");
            assert_eq!(health.ejected(Some(now + Duration::from_millis(lasts * 1000 - 1))), Some(until));
            assert_eq!(health.ejected(None), Some(until), "nobody has looked at a clock");
            assert_eq!(health.ejected(Some(until)), None);
            now = until;
        }
        for _ in 0..20 {
            assert!(health.eject(&policy, now));
            let until = health.ejected(Some(now)).unwrap();
            assert!(until - now <= policy.longest);
            now = until;
            assert_eq!(health.ejected(Some(now)), None);
        }
        let endless = OutlierDetection { ejection: Duration::MAX, ..policy };
        assert!(health.eject(&endless, now) && health.ejected(Some(now + Duration::from_hours(1))).is_some());
    }
}
