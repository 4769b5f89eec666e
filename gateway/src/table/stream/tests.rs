// SPDX-License-Identifier: Apache-2.0

use torana_ir::{Attachment, Backend, Listener, Protocol, RouteId, RouteKind, Snapshot, StreamBackend, Tls, Transport};

use super::*;
use crate::samples::{certificate, listener_key};
use crate::table::{Bind, BindTable, Handshake, Opening, Table};

fn key(name: &str) -> BackendKey {
    BackendKey::tcp("n", name, 80)
}

/// A rule of route `n/{name}` on `listener`, to the backend of its name.
fn rule(kind: RouteKind, name: &str, created: i64, (listener, hosts): (&str, &[&str])) -> StreamRule {
    let hostnames = hosts.iter().map(|host| HostPattern::parse(host).unwrap()).collect();
    StreamRule {
        key: RuleKey { route: RouteId { kind, namespace: "n".into(), name: name.into() }, index: 0 },
        name: None,
        rank: 0,
        created,
        attachments: vec![Attachment { listener: listener_key(listener), hostnames }],
        backends: vec![StreamBackend { target: Target::Backend(key(name)), weight: 1 }],
    }
}

fn tcp(name: &str, created: i64) -> StreamRule {
    rule(RouteKind::TcpRoute, name, created, ("l", &[""]))
}

fn listener(name: &str, hostname: &str, protocol: Protocol) -> Listener {
    let hostname = HostPattern::parse(hostname).unwrap();
    Listener { hostname, protocol, ..Listener::new(listener_key(name), 443) }
}

fn snapshot(listeners: Vec<Listener>, rules: Vec<StreamRule>) -> Snapshot {
    let mut snapshot = Snapshot::default();
    snapshot.listeners.extend(listeners.into_iter().map(|it| (it.key.clone(), Arc::new(it))));
    for rule in rules {
        for entry in &rule.backends {
            if let Target::Backend(key) = &entry.target {
                snapshot.backends.insert(key.clone(), Arc::new(Backend::new(key.clone())));
            }
        }
        snapshot.streams.insert(rule.key.clone(), Arc::new(rule));
    }
    snapshot
}

fn bind(table: &Table, transport: Transport) -> Arc<BindTable> {
    Arc::clone(table.bind(&Bind { address: None, port: 443, transport }).unwrap())
}

fn serving(table: &Table) -> Option<Arc<StreamPlan>> {
    bind(table, Transport::Tcp).stream().unwrap().plan
}

fn name(plan: Option<&Arc<StreamPlan>>) -> &str {
    plan.map_or("", |plan| plan.key().route.name.as_str())
}

#[test]
fn the_oldest_route_serves_then_the_first_by_name() {
    let listeners = || vec![listener("l", "", Protocol::Tcp)];
    let rows: [(&[(&str, i64)], &str); 4] =
        [(&[], ""), (&[("b", 5), ("a", 5)], "a"), (&[("a", 5), ("b", 4)], "b"), (&[("a", 5), ("b", 4), ("c", 4)], "b")];
    for (rules, expected) in rows {
        let rules = rules.iter().map(|(name, created)| tcp(name, *created)).collect();
        let table = Table::compile(&snapshot(listeners(), rules), &Table::empty());
        assert_eq!(bind(&table, Transport::Tcp).opening(), Opening::Bytes);
        assert_eq!(name(serving(&table).as_ref()), expected);
    }
}

#[test]
fn a_lower_rank_serves_before_an_older_route() {
    let listeners = vec![listener("l", "", Protocol::Tcp)];
    let (public, own) = (StreamRule { rank: 3, ..tcp("public", 1) }, StreamRule { rank: 1, ..tcp("own", 2) });
    let table = Table::compile(&snapshot(listeners, vec![public, own]), &Table::empty());
    assert_eq!(name(serving(&table).as_ref()), "own");
}

#[test]
fn a_plan_is_shared_with_the_next_table_and_its_turns_are_kept_over_edits() {
    let mut weighted = tcp("a", 0);
    weighted.backends.push(StreamBackend { target: Target::Backend(key("b")), weight: 1 });
    let old = snapshot(vec![listener("l", "", Protocol::Tcp)], vec![weighted.clone()]);
    let before = Table::compile(&old, &Table::empty());
    let same = Table::compile(&old, &before);
    assert!(Arc::ptr_eq(&bind(&before, Transport::Tcp), &bind(&same, Transport::Tcp)), "nothing changed");
    let mut edited = old;
    edited.streams.insert(tcp("z", 9).key, Arc::new(tcp("z", 9)));
    let after = Table::compile(&edited, &before);
    let (first, second) = (serving(&before).unwrap(), serving(&after).unwrap());
    assert!(Arc::ptr_eq(&first, &second), "an edit elsewhere");
    weighted.name = Some("main".into());
    edited.streams.insert(weighted.key.clone(), Arc::new(weighted));
    let third = serving(&Table::compile(&edited, &after)).unwrap();
    assert!(!Arc::ptr_eq(&second, &third) && Arc::ptr_eq(&second.turns, &third.turns));
    let to = |plan: &StreamPlan| plan.choose(0).unwrap().key().name.clone();
    assert_ne!(to(&second), to(&third), "the round goes on");
}

#[test]
fn a_rule_leads_to_its_backends_of_today() {
    let mut rule = tcp("a", 0);
    let invalid = Invalid { reason: "BackendNotFound".into(), message: "there is no such Service".into() };
    rule.backends.push(StreamBackend { target: Target::Invalid(invalid), weight: 0 });
    rule.backends.push(StreamBackend { target: Target::Backend(key("b")), weight: 0 });
    let mut all = snapshot(vec![listener("l", "", Protocol::Tcp)], vec![rule.clone()]);
    let before = Table::compile(&all, &Table::empty());
    let plan = serving(&before).unwrap();
    assert!(
        plan.backend(&key("a")).is_some() && plan.backend(&key("b")).is_none() && plan.backend(&key("c")).is_none()
    );
    let changed = Backend { max_connections: 1, ..Backend::new(key("a")) };
    all.backends.insert(key("a"), Arc::new(changed));
    let after = serving(&Table::compile(&all, &before)).unwrap();
    assert_eq!(after.choose(0).unwrap().config.max_connections, 1);
    all.backends.remove(&key("a"));
    let lost = serving(&Table::compile(&all, &before)).unwrap();
    assert!(lost.choose(0).is_err());
    rule.backends.clear();
    let none = snapshot(vec![listener("l", "", Protocol::Tcp)], vec![rule]);
    assert!(serving(&Table::compile(&none, &before)).unwrap().choose(0).is_err());
}

#[test]
fn a_handshake_belongs_to_the_most_specific_listener_and_then_to_the_most_specific_route() {
    let made = certificate("c", &["x"]);
    let tls = || Tls::new(vec![made.key.clone()]);
    let listeners = vec![
        listener("pass", "a.com", Protocol::TlsPassthrough),
        listener("wide", "*.b.com", Protocol::TlsPassthrough),
        listener("end", "x.b.com", Protocol::TlsTerminate(tls())),
        listener("web", "*.com", Protocol::Https(tls())),
    ];
    let route = |name, created, on| rule(RouteKind::TlsRoute, name, created, on);
    let rules = vec![
        route("old", 1, ("pass", &["*.com"])),
        route("own", 2, ("pass", &["a.com"])),
        route("b", 1, ("wide", &["y.b.com", "*.z.b.com"])),
        route("inner", 1, ("end", &["*.b.com"])),
    ];
    let mut all = snapshot(listeners, rules);
    all.certificates.insert(made.key.clone(), Arc::new(made.clone()));
    let table = Table::compile(&all, &Table::empty());
    let bind = bind(&table, Transport::Tcp);
    assert!(bind.opening() == Opening::Handshake && !bind.ends_all_tls());
    let what = |sni: Option<&str>| match bind.handshake(sni) {
        None => "nobody".to_owned(),
        Some(Handshake::Requests(key, ..)) => format!("requests {}", key.name),
        Some(Handshake::Unwrap(routed, ..)) => {
            format!("unwrap {} {}", routed.listener.key.name, name(routed.plan.as_ref()))
        }
        Some(Handshake::Pass(routed)) => format!("pass {} {}", routed.listener.key.name, name(routed.plan.as_ref())),
    };
    for (sni, expected) in [
        (Some("a.com"), "pass pass own"),
        (Some("y.b.com"), "pass wide b"),
        (Some("q.z.b.com"), "pass wide b"),
        (Some("z.b.com"), "pass wide "),
        (Some("x.b.com"), "unwrap end inner"),
        (Some("c.com"), "requests web"),
        (Some("a.org"), "nobody"),
        (None, "nobody"),
    ] {
        assert_eq!(what(sni), expected, "{sni:?}");
    }
}

#[test]
fn tcp_and_udp_of_one_port_are_two_sockets() {
    let udp = rule(RouteKind::UdpRoute, "u", 0, ("u", &[""]));
    let listeners = vec![listener("l", "", Protocol::Tcp), listener("u", "", Protocol::Udp)];
    let table = Table::compile(&snapshot(listeners, vec![tcp("t", 0), udp]), &Table::empty());
    assert_eq!(table.binds().len(), 2);
    let plan = bind(&table, Transport::Udp).stream().unwrap().plan;
    assert_eq!((name(serving(&table).as_ref()), name(plan.as_ref())), ("t", "u"));
    assert_eq!(bind(&table, Transport::Udp).opening(), Opening::Datagram);
}
