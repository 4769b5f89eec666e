// SPDX-License-Identifier: Apache-2.0
//! How load is divided between parts of the endpoints before one of them is chosen, by how many of each are left: numbers
//! in, numbers out.
//!
//! As Envoy does ("Priority levels", "Locality weighted load balancing"): a part is as good as whole while 72 % of it are
//! left (overprovisioning factor 1.4).

use torana_ir::Percent;

/// Percent by which what is left of a part may carry more than its share.
const OVERPROVISIONING: u64 = 140;

/// Endpoints of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stock {
    /// How many are not ejected.
    pub(super) left: u64,
    /// How many there are; more than none.
    pub(super) all: u64,
}

/// What a part gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Load {
    /// To what others get.
    pub(super) share: u64,
    /// All of it take part, also those that are ejected.
    pub(super) whole: bool,
}

impl Stock {
    /// How much of what it is meant for it can carry, in percent; something if anybody is left.
    fn available(self) -> u64 {
        (OVERPROVISIONING * self.left / self.all.max(1)).clamp(u64::from(self.left > 0), 100)
    }

    /// Whether less than this share of it is left.
    fn is_few(self, threshold: Percent) -> bool {
        self.left * 100 < self.all * u64::from(threshold.number())
    }
}

/// Of parts of which each takes what those before it cannot carry, in percent.
///
/// Where all together cannot carry everything, the load is scaled to what they can; then a part of which less than
/// `threshold` is left takes part as a whole, and if that is every part, or nobody is left and somebody `must_be`, they
/// have shares by their size.
pub(super) fn in_order(stocks: &[Stock], threshold: Percent, must_be: bool) -> Vec<Load> {
    let total = stocks.iter().map(|stock| stock.available()).sum::<u64>().min(100);
    let few = |stock: &Stock| total < 100 && (stock.is_few(threshold) || (total == 0 && must_be));
    if stocks.iter().all(few) {
        return stocks.iter().map(|stock| Load { share: stock.all, whole: true }).collect();
    }
    let mut rest = 100;
    let mut loads: Vec<Load> = Vec::with_capacity(stocks.len());
    for stock in stocks {
        let share = (stock.available() * 100).checked_div(total).unwrap_or(0).min(rest);
        rest -= share;
        loads.push(Load { share, whole: few(stock) });
    }
    // What was lost by rounding.
    if let Some(first) = loads.iter_mut().find(|load| load.share > 0) {
        first.share += rest;
    }
    loads
}

/// Of parts with shares: what one cannot carry goes to the others.
pub(super) fn by_shares(stocks: &[Stock], shares: impl Iterator<Item = u32>) -> Vec<Load> {
    let load = |(stock, share): (&Stock, u32)| Load { share: u64::from(share) * stock.available(), whole: false };
    stocks.iter().zip(shares).map(load).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of parts of 100 endpoints.
    fn shares(left: &[u64], threshold: u8, must_be: bool) -> Vec<(u64, bool)> {
        let stocks: Vec<_> = left.iter().map(|left| Stock { left: *left, all: 100 }).collect();
        let loads = in_order(&stocks, Percent::new(threshold).unwrap(), must_be);
        loads.iter().map(|load| (load.share, load.whole)).collect()
    }

    #[test]
    fn load_goes_over_in_order_as_envoy_documents_it() {
        for (left, expected) in [
            (&[100, 100][..], &[100, 0][..]),
            (&[72, 100], &[100, 0]),
            (&[71, 100], &[99, 1]),
            (&[50, 100], &[70, 30]),
            (&[25, 100], &[35, 65]),
            (&[0, 100], &[0, 100]),
            (&[0, 0, 1], &[0, 0, 100]),
            // Together less than is needed.
            (&[50, 10], &[84, 16]),
            (&[25, 25], &[50, 50]),
            (&[71, 71, 100], &[99, 1, 0]),
            (&[50, 50, 100], &[70, 30, 0]),
            (&[25, 25, 100], &[35, 35, 30]),
            (&[25, 25, 20], &[37, 35, 28]),
            (&[0, 0], &[0, 0]),
        ] {
            let expected: Vec<_> = expected.iter().map(|share| (*share, false)).collect();
            assert_eq!(shares(left, 0, false), expected, "{left:?}");
        }
    }

    #[test]
    fn few_are_not_alone_where_all_together_are_not_enough() {
        for (left, threshold, must_be, expected) in [
            // Enough elsewhere.
            (&[10, 100][..], 50, false, &[(14, false), (86, false)][..]),
            (&[10, 60], 50, false, &[(15, true), (85, false)]),
            (&[10, 20], 50, false, &[(100, true), (100, true)]),
            (&[0, 0], 50, false, &[(100, true), (100, true)]),
            (&[0, 0], 0, true, &[(100, true), (100, true)]),
            (&[0, 1], 0, true, &[(0, false), (100, false)]),
        ] {
            assert_eq!(shares(left, threshold, must_be), expected, "{left:?} {threshold}");
        }
    }

    #[test]
    fn what_a_share_cannot_carry_goes_to_the_others() {
        let stocks = |left: [u64; 2]| left.map(|left| Stock { left, all: 100 });
        let shares =
            |left| by_shares(&stocks(left), [80, 20].into_iter()).iter().map(|it| it.share).collect::<Vec<_>>();
        assert_eq!(shares([100, 100]), [8000, 2000]);
        assert_eq!(shares([72, 100]), [8000, 2000]);
        assert_eq!(shares([25, 100]), [2800, 2000]);
        assert_eq!(shares([0, 100]), [0, 2000]);
    }
}
