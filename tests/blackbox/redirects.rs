// SPDX-License-Identifier: Apache-2.0
//! Redirects: every code, and every part of the location (GEP-726).

use torana_tests::World;

use super::manifests::route;

/// `requestRedirect`, Host and target of the request, status and location. `${HTTP}` is the listener's port.
const ROWS: [(&str, &str, &str, u16, &str); 17] = [
    ("statusCode: 301", "a.example.com", "/x?y=1", 301, "http://a.example.com:${HTTP}/x?y=1"),
    ("statusCode: 302", "a.example.com", "/", 302, "http://a.example.com:${HTTP}/"),
    ("statusCode: 303", "a.example.com", "/", 303, "http://a.example.com:${HTTP}/"),
    ("statusCode: 307", "a.example.com", "/", 307, "http://a.example.com:${HTTP}/"),
    ("statusCode: 308", "a.example.com", "/", 308, "http://a.example.com:${HTTP}/"),
    ("hostname: b.example.com", "a.example.com", "/x", 302, "http://b.example.com:${HTTP}/x"),
    ("scheme: https", "a.example.com", "/x", 302, "https://a.example.com/x"),
    ("scheme: https, port: 443", "a.example.com", "/x", 302, "https://a.example.com/x"),
    ("scheme: http, port: 80", "a.example.com", "/x", 302, "http://a.example.com/x"),
    ("scheme: https, port: 8443", "a.example.com:1", "/x", 302, "https://a.example.com:8443/x"),
    ("port: 80", "a.example.com", "/x", 302, "http://a.example.com/x"),
    ("port: 8080", "a.example.com:9", "/x", 302, "http://a.example.com:8080/x"),
    ("scheme: https, path: {type: ReplaceFullPath, replaceFullPath: /new}", "a", "/x/y?z=1", 302, "https://a/new?z=1"),
    ("scheme: https, path: {type: ReplacePrefixMatch, replacePrefixMatch: /n}", "a", "/x/y?z", 302, "https://a/n/y?z"),
    ("scheme: https, path: {type: ReplacePrefixMatch, replacePrefixMatch: /}", "a", "/x/y", 302, "https://a/y"),
    ("scheme: https, path: {type: ReplacePrefixMatch, replacePrefixMatch: \"\"}", "a", "/x", 302, "https://a/"),
    ("scheme: https, path: {type: ReplacePrefixMatch, replacePrefixMatch: /n/}", "a", "/x/y", 302, "https://a/n/y"),
];

#[test]
fn every_code_and_every_part_of_a_location_is_as_the_rule_says() {
    let rules: Vec<String> = ROWS
        .iter()
        .enumerate()
        .map(|(at, (redirect, _, target, ..))| {
            let filter = format!("{{type: RequestRedirect, requestRedirect: {{{redirect}}}}}");
            let row = format!("headers: [{{name: row, value: \"{at}\"}}]");
            // Of one prefix: what is replaced of it must be one thing.
            let prefix = if target.starts_with("/x") { "/x" } else { "/" };
            format!("{{matches: [{{path: {{value: {prefix}}}, {row}}}], filters: [{filter}]}}")
        })
        .collect();
    // 16 rules are the most that one route holds.
    let routes: String = rules
        .chunks(16)
        .zip(["one", "two"])
        .map(|(rules, name)| route(name, &format!("rules: [{}]", rules.join(", "))))
        .collect();
    let world = World::start(&format!("{}{routes}", World::gateway()));
    for (at, (redirect, host, target, status, location)) in ROWS.into_iter().enumerate() {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nRow: {at}\r\n\r\n");
        let reply = world.raw(request.as_bytes()).unwrap();
        let location = location.replace("${HTTP}", &world.http.to_string());
        assert_eq!((reply.status, reply.header("location")), (status, Some(&*location)), "{redirect}: {host}{target}");
    }
}
