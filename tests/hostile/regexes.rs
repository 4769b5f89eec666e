// SPDX-License-Identifier: Apache-2.0
//! D09: regular expressions of users meet paths of attackers.

use std::time::{Duration, Instant};

use super::oracle::Range;
use super::row::get;

/// A redirect for what the expression matches; everything else falls to the route for all hosts.
fn route(name: &str, regex: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}, namespace: default}}\n\
         spec:\n  parentRefs: [{{name: edge}}]\n  hostnames: [{name}.example]\n  rules:\n  - matches: \
         [{{path: {{type: RegularExpression, value: '{regex}'}}}}]\n    filters: \
         [{{type: RequestRedirect, requestRedirect: {{statusCode: 302}}}}]\n---\n"
    )
}

#[test]
fn matching_is_linear_and_a_huge_expression_harms_only_itself() {
    let huge = format!("/{}", "(a{1000}){1000}".repeat(3));
    let routes = [route("evil", "/(a+)+(a|a)*b"), route("huge", &huge), route("fine", "/[a-z]+")];
    let range = Range::with(&routes.concat());
    let status = |host: &str, target: &str| {
        let bytes = String::from_utf8(get(target, "")).unwrap().replace("a.example", host);
        range.world.raw(bytes.as_bytes()).unwrap().status
    };
    assert_eq!((status("fine.example", "/abc"), status("evil.example", "/aab")), (302, 302));
    let target = format!("/{}", "a".repeat(16_000));
    let start = Instant::now();
    for _ in 0..20 {
        assert_eq!(status("evil.example", &target), 200, "does not match, falls to the route for all hosts");
    }
    let took = start.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    // Rejected: its rule is invalid (500) or absent, and the log names it.
    let rejected = status("huge.example", "/aaa");
    assert!(matches!(rejected, 200 | 404 | 500), "{rejected}");
    assert!(range.world.log().contains("huge"), "{}", range.world.log());
    assert_eq!(status("fine.example", "/abc"), 302);
    println!("hostile D09: 2 rows, 0 wrong (20 paths of 16 KB in {took:?})");
}
