// SPDX-License-Identifier: Apache-2.0
//! Rules of ServiceEntry and WorkloadEntry.

use super::*;

const HTTP: &str = "ports: [{number: 80, name: http, protocol: HTTP}]";

#[track_caller]
fn entries(rows: &[(&str, &[&str])]) {
    for (spec, expected) in rows {
        judged(Kind::ServiceEntry, &[(&format!("{{{spec}}}"), expected)]);
    }
}

#[test]
fn hosts_are_names() {
    let many = vec!["a"; 257].join(", ");
    entries(&[
        ("hosts: [a.example, '*.b.example']", &[]),
        ("hosts: []", &["! spec.hosts: is empty"]),
        ("hosts: ['*']", &["! spec.hosts[0]: is not a host: \"*\""]),
        ("hosts: [a_b]", &["! spec.hosts[0]: is not a host: \"a_b\""]),
        ("hosts: ['*a.example']", &["? spec.hosts[0]: begins with part of a label"]),
        (&format!("hosts: [{many}]"), &["! spec.hosts: has 257 entries, 256 are the most"]),
    ]);
}

#[test]
fn ports_are_unique_and_tell_hosts_apart() {
    let port =
        |number: u16, name: &str, protocol: &str| format!("{{number: {number}, name: {name}, protocol: {protocol}}}");
    let with = |ports: &[String]| format!("hosts: [a.example], resolution: DNS, ports: [{}]", ports.join(", "));
    entries(&[
        (&with(&[port(80, "a", "HTTP"), port(81, "b", "TCP")]), &[]),
        (&with(&[port(80, "a", "HTTP"), port(80, "b", "HTTP")]), &["! spec.ports[1].number: repeats 80"]),
        (&with(&[port(80, "a", "HTTP"), port(81, "a", "HTTP")]), &["! spec.ports[1].name: repeats \"a\""]),
        (
            &with(&[port(80, "a.b", "QUIC")]),
            &[
                "! spec.ports[0].name: is not a name of a port: \"a.b\"",
                "! spec.ports[0].protocol: is not a protocol: \"QUIC\"",
            ],
        ),
        (
            "hosts: [a.example, b.example], resolution: DNS, ports: [{number: 80, name: a, protocol: TCP}]",
            &["! spec.ports[0].protocol: cannot tell several hosts apart"],
        ),
        ("hosts: [a.example, b.example], ports: [{number: 80, name: a, protocol: TCP}]", &[]),
    ]);
}

#[test]
fn resolution_and_endpoints_fit() {
    let with = |resolution: &str, rest: &str| format!("hosts: [a.example], {HTTP}, resolution: {resolution}, {rest}");
    entries(&[
        (&with("STATIC", "endpoints: [{address: 10.0.0.1, ports: {http: 8080}}], addresses: [10.0.0.0/8]"), &[]),
        (&with("STATIC", "endpoints: [{address: 'unix:///run/a'}]"), &[]),
        (&with("STATIC", "workloadSelector: {labels: {app: a}}"), &[]),
        (&with("DNS", "endpoints: [{address: b.example}, {address: 10.0.0.1}]"), &[]),
        (&with("DNS_ROUND_ROBIN", "endpoints: [{address: b.example}]"), &[]),
        (&with("NONE", "endpoints: [{address: 10.0.0.1}]"), &["! spec.endpoints: does not go with resolution NONE"]),
        (
            &with("DNS_ROUND_ROBIN", "endpoints: [{address: b.example}, {address: c.example}]"),
            &["! spec.endpoints: has several entries, but the resolution is DNS_ROUND_ROBIN"],
        ),
        (
            &with("STATIC", "endpoints: [{address: b.example}]"),
            &["! spec.endpoints[0].address: is not an IP address: \"b.example\""],
        ),
        (
            &with("DNS", "endpoints: [{address: a_b}]"),
            &["! spec.endpoints[0].address: is not an IP address or a DNS name: \"a_b\""],
        ),
        (
            &with("DNS", "endpoints: [{address: 'unix:///run/a'}]"),
            &[
                "! spec.endpoints[0].address: is a socket of the file system, which goes with resolution STATIC and one port",
            ],
        ),
        (
            &with("STATIC", "endpoints: [{address: 10.0.0.1, ports: {other: 1}}]"),
            &["! spec.endpoints[0].ports.other: is not a port of the entry"],
        ),
        (
            &with("STATIC", "endpoints: [{address: 10.0.0.1}], workloadSelector: {labels: {a: b}}"),
            &["! spec.workloadSelector: stands beside endpoints"],
        ),
        (
            &with("NONE", "workloadSelector: {labels: {a: b}}"),
            &["? spec.workloadSelector: has no effect with resolution NONE"],
        ),
        (
            &with("STATIC", "workloadSelector: {}"),
            &["? spec.workloadSelector: has no labels: it finds every workload of the namespace"],
        ),
        (
            &with("STATIC", "workloadSelector: {labels: {a: '*'}}"),
            &["! spec.workloadSelector.labels.a: has a wildcard, which a selector does not know"],
        ),
        (
            &with("DNS", "addresses: [10.0.0.1, 10.0.0.0/8]"),
            &["! spec.addresses[1]: is a subnet, which only goes with resolution NONE and STATIC"],
        ),
    ]);
    entries(&[
        ("hosts: ['*.a.example'], resolution: DNS", &["! spec.hosts[0]: cannot be resolved: \"*.a.example\""]),
        ("hosts: [a.example], exportTo: ['~']", &[]),
        ("hosts: [a.example], exportTo: ['~', a]", &["! spec.exportTo: has ~ beside others"]),
    ]);
}

#[test]
fn dynamic_dns_asks_for_wildcards() {
    let with = |rest: &str| format!("resolution: DYNAMIC_DNS, {rest}");
    entries(&[
        (&with(&format!("hosts: ['*.a.example'], {HTTP}")), &[]),
        (&with("hosts: [a.example]"), &["! spec.hosts[0]: is no wildcard, but the resolution is DYNAMIC_DNS"]),
        (
            &with("hosts: ['*.a'], addresses: [10.0.0.1]"),
            &["! spec.addresses: does not go with resolution DYNAMIC_DNS"],
        ),
        (
            &with("hosts: ['*.a'], endpoints: [{address: a.b}]"),
            &["! spec.endpoints: does not go with resolution DYNAMIC_DNS"],
        ),
        (
            &with("hosts: ['*.a'], ports: [{number: 1, name: a, protocol: TCP}]"),
            &["! spec.ports[0].protocol: does not go with resolution DYNAMIC_DNS"],
        ),
    ]);
    let mut value =
        object(Kind::ServiceEntry, yaml(&format!("{{{}}}", with("hosts: ['*.a'], location: MESH_INTERNAL"))));
    value["metadata"]["labels"] = json!({"istio.io/use-waypoint": "w"});
    let Some(Object::ServiceEntry(entry)) = decode(value, "web").content.object() else { panic!("unreadable") };
    assert_eq!(entry.problems()[0].path, "spec.location");
}

#[test]
fn a_workload_has_an_address() {
    let long = "a".repeat(254);
    judged(
        Kind::WorkloadEntry,
        &[
            ("{address: 10.0.0.1, ports: {http: 80}, labels: {app: a}, locality: r/z/s}", &[]),
            ("{address: a.example}", &[]),
            ("{address: 'unix://@a'}", &[]),
            ("{}", &["! spec.address: is missing"]),
            ("{network: net}", &["? spec.address: is missing: the gateway of the network is meant"]),
            ("{address: a_b}", &["! spec.address: is not an IP address or a DNS name: \"a_b\""]),
            ("{address: 'unix://a'}", &["! spec.address: is not the path of a socket"]),
            ("{address: 'unix:///a/'}", &["! spec.address: is not the path of a socket"]),
            (
                "{address: 'unix:///a', ports: {http: 80}}",
                &["! spec.ports: does not go with a socket of the file system"],
            ),
            ("{address: 10.0.0.1, ports: {a.b: 80}}", &["! spec.ports.a.b: is not a name of a port: \"a.b\""]),
            ("{address: 10.0.0.1, labels: {app: '*'}}", &["! spec.labels.app: has no value of a label"]),
            (
                &format!("{{address: 10.0.0.1, serviceAccount: {long}}}"),
                &["! spec.serviceAccount: is longer than 253 characters"],
            ),
        ],
    );
}

/// Conditions, whether an agent looks after it, and whether it is well.
type Row<'a> = (&'a str, &'a str, bool);

#[test]
fn a_workload_is_well_unless_its_agent_says_otherwise_or_has_not_said_anything_yet() {
    let rows: [Row<'_>; 9] = [
        ("[]", "", true),
        ("[{type: Healthy, status: 'True'}]", "", true),
        ("[{type: Healthy, status: 'False', message: x}]", "", false),
        ("[{type: Other, status: 'False'}]", "", true),
        ("[{type: Healthy, status: Unknown}]", "", true),
        ("[]", "true", false),
        ("[{type: Healthy, status: 'True'}]", "true", true),
        ("[]", "no", true),
        // A status that cannot be read is none.
        ("[{type: 5}]", "", true),
    ];
    for (conditions, checked, expected) in rows {
        let mut value = object(Kind::WorkloadEntry, yaml("{address: 10.0.0.1}"));
        value["status"] = json!({"conditions": yaml(conditions), "other": 1});
        value["metadata"]["annotations"] = json!({"proxy.istio.io/health-checks-enabled": checked});
        let decoded = decode(value, "web");
        assert!(decoded.unknown_paths.is_empty(), "{:?}", decoded.unknown_paths);
        let Some(Object::WorkloadEntry(entry)) = decoded.content.object() else { panic!("{conditions}") };
        assert_eq!(entry.is_healthy(), expected, "{conditions} {checked}");
    }
}
