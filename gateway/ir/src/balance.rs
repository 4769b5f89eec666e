// SPDX-License-Identifier: Apache-2.0
//! How one endpoint of a backend is chosen. What keeps an endpoint from being chosen is told in `health`.

use std::num::{NonZeroU8, NonZeroU32};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::atom::HeaderName;
use crate::percent::Percent;
use crate::session::{CookieName, CookiePath};

/// How an endpoint is chosen. Weights of endpoints count for all of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoadBalance {
    /// Power of two choices: of two drawn at random the one with fewer requests in flight for its weight. Istio's default.
    LeastRequest,
    /// The same of more (Envoy's `choice_count`); of one it is [`LoadBalance::Random`].
    LeastOf(NonZeroU8),
    /// Smooth weighted round robin.
    RoundRobin,
    /// At random, in proportion to weights.
    Random,
    /// By a property of the request, on a ring of points (ketama): when an endpoint goes, only its requests move.
    RingHash {
        /// Which property.
        on: HashOn,
        /// The ring has at least so many points, and so has each endpoint, as long as there are no more than
        /// [`MOST_POINTS`] (`minimumRingSize`, Istio's default 1,024).
        least: u32,
    },
    /// By a property of the request, by a table (Maglev, Eisenbud et al. 2016): more even than a ring, and when an
    /// endpoint goes some requests of others move too.
    Maglev {
        /// Which property.
        on: HashOn,
        /// Slots of the table.
        table: TableSize,
    },
}

/// More points than this a ring never has: 3 MiB.
pub const MOST_POINTS: u32 = 1 << 18;

impl LoadBalance {
    /// Which property of a request decides, if one does.
    pub fn hash_on(&self) -> Option<&HashOn> {
        match self {
            Self::RingHash { on, .. } | Self::Maglev { on, .. } => Some(on),
            Self::LeastRequest | Self::LeastOf(_) | Self::RoundRobin | Self::Random => None,
        }
    }
}

/// The property of a request that decides. A request that lacks it goes to an endpoint at random, and so does a stream
/// for all but [`HashOn::SourceIp`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HashOn {
    /// The first value of a header.
    Header(HeaderName),
    /// A cookie.
    Cookie {
        /// Its name.
        name: CookieName,
        /// Its `Path`, where the proxy sets it.
        path: Option<CookiePath>,
        /// The proxy sets the cookie, for so long, where the client brings none; zero: until the browser ends. `None`:
        /// the proxy sets none.
        ttl: Option<Duration>,
    },
    /// The client's address, without its port.
    SourceIp,
    /// The first value of a query parameter, as written.
    Query(String),
}

/// Envoy's bound.
const LARGEST: u32 = 5_000_011;

/// Slots of a Maglev table: a prime of at most 5,000,011.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct TableSize(u32);

/// Not the size of a Maglev table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not the size of a Maglev table: use a prime of at most 5000011, such as 65537")]
pub struct TableSizeError(pub u32);

impl TableSize {
    /// What Envoy uses unless it is told otherwise: 256 KiB. When one of n endpoints goes, 1 ÷ n of the keys move of a
    /// handful of endpoints; of fifty a quarter more than that, with twice the slots a sixth more.
    pub const DEFAULT: Self = Self(65_537);

    /// Checks `size`.
    pub fn new(size: u32) -> Result<Self, TableSizeError> {
        if size <= LARGEST && is_prime(size) { Ok(Self(size)) } else { Err(TableSizeError(size)) }
    }

    /// How many.
    pub fn slots(self) -> u32 {
        self.0
    }
}

/// Of a number up to the largest size.
fn is_prime(number: u32) -> bool {
    let mut divisors = (2..=LARGEST.isqrt()).take_while(|divisor| divisor * divisor <= number);
    number > 1 && !divisors.any(|divisor| number.is_multiple_of(divisor))
}

impl TryFrom<u32> for TableSize {
    type Error = TableSizeError;

    fn try_from(size: u32) -> Result<Self, TableSizeError> {
        Self::new(size)
    }
}

impl From<TableSize> for u32 {
    fn from(size: TableSize) -> Self {
        size.0
    }
}

/// A new endpoint gets its share little by little (`warmup`; slow start). For [`LoadBalance::RoundRobin`] and least
/// request only.
///
/// Its weight is multiplied by (time since it is known ÷ window)^(1 ÷ aggression), but never by less than the minimum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarmUp {
    /// How long it takes.
    pub window: Duration,
    /// In thousandths, so 1,000 is a straight line; more begins faster.
    pub aggression: NonZeroU32,
    /// The share to begin with.
    pub minimum: Percent,
}

impl WarmUp {
    /// In a straight line from a tenth (Istio's defaults).
    pub fn over(window: Duration) -> Self {
        Self { window, aggression: NonZeroU32::MIN.saturating_add(999), minimum: Percent::TENTH }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_a_table_is_a_prime_and_bounded() {
        for good in [2, 3, 1031, 65_537, 5_000_011] {
            assert_eq!(TableSize::new(good).map(TableSize::slots), Ok(good));
        }
        for bad in [0, 1, 4, 65_536, 65_539 * 7, 5_000_077, u32::MAX] {
            assert_eq!(TableSize::new(bad), Err(TableSizeError(bad)));
        }
        assert!(serde_json::from_str::<TableSize>("100").is_err());
    }

    #[test]
    fn only_what_hashes_looks_at_a_request() {
        let ring = LoadBalance::RingHash { on: HashOn::SourceIp, least: 1024 };
        assert_eq!(ring.hash_on(), Some(&HashOn::SourceIp));
        assert_eq!(LoadBalance::Random.hash_on(), None);
    }

    #[test]
    fn warming_up_begins_as_istio_has_it() {
        let warm_up = WarmUp::over(Duration::from_secs(9));
        assert_eq!((warm_up.aggression.get(), warm_up.minimum.number()), (1000, 10));
    }
}
