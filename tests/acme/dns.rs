// SPDX-License-Identifier: Apache-2.0
//! Records of challenges at a real server, and what is seen of them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use torana_controller::acme::dns::{Algorithm, DnsError, Record, Resolver, Rfc2136, Solver};
use torana_tests::ports;

use super::knot::{KEYS, Knot, STRANGER};

const NAME: &str = "_acme-challenge.torana.example";
/// So long anything may take to be seen.
const PATIENCE: Duration = Duration::from_secs(20);
/// So long what must not be seen is looked for.
const MOMENT: Duration = Duration::from_secs(2);

fn record(name: &str, value: &str) -> Record {
    Record { name: name.to_owned(), value: value.to_owned() }
}

fn resolver(server: &Knot) -> Resolver {
    Resolver::only(server.address).unwrap()
}

/// Holds that the server itself has it.
async fn is_at(server: &Knot, record: &Record) {
    resolver(server).propagated(record, &[server.address], PATIENCE).await.unwrap();
}

/// Holds that the server does not have it, and says so.
async fn is_not_at(server: &Knot, record: &Record) {
    let error = resolver(server).propagated(record, &[server.address], MOMENT).await.unwrap_err().to_string();
    assert!(error.contains("does not have it"), "{error}");
}

async fn refused(solver: Rfc2136, name: &str) -> String {
    Solver::Rfc2136(solver).present(&record(name, "v")).await.unwrap_err().to_string()
}

#[tokio::test]
async fn two_values_stand_beside_each_other_and_one_is_removed() {
    let server = Knot::start();
    for (key, algorithm, _) in KEYS {
        let solver = Solver::Rfc2136(server.solver(key, algorithm));
        let (one, other) = (record(NAME, &format!("one-{algorithm:?}")), record(NAME, &format!("other-{algorithm:?}")));
        solver.present(&one).await.unwrap();
        solver.present(&other).await.unwrap();
        solver.present(&other).await.expect("what is there already is well");
        is_at(&server, &one).await;
        is_at(&server, &other).await;
        solver.clean_up(&one).await.unwrap();
        is_not_at(&server, &one).await;
        is_at(&server, &other).await;
        solver.clean_up(&one).await.expect("what is gone already is well");
        solver.clean_up(&other).await.unwrap();
        is_not_at(&server, &other).await;
    }
}

#[tokio::test]
async fn the_zone_is_found_and_may_be_named() {
    let server = Knot::start();
    let below = record("_acme-challenge.a.b.c.sub.torana.example", "v");
    server.trusted().present(&below).await.unwrap();
    is_at(&server, &below).await;
    let named = Rfc2136 { zone: Some("Torana.example.".to_owned()), ..server.solver(KEYS[0].0, KEYS[0].1) };
    Solver::Rfc2136(named).present(&record(NAME, "v")).await.unwrap();
    is_at(&server, &record(NAME, "v")).await;
}

#[tokio::test]
async fn a_key_that_may_not_or_is_another_is_told_so() {
    let server = Knot::start();
    let zone = Some("torana.example".to_owned());
    let with = |key: &str, algorithm| Rfc2136 { zone: zone.clone(), ..server.solver(key, algorithm) };
    let (trusted, sha256) = (KEYS[0].0, Algorithm::HmacSha256);
    for (solver, codes, remedy) in [
        (
            with(STRANGER, sha256),
            &["NOTAUTH (BADKEY);"][..],
            "key stranger.example with this algorithm, or not for this zone",
        ),
        (with("nobody.example", sha256), &["NOTAUTH (BADKEY);"], "it knows no key nobody.example"),
        (with(trusted, Algorithm::HmacSha512), &["NOTAUTH (BADKEY);"], "correct name and algorithm"),
        (other_secret(with(trusted, sha256)), &["NOTAUTH (BADSIG);"], "use the same at both ends"),
        (Rfc2136 { tsig: None, ..with(trusted, sha256) }, &["NOTAUTH;", "REFUSED;"], "without a key"),
    ] {
        let error = refused(solver, NAME).await;
        println!("{error}");
        assert!(error.starts_with(&format!("{} does not update zone torana.example", server.address)), "{error}");
        assert!(codes.iter().any(|code| error.contains(code)) && error.contains(remedy), "{error}");
    }
    let unfound = refused(Rfc2136 { zone: None, ..with("nobody.example", sha256) }, NAME).await;
    assert!(unfound.contains("NOTAUTH (BADKEY);"), "{unfound}");
    is_not_at(&server, &record(NAME, "v")).await;
}

fn other_secret(mut solver: Rfc2136) -> Rfc2136 {
    if let Some(tsig) = &mut solver.tsig {
        tsig.secret = b"another".to_vec();
    }
    solver
}

#[tokio::test]
async fn a_zone_that_the_server_does_not_have_is_told() {
    let server = Knot::start();
    let solver = || server.solver(KEYS[0].0, KEYS[0].1);
    let unknown = refused(solver(), "_acme-challenge.www.unknown.example").await;
    assert!(unknown.contains("has no zone for _acme-challenge.www.unknown.example"), "{unknown}");
    let named = |zone: &str| Rfc2136 { zone: Some(zone.to_owned()), ..solver() };
    let not_there = refused(named("unknown.example"), "_acme-challenge.unknown.example").await;
    assert!(not_there.contains("NOTAUTH; is it the primary server of zone unknown.example"), "{not_there}");
    let outside = refused(named("challenges.example"), NAME).await;
    assert!(outside.contains("NOTZONE; _acme-challenge.torana.example is not in zone challenges.example"), "{outside}");
    let handed_on = refused(solver(), "_acme-challenge.far.torana.example").await;
    assert!(handed_on.contains("it has handed zone far.torana.example on to another server"), "{handed_on}");
}

#[tokio::test]
async fn a_record_is_put_where_its_name_is_delegated_to() {
    let server = Knot::start();
    let (name, resolver) = ("_acme-challenge.app.torana.example", resolver(&server));
    let target = resolver.delegated(name).await.unwrap();
    assert_eq!(target, "app.challenges.example");
    assert_eq!(resolver.delegated(NAME).await.unwrap(), NAME);
    server.trusted().present(&record(&target, "v")).await.unwrap();
    for name in [name, &target] {
        resolver.propagated(&record(name, "v"), &[server.address], PATIENCE).await.unwrap();
    }
    let circle = resolver.delegated("circle.torana.example").await.unwrap_err();
    assert!(matches!(circle, DnsError::Aliases { .. }), "{circle}");
}

#[tokio::test]
async fn addresses_are_those_behind_all_aliases() {
    let server = Knot::start();
    let resolver = resolver(&server);
    for host in ["www.torana.example", "alias.torana.example", "Alias.Torana.Example."] {
        let found: Vec<String> = resolver.addresses(host).await.unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(found, ["192.0.2.1", "2001:db8::1"], "{host}");
    }
    let of = |host: &'static str| resolver.addresses(host);
    assert!(matches!(of("no.torana.example").await, Err(DnsError::Absent { .. })));
    assert!(matches!(of("text.torana.example").await, Err(DnsError::Empty { .. })));
    assert!(matches!(of("not a name").await, Err(DnsError::NoName(_))));
    let unanswered = of("www.unknown.example").await.unwrap_err();
    assert!(matches!(unanswered, DnsError::Unanswered { .. }), "{unanswered}");
    assert!(unanswered.to_string().contains("REFUSED"), "{unanswered}");
}

#[tokio::test]
async fn a_resolver_that_is_not_there_is_said_in_time() {
    let (begun, nowhere) = (Instant::now(), SocketAddr::from(([127, 0, 0, 1], ports::free())));
    let resolver = Resolver::only(nowhere).unwrap();
    for error in
        [resolver.addresses("www.torana.example").await.unwrap_err(), resolver.caa("a.b.example").await.unwrap_err()]
    {
        assert!(matches!(error, DnsError::Unanswered { .. }), "{error}");
        assert!(error.to_string().contains(&nowhere.to_string()), "{error}");
    }
    assert!(begun.elapsed() < 2 * Duration::from_secs(11));
}

#[tokio::test]
async fn who_may_issue_stands_at_the_name_or_above() {
    let server = Knot::start();
    let resolver = resolver(&server);
    for host in ["torana.example", "www.torana.example", "a.b.c.torana.example", "alias.torana.example"] {
        let caa = resolver.caa(host).await.unwrap();
        assert_eq!(caa.at.as_deref(), Some("torana.example"), "{host}");
        assert!(caa.allows("letsencrypt.org", false) && !caa.allows("letsencrypt.org", true), "{caa:?}");
        assert!(!caa.allows("ca.example", false));
        assert_eq!(caa.issue[0].parameters, [("validationmethods".to_owned(), "dns-01".to_owned())]);
    }
    for host in ["strict.torana.example", "a.strict.torana.example", "aliased.torana.example"] {
        let caa = resolver.caa(host).await.unwrap();
        assert_eq!(caa.critical.as_deref(), Some("tbs"), "{host}");
        assert!(!caa.allows("letsencrypt.org", false));
    }
    // Nobody here tells what is above: whoever does not know must not think that all may.
    assert!(matches!(resolver.caa("www.challenges.example").await, Err(DnsError::Unanswered { .. })));
}

#[tokio::test]
async fn a_record_is_waited_for_until_every_server_has_it() {
    let (first, second) = (Knot::start(), Knot::start());
    let (record, servers) = (record(NAME, "v"), [first.address, second.address]);
    let resolver = resolver(&first);
    first.trusted().present(&record).await.unwrap();
    let error = resolver.propagated(&record, &servers, MOMENT).await.unwrap_err().to_string();
    assert!(error.contains(&format!("{} does not have it", second.address)), "{error}");
    assert!(!error.contains(&first.address.to_string()), "{error}");
    let later = async {
        tokio::time::sleep(MOMENT).await;
        second.trusted().present(&record).await.unwrap();
        Instant::now()
    };
    let seen = async {
        resolver.propagated(&record, &servers, PATIENCE).await.unwrap();
        Instant::now()
    };
    let (there, seen) = tokio::join!(later, seen);
    assert!(seen > there);
}

#[tokio::test]
async fn without_servers_those_of_the_zone_count() {
    let (asked, authority) = (Knot::start(), Knot::start());
    let (record, mut resolver) = (record(NAME, "v"), resolver(&asked));
    resolver.port = authority.address.port();
    asked.trusted().present(&record).await.unwrap();
    let error = resolver.propagated(&record, &[], MOMENT).await.unwrap_err().to_string();
    assert!(error.contains("ns1.torana.example does not have it"), "{error}");
    authority.trusted().present(&record).await.unwrap();
    resolver.propagated(&record, &[], PATIENCE).await.unwrap();
}

#[tokio::test]
async fn where_no_server_of_the_zone_can_be_asked_the_resolver_counts() {
    let server = Knot::start();
    let (record, mut resolver) = (record(NAME, "v"), resolver(&server));
    resolver.port = ports::free();
    let error = resolver.propagated(&record, &[], PATIENCE / 2).await.unwrap_err().to_string();
    assert!(error.contains(&format!("{} does not have it", server.address)), "{error}");
    server.trusted().present(&record).await.unwrap();
    resolver.propagated(&record, &[], PATIENCE).await.unwrap();
}
