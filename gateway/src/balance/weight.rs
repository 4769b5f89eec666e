// SPDX-License-Identifier: Apache-2.0
//! Choosing among weighted alternatives in exact proportion.

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

impl Weights {
    /// Weights of the alternatives in their order.
    pub fn new(weights: impl IntoIterator<Item = u32>) -> Self {
        let mut sum = 0;
        let sums = weights.into_iter().zip(0..).filter(|(weight, _)| *weight > 0).map(|(weight, at)| {
            sum += u64::from(weight);
            Sum { position: at, until: sum }
        });
        Self { sums: sums.collect() }
    }

    /// Position of the alternative that uniform `random` falls on; `None` if every weight is 0.
    pub fn choose(&self, random: u64) -> Option<usize> {
        let total = self.sums.last()?.until;
        // Below `total`, each value in proportion to within 2⁻⁶⁴.
        let drawn = ((u128::from(random) * u128::from(total)) >> 64) as u64;
        let at = self.sums.partition_point(|sum| sum.until <= drawn);
        self.sums.get(at).map(|sum| sum.position as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_exact() {
        let weights = Weights::new([1, 0, 3]);
        let mut counts = [0; 3];
        for step in 0..1000u64 {
            counts[weights.choose(step * (u64::MAX / 1000) + u64::MAX / 2000).unwrap()] += 1;
        }
        assert_eq!(counts, [250, 0, 750]);
        assert_eq!((weights.choose(0), weights.choose(u64::MAX)), (Some(0), Some(2)));
    }

    #[test]
    fn all_zero_chooses_none() {
        assert_eq!(Weights::new([0, 0]).choose(5), None);
        assert_eq!(Weights::new([]).choose(5), None);
    }

    #[test]
    fn the_largest_weights_do_not_overflow() {
        let weights = Weights::new([u32::MAX; 16]);
        assert_eq!(weights.choose(u64::MAX), Some(15));
        assert_eq!(weights.choose(u64::MAX / 16 * 8 + 8), Some(8));
    }
}
