// SPDX-License-Identifier: Apache-2.0
//! Weighted alternatives, taken in turns: exact in proportion, and as smooth as turns can be.
//!
//! Nothing is drawn at random and nothing is laid out beforehand. Which alternative has turn `n` follows from `n` alone:
//! the alternatives are halved, a turn is dealt to one half as Bresenham's line steps, and the half that got it deals on.
//! So every round of as many turns as the sum of the weights gives each alternative its weight exactly, and in any run of
//! turns none is ahead or behind by more than a turn for each halving, also at 1 : 999999.
//!
//! The same weights can be drawn from by chance.

use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::scramble::below;

/// Running sums of weights.
#[derive(Debug, Clone, Default)]
pub struct Weights {
    /// Those of weight 0 are not here.
    sums: Box<[Sum]>,
}

#[derive(Debug, Clone)]
struct Sum {
    /// Which alternative.
    position: u32,
    /// Weights up to and with it.
    until: u64,
}

/// Turns taken so far. On cache lines of its own: workers that count here must not slow down those who read beside it.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Turns {
    start: OnceLock<u64>,
    taken: AtomicU64,
}

impl Turns {
    /// The next turn. The very first one is wherever `random` says: gateways that start together must not all send
    /// their first requests to the same alternative.
    pub(super) fn next(&self, random: u64) -> u64 {
        // The half leaves room to count up without a wrap for ever.
        let start = self.start.get_or_init(|| random / 2);
        start.wrapping_add(self.taken.fetch_add(1, Ordering::Relaxed))
    }
}

impl Weights {
    /// Weights of the alternatives in their order.
    pub fn new<W: Into<u64>>(weights: impl IntoIterator<Item = W>) -> Self {
        let mut sum = 0_u64;
        let weights = weights.into_iter().map(Into::into).zip(0..);
        let sums = weights.filter(|(weight, _)| *weight > 0).map(|(weight, at)| {
            sum = sum.saturating_add(weight);
            Sum { position: at, until: sum }
        });
        Self { sums: sums.collect() }
    }

    /// Position of the alternative whose turn it is; `None` if every weight is 0. Counts only where there is a choice.
    pub fn choose(&self, turns: &Turns, random: u64) -> Option<usize> {
        match &*self.sums {
            [] => None,
            [only] => Some(only.position as usize),
            _ => self.at(turns.next(random)),
        }
    }

    /// Position of one of them by chance, in proportion.
    pub(super) fn draw(&self, random: u64) -> Option<usize> {
        self.covering(below(random, self.sums.last()?.until)?)
    }

    /// Position of another one than `first`, of those at some positions or of all, where no weight is 0; `None` if there
    /// is no other.
    pub(super) fn draw_another(&self, random: u64, first: usize, among: Option<Range<usize>>) -> Option<usize> {
        let (before, after) = self.span(first)?;
        let (start, end) = match among {
            Some(among) => (self.until(among.start), self.until(among.end)),
            None => (0, self.sums.last()?.until),
        };
        let point = start + below(random, (end - start).checked_sub(after - before)?)?;
        self.covering(if point < before { point } else { point + (after - before) })
    }

    /// What one weighs, where no weight is 0.
    pub(super) fn weight(&self, at: usize) -> u64 {
        self.span(at).map_or(0, |(before, after)| after - before)
    }

    fn span(&self, at: usize) -> Option<(u64, u64)> {
        Some((self.until(at), self.sums.get(at)?.until))
    }

    /// What those before one weigh.
    fn until(&self, at: usize) -> u64 {
        at.checked_sub(1).and_then(|before| self.sums.get(before)).map_or(0, |sum| sum.until)
    }

    fn covering(&self, point: u64) -> Option<usize> {
        let at = self.sums.partition_point(|sum| sum.until <= point);
        self.sums.get(at).map(|sum| sum.position as usize)
    }

    /// Position of the alternative that has this turn.
    pub(super) fn at(&self, turn: u64) -> Option<usize> {
        let (mut part, mut before) = (&*self.sums, 0);
        let mut turn = turn % self.sums.last()?.until;
        while let [_, .., last] = part {
            let (left, right) = part.split_at(part.len() / 2);
            let (all, middle) = (last.until - before, left.last()?.until);
            let gone_left = share(turn, middle - before, all);
            if share(turn + 1, middle - before, all) > gone_left {
                (part, turn) = (left, gone_left);
            } else {
                (part, turn, before) = (right, turn - gone_left, middle);
            }
        }
        part.first().map(|sum| sum.position as usize)
    }
}

/// How many of the first `turns` go to a half that weighs `half` of `all`.
fn share(turns: u64, half: u64, all: u64) -> u64 {
    match turns.checked_mul(half) {
        Some(product) => product / all,
        None => (u128::from(turns) * u128::from(half) / u128::from(all)) as u64,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The alternatives of the first turns.
    fn order(weights: &[u32], turns: u64) -> Vec<usize> {
        let weights = Weights::new(weights.iter().copied());
        (0..turns).map(|turn| weights.at(turn).unwrap()).collect()
    }

    #[test]
    fn equal_weights_take_turns_and_heavy_ones_are_spread() {
        assert_eq!(order(&[1, 1], 6), [1, 0, 1, 0, 1, 0]);
        assert_eq!(order(&[7, 0, 7], 4), [2, 0, 2, 0]);
        assert_eq!(order(&[3, 1], 8), [1, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(order(&[5, 1, 1], 7), [2, 0, 0, 1, 0, 0, 0]);
    }

    #[test]
    fn a_light_one_gets_exactly_its_turn() {
        let weights = Weights::new([1u32, 999_999]);
        for start in [0, 1, 499_999, 123_456_789_012] {
            let light = (start..start + 1_000_000).filter(|turn| weights.at(*turn) == Some(0)).count();
            assert_eq!(light, 1, "from {start}");
        }
    }

    #[test]
    fn all_zero_chooses_none() {
        let turns = Turns::default();
        assert_eq!(Weights::new([0u32, 0]).choose(&turns, 5), None);
        assert_eq!(Weights::new([0u32; 0]).choose(&turns, 5), None);
    }

    #[test]
    fn where_there_is_no_choice_nothing_is_counted() {
        let turns = Turns::default();
        assert_eq!(Weights::new([0u32, 9, 0]).choose(&turns, 5), Some(1));
        assert_eq!(turns.taken.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn chance_is_in_proportion_and_the_second_is_another() {
        let weights = Weights::new([1u32, 5, 2]);
        let ends = |part: u64| (u64::MAX / 8 * part, u64::MAX / 8 * (part + 1));
        for (eighth, at) in [(0, 0), (1, 1), (5, 1), (6, 2), (7, 2)] {
            let (start, end) = ends(eighth);
            assert_eq!((weights.draw(start + 99), weights.draw(end - 99)), (Some(at), Some(at)), "eighth {eighth}");
        }
        let third = u64::MAX / 3;
        let others: Vec<_> =
            [0, third - 9, third + 9, u64::MAX].map(|random| weights.draw_another(random, 1, None)).into();
        assert_eq!(others, [Some(0), Some(0), Some(2), Some(2)]);
        assert_eq!(Weights::new([7u32]).draw_another(1, 0, None), None);
        let among =
            |range: Range<usize>| [0, u64::MAX].map(|random| weights.draw_another(random, 1, Some(range.clone())));
        assert_eq!((among(0..2), among(1..3), among(1..2)), ([Some(0); 2], [Some(2); 2], [None; 2]));
        assert_eq!([0, 1, 2, 3].map(|at| weights.weight(at)), [1, 5, 2, 0]);
    }

    #[test]
    fn the_largest_weights_do_not_overflow() {
        let weights = Weights::new([u32::MAX; 16]);
        let mut counts = [0; 16];
        for turn in u64::MAX - 1599..=u64::MAX {
            counts[weights.at(turn).unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| (96..=104).contains(count)), "{counts:?}");
    }

    #[test]
    fn gateways_that_start_together_start_apart() {
        let weights = Weights::new([1u32, 99]);
        let mut rng = fastrand::Rng::with_seed(1);
        let first = |random| weights.choose(&Turns::default(), random).unwrap();
        let light = (0..10_000).filter(|_| first(rng.u64(..)) == 0).count();
        assert!((60..140).contains(&light), "{light} of 10,000 first requests went to the hundredth");
    }

    #[test]
    fn workers_that_choose_at_once_share_one_order() {
        let (weights, turns) = (Weights::new([3u32, 1]), Turns::default());
        let light = std::thread::scope(|scope| {
            let count = || (0..1000).filter(|_| weights.choose(&turns, 0) == Some(1)).count();
            let workers: Vec<_> = (0..4).map(|_| scope.spawn(count)).collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).sum::<usize>()
        });
        assert_eq!(light, 1000);
    }

    proptest! {
        #[test]
        fn no_run_of_turns_favours_anyone(
            weights in prop::collection::vec(0..50u32, 1..17),
            start in 0..u64::MAX / 2,
            length in 1..300u32,
        ) {
            let total: u32 = weights.iter().sum();
            prop_assume!(total > 0);
            let halvings = f64::from(weights.len() as u32).log2().ceil();
            let choose = Weights::new(weights.iter().copied());
            let mut counts = vec![0u32; weights.len()];
            for turn in start..start + u64::from(length) {
                counts[choose.at(turn).unwrap()] += 1;
            }
            for (count, weight) in counts.iter().zip(&weights) {
                let fair = f64::from(length) * f64::from(*weight) / f64::from(total);
                prop_assert!((f64::from(*count) - fair).abs() < halvings + 1.0, "{counts:?} of {weights:?}");
            }
        }

        #[test]
        fn a_round_is_exact(weights in prop::collection::vec(0..50u32, 1..17), start in 0..u64::MAX / 2) {
            let total: u64 = weights.iter().copied().map(u64::from).sum();
            let choose = Weights::new(weights.iter().copied());
            let mut counts = vec![0; weights.len()];
            for turn in start..start + total {
                counts[choose.at(turn).unwrap()] += 1;
            }
            prop_assert_eq!(counts, weights);
        }
    }
}
