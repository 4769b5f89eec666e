// SPDX-License-Identifier: Apache-2.0
//! Who is where among those that may be chosen, and how much of the load each is due.

use std::ops::Range;

use super::scramble::below;
use super::weight::Weights;

/// What a part's share is divided into between its endpoints.
const WHOLE: u128 = 1 << 32;

/// Who is where among the eligible.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shares<'s> {
    /// All weigh the same.
    Even(usize),
    /// By weight.
    Uneven(&'s Weights),
    /// By weight, in parts that end there: whoever is compared with another is so within its part, for how busy one part
    /// is must not change the share of another.
    Parted(&'s Weights, &'s [usize]),
}

impl Shares<'_> {
    /// One by chance.
    pub(super) fn draw(self, random: u64) -> Option<usize> {
        match self {
            Self::Even(count) => below(random, count as u64).map(|at| at as usize),
            Self::Uneven(weights) | Self::Parted(weights, _) => weights.draw(random),
        }
    }

    /// Another than `first`, of the same part.
    pub(super) fn draw_another(self, random: u64, first: usize) -> Option<usize> {
        match self {
            Self::Even(count) => {
                let step = below(random, (count as u64).checked_sub(1)?)? as usize;
                Some((first + 1 + step) % count)
            }
            Self::Uneven(weights) => weights.draw_another(random, first, None),
            Self::Parted(weights, ends) => weights.draw_another(random, first, Some(part_of(first, ends))),
        }
    }

    /// The one at a turn.
    pub(super) fn at(self, turn: u64) -> Option<usize> {
        match self {
            Self::Even(count) => turn.checked_rem(count as u64).map(|at| at as usize),
            Self::Uneven(weights) | Self::Parted(weights, _) => weights.at(turn),
        }
    }

    /// What one weighs.
    pub(super) fn weight(self, at: usize) -> u64 {
        match self {
            Self::Even(_) => 1,
            Self::Uneven(weights) | Self::Parted(weights, _) => weights.weight(at),
        }
    }
}

fn part_of(at: usize, ends: &[usize]) -> Range<usize> {
    let part = ends.partition_point(|end| *end <= at);
    let start = part.checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or_default();
    start..ends.get(part).copied().unwrap_or_default()
}

/// Weights that are in proportion within a part, and are `share` together.
pub(super) fn scaled(weights: &[u64], share: u64) -> impl Iterator<Item = u64> {
    let total: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
    let scale = move |weight: &u64| u128::from(*weight) * u128::from(share) * WHOLE / total.max(1);
    weights.iter().map(move |weight| u64::try_from(scale(weight)).unwrap_or(u64::MAX).max(1))
}
