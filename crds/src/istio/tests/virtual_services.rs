// SPDX-License-Identifier: Apache-2.0
//! Rules of VirtualService as a whole, and of its TLS and TCP.

use std::time::{Duration, Instant};

use super::*;

const ROUTE: &str = "http: [{route: [{destination: {host: app}}]}]";

#[track_caller]
fn services(rows: &[(&str, &[&str])]) {
    for (spec, expected) in rows {
        judged(Kind::VirtualService, &[(&format!("{{{spec}, {ROUTE}}}"), expected)]);
    }
}

#[test]
fn hosts_are_names_that_do_not_overlap() {
    for good in [
        "a.example",
        "'*.a.example'",
        "'*-x.a.example', '*-y.a.example'",
        "short",
        "10.0.0.1",
        "a.example, '*.a.example'",
    ] {
        services(&[(&format!("hosts: [{good}]"), &[])]);
    }
    services(&[
        ("gateways: [a/b], hosts: ['*']", &[]),
        ("hosts: ['*']", &["? spec.hosts[0]: is every host of the mesh, which Istio refuses"]),
        ("hosts: [a_b]", &["! spec.hosts[0]: is not a host: \"a_b\""]),
        ("hosts: ['']", &["! spec.hosts[0]: is not a host: \"\""]),
        ("hosts: [a.example, b.example, a.example]", &["! spec.hosts[2]: overlaps with \"a.example\""]),
        ("hosts: [a.example, A.example]", &[]),
        ("hosts: [x.a.example, '*.a.example']", &["! spec.hosts[1]: overlaps with \"x.a.example\""]),
        ("hosts: ['*.a.example', b.example, '*.x.a.example']", &["! spec.hosts[2]: overlaps with \"*.a.example\""]),
        ("gateways: [a/b], hosts: [a.example, '*']", &["! spec.hosts[1]: overlaps with \"a.example\""]),
        ("hosts: ['*.a.example', '*.a.example']", &["! spec.hosts[1]: overlaps with \"*.a.example\""]),
    ]);
}

#[test]
fn many_hosts_are_judged_soon() {
    let hosts: Vec<_> = (0..20_000).map(|n| format!("h{n}.example")).collect();
    let names = hosts.clone();
    let route = json!([{"destination": {"host": "a"}}]);
    let spec = json!({"gateways": ["a/b"], "hosts": hosts, "tls": [{"match": [{"sniHosts": names}], "route": route}]});
    let Some(Object::VirtualService(service)) = decode(object(Kind::VirtualService, spec), "web").content.object()
    else {
        panic!("unreadable")
    };
    let begin = Instant::now();
    assert_eq!(service.problems(), []);
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
}

#[test]
fn what_is_said_of_a_long_value_is_short() {
    let host = format!("outbound_.80_._.{}", "a".repeat(100_000));
    let spec = format!("{{gateways: [a/b], hosts: [{host}], tls: [{{match: [{{sniHosts: [{host}]}}], route: []}}]}}");
    let told = problems(Kind::VirtualService, &spec);
    assert_eq!(told.len(), 3);
    assert!(told.iter().all(|it| it.why.chars().count() <= 1_001), "{told:?}");
}

#[test]
fn gateways_are_named_as_istio_names_them() {
    for good in ["mesh", "a/b", "b", "b, ./b", "ns/gateway.with.dots"] {
        services(&[(&format!("hosts: [a.example], gateways: [{good}]"), &[])]);
    }
    services(&[
        (
            "hosts: [a.example], gateways: [edge.infra.svc.cluster.local]",
            &["? spec.gateways[0]: is in the form of old"],
        ),
        (
            "hosts: [a.example], gateways: [./b]",
            &["! spec.gateways[0]: begins with ./, which Istio refuses here: \"./b\""],
        ),
        ("hosts: [a.example], gateways: [a/b/c]", &["! spec.gateways[0]: is no name of a Gateway: \"a/b/c\""]),
        ("hosts: [a.example], gateways: [x, '']", &["! spec.gateways[1]: is no name of a Gateway: \"\""]),
        ("hosts: [a.example], gateways: ['*/b']", &["! spec.gateways[0]: is no name of a Gateway: \"*/b\""]),
    ]);
}

#[test]
fn exports_name_namespaces_once() {
    let exported = |to: &str| format!("hosts: [a.example], exportTo: [{to}]");
    for good in ["", "'*'", ".", "., team", "web"] {
        services(&[(&exported(good), &[])]);
    }
    services(&[
        (&exported("a, a"), &["! spec.exportTo[1]: repeats \"a\""]),
        (&exported("., web"), &["! spec.exportTo[1]: repeats \"web\""]),
        (&exported("'*', a"), &["! spec.exportTo: has * beside others"]),
        (&exported("'~'"), &["! spec.exportTo[0]: is ~, which only a ServiceEntry may say"]),
        (&exported("a/b"), &["! spec.exportTo[0]: is not a namespace"]),
    ]);
}

#[test]
fn a_delegate_has_nothing_but_http() {
    let route = "[{destination: {host: a}}]";
    judged(
        Kind::VirtualService,
        &[
            (&format!("{{{ROUTE}}}"), &[]),
            (&format!("{{gateways: [a/b], {ROUTE}}}"), &["! spec.gateways: has no meaning without hosts"]),
            (&format!("{{{ROUTE}, tcp: [{{route: {route}}}]}}"), &["! spec.tcp: has no meaning without hosts"]),
            (
                "http: [{delegate: {name: a}, route: [{destination: {host: a}}]}]",
                &["! spec.http[0].delegate: delegates what was delegated"],
            ),
            ("hosts: [a.example]", &["! spec: has no rules"]),
        ],
    );
}

#[test]
fn rules_have_names_of_their_own() {
    let rule = "{name: a, route: [{destination: {host: a}}]}";
    let expected = ["? spec.http[1].name: repeats the name of another rule"];
    judged(Kind::VirtualService, &[(&format!("http: [{rule}, {rule}]"), &expected)]);
}

#[test]
fn server_names_are_within_the_hosts() {
    let with = |hosts: &str, names: &str| {
        format!(
            "{{gateways: [a/b], hosts: [{hosts}], tls: [{{match: [{{sniHosts: [{names}]}}], route: [{{destination: {{host: a}}}}]}}]}}"
        )
    };
    for (hosts, names) in [
        ("a.example", "a.example"),
        ("'*.example'", "a.example, '*.a.example'"),
        ("'*'", "a.example"),
        ("outbound_.80_._.a.example", "outbound_.80_._.a.example"),
    ] {
        judged(Kind::VirtualService, &[(&with(hosts, names), &[])]);
    }
    let place = "spec.tls[0].match[0].sniHosts";
    judged(
        Kind::VirtualService,
        &[
            (&with("a.example", ""), &[&format!("! {place}: is empty")]),
            (&with("a.example", "b.example"), &[&format!("! {place}[0]: is not within the hosts: \"b.example\"")]),
            (&with("a.example", "'*.example'"), &[&format!("! {place}[0]: is not within the hosts: \"*.example\"")]),
            (&with("'*'", "a_b"), &[&format!("! {place}[0]: is not a server name: \"a_b\"")]),
            (
                &with("'*'", "10.0.0.1"),
                &[&format!("? {place}[0]: is an IP address, which no client sends as server name")],
            ),
        ],
    );
}

#[test]
fn streams_go_somewhere() {
    judged(
        Kind::VirtualService,
        &[
            ("{hosts: [a], tls: [{match: []}]}", &["! spec.tls[0].match: is empty", "! spec.tls[0].route: is empty"]),
            ("{hosts: [a], tcp: [{}]}", &["! spec.tcp[0].route: is empty"]),
            (
                "{hosts: [a], tcp: [{route: [{destination: {host: a}}, {destination: {host: '*'}}]}]}",
                &[
                    "! spec.tcp[0].route[1].destination.host: is no host to send to: \"*\"",
                    "! spec.tcp[0].route: has several destinations of weight 0",
                ],
            ),
            (
                "{hosts: [a], tcp: [{match: [{sourceLabels: {-a: b}, gateways: [/]}], route: [{destination: {host: a}}]}]}",
                &[
                    "! spec.tcp[0].match[0].sourceLabels.-a: is not a name of a label",
                    "! spec.tcp[0].match[0].gateways[0]: is no name of a Gateway: \"/\"",
                ],
            ),
        ],
    );
}
