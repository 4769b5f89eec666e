// SPDX-License-Identifier: Apache-2.0
//! What is to be done next for one certificate, and when. An order that was placed is seen through before another is
//! placed; a certificate that is there is renewed when its authority says so (RFC 9773), else when a third of its life is
//! left; and in the last tenth whatever anybody says.

use torana_ir::CertificateKey;

use super::{Current, Renewal, State, Wanted};

/// Of its life a certificate has this part left when it is renewed …
const LAST_PART: i64 = 3;
/// … spread over this part of its life …
const SPREAD: i64 = 30;
/// … and in this last part nothing else counts.
const EMERGENCY: i64 = 10;
/// Of its life a new certificate has this part behind it before it is renewed, whatever its dates say: clocks may be wrong.
const FIRST_PART: i64 = 4;
/// An authority is asked about renewals at most so often, and at least so often, in seconds.
const ASK_BETWEEN: (i64, i64) = (600, 86_400);

/// What is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing before then.
    Wait(i64),
    /// An order is placed.
    Order(Why),
    /// The order that there is goes on.
    Resume,
    /// The authority is asked when it wants the certificate to be renewed.
    AskRenewal,
}

/// Why a certificate is ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// There is none.
    Absent,
    /// The one that there is lacks a name.
    Names,
    /// It came from another authority.
    Issuer,
    /// Its time has come.
    Due,
    /// Somebody wants it.
    Asked,
}

/// What is next for `wanted` at `now`. `can_ask`: whether its authority can be asked about renewals.
pub fn next(wanted: &Wanted, can_ask: bool, now: i64) -> Next {
    let state = &wanted.state;
    if let Some(at) = state.next_try.filter(|at| *at > now) {
        return Next::Wait(at);
    }
    if let Some(order) = &state.order
        && order.hosts == wanted.names()
        && order.directory == wanted.issuer.directory
    {
        return Next::Resume;
    }
    if wanted.obstacle().is_some() {
        return Next::Wait(i64::MAX);
    }
    let Some(current) = &wanted.current else { return Next::Order(Why::Absent) };
    if !wanted.hosts.keys().all(|host| current.names.contains(host)) {
        return Next::Order(Why::Names);
    }
    if current.directory.as_deref() != Some(&wanted.issuer.directory) {
        return Next::Order(Why::Issuer);
    }
    if state.asked.is_some() {
        return Next::Order(Why::Asked);
    }
    let due = renewal(&wanted.secret, state, current);
    if due <= now {
        return Next::Order(Why::Due);
    }
    match (&current.id, known(state, current)) {
        (Some(_), None) if can_ask => Next::AskRenewal,
        (Some(_), Some(renewal)) if can_ask && renewal.again <= now => Next::AskRenewal,
        (Some(_), Some(renewal)) if can_ask => Next::Wait(due.min(renewal.again)),
        _ => Next::Wait(due),
    }
}

/// What the authority said about this certificate.
fn known<'s>(state: &'s State, current: &Current) -> Option<&'s Renewal> {
    state.renewal.as_ref().filter(|renewal| current.id.as_deref() == Some(&renewal.certificate))
}

/// When a certificate is to be renewed.
pub fn renewal(secret: &CertificateKey, state: &State, current: &Current) -> i64 {
    let life = current.life();
    let planned = known(state, current).map_or_else(
        || {
            let name = secret.to_string();
            let chance = foldhash_of(&name, current.not_before) % 1000;
            current.not_after - life / LAST_PART - life / SPREAD * chance / 1000
        },
        |renewal| renewal.at,
    );
    let earliest = state.issued.map_or(i64::MIN, |issued| issued.saturating_add(life / FIRST_PART));
    planned.min(current.not_after - life / EMERGENCY).max(earliest)
}

/// The same for one certificate whoever asks, and for two hardly ever.
fn foldhash_of(name: &str, not_before: i64) -> i64 {
    use std::hash::BuildHasher as _;
    let hash = foldhash::quality::FixedState::with_seed(0).hash_one((name, not_before));
    i64::try_from(hash >> 1).unwrap_or_default()
}

impl Renewal {
    /// What an authority says at `now` of the certificate `id`: the window, and after how many seconds to ask again.
    /// `chance`, anything, chooses the moment in it; one that was chosen in the same window `before` stays.
    pub fn new(id: &str, window: (i64, i64), (now, after): (i64, i64), chance: u16, before: Option<&Self>) -> Self {
        let (start, end) = (window.0, window.1.max(window.0));
        let same = before.filter(|before| before.certificate == id && before.window == (start, end));
        let chosen = || {
            // In parts, for windows may be as long as they like.
            start
                .saturating_add((end.saturating_sub(start) / i64::from(u16::MAX)).saturating_mul(chance.into()))
                .min(end)
        };
        let at = same.map_or_else(chosen, |before| before.at);
        let again = now.saturating_add(after.clamp(ASK_BETWEEN.0, ASK_BETWEEN.1));
        Self { certificate: id.to_owned(), window: (start, end), at, again }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::super::{ChallengeType, Issuer, Order, Solvable};
    use super::*;

    const DAY: i64 = 86_400;

    fn wanted() -> Wanted {
        let secret = CertificateKey { namespace: "shop".into(), name: "tls".into() };
        Wanted {
            state: State::new(&secret),
            secret,
            issuer: Issuer::new("ca", "https://ca/dir"),
            hosts: BTreeMap::from([("a.example".to_owned(), Solvable::By(ChallengeType::Http01))]),
            gateways: BTreeSet::new(),
            owners: BTreeSet::new(),
            current: None,
        }
    }

    fn with(not_after: i64) -> Wanted {
        let current = Current {
            names: ["a.example".to_owned()].into(),
            not_before: 0,
            not_after,
            id: Some("x.y".into()),
            directory: Some("https://ca/dir".into()),
        };
        Wanted { current: Some(current), ..wanted() }
    }

    fn order(hosts: &[&str]) -> Order {
        Order {
            url: "u".into(),
            directory: "https://ca/dir".into(),
            hosts: hosts.iter().map(|&host| host.to_owned()).collect(),
            challenges: Vec::new(),
            placed: 0,
            replaces: None,
        }
    }

    #[test]
    fn what_is_absent_lacks_a_name_or_comes_from_elsewhere_is_ordered() {
        assert_eq!(next(&wanted(), true, 0), Next::Order(Why::Absent));
        let mut other = with(90 * DAY);
        other.hosts.insert("b.example".to_owned(), Solvable::By(ChallengeType::Http01));
        assert_eq!(next(&other, true, 0), Next::Order(Why::Names));
        let mut other = with(90 * DAY);
        other.issuer.directory = "https://other/dir".to_owned();
        assert_eq!(next(&other, true, 0), Next::Order(Why::Issuer));
        let mut more = with(90 * DAY);
        more.current.as_mut().unwrap().names.insert("old.example".to_owned());
        assert!(matches!(next(&more, false, 0), Next::Wait(_)), "a name too many hurts nobody");
    }

    #[test]
    fn an_order_is_seen_through_unless_it_is_for_something_else() {
        let mut wanted = wanted();
        wanted.state.order = Some(order(&["a.example"]));
        assert_eq!(next(&wanted, true, 0), Next::Resume);
        wanted.state.next_try = Some(5);
        assert_eq!(next(&wanted, true, 4), Next::Wait(5));
        assert_eq!(next(&wanted, true, 5), Next::Resume);
        wanted.state.order = Some(order(&["b.example"]));
        assert_eq!(next(&wanted, true, 5), Next::Order(Why::Absent));
    }

    #[test]
    fn what_can_be_shown_in_no_way_is_not_ordered() {
        let mut wanted = wanted();
        wanted.hosts.insert("*.example".to_owned(), Solvable::Not("needs DNS".to_owned()));
        assert_eq!(next(&wanted, true, 0), Next::Wait(i64::MAX));
    }

    #[test]
    fn a_third_of_its_life_before_its_end_a_certificate_is_renewed() {
        for days in [6, 45, 90] {
            let wanted = with(days * DAY);
            let Next::Wait(due) = next(&wanted, false, 0) else { panic!() };
            let left = days * DAY - due;
            assert!(left >= days * DAY / 3 && left <= days * DAY / 3 + days * DAY / 30, "{days}: {left}");
            assert_eq!(next(&wanted, false, due), Next::Order(Why::Due));
        }
    }

    #[test]
    fn a_clock_that_is_far_ahead_has_nothing_renewed_again_and_again() {
        let mut wanted = with(45 * DAY);
        let now = 40 * DAY;
        assert_eq!(next(&wanted, false, now), Next::Order(Why::Due));
        wanted.state.issued = Some(now);
        assert_eq!(next(&wanted, false, now), Next::Wait(now + 45 * DAY / 4));
    }

    #[test]
    fn an_authority_is_asked_and_what_it_says_counts_until_the_last_tenth() {
        let mut wanted = with(90 * DAY);
        assert_eq!(next(&wanted, true, 0), Next::AskRenewal);
        let renewal = Renewal::new("x.y", (50 * DAY, 52 * DAY), (0, DAY / 4), 0x8000, None);
        assert!(renewal.at > 50 * DAY && renewal.at < 52 * DAY);
        wanted.state.renewal = Some(renewal.clone());
        assert_eq!(next(&wanted, true, 0), Next::Wait(DAY / 4));
        assert_eq!(next(&wanted, true, DAY / 4), Next::AskRenewal);
        assert_eq!(next(&wanted, true, renewal.at), Next::Order(Why::Due));
        wanted.state.renewal = Some(Renewal::new("x.y", (200 * DAY, 201 * DAY), (0, DAY), 0x8000, None));
        assert_eq!(next(&wanted, true, 81 * DAY), Next::Order(Why::Due), "the last tenth");
        wanted.state.renewal = Some(Renewal::new("other.id", (DAY, DAY), (0, DAY), 0x8000, None));
        assert_eq!(next(&wanted, true, 2 * DAY), Next::AskRenewal, "that was another certificate");
    }

    #[test]
    fn a_moment_that_was_chosen_stays_while_the_window_does() {
        let first = Renewal::new("x.y", (100, 900_000), (0, 3600), 0x3000, None);
        let again = Renewal::new("x.y", (100, 900_000), (50, 3600), 0xe000, Some(&first));
        assert_eq!((again.at, again.again), (first.at, 3650));
        let moved = Renewal::new("x.y", (100, 800_000), (50, 3600), 0xe000, Some(&first));
        assert_ne!(moved.at, first.at);
        let wild = Renewal::new("x.y", (i64::MIN, i64::MAX), (0, i64::MAX), u16::MAX, None);
        assert_eq!((wild.window, wild.again), ((i64::MIN, i64::MAX), DAY));
    }
}
