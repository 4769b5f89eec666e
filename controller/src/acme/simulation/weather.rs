// SPDX-License-Identifier: Apache-2.0
//! What goes wrong when: the same whenever it is asked, for the same seed.

use std::hash::BuildHasher as _;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// In such a time an authority is away for half of it, in one piece.
const PERIOD: i64 = 16 * HOUR;

/// The weather of one simulation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weather(pub(super) u64);

impl Weather {
    fn chance(self, what: &str, of: &str, when: i64) -> i64 {
        let hash = foldhash::quality::FixedState::with_seed(self.0).hash_one((what, of, when));
        i64::try_from(hash >> 1).unwrap_or_default()
    }

    /// Of a hundred times so many.
    fn strikes(self, what: &str, of: &str, when: i64, percent: i64) -> bool {
        self.chance(what, of, when) % 100 < percent
    }

    /// Whether the authority cannot be connected to.
    pub(super) fn is_away(self, now: i64) -> bool {
        let begin = self.chance("away", "", now / PERIOD) % (PERIOD / 2);
        (begin..begin + PERIOD / 2).contains(&(now % PERIOD))
    }

    /// Of a hundred nonces so many are refused.
    pub(super) fn bad_nonces(self, now: i64) -> u8 {
        [0, 0, 10, 50, 100][usize::try_from(self.chance("nonces", "", now / (3 * HOUR)) % 5).unwrap_or_default()]
    }

    /// Of a hundred questions so many are answered with 500.
    pub(super) fn broken(self, now: i64) -> u8 {
        if self.strikes("broken", "", now / (2 * HOUR), 20) { 30 } else { 2 }
    }

    /// For how many seconds it wants to be left alone, by 429.
    pub(super) fn is_busy(self, now: i64) -> Option<i64> {
        let bucket = now / (2 * HOUR);
        self.strikes("busy", "", bucket, 15).then(|| MINUTE * (1 + self.chance("patience", "", bucket) % 90))
    }

    /// Whether a name leads here: for about one day in thirty it does not.
    pub(super) fn leads_here(self, host: &str, now: i64) -> bool {
        !self.strikes("elsewhere", host, now / DAY, 3)
    }

    /// Whether it does for the authority, which asks from other places.
    pub(super) fn leads_here_from_outside(self, host: &str, now: i64) -> bool {
        self.leads_here(host, now) && !self.strikes("blocked", host, now / DAY, 1)
    }

    /// Whether nothing is in the way of a certificate of `host` now.
    pub(super) fn is_fair(self, host: &str, now: i64) -> bool {
        let is_asked = !self.is_away(now) && self.bad_nonces(now) < 100 && self.is_busy(now).is_none();
        is_asked && self.broken(now) < 30 && self.leads_here_from_outside(host, now) && !self.has_slow_proxy(now)
    }

    /// Whether a proxy has not confirmed anything for a while.
    pub(super) fn has_slow_proxy(self, now: i64) -> bool {
        self.strikes("proxy", "", now / (20 * MINUTE), 3)
    }

    /// Whether a call of the API server fails, and whether after it was carried out.
    pub(super) fn loses_call(self, call: i64) -> Option<bool> {
        self.strikes("call", "", call, 1).then(|| self.strikes("done", "", call, 50))
    }
}

#[test]
fn an_authority_is_away_for_half_of_every_sixteen_hours() {
    let weather = Weather(1);
    for period in 1000..1100 {
        let minutes = (0..PERIOD / MINUTE).filter(|minute| weather.is_away(period * PERIOD + minute * MINUTE)).count();
        assert_eq!(i64::try_from(minutes).unwrap(), PERIOD / MINUTE / 2);
    }
}
