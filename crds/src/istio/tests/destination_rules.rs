// SPDX-License-Identifier: Apache-2.0
//! Rules of DestinationRule.

use super::*;

/// What is said of a policy; paths are within it.
#[track_caller]
fn policies(rows: &[(&str, &[&str])]) {
    for (policy, expected) in rows {
        for (spec, place) in [
            (format!("{{host: a, trafficPolicy: {policy}}}"), "spec.trafficPolicy"),
            (
                format!("{{host: a, subsets: [{{name: b, labels: {{c: d}}, trafficPolicy: {policy}}}]}}"),
                "spec.subsets[0].trafficPolicy",
            ),
        ] {
            let expected: Vec<String> = expected
                .iter()
                .map(|it| {
                    let (mark, rest) = it.split_at(2);
                    let dot = if rest.starts_with(':') { "" } else { "." };
                    format!("{mark}{place}{dot}{rest}")
                })
                .collect();
            let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
            judged(Kind::DestinationRule, &[(&spec, &expected)]);
        }
    }
}

#[test]
fn hosts_and_subsets_have_names() {
    judged(
        Kind::DestinationRule,
        &[
            ("{host: '*'}", &[]),
            ("{host: '*.a.example', subsets: [{name: v1, labels: {v: '1'}}]}", &[]),
            ("{host: a_b}", &["! spec.host: is not a host: \"a_b\""]),
            (
                "{host: a, subsets: [{name: a.b, labels: {v: '*'}}, {name: c, labels: {v: d}}, {name: c}]}",
                &[
                    "! spec.subsets[0].name: is not a name of a subset: \"a.b\"",
                    "! spec.subsets[0].labels.v: has no value of a label",
                    "! spec.subsets[2].name: repeats \"c\"",
                    "? spec.subsets[2]: has no labels: it is every endpoint of the host",
                ],
            ),
        ],
    );
}

#[test]
fn a_rule_for_some_pods_stays_in_their_namespace() {
    let with = |exports: &str, labels: &str| {
        format!("{{host: a, exportTo: [{exports}], workloadSelector: {{matchLabels: {{{labels}}}}}}}")
    };
    judged(
        Kind::DestinationRule,
        &[
            (&with("", "app: a"), &[]),
            (&with("web", "app: a"), &[]),
            (
                &with("'*'", "app: a"),
                &["! spec.exportTo: goes beyond the namespace, but workloadSelector is of it only"],
            ),
            (
                &with("., b", "app: a"),
                &["! spec.exportTo: goes beyond the namespace, but workloadSelector is of it only"],
            ),
            (
                &with("", "'a*': b, '': c"),
                &[
                    "! spec.workloadSelector.matchLabels.: has an empty name",
                    "! spec.workloadSelector.matchLabels.a*: has a wildcard, which a selector does not know",
                ],
            ),
        ],
    );
}

#[test]
fn policies_say_something() {
    policies(&[
        ("{loadBalancer: {}}", &[]),
        ("{proxyProtocol: {version: V2}}", &[]),
        ("{}", &["! : says nothing"]),
        ("{connectionPool: {}}", &["! connectionPool: says nothing"]),
        ("{portLevelSettings: [{port: {number: 1}}]}", &["! portLevelSettings[0]: says nothing but its port"]),
        (
            "{portLevelSettings: [{port: {number: 1}, connectionPool: {}}]}",
            &["! portLevelSettings[0].connectionPool: says nothing"],
        ),
        (
            "{tunnel: {targetHost: a_b, targetPort: 1}, proxyProtocol: {}}",
            &["! tunnel: does not go with proxyProtocol", "! tunnel.targetHost: is not a host: \"a_b\""],
        ),
        ("{retryBudget: {percent: 101}}", &["! retryBudget.percent: is more than 100"]),
        (
            "{retryBudget: {}, connectionPool: {http: {maxRetries: 1}}}",
            &["? retryBudget: takes the place of connectionPool.http.maxRetries"],
        ),
    ]);
}

#[test]
fn connection_pools_have_whole_milliseconds() {
    let told = "is not a whole number of milliseconds, at least 1ms";
    policies(&[
        ("{connectionPool: {tcp: {idleTimeout: 0s, connectTimeout: 1ms}, http: {idleTimeout: 1h}}}", &[]),
        ("{connectionPool: {tcp: {connectTimeout: 0s}}}", &[&format!("! connectionPool.tcp.connectTimeout: {told}")]),
        ("{connectionPool: {tcp: {idleTimeout: 1500us}}}", &[&format!("! connectionPool.tcp.idleTimeout: {told}")]),
        (
            "{connectionPool: {tcp: {tcpKeepalive: {time: 0s}}}}",
            &[&format!("! connectionPool.tcp.tcpKeepalive.time: {told}")],
        ),
        ("{connectionPool: {http: {idleTimeout: 0s}}}", &[&format!("! connectionPool.http.idleTimeout: {told}")]),
        (
            "{connectionPool: {http: {http2KeepAlive: {interval: 1s}}}}",
            &["! connectionPool.http.http2KeepAlive.timeout: is missing"],
        ),
        (
            "{connectionPool: {http: {h2UpgradePolicy: UPGRADE, useClientProtocol: true}}}",
            &["! connectionPool.http.useClientProtocol: does not go with h2UpgradePolicy UPGRADE"],
        ),
    ]);
}

#[test]
fn outliers_are_judged() {
    policies(&[
        ("{outlierDetection: {}}", &[]),
        ("{outlierDetection: {splitExternalLocalOriginErrors: true, consecutiveLocalOriginFailures: 3}}", &[]),
        ("{outlierDetection: {consecutiveLocalOriginFailures: 0, outlierDetectionHttpErrorCodes: [429]}}", &[]),
        (
            "{outlierDetection: {consecutiveLocalOriginFailures: 3}}",
            &["! outlierDetection.consecutiveLocalOriginFailures: counts only with splitExternalLocalOriginErrors"],
        ),
        (
            "{outlierDetection: {maxEjectionPercent: 101, minHealthPercent: 101, outlierDetectionHttpErrorCodes: [99]}}",
            &[
                "! outlierDetection.maxEjectionPercent: is more than 100",
                "! outlierDetection.minHealthPercent: is more than 100",
                "! outlierDetection.outlierDetectionHttpErrorCodes[0]: is 99, which is no status code",
            ],
        ),
        (
            "{outlierDetection: {interval: 0s}}",
            &["! outlierDetection.interval: is not a whole number of milliseconds, at least 1ms"],
        ),
    ]);
}

#[test]
fn balancing_is_judged() {
    let hash = |hash: &str| format!("{{loadBalancer: {{consistentHash: {hash}}}}}");
    policies(&[
        (&hash("{httpCookie: {name: a, attributes: [{name: SameSite, value: Lax}]}}"), &[]),
        (&hash("{useSourceIp: true, maglev: {tableSize: 65537}}"), &[]),
        (&hash("{httpCookie: {name: ''}}"), &["! loadBalancer.consistentHash.httpCookie.name: is empty"]),
        (
            &hash("{httpCookie: {name: a, attributes: [{name: ''}, {name: b}, {name: b}]}}"),
            &[
                "! loadBalancer.consistentHash.httpCookie.attributes[0]: has no name",
                "! loadBalancer.consistentHash.httpCookie.attributes[2]: repeats \"b\"",
            ],
        ),
        (&hash("{maglev: {}}"), &["! loadBalancer.consistentHash.maglev.tableSize: is not a prime below 5000011"]),
        (
            &hash("{maglev: {tableSize: 5000011}}"),
            &["! loadBalancer.consistentHash.maglev.tableSize: is not a prime below 5000011"],
        ),
        (
            "{loadBalancer: {localityLbSetting: {}, zoneAwareLbSetting: {}}}",
            &["! loadBalancer: has both localityLbSetting and zoneAwareLbSetting"],
        ),
        ("{loadBalancer: {warmup: {duration: 1m, minimumPercent: 0, aggression: 0.5}}}", &[]),
        (
            "{loadBalancer: {warmup: {duration: 0s, minimumPercent: 100.5, aggression: 0}}}",
            &[
                "! loadBalancer.warmup.duration: is not a whole number of milliseconds, at least 1ms",
                "! loadBalancer.warmup.minimumPercent: is more than 100",
                "! loadBalancer.warmup.aggression: is 0",
            ],
        ),
    ]);
}

#[test]
fn localities_are_judged() {
    let locality =
        |setting: &str| format!("{{outlierDetection: {{}}, loadBalancer: {{localityLbSetting: {setting}}}}}");
    let place = "loadBalancer.localityLbSetting";
    policies(&[
        (&locality("{distribute: [{from: a/b/*, to: {a/b/*: 80, a/c/*: 20}}]}"), &[]),
        (&locality("{failover: [{from: a, to: b}], failoverPriority: [topology.istio.io/network]}"), &[]),
        (
            "{loadBalancer: {localityLbSetting: {failover: [{from: a, to: b}]}}}",
            &[&format!("? {place}: fails over only with outlierDetection, which is missing")],
        ),
        (
            &locality("{distribute: [{from: a, to: {b: 100}}], failover: [{from: a, to: b}]}"),
            &[&format!("! {place}: has both distribute and failover")],
        ),
        (
            &locality("{distribute: [{from: a, to: {b: 50, c: 0}}]}"),
            &[
                &format!("! {place}.distribute[0].to.c: has the share 0"),
                &format!("! {place}.distribute[0].to: has shares of 50 together"),
            ],
        ),
        (
            &locality("{distribute: [{from: a, to: {b: 100}}, {from: a/x, to: {b: 90, b/x: 10}}]}"),
            &[
                &format!("! {place}.distribute[1].from: overlaps with another locality"),
                &format!("! {place}.distribute[1].to.b/x: overlaps with another locality"),
            ],
        ),
        (
            &locality(
                "{failover: [{from: a, to: a}, {from: a/b, to: c}], failoverPriority: [topology.kubernetes.io/zone]}",
            ),
            &[
                &format!("! {place}.failoverPriority[0]: is \"topology.kubernetes.io/zone\", which is taken care of"),
                &format!("! {place}.failover[0]: leads to where it begins"),
                &format!("! {place}.failover[1]: is not between regions"),
            ],
        ),
        (
            "{outlierDetection: {}, loadBalancer: {zoneAwareLbSetting: {failoverPriority: [topology.istio.io/subzone], minClusterSize: 0}}}",
            &[
                "! loadBalancer.zoneAwareLbSetting.failoverPriority[0]: is \"topology.istio.io/subzone\", which is taken care of",
                "! loadBalancer.zoneAwareLbSetting.minClusterSize: is 0",
            ],
        ),
    ]);
}

#[test]
fn tls_with_backends_is_judged() {
    policies(&[
        ("{tls: {mode: SIMPLE, sni: a, caCertificates: system}}", &[]),
        ("{tls: {mode: MUTUAL, clientCertificate: /c, privateKey: /k}}", &[]),
        ("{tls: {mode: MUTUAL, credentialName: a}}", &[]),
        ("{tls: {mode: SIMPLE, insecureSkipVerify: true}}", &[]),
        ("{tls: {mode: ISTIO_MUTUAL, subjectAltNames: [a]}}", &[]),
        (
            "{tls: {mode: MUTUAL}}",
            &["! tls.clientCertificate: is missing with mode MUTUAL", "! tls.privateKey: is missing with mode MUTUAL"],
        ),
        (
            "{tls: {mode: SIMPLE, credentialName: a, caCertificates: /ca}}",
            &["! tls.credentialName: stands beside files"],
        ),
        ("{tls: {mode: SIMPLE, credentialName: 'configmap://'}}", &["! tls.credentialName: names no ConfigMap"]),
        (
            "{tls: {mode: SIMPLE, insecureSkipVerify: true, subjectAltNames: [a]}}",
            &["! tls.insecureSkipVerify: does not go with authorities or subjectAltNames, which it leaves unchecked"],
        ),
        (
            "{tls: {mode: ISTIO_MUTUAL, credentialName: a}}",
            &["? tls: has certificates beside ISTIO_MUTUAL, which has the mesh's"],
        ),
    ]);
}
