// SPDX-License-Identifier: Apache-2.0
//! D01–D05, D08: the path and the fields that were judged are those that are forwarded.

use torana_tests::World;

use super::oracle::Range;
use super::row::{BAD, MARKER, Row, get, served};

/// `/admin` and all below goes to the backend `guarded`, everything else to `strict`.
fn admin_route(guarded: u16) -> String {
    let route = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: admin, namespace: default}\n\
                 spec:\n  parentRefs: [{name: edge}]\n  rules:\n  - matches: [{path: {type: PathPrefix, value: /admin}}]\n    \
                 backendRefs: [{name: guarded, port: 80}]\n---\n";
    format!("{}{route}", World::service("guarded", guarded))
}

fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[test]
fn the_path_that_was_routed_is_the_path_that_is_forwarded() {
    let guarded = torana_tests::Backend::scripted(super::oracle::answer);
    let range = Range::with(&admin_route(guarded.port));
    let rows = [
        ("/admin", Some("/admin")),
        ("/a/../admin", Some("/admin")),
        ("/./admin", Some("/admin")),
        ("//admin", Some("//admin")),
        ("/admin/", Some("/admin/")),
        ("/admin;x", Some("/admin;x")),
        ("/admin%2f", Some("/admin%2f")),
        ("/%61dmin", Some("/admin")),
        ("/adm%69n?", Some("/admin?")),
        ("\\admin", Some("/admin")),
        ("/a\\..\\admin", Some("/admin")),
        ("/%5cadmin", Some("/%5cadmin")),
        ("/a/%2e%2e/admin", Some("/admin")),
        ("/a/%252e%252e/admin", Some("/a/%252e%252e/admin")),
        ("/a/..%2fadmin", Some("/a/..%2fadmin")),
        ("/%2561dmin", Some("/%2561dmin")),
        ("/admin/..", Some("/")),
        ("/admin/../..", Some("/")),
        ("/admin/../x", Some("/x")),
        ("/ADMIN", Some("/ADMIN")),
        ("/a/.//../admin", Some("/a/admin")),
        ("/admin?x=/../y", Some("/admin?x=/../y")),
        ("/admin/.", Some("/admin/")),
        ("/x/..;/admin", Some("/x/..;/admin")),
        ("/admin#x", None),
        ("/admin%00", None),
        ("/admin%", None),
        ("/admin%zz", None),
        ("/\u{e4}dmin", None),
    ];
    let mut wrong = Vec::new();
    for (target, expected) in rows {
        drop((range.backend.take(), guarded.take()));
        let status = range.world.raw(&get(target, "")).map_or(0, |reply| reply.status);
        let mut seen: Vec<(bool, String)> = guarded.take().into_iter().map(|seen| (true, seen.target)).collect();
        seen.extend(range.backend.take().into_iter().map(|seen| (false, seen.target)));
        let right = match expected {
            None => status == 400 && seen.is_empty(),
            Some(expected) => {
                let path = expected.split('?').next().unwrap_or_default();
                status == 200 && seen == [(is_below(path, "/admin"), expected.to_owned())]
            }
        };
        if !right {
            wrong.push(format!("D01 {target:?}: {status}, {seen:?}"));
        }
    }
    println!("hostile D01: {} rows, {} wrong", rows.len(), wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn bad_escapes_are_refused() {
    let mut rows = Vec::new();
    for target in [
        "/%c0%af",
        "/%c0%ae%c0%ae/admin",
        "/%C1%9C",
        "/%e0%80%af",
        "/%e0%9f%bf",
        "/%f0%80%80%af",
        "/%f8%80%80%80%af",
        "/%fc%80%80%80%80%af",
        "/%u002f",
        "/%zz",
        "/%2",
        "/%",
        "/%%32%65",
        "/a%g0",
        "/%-1",
        "/%+2f",
        "/%00",
        "/a%00.html",
        "/%2%65",
        "/%\u{ff11}1",
    ] {
        rows.push(Row::new("D02", "RFC 3986 §2.1, RFC 3629 §3", get(target, ""), BAD));
    }
    for target in ["/%c3%a9", "/%e2%82%ac", "/%f0%9f%98%80", "/%e9", "/?%zz%", "/%25zz"] {
        rows.push(Row::new("D02", "RFC 3986 §2.1", get(target, ""), served(target, b"")));
    }
    Range::new().run("D02", &rows);
}

#[test]
fn what_an_edge_says_is_not_taken_from_clients() {
    let range = Range::new();
    let names = [
        "x-forwarded-for",
        "X-Forwarded-Proto",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-client-cert",
        "x-forwarded-prefix",
        "forwarded",
        "x-real-ip",
        "x-envoy-original-path",
        "X-Envoy-Internal",
        "x-envoy-external-address",
    ];
    let lines = names.map(|name| format!("{name}: evil\r\n{name}: evil\r\n")).concat();
    assert_eq!(range.world.raw(&get("/case", lines)).unwrap().status, 200);
    let seen = &range.backend.seen()[0];
    assert!(!format!("{seen:?}").contains("evil"), "{seen:?}");
    assert_eq!((seen.header("x-forwarded-for"), seen.header("x-forwarded-proto")), (Some("127.0.0.1"), Some("http")));
    println!("hostile D04 T11: {} rows, 0 wrong", names.len());
}

#[test]
fn a_connection_option_cannot_remove_what_the_gateway_sets() {
    let range = Range::new();
    let mut count = 0;
    for nominated in
        ["x-forwarded-for", "x-forwarded-proto, X-Forwarded-Host", "x-request-id", "close, x-forwarded-for"]
    {
        let bytes = get("/case", format!("Connection: {nominated}\r\nX-Forwarded-For: evil\r\n"));
        assert_eq!(range.world.raw(&bytes).unwrap().status, 200, "{nominated}");
        let seen = range.backend.take().remove(0);
        assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"), "{nominated}");
        assert!(
            ["x-forwarded-proto", "x-forwarded-host", "x-request-id"].iter().all(|name| seen.header(name).is_some()),
            "{seen:?}"
        );
        count += 1;
    }
    let bytes =
        get("/case", "Connection: X-User-Id, authorization\r\nX-User-Id: 1\r\nAuthorization: x\r\nX-Other: 2\r\n");
    assert_eq!(range.world.raw(&bytes).unwrap().status, 200);
    let seen = range.backend.take().remove(0);
    assert_eq!(
        (seen.header("x-user-id"), seen.header("authorization"), seen.header("x-other")),
        (None, None, Some("2"))
    );
    assert_eq!(seen.header("connection"), None);
    let mut rows = Vec::new();
    for option in ["host", "Content-Length", "transfer-encoding, close", "a b", "\"close\"", ":authority", "close\0"] {
        rows.push(Row::new("D05", "RFC 9110 §7.6.1", get("/case", format!("Connection: {option}\r\n")), BAD));
    }
    rows.push(Row::new("D05", "RFC 9110 §7.6.1", get("/case", "Connection: ,, ,\r\n"), served("/case", b"")));
    range.run("D05", &rows);
    assert_eq!(count, 4);
}

#[test]
fn a_rewritten_location_cannot_be_split_or_lead_astray() {
    let route = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: away, namespace: default}\n\
                 spec:\n  parentRefs: [{name: edge}]\n  rules:\n  - matches: [{path: {type: PathPrefix, value: /go}}]\n    filters:\n    \
                 - {type: RequestRedirect, requestRedirect: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}, statusCode: 302}}\n---\n";
    let range = Range::with(route);
    let mut count = 0;
    for target in [
        "/go//evil.example",
        "/go/%0d%0aSet-Cookie:%20a=b",
        "/go\\\\evil.example",
        "/go/\\evil.example",
        "/go///evil.example/%2e%2e",
    ] {
        count += 1;
        let reply = range.world.raw(&get(target, "")).unwrap();
        assert_eq!(reply.status, 302, "{target}");
        let location = reply.header("location").unwrap();
        assert!(
            location.starts_with("http://a.example") && !location.starts_with("http://a.example.evil"),
            "{target}: {location}"
        );
        assert_eq!(reply.header("set-cookie"), None, "{target}");
    }
    println!("hostile D08: {count} rows, 0 wrong");
    assert_eq!(range.backend.seen().iter().filter(|seen| seen.header(MARKER).is_some()).count(), 0);
}
