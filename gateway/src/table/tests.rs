// SPDX-License-Identifier: Apache-2.0
//! Snapshots in, decisions out; and what two tables share.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use torana_ir::{
    Action, Attachment, Backend, BackendKey, Certificate, CertificateKey, Endpoint, Endpoints, Filter, HostPattern,
    Invalid, Limits, Listener, LocalityPolicy, PathMatch, PathMode, Protocol, Redirect, RedirectPort, RouteId,
    RouteKind, RouteMatch, Rule, RuleKey, SharedMap, Snapshot, Target, Timeouts, Tls, Transport, WeightedBackend,
};

use super::*;
use crate::fault::Fault;
use crate::filter::RequestContext;
use crate::head::{Head, Scheme, Version};
use crate::route::Loss;
use crate::samples::{acme_host, listener_key};

// === objects ===

fn listener(name: &str, hostname: &str, port: u16) -> Listener {
    let hostname = HostPattern::parse(hostname).unwrap();
    Listener { hostname, ..Listener::new(listener_key(name), port) }
}

fn https(name: &str, hostname: &str) -> Listener {
    let tls = Tls::new(vec![certificate_key()]);
    Listener { protocol: Protocol::Https(tls), ..listener(name, hostname, 443) }
}

fn certificate_key() -> CertificateKey {
    CertificateKey { namespace: "n".into(), name: "c".into() }
}

fn certificate() -> Arc<Certificate> {
    let made = rcgen::generate_simple_self_signed(vec!["a.com".to_owned()]).unwrap();
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    Arc::new(Certificate::from_pem(certificate_key(), chain.as_bytes(), key.as_bytes()).unwrap())
}

fn backend_key(name: &str) -> BackendKey {
    BackendKey::tcp("n", name, 80)
}

fn to(name: &str, weight: u32) -> WeightedBackend {
    WeightedBackend { target: Target::Backend(backend_key(name)), weight, filters: Vec::new() }
}

/// A rule of route `n/{name}` on `listeners`, forwarding to backend `name`.
fn rule(name: &str, listeners: &[&str], hosts: &[&str], prefix: &str) -> Rule {
    let hostnames: Vec<HostPattern> = hosts.iter().map(|host| HostPattern::parse(host).unwrap()).collect();
    let attach = |name: &&str| Attachment { listener: listener_key(name), hostnames: hostnames.clone() };
    let path = PathMatch::Prefix(prefix.to_owned());
    Rule {
        key: RuleKey {
            route: RouteId { kind: RouteKind::HttpRoute, namespace: "n".into(), name: name.into() },
            index: 0,
        },
        name: None,
        created: 0,
        attachments: listeners.iter().map(attach).collect(),
        matches: vec![RouteMatch::of(path)],
        filters: Vec::new(),
        action: Action::Forward(vec![to(name, 1)]),
        timeouts: Timeouts::default(),
        retry: None,
        session: None,
        order: torana_ir::Order::Specific,
        sampling: None,
    }
}

fn snapshot(listeners: Vec<Listener>, rules: Vec<Rule>) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for it in listeners {
        snapshot.listeners.insert(it.key.clone(), Arc::new(it));
    }
    for it in rules {
        add(&mut snapshot, it);
    }
    snapshot
}

/// Adds a rule with the backends that it names, each with one endpoint.
fn add(snapshot: &mut Snapshot, rule: Rule) {
    if let Action::Forward(entries) = &rule.action {
        for entry in entries {
            if let Target::Backend(key) = &entry.target {
                if !snapshot.backends.contains_key(key) {
                    snapshot.backends.insert(key.clone(), Arc::new(Backend::new(key.clone())));
                }
                if !snapshot.endpoints.contains_key(key) {
                    snapshot.endpoints.insert(key.clone(), endpoints(key, &[1]));
                }
            }
        }
    }
    snapshot.rules.insert(rule.key.clone(), Arc::new(rule));
}

fn endpoints(key: &BackendKey, ports: &[u16]) -> Arc<Endpoints> {
    let endpoint = |port: &u16| Endpoint::new(SocketAddr::from(([127, 0, 0, 1], *port)), true);
    Arc::new(Endpoints::Static { backend: key.clone(), endpoints: ports.iter().map(endpoint).collect() })
}

fn compile(snapshot: &Snapshot) -> Table {
    Table::compile(snapshot, &Table::empty())
}

// === questions ===

fn get(host: &str, target: &str) -> Head {
    Head::new(Version::Http11, Scheme::Http, "GET", host, target)
}

fn bind(table: &Table, port: u16) -> &Arc<BindTable> {
    table.bind(&Bind { address: None, port, transport: Transport::Tcp }).unwrap()
}

fn ask(table: &Table, host: &str, target: &str) -> Result<String, Fault> {
    outcome(&bind(table, 80).route(&mut get(host, target), None))
}

fn outcome(routed: &Routed) -> Result<String, Fault> {
    match routed {
        Routed::Plan { plan, .. } => Ok(plan.key().route.name.clone()),
        Routed::Fault { fault, .. } => Err(*fault),
        Routed::Challenge { .. } | Routed::Tokens { .. } => panic!("nobody is asked about"),
    }
}

fn plan(table: &Table, name: &str) -> Arc<Plan> {
    Arc::clone(table.plans().find(|plan| plan.key().route.name == name).unwrap())
}

fn ports(table: &Table, backend: &str) -> Vec<u16> {
    let state = table.backend(&backend_key(backend)).unwrap();
    state.endpoints().iter().map(|(endpoint, _)| endpoint.address.port()).collect()
}

// === routing ===

#[test]
fn an_empty_table_listens_nowhere() {
    assert!(Table::empty().binds().is_empty());
    assert!(compile(&Snapshot::default()).bind(&Bind { address: None, port: 80, transport: Transport::Tcp }).is_none());
}

#[test]
fn only_the_routes_of_the_most_specific_listener_count() {
    let table = compile(&snapshot(
        vec![listener("any", "", 80), listener("wild", "*.example.com", 80), listener("exact", "a.example.com", 80)],
        vec![
            rule("any", &["any"], &[""], ""),
            rule("wild", &["wild"], &[""], "/w"),
            rule("exact", &["exact"], &[""], "/e"),
        ],
    ));
    assert_eq!(ask(&table, "a.example.com", "/e"), Ok("exact".into()));
    assert_eq!(ask(&table, "a.example.com", "/w"), Err(Fault::NoRoute));
    assert_eq!(ask(&table, "b.example.com", "/w"), Ok("wild".into()));
    assert_eq!(ask(&table, "b.example.com", "/x"), Err(Fault::NoRoute));
    assert_eq!(ask(&table, "example.com:8080", "/x"), Ok("any".into()));
}

#[test]
fn a_path_has_the_form_that_the_listener_of_its_host_wants() {
    let of = |name: &str, path_mode| Listener { path_mode, ..listener(name, &format!("{name}.com"), 80) };
    let modes = [PathMode::None, PathMode::Base, PathMode::MergeSlashes, PathMode::DecodeAndMergeSlashes];
    let names = ["none", "base", "merge", "decode"];
    let rules = names.into_iter().flat_map(|name| {
        let admin = rule(&format!("{name}-admin"), &[name], &[""], "/admin");
        [admin, rule(name, &[name], &[""], "")]
    });
    let table =
        compile(&snapshot(names.into_iter().zip(modes).map(|(name, mode)| of(name, mode)).collect(), rules.collect()));
    let judge = |host: &str, target: &str| {
        let written = ("host", host);
        let mut head = imagine(Scheme::Http, "GET", target, &[written]).unwrap();
        let routed = outcome(&bind(&table, 80).route(&mut head.clone(), None));
        let explained = bind(&table, 80).explain(&mut head, None);
        assert_eq!(outcome(&explained.routed), routed);
        (routed, head.target().to_owned())
    };
    let rows = [
        (
            "/x/../admin?q",
            ["none", "base-admin", "merge-admin", "decode-admin"],
            ["/x/../admin?q", "/admin?q", "/admin?q", "/admin?q"],
        ),
        ("//admin", ["none", "base", "merge-admin", "decode-admin"], ["//admin", "//admin", "/admin", "/admin"]),
        (
            "/x%2f..%2Fadmin",
            ["none", "base", "merge", "decode-admin"],
            ["/x%2f..%2Fadmin", "/x%2f..%2Fadmin", "/x%2f..%2Fadmin", "/admin"],
        ),
    ];
    for (target, takes, seen) in rows {
        for ((name, taken), seen) in names.into_iter().zip(takes).zip(seen) {
            assert_eq!(
                judge(&format!("{name}.com"), target),
                (Ok(taken.to_owned()), seen.to_owned()),
                "{name} {target}"
            );
        }
    }
    let mut head = imagine(Scheme::Http, "GET", "\\admin", &[("host", "none.com")]).unwrap();
    let routed = bind(&table, 80).route(&mut head, None);
    assert!(matches!(routed, Routed::Fault { fault: Fault::Rejected(_), listener: Some(_), .. }));
}

#[test]
fn a_host_of_no_listener_has_none() {
    let table = compile(&snapshot(vec![listener("one", "a.com", 80)], vec![rule("r", &["one"], &[""], "")]));
    let routed = bind(&table, 80).route(&mut get("b.com", "/"), None);
    assert!(matches!(routed, Routed::Fault { fault: Fault::NoListener, listener: None, grpc: false, .. }));
}

#[test]
fn listeners_of_other_ports_do_not_mix() {
    let table = compile(&snapshot(
        vec![listener("a", "", 80), listener("b", "", 81)],
        vec![rule("a", &["a"], &[""], ""), rule("b", &["b"], &[""], "")],
    ));
    assert_eq!(ask(&table, "a.com", "/"), Ok("a".into()));
    assert_eq!(outcome(&bind(&table, 81).route(&mut get("a.com", "/"), None)), Ok("b".into()));
}

#[test]
fn a_host_of_another_listener_than_that_of_the_handshake_is_misdirected() {
    let mut snapshot = snapshot(
        vec![https("one", "one.org"), https("two", "two.org"), https("wild", "*.wild.org")],
        vec![
            rule("one", &["one"], &[""], "/a"),
            rule("two", &["two"], &[""], ""),
            rule("wild", &["wild"], &["x.wild.org"], ""),
        ],
    );
    snapshot.certificates.insert(certificate_key(), certificate());
    let table = compile(&snapshot);
    let ask = |sni: &str, host: &str, target: &str| {
        outcome(&bind(&table, 443).route(&mut get(host, target), Some(&listener_key(sni))))
    };
    assert_eq!(ask("one", "one.org", "/a"), Ok("one".into()));
    assert_eq!(ask("one", "one.org", "/b"), Err(Fault::NoRoute));
    assert_eq!(ask("one", "two.org", "/"), Err(Fault::Misdirected));
    assert_eq!(ask("one", "x.wild.org", "/"), Err(Fault::Misdirected));
    assert_eq!(ask("wild", "y.wild.org", "/"), Err(Fault::NoRoute));
    assert_eq!(ask("one", "three.org", "/"), Err(Fault::NoListener));
    assert_eq!(ask("gone", "one.org", "/a"), Err(Fault::Misdirected));
    assert_eq!(outcome(&bind(&table, 443).route(&mut get("two.org", "/"), None)), Ok("two".into()));
}

#[test]
fn whoever_names_nobody_is_not_let_past_what_a_listener_asks_of_clients() {
    let mut mesh = https("mesh", "mesh.org");
    if let Protocol::Https(tls) = &mut mesh.protocol {
        tls.mesh = Some(torana_ir::MeshClients { aliases: Vec::new(), forwarded: false });
    }
    let rules = vec![rule("any", &["any"], &[""], ""), rule("mesh", &["mesh"], &[""], "")];
    let mut snapshot = snapshot(vec![https("any", ""), mesh], rules);
    snapshot.certificates.insert(certificate_key(), certificate());
    let table = compile(&snapshot);
    let ask = |host: &str| outcome(&bind(&table, 443).route(&mut get(host, "/"), None));
    assert_eq!((ask("other.org"), ask("mesh.org")), (Ok("any".into()), Err(Fault::Misdirected)));
}

#[test]
fn a_client_that_speaks_grpc_is_answered_in_grpc() {
    let table = compile(&snapshot(vec![listener("one", "", 80)], Vec::new()));
    let rows = [
        ("application/grpc", true),
        ("Application/gRPC+proto", true),
        ("application/grpc;x=y", true),
        ("application/grpc-web", false),
        ("text/html", false),
    ];
    for (kind, expected) in rows {
        let mut head = get("a.com", "/s/m");
        head.fields.push(b"content-type", kind.as_bytes());
        let Routed::Fault { grpc, .. } = bind(&table, 80).route(&mut head, None) else { panic!("there is no route") };
        assert_eq!(grpc, expected, "{kind}");
    }
}

#[test]
fn a_socket_keeps_the_strictest_limits_of_its_listeners() {
    let mut one = listener("one", "", 80);
    one.limits.head_bytes = 1000;
    let mut two = listener("two", "a.com", 80);
    two.limits.idle = Duration::from_secs(1);
    let table = compile(&snapshot(vec![one, two], Vec::new()));
    let expected = Limits { head_bytes: 1000, idle: Duration::from_secs(1), ..Limits::default() };
    assert_eq!(*bind(&table, 80).limits(), expected);
}

#[test]
fn a_listener_on_every_address_also_serves_the_sockets_of_single_ones() {
    let narrow = Listener { addresses: vec![[127, 0, 0, 2].into()], ..listener("narrow", "a.com", 80) };
    let table = compile(&snapshot(
        vec![narrow, listener("wide", "", 80)],
        vec![rule("narrow", &["narrow"], &[""], ""), rule("wide", &["wide"], &[""], "")],
    ));
    let single = Bind { address: Some([127, 0, 0, 2].into()), port: 80, transport: Transport::Tcp };
    assert_eq!(table.binds(), [Bind { address: None, port: 80, transport: Transport::Tcp }, single]);
    let on_single = |host: &str| outcome(&table.bind(&single).unwrap().route(&mut get(host, "/"), None));
    assert_eq!((on_single("a.com"), on_single("b.com")), (Ok("narrow".into()), Ok("wide".into())));
    assert_eq!(ask(&table, "a.com", "/"), Ok("wide".into()));
}

#[test]
fn the_explanation_names_the_listener_that_hides_a_route() {
    let table = compile(&snapshot(
        vec![listener("wide", "", 80), listener("narrow", "a.com", 80), listener("other", "b.com", 80)],
        vec![rule("wide", &["wide"], &[""], "/x"), rule("narrow", &["narrow"], &[""], "/y")],
    ));
    let explanation = bind(&table, 80).explain(&mut get("a.com", "/x"), None);
    let fates: Vec<_> = explanation.listeners.iter().map(|it| (it.listener.name.as_str(), it.fate.clone())).collect();
    let expected = [
        ("other", ListenerFate::HostNotCovered),
        ("narrow", ListenerFate::Chosen),
        ("wide", ListenerFate::LessSpecific),
    ];
    assert_eq!(fates, expected);
    assert_eq!(outcome(&explanation.routed), Err(Fault::NoRoute));
    assert_eq!(explanation.decision.losers.iter().map(|it| it.why.clone()).collect::<Vec<_>>(), [Loss::Path]);
    let misdirected = bind(&table, 80).explain(&mut get("a.com", "/y"), Some(&listener_key("wide")));
    assert_eq!(misdirected.listeners[1].fate, ListenerFate::Misdirected);
}

// === plans ===

#[test]
fn requests_are_split_by_weight_and_invalid_references_take_their_share() {
    let invalid = Invalid { reason: "RefNotPermitted".into(), message: "no grant".into() };
    let refused = WeightedBackend { target: Target::Invalid(invalid.clone()), weight: 1, filters: Vec::new() };
    let action = Action::Forward(vec![to("a", 3), refused, to("b", 0)]);
    let table = compile(&snapshot(vec![listener("l", "", 80)], vec![Rule { action, ..rule("r", &["l"], &[""], "") }]));
    let plan = plan(&table, "r");
    let mut counts = (0, 0);
    for step in 0..1000 {
        match plan.choose(step) {
            Choice::Backend(weighted) => {
                assert_eq!(weighted.backend.key().name, "a");
                counts.0 += 1;
            }
            Choice::Invalid(found) => {
                assert_eq!(*found, invalid);
                counts.1 += 1;
            }
        }
    }
    assert_eq!(counts, (750, 250));
}

#[test]
fn an_edited_rule_goes_on_with_the_round_of_its_weights() {
    let action = Action::Forward(vec![to("a", 1), to("b", 2)]);
    let split = |path: &str| Rule { action: action.clone(), ..rule("r", &["l"], &[""], path) };
    let mut table = compile(&snapshot(vec![listener("l", "", 80)], vec![split("/0")]));
    let mut to_a = 0;
    for round in 0..300 {
        // A new rule each time: whoever starts a round anew would never get to the light one, or only to it.
        let path = format!("/{round}");
        table = Table::compile(&snapshot(vec![listener("l", "", 80)], vec![split(&path)]), &table);
        let plan = plan(&table, "r");
        let Choice::Backend(weighted) = plan.choose(0) else { panic!("both are valid") };
        to_a += usize::from(weighted.backend.key().name == "a");
    }
    assert_eq!(to_a, 100);
}

#[test]
fn a_rule_without_a_usable_backend_says_why() {
    let zero = Rule { action: Action::Forward(vec![to("a", 0)]), ..rule("zero", &["l"], &[""], "/zero") };
    let none = Rule { action: Action::Forward(Vec::new()), ..rule("none", &["l"], &[""], "/none") };
    let table = compile(&snapshot(vec![listener("l", "", 80)], vec![zero, none]));
    for (name, word) in [("zero", "weight 0"), ("none", "names no backend")] {
        let plan = plan(&table, name);
        let Choice::Invalid(invalid) = plan.choose(0) else { panic!("{name} has no backend") };
        assert!(invalid.message.contains(word), "{invalid:?}");
    }
}

#[test]
fn an_invalid_rule_answers_500_and_runs_none_of_its_filters() {
    let redirect =
        Redirect { scheme: None, host: None, path: None, query: None, port: RedirectPort::Known, status: 302 };
    let invalid = Invalid { reason: "UnsupportedValue".into(), message: "x".into() };
    let broken = Rule {
        filters: vec![Filter::Redirect(redirect)],
        action: Action::Invalid(invalid.clone()),
        ..rule("r", &["l"], &[""], "")
    };
    let table = compile(&snapshot(vec![listener("l", "", 80)], vec![broken]));
    let plan = plan(&table, "r");
    let mut context = RequestContext { prefix_len: 0, random: 0 };
    assert!(matches!(
        plan.on_request(0, &mut get("a.com", "/"), &mut context, &mut Notes::default()),
        Verdict::Continue
    ));
    assert!(matches!(plan.choose(0), Choice::Invalid(found) if *found == invalid));
}

#[test]
fn a_redirect_names_the_port_of_its_listener() {
    let redirect =
        Redirect { scheme: None, host: None, path: None, query: None, port: RedirectPort::Known, status: 302 };
    let rule = Rule { filters: vec![Filter::Redirect(redirect)], ..rule("r", &["l"], &[""], "") };
    let table = compile(&snapshot(vec![listener("l", "", 8080)], vec![rule]));
    let mut context = RequestContext { prefix_len: 0, random: 0 };
    let verdict = plan(&table, "r").on_request(0, &mut get("a.com", "/x"), &mut context, &mut Notes::default());
    let Verdict::Respond(answer, _) = verdict else { panic!("the redirect answers") };
    assert_eq!(answer.fields.first("location"), Some(&b"http://a.com:8080/x"[..]));
}

// === sharing ===

#[test]
fn an_edited_rule_leaves_everything_else_as_it_was() {
    let names: Vec<String> = (0..5000).map(|at| format!("r{at}")).collect();
    let rules = names.iter().map(|name| rule(name, &["l"], &[&format!("{name}.com")], "")).collect();
    let mut old = snapshot(vec![listener("l", "", 80), listener("other", "", 81)], rules);
    add(&mut old, rule("apart", &["other"], &[""], ""));
    let before = compile(&old);
    let mut new = old.clone();
    add(&mut new, rule("r7", &["l"], &["r7.com"], "/edited"));
    let after = Table::compile(&new, &before);
    let shared = before.plans().zip(after.plans()).filter(|(old, new)| Arc::ptr_eq(old, new)).count();
    assert_eq!((shared, after.plans().count()), (5000, 5001));
    assert!(Arc::ptr_eq(bind(&before, 81), bind(&after, 81)));
    assert!(Arc::ptr_eq(&plan(&before, "r7").meters, &plan(&after, "r7").meters), "metrics go on counting");
    assert_eq!((ask(&after, "r7.com", "/"), ask(&after, "r7.com", "/edited")), (Err(Fault::NoRoute), Ok("r7".into())));
    assert_eq!(ask(&after, "r4999.com", "/"), Ok("r4999".into()));
}

#[test]
fn equal_objects_are_shared_even_if_they_are_copies() {
    let make = || snapshot(vec![listener("l", "", 80)], vec![rule("r", &["l"], &[""], "")]);
    let before = compile(&make());
    let after = Table::compile(&make(), &before);
    assert!(Arc::ptr_eq(bind(&before, 80), bind(&after, 80)));
}

#[test]
fn endpoints_change_without_touching_a_route() {
    let old = snapshot(vec![listener("l", "", 80)], vec![rule("r", &["l"], &[""], ""), rule("s", &["l"], &[""], "/s")]);
    let before = compile(&old);
    let mut new = old;
    new.endpoints.insert(backend_key("r"), endpoints(&backend_key("r"), &[1, 2]));
    new.endpoints.remove(&backend_key("s"));
    let after = Table::compile(&new, &before);
    assert!(Arc::ptr_eq(bind(&before, 80), bind(&after, 80)));
    assert_eq!(ports(&before, "r"), [1, 2], "new endpoints are there at once");
    assert_eq!(ports(&before, "s"), [1], "requests of the old table still need them");
    after.apply_endpoints(&new);
    assert_eq!(ports(&after, "s"), [0u16; 0]);
}

#[test]
fn a_changed_backend_renews_only_the_plans_that_use_it() {
    let old = snapshot(vec![listener("l", "", 80)], vec![rule("r", &["l"], &[""], ""), rule("s", &["l"], &[""], "/s")]);
    let before = compile(&old);
    let mut new = old;
    let changed = Backend { max_connections: 1, ..Backend::new(backend_key("r")) };
    new.backends.insert(backend_key("r"), Arc::new(changed));
    let after = Table::compile(&new, &before);
    assert!(!Arc::ptr_eq(&plan(&before, "r"), &plan(&after, "r")));
    assert!(Arc::ptr_eq(&plan(&before, "s"), &plan(&after, "s")));
    let plan = plan(&after, "r");
    let Choice::Backend(weighted) = plan.choose(0) else { panic!("r forwards") };
    assert_eq!(weighted.backend.config.max_connections, 1);
}

#[test]
fn tls_is_renewed_with_its_certificates_only() {
    let mut old = snapshot(vec![https("l", "")], vec![rule("r", &["l"], &[""], "")]);
    old.certificates.insert(certificate_key(), certificate());
    let before = compile(&old);
    let mut edited = old.clone();
    add(&mut edited, rule("r", &["l"], &[""], "/edited"));
    let after = Table::compile(&edited, &before);
    let tls = |table: &Table| Arc::clone(bind(table, 443).tls().unwrap());
    assert!(bind(&after, 443).is_tls() && Arc::ptr_eq(&tls(&before), &tls(&after)));
    edited.certificates.insert(certificate_key(), certificate());
    assert!(!Arc::ptr_eq(&tls(&after), &tls(&Table::compile(&edited, &after))));
}

#[test]
fn every_generation_knows_where_its_proxy_stands() {
    let place = |port: u16, locality: &str| Endpoint {
        locality: locality.to_owned().into(),
        ..Endpoint::new(SocketAddr::from(([127, 0, 0, 1], port)), true)
    };
    let (key, nearest) = (backend_key("b"), LocalityPolicy::Nearest { labels: Vec::new(), failover: Vec::new() });
    for (here, expected) in [("r/z", 1), ("r/y", 2), ("q", 3)] {
        let mut table = Table::of(Site { locality: here.to_owned().into(), ..Site::default() });
        for generation in 1..4 {
            let endpoints = vec![place(1, "r/z"), place(2, "r/y"), place(3, "q"), place(4 + generation, "p")];
            let config = Backend {
                // The second generation changes endpoints, the third the backend, too.
                max_connections: u32::from(1 + generation / 3),
                locality: Some(nearest.clone()),
                ..Backend::new(key.clone())
            };
            let mut snapshot = Snapshot::default();
            snapshot.backends.insert(key.clone(), Arc::new(config));
            let endpoints = Endpoints::Static { backend: key.clone(), endpoints };
            snapshot.endpoints.insert(key.clone(), Arc::new(endpoints));
            table = Table::compile(&snapshot, &table);
            let set = table.backend(&key).unwrap().endpoints();
            let ports: Vec<u16> = set.usable().iter().map(|endpoint| endpoint.address.port()).collect();
            assert_eq!(ports, [expected], "{here}, generation {generation}");
        }
    }
}

// === compile(new, previous) == compile(new, empty) ===

fn any_snapshot() -> impl Strategy<Value = Snapshot> {
    let hosts = prop::sample::select(vec!["", "*.com", "a.com", "*.a.com"]);
    let listener = (prop::sample::select(vec!["l", "m", "n"]), hosts.clone(), 80..82u16)
        .prop_map(|(name, hostname, port)| listener(name, hostname, port));
    let rule = (
        prop::sample::select(vec!["r", "s", "t", "u"]),
        prop::sample::subsequence(vec!["l", "m", "n"], 0..3),
        prop::collection::vec(hosts, 1..3),
        prop::sample::select(vec!["", "/x", "/x/y"]),
        prop::collection::vec((prop::sample::select(vec!["a", "b"]), 0..2u32), 0..3),
        0..2i64,
    )
        .prop_map(|(name, listeners, hosts, prefix, targets, created)| Rule {
            created,
            action: Action::Forward(targets.into_iter().map(|(name, weight)| to(name, weight)).collect()),
            ..rule(name, &listeners, &hosts, prefix)
        });
    let caps = prop::collection::vec(1..3u32, 2);
    let asked = (prop::sample::select(vec!["g", "h"]), prop::sample::select(vec!["t", "u"]), any::<bool>())
        .prop_map(|(gateway, token, reserves)| acme_host(gateway, "a.com", &[token], None, reserves));
    let asked = prop::collection::vec(asked, 0..3);
    (prop::collection::vec(listener, 0..4), prop::collection::vec(rule, 0..6), caps, asked).prop_map(
        |(listeners, rules, caps, asked)| {
            let mut snapshot = snapshot(listeners, rules);
            snapshot.acme_hosts = asked.into_iter().map(|host| (host.key.clone(), Arc::new(host))).collect();
            for (name, cap) in ["a", "b"].into_iter().zip(caps) {
                let key = backend_key(name);
                if let Some(backend) = snapshot.backends.get(&key) {
                    let backend = Backend { max_connections: cap, ..Backend::clone(backend) };
                    snapshot.backends.insert(key, Arc::new(backend));
                }
            }
            snapshot
        },
    )
}

/// All that a client could tell: where each request goes, by what configuration.
fn seen(table: &Table) -> Vec<String> {
    let mut all = vec![format!("{:?}", table.binds())];
    for socket in table.binds() {
        for host in ["a.com", "b.com", "x.a.com", "org"] {
            for target in ["/", "/x", "/x/y/z", "/.well-known/acme-challenge/t"] {
                let routed = table.route(&socket, &mut get(host, target), None);
                all.push(match routed {
                    Routed::Fault { fault, listener, .. } => {
                        format!("{host}{target} {fault:?} {:?}", listener.map(|it| it.key.to_string()))
                    }
                    Routed::Challenge { authorization, .. } => format!("{host}{target} {authorization:?}"),
                    Routed::Tokens { .. } => panic!("nobody asks for claims"),
                    Routed::Plan { plan, prefix_len, .. } => {
                        // Two entries of weight 1 at most: two turns are whole rounds, wherever they begin.
                        let mut chosen = [choice(&plan), choice(&plan)];
                        chosen.sort();
                        format!("{host}{target} {} {} {prefix_len} {chosen:?}", plan.key(), plan.listener.key)
                    }
                });
            }
        }
    }
    all
}

fn choice(plan: &Plan) -> String {
    match plan.choose(0) {
        Choice::Backend(it) => format!("{:?} {}", it.backend.config, it.backend.endpoints().usable().len()),
        Choice::Invalid(invalid) => format!("{invalid:?}"),
    }
}

/// The next generation: some objects of the last one stay, the others are those of `fresh`, or gone.
fn after(last: &Snapshot, fresh: &Snapshot, keep: u32) -> Snapshot {
    fn mix<K: Ord + Clone, V>(last: &mut SharedMap<K, Arc<V>>, fresh: &SharedMap<K, Arc<V>>, keep: u32) {
        let before = last.clone();
        let gone = before.keys().zip(1u32..).filter(|(_, at)| keep >> (at % 32) & 1 == 0);
        gone.for_each(|(key, _)| drop(last.remove(key)));
        for (key, value) in fresh {
            if !last.contains_key(key) {
                last.insert(key.clone(), Arc::clone(value));
            }
        }
    }
    let mut next = last.clone();
    mix(&mut next.listeners, &fresh.listeners, keep);
    mix(&mut next.rules, &fresh.rules, keep >> 3);
    mix(&mut next.backends, &fresh.backends, keep >> 9);
    mix(&mut next.endpoints, &fresh.endpoints, keep >> 11);
    mix(&mut next.acme_hosts, &fresh.acme_hosts, keep >> 13);
    next
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_table_after_another_decides_as_a_new_one(all in prop::collection::vec((any_snapshot(), any::<u32>()), 2..6)) {
        let mut table = Table::empty();
        let mut last = Snapshot::default();
        for (fresh, keep) in &all {
            last = after(&last, fresh, *keep);
            table = Table::compile(&last, &table);
            table.apply_endpoints(&last);
            prop_assert_eq!(seen(&table), seen(&compile(&last)));
        }
    }
}
