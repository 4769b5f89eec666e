// SPDX-License-Identifier: Apache-2.0
//! D09: regular expressions of users meet paths of attackers.

use std::time::{Duration, Instant};

use super::oracle::Range;
use super::row::get;

fn route(name: &str, regex: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}, namespace: default}}\n\
         spec:\n  parentRefs: [{{name: edge}}]\n  hostnames: [{name}.example]\n  rules:\n  - matches: [{{path: {{type: RegularExpression, \
         value: '{regex}'}}}}]\n    backendRefs: [{{name: strict, port: 80}}]\n---\n"
    )
}

#[test]
fn matching_is_linear_and_a_huge_expression_harms_only_itself() {
    let huge = format!("/{}", "(a{1000}){1000}".repeat(3));
    let range = Range::with(&[route("evil", "/(a+)+(a|a)*b"), route("huge", &huge), route("fine", "/[a-z]+")].concat());
    let fine = |host: &str, target: &str| {
        let bytes = String::from_utf8(get(target, "")).unwrap().replace("a.example", host);
        range.world.raw(bytes.as_bytes()).unwrap().status
    };
    assert_eq!(fine("fine.example", "/abc"), 200);
    assert_eq!(fine("evil.example", "/aab"), 200);
    let target = format!("/{}", "a".repeat(16_000));
    let start = Instant::now();
    let before = Instant::now();
    for _ in 0..20 {
        assert_eq!(fine("evil.example", &target), 404);
    }
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", before.elapsed());
    let status = fine("huge.example", "/aaa");
    assert!(matches!(status, 404 | 500), "{status}");
    assert_eq!(fine("fine.example", "/abc"), 200);
    println!("hostile D09: 2 rows, 0 wrong (20 paths of 16 KB in {:?})", before.elapsed());
}
