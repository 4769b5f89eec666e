// SPDX-License-Identifier: Apache-2.0
//! When certificates are renewed is the authority's to say (RFC 9773), and how long they live, by profiles: against the
//! Pebble that `./dev acme` builds.

use std::fs;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::ClientConfig;
use torana_tests::{Backend, Clock, Connection, World, eventually, ports};

use super::pebble::{Manner, Pebble, newer};
use super::site::{HOST, Leaf, Site, route, served};

const DAY: i64 = 86_400;
const PROFILES: &[(&str, u32)] = &[("classic", 90 * 86_400), ("shortlived", 6 * 86_400)];
const SHORT: &str = ", profile: shortlived";

/// A Gateway, its backend, and a Pebble with profiles.
struct Stage {
    site: Site,
    pebble: Pebble,
    backend: Backend,
    clock: Clock,
}

impl Stage {
    /// Nothing, and it says so, where something is not installed.
    fn new() -> Option<Self> {
        let (site, backend) = (Site::new(), Backend::named("app"));
        let clock = Clock::new(&site.data.path().join(".clock"))?;
        let manner = Manner { newer: Some(newer()?), profiles: PROFILES, ..Manner::default() };
        let pebble = Pebble::with(site.http, site.https, &manner);
        Some(Self { site, pebble, backend, clock })
    }

    /// Torana by the clock, with certificates of this profile.
    fn start(&self, profile: &str) -> World {
        self.site.start_by(&self.clock, &self.manifests(profile))
    }

    fn manifests(&self, profile: &str) -> String {
        self.site.gateway(&[HOST]) + &self.pebble.issuer("pebble", profile) + &route(&self.backend)
    }

    /// Torana with a certificate, after it has asked when it is to be renewed.
    fn obtained(&self, profile: &str) -> (World, Leaf) {
        let world = self.start(profile);
        served(&self.site, (&world, &self.pebble), &[HOST]);
        assert!(eventually(|| self.questions() == 1), "{}", self.pebble.log());
        (world, self.site.leaf(&self.pebble.client()).unwrap())
    }

    /// How often Pebble was asked by Torana when to renew.
    fn questions(&self) -> usize {
        self.pebble.log().matches("/renewalInfo/ ->").count()
    }

    /// When `torana certs` says that the certificate is renewed.
    fn renews(&self) -> i64 {
        self.site.certs().0[0]["renews"].as_i64().unwrap_or_default()
    }

    /// Whether another certificate than `before` is shown, with another key.
    fn is_renewed(&self, client: &Arc<ClientConfig>, before: &Leaf) -> bool {
        self.site.leaf(client).is_some_and(|leaf| leaf.id != before.id && leaf.key != before.key)
    }

    /// The authority wants the certificate to have been renewed an hour ago.
    fn recall(&self, certificate: &Leaf) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed();
        self.pebble.move_window(&certificate.pem, (now - 7200, now - 3600));
    }
}

#[test]
fn a_short_lived_certificate_is_renewed_in_the_window_that_the_authority_tells_and_certs_says_so() {
    let Some(stage) = Stage::new() else { return };
    let (world, leaf) = stage.obtained(SHORT);
    assert!((6 * DAY - (leaf.valid.1 - leaf.valid.0)).abs() <= 1, "{:?}", leaf.valid);
    let told = stage.pebble.window(&leaf.id);
    let within = |(start, end): (i64, i64)| (start..=end).contains(&stage.renews());
    assert!(eventually(|| within(told)), "{told:?} {}", stage.renews());
    // A window in which it would never be of itself: that it is asked again is not before tomorrow.
    drop(world);
    let moved = (leaf.valid.0 + 2 * DAY, leaf.valid.0 + 2 * DAY + 3600);
    stage.pebble.move_window(&leaf.pem, moved);
    assert_eq!(stage.pebble.window(&leaf.id), moved);
    assert!(!within(moved), "{moved:?} {}", stage.renews());
    stage.clock.set("+1d");
    let world = stage.start(SHORT);
    assert!(eventually(|| within(moved)), "{moved:?} {} {}", stage.renews(), world.log());
    assert!(stage.site.leaf(&stage.pebble.client()).is_some_and(|shown| shown.id == leaf.id));
    assert_eq!(stage.pebble.orders(), 1);
}

#[test]
fn an_unknown_profile_is_told_with_its_field_and_not_ordered_again_and_again() {
    let Some(stage) = Stage::new() else { return };
    let world = stage.start(", profile: fleeting");
    let told = || stage.site.certs().0[0]["error"].as_str().map(str::to_owned).unwrap_or_default();
    let is_told = eventually(|| told().contains("\"fleeting\"") && told().contains("correct spec.profile"));
    assert!(is_told, "{} {}", told(), world.log());
    assert!(eventually(|| world.log().contains("correct spec.profile")), "{}", world.log());
    assert_eq!(Connection::open(stage.site.http).unwrap().get(HOST, "/").unwrap().status, 200);
    std::thread::sleep(std::time::Duration::from_secs(10));
    assert_eq!((stage.pebble.asked_for_orders(), stage.pebble.orders()), (1, 0), "{}", world.log());
    world.apply("world.yaml", &stage.manifests(SHORT));
    let client = stage.pebble.client();
    assert_eq!(stage.site.renew(HOST), Some(0));
    assert!(eventually(|| stage.site.leaf(&client).is_some()), "{} {}", told(), world.log());
    assert_eq!(stage.site.certs().1, Some(0), "nothing is left of it: {}", told());
}

#[test]
fn a_window_that_moves_has_the_certificate_replaced_at_once_while_connections_live_on() {
    let Some(stage) = Stage::new() else { return };
    let (world, before) = stage.obtained(SHORT);
    let client = stage.pebble.client();
    let mut kept = Connection::tls(stage.site.https, HOST, &client).unwrap();
    stage.recall(&before);
    assert_eq!((stage.questions(), stage.pebble.orders()), (1, 1), "it was asked already");
    // It is young; the authority wants it replaced all the same.
    stage.clock.set("+7h");
    // Whatever changes what is wanted, it looks at the clock: else every ten minutes.
    let other = Site { http: ports::free(), https: ports::free(), data: tempfile::tempdir().unwrap() };
    world.apply("other.yaml", &other.gateway(&[HOST]).replace("name: edge", "name: other"));
    assert!(eventually(|| stage.is_renewed(&client, &before)), "{}\n{}", world.log(), stage.pebble.log());
    assert_eq!(kept.get(HOST, "/").unwrap().status, 200);
    let log = stage.pebble.log();
    assert!(log.contains("is a replacement of") && log.contains("has been marked as replaced"), "{log}");
    assert!(eventually(|| stage.questions() == 3), "asked anew, then about its successor: {}", stage.pebble.log());
    assert_eq!(stage.pebble.orders(), 2, "{}", world.log());
}

#[test]
fn an_authority_that_does_not_let_another_account_replace_a_certificate_is_asked_for_one_anew() {
    let Some(stage) = Stage::new() else { return };
    let (world, before) = stage.obtained(SHORT);
    drop(world);
    let files = fs::read_dir(stage.site.data.path()).unwrap().map(|entry| entry.unwrap().path());
    let accounts: Vec<_> = files.filter(|path| path.display().to_string().contains("acme-account")).collect();
    assert_eq!(accounts.len(), 1, "{accounts:?}");
    fs::remove_file(&accounts[0]).unwrap();
    stage.recall(&before);
    stage.clock.set("+2d");
    let (world, client) = (stage.start(SHORT), stage.pebble.client());
    assert!(eventually(|| stage.is_renewed(&client, &before)), "{}\n{}", world.log(), stage.pebble.log());
    assert!(world.log().contains("did not request the certificate being replaced"), "{}", world.log());
    assert_eq!((stage.pebble.asked_for_orders(), stage.pebble.orders()), (3, 2), "{}", world.log());
}

#[test]
fn an_authority_that_cannot_be_asked_when_to_renew_makes_no_certificate_fail() {
    let Some(stage) = Stage::new() else { return };
    let (world, before) = stage.obtained(SHORT);
    let client = stage.pebble.client();
    let manifests = stage.manifests(SHORT);
    drop(world);
    let Stage { site, pebble, backend: _backend, clock } = stage;
    drop(pebble);
    clock.set("+1d");
    let world = site.start_by(&clock, &manifests);
    assert!(eventually(|| world.log().contains("does not say when to renew")), "{}", world.log());
    let (listed, code) = site.certs();
    assert_eq!((&listed[0]["state"], &listed[0]["error"], code), (&"Ready".into(), &().into(), Some(0)), "{listed}");
    assert!(site.leaf(&client).is_some_and(|leaf| leaf.id == before.id), "{}", world.log());
}
