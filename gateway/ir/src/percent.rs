// SPDX-License-Identifier: Apache-2.0
//! A share of a whole.

use serde::{Deserialize, Serialize};

/// Not a percentage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a percentage: use 0 to 100")]
pub struct PercentError(pub u8);

/// 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Percent(u8);

impl Percent {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Everything.
    pub const ALL: Self = Self(100);
    /// One in ten.
    pub const TENTH: Self = Self(10);
    /// One in five.
    pub const FIFTH: Self = Self(20);
    /// One in two.
    pub const HALF: Self = Self(50);

    /// Checks `percent`.
    pub fn new(percent: u8) -> Result<Self, PercentError> {
        if percent > 100 { Err(PercentError(percent)) } else { Ok(Self(percent)) }
    }

    /// So much of `whole`, rounded down.
    pub fn of(self, whole: usize) -> usize {
        (whole as u128 * u128::from(self.0) / 100) as usize
    }

    /// The number itself.
    pub fn number(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for Percent {
    type Error = PercentError;

    fn try_from(percent: u8) -> Result<Self, PercentError> {
        Self::new(percent)
    }
}

impl From<Percent> for u8 {
    fn from(percent: Percent) -> Self {
        percent.0
    }
}

/// Not a share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} millionths are more than everything")]
pub struct ShareError(pub u32);

/// A share of many, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Share(u32);

impl Share {
    /// Everything.
    pub const ALL: Self = Self(1_000_000);

    /// Checks `millionths`.
    pub fn new(millionths: u32) -> Result<Self, ShareError> {
        if millionths > Self::ALL.0 { Err(ShareError(millionths)) } else { Ok(Self(millionths)) }
    }

    /// Whether one of many is in it; `random` is uniform.
    pub fn takes(self, random: u64) -> bool {
        (u128::from(random) * u128::from(Self::ALL.0)) >> 64 < u128::from(self.0)
    }

    /// In millionths.
    pub fn millionths(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for Share {
    type Error = ShareError;

    fn try_from(millionths: u32) -> Result<Self, ShareError> {
        Self::new(millionths)
    }
}

impl From<Share> for u32 {
    fn from(share: Share) -> Self {
        share.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_everything_is_no_percentage() {
        assert_eq!(Percent::new(100), Ok(Percent::ALL));
        assert_eq!(Percent::new(101), Err(PercentError(101)));
        assert!(serde_json::from_str::<Percent>("200").is_err());
    }

    #[test]
    fn a_share_takes_as_many_as_it_says() {
        for (millionths, expected) in [(0, 0), (1_000, 1), (250_000, 250), (1_000_000, 1000)] {
            let share = Share::new(millionths).unwrap();
            let taken = (0..1000).filter(|step| share.takes(u64::MAX / 1000 * step + u64::MAX / 2000)).count();
            assert_eq!(taken, expected, "{millionths}");
        }
        assert_eq!(Share::new(1_000_001), Err(ShareError(1_000_001)));
    }

    #[test]
    fn a_share_is_rounded_down_and_never_overflows() {
        for (percent, whole, expected) in [(10, 9, 0), (10, 10, 1), (50, 3, 1), (100, usize::MAX, usize::MAX)] {
            assert_eq!(Percent::new(percent).unwrap().of(whole), expected, "{percent} % of {whole}");
        }
    }
}
