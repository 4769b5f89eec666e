// SPDX-License-Identifier: Apache-2.0
//! What an authority grants, and when the next order fits into it. Who asks for more is refused, and with one account for
//! all tenants so is everybody else: Torana does not ask. Orders that say whose place their certificate takes (RFC 9773 §5)
//! are granted beside; of others that renew one only the order counts.
//!
//! What was used is in the states of the certificates, so that a new leader knows it too.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use torana_ir::CertificateKey;

use super::{Issuer, State, Wanted};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
/// What is older counts nowhere.
const LONGEST: i64 = 7 * DAY;
/// Times that are kept of one certificate.
const MOST_KEPT: usize = 512;
/// Why an order waits, in one word.
pub const BUDGET: &str = "budget";

/// So many in so many seconds, whenever these begin.
type Share = (usize, i64);

/// What an authority grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Orders of an account.
    pub orders: Share,
    /// New certificates of a registered domain, with all below it.
    pub certificates: Share,
}

/// Let's Encrypt, <https://letsencrypt.org/docs/rate-limits/>: it fills its buckets evenly, so that whoever uses no more
/// than a bucket in its whole period is always within.
const LETS_ENCRYPT: Budget = Budget { orders: (300, 3 * HOUR), certificates: (50, LONGEST) };

impl Budget {
    /// That of the authority of a directory, if it tells one.
    pub fn of(directory: &str) -> Option<Self> {
        directory.starts_with("https://acme-v02.api.letsencrypt.org/").then_some(LETS_ENCRYPT)
    }
}

/// What one certificate has used of its authority's budget lately.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Spent {
    /// When orders were placed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub orders: Vec<i64>,
    /// When certificates were signed, or will be: of an order that is not over, when it was placed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<i64>,
}

impl Spent {
    /// An order was placed; `is_new`: for names that have had no certificate.
    pub fn placed(&mut self, is_new: bool, now: i64) {
        let certificates = Some(&mut self.certificates).filter(|_| is_new);
        for times in [Some(&mut self.orders), certificates].into_iter().flatten() {
            times.retain(|at| *at > now - LONGEST);
            times.push(now);
            if times.len() > MOST_KEPT {
                times.remove(0);
            }
        }
    }

    /// The order that was placed `then` came to nothing.
    pub fn over(&mut self, then: i64) {
        self.certificates.retain(|at| *at != then);
    }

    /// The order that was placed `then` came to a certificate.
    pub fn signed(&mut self, then: i64, now: i64) {
        for at in self.certificates.iter_mut().filter(|at| **at == then) {
            *at = now;
        }
    }
}

/// When something was used, and for which certificate.
type Uses<'w> = BTreeSet<(i64, &'w CertificateKey)>;

/// What all certificates have used, and will use.
#[derive(Debug, Default)]
pub struct Ledger<'w> {
    /// By account.
    orders: BTreeMap<String, Uses<'w>>,
    /// By directory and registered domain.
    certificates: BTreeMap<(String, String), Uses<'w>>,
}

impl<'w> Ledger<'w> {
    /// That of all certificates, with how they stand; whoever waits for its turn has it until it comes.
    pub fn new<'s>(all: impl Iterator<Item = (&'w Wanted, &'s State)>, now: i64) -> Self {
        let mut ledger = Self::default();
        for (wanted, state) in all.filter(|(it, _)| Budget::of(&it.issuer.directory).is_some()) {
            let turn = promised(state).filter(|at| *at > now);
            ledger.add(wanted, &state.spent.orders, &state.spent.certificates);
            ledger.add(wanted, turn.as_slice(), turn.as_slice());
        }
        ledger
    }

    fn add(&mut self, wanted: &'w Wanted, orders: &[i64], certificates: &[i64]) {
        let of_account = self.orders.entry(wanted.issuer.account_id()).or_default();
        of_account.extend(orders.iter().map(|at| (*at, &wanted.secret)));
        for domain in domains(wanted) {
            let of_domain = self.certificates.entry((wanted.issuer.directory.clone(), domain)).or_default();
            of_domain.extend(certificates.iter().map(|at| (*at, &wanted.secret)));
        }
    }

    /// An order for `wanted` is placed at `now`; `is_new`: for names that have had no certificate.
    pub fn reserve(&mut self, wanted: &'w Wanted, is_new: bool, now: i64) {
        if Budget::of(&wanted.issuer.directory).is_some() {
            self.add(wanted, &[now], is_new.then_some(now).as_slice());
        }
    }

    /// When an order for `wanted` fits in, which is then reserved; and what it waits for, if not for nothing.
    pub fn turn(&mut self, wanted: &'w Wanted, is_new: bool, now: i64) -> Turn {
        let Some(budget) = Budget::of(&wanted.issuer.directory) else { return Turn { at: now, why: None } };
        let Issuer { name, directory, .. } = &wanted.issuer;
        // Whose turn has come goes before those that were promised a later one; others go after all of them.
        let has_turn = promised(&wanted.state).is_some_and(|at| at <= now);
        let horizon = if has_turn { now } else { i64::MAX };
        let mut turn = Turn { at: now, why: None };
        let mut wait = |used: Option<&Uses<'_>>, share: Share, why: String| {
            let at = used.map_or(now, |used| free(used, share, (horizon, now)));
            if at > turn.at {
                turn = Turn { at, why: Some(why) };
            }
        };
        let (most, hours) = (budget.orders.0, budget.orders.1 / HOUR);
        let why = format!("{name} takes {most} orders in {hours} hours");
        wait(self.orders.get(&wanted.issuer.account_id()), budget.orders, why);
        for domain in domains(wanted).into_iter().filter(|_| is_new) {
            let (most, days) = (budget.certificates.0, budget.certificates.1 / DAY);
            let why = format!("{name} signs {most} new certificates of {domain} in {days} days");
            wait(self.certificates.get(&(directory.clone(), domain)), budget.certificates, why);
        }
        self.reserve(wanted, is_new, turn.at);
        turn
    }
}

/// When an order fits in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Then.
    pub at: i64,
    /// What it waits for.
    pub why: Option<String>,
}

/// The turn that somebody waits for.
fn promised(state: &State) -> Option<i64> {
    let is_queued = state.trouble.as_ref().is_some_and(|trouble| trouble.reason == BUDGET);
    state.next_try.filter(|_| is_queued)
}

/// When one more fits in after all that there are until the horizon.
fn free(used: &Uses<'_>, (most, period): Share, (horizon, now): (i64, i64)) -> i64 {
    let mut counted = used.iter().rev().skip_while(|(at, _)| *at > horizon);
    let bound = counted.nth(most.saturating_sub(1)).map(|(at, _)| at.saturating_add(period + 1));
    bound.map_or(now, |bound| bound.max(now))
}

/// The registered domains of its names; a name that is below none stands for itself.
fn domains(wanted: &Wanted) -> BTreeSet<String> {
    let registered = |host: &String| {
        let host = host.trim_start_matches("*.");
        psl::domain_str(host).unwrap_or(host).to_owned()
    };
    wanted.hosts.keys().map(registered).collect()
}

#[cfg(test)]
mod tests {
    use torana_ir::CertificateKey;

    use super::super::{ChallengeType, Solvable, State, Trouble};
    use super::*;

    fn wanted(host: &str, issuer: &str) -> Wanted {
        let secret = CertificateKey { namespace: "shop".into(), name: host.to_owned() };
        Wanted {
            state: State::new(&secret),
            secret,
            issuer: Issuer::built_in(issuer).unwrap(),
            hosts: BTreeMap::from([(host.to_owned(), Solvable::By(ChallengeType::Http01))]),
            gateways: BTreeSet::new(),
            owners: BTreeSet::new(),
            current: None,
        }
    }

    fn turns(hosts: impl Iterator<Item = String>, now: i64) -> Vec<i64> {
        let all: Vec<_> = hosts.map(|host| wanted(&host, "letsencrypt")).collect();
        let mut ledger = Ledger::default();
        all.iter().map(|it| ledger.turn(it, true, now).at).collect()
    }

    fn ledger(all: &[Wanted], now: i64) -> Ledger<'_> {
        Ledger::new(all.iter().map(|it| (it, &it.state)), now)
    }

    #[test]
    fn a_registered_domain_gets_fifty_new_certificates_a_week_and_others_have_their_own() {
        let now = turns((0..120).map(|n| format!("h{n}.example.co.uk")), 1000);
        assert_eq!(now.iter().filter(|at| **at == 1000).count(), 50);
        for window in now.windows(51) {
            assert!(window[50] - window[0] > 7 * DAY);
        }
        let others = turns((0..120).map(|n| format!("example{n}.co.uk")), 1000);
        assert!(others.iter().all(|at| *at == 1000));
    }

    #[test]
    fn an_account_places_three_hundred_orders_in_three_hours() {
        let turns = turns((0..1000).map(|n| format!("example{n}.com")), 5);
        for window in turns.windows(301) {
            assert!(window[300] - window[0] > 3 * HOUR);
        }
        assert!(turns[999] <= 5 + 10 * HOUR, "and none waits longer than that takes");
    }

    #[test]
    fn whoever_waits_is_told_for_what_and_keeps_its_turn() {
        let mut all: Vec<Wanted> = (0..50).map(|n| wanted(&format!("h{n}.example.com"), "letsencrypt")).collect();
        for it in &mut all {
            it.state.spent.placed(true, 1000);
        }
        let late = wanted("late.example.com", "letsencrypt");
        let Turn { at, why } = ledger(&all, 2000).turn(&late, true, 2000);
        assert_eq!(at, 1000 + 7 * DAY + 1);
        assert_eq!(why.as_deref(), Some("letsencrypt signs 50 new certificates of example.com in 7 days"));
        assert_eq!(ledger(&all, at).turn(&late, true, at), Turn { at, why: None });
        assert_eq!(ledger(&all, 2000).turn(&late, false, 2000).at, 2000, "a renewal is no new certificate");
        all[0].state.spent.over(1000);
        let now = Turn { at: 2000, why: None };
        assert_eq!(ledger(&all, 2000).turn(&late, true, 2000), now, "what came to nothing is no certificate");
    }

    #[test]
    fn a_turn_that_was_promised_is_kept() {
        let mut all: Vec<Wanted> = (0..110).map(|n| wanted(&format!("h{n}.example.com"), "letsencrypt")).collect();
        let (placed, queued) = all.split_at_mut(50);
        (0..).zip(placed).for_each(|(n, it)| it.state.spent.placed(true, 1000 + n));
        let now = 1000 + 7 * DAY + 1;
        for (n, it) in (0..).zip(queued.iter_mut()) {
            it.state.next_try = Some(now + n);
            it.state.trouble = Some(Trouble { reason: BUDGET.to_owned(), message: String::new(), at: 1000 });
        }
        let first = queued[0].clone();
        let turn = ledger(&all, now).turn(&first, true, now);
        assert_eq!(turn, Turn { at: now, why: None }, "others were promised later ones");
        let another = wanted("late.example.com", "letsencrypt");
        let turn = ledger(&all, now).turn(&another, true, now).at;
        assert!(turn > now + 7 * DAY, "whoever comes later goes after them");
    }

    #[test]
    fn authorities_that_tell_no_budget_have_none() {
        let (it, mut ledger) = (wanted("a.example.com", "letsencrypt-staging"), Ledger::default());
        assert!((0..500).all(|_| ledger.turn(&it, true, 7) == Turn { at: 7, why: None }));
    }

    #[test]
    fn a_certificate_that_comes_late_counts_from_when_it_comes() {
        let mut spent = Spent::default();
        spent.placed(true, 10);
        spent.signed(10, 500);
        assert_eq!(spent, Spent { orders: vec![10], certificates: vec![500] });
        for now in 0..2000 {
            spent.placed(true, 1000 + now);
        }
        assert!(spent.orders.len() <= MOST_KEPT && spent.certificates.len() <= MOST_KEPT);
    }
}
