// SPDX-License-Identifier: Apache-2.0
//! Chance, the same for the same seed.

use std::ops::RangeInclusive;

/// What everything random is drawn with.
pub(super) struct Dice(fastrand::Rng);

impl Dice {
    /// Neighbouring numbers of one seed give sequences that have nothing in common.
    pub(super) fn new(seed: u64, number: u64) -> Self {
        let mut mixed = fastrand::Rng::with_seed(seed);
        let salt = mixed.u64(..);
        Self(fastrand::Rng::with_seed(salt ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// True in so many of 100 cases.
    pub(super) fn chance(&mut self, percent: u32) -> bool {
        self.0.u32(..100) < percent
    }

    pub(super) fn count(&mut self, range: RangeInclusive<usize>) -> usize {
        self.0.usize(range)
    }

    /// One of them, which must not be none.
    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.0.usize(..from.len())]
    }

    /// One of them; the first of each pair is its share.
    pub(super) fn weighted<T: Copy>(&mut self, from: &[(u32, T)]) -> T {
        let all: u32 = from.iter().map(|(share, _)| share).sum();
        let mut at = self.0.u32(..all);
        for (share, it) in from {
            if at < *share {
                return *it;
            }
            at -= share;
        }
        from[0].1
    }

    /// So many different ones, in any order; all if there are not as many.
    pub(super) fn few<T: Copy>(&mut self, count: usize, from: &[T]) -> Vec<T> {
        let mut all = from.to_vec();
        self.0.shuffle(&mut all);
        all.truncate(count);
        all
    }

    pub(super) fn shuffle<T>(&mut self, all: &mut [T]) {
        self.0.shuffle(all);
    }
}
