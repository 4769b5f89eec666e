// SPDX-License-Identifier: Apache-2.0
//! How often a service account may ask. Pure; time is an argument.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::feed::Account;

/// Certificates of one account at once: all pods of a large Deployment may begin together.
const BURST: u32 = 500;
/// One more of them after this.
const PACE: Duration = Duration::from_millis(200);
/// Accounts after which it is looked for those that have not asked for long.
const FEW: usize = 1024;

/// How much of its burst an account has used, as the moment at which all of it is there again.
#[derive(Debug, Default)]
pub(super) struct Rates {
    whole: HashMap<Account, Instant>,
    /// Accounts at which to look.
    look_at: usize,
}

impl Rates {
    /// Whether `account` may ask at `now`; if so, it has.
    pub(super) fn ask(&mut self, account: &Account, now: Instant) -> bool {
        let whole = self.whole.get(account).map_or(now, |whole| (*whole).max(now)) + PACE;
        if whole > now + PACE * BURST {
            return false;
        }
        if self.whole.len() >= self.look_at.max(FEW) {
            // Who has all of it is as one that never asked.
            self.whole.retain(|_, whole| *whole > now);
            self.look_at = 2 * self.whole.len();
        }
        self.whole.insert(account.clone(), whole);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(name: &str) -> Account {
        Account { namespace: "n".to_owned(), name: name.to_owned() }
    }

    #[test]
    fn a_burst_is_allowed_then_one_at_a_time_and_others_notice_nothing() {
        let (mut rates, now) = (Rates::default(), Instant::now());
        let asked = |rates: &mut Rates, name: &str, at: Instant| rates.ask(&account(name), at);
        let allowed = (0..BURST + 10).filter(|_| asked(&mut rates, "many", now)).count();
        assert_eq!(allowed, BURST as usize);
        assert!(asked(&mut rates, "other", now));
        assert!(asked(&mut rates, "many", now + PACE));
        assert!(!asked(&mut rates, "many", now + PACE));
        assert!((0..BURST).all(|_| asked(&mut rates, "many", now + PACE * 2 * BURST)), "all of it is there again");
    }

    #[test]
    fn accounts_that_have_not_asked_for_long_are_forgotten() {
        let (mut rates, now) = (Rates::default(), Instant::now());
        for at in 0..10 * FEW {
            let later = PACE * u32::try_from(at).unwrap();
            assert!(rates.ask(&account(&at.to_string()), now + later));
        }
        assert!(rates.whole.len() <= FEW + 1, "{}", rates.whole.len());
    }
}
