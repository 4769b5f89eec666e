// SPDX-License-Identifier: Apache-2.0

use torana_ir::{
    Action, Attachment, Filter, HostPattern, Invalid, Listener, PathMatch, PathMode, Redirect, RedirectPort, RouteId,
    RouteKind, RouteMatch, Rule, RuleKey, Snapshot, Timeouts, Transport,
};

use super::*;
use crate::head::Scheme;
use crate::samples::{acme_host, listener_key};
use crate::table::{Bind, Routed, Table, imagine};

const BIND: Bind = Bind { address: None, port: 80, transport: Transport::Tcp };

fn hosts(hosts: Vec<AcmeHost>) -> SharedMap<AcmeHostKey, Arc<AcmeHost>> {
    hosts.into_iter().map(|host| (host.key.clone(), Arc::new(host))).collect()
}

/// A listener with a rule for every path.
fn snapshot(listener: Listener, asked: Vec<AcmeHost>) -> Snapshot {
    let route = RouteId { kind: RouteKind::HttpRoute, namespace: "n".into(), name: "r".into() };
    let invalid = Invalid { reason: "BackendNotFound".into(), message: String::new() };
    let rule = Rule {
        key: RuleKey { route, index: 0 },
        name: None,
        created: 0,
        attachments: vec![Attachment { listener: listener.key.clone(), hostnames: vec![HostPattern::Any] }],
        matches: vec![RouteMatch::of(PathMatch::Prefix(String::new()))],
        filters: vec![Filter::Redirect(Redirect {
            scheme: None,
            host: None,
            path: None,
            query: None,
            port: RedirectPort::Known,
            status: 301,
        })],
        action: Action::Invalid(invalid),
        timeouts: Timeouts::default(),
        retry: None,
        session: None,
        order: torana_ir::Order::Specific,
        sampling: None,
    };
    Snapshot {
        listeners: [(listener.key.clone(), Arc::new(listener))].into(),
        rules: [(rule.key.clone(), Arc::new(rule))].into(),
        acme_hosts: hosts(asked),
        ..Snapshot::default()
    }
}

fn table(asked: Vec<AcmeHost>) -> Table {
    Table::compile(&snapshot(Listener::new(listener_key("l"), 80), asked), &Table::empty())
}

/// The answer; `routed` or the reason of the fault.
fn ask(table: &Table, method: &str, host: &str, target: &str) -> String {
    let mut head = imagine(Scheme::Http, method, target, &[("host", host)]).unwrap();
    let explained = table.explain(table.bind(&BIND).unwrap(), &mut head.clone(), None);
    let told = |routed: Routed| match routed {
        Routed::Plan { .. } => "routed".to_owned(),
        Routed::Challenge { authorization, .. } => String::from_utf8(authorization.to_vec()).unwrap(),
        Routed::Fault { fault, .. } => fault.reason().to_owned(),
        Routed::Tokens { .. } => panic!("nobody asks for claims"),
    };
    let told_of = told(table.route(&BIND, &mut head, None));
    if told_of != Fault::Guarded.reason() {
        assert_eq!(told(explained.routed), told_of, "{method} {host} {target}");
    }
    told_of
}

#[test]
fn a_token_is_answered_and_another_is_never_routed_where_the_path_is_reserved() {
    let table = table(vec![acme_host("g", "a.com", &["t"], None, true), acme_host("g", "b.com", &["t"], None, false)]);
    let rows = [
        ("GET", "a.com", "/.well-known/acme-challenge/t", "t.thumb"),
        ("HEAD", "a.com", "/.well-known/acme-challenge/t", "t.thumb"),
        ("GET", "A.com.:80", "/.well-known/acme-challenge/t?x=/../..", "t.thumb"),
        ("POST", "a.com", "/.well-known/acme-challenge/t", "acme_bad_method"),
        ("GET", "a.com", "/.well-known/acme-challenge/other", "acme_unknown_token"),
        ("POST", "a.com", "/.well-known/acme-challenge/other", "acme_unknown_token"),
        ("GET", "a.com", "/.well-known/acme-challenge/", "acme_unknown_token"),
        ("GET", "a.com", "/.well-known/acme-challenge/t/", "acme_unknown_token"),
        ("GET", "a.com", "/.well-known/acme-challenge", "routed"),
        ("GET", "a.com", "/.well-known/acme-challenges/t", "routed"),
        ("GET", "a.com", "/x/.well-known/acme-challenge/t", "routed"),
        ("GET", "a.com", "/", "routed"),
        ("GET", "b.com", "/.well-known/acme-challenge/t", "t.thumb"),
        ("GET", "b.com", "/.well-known/acme-challenge/other", "routed"),
        ("POST", "b.com", "/.well-known/acme-challenge/other", "routed"),
        ("GET", "c.com", "/.well-known/acme-challenge/t", "routed"),
        ("GET", "x.a.com", "/.well-known/acme-challenge/t", "routed"),
    ];
    for (method, host, target, expected) in rows {
        assert_eq!(ask(&table, method, host, target), expected, "{method} {host} {target}");
    }
}

#[test]
fn no_form_of_the_path_comes_around_the_reservation() {
    let forms = [
        "/x/../.well-known/acme-challenge/t",
        "/.well-known/./acme-challenge/t",
        "/%2ewell-known/acme%2dchallenge/t",
        "/%2e/.well-known/acme-challenge/%74",
        "\\.well-known\\acme-challenge\\t",
    ];
    let asked = || vec![acme_host("g", "a.com", &["t"], None, true)];
    for mode in [PathMode::None, PathMode::Base, PathMode::MergeSlashes, PathMode::DecodeAndMergeSlashes] {
        let listener = Listener { path_mode: mode, ..Listener::new(listener_key("l"), 80) };
        let table = Table::compile(&snapshot(listener, asked()), &Table::empty());
        for form in forms {
            assert_eq!(ask(&table, "GET", "a.com", form), "t.thumb", "{mode:?} {form}");
        }
        let (merged, decoded) = (mode >= PathMode::MergeSlashes, mode == PathMode::DecodeAndMergeSlashes);
        for (form, is_one, told) in [
            ("//.well-known//acme-challenge/t", merged, "t.thumb"),
            ("/.well-known%2facme-challenge/t", decoded, "t.thumb"),
            ("/.well-known%5Cacme-challenge%2F%74", decoded, "t.thumb"),
            ("/.well-known/acme-challenge%2Ft%2Fx/..", decoded, "acme_unknown_token"),
        ] {
            // What is another path to the listener is another path to its backends.
            let expected = if is_one { told } else { "routed" };
            assert_eq!(ask(&table, "GET", "a.com", form), expected, "{mode:?} {form}");
        }
    }
    // As it is written it is beneath the path, and so it would reach a backend.
    let listener = Listener { path_mode: PathMode::None, ..Listener::new(listener_key("l"), 80) };
    let table = Table::compile(&snapshot(listener, asked()), &Table::empty());
    assert_eq!(ask(&table, "GET", "a.com", "/.well-known/acme-challenge/../../x"), "acme_unknown_token");
}

#[test]
fn neither_a_closed_listener_nor_none_at_all_keeps_an_authority_away() {
    let invalid = Invalid { reason: "PolicyNotEvaluated".into(), message: String::new() };
    let closed = Listener { closed: Some(invalid), ..Listener::new(listener_key("l"), 80) };
    let elsewhere = Listener { hostname: HostPattern::parse("b.com").unwrap(), ..Listener::new(listener_key("l"), 80) };
    for (listener, other) in [(closed, "policy_not_evaluated"), (elsewhere, "no_listener")] {
        let asked = vec![acme_host("g", "a.com", &["t"], None, true)];
        let table = Table::compile(&snapshot(listener, asked), &Table::empty());
        assert_eq!(ask(&table, "GET", "a.com", "/.well-known/acme-challenge/t"), "t.thumb");
        assert_eq!(ask(&table, "GET", "a.com", "/.well-known/acme-challenge/u"), "acme_unknown_token");
        assert_eq!(ask(&table, "GET", "a.com", "/"), other);
    }
    let mut head = imagine(Scheme::Http, "GET", "/.well-known/acme-challenge/t", &[("host", "a.com")]).unwrap();
    let nowhere = Bind { port: 81, ..BIND };
    let routed = table(vec![acme_host("g", "a.com", &["t"], None, true)]).route(&nowhere, &mut head, None);
    assert!(matches!(routed, Routed::Challenge { listener: None, .. }));
}

#[test]
fn gateways_that_share_a_host_have_all_their_questions_answered() {
    let table = table(vec![
        acme_host("one", "a.com", &["t"], None, false),
        acme_host("two", "a.com", &["u"], Some("p.two"), true),
        acme_host("zwei", "a.com", &[], Some("p.zwei"), false),
    ]);
    assert_eq!(ask(&table, "GET", "a.com", "/.well-known/acme-challenge/t"), "t.thumb");
    assert_eq!(ask(&table, "GET", "a.com", "/.well-known/acme-challenge/u"), "u.thumb");
    assert_eq!(ask(&table, "GET", "a.com", "/.well-known/acme-challenge/v"), "acme_unknown_token");
    assert_eq!(table.challenges().hosts["a.com"].proof.as_ref().unwrap().authorization, "p.two");
}

#[test]
fn a_proof_is_made_once_and_kept_while_it_proves_the_same() {
    let of = |tokens: &[&str], proof| hosts(vec![acme_host("g", "a.com", tokens, Some(proof), true)]);
    let first = Challenges::compile(&of(&[], "t.one"), &Arc::default());
    let same = Challenges::compile(&of(&[], "t.one"), &first);
    assert!(Arc::ptr_eq(&first, &same));
    let more = Challenges::compile(&of(&["u"], "t.one"), &same);
    let proof = |challenges: &Challenges| challenges.handshake("a.com").unwrap();
    assert!(Arc::ptr_eq(&proof(&first), &proof(&more)));
    let other = Challenges::compile(&of(&["u"], "t.two"), &more);
    assert!(!Arc::ptr_eq(&proof(&more), &proof(&other)));
    assert!(other.handshake("b.com").is_none());
    let gone = Challenges::compile(&SharedMap::new(), &other);
    assert!(gone.is_empty() && gone.handshake("a.com").is_none());
}
