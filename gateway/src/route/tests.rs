// SPDX-License-Identifier: Apache-2.0
//! The router against a naive matcher that sorts all candidates and looks at each in turn; and the spec's sentences.

use std::cmp::Reverse;
use std::sync::Arc;

use proptest::prelude::*;
use torana_ir::{
    Action, FieldMatch, HeaderName, HostPattern, Invalid, LineMatch, LinePart, Method, Order, PathMatch, Regex,
    RouteId, RouteKind, RouteMatch, Rule, RuleKey, TextMatch, Timeouts,
};

use super::*;
use crate::head::{Head, Scheme, Version};

/// A rule and the hostnames that it is served under.
#[derive(Debug, Clone)]
struct Route {
    rule: Rule,
    hosts: Vec<HostPattern>,
}

impl Routable for Route {
    fn rule(&self) -> &Rule {
        &self.rule
    }
}

fn router(routes: &[Arc<Route>], previous: Option<&Router<Route>>) -> Router<Route> {
    Router::build(routes.iter().map(|route| (route, route.hosts.as_slice())), previous)
}

fn listed(routes: &[Arc<Route>]) -> Vec<super::Route<'_, Route>> {
    routes.iter().map(|route| (route, route.hosts.as_slice())).collect()
}

// === the naive matcher ===

/// All that decides, written down as the spec lists it; the least wins.
type NaiveRank =
    (Reverse<HostPattern>, u8, Reverse<usize>, bool, Reverse<usize>, Reverse<usize>, i64, String, RouteKind);

fn naive_rank(host: &HostPattern, rule: &Rule, one: &RouteMatch) -> NaiveRank {
    let (kind, len) = match &one.path {
        PathMatch::Exact(_) => (0, 0),
        PathMatch::Regex(regex) => (1, regex.as_str().len()),
        PathMatch::Prefix(prefix) => (2, prefix.len()),
        PathMatch::Text { .. } | PathMatch::ExactAnyCase(_) => unreachable!("only where the order is kept"),
    };
    let route = &rule.key.route;
    let name = format!("{}/{}", route.namespace, route.name);
    (
        Reverse(host.clone()),
        kind,
        Reverse(len),
        one.method.is_none(),
        Reverse(one.headers.len()),
        Reverse(one.query.len()),
        rule.created,
        name,
        route.kind,
    )
}

fn naive_fits(host: &HostPattern, one: &RouteMatch, head: &Head) -> bool {
    let path = match &one.path {
        PathMatch::Exact(exact) => head.path() == exact,
        PathMatch::Regex(regex) => regex.is_match(head.path()),
        // The empty prefix is every path, also `*`.
        PathMatch::Prefix(prefix) if prefix.is_empty() => true,
        PathMatch::Prefix(prefix) => head.path() == prefix || head.path().starts_with(&format!("{prefix}/")),
        PathMatch::Text { text, any_case: false } => head.path().starts_with(text),
        PathMatch::Text { text, any_case: true } => head.path().to_lowercase().starts_with(text),
        PathMatch::ExactAnyCase(exact) => head.path().to_lowercase() == *exact,
    };
    let fits = |value: Option<String>, asked: &TextMatch, inverted: bool| match (value, inverted) {
        (Some(value), _) => asked.is_match(&value) != inverted,
        (None, false) => false,
        // An absent one is as an empty one, but where any would do.
        (None, true) => *asked == TextMatch::Present || !asked.is_match(""),
    };
    let line = |part| match part {
        LinePart::Method => head.method(),
        LinePart::Scheme => "http",
        LinePart::Authority => head.authority(),
        LinePart::Path => head.target(),
    };
    let parameter = |name: &str| {
        let pairs = head.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(key, _)| *key == name).map(|(_, value)| value.to_owned()).next()
    };
    host.covers(head.host())
        && path
        && one.method.as_ref().is_none_or(|method| method.as_str() == head.method())
        && one.headers.iter().all(|it| {
            let joined = head.fields.joined(it.name.as_str()).map(std::borrow::Cow::into_owned);
            fits(joined, &it.value, it.inverted)
        })
        && one.query.iter().all(|it| fits(parameter(&it.name), &it.value, it.inverted))
        && one.line.iter().all(|it| fits(Some(line(it.part).to_owned()), &it.value, it.inverted))
}

fn naive(routes: &[Arc<Route>], head: &Head) -> Option<(RuleKey, usize)> {
    naive_specific(routes, head).or_else(|| naive_written(routes, head))
}

fn naive_written(routes: &[Arc<Route>], head: &Head) -> Option<(RuleKey, usize)> {
    let written = || routes.iter().filter(|route| route.rule.order != Order::Specific);
    let hosts = written().flat_map(|route| &route.hosts);
    let host = hosts.filter(|host| host.covers(head.host())).max()?;
    let mut all = Vec::new();
    for route in written().filter(|route| route.hosts.contains(host)) {
        let Order::Written { rank, server } = route.rule.order else { continue };
        let key = &route.rule.key;
        for (index, one) in route.rule.matches.iter().enumerate() {
            let age = (route.rule.created, key.route.name.clone(), key.route.namespace.clone());
            all.push(((rank > 0, rank > 0 && one.takes_all(), server, rank, age, key.index, index), one, key.clone()));
        }
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all.into_iter().find(|(_, one, _)| naive_fits(host, one, head)).map(|(rank, _, key)| (key, rank.6))
}

fn naive_specific(routes: &[Arc<Route>], head: &Head) -> Option<(RuleKey, usize)> {
    let mut all = Vec::new();
    for route in routes.iter().filter(|route| route.rule.order == Order::Specific) {
        for host in &route.hosts {
            for (index, one) in route.rule.matches.iter().enumerate() {
                let rank = (naive_rank(host, &route.rule, one), route.rule.key.index, index);
                all.push((rank, host, one, route.rule.key.clone()));
            }
        }
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all.into_iter().find(|(_, host, one, _)| naive_fits(host, one, head)).map(|(rank, _, _, key)| (key, rank.2))
}

// === random routes and requests over small alphabets ===

fn one_of(texts: &'static [&'static str]) -> impl Strategy<Value = String> + Clone {
    prop::sample::select(texts).prop_map(str::to_owned)
}

fn any_path() -> impl Strategy<Value = String> + Clone {
    prop::collection::vec(one_of(&["a", "b", "ab", "A", ""]), 1..4).prop_map(|parts| format!("/{}", parts.join("/")))
}

fn any_path_match() -> impl Strategy<Value = PathMatch> {
    let prefix = any_path().prop_map(|path| PathMatch::Prefix(path.trim_end_matches('/').to_owned()));
    let regex = one_of(&["/a.*", "/[ab]/.*", "/.*b", ".*", "/a/b?", "/(a|b)"]);
    prop_oneof![
        2 => any_path().prop_map(PathMatch::Exact),
        4 => prefix,
        1 => regex.prop_map(|source| PathMatch::Regex(Regex::new(&source).unwrap())),
    ]
}

fn any_text() -> impl Strategy<Value = TextMatch> {
    prop_oneof![
        4 => one_of(&["1", "2", "1,2"]).prop_map(TextMatch::Exact),
        1 => one_of(&["[12]", ".*"]).prop_map(|source| TextMatch::Regex(Regex::new(&source).unwrap())),
        1 => one_of(&["1", ""]).prop_map(TextMatch::Prefix),
        1 => Just(TextMatch::Present),
    ]
}

fn any_value() -> impl Strategy<Value = (TextMatch, bool)> {
    (any_text(), prop::bool::weighted(0.2))
}

/// Of a rule that keeps its order.
fn any_written_path() -> impl Strategy<Value = PathMatch> {
    let text = one_of(&["/", "", "/a", "/A", "/ab", "/a/", "/a/b", "*"]);
    let text = (text, any::<bool>()).prop_map(|(text, any_case)| PathMatch::Text {
        text: if any_case { text.to_ascii_lowercase() } else { text },
        any_case,
    });
    prop_oneof![4 => text, 1 => any_path().prop_map(|path| PathMatch::ExactAnyCase(path.to_lowercase())), 3 => any_path_match()]
}

fn any_match() -> impl Strategy<Value = RouteMatch> {
    let headers = prop::collection::vec((one_of(&["x", "y"]), any_value()), 0..3);
    let query = prop::collection::vec((one_of(&["p", "q"]), any_value()), 0..2);
    let part = prop::sample::select(vec![LinePart::Method, LinePart::Scheme, LinePart::Authority, LinePart::Path]);
    let words = one_of(&["GET", "POST", "http", "https", "a.com", "/a"]);
    let line = prop_oneof![
        5 => Just(Vec::new()),
        1 => (part, words, any::<bool>()).prop_map(|(part, word, inverted)| vec![(part, (TextMatch::Prefix(word), inverted))]),
    ];
    let method = prop::option::weighted(0.3, one_of(&["GET", "POST"]));
    let lists = (headers, query, line);
    (any_path_match(), method, lists).prop_map(|(path, method, (headers, query, line))| RouteMatch {
        path,
        method: method.map(|method| Method::new(&method).unwrap()),
        headers: headers
            .into_iter()
            .map(|(name, (value, inverted))| FieldMatch { name: HeaderName::new(&name).unwrap(), value, inverted })
            .collect(),
        query: query.into_iter().map(|(name, (value, inverted))| FieldMatch { name, value, inverted }).collect(),
        line: line.into_iter().map(|(part, (value, inverted))| LineMatch { part, value, inverted }).collect(),
        claims: Vec::new(),
    })
}

fn any_host() -> impl Strategy<Value = HostPattern> {
    one_of(&["", "*.a.com", "*.com", "x.a.com", "a.com", "*.x.a.com"])
        .prop_map(|text| HostPattern::parse(&text).unwrap())
}

/// Routes with distinct keys.
fn any_routes() -> impl Strategy<Value = Vec<Arc<Route>>> {
    let kind = prop::sample::select(vec![RouteKind::HttpRoute, RouteKind::GrpcRoute, RouteKind::VirtualService]);
    let key = (kind, one_of(&["n", "n-m"]), one_of(&["r", "s"]), 0..3u16);
    let hosts = prop::collection::vec(any_host(), 1..3);
    let matches = prop::collection::vec((any_match(), any_written_path()), 1..4);
    let route = (key, hosts, matches, (0..3i64, 0..3u8));
    prop::collection::vec(route, 0..10).prop_map(|list| {
        let mut routes: Vec<Arc<Route>> = Vec::new();
        for ((kind, namespace, name, index), mut hosts, matches, (created, rank)) in list {
            let is_written = kind == RouteKind::VirtualService;
            let order = if is_written { Order::Written { rank, server: u16::from(rank) % 2 } } else { Order::Specific };
            let path = |(one, path)| if is_written { RouteMatch { path, ..one } } else { one };
            let matches = matches.into_iter().map(path).collect();
            let key = RuleKey { route: RouteId { kind, namespace, name }, index };
            // One route has one age.
            let sibling = routes.iter().find(|it| it.rule.key.route == key.route).map(|it| it.rule.created);
            if routes.iter().all(|it| it.rule.key != key) {
                hosts.sort();
                hosts.dedup();
                let rule = Rule { created: sibling.unwrap_or(created), matches, order, ..rule(key) };
                routes.push(Arc::new(Route { rule, hosts }));
            }
        }
        routes
    })
}

fn any_request() -> impl Strategy<Value = Head> {
    let host = one_of(&["x.a.com", "a.com", "y.a.com", "b.com", "y.x.a.com", "x.a.com:8080", "com", ""]);
    let fields = prop::collection::vec((one_of(&["x", "y"]), one_of(&["1", "2"])), 0..4);
    let query = prop::collection::vec((one_of(&["p", "q"]), one_of(&["1", "2"])), 0..3);
    (host, any_path(), one_of(&["GET", "POST", "PUT"]), fields, query).prop_map(
        |(host, path, method, fields, query)| {
            let query: Vec<String> = query.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
            let target = if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) };
            let mut head = Head::new(Version::Http11, Scheme::Http, &method, &host, &target);
            for (name, value) in fields {
                head.fields.push(name.as_bytes(), value.as_bytes());
            }
            head
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_500))]

    #[test]
    fn the_router_agrees_with_a_naive_matcher(
        routes in any_routes(),
        requests in prop::collection::vec(any_request(), 1..8),
    ) {
        let router = router(&routes, None);
        for head in &requests {
            let found = router.find(head.host(), head, &mut Silent);
            let got = found.as_ref().map(|it| (it.candidate.target().rule.key.clone(), it.candidate.index()));
            prop_assert_eq!(&got, &naive(&routes, head), "{:?}", head);
            if let Some(found) = &found {
                let covered = match &found.candidate.spec().path {
                    PathMatch::Prefix(prefix) | PathMatch::Text { text: prefix, .. } => prefix.len(),
                    _ => head.path().len(),
                };
                prop_assert_eq!(found.prefix_len, covered);
            }
            // The record is of the same decision and leaves nobody out.
            let Explained { found: explained, decision } = router.explain(head);
            prop_assert_eq!(explained.map(|it| std::ptr::from_ref(it.candidate)), found.map(|it| std::ptr::from_ref(it.candidate)));
            let total: usize = routes.iter().map(|it| it.hosts.len() * it.rule.matches.len()).sum();
            prop_assert_eq!(decision.losers.len() + usize::from(decision.winner.is_some()), total);
            let shadowed = decision.losers.iter().any(|loser| matches!(loser.why, Loss::Shadowed { .. }));
            prop_assert!(!shadowed || decision.winner.is_some());
        }
    }

    #[test]
    fn a_router_that_shares_tiers_decides_as_a_new_one(
        old in any_routes(),
        new in any_routes(),
        kept in prop::collection::vec(any::<bool>(), 10),
        requests in prop::collection::vec(any_request(), 1..8),
    ) {
        // Some routes stay the same object, as in a table that follows another.
        let mut routes: Vec<Arc<Route>> = old.iter().zip(&kept).filter(|(_, kept)| **kept).map(|(it, _)| Arc::clone(it)).collect();
        routes.extend(new.into_iter().filter(|it| old.iter().all(|before| before.rule.key.route != it.rule.key.route)));
        routes.sort_by(|a, b| a.rule.key.cmp(&b.rule.key));
        let before = router(&old, None);
        let shared = router(&routes, Some(&before));
        let gone = |from: &[Arc<Route>], of: &[Arc<Route>]| -> Vec<Arc<Route>> {
            from.iter().filter(|it| !of.iter().any(|other| Arc::ptr_eq(it, other))).cloned().collect()
        };
        let (removed, added) = (gone(&old, &routes), gone(&routes, &old));
        let edited = before.edited(&listed(&removed), &listed(&added));
        for head in &requests {
            let quick = edited.find(head.host(), head, &mut Silent);
            let quick = quick.map(|it| (it.candidate.target().rule.key.clone(), it.candidate.index()));
            prop_assert_eq!(quick, naive(&routes, head));
            let got = shared.find(head.host(), head, &mut Silent).map(|it| (it.candidate.target().rule.key.clone(), it.candidate.index()));
            prop_assert_eq!(got, naive(&routes, head));
        }
    }
}

// === sentences ===

fn rule(key: RuleKey) -> Rule {
    Rule {
        key,
        name: None,
        created: 0,
        attachments: Vec::new(),
        matches: Vec::new(),
        filters: Vec::new(),
        action: Action::Invalid(Invalid { reason: "unused".into(), message: String::new() }),
        timeouts: Timeouts::default(),
        retry: None,
        session: None,
        order: Order::Specific,
        sampling: None,
    }
}

fn matching(path: PathMatch) -> RouteMatch {
    RouteMatch::of(path)
}

fn prefix(path: &str) -> RouteMatch {
    matching(PathMatch::Prefix(path.to_owned()))
}

/// A route `n/{name}` of one rule.
fn route(name: &str, hosts: &[&str], matches: Vec<RouteMatch>) -> Arc<Route> {
    let id = RouteId { kind: RouteKind::HttpRoute, namespace: "n".into(), name: name.into() };
    let hosts = hosts.iter().map(|host| HostPattern::parse(host).unwrap()).collect();
    Arc::new(Route { rule: Rule { matches, ..rule(RuleKey { route: id, index: 0 }) }, hosts })
}

fn get(host: &str, target: &str) -> Head {
    Head::new(Version::Http11, Scheme::Http, "GET", host, target)
}

fn winner(routes: &[Arc<Route>], head: &Head) -> Option<String> {
    router(routes, None)
        .find(head.host(), head, &mut Silent)
        .map(|it| it.candidate.target().rule.key.route.name.clone())
}

fn lost(routes: &[Arc<Route>], head: &Head, name: &str) -> Loss {
    let decision = router(routes, None).explain(head).decision;
    decision.losers.into_iter().find(|loser| loser.rule.route.name == name).unwrap().why
}

#[test]
fn a_prefix_matches_by_element() {
    let routes = [route("v2", &[""], vec![prefix("/v2")])];
    for (path, expected) in [("/v2", true), ("/v2/", true), ("/v2/x", true), ("/v2example", false), ("/V2", false)] {
        assert_eq!(winner(&routes, &get("a.com", path)).is_some(), expected, "{path}");
    }
}

#[test]
fn a_specific_host_wins_over_a_longer_path_and_falls_through_where_it_has_none() {
    let routes = [
        route("wide", &["*.example.com"], vec![prefix("/a/b")]),
        route("narrow", &["abc.example.com"], vec![prefix("/a")]),
    ];
    assert_eq!(winner(&routes, &get("abc.example.com", "/a/b")).as_deref(), Some("narrow"));
    let other = [routes[0].clone(), route("narrow", &["abc.example.com"], vec![prefix("/other")])];
    assert_eq!(winner(&other, &get("abc.example.com", "/a/b")).as_deref(), Some("wide"));
}

#[test]
fn wildcard_host_does_not_match_apex() {
    let routes = [route("wild", &["*.example.com"], vec![prefix("")])];
    assert_eq!(winner(&routes, &get("example.com", "/")), None);
    assert_eq!(winner(&routes, &get("a.b.example.com:8080", "/")).as_deref(), Some("wild"));
}

#[test]
fn several_fields_of_one_name_match_joined() {
    let field = FieldMatch::new(HeaderName::new("X-Id").unwrap(), TextMatch::Exact("1,2".into()));
    let routes = [route("joined", &[""], vec![RouteMatch { headers: vec![field], ..prefix("") }])];
    let mut head = get("a.com", "/");
    head.fields.push(b"X-ID", b"1");
    assert_eq!(winner(&routes, &head), None);
    head.fields.push(b"x-id", b"2");
    assert_eq!(winner(&routes, &head).as_deref(), Some("joined"));
}

#[test]
fn query_parameters_are_compared_decoded() {
    let field = FieldMatch::new("q".to_owned(), TextMatch::Exact("a/b".into()));
    let routes = [route("query", &[""], vec![RouteMatch { query: vec![field], ..prefix("") }])];
    assert_eq!(winner(&routes, &get("a.com", "/?q=a%2fb&q=c")).as_deref(), Some("query"));
    assert_eq!(winner(&routes, &get("a.com", "/?q=c&q=a/b")), None);
}

#[test]
fn the_record_says_why_each_one_lost() {
    let header = FieldMatch::new(HeaderName::new("x").unwrap(), TextMatch::Exact("1".into()));
    let query = FieldMatch::new("q".to_owned(), TextMatch::Exact("1".into()));
    let post = Method::new("POST").unwrap();
    let routes = [
        route("a", &["a.com"], vec![prefix("/x")]),
        route("b", &["a.com"], vec![prefix("/x")]),
        route("short", &["a.com"], vec![prefix("")]),
        route("any", &[""], vec![prefix("/x/y")]),
        route("host", &["b.com"], vec![prefix("/x")]),
        route("path", &["a.com"], vec![matching(PathMatch::Exact("/y".into()))]),
        route("method", &["a.com"], vec![RouteMatch { method: Some(post), ..prefix("/x") }]),
        route("header", &["a.com"], vec![RouteMatch { headers: vec![header], ..prefix("/x") }]),
        route("query", &["a.com"], vec![RouteMatch { query: vec![query], ..prefix("/x") }]),
    ];
    let mut head = get("a.com", "/x/y?q=2");
    head.fields.push(b"x", b"3");
    let lost = |name| lost(&routes, &head, name);
    let shadowed = |key| Loss::Shadowed { winner: routes[0].rule.key.clone(), key };
    assert_eq!(winner(&routes, &head).as_deref(), Some("a"));
    assert_eq!(lost("b"), shadowed(DecidingKey::Name));
    assert_eq!(lost("short"), shadowed(DecidingKey::PathLength));
    assert_eq!(lost("any"), shadowed(DecidingKey::Hostname));
    assert_eq!(lost("host"), Loss::Host);
    assert_eq!(lost("path"), Loss::Path);
    assert_eq!(lost("method"), Loss::Method { wants: "POST".into() });
    assert_eq!(lost("header"), Loss::Header { name: "x".into(), wants: "1".into(), got: Some("3".into()) });
    assert_eq!(lost("query"), Loss::Query { name: "q".into(), wants: "1".into(), got: Some("2".into()) });
}

#[test]
fn an_older_route_shadows_a_newer_one() {
    let mut newer = Route::clone(&route("a", &[""], vec![prefix("/x")]));
    newer.rule.created = 9;
    let routes = [Arc::new(newer), route("b", &[""], vec![prefix("/x")])];
    let shadowed = Loss::Shadowed { winner: routes[1].rule.key.clone(), key: DecidingKey::Age };
    assert_eq!(lost(&routes, &get("a.com", "/x"), "a"), shadowed);
}

#[test]
fn options_star_meets_only_the_empty_prefix() {
    let head = Head::new(Version::Http11, Scheme::Http, "OPTIONS", "a.com", "*");
    assert_eq!(winner(&[route("a", &[""], vec![prefix("/a")])], &head), None);
    assert_eq!(winner(&[route("all", &[""], vec![prefix("")])], &head).as_deref(), Some("all"));
}
