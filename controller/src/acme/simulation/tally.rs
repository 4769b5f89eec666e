// SPDX-License-Identifier: Apache-2.0
//! What an authority counts, and what it would not have stood for.

use std::collections::{BTreeMap, BTreeSet};

const HOUR: i64 = 3600;
const WEEK: i64 = 7 * 24 * HOUR;
/// Orders of an account in three hours, new certificates of a registered domain in a week, failed validations of a name
/// in an hour: Let's Encrypt's.
const ORDERS: (usize, i64) = (300, 3 * HOUR);
const CERTIFICATES: (usize, i64) = (50, WEEK);
const REFUSED: (usize, i64) = (5, HOUR);

/// What was counted.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    /// Orders that were placed, rehearsals left out.
    pub(super) orders: usize,
    /// Certificates that were signed.
    pub(super) certificates: usize,
    /// Validations that failed.
    pub(super) refusals: usize,
    /// More than is granted, each with what of.
    pub(super) violations: Vec<String>,
    /// Times at which it was asked to look though a proxy did not know the answer.
    pub(super) early: usize,
    /// Names that have had a certificate: another is no new one.
    known: BTreeSet<Vec<String>>,
    times: BTreeMap<String, Vec<i64>>,
}

impl Tally {
    fn count(&mut self, what: String, (most, period): (usize, i64), now: i64) {
        let times = self.times.entry(what.clone()).or_default();
        times.retain(|at| *at > now - period);
        times.push(now);
        if times.len() > most {
            self.violations.push(what);
        }
    }

    pub(super) fn ordered(&mut self, is_renewal: bool, now: i64) {
        self.orders += 1;
        if !is_renewal {
            self.count("orders".to_owned(), ORDERS, now);
        }
    }

    pub(super) fn signed(&mut self, names: &[String], now: i64) {
        self.certificates += 1;
        if self.known.insert(names.to_vec()) {
            let domain = names[0].rsplit('.').take(2).collect::<Vec<_>>().join(".");
            self.count(format!("certificates of {domain}"), CERTIFICATES, now);
        }
    }

    /// It looked and found something else: whether a proxy that did not know the answer, and when.
    pub(super) fn refused(&mut self, host: &str, is_real: bool, (is_early, now): (bool, i64)) {
        self.early += usize::from(is_early);
        if is_real {
            self.refusals += 1;
            self.count(format!("refusals of {host}"), REFUSED, now);
        }
    }
}
