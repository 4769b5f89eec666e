// SPDX-License-Identifier: Apache-2.0
//! What is made of an AuthorizationPolicy, and its rules; those about whom one is for are RequestAuthentication's too.

use super::*;
use crate::istio::AuthorizationPolicy;
use crate::istio::authorization_policy::{
    AuthorizationPolicySpec, Condition, ExtensionProvider, From, Operation, PolicyAction, Rule, Source, To,
};
use crate::kind::Kind::AuthorizationPolicy as Policy;

#[track_caller]
fn policies(rows: &[(&str, &[&str])]) {
    for (spec, expected) in rows {
        judged(Policy, &[(&format!("{{{spec}}}"), expected)]);
    }
}

/// Every row: what is said of `around(part)`, as [`marked`] has it but without the path of the part, which is `place`.
#[track_caller]
fn parts(around: impl Fn(&str) -> String, place: &str, rows: &[(&str, &[&str])]) {
    for (part, expected) in rows {
        let told = marked(&problems(Policy, &around(part)));
        let below = expected.iter().map(|it| it.split_at(1)).map(|(mark, rest)| format!("{mark} {place}{rest}"));
        assert_eq!(told, below.collect::<Vec<_>>(), "{part}");
    }
}

#[track_caller]
fn sources(rows: &[(&str, &[&str])]) {
    parts(|source| format!("rules: [{{from: [{{source: {{{source}}}}}]}}]"), "spec.rules[0].from[0].source", rows);
}

#[track_caller]
fn operations(rows: &[(&str, &[&str])]) {
    parts(|it| format!("rules: [{{to: [{{operation: {{{it}}}}}]}}]"), "spec.rules[0].to[0].operation", rows);
}

#[track_caller]
fn conditions(rows: &[(&str, &[&str])]) {
    parts(|condition| format!("rules: [{{when: [{{{condition}}}]}}]"), "spec.rules[0].when[0]", rows);
}

fn texts<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).to_vec()
}

#[test]
fn a_policy_is_read_of_every_version() {
    let spec = yaml(
        "
        selector: {matchLabels: {app: web}}
        action: DENY
        rules:
        - from: [{source: {principals: [a/ns/b/sa/c], notNamespaces: [d], serviceAccounts: [e/f], trustDomains: [g]}}]
          to: [{operation: {hosts: [h], notPorts: ['80'], methods: [GET], paths: ['/{*}']}}]
          when: [{key: 'request.headers[x]', values: [i], notValues: [j]}]
        - {}
        ",
    );
    let source = Source {
        principals: texts(["a/ns/b/sa/c"]),
        not_namespaces: texts(["d"]),
        service_accounts: texts(["e/f"]),
        trust_domains: texts(["g"]),
        ..Source::default()
    };
    let operation = Operation {
        hosts: texts(["h"]),
        not_ports: texts(["80"]),
        methods: texts(["GET"]),
        paths: texts(["/{*}"]),
        ..Operation::default()
    };
    let when = Condition { key: "request.headers[x]".into(), values: texts(["i"]), not_values: texts(["j"]) };
    let rule = Rule { from: vec![From { source }], to: vec![To { operation }], when: vec![when] };
    for version in ["v1", "v1beta1"] {
        let mut value = object(Policy, spec.clone());
        value["apiVersion"] = json!(format!("security.istio.io/{version}"));
        let decoded = decode(value, "web");
        assert_eq!((decoded.unknown_paths, decoded.ignored), (vec![], vec![]), "{version}");
        let Some(Object::AuthorizationPolicy(read)) = decoded.content.object() else { panic!("{version}") };
        assert_eq!(
            (read.spec.action, &read.spec.rules[..]),
            (PolicyAction::Deny, &[rule.clone(), Rule::default()][..])
        );
        assert_eq!(read.scope().selector.unwrap().match_labels["app"], "web");
        assert_eq!(read.scope().targets().count(), 0);
    }
}

#[test]
fn what_is_absent_is_empty() {
    for spec in ["{}", "{rules: []}", "{rules: null, selector: null, provider: null}"] {
        assert_eq!(read::<AuthorizationPolicy>(spec).spec, AuthorizationPolicySpec::default(), "{spec}");
    }
    for (rule, expected) in [
        ("{from: [], to: [], when: []}", Rule::default()),
        ("{from: [{}]}", Rule { from: vec![From::default()], ..Rule::default() }),
        ("{to: [{operation: null}]}", Rule { to: vec![To::default()], ..Rule::default() }),
        ("{when: [{}]}", Rule { when: vec![Condition::default()], ..Rule::default() }),
    ] {
        assert_eq!(read::<AuthorizationPolicy>(&format!("rules: [{rule}]")).spec.rules, [expected], "{rule}");
    }
    let read: AuthorizationPolicy = read("{action: CUSTOM, provider: {name: a}, rules: [{}]}");
    assert_eq!(read.spec.provider, Some(ExtensionProvider { name: "a".into() }));
}

#[test]
fn the_single_target_comes_before_the_list() {
    let target = |name: &str| format!("{{group: gateway.networking.k8s.io, kind: Gateway, name: {name}}}");
    let spec = format!("{{targetRef: {}, targetRefs: [{}, {}]}}", target("a"), target("b"), target("c"));
    let read: AuthorizationPolicy = read(&spec);
    let scope = read.scope();
    assert_eq!(scope.targets().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(scope.selector, None);
}

#[test]
fn nothing_is_guessed_of_wrong_shapes() {
    refused(&[
        (Policy, "rules: [null]", "spec.rules[0]", "null"),
        (Policy, "rules: [{from: [null]}]", "spec.rules[0].from[0]", "null"),
        (Policy, "rules: [{when: [null]}]", "spec.rules[0].when[0]", "null"),
        (Policy, "rules: [{from: [{source: {ipBlocks: [null]}}]}]", "spec.rules[0].from[0].source.ipBlocks[0]", "null"),
        (Policy, "rules: [{from: [{source: [[a]]}]}]", "spec.rules[0].from[0].source", "expected a map"),
        (Policy, "rules: {from: []}", "spec.rules", "expected a sequence"),
        (Policy, "rules: [{to: [{operation: {ports: [80]}}]}]", "spec.rules[0].to[0].operation.ports[0]", "a string"),
        (Policy, "selector: {matchLabels: {app: null}}", "spec.selector.matchLabels.app", "null"),
        (Policy, "action: deny", "spec.action", "\"deny\" is not known here: use ALLOW, DENY, AUDIT, CUSTOM"),
        (Policy, "action: 1", "spec.action", "a string"),
        (Kind::PeerAuthentication, "selector: {matchLabels: {app: null}}", "spec.selector.matchLabels.app", "null"),
    ]);
    let spec = yaml("rules: [{form: [], from: [{source: {ipBlock: []}}]}]");
    let decoded = decode(object(Policy, spec), "web");
    assert_eq!(decoded.unknown_paths, ["spec.rules[0].form", "spec.rules[0].from[0].source.ipBlock"]);
}

#[test]
fn a_dry_run_is_told_by_a_truth_value() {
    let with = |value: &str, action: &str| {
        let mut policy = object(Policy, json!({"action": action, "rules": [{}], "provider": null}));
        policy["metadata"]["annotations"] = json!({"istio.io/dry-run": value});
        policy
    };
    let is_dry = |value: &str| match decode(with(value, "DENY"), "web").content.object() {
        Some(Object::AuthorizationPolicy(policy)) => policy.is_dry_run(),
        other => panic!("{value}: {other:?}"),
    };
    assert!(["1", "t", "T", "TRUE", "true", "True"].into_iter().all(is_dry));
    assert!(!["0", "f", "F", "FALSE", "false", "False", "", "yes", "tRUE", " true"].into_iter().any(is_dry));
    assert!(!read::<AuthorizationPolicy>("{}").is_dry_run());
    let place = "! metadata.annotations.istio.io/dry-run:";
    for (value, action, why) in [
        ("true", "DENY", ""),
        ("F", "ALLOW", ""),
        ("yes", "ALLOW", "is neither true nor false: \"yes\""),
        ("", "DENY", "is neither true nor false: \"\""),
        ("true", "AUDIT", "only goes with action ALLOW and DENY"),
    ] {
        let expected = if why.is_empty() { vec![] } else { vec![format!("{place} {why}")] };
        assert_eq!(marked(&problems_of(with(value, action))), expected, "{value} {action}");
    }
}

#[test]
fn a_policy_is_for_a_selector_or_for_targets_of_its_namespace() {
    let good = "{group: gateway.networking.k8s.io, kind: Gateway, name: a}";
    let wrong = |group: &str, kind: &str| {
        format!("! spec.targetRef: cannot be the target of a policy: kind {kind:?} of group {group:?}")
    };
    let many = vec![good; 17].join(", ");
    policies(&[
        ("", &[]),
        ("selector: {matchLabels: {app: web}}", &[]),
        ("selector: {}", &["? spec.selector: has no labels: it finds every workload of the namespace"]),
        (
            "selector: {matchLabels: {'': a, 'b*': c, d: 'e*'}}",
            &[
                "! spec.selector.matchLabels.: has an empty name",
                "! spec.selector.matchLabels.b*: has a wildcard, which a selector does not know",
                "! spec.selector.matchLabels.d: has a wildcard, which a selector does not know",
            ],
        ),
        (&format!("targetRef: {good}"), &[]),
        (&format!("targetRefs: [{good}, {{kind: Service, name: a}}, {{group: core, kind: Service, name: a}}]"), &[]),
        ("targetRef: {group: networking.istio.io, kind: ServiceEntry, name: a}", &[]),
        ("targetRef: {group: gateway.networking.k8s.io, kind: GatewayClass, name: a}", &[]),
        (
            "targetRef: {group: networking.istio.io, kind: Gateway, name: a}",
            &[&wrong("networking.istio.io", "Gateway")],
        ),
        ("targetRef: {kind: Gateway, name: a}", &[&wrong("", "Gateway")]),
        ("targetRef: {}", &[&wrong("", ""), "! spec.targetRef.name: is missing"]),
        (
            "targetRefs: [{kind: Service, name: a, namespace: b}]",
            &["! spec.targetRefs[0].namespace: is given, but a policy is only for objects of its own namespace"],
        ),
        (
            &format!("targetRef: {{kind: Service, name: {}}}", "a".repeat(254)),
            &["! spec.targetRef.name: is longer than 253 characters"],
        ),
        (&format!("targetRefs: [{many}]"), &["! spec.targetRefs: has 17 entries, 16 are the most"]),
    ]);
    let two = "! spec: has more than one of selector, targetRef and targetRefs";
    for [one, other] in [["selector: {matchLabels: {a: b}}", "targetRef"], ["targetRef: {}", "targetRefs"]] {
        let targets = if other == "targetRef" { good.to_owned() } else { format!("[{good}]") };
        let told = marked(&problems(Policy, &format!("{{{one}, {other}: {targets}}}")));
        assert_eq!(told[0], two, "{one}");
    }
}

#[test]
fn an_action_has_what_it_needs() {
    let many = vec!["{}"; 513].join(", ");
    policies(&[
        ("action: ALLOW", &[]),
        ("action: AUDIT", &[]),
        ("action: DENY, rules: [{}]", &[]),
        ("action: DENY", &["! spec.rules: is empty, so action DENY is for no request"]),
        ("action: DENY, rules: []", &["! spec.rules: is empty, so action DENY is for no request"]),
        ("action: CUSTOM, provider: {name: a}, rules: [{}]", &[]),
        ("action: CUSTOM, provider: {name: a}", &["! spec.rules: is empty, so action CUSTOM is for no request"]),
        ("action: CUSTOM, rules: [{}]", &["! spec.provider: is missing with action CUSTOM"]),
        ("action: CUSTOM, rules: [{}], provider: {}", &["! spec.provider.name: is missing"]),
        ("provider: {name: a}", &["! spec.provider: only goes with action CUSTOM"]),
        ("action: AUDIT, provider: {}", &["! spec.provider: only goes with action CUSTOM"]),
        (&format!("rules: [{many}]"), &["! spec.rules: has 513 entries, 512 are the most"]),
    ]);
}

#[test]
fn a_custom_policy_asks_for_nothing_that_a_certificate_or_token_says() {
    let custom = |rule: &str| format!("{{action: CUSTOM, provider: {{name: a}}, rules: [{rule}]}}");
    let why = "does not go with action CUSTOM";
    for field in ["principals", "requestPrincipals", "namespaces", "serviceAccounts", "trustDomains"] {
        let not = format!("not{}{}", field[..1].to_uppercase(), &field[1..]);
        for field in [field, &not] {
            let told = marked(&problems(Policy, &custom(&format!("{{from: [{{source: {{{field}: [a]}}}}]}}"))));
            assert_eq!(told, [format!("! spec.rules[0].from[0].source.{field}: {why}")]);
        }
    }
    for key in [
        "source.namespace",
        "source.serviceAccount",
        "source.trustDomain",
        "source.principal",
        "request.auth.audiences",
    ] {
        let told = marked(&problems(Policy, &custom(&format!("{{when: [{{key: {key}, values: [a]}}]}}"))));
        assert_eq!(told, [format!("! spec.rules[0].when[0].key: {why}")]);
    }
    let fine = custom(
        "{from: [{source: {ipBlocks: [10.0.0.1], notRemoteIpBlocks: [::/0]}}], to: [{operation: {paths: [/a]}}],
          when: [{key: 'request.headers[x]', values: [a]}]}",
    );
    judged(Policy, &[(&fine, &[])]);
}

#[test]
fn a_source_says_something() {
    sources(&[
        ("principals: ['*'], notPrincipals: ['*/sa/a', 'b/*']", &[]),
        ("requestPrincipals: [iss/*], notRequestPrincipals: ['*/sub']", &[]),
        ("namespaces: ['a*b*'], notNamespaces: [c]", &[]),
        ("", &["!: is empty"]),
        ("principals: []", &["!: is empty"]),
        ("principals: ['']", &["!.principals[0]: is empty"]),
        ("notRequestPrincipals: [a, '']", &["!.notRequestPrincipals[1]: is empty"]),
        ("namespaces: ['']", &["!.namespaces[0]: is empty"]),
        ("principals: ['a*b']", &["?.principals[0]: has a * that only stands for itself: \"a*b\""]),
        ("notPrincipals: ['*a*']", &["?.notPrincipals[0]: has a * that only stands for itself: \"*a*\""]),
    ]);
    policies(&[
        ("rules: [{from: [{}]}]", &["! spec.rules[0].from[0].source: is empty"]),
        (
            &format!("rules: [{{from: [{}]}}]", vec!["{source: {namespaces: [a]}}"; 513].join(", ")),
            &["! spec.rules[0].from: has 513 entries, 512 are the most"],
        ),
    ]);
}

#[test]
fn addresses_are_such() {
    sources(&[
        ("ipBlocks: [10.0.0.1, 10.0.0.0/8, '2001:db8::/32', '::1']", &[]),
        ("ipBlocks: [10.0.0.1, a]", &["!.ipBlocks[1]: is neither an IP address nor a subnet: \"a\""]),
        ("notIpBlocks: ['']", &["!.notIpBlocks[0]: is neither an IP address nor a subnet: \"\""]),
        (
            "remoteIpBlocks: [10.0.0.0/33]",
            &["!.remoteIpBlocks[0]: is neither an IP address nor a subnet: \"10.0.0.0/33\""],
        ),
        ("notRemoteIpBlocks: ['*']", &["!.notRemoteIpBlocks[0]: is neither an IP address nor a subnet: \"*\""]),
    ]);
}

#[test]
fn service_accounts_stand_alone_and_are_whole_names() {
    let seventeen = vec!["a"; 17].join(", ");
    let long = "a".repeat(321);
    sources(&[
        ("serviceAccounts: [a, b/c], trustDomains: [d], ipBlocks: [10.0.0.1]", &[]),
        ("serviceAccounts: ['']", &["!.serviceAccounts[0]: is no service account: \"\""]),
        ("serviceAccounts: [a/]", &["!.serviceAccounts[0]: is no service account: \"a/\""]),
        ("serviceAccounts: [/a]", &["!.serviceAccounts[0]: is no service account: \"/a\""]),
        ("serviceAccounts: [a/b/c]", &["!.serviceAccounts[0]: is no service account: \"a/b/c\""]),
        ("notServiceAccounts: ['a/*']", &["!.notServiceAccounts[0]: has a *, which a service account does not know"]),
        (&format!("serviceAccounts: [{seventeen}]"), &["!.serviceAccounts: has 17 entries, 16 are the most"]),
        (&format!("serviceAccounts: [{long}]"), &["!.serviceAccounts[0]: is longer than 320 characters"]),
        ("serviceAccounts: [a], principals: [b]", &["!: has serviceAccounts beside principals or namespaces"]),
        ("notServiceAccounts: [a], notNamespaces: [b]", &["!: has serviceAccounts beside principals or namespaces"]),
    ]);
}

#[test]
fn trust_domains_have_one_wildcard_at_an_end() {
    let star = "has a * that is neither its only one nor at an end";
    sources(&[
        ("trustDomains: [a.example, '*', 'a*', '*.a']", &[]),
        ("trustDomains: ['']", &["!.trustDomains[0]: is empty"]),
        ("trustDomains: ['a*b']", &[&format!("!.trustDomains[0]: {star}: \"a*b\"")]),
        ("notTrustDomains: ['*a*']", &[&format!("!.notTrustDomains[0]: {star}: \"*a*\"")]),
        ("trustDomains: [a/ns]", &["!.trustDomains[0]: is not a trust domain alone: \"a/ns\""]),
    ]);
}

#[test]
fn an_operation_says_something() {
    let port = |text: &str| format!("!.ports[0]: is no port: {text:?}");
    operations(&[
        ("hosts: [a.example, '*.b'], notMethods: [GET], paths: ['*', /a*, '*.html'], notPaths: [/b]", &[]),
        ("ports: ['0', '65535', '080'], notPorts: ['80']", &[]),
        ("", &["!: is empty"]),
        ("hosts: ['']", &["!.hosts[0]: is empty"]),
        ("notHosts: ['a*b']", &["?.notHosts[0]: has a * that only stands for itself: \"a*b\""]),
        ("methods: ['']", &["!.methods[0]: is empty"]),
        ("notMethods: [GET, '']", &["!.notMethods[1]: is empty"]),
        ("ports: ['']", &[&port("")]),
        ("ports: ['65536']", &[&port("65536")]),
        ("ports: ['+80']", &[&port("+80")]),
        ("ports: ['*']", &[&port("*")]),
        ("notPorts: [http]", &["!.notPorts[0]: is no port: \"http\""]),
        ("paths: ['']", &["!.paths[0]: is empty"]),
    ]);
    policies(&[("rules: [{to: [{}]}]", &["! spec.rules[0].to[0].operation: is empty"])]);
}

#[test]
fn templates_of_paths_have_whole_segments() {
    let braces = "has a { or } that belongs to no {*} and no {**}";
    operations(&[
        (
            "paths: ['/a/{*}', '/{*}/b/{**}', '/{**}/b', '/a*b']",
            &["?.paths[3]: has a * that only stands for itself: \"/a*b\""],
        ),
        ("paths: ['/{**}/{*}']", &["!.paths[0]: has a {*} or {**} after {**}: \"/{**}/{*}\""]),
        ("notPaths: ['/{**}/{**}']", &["!.notPaths[0]: has a {*} or {**} after {**}: \"/{**}/{**}\""]),
        ("paths: ['/{a}']", &[&format!("!.paths[0]: {braces}: \"/{{a}}\"")]),
        ("paths: ['/a{*}']", &[&format!("!.paths[0]: {braces}: \"/a{{*}}\"")]),
        ("paths: ['/{*}/b*']", &["!.paths[0]: has a segment that a template cannot have: \"/{*}/b*\""]),
        ("paths: ['/{*}//b']", &["!.paths[0]: has a segment that a template cannot have: \"/{*}//b\""]),
    ]);
}

#[test]
fn conditions_have_known_keys_with_values() {
    for key in [
        "source.namespace",
        "source.principal",
        "source.serviceAccount",
        "source.trustDomain",
        "request.auth.principal",
        "request.auth.audiences",
        "request.auth.presenter",
        "request.auth.claims[a]",
        "request.auth.claims[a][b]",
        "request.headers[x-user]",
        "request.headers[:method]",
        "connection.sni",
        "experimental.envoy.filters.network.mysql_proxy[a.b]",
    ] {
        conditions(&[(&format!("key: '{key}', values: [a], notValues: [b]"), &[])]);
    }
    for key in ["source.ip", "remote.ip", "destination.ip"] {
        let why = "is neither an IP address nor a subnet: \"a\"";
        conditions(&[
            (&format!("key: {key}, values: [10.0.0.0/8], notValues: [10.0.0.1]"), &[]),
            (&format!("key: {key}, notValues: [a]"), &[&format!("!.notValues[0]: {why}")]),
        ]);
    }
    conditions(&[
        ("values: [a]", &["!.key: is missing"]),
        ("key: source.ip", &["!: has neither values nor notValues"]),
        ("key: 'request.headers[x]', values: ['']", &["!.values[0]: is empty"]),
        ("key: destination.port, values: ['80', a]", &["!.values[1]: is no port: \"a\""]),
        ("key: source.serviceAccount, values: [a/b/c]", &["!.values[0]: is no service account: \"a/b/c\""]),
        ("key: source.trustDomain, values: [a/b]", &[]),
        ("key: source.principal, values: ['a*b']", &["?.values[0]: has a * that only stands for itself: \"a*b\""]),
        ("key: source.namespace, values: ['a*b']", &[]),
        (
            "key: source.trustDomain, notValues: ['a*b']",
            &["!.notValues[0]: has a * that is neither its only one nor at an end: \"a*b\""],
        ),
        ("key: 'request.headers[a b]', values: [c]", &["?.key: is of a header that no request has: \"a b\""]),
    ]);
}

#[test]
fn other_keys_are_none() {
    for key in [
        "source.ips",
        "Source.ip",
        "request.headers",
        "request.headers[]",
        "request.headers[a",
        "request.headers[a]b",
        "request.headersx[a]",
        "request.auth.claims",
        "request.auth.claims[]",
        "request.auth.claim[a]",
        "experimental.envoy.filters.a",
        "experimental.envoy.filters.a[]",
        "destination.namespace",
        "destination.labels[app]",
        "destination.name",
        "destination.user",
        "a[b]",
    ] {
        conditions(&[(&format!("key: '{key}', values: [a]"), &[&format!("!.key: is no key: {key:?}")])]);
    }
}

#[test]
fn a_rule_to_deny_that_only_http_can_meet_is_told_of() {
    let told = ["? spec.rules[0]: asks only for what HTTP has, so it denies every other connection"];
    for (rule, is_told) in [
        ("{}", false),
        ("{when: [{key: 'request.headers[x]', values: [a]}]}", false),
        ("{from: [{source: {requestPrincipals: ['*']}}]}", true),
        ("{from: [{source: {trustDomains: [a]}}]}", true),
        ("{from: [{source: {namespaces: [a]}}]}", false),
        ("{from: [{source: {notRemoteIpBlocks: [10.0.0.1]}}, {source: {requestPrincipals: [a]}}]}", false),
        ("{to: [{operation: {methods: [GET]}}]}", true),
        ("{to: [{operation: {methods: [GET], ports: ['80']}}]}", false),
        ("{to: [{operation: {notPorts: ['80']}}, {operation: {paths: [/a]}}]}", false),
        ("{from: [{source: {namespaces: [a]}}], to: [{operation: {paths: [/a]}}]}", true),
    ] {
        let expected: &[&str] = if is_told { &told } else { &[] };
        policies(&[(&format!("action: DENY, rules: [{rule}]"), expected), (&format!("rules: [{rule}]"), &[])]);
    }
}
