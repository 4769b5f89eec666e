// SPDX-License-Identifier: Apache-2.0
//! `URLRewrite` on a backendRef: what one backend sees is not what the other does.

use torana_tests::{Backend, World};

use super::manifests::route;

/// An entry of `backendRefs` with a URLRewrite.
fn entry(service: &str, weight: u32, rewrite: &str) -> String {
    let filter = format!("{{type: URLRewrite, urlRewrite: {{{rewrite}}}}}");
    format!("{{name: {service}, port: 80, weight: {weight}, filters: [{filter}]}}")
}

#[test]
fn a_rewrite_of_a_backend_concerns_the_requests_that_it_gets() {
    let [plain, other] = ["plain", "other"].map(Backend::named);
    let services = World::service("plain", plain.port) + &World::service("other", other.port);
    let rule = |path: &str, more: &str, refs: &[String]| {
        format!("{{matches: [{{path: {{value: {path}}}}}], {more}backendRefs: [{}]}}", refs.join(", "))
    };
    let unchanged = "{name: plain, port: 80}".to_owned();
    let full = "path: {type: ReplaceFullPath, replaceFullPath: /rewritten-full}";
    let prefix = "path: {type: ReplacePrefixMatch, replacePrefixMatch: /rewritten-prefix}";
    let first =
        "filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /one/}}}], ";
    let rules = [
        rule("/full", "", &[unchanged.clone(), entry("other", 1, full)]),
        rule("/prefix", "", &[unchanged.clone(), entry("other", 1, &format!("hostname: in.example.com, {prefix}"))]),
        rule("/both", first, &[unchanged, entry("other", 1, prefix)]),
    ];
    let route = route("r", &format!("rules: [{}]", rules.join(", ")));
    let world = World::start(&[World::gateway(), &services, &route].concat());
    let rows = [
        ("/full/original?q=1", ("/full/original?q=1", "a"), ("/rewritten-full?q=1", "a")),
        ("/prefix/original", ("/prefix/original", "a"), ("/rewritten-prefix/original", "in.example.com")),
        ("/prefix", ("/prefix", "a"), ("/rewritten-prefix", "in.example.com")),
        ("/both/x", ("/one/x", "a"), ("/rewritten-prefix/x", "a")),
    ];
    for (target, to_plain, to_other) in rows {
        for _ in 0..2 {
            assert_eq!(world.status("a", target), 200, "{target}");
        }
        for (backend, expected) in [(&plain, to_plain), (&other, to_other)] {
            let seen = backend.take();
            let seen: Vec<_> =
                seen.iter().map(|seen| (&*seen.target, seen.header("host").unwrap_or_default())).collect();
            assert_eq!(seen, [expected], "{target}");
        }
    }
}
