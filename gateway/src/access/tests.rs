// SPDX-License-Identifier: Apache-2.0

use std::net::SocketAddr;
use std::sync::Arc;

use torana_ir::{AccessAction, AccessPolicy, AccessRule, Condition, PolicyKey, Terms, TextTest};

use super::*;
use crate::head::{Head, Scheme, Version};

fn key(name: &str) -> PolicyKey {
    PolicyKey { namespace: "n".to_owned(), name: name.to_owned() }
}

/// A policy whose rules each ask for one of these.
fn policy(name: &str, action: AccessAction, conditions: &[Condition]) -> AccessPolicy {
    let rules = conditions.iter().enumerate();
    let rules = rules.map(|(place, condition)| AccessRule {
        place: u16::try_from(place).unwrap(),
        to: vec![vec![condition.clone()]],
        ..AccessRule::default()
    });
    AccessPolicy { key: key(name), action, dry_run: false, rules: rules.collect() }
}

fn exactly(text: &str) -> Terms<TextTest> {
    Terms { any: vec![TextTest::Exact(text.to_owned())], none: vec![] }
}

fn beneath(text: &str) -> Condition {
    Condition::Path(Terms { any: vec![TextTest::Prefix(text.to_owned())], none: vec![] })
}

fn path(text: &str) -> Condition {
    Condition::Path(exactly(text))
}

fn method(text: &str) -> Condition {
    Condition::Method(exactly(text))
}

fn port(port: u16) -> Condition {
    Condition::Port(Terms { any: vec![port], none: vec![] })
}

fn access(policies: &[AccessPolicy], is_http: bool) -> Arc<Access> {
    let keys: Vec<_> = policies.iter().map(|policy| policy.key.clone()).collect();
    let find = |key: &PolicyKey| policies.iter().find(|it| it.key == *key).cloned().map(Arc::new);
    Access::compile(&keys, find, is_http, None).unwrap()
}

fn judged(access: &Access, method: &str, path: &str) -> Judgement {
    let head = Head::new(Version::Http11, Scheme::Http, method, "a.com", path);
    let ends: (SocketAddr, SocketAddr) = ("192.0.2.7:1000".parse().unwrap(), "10.0.0.1:80".parse().unwrap());
    let facts = Facts::of(ends.0.ip(), ends, None, &[]);
    let client = facts.client;
    access.judge(&facts.with(client, &head))
}

fn said(policies: &[AccessPolicy], method: &str, path: &str) -> String {
    judged(&access(policies, true), method, path).verdict.to_string()
}

fn on_a_stream(policies: &[AccessPolicy]) -> String {
    let ends: (SocketAddr, SocketAddr) = ("192.0.2.7:1000".parse().unwrap(), "10.0.0.1:80".parse().unwrap());
    access(policies, false).judge(&Facts::of(ends.0.ip(), ends, None, &[])).verdict.to_string()
}

#[test]
fn what_is_denied_is_denied_whatever_allows_it() {
    use AccessAction::{Allow, Deny};
    let deny = policy("deny", Deny, &[path("/x"), path("/admin")]);
    let allow = policy("allow", Allow, &[method("GET")]);
    for (policies, method, path, expected) in [
        (vec![deny.clone()], "GET", "/", "allowed"),
        (vec![deny.clone()], "GET", "/admin", "denied by n/deny[1]"),
        (vec![allow.clone()], "GET", "/admin", "allowed by n/allow[0]"),
        (vec![allow.clone()], "POST", "/", "denied by none that allows it"),
        (vec![allow.clone(), deny.clone()], "GET", "/admin", "denied by n/deny[1]"),
        (vec![allow.clone(), deny], "GET", "/", "allowed by n/allow[0]"),
        // One that has no rule allows nothing, another may.
        (vec![policy("none", Allow, &[])], "GET", "/", "denied by none that allows it"),
        (vec![policy("none", Allow, &[]), allow], "GET", "/", "allowed by n/allow[0]"),
    ] {
        assert_eq!(said(&policies, method, path), expected, "{policies:?}");
    }
}

#[test]
fn a_path_that_is_denied_is_not_to_be_had_by_another_spelling() {
    let deny = policy("deny", AccessAction::Deny, &[path("/admin")]);
    for path in [
        "/admin/",
        "//admin",
        "/admin;x",
        "/admin;%2f..",
        "//admin;%2f..",
        "/x/..%2fadmin",
        "/%2561dmin",
        "/x/..;/admin",
        "/.//admin",
    ] {
        assert_eq!(said(std::slice::from_ref(&deny), "GET", path), "denied by n/deny[0]", "{path}");
    }
    // Nor are exceptions.
    let none = vec![TextTest::Prefix("/public".to_owned())];
    let except = policy("deny", AccessAction::Deny, &[Condition::Path(Terms { any: vec![], none })]);
    for (path, expected) in [
        ("/public/a", "allowed"),
        ("/public/", "allowed"),
        ("/public%2fa", "allowed"),
        ("/public/..%2fadmin", "denied by n/deny[0]"),
    ] {
        assert_eq!(said(std::slice::from_ref(&except), "GET", path), expected, "{path}");
    }
}

#[test]
fn what_is_allowed_does_not_lead_out_of_where_it_seems_to_be() {
    let allow = policy("allow", AccessAction::Allow, &[beneath("/public/")]);
    for (path, expected) in [
        ("/public/", "allowed by n/allow[0]"),
        ("/public/a%2Fb", "allowed by n/allow[0]"),
        ("/public//a;v=1", "allowed by n/allow[0]"),
        ("/public/a/..%2fb", "allowed by n/allow[0]"),
        ("/public/..%2fadmin", "denied by none that allows it"),
        ("/public/..;/admin", "denied by none that allows it"),
        ("/public/%252e%252e/admin", "denied by none that allows it"),
        ("/public/..%2fadmin;%2f..%2fpublic%2fx", "denied by none that allows it"),
    ] {
        assert_eq!(said(std::slice::from_ref(&allow), "GET", path), expected, "{path}");
    }
}

#[test]
fn where_there_are_no_requests_less_is_allowed_and_more_denied() {
    use AccessAction::{Allow, Deny};
    let both = |action| {
        let mut both = policy("p", action, &[port(80)]);
        both.rules[0].when = vec![method("GET")];
        both
    };
    for (policies, expected) in [
        (vec![policy("p", Allow, &[port(80)])], "allowed by n/p[0]"),
        (vec![policy("p", Allow, &[port(81)])], "denied by none that allows it"),
        (vec![policy("p", Allow, &[method("GET")])], "denied by none that allows it"),
        (vec![both(Allow)], "denied by none that allows it"),
        (vec![policy("p", Deny, &[port(81)])], "allowed"),
        (vec![policy("p", Deny, &[method("GET")])], "denied by n/p[0]"),
        (vec![both(Deny)], "denied by n/p[0]"),
    ] {
        assert_eq!(on_a_stream(&policies), expected, "{policies:?}");
    }
}

#[test]
fn policies_of_requests_are_none_of_streams_though_they_are_the_same() {
    let deny = policy("p", AccessAction::Deny, &[path("/admin")]);
    let find = |_: &PolicyKey| Some(Arc::new(deny.clone()));
    let of_requests = Access::compile(&[key("p")], find, true, None).unwrap();
    let of_streams = Access::compile(&[key("p")], find, false, Some(&of_requests)).unwrap();
    let ends: (SocketAddr, SocketAddr) = ("192.0.2.7:1000".parse().unwrap(), "10.0.0.1:80".parse().unwrap());
    assert!(of_streams.judge(&Facts::of(ends.0.ip(), ends, None, &[])).is_denial());
}

#[test]
fn what_only_tells_ends_nothing() {
    use AccessAction::{Allow, Audit, Deny};
    let dry = |action| AccessPolicy { dry_run: true, ..policy("dry", action, &[path("/a")]) };
    for (policies, path, would) in [
        (vec![dry(Deny)], "/a", Some("denied by n/dry[0]")),
        (vec![dry(Deny)], "/b", Some("allowed")),
        (vec![dry(Allow)], "/b", Some("denied by none that allows it")),
        (vec![policy("audit", Audit, &[beneath("/")])], "/a", None),
    ] {
        let judgement = judged(&access(&policies, true), "GET", path);
        assert_eq!(judgement.verdict, Verdict::Allowed(None));
        assert_eq!(judgement.would.map(|would| would.to_string()).as_deref(), would, "{policies:?}");
    }
    let audited = judged(&access(&[policy("audit", Audit, &[path("/a")])], true), "GET", "/a").audited;
    assert_eq!(audited.as_deref(), Some("n/audit[0]"));
}

#[test]
fn a_policy_that_is_named_and_not_there_lets_nobody_through() {
    let there = Arc::new(policy("there", AccessAction::Allow, &[beneath("/")]));
    let find = |key: &PolicyKey| (key.name == "there").then(|| Arc::clone(&there));
    let access = Access::compile(&[key("there"), key("absent")], find, true, None).unwrap();
    assert_eq!(judged(&access, "GET", "/").verdict.to_string(), "denied by n/absent, which is not there");
    let again = Access::compile(&[key("there"), key("absent")], find, true, Some(&access)).unwrap();
    assert!(Arc::ptr_eq(&access, &again));
    let found = Access::compile(&[key("there")], find, true, Some(&access)).unwrap();
    assert_eq!(judged(&found, "GET", "/").verdict.to_string(), "allowed by n/there[0]");
    assert!(Access::compile(&[], find, true, Some(&access)).is_none());
}
