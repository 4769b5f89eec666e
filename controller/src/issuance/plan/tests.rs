// SPDX-License-Identifier: Apache-2.0
use std::collections::{BTreeMap, BTreeSet};

use super::super::{ChallengeType, Issuer, Order, Solvable, Trouble};
use super::*;

const DAY: i64 = 86_400;
const NEVER: i64 = i64::MAX;

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
        is_rehearsal: false,
    }
}

#[test]
fn what_is_absent_lacks_a_name_or_comes_from_elsewhere_is_ordered() {
    assert_eq!(next(&wanted(), 0, 0), Next::Order(Why::Absent));
    let mut other = with(90 * DAY);
    other.hosts.insert("b.example".to_owned(), Solvable::By(ChallengeType::Http01));
    assert_eq!(next(&other, 0, 0), Next::Order(Why::Names));
    let mut other = with(90 * DAY);
    other.issuer.directory = "https://other/dir".to_owned();
    assert_eq!(next(&other, 0, 0), Next::Order(Why::Issuer));
    let mut more = with(90 * DAY);
    more.current.as_mut().unwrap().names.insert("old.example".to_owned());
    assert!(matches!(next(&more, NEVER, 0), Next::Wait(_)), "a name too many hurts nobody");
}

#[test]
fn what_failed_is_tried_soon_when_it_was_corrected() {
    let failed = |tried: Option<String>| {
        let mut wanted = wanted();
        wanted.state.next_try = Some(10_000);
        wanted.state.trouble = Some(Trouble { reason: "dns".to_owned(), message: String::new(), at: 100 });
        wanted.state.tried = tried;
        wanted
    };
    let same = failed(Some(wanted().issuer.terms()));
    assert_eq!(next(&same, 0, 200), Next::Wait(10_000));
    assert_eq!(next(&failed(None), 0, 200), Next::Wait(10_000), "the authority asked for it");
    let mut corrected = same.clone();
    corrected.issuer.profile = Some("shortlived".to_owned());
    let mut secret = same;
    let entry = ("hmac".to_owned(), torana_crds::core::SecretBytes::from(b"another".to_vec()));
    secret.issuer.secrets.insert(secret.secret.clone(), [entry].into());
    for other in [corrected, secret] {
        assert_eq!(next(&other, 0, 100), Next::Wait(100 + SOON), "not at once either");
        assert_eq!(next(&other, 0, 100 + SOON), Next::Order(Why::Absent));
    }
}

#[test]
fn an_order_is_seen_through_unless_it_is_for_something_else() {
    let mut wanted = wanted();
    wanted.state.order = Some(order(&["a.example"]));
    assert_eq!(next(&wanted, 0, 0), Next::Resume);
    wanted.state.next_try = Some(5);
    assert_eq!(next(&wanted, 0, 4), Next::Wait(5));
    assert_eq!(next(&wanted, 0, 5), Next::Resume);
    wanted.state.order = Some(order(&["b.example"]));
    assert_eq!(next(&wanted, 0, 5), Next::Order(Why::Absent));
}

#[test]
fn what_can_be_shown_in_no_way_is_not_ordered() {
    let mut wanted = wanted();
    wanted.hosts.insert("*.example".to_owned(), Solvable::Not("needs DNS".to_owned()));
    assert_eq!(next(&wanted, 0, 0), Next::Wait(i64::MAX));
}

#[test]
fn a_third_of_its_life_before_its_end_a_certificate_is_renewed() {
    for days in [6, 45, 90] {
        let wanted = with(days * DAY);
        let Next::Wait(due) = next(&wanted, NEVER, 0) else { panic!() };
        let left = days * DAY - due;
        assert!(left >= days * DAY / 3 && left <= days * DAY / 3 + days * DAY / 30, "{days}: {left}");
        assert_eq!(next(&wanted, NEVER, due), Next::Order(Why::Due));
    }
}

#[test]
fn a_clock_that_is_far_ahead_has_nothing_renewed_again_and_again() {
    let mut wanted = with(45 * DAY);
    let now = 40 * DAY;
    assert_eq!(next(&wanted, NEVER, now), Next::Order(Why::Due));
    wanted.state.issued = Some(now);
    assert_eq!(next(&wanted, NEVER, now), Next::Wait(now + 45 * DAY / 4));
}

#[test]
fn an_authority_that_must_revoke_young_certificates_has_them_replaced_but_not_again_and_again() {
    let mut wanted = with(90 * DAY);
    wanted.state.issued = Some(0);
    wanted.state.renewal = Some(Renewal::new("x.y", (-7200, -3600), (8 * 3600, DAY), 0, None));
    assert_eq!(next(&wanted, NEVER, RECALLED), Next::Order(Why::Due));
    assert_eq!(next(&wanted, NEVER, RECALLED - 1), Next::Wait(RECALLED));
    // As usual: a clock that says it is time may be wrong.
    wanted.state.renewal = Some(Renewal::new("x.y", (60 * DAY, 61 * DAY), (0, DAY), 0, None));
    wanted.state.issued = Some(60 * DAY);
    assert_eq!(next(&wanted, NEVER, 60 * DAY), Next::Wait(60 * DAY + 90 * DAY / 4));
}

#[test]
fn an_authority_is_asked_and_what_it_says_counts_until_the_last_tenth() {
    let mut wanted = with(90 * DAY);
    assert_eq!(next(&wanted, 0, 0), Next::AskRenewal);
    let renewal = Renewal::new("x.y", (50 * DAY, 52 * DAY), (0, DAY / 4), 0x8000, None);
    assert!(renewal.at > 50 * DAY && renewal.at < 52 * DAY);
    wanted.state.renewal = Some(renewal.clone());
    assert_eq!(next(&wanted, 0, 0), Next::Wait(DAY / 4));
    assert_eq!(next(&wanted, 0, DAY / 4), Next::AskRenewal);
    assert_eq!(next(&wanted, 0, renewal.at), Next::Order(Why::Due));
    wanted.state.renewal = Some(Renewal::new("x.y", (200 * DAY, 201 * DAY), (0, DAY), 0x8000, None));
    assert_eq!(next(&wanted, 0, 81 * DAY), Next::Order(Why::Due), "the last tenth");
    wanted.state.renewal = Some(Renewal::new("other.id", (DAY, DAY), (0, DAY), 0x8000, None));
    assert_eq!(next(&wanted, 0, 2 * DAY), Next::AskRenewal, "that was another certificate");
}

#[test]
fn an_authority_that_could_not_be_asked_is_asked_later_and_not_before() {
    let mut wanted = with(90 * DAY);
    assert_eq!(next(&wanted, 3600, 0), Next::Wait(3600));
    assert_eq!(next(&wanted, 3600, 3600), Next::AskRenewal);
    wanted.state.renewal = Some(Renewal::new("x.y", (50 * DAY, 52 * DAY), (0, 600), 0, None));
    assert_eq!(next(&wanted, 3600, 700), Next::Wait(3600));
}

#[test]
fn moments_are_spread_over_windows_short_and_long() {
    for length in [0, 60, 4 * 3600, 2 * DAY, 400 * DAY] {
        let at = |chance| Renewal::new("x.y", (100, 100 + length), (0, 0), chance, None).at - 100;
        assert_eq!((at(0), at(0x7fff), at(u16::MAX)), (0, (length * 0x7fff) / 0xffff, length));
    }
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
